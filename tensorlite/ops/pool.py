"""Pooling over one or two spatial axes."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from types import ModuleType
from typing import Any, NamedTuple

from tensorlite.backend import Array
from tensorlite.ops.fused import float32_inside
from tensorlite.ops.index import basic_getitem, take_along_axis
from tensorlite.ops.reduce import max
from tensorlite.ops.shape import concat
from tensorlite.ops.windows import enlarged, inside, output_size, per_axis, positions, taps
from tensorlite.primitive import primitive
from tensorlite.tensor import Tensor

__all__ = [
    "adaptive_avg_pool1d",
    "adaptive_avg_pool2d",
    "adaptive_max_pool1d",
    "adaptive_max_pool2d",
    "avg_pool1d",
    "avg_pool2d",
    "max_pool1d",
    "max_pool2d",
]


class Window(NamedTuple):
    """The window that slides over the spatial axes."""

    kernel: tuple[int, ...]
    stride: tuple[int, ...]
    padding: tuple[int, ...]
    dilation: tuple[int, ...]

    def output_size(self, size: Sequence[int]) -> tuple[int, ...]:
        """How many windows fit on each axis."""
        return output_size(size, *self)

    def taps(self, out: Sequence[int]) -> Iterator[tuple[slice, ...]]:
        """For each place in the window, the elements of the padded axes that lie there."""
        return taps(self.kernel, out, self.stride, self.dilation)


# --- largest ------------------------------------------------------------------------------------


@primitive(aux=("index",))
def max_pool(xp: ModuleType, x: Array, *, window: Window, save: bool) -> tuple[Array, Any]:
    """The largest element of each window of `x` (N, C, *size), and where in the plane it is.

    Of equal elements it is the first; NaN counts as the largest.
    """
    size = x.shape[2:]
    padded = enlarged(xp, x, window.padding, -math.inf)
    first, *rest = window.taps(window.output_size(size))
    y = padded[(..., *first)].copy()
    if not save:
        for tap in rest:
            xp.maximum(y, padded[(..., *tap)], out=y)
        return y, None
    index = xp.zeros(y.shape, xp.int32) + positions(xp, size, window.padding, first)
    for tap in rest:
        value = padded[(..., *tap)]
        larger = (value > y) | (value != value)
        xp.copyto(y, value, where=larger)
        place = positions(xp, size, window.padding, tap)
        xp.copyto(index, xp.broadcast_to(place, y.shape), where=larger)
    return y, index


@primitive
@float32_inside
def max_pool_backward(
    xp: ModuleType, dy: Array, index: Array, *, size: tuple[int, ...], window: Window
) -> Array:
    """Send each window's cotangent to the place its element came from."""
    dx = _padded_zeros(xp, dy, size, window)
    for tap in window.taps(dy.shape[2:]):
        dx[(..., *tap)] += dy * (index == positions(xp, size, window.padding, tap))
    return dx[inside(size, window.padding)]


def _padded_zeros(xp: ModuleType, dy: Array, size: Sequence[int], window: Window) -> Array:
    lengths = [n + 2 * p for n, p in zip(size, window.padding, strict=True)]
    return xp.zeros((*dy.shape[:2], *lengths), dy.dtype)


def _picked(g: Any, index: Any) -> Any:
    """The elements of each plane of `g` (N, C, …) at `index`."""
    n, c, *out = index.shape
    plane = g.reshape(n, c, math.prod(g.shape[2:]))
    picked = take_along_axis(plane, index.reshape(n, c, math.prod(out)), axis=-1)
    return picked.reshape(index.shape)


max_pool.defvjp(
    x=lambda g, index, x_shape, window: max_pool_backward(g, index, x_shape[2:], window)
)
max_pool_backward.defvjp(dy=lambda g, index: _picked(g, index))


# --- average ------------------------------------------------------------------------------------


@primitive
@float32_inside
def avg_pool(xp: ModuleType, x: Array, *, window: Window, count_include_pad: bool) -> Array:
    """Mean of each window of `x` (N, C, *size); padding counts as zeros, or not at all."""
    size = x.shape[2:]
    out = window.output_size(size)
    padded = enlarged(xp, x, window.padding)
    total = xp.zeros((*x.shape[:2], *out), x.dtype)
    for tap in window.taps(out):
        total += padded[(..., *tap)]
    return total / _counts(xp, size, out, window, count_include_pad).astype(x.dtype)


