"""Pooling along one, two and three axes."""

from __future__ import annotations

from typing import Any

from tensorlite.nn import functional as F
from tensorlite.nn.arguments import PerAxis, per_axis, unusual
from tensorlite.nn.module import Module
from tensorlite.tensor import Tensor


class _MaxPool(Module):
    """The options of max pooling; the stride is the window's size by default.

    With `return_indices` the places of the maxima in each plane are returned, too, as `MaxUnpool2d`
    and its like want them. With `ceil_mode` windows that are only partly inside count.
    """

    def __init__(
        self,
        kernel_size: PerAxis,
        stride: PerAxis | None = None,
        padding: PerAxis = 0,
        dilation: PerAxis = 1,
        return_indices: bool = False,
        ceil_mode: bool = False,
    ) -> None:
        super().__init__()
        self.kernel_size = kernel_size
        self.stride = kernel_size if stride is None else stride
        self.padding = padding
        self.dilation = dilation
        self.return_indices = return_indices
        self.ceil_mode = ceil_mode

    def _arguments(self) -> dict[str, Any]:
        window = {name: getattr(self, name) for name in ("stride", "padding", "dilation")}
        return {**window, **unusual(self, ceil_mode=False, return_indices=False)}

    def extra_repr(self) -> str:
        """The options."""
        return (
            f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}, "
            f"dilation={self.dilation}, ceil_mode={self.ceil_mode}"
        )


class MaxPool1d(_MaxPool):
    """Largest element of each window of (N, C, L) or (C, L).

    Parameters
    ----------
    kernel_size, stride, padding, dilation, return_indices, ceil_mode
        As of `MaxPool2d`.

    Examples
    --------
    >>> nn.MaxPool1d(2)(tl.zeros(1, 3, 8)).shape
    (1, 3, 4)
    """

    def forward(self, input: Tensor) -> Any:
        """Map (N, C, …) to (N, C, fewer …)."""
        return F.max_pool1d(input, self.kernel_size, **self._arguments())


class MaxPool2d(_MaxPool):
    """Largest element of each window of (N, C, H, W) or (C, H, W).

    Parameters
    ----------
    kernel_size : int or tuple of int
        Size of the windows. One number stands for all axes, here and below.
    stride : int or tuple of int, optional
        Step between windows; by default their size.
    padding : int or tuple of int
        Elements -inf added on each side, at most half a window.
    dilation : int or tuple of int
        Step between the elements of a window.
    return_indices : bool
        Whether to return the places of the maxima in each plane too, as `MaxUnpool2d` wants
        them.
    ceil_mode : bool
        Whether windows that are only partly inside count.

    Examples
    --------
    >>> nn.MaxPool2d(2)(tl.zeros(1, 3, 8, 8)).shape
    (1, 3, 4, 4)
    """

    def forward(self, input: Tensor) -> Any:
        """Map (N, C, …) to (N, C, fewer …)."""
        return F.max_pool2d(input, self.kernel_size, **self._arguments())


class MaxPool3d(_MaxPool):
    """Largest element of each window of (N, C, D, H, W) or (C, D, H, W).

    Parameters
    ----------
    kernel_size, stride, padding, dilation, return_indices, ceil_mode
        As of `MaxPool2d`.

    Examples
    --------
    >>> nn.MaxPool3d(2)(tl.zeros(1, 3, 8, 8, 8)).shape
    (1, 3, 4, 4, 4)
    """

    def forward(self, input: Tensor) -> Any:
        """Map (N, C, …) to (N, C, fewer …)."""
        return F.max_pool3d(input, self.kernel_size, **self._arguments())


class _MaxUnpool(Module):
    """The options of the partial inverses of max pooling."""

    def __init__(
        self, kernel_size: PerAxis, stride: PerAxis | None = None, padding: PerAxis = 0
    ) -> None:
        super().__init__()
        axes = self._axes
        self.kernel_size = per_axis(kernel_size, axes)
        self.stride = per_axis(kernel_size if stride is None else stride, axes)
        self.padding = per_axis(padding, axes)

    def extra_repr(self) -> str:
        """The options."""
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"


class MaxUnpool1d(_MaxUnpool):
    """Puts the results of `MaxPool1d` back to their places; all else is 0.

    It takes what `MaxPool1d` with ``return_indices=True`` returns: values and indices (N, C, L) or
    (C, L), and perhaps ``output_size``.

    Parameters
    ----------
    kernel_size, stride, padding
        As of the `MaxPool1d`.

    Examples
    --------
    >>> pooled, indices = nn.MaxPool1d(2, return_indices=True)(tl.zeros(1, 3, 8))
    >>> nn.MaxUnpool1d(2)(pooled, indices).shape
    (1, 3, 8)
    """

    _axes = 1

    def forward(
        self, input: Tensor, indices: Tensor, output_size: list[int] | None = None
    ) -> Tensor:
        """Map (N, C, fewer …) to (N, C, …); `output_size` where the window leaves a choice."""
        return F.max_unpool1d(
            input, indices, self.kernel_size, self.stride, self.padding, output_size
        )


