"""Pooling of (N, C, …) over any number of spatial axes: the primitives behind `pooling`."""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator, Sequence
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np

from tensorlite.backend import Array
from tensorlite.ops.compiled.arrays import packed, plain, three
from tensorlite.ops.fused import float32_inside
from tensorlite.ops.index import take_along_axis, take_along_axis_backward
from tensorlite.ops.windows import enlarged, inside, output_size, positions, taps
from tensorlite.primitive import primitive


class Window(NamedTuple):
    """The window that slides over the spatial axes."""

    kernel: tuple[int, ...]
    stride: tuple[int, ...]
    padding: tuple[int, ...]
    dilation: tuple[int, ...]
    ceil: bool = False  # whether a last window may reach over the end

    def output_size(self, size: Sequence[int]) -> tuple[int, ...]:
        """How many windows fit on each axis."""
        return output_size(size, *self)

    def taps(self, out: Sequence[int]) -> Iterator[tuple[slice, ...]]:
        """For each place in the window, the elements of the padded axes that lie there."""
        return taps(self.kernel, out, self.stride, self.dilation)

    def after(self, size: Sequence[int], out: Sequence[int]) -> tuple[int, ...]:
        """Padding behind each axis: enough for windows that reach over the end."""
        axes = zip(size, out, *self[:4], strict=True)
        return tuple(max(p, (o - 1) * s + d * (k - 1) + 1 - n - p) for n, o, k, s, p, d in axes)


# --- what kernels take ---------------------------------------------------------------------------

MOST_PLACES = 1 << 30  # in an image: kernels count them in 32 bits, which padding must fit into too


@functools.lru_cache(maxsize=1024)
def _plan(
    shape: tuple[int, ...], window: Window, dilated: bool
) -> tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]] | None:
    """For windows on volumes: the shape of the result, the numbers of both, those of the result.

    None where the kernels have none: more than three spatial axes, too many places, or a dilated
    window that lies in the padding alone.
    """
    n, channels, *size = shape
    if len(size) > 3 or math.prod(size) > MOST_PLACES or _misses(window, size):
        return None
    if not dilated and set(window.dilation) != {1}:
        return None
    out = window.output_size(size)
    numbers = (n * channels, *three(size), *three(window.kernel), *three(window.stride))
    numbers += three(window.padding, missing=0)
    if dilated:
        numbers += three(window.dilation)
    return (n, channels, *out), numbers, three(out)


def _misses(window: Window, size: Sequence[int]) -> bool:
    """Whether a dilated window lies in the padding alone."""
    if set(window.dilation) == {1}:
        return False
    out = window.output_size(size)
    axes = zip(size, out, *window[:4], strict=True)
    return any(
        dilation > 1
        and any(
            all(not 0 <= i * stride - pad + tap * dilation < n for tap in range(kernel))
            for i in range(windows)
        )
        for n, windows, kernel, stride, pad, dilation in axes
    )


# --- largest ------------------------------------------------------------------------------------


@primitive(aux=("index",))
def max_pool(xp: ModuleType, x: Array, *, window: Window, save: bool) -> tuple[Array, Any]:
    """The largest element of each window of `x` (N, C, *size), and where in the plane it is.

    Of equal elements it is the first; NaN counts as the largest.
    """
    size = x.shape[2:]
    out = window.output_size(size)
    lowest = np.iinfo(x.dtype).min if x.dtype.kind in "iu" else -math.inf
    padded = enlarged(xp, x, window.padding, lowest, window.after(size, out))
    first, *rest = window.taps(out)
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
    after = window.after(size, dy.shape[2:])
    lengths = [n + p + a for n, p, a in zip(size, window.padding, after, strict=True)]
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


@max_pool.kernel
def _max_pool(k: Any, x: Array, *, window: Window, save: bool) -> Any:
    plan, arrays = _plan(x.shape, window, True), packed(x)
    if plan is None or arrays is None:
        return NotImplemented
    shape, numbers, out = plan
    y = k.empty(shape, x.dtype)
    index = k.empty(shape, np.dtype(np.int32)) if save else None
    k.max_pool(*arrays, y, index, *numbers, *out)
    return y, index


@max_pool_backward.kernel
def _max_pool_backward(
    k: Any, dy: Array, index: Array, *, size: tuple[int, ...], window: Window
) -> Any:
    shape = (*dy.shape[:2], *size)
    plan, arrays = _plan(shape, window, True), packed(dy)
    if plan is None or arrays is None or plan[0] != dy.shape:
        return NotImplemented
    dx = k.empty(shape, dy.dtype)
    index = index if plain(index) else index.copy()
    k.max_pool_backward(*arrays, index, dx, *plan[1], *plan[2])
    return dx