@primitive
@float32_inside
def avg_pool_backward(
    xp: ModuleType, dy: Array, *, size: tuple[int, ...], window: Window, count_include_pad: bool
) -> Array:
    """Spread each window's cotangent evenly over it."""
    out = dy.shape[2:]
    each = dy / _counts(xp, size, out, window, count_include_pad).astype(dy.dtype)
    dx = _padded_zeros(xp, dy, size, window)
    for tap in window.taps(out):
        dx[(..., *tap)] += each
    return dx[inside(size, window.padding)]


def _counts(
    xp: ModuleType, size: Sequence[int], out: Sequence[int], window: Window, with_padding: bool
) -> Array:
    """How many elements each window averages over."""
    if with_padding or not any(window.padding):
        return xp.full((), math.prod(window.kernel))
    counts = xp.ones((), int)
    for n, o, k, s, p in zip(size, out, *window[:3], strict=True):
        start = xp.arange(o) * s - p
        counts = counts[..., None] * (xp.minimum(start + k, n) - xp.maximum(start, 0))
    return counts


avg_pool.defvjp(
    x=lambda g, x_shape, window, count_include_pad: avg_pool_backward(
        g, x_shape[2:], window, count_include_pad
    )
)
avg_pool_backward.defvjp(
    dy=lambda g, window, count_include_pad: avg_pool(g, window, count_include_pad)
)


@primitive
@float32_inside
def adaptive_avg_pool(xp: ModuleType, x: Array, *, out: tuple[int, ...]) -> Array:
    """Mean of each part of `x` (N, C, *size) that is cut as evenly as it goes into `out` parts."""
    for axis, count in enumerate(out, start=2):
        means = [x[part].mean(axis=axis, keepdims=True) for part in _parts(x.shape, axis, count)]
        x = xp.concatenate(means, axis)
    return x


@primitive
@float32_inside
def adaptive_avg_pool_backward(xp: ModuleType, dy: Array, *, size: tuple[int, ...]) -> Array:
    """Spread each part's cotangent evenly over it."""
    for axis, length in enumerate(size, start=2):
        shape = (*dy.shape[:axis], length, *dy.shape[axis + 1 :])
        dx = xp.zeros(shape, dy.dtype)
        for i, part in enumerate(_parts(shape, axis, dy.shape[axis])):
            one = (*[slice(None)] * axis, slice(i, i + 1))
            dx[part] += dy[one] / (part[axis].stop - part[axis].start)
        dy = dx
    return dy