class MaxUnpool2d(_MaxUnpool):
    """Puts the results of `MaxPool2d` back to their places; all else is 0.

    It takes what `MaxPool2d` with ``return_indices=True`` returns: values and indices (N, C, H, W)
    or (C, H, W), and perhaps ``output_size``.

    Parameters
    ----------
    kernel_size, stride, padding
        As of the `MaxPool2d`.

    Examples
    --------
    >>> pooled, indices = nn.MaxPool2d(2, return_indices=True)(tl.zeros(1, 3, 8, 8))
    >>> nn.MaxUnpool2d(2)(pooled, indices).shape
    (1, 3, 8, 8)
    """

    _axes = 2

    def forward(
        self, input: Tensor, indices: Tensor, output_size: list[int] | None = None
    ) -> Tensor:
        """Map (N, C, fewer …) to (N, C, …); `output_size` where the window leaves a choice."""
        return F.max_unpool2d(
            input, indices, self.kernel_size, self.stride, self.padding, output_size
        )


class MaxUnpool3d(_MaxUnpool):
    """Puts the results of `MaxPool3d` back to their places; all else is 0.

    It takes what `MaxPool3d` with ``return_indices=True`` returns: values and indices (N, C, D, H,
    W) or (C, D, H, W), and perhaps ``output_size``.

    Parameters
    ----------
    kernel_size, stride, padding
        As of the `MaxPool3d`.

    Examples
    --------
    >>> pooled, indices = nn.MaxPool3d(2, return_indices=True)(tl.zeros(1, 3, 8, 8, 8))
    >>> nn.MaxUnpool3d(2)(pooled, indices).shape
    (1, 3, 8, 8, 8)
    """

    _axes = 3

    def forward(
        self, input: Tensor, indices: Tensor, output_size: list[int] | None = None
    ) -> Tensor:
        """Map (N, C, fewer …) to (N, C, …); `output_size` where the window leaves a choice."""
        return F.max_unpool3d(
            input, indices, self.kernel_size, self.stride, self.padding, output_size
        )


class _AvgPool(Module):
    """The options of average pooling; the stride is the window's size by default.

    With `count_include_pad` padding counts in the mean. `divisor_override` is what sums are divided
    by instead of the size of the window.
    """

    def __init__(
        self,
        kernel_size: PerAxis,
        stride: PerAxis | None = None,
        padding: PerAxis = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
        divisor_override: int | None = None,
    ) -> None:
        super().__init__()
        self.kernel_size = kernel_size
        self.stride = kernel_size if stride is None else stride
        self.padding = padding
        self.ceil_mode = ceil_mode
        self.count_include_pad = count_include_pad
        self.divisor_override = divisor_override

    def _options(self) -> dict[str, Any]:
        options = {"ceil_mode": False, "count_include_pad": True, "divisor_override": None}
        return unusual(self, **options)

    def extra_repr(self) -> str:
        """The options."""
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"


class AvgPool1d(Module):
    """Mean of each window of (N, C, L) or (C, L).

    Parameters
    ----------
    kernel_size, stride, padding, ceil_mode, count_include_pad
        As of `AvgPool2d`.

    Examples
    --------
    >>> nn.AvgPool1d(2)(tl.zeros(1, 3, 8)).shape
    (1, 3, 4)
    """

    def __init__(
        self,
        kernel_size: PerAxis,
        stride: PerAxis | None = None,
        padding: PerAxis = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
    ) -> None:
        super().__init__()
        self.kernel_size = per_axis(kernel_size, 1)
        self.stride = per_axis(kernel_size if stride is None else stride, 1)
        self.padding = per_axis(padding, 1)
        self.ceil_mode = ceil_mode
        self.count_include_pad = count_include_pad

    def forward(self, input: Tensor) -> Tensor:
        """Map (N, C, L) to (N, C, fewer)."""
        return F.avg_pool1d(
            input,
            self.kernel_size,
            self.stride,
            self.padding,
            **unusual(self, ceil_mode=False, count_include_pad=True),
        )

    def extra_repr(self) -> str:
        """The options."""
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"


