"""Convolutions of one, two and three axes, and transposed ones."""

from __future__ import annotations

from collections.abc import Callable

from tensorlite.nn import functional as F
from tensorlite.nn import init
from tensorlite.nn.module import Module
from tensorlite.nn.parameter import empty
from tensorlite.tensor import Tensor

Size = int | tuple[int, ...]  # one number for all axes, or one for each


class _Base(Module):
    """What convolutions and transposed convolutions share."""

    _axes: int
    _function: Callable

    def _set_sizes(self, in_channels: int, out_channels: int, kernel: Size, groups: int) -> None:
        name = type(self).__name__
        for what, channels in (("in_channels", in_channels), ("out_channels", out_channels)):
            if channels % groups:
                raise ValueError(f"{name}: {what} = {channels} is not divisible by {groups} groups")
        kernel = (kernel,) * self._axes if isinstance(kernel, int) else tuple(kernel)
        if len(kernel) != self._axes:
            raise ValueError(f"{name}: kernel_size {kernel} should have {self._axes} numbers")
        self.in_channels = in_channels
        self.out_channels = out_channels
        self.kernel_size = kernel
        self.groups = groups

    def reset_parameters(self) -> None:
        """Draw the initial values anew."""
        init.reset_affine(self.weight, self.bias)


class ConvNd(_Base):
    """A convolution: a `Conv1d`, `Conv2d` or `Conv3d`.

    Parameters
    ----------
    in_channels, out_channels : int
        Channels of input and output.
    kernel_size : int or tuple of int
        Extent of the kernel; one number stands for all axes, here and below.
    stride : int or tuple of int
        Step between outputs.
    padding : int, tuple of int, "same" or "valid"
        Zeros on each side of the input.
    dilation : int or tuple of int
        Step between the elements of the kernel.
    groups : int
        Blocks into which the channels are divided, each convolved by itself.
    bias : bool
        Whether to add a number to each output channel.

    Attributes
    ----------
    weight : Parameter, shape (out_channels, in_channels / groups, *kernel_size)
        Drawn, like `bias`, from ±1 / √(in_channels / groups · size of the kernel).
    bias : Parameter, shape (out_channels,), or None
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Size,
        stride: Size = 1,
        padding: Size | str = 0,
        dilation: Size = 1,
        groups: int = 1,
        bias: bool = True,
    ) -> None:
        self._set_sizes(in_channels, out_channels, kernel_size, groups)
        self.stride = stride
        self.padding = padding
        self.dilation = dilation
        self.weight = empty(out_channels, in_channels // groups, *self.kernel_size)
        self.bias = empty(out_channels) if bias else None
        self.reset_parameters()

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, in_channels, …) to (N, out_channels, …)."""
        return self._function(
            x, self.weight, self.bias, self.stride, self.padding, self.dilation, self.groups
        )


class Conv1d(ConvNd):
    """Convolution along the last axis of (N, C, L); parameters as in `ConvNd`."""

    _axes = 1
    _function = staticmethod(F.conv1d)


class Conv2d(ConvNd):
    """Convolution along the last two axes of (N, C, H, W); parameters as in `ConvNd`."""

    _axes = 2
    _function = staticmethod(F.conv2d)


class Conv3d(ConvNd):
    """Convolution along the last three axes of (N, C, D, H, W); parameters as in `ConvNd`."""

    _axes = 3
    _function = staticmethod(F.conv3d)


class ConvTransposeNd(_Base):
    """A transposed convolution, the gradient of a convolution as a layer.

    Parameters
    ----------
    in_channels, out_channels : int
        Channels of input and output.
    kernel_size : int or tuple of int
        Extent of the kernel; one number stands for all axes, here and below.
    stride : int or tuple of int
        Step between the places where inputs put their copies of the kernel.
    padding : int or tuple of int
        Elements cut off on each side of the output.
    output_padding : int or tuple of int
        Elements added at the end of the output.
    groups : int
        Blocks into which the channels are divided, each convolved by itself.
    bias : bool
        Whether to add a number to each output channel.
    dilation : int or tuple of int
        Step between the elements of the kernel.

    Attributes
    ----------
    weight : Parameter, shape (in_channels, out_channels / groups, *kernel_size)
        Drawn, like `bias`, from ±1 / √(out_channels / groups · size of the kernel).
    bias : Parameter, shape (out_channels,), or None
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Size,
        stride: Size = 1,
        padding: Size = 0,
        output_padding: Size = 0,
        groups: int = 1,
        bias: bool = True,
        dilation: Size = 1,
    ) -> None:
        self._set_sizes(in_channels, out_channels, kernel_size, groups)
        self.stride = stride
        self.padding = padding
        self.output_padding = output_padding
        self.dilation = dilation
        self.weight = empty(in_channels, out_channels // groups, *self.kernel_size)
        self.bias = empty(out_channels) if bias else None
        self.reset_parameters()

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, in_channels, …) to (N, out_channels, …)."""
        return self._function(
            x,
            self.weight,
            self.bias,
            self.stride,
            self.padding,
            self.output_padding,
            self.groups,
            self.dilation,
        )


class ConvTranspose1d(ConvTransposeNd):
    """From short to long sequences (N, C, L); parameters as in `ConvTransposeNd`."""

    _axes = 1
    _function = staticmethod(F.conv_transpose1d)


class ConvTranspose2d(ConvTransposeNd):
    """From small to large images (N, C, H, W); parameters as in `ConvTransposeNd`."""

    _axes = 2
    _function = staticmethod(F.conv_transpose2d)
