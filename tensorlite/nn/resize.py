"""Layers that rearrange images: up-sampling, shuffles of pixels and channels, unfold and fold."""

from __future__ import annotations

from typing import Any

from tensorlite.nn import functional as F
from tensorlite.nn.arguments import PerAxis, unusual
from tensorlite.nn.module import Module
from tensorlite.tensor import Tensor


class Upsample(Module):
    """Enlarges the axes behind the channels, to a size or by a factor.

    Input (N, C, …), output of the same number of axes.

    Parameters
    ----------
    size : int or tuple of int, optional
        Of the output.
    scale_factor : float or tuple of float, optional
        Used where there is no `size`.
    mode : {"nearest", "linear", "bilinear", "bicubic", "trilinear"}
        How values in between are found.
    align_corners : bool, optional
        Whether the outermost elements stay in the corners.
    recompute_scale_factor : bool, optional
        Whether the factor is taken from the sizes, which are whole numbers.

    Examples
    --------
    >>> nn.Upsample(scale_factor=2)(tl.tensor([[[1.0, 2.0]]]))
    tensor([[[1., 1., 2., 2.]]])
    """

    def __init__(
        self,
        size: Any = None,
        scale_factor: Any = None,
        mode: str = "nearest",
        align_corners: bool | None = None,
        recompute_scale_factor: bool | None = None,
    ) -> None:
        super().__init__()
        self.name = type(self).__name__
        self.size = size
        if isinstance(scale_factor, tuple):
            self.scale_factor: Any = tuple(float(factor) for factor in scale_factor)
        else:
            self.scale_factor = float(scale_factor) if scale_factor else None
        self.mode = mode
        self.align_corners = align_corners
        self.recompute_scale_factor = recompute_scale_factor

    def forward(self, input: Tensor) -> Tensor:
        """Map (N, C, …) to (N, C, larger …)."""
        return F.interpolate(
            input,
            self.size,
            self.scale_factor,
            self.mode,
            **unusual(self, align_corners=None, recompute_scale_factor=None),
        )

    def extra_repr(self) -> str:
        """Size or factor, and the mode."""
        if self.scale_factor is not None:
            return f"scale_factor={self.scale_factor!r}, mode={self.mode!r}"
        return f"size={self.size!r}, mode={self.mode!r}"


class UpsamplingNearest2d(Upsample):
    """`Upsample` of images by repeating pixels.

    Input (N, C, H, W), output (N, C, OH, OW).

    Parameters
    ----------
    size, scale_factor
        As of `Upsample`.

    Examples
    --------
    >>> nn.UpsamplingNearest2d(scale_factor=2)(tl.zeros(1, 3, 4, 4)).shape
    (1, 3, 8, 8)
    """

    def __init__(self, size: Any = None, scale_factor: Any = None) -> None:
        super().__init__(size, scale_factor, mode="nearest")


class UpsamplingBilinear2d(Upsample):
    """`Upsample` of images by linear interpolation, the corners kept.

    Input (N, C, H, W), output (N, C, OH, OW).

    Parameters
    ----------
    size, scale_factor
        As of `Upsample`.

    Examples
    --------
    >>> nn.UpsamplingBilinear2d(scale_factor=2)(tl.zeros(1, 3, 4, 4)).shape
    (1, 3, 8, 8)
    """

    def __init__(self, size: Any = None, scale_factor: Any = None) -> None:
        super().__init__(size, scale_factor, mode="bilinear", align_corners=True)


class PixelShuffle(Module):
    """Turns channels into pixels: (…, C · r², H, W) to (…, C, H · r, W · r) [1]_.

    Parameters
    ----------
    upscale_factor : int
        The r; its square divides the number of channels.

    References
    ----------
    .. [1] Shi et al., "Real-time single image and video super-resolution using an efficient
       sub-pixel convolutional neural network", CVPR 2016.

    Examples
    --------
    >>> nn.PixelShuffle(2)(tl.zeros(1, 8, 3, 3)).shape
    (1, 2, 6, 6)
    """

    def __init__(self, upscale_factor: int) -> None:
        super().__init__()
        self.upscale_factor = upscale_factor

    def forward(self, input: Tensor) -> Tensor:
        """Enlarge the images."""
        return F.pixel_shuffle(input, self.upscale_factor)

    def extra_repr(self) -> str:
        """The factor."""
        return f"upscale_factor={self.upscale_factor}"