def _parts(shape: Sequence[int], axis: int, count: int) -> list[tuple[slice, ...]]:
    """Indices of `count` parts of one axis, equally long or overlapping by one where they must."""
    n = shape[axis]
    bounds = [(i * n // count, -(-(i + 1) * n // count)) for i in range(count)]
    return [(*[slice(None)] * axis, slice(start, stop)) for start, stop in bounds]


adaptive_avg_pool.defvjp(x=lambda g, x_shape: adaptive_avg_pool_backward(g, x_shape[2:]))
adaptive_avg_pool_backward.defvjp(dy=lambda g, dy_shape: adaptive_avg_pool(g, dy_shape[2:]))


# --- functions ----------------------------------------------------------------------------------


def max_pool1d(
    x: Tensor,
    kernel_size: int | Sequence[int],
    stride: int | Sequence[int] | None = None,
    padding: int | Sequence[int] = 0,
    dilation: int | Sequence[int] = 1,
) -> Tensor:
    """Largest element of windows over `x` (N, C, L); see `max_pool2d`."""
    return max_pool(x, window=_window("max_pool1d", 1, x, kernel_size, stride, padding, dilation))


def max_pool2d(
    x: Tensor,
    kernel_size: int | Sequence[int],
    stride: int | Sequence[int] | None = None,
    padding: int | Sequence[int] = 0,
    dilation: int | Sequence[int] = 1,
) -> Tensor:
    """Largest element of windows over images.

    Parameters
    ----------
    x
        Shape (N, C, H, W).
    kernel_size
        Height and width of the window: one number, or one an axis (so the others too).
    stride
        Distance of windows (default: `kernel_size`).
    padding
        Rows and columns of -inf on each side; at most half the window.
    dilation
        Distance of the elements in a window.

    Returns
    -------
    Tensor, shape (N, C, OH, OW)
        With OH = ⌊(H + 2·padding − dilation·(KH − 1) − 1) / stride⌋ + 1. The gradient of a window
        goes to its first largest element.
    """
    return max_pool(x, window=_window("max_pool2d", 2, x, kernel_size, stride, padding, dilation))


def avg_pool1d(
    x: Tensor,
    kernel_size: int | Sequence[int],
    stride: int | Sequence[int] | None = None,
    padding: int | Sequence[int] = 0,
    count_include_pad: bool = True,
) -> Tensor:
    """Mean of windows over `x` (N, C, L); see `avg_pool2d`."""
    window = _window("avg_pool1d", 1, x, kernel_size, stride, padding, 1)
    return avg_pool(x, window=window, count_include_pad=count_include_pad)


def avg_pool2d(
    x: Tensor,
    kernel_size: int | Sequence[int],
    stride: int | Sequence[int] | None = None,
    padding: int | Sequence[int] = 0,
    count_include_pad: bool = True,
) -> Tensor:
    """Mean of windows over images (N, C, H, W).

    Parameters
    ----------
    x, kernel_size, stride, padding
        As in `max_pool2d`, the padding being zeros.
    count_include_pad
        Whether the zeros count; if not, a mean is over the elements inside the image only.
    """
    window = _window("avg_pool2d", 2, x, kernel_size, stride, padding, 1)
    return avg_pool(x, window=window, count_include_pad=count_include_pad)


def _window(
    op: str,
    axes: int,
    x: Tensor,
    kernel_size: int | Sequence[int],
    stride: int | Sequence[int] | None,
    padding: int | Sequence[int],
    dilation: int | Sequence[int],
) -> Window:
    _check_axes(op, axes, x)
    kernel = per_axis(kernel_size, axes, "kernel_size", op)
    stride = kernel if stride is None else per_axis(stride, axes, "stride", op)
    padding = per_axis(padding, axes, "padding", op, least=0)
    dilation = per_axis(dilation, axes, "dilation", op)
    if any(2 * p > d * (k - 1) + 1 for p, k, d in zip(padding, kernel, dilation, strict=True)):
        raise ValueError(f"{op}: padding {padding} is more than half of the window {kernel}")
    return Window(kernel, stride, padding, dilation)


def adaptive_avg_pool1d(x: Tensor, output_size: int | Sequence[int]) -> Tensor:
    """Mean of `output_size` parts of each row of `x` (N, C, L); see `adaptive_avg_pool2d`."""
    return _adaptive_avg("adaptive_avg_pool1d", 1, x, output_size)


def adaptive_avg_pool2d(x: Tensor, output_size: int | Sequence[int]) -> Tensor:
    """Means of `output_size` parts of images (N, C, H, W), whatever their size.

    Part i of n along an axis of length L reaches from ⌊i·L/n⌋ to ⌈(i + 1)·L/n⌉.
    """
    return _adaptive_avg("adaptive_avg_pool2d", 2, x, output_size)


def adaptive_max_pool1d(x: Tensor, output_size: int | Sequence[int]) -> Tensor:
    """Largest of `output_size` parts of each row of `x` (N, C, L); see `adaptive_max_pool2d`."""
    return _adaptive_max("adaptive_max_pool1d", 1, x, output_size)


def adaptive_max_pool2d(x: Tensor, output_size: int | Sequence[int]) -> Tensor:
    """Largest elements of `output_size` parts of images (N, C, H, W), cut as in the mean."""
    return _adaptive_max("adaptive_max_pool2d", 2, x, output_size)


def _adaptive_avg(op: str, axes: int, x: Tensor, output_size: int | Sequence[int]) -> Tensor:
    _check_axes(op, axes, x)
    out = per_axis(output_size, axes, "output_size", op)
    window = _even_window(x.shape[2:], out)
    if window is None:
        return adaptive_avg_pool(x, out)
    return avg_pool(x, window=window, count_include_pad=True)


def _adaptive_max(op: str, axes: int, x: Tensor, output_size: int | Sequence[int]) -> Tensor:
    _check_axes(op, axes, x)
    out = per_axis(output_size, axes, "output_size", op)
    window = _even_window(x.shape[2:], out)
    if window is not None:
        return max_pool(x, window=window)
    for axis, count in enumerate(out, start=2):
        parts = [basic_getitem(x, parts=part) for part in _parts(x.shape, axis, count)]
        x = concat([max(part, axis=axis, keepdims=True) for part in parts], axis)
    return x


def _even_window(size: Sequence[int], out: Sequence[int]) -> Window | None:
    """The window that cuts every axis into equal parts, if there is one."""
    if any(n % o for n, o in zip(size, out, strict=True)):
        return None
    kernel = tuple(n // o for n, o in zip(size, out, strict=True))
    return Window(kernel, kernel, (0,) * len(kernel), (1,) * len(kernel))


def _check_axes(op: str, axes: int, x: Tensor) -> None:
    if len(x.shape) != axes + 2 or 0 in x.shape[2:]:
        raise ValueError(f"{op}: x of shape {x.shape} is not (N, C, {'H, W' if axes > 1 else 'L'})")
