"""Convolutions of one, two and three axes, and transposed ones."""

from __future__ import annotations

from typing import Any

from tensorlite.nn import functional as F
from tensorlite.nn import init
from tensorlite.nn.arguments import PerAxis, checked
from tensorlite.nn.module import Module
from tensorlite.nn.parameter import empty
from tensorlite.tensor import Tensor

_MODES = ("zeros", "reflect", "replicate", "circular")


class _ConvNd(Module):
    """What convolutions and transposed convolutions share."""

    _axes: int
    transposed = False

    def _set_sizes(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: PerAxis,
        stride: PerAxis,
        padding: PerAxis | str,
        dilation: PerAxis,
        output_padding: PerAxis,
        groups: int,
        padding_mode: str,
    ) -> None:
        name = type(self).__name__
        if groups <= 0:
            raise ValueError(f"{name}: groups must be a positive integer, not {groups}")
        for what, channels in (("in_channels", in_channels), ("out_channels", out_channels)):
            if channels % groups:
                raise ValueError(
                    f"{name}: {what} must be divisible by groups: {what} = {channels} is not "
                    f"divisible by {groups} groups"
                )
        if padding_mode not in _MODES:
            raise ValueError(f"{name}: padding_mode {padding_mode!r} is not one of {_MODES}")
        axes = self._axes
        self.in_channels = in_channels
        self.out_channels = out_channels
        self.kernel_size = checked(name, "kernel_size", kernel_size, axes)
        self.stride = checked(name, "stride", stride, axes)
        if isinstance(padding, str):
            if padding not in ("same", "valid"):
                raise ValueError(f"{name}: padding {padding!r} is neither 'same' nor 'valid'")
            if padding == "same" and any(step != 1 for step in self.stride):
                raise ValueError(
                    f"{name}: padding='same' is not supported for strided convolutions"
                )
            self.padding: Any = padding
        else:
            self.padding = checked(name, "padding", padding, axes)
        self.dilation = checked(name, "dilation", dilation, axes)
        self.output_padding = checked(name, "output_padding", output_padding, axes)
        self.groups = groups
        self.padding_mode = padding_mode

    def _set_parameters(self, first: int, second: int, bias: bool, device: Any, dtype: Any) -> None:
        shape = (first, second // self.groups, *self.kernel_size)
        self.weight = empty(*shape, device=device, dtype=dtype)
        own_bias = empty(self.out_channels, device=device, dtype=dtype) if bias else None
        self.register_parameter("bias", own_bias)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the initial values anew."""
        init.reset_affine(self.weight, self.bias)

    def extra_repr(self) -> str:
        """Sizes, and the options that are not the defaults."""
        zeros, ones = (0,) * self._axes, (1,) * self._axes
        parts = [f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}"]
        parts.append(f"stride={self.stride}")
        for name, default in (
            ("padding", zeros),
            ("dilation", ones),
            ("output_padding", zeros),
            ("groups", 1),
        ):
            if getattr(self, name) != default:
                parts.append(f"{name}={getattr(self, name)}")
        if self.bias is None:
            parts.append("bias=False")
        if self.padding_mode != "zeros":
            parts.append(f"padding_mode={self.padding_mode}")
        return ", ".join(parts)


class ConvNd(_ConvNd):
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
        Elements added on each side of the input.
    dilation : int or tuple of int
        Step between the elements of the kernel.
    groups : int
        Blocks into which the channels are divided, each convolved by itself.
    bias : bool
        Whether to add a number to each output channel.
    padding_mode : {"zeros", "reflect", "replicate", "circular"}
        What the padding consists of.
    device, dtype
        Of the parameters; by default the CPU and the default dtype.

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
        kernel_size: PerAxis,
        stride: PerAxis = 1,
        padding: PerAxis | str = 0,
        dilation: PerAxis = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: str = "zeros",
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        self._set_sizes(
            in_channels,
            out_channels,
            kernel_size,
            stride,
            padding,
            dilation,
            0,
            groups,
            padding_mode,
        )
        self._set_parameters(out_channels, in_channels, bias, device, dtype)

    def forward(self, input: Tensor) -> Tensor:
        """Map (N, in_channels, …) to (N, out_channels, …), or both without N."""
        return self._conv_forward(input, self.weight, self.bias)

    def _conv_forward(self, input: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        padding: Any = self.padding
        if self.padding_mode != "zeros":
            input = F.pad(input, self._widths(), mode=self.padding_mode)
            padding = 0
        function = _FUNCTIONS[self._axes]
        return getattr(F, function)(
            input, weight, bias, self.stride, padding, self.dilation, self.groups
        )

    def _widths(self) -> tuple[int, ...]:
        """The padding as `F.pad` takes it: both sides of each axis, from the last."""
        if self.padding == "valid":
            return (0,) * (2 * self._axes)
        if self.padding == "same":
            totals = [d * (k - 1) for d, k in zip(self.dilation, self.kernel_size, strict=True)]
            pairs = [(total // 2, total - total // 2) for total in totals]
        else:
            pairs = [(n, n) for n in self.padding]
        return tuple(n for pair in reversed(pairs) for n in pair)


_FUNCTIONS = {1: "conv1d", 2: "conv2d", 3: "conv3d"}


class Conv1d(ConvNd):
    """Convolution along the last axis: (N, in_channels, L) to (N, out_channels, OL).

    Without a batch the first axis is left out on both sides.

    Parameters
    ----------
    in_channels, out_channels, kernel_size, stride, padding, dilation, groups, bias, padding_mode
        As of `Conv2d`.

    Raises
    ------
    ValueError
        If `groups` does not divide both numbers of channels, or an option is not one of those
        above.

    Examples
    --------
    >>> nn.Conv1d(3, 6, 3, padding=1)(tl.zeros(2, 3, 8)).shape
    (2, 6, 8)
    """

    _axes = 1


class Conv2d(ConvNd):
    """Convolution along the last two axes: (N, in_channels, H, W) to (N, out_channels, OH, OW).

    Without a batch the first axis is left out on both sides.

    Parameters
    ----------
    in_channels, out_channels : int
        Channels of input and output.
    kernel_size : int or tuple of int
        Extent of the kernel; one number stands for all axes, here and below.
    stride : int or tuple of int
        Step between outputs.
    padding : int, tuple of int, "same" or "valid"
        Elements added on each side of the input.
    dilation : int or tuple of int
        Step between the elements of the kernel.
    groups : int
        Blocks into which the channels are divided, each convolved by itself.
    bias : bool
        Whether to add a number to each output channel.
    padding_mode : {"zeros", "reflect", "replicate", "circular"}
        What the padding consists of.
    device, dtype
        Of the parameters; by default the CPU and the default dtype.

    Attributes
    ----------
    weight : Parameter, shape (out_channels, in_channels / groups, KH, KW)
        Drawn, like `bias`, from ±1 / √(in_channels / groups · KH · KW).
    bias : Parameter, shape (out_channels,), or None

    Raises
    ------
    ValueError
        If `groups` does not divide both numbers of channels, or an option is not one of those
        above.

    Examples
    --------
    >>> nn.Conv2d(3, 6, 3, padding=1)(tl.zeros(2, 3, 8, 8)).shape
    (2, 6, 8, 8)
    """

    _axes = 2


class Conv3d(ConvNd):
    """Convolution along the last three axes.

    It maps (N, in_channels, D, H, W) to (N, out_channels, OD, OH, OW).

    Without a batch the first axis is left out on both sides.

    Parameters
    ----------
    in_channels, out_channels, kernel_size, stride, padding, dilation, groups, bias, padding_mode
        As of `Conv2d`.

    Raises
    ------
    ValueError
        If `groups` does not divide both numbers of channels, or an option is not one of those
        above.

    Examples
    --------
    >>> nn.Conv3d(3, 6, 3, padding=1)(tl.zeros(2, 3, 8, 8, 8)).shape
    (2, 6, 8, 8, 8)
    """

    _axes = 3


class ConvTransposeNd(_ConvNd):
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
    padding_mode : "zeros"
        There is no other.
    device, dtype
        Of the parameters; by default the CPU and the default dtype.

    Attributes
    ----------
    weight : Parameter, shape (in_channels, out_channels / groups, *kernel_size)
        Drawn, like `bias`, from ±1 / √(out_channels / groups · size of the kernel).
    bias : Parameter, shape (out_channels,), or None
    """

    transposed = True

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: PerAxis,
        stride: PerAxis = 1,
        padding: PerAxis = 0,
        output_padding: PerAxis = 0,
        groups: int = 1,
        bias: bool = True,
        dilation: PerAxis = 1,
        padding_mode: str = "zeros",
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        if padding_mode != "zeros":
            raise ValueError(f"{type(self).__name__}: only padding_mode='zeros' is supported")
        if isinstance(padding, str):
            raise ValueError(f"{type(self).__name__}: padding is in numbers, not {padding!r}")
        self._set_sizes(
            in_channels,
            out_channels,
            kernel_size,
            stride,
            padding,
            dilation,
            output_padding,
            groups,
            padding_mode,
        )
        self._set_parameters(in_channels, out_channels, bias, device, dtype)

    def forward(self, input: Tensor, output_size: list[int] | None = None) -> Tensor:
        """Map (N, in_channels, …) to (N, out_channels, …), or both without N.

        `output_size` chooses among the sizes that the same convolution maps to that of `input`.
        """
        extra = self.output_padding
        if output_size is not None:
            extra = self._output_padding(input, tuple(output_size))
        return getattr(F, f"conv_transpose{self._axes}d")(
            input,
            self.weight,
            self.bias,
            self.stride,
            self.padding,
            extra,
            self.groups,
            self.dilation,
        )

    def _output_padding(self, input: Tensor, size: tuple[int, ...]) -> tuple[int, ...]:
        """What to add at the end for an output of `size`."""
        axes = self._axes
        size = size[-axes:] if len(size) == input.ndim else size
        if len(size) != axes:
            raise ValueError(
                f"{type(self).__name__}: output_size {size} should have {axes} or {input.ndim} "
                "numbers"
            )
        smallest = [
            (n - 1) * step - 2 * cut + d * (k - 1) + 1
            for n, step, cut, d, k in zip(
                input.shape[-axes:],
                self.stride,
                self.padding,
                self.dilation,
                self.kernel_size,
                strict=True,
            )
        ]
        largest = [n + step - 1 for n, step in zip(smallest, self.stride, strict=True)]
        if not all(a <= n <= b for a, n, b in zip(smallest, size, largest, strict=True)):
            raise ValueError(
                f"{type(self).__name__}: requested an output size of {size}, but valid sizes "
                f"range from {smallest} to {largest} for an input of {tuple(input.shape[-axes:])}"
            )
        return tuple(n - a for n, a in zip(size, smallest, strict=True))


class ConvTranspose1d(ConvTransposeNd):
    """Transposed convolution: (N, in_channels, L) to larger (N, out_channels, OL).

    It maps as the gradient of a convolution does. Without a batch the first axis is left out.

    Parameters
    ----------
    in_channels, out_channels, kernel_size, stride, padding, output_padding
        As of `ConvTranspose2d`.
    groups, bias, dilation, padding_mode
        As of `ConvTranspose2d`.

    Raises
    ------
    ValueError
        If `groups` does not divide both numbers of channels, or `padding_mode` is not "zeros".

    Examples
    --------
    >>> nn.ConvTranspose1d(6, 3, 2, stride=2)(tl.zeros(2, 6, 4)).shape
    (2, 3, 8)
    """

    _axes = 1


class ConvTranspose2d(ConvTransposeNd):
    """Transposed convolution: (N, in_channels, H, W) to larger (N, out_channels, OH, OW).

    It maps as the gradient of a convolution does. Without a batch the first axis is left out.

    Parameters
    ----------
    in_channels, out_channels : int
        Channels of input and output.
    kernel_size, stride, dilation : int or tuple of int
        Of the convolution whose gradient this is.
    padding : int or tuple of int
        Elements taken off each side of the output.
    output_padding : int or tuple of int
        Elements added to one side of the output, less than stride or dilation.
    groups : int
        Blocks into which the channels are divided.
    bias : bool
        Whether to add a number to each output channel.
    padding_mode : "zeros"
        Nothing else.
    device, dtype
        Of the parameters; by default the CPU and the default dtype.

    Attributes
    ----------
    weight : Parameter, shape (in_channels, out_channels / groups, KH, KW)
    bias : Parameter, shape (out_channels,), or None

    Raises
    ------
    ValueError
        If `groups` does not divide both numbers of channels, or `padding_mode` is not "zeros".

    Examples
    --------
    >>> nn.ConvTranspose2d(6, 3, 2, stride=2)(tl.zeros(2, 6, 4, 4)).shape
    (2, 3, 8, 8)
    """

    _axes = 2


class ConvTranspose3d(ConvTransposeNd):
    """Transposed convolution: (N, in_channels, D, H, W) to larger (N, out_channels, OD, OH, OW).

    It maps as the gradient of a convolution does. Without a batch the first axis is left out.

    Parameters
    ----------
    in_channels, out_channels, kernel_size, stride, padding, output_padding
        As of `ConvTranspose2d`.
    groups, bias, dilation, padding_mode
        As of `ConvTranspose2d`.

    Raises
    ------
    ValueError
        If `groups` does not divide both numbers of channels, or `padding_mode` is not "zeros".

    Examples
    --------
    >>> nn.ConvTranspose3d(6, 3, 2, stride=2)(tl.zeros(2, 6, 4, 4, 4)).shape
    (2, 3, 8, 8, 8)
    """

    _axes = 3