class PixelUnshuffle(Module):
    """Turns pixels into channels: (…, C, H · r, W · r) to (…, C · r², H, W).

    Parameters
    ----------
    downscale_factor : int
        The r; it divides H · r and W · r.

    Examples
    --------
    >>> nn.PixelUnshuffle(2)(tl.zeros(1, 2, 6, 6)).shape
    (1, 8, 3, 3)
    """

    def __init__(self, downscale_factor: int) -> None:
        super().__init__()
        self.downscale_factor = downscale_factor

    def forward(self, input: Tensor) -> Tensor:
        """Make the images smaller."""
        return F.pixel_unshuffle(input, self.downscale_factor)

    def extra_repr(self) -> str:
        """The factor."""
        return f"downscale_factor={self.downscale_factor}"


class ChannelShuffle(Module):
    """Exchanges the channels of groups, so that each comes beside one of every other.

    Input (N, C, …), output of the same shape (Zhang et al., "ShuffleNet", CVPR 2018).

    Parameters
    ----------
    groups : int
        Number of groups; it divides C.

    Examples
    --------
    >>> nn.ChannelShuffle(2)(tl.tensor([[[1.0], [2.0], [3.0], [4.0]]])).reshape(4)
    tensor([1., 3., 2., 4.])
    """

    def __init__(self, groups: int) -> None:
        super().__init__()
        self.groups = groups

    def forward(self, input: Tensor) -> Tensor:
        """Map (N, C, …) to a Tensor of that shape."""
        return F.channel_shuffle(input, self.groups)

    def extra_repr(self) -> str:
        """The number of groups."""
        return f"groups={self.groups}"


class Unfold(Module):
    """Every window of (N, C, H, W) as a column: (N, C · size of the window, windows).

    Parameters
    ----------
    kernel_size, dilation, padding, stride : int or tuple of int
        As of `Conv2d`.

    Examples
    --------
    >>> nn.Unfold(2)(tl.zeros(1, 3, 4, 4)).shape
    (1, 12, 9)
    """

    def __init__(
        self, kernel_size: PerAxis, dilation: PerAxis = 1, padding: PerAxis = 0, stride: PerAxis = 1
    ) -> None:
        super().__init__()
        self.kernel_size = kernel_size
        self.dilation = dilation
        self.padding = padding
        self.stride = stride

    def forward(self, input: Tensor) -> Tensor:
        """Cut the windows out."""
        return F.unfold(input, self.kernel_size, self.dilation, self.padding, self.stride)

    def extra_repr(self) -> str:
        """The options."""
        return (
            f"kernel_size={self.kernel_size}, dilation={self.dilation}, padding={self.padding}, "
            f"stride={self.stride}"
        )


class Fold(Module):
    """Adds columns as those of `Unfold` up to images of `output_size`.

    Input (N, C · KH · KW, windows), output (N, C, *output_size).

    Parameters
    ----------
    output_size : int or tuple of int
        Height and width of the images.
    kernel_size, dilation, padding, stride
        As of `Unfold`.

    Examples
    --------
    >>> nn.Fold((4, 4), 2, stride=2)(tl.ones(1, 12, 4)).shape
    (1, 3, 4, 4)
    """

    def __init__(
        self,
        output_size: PerAxis,
        kernel_size: PerAxis,
        dilation: PerAxis = 1,
        padding: PerAxis = 0,
        stride: PerAxis = 1,
    ) -> None:
        super().__init__()
        self.output_size = output_size
        self.kernel_size = kernel_size
        self.dilation = dilation
        self.padding = padding
        self.stride = stride

    def forward(self, input: Tensor) -> Tensor:
        """Map (N, C · size of the window, windows) to (N, C, *output_size)."""
        return F.fold(
            input, self.output_size, self.kernel_size, self.dilation, self.padding, self.stride
        )

    def extra_repr(self) -> str:
        """The options."""
        return (
            f"output_size={self.output_size}, kernel_size={self.kernel_size}, "
            f"dilation={self.dilation}, padding={self.padding}, stride={self.stride}"
        )