@primitive(aux=("index",), name="max_pool")
def max_pool_indexed(
    xp: ModuleType, x: Array, *, window: Window, save: bool
) -> tuple[tuple[Array, Array], Array]:
    """`max_pool`, and where in the flattened plane each element is, as int64."""
    y, index = max_pool.primitive.forward((x,), {"window": window}, save=True)
    return (y, index[0].astype(np.int64)), index[0]


@max_pool_indexed.defvjp_joint
def _max_pool_indexed_vjp(
    g: tuple, needs: tuple, index: Any, x_shape: tuple, window: Window
) -> tuple:
    return (max_pool_backward(g[0], index, x_shape[2:], window),)


@primitive(aux=("index",))
def adaptive_max_pool(
    xp: ModuleType, x: Array, *, out: tuple[int, ...], save: bool
) -> tuple[tuple[Array, Array], Array]:
    """The largest element of each part of `x` that `adaptive_avg_pool` would average, and where.

    Of equal elements it is the first.
    """
    size = x.shape[2:]
    axes = len(out)
    places = xp.zeros((), np.int64)
    for axis, (n, count) in enumerate(zip(size, out, strict=True)):
        starts, stops = _bounds(n, count)
        longest = max((b - a for a, b in zip(starts, stops, strict=True)), default=1)
        # A shorter part repeats its last element, which then is never the first.
        here = xp.minimum(
            xp.asarray(starts, dtype=np.int64)[:, None] + xp.arange(longest),
            xp.asarray(stops, dtype=np.int64)[:, None] - 1,
        )
        shape = [1] * (2 * axes)
        shape[axis], shape[axes + axis] = here.shape
        places = places * n + here.reshape(shape)
    places = places.reshape(*out, math.prod(places.shape[axes:]))
    values = x.reshape(*x.shape[:2], math.prod(size))[..., places]
    best = values.argmax(axis=-1)[..., None]
    y = xp.take_along_axis(values, best, -1)[..., 0]
    index = xp.take_along_axis(xp.broadcast_to(places, values.shape), best, -1)[..., 0]
    return (y, index), index


@adaptive_max_pool.defvjp_joint
def _adaptive_max_pool_vjp(g: tuple, needs: tuple, index: Any, x_shape: tuple) -> tuple:
    return (to_places(g[0], index, x_shape),)


def to_places(values: Any, index: Any, shape: tuple[int, ...]) -> Any:
    """Add `values` (N, C, …) into zeros of `shape`, at the places `index` of each plane."""
    n, c, *size = shape
    flat = (n, c, math.prod(values.shape[2:]))
    plane = (n, c, math.prod(size))
    return take_along_axis_backward(values.reshape(flat), index.reshape(flat), plane, -1).reshape(
        shape
    )


@primitive(name="max_unpool")
def unpool(xp: ModuleType, x: Array, index: Array, *, size: tuple[int, ...]) -> Array:
    """Put `x` (N, C, …) into zeros (N, C, *size), at the places `index` of each plane."""
    n, c = x.shape[:2]
    planes = xp.zeros((n * c, math.prod(size)), x.dtype)
    flat = (n * c, math.prod(x.shape[2:]))
    planes[xp.arange(n * c)[:, None], index.reshape(flat)] = x.reshape(flat)
    return planes.reshape(n, c, *size)


unpool.defvjp(x=lambda g, index: _picked(g, index))


# --- average ------------------------------------------------------------------------------------