class AvgPool2d(_AvgPool):
    """Mean of each window of (N, C, H, W) or (C, H, W).

    Parameters
    ----------
    kernel_size : int or tuple of int
        Size of the windows. One number stands for all axes, here and below.
    stride : int or tuple of int, optional
        Step between windows; by default their size.
    padding : int or tuple of int
        Zeros added on each side, at most half a window.
    ceil_mode : bool
        Whether windows that are only partly inside count.
    count_include_pad : bool
        Whether the zeros of the padding count in the mean.
    divisor_override : int, optional
        What sums are divided by, in place of the number of elements.

    Examples
    --------
    >>> nn.AvgPool2d(2)(tl.zeros(1, 3, 8, 8)).shape
    (1, 3, 4, 4)
    """

    def forward(self, input: Tensor) -> Tensor:
        """Map (N, C, …) to (N, C, fewer …)."""
        return F.avg_pool2d(input, self.kernel_size, self.stride, self.padding, **self._options())


class AvgPool3d(_AvgPool):
    """Mean of each window of (N, C, D, H, W) or (C, D, H, W).

    Parameters
    ----------
    kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override
        As of `AvgPool2d`.

    Examples
    --------
    >>> nn.AvgPool3d(2)(tl.zeros(1, 3, 8, 8, 8)).shape
    (1, 3, 4, 4, 4)
    """

    def forward(self, input: Tensor) -> Tensor:
        """Map (N, C, …) to (N, C, fewer …)."""
        return F.avg_pool3d(input, self.kernel_size, self.stride, self.padding, **self._options())


class _LPPool(Module):
    """The options of power-average pooling: (sum of xᵖ over the window) to the power 1/p."""

    def __init__(
        self,
        norm_type: float,
        kernel_size: PerAxis,
        stride: PerAxis | None = None,
        ceil_mode: bool = False,
    ) -> None:
        super().__init__()
        self.norm_type = norm_type
        self.kernel_size = kernel_size
        self.stride = stride
        self.ceil_mode = ceil_mode

    def extra_repr(self) -> str:
        """The options."""
        return (
            f"norm_type={self.norm_type}, kernel_size={self.kernel_size}, stride={self.stride}, "
            f"ceil_mode={self.ceil_mode}"
        )


class LPPool1d(_LPPool):
    """Power average, ``(Σ xᵖ)^(1/p)``, of each window of (N, C, L) or (C, L).

    Parameters
    ----------
    norm_type, kernel_size, stride, ceil_mode
        As of `LPPool2d`.

    Examples
    --------
    >>> nn.LPPool1d(2, 2)(tl.zeros(1, 3, 8)).shape
    (1, 3, 4)
    """

    def forward(self, input: Tensor) -> Tensor:
        """Map (N, C, …) to (N, C, fewer …)."""
        return F.lp_pool1d(
            input, float(self.norm_type), self.kernel_size, self.stride, self.ceil_mode
        )


class LPPool2d(_LPPool):
    """Power average, ``(Σ xᵖ)^(1/p)``, of each window of (N, C, H, W) or (C, H, W).

    Parameters
    ----------
    norm_type : float
        The power p: 1 gives sums, infinity maxima.
    kernel_size : int or tuple of int
        Size of the windows.
    stride : int or tuple of int, optional
        Step between windows; by default their size.
    ceil_mode : bool
        Whether windows that are only partly inside count.

    Examples
    --------
    >>> nn.LPPool2d(2, 2)(tl.zeros(1, 3, 8, 8)).shape
    (1, 3, 4, 4)
    """

    def forward(self, input: Tensor) -> Tensor:
        """Map (N, C, …) to (N, C, fewer …)."""
        return F.lp_pool2d(
            input, float(self.norm_type), self.kernel_size, self.stride, self.ceil_mode
        )


class LPPool3d(_LPPool):
    """Power average, ``(Σ xᵖ)^(1/p)``, of each window of (N, C, D, H, W) or (C, D, H, W).

    Parameters
    ----------
    norm_type, kernel_size, stride, ceil_mode
        As of `LPPool2d`.

    Examples
    --------
    >>> nn.LPPool3d(2, 2)(tl.zeros(1, 3, 8, 8, 8)).shape
    (1, 3, 4, 4, 4)
    """

    def forward(self, input: Tensor) -> Tensor:
        """Map (N, C, …) to (N, C, fewer …)."""
        return F.lp_pool3d(
            input, float(self.norm_type), self.kernel_size, self.stride, self.ceil_mode
        )


class _AdaptiveAvgPool(Module):
    """Pooling to an output of a given size; None keeps the length of an axis."""

    def __init__(self, output_size: Any) -> None:
        super().__init__()
        self.output_size = output_size

    def extra_repr(self) -> str:
        """The size."""
        return f"output_size={self.output_size}"