@primitive
@float32_inside
def avg_pool(
    xp: ModuleType,
    x: Array,
    *,
    window: Window,
    count_include_pad: bool,
    divisor: int | None = None,
) -> Array:
    """Mean of each window of `x` (N, C, *size); padding counts as zeros, or not at all.

    What reaches beyond the padding (see `Window.ceil`) never counts. `divisor` is what to divide
    each sum by instead of the number of elements.
    """
    size = x.shape[2:]
    out = window.output_size(size)
    padded = enlarged(xp, x, window.padding, 0.0, window.after(size, out))
    total = xp.zeros((*x.shape[:2], *out), x.dtype)
    for tap in window.taps(out):
        total += padded[(..., *tap)]
    counts = _counts(xp, size, out, window, count_include_pad, divisor).astype(x.dtype)
    if x.dtype.kind in "iu":  # cut off, as integers divide in C
        return xp.sign(total) * (xp.abs(total) // counts)
    return total / counts


@primitive
@float32_inside
def avg_pool_backward(
    xp: ModuleType,
    dy: Array,
    *,
    size: tuple[int, ...],
    window: Window,
    count_include_pad: bool,
    divisor: int | None = None,
) -> Array:
    """Spread each window's cotangent evenly over it."""
    out = dy.shape[2:]
    each = dy / _counts(xp, size, out, window, count_include_pad, divisor).astype(dy.dtype)
    dx = _padded_zeros(xp, dy, size, window)
    for tap in window.taps(out):
        dx[(..., *tap)] += each
    return dx[inside(size, window.padding)]


def _counts(
    xp: ModuleType,
    size: Sequence[int],
    out: Sequence[int],
    window: Window,
    with_padding: bool,
    divisor: int | None,
) -> Array:
    """What the sum of each window is divided by."""
    if divisor is not None:
        return xp.full((), divisor)
    if not window.ceil and (with_padding or not any(window.padding)):
        return xp.full((), math.prod(window.kernel))
    counts = xp.ones((), int)
    for n, o, k, s, p in zip(size, out, *window[:3], strict=True):
        start = xp.arange(o) * s - p
        low, high = (-p, n + p) if with_padding else (0, n)
        counts = counts[..., None] * (xp.minimum(start + k, high) - xp.maximum(start, low))
    return counts


avg_pool.defvjp(
    x=lambda g, x_shape, window, count_include_pad, divisor: avg_pool_backward(
        g, x_shape[2:], window, count_include_pad, divisor
    )
)
avg_pool_backward.defvjp(
    dy=lambda g, window, count_include_pad, divisor: avg_pool(g, window, count_include_pad, divisor)
)


@avg_pool.kernel
def _avg_pool(
    k: Any, x: Array, *, window: Window, count_include_pad: bool, divisor: int | None
) -> Any:
    plan, arrays = _plan(x.shape, window, False), packed(x)
    if plan is None or arrays is None or divisor is not None:
        return NotImplemented
    shape, numbers, out = plan
    y = k.empty(shape, x.dtype)
    k.avg_pool(*arrays, y, *numbers, count_include_pad, *out)
    return y


@avg_pool_backward.kernel
def _avg_pool_backward(
    k: Any,
    dy: Array,
    *,
    size: tuple[int, ...],
    window: Window,
    count_include_pad: bool,
    divisor: int | None,
) -> Any:
    shape = (*dy.shape[:2], *size)
    plan, arrays = _plan(shape, window, False), packed(dy)
    if plan is None or arrays is None or divisor is not None or plan[0] != dy.shape:
        return NotImplemented
    dx = k.empty(shape, dy.dtype)
    k.avg_pool_backward(*arrays, dx, *plan[1], count_include_pad, *plan[2])
    return dx


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
    before = [slice(None)] * axis
    return [
        (*before, slice(start, stop))
        for start, stop in zip(*_bounds(shape[axis], count), strict=True)
    ]


def _bounds(n: int, count: int) -> tuple[list[int], list[int]]:
    """Where `count` parts of an axis of length `n` begin and end."""
    return [i * n // count for i in range(count)], [-(-(i + 1) * n // count) for i in range(count)]


adaptive_avg_pool.defvjp(x=lambda g, x_shape: adaptive_avg_pool_backward(g, x_shape[2:]))
adaptive_avg_pool_backward.defvjp(dy=lambda g, dy_shape: adaptive_avg_pool(g, dy_shape[2:]))


@adaptive_avg_pool.kernel
def _adaptive_avg_pool(k: Any, x: Array, *, out: tuple[int, ...]) -> Any:
    arrays = packed(x)
    if arrays is None or _too_long(k, x.shape, out):
        return NotImplemented
    n, channels, *size = x.shape
    y = k.empty((n, channels, *out), x.dtype)
    k.adaptive_avg_pool(*arrays, y, n * channels, *three(size), *three(out))
    return y


@adaptive_avg_pool_backward.kernel
def _adaptive_avg_pool_backward(k: Any, dy: Array, *, size: tuple[int, ...]) -> Any:
    arrays = packed(dy)
    if arrays is None or _too_long(k, dy.shape, size):
        return NotImplemented
    n, channels, *out = dy.shape
    dx = k.empty((n, channels, *size), dy.dtype)
    k.adaptive_avg_pool_backward(*arrays, dx, n * channels, *three(size), *three(out))
    return dx


def _too_long(k: Any, shape: tuple[int, ...], size: tuple[int, ...]) -> bool:
    """Whether an adaptive pooling has more than three axes, or places, than kernels allow."""
    if len(shape) > 5 or max(math.prod(shape[2:]), math.prod(size)) > MOST_PLACES:
        return True
    return not k.on_host and max(*shape[2:], *size) >= 1 << 16