class _AdaptiveMaxPool(Module):
    """Pooling to an output of a given size; with the places of the maxima if `return_indices`."""

    def __init__(self, output_size: Any, return_indices: bool = False) -> None:
        super().__init__()
        self.output_size = output_size
        self.return_indices = return_indices

    def extra_repr(self) -> str:
        """The size."""
        return f"output_size={self.output_size}"


class AdaptiveAvgPool1d(_AdaptiveAvgPool):
    """Means of `output_size` nearly equal windows of (N, C, L) or (C, L).

    Parameters
    ----------
    output_size : int
        Number of windows.

    Examples
    --------
    >>> nn.AdaptiveAvgPool1d(5)(tl.zeros(1, 3, 8)).shape
    (1, 3, 5)
    """

    def forward(self, input: Tensor) -> Tensor:
        """Map (N, C, …) to (N, C, *output_size)."""
        return F.adaptive_avg_pool1d(input, self.output_size)


class AdaptiveAvgPool2d(_AdaptiveAvgPool):
    """Means of `output_size` nearly equal windows of (N, C, H, W) or (C, H, W).

    Parameters
    ----------
    output_size : int or tuple of int
        Windows along each axis; None keeps an axis.

    Examples
    --------
    >>> nn.AdaptiveAvgPool2d((5, 2))(tl.zeros(1, 3, 8, 8)).shape
    (1, 3, 5, 2)
    """

    def forward(self, input: Tensor) -> Tensor:
        """Map (N, C, …) to (N, C, *output_size)."""
        return F.adaptive_avg_pool2d(input, self.output_size)


class AdaptiveAvgPool3d(_AdaptiveAvgPool):
    """Means of `output_size` nearly equal windows of (N, C, D, H, W) or (C, D, H, W).

    Parameters
    ----------
    output_size : int or tuple of int
        Windows along each axis; None keeps an axis.

    Examples
    --------
    >>> nn.AdaptiveAvgPool3d((5, 2, 1))(tl.zeros(1, 3, 8, 8, 8)).shape
    (1, 3, 5, 2, 1)
    """

    def forward(self, input: Tensor) -> Tensor:
        """Map (N, C, …) to (N, C, *output_size)."""
        return F.adaptive_avg_pool3d(input, self.output_size)


class AdaptiveMaxPool1d(_AdaptiveMaxPool):
    """Largest elements of `output_size` nearly equal windows of (N, C, L) or (C, L).

    Parameters
    ----------
    output_size : int
        Number of windows.
    return_indices : bool
        Whether to return the places of the maxima in each plane too.

    Examples
    --------
    >>> nn.AdaptiveMaxPool1d(5)(tl.zeros(1, 3, 8)).shape
    (1, 3, 5)
    """

    def forward(self, input: Tensor) -> Any:
        """Map (N, C, …) to (N, C, *output_size)."""
        return F.adaptive_max_pool1d(input, self.output_size, **unusual(self, return_indices=False))


class AdaptiveMaxPool2d(_AdaptiveMaxPool):
    """Largest elements of `output_size` nearly equal windows of (N, C, H, W) or (C, H, W).

    Parameters
    ----------
    output_size : int or tuple of int
        Windows along each axis; None keeps an axis.
    return_indices : bool
        Whether to return the places of the maxima in each plane too.

    Examples
    --------
    >>> nn.AdaptiveMaxPool2d((5, 2))(tl.zeros(1, 3, 8, 8)).shape
    (1, 3, 5, 2)
    """

    def forward(self, input: Tensor) -> Any:
        """Map (N, C, …) to (N, C, *output_size)."""
        return F.adaptive_max_pool2d(input, self.output_size, **unusual(self, return_indices=False))


class AdaptiveMaxPool3d(_AdaptiveMaxPool):
    """Largest elements of `output_size` nearly equal windows of (N, C, D, H, W) or (C, D, H, W).

    Parameters
    ----------
    output_size : int or tuple of int
        Windows along each axis; None keeps an axis.
    return_indices : bool
        Whether to return the places of the maxima in each plane too.

    Examples
    --------
    >>> nn.AdaptiveMaxPool3d((5, 2, 1))(tl.zeros(1, 3, 8, 8, 8)).shape
    (1, 3, 5, 2, 1)
    """

    def forward(self, input: Tensor) -> Any:
        """Map (N, C, …) to (N, C, *output_size)."""
        return F.adaptive_max_pool3d(input, self.output_size, **unusual(self, return_indices=False))
