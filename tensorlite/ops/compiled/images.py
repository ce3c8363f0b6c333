"""Convolution and pooling of images (N, C, H, W) and signals (N, C, L), which count as H = 1."""

from __future__ import annotations

import functools
import math
from typing import Any

from tensorlite.backend import Array
from tensorlite.ops import pool
from tensorlite.ops.compiled.arrays import packed, pair, plain, widened_on_host
from tensorlite.ops.compiled.convolution import convolve, correlate, fits, spread
from tensorlite.ops.conv import (
    Geometry,
    check_operands,
    convolution,
    convolution_transpose,
    convolution_weight,
)

MOST_PLACES = 1 << 30  # in an image: kernels count them in 32 bits, which padding must fit into too


def _too_large(*sizes: tuple[int, ...]) -> bool:
    """Whether an image of one of these sizes has too many places."""
    return any(math.prod(size) > MOST_PLACES for size in sizes)


def _arguments(
    x_shape: tuple[int, ...], kernel: tuple[int, ...], filters: int, geometry: Geometry
) -> tuple[int, ...]:
    """The numbers that convolution kernels take, from the image's shape to the windows'."""
    n, channels, *size = x_shape
    groups = geometry.groups
    out = geometry.output_size(size, kernel)
    return (
        *(n, groups, channels // groups, *pair(size, 1), filters // groups),
        *pair(kernel, 1),
        *pair(geometry.stride, 1),
        *pair(geometry.padding, 0),
        *pair(geometry.dilation, 1),
        *pair(out, 1),
    )


def _fits(k: Any, ndim: int, *arrays: Any) -> list | None:
    """Arrays for a convolution; on the CPU over one axis or two, of float32 and float64."""
    if k.on_host and (ndim not in (3, 4) or arrays[0].dtype.char not in "fd"):
        return None
    return packed(*arrays)


@convolution.kernel
@widened_on_host()
def _convolution(
    k: Any, x: Array, weight: Array, bias: Array | None = None, *, geometry: Geometry
) -> Any:
    arrays = _fits(k, x.ndim, x, weight, bias)
    if arrays is None or _too_large(x.shape[2:]):
        return NotImplemented
    check_operands(x, weight, bias, geometry.groups)
    filters, _, *kernel = weight.shape
    out = geometry.output_size(x.shape[2:], kernel)
    if not k.on_host:
        x, weight, bias = arrays
        return convolve(k, x, weight, bias, geometry) if fits(x, out, geometry) else NotImplemented
    y = k.empty((x.shape[0], filters, *out), x.dtype)
    k.conv2d(*arrays, y, *_arguments(x.shape, tuple(kernel), filters, geometry))
    return y


@convolution_transpose.kernel
@widened_on_host()
def _convolution_transpose(
    k: Any, x: Array, weight: Array, *, size: tuple[int, ...], geometry: Geometry
) -> Any:
    arrays = _fits(k, x.ndim, x, weight)
    if arrays is None or x.ndim != weight.ndim or x.shape[1] != weight.shape[0] or _too_large(size):
        return NotImplemented
    if x.shape[1] % geometry.groups:
        return NotImplemented
    kernel = weight.shape[2:]
    if geometry.output_size(size, kernel) != x.shape[2:]:
        return NotImplemented
    shape = (x.shape[0], weight.shape[1] * geometry.groups, *size)
    if not k.on_host:
        x, weight = arrays
        return spread(k, x, weight, shape, geometry) if fits(x, size, geometry) else NotImplemented
    image = k.empty(shape, x.dtype)
    k.conv2d_input_gradient(*arrays, image, *_arguments(shape, kernel, x.shape[1], geometry))
    return image


@convolution_weight.kernel
@widened_on_host()
def _convolution_weight(
    k: Any, d: Array, x: Array, *, kernel: tuple[int, ...], geometry: Geometry
) -> Any:
    arrays = _fits(k, x.ndim, d, x)
    if arrays is None or _too_large(x.shape[2:]):
        return NotImplemented
    if not k.on_host:
        if not fits(x, d.shape[2:], geometry):
            return NotImplemented
        d, x = arrays
        return correlate(k, d, x, kernel, geometry)
    filters = d.shape[1]
    dweight = k.empty((filters, x.shape[1] // geometry.groups, *kernel), x.dtype)
    arguments = _arguments(x.shape, tuple(kernel), filters, geometry)
    k.conv2d_weight_gradient(*arrays, dweight, None, *arguments)
    return dweight


# --- pooling --------------------------------------------------------------------------------------


def _planes(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Number of planes, and their height and width."""
    n, channels, *size = shape
    return (n * channels, *pair(size, 1))


@functools.lru_cache(maxsize=256)
def _window(window: pool.Window, with_dilation: bool) -> tuple[int, ...]:
    numbers = (*pair(window.kernel, 1), *pair(window.stride, 1), *pair(window.padding, 0))
    return (*numbers, *pair(window.dilation, 1)) if with_dilation else numbers


def _unfit(ndim: int, window: pool.Window, size: tuple[int, ...]) -> bool:
    """Whether images of `size` are none, too large, or partly missed by the windows."""
    return ndim not in (3, 4) or _too_large(size) or _misses(window, size)


def _misses(window: pool.Window, size: tuple[int, ...]) -> bool:
    """Whether a dilated window lies in the padding alone: the kernels want a place to begin."""
    if set(window.dilation) == {1}:
        return False
    out = window.output_size(size)
    numbers = window[:4]
    axes = zip(size, out, *numbers, strict=True)
    return any(
        dilation > 1
        and any(
            all(not 0 <= i * stride - pad + tap * dilation < n for tap in range(kernel))
            for i in range(windows)
        )
        for n, windows, kernel, stride, pad, dilation in axes
    )


@pool.max_pool.kernel
def _max_pool(k: Any, x: Array, *, window: pool.Window, save: bool) -> Any:
    arrays = packed(x)
    if arrays is None or _unfit(x.ndim, window, x.shape[2:]):
        return NotImplemented
    out = window.output_size(x.shape[2:])
    y = k.empty((*x.shape[:2], *out), x.dtype)
    index = k.empty(y.shape, "int32") if save else None
    k.max_pool2d(*arrays, y, index, *_planes(x.shape), *_window(window, True), *pair(out, 1))
    return y, index


@pool.max_pool_backward.kernel
def _max_pool_backward(
    k: Any, dy: Array, index: Array, *, size: tuple[int, ...], window: pool.Window
) -> Any:
    arrays = packed(dy)
    if arrays is None or _unfit(dy.ndim, window, size):
        return NotImplemented
    dx = k.empty((*dy.shape[:2], *size), dy.dtype)
    out = pair(dy.shape[2:], 1)
    index = index if plain(index) else index.copy()
    k.max_pool2d_backward(*arrays, index, dx, *_planes(dx.shape), *_window(window, True), *out)
    return dx


@pool.avg_pool.kernel
def _avg_pool(
    k: Any,
    x: Array,
    *,
    window: pool.Window,
    count_include_pad: bool,
    divisor: int | None = None,
) -> Any:
    arrays = packed(x)
    if arrays is None or divisor is not None:
        return NotImplemented
    if _unfit(x.ndim, window, x.shape[2:]) or set(window.dilation) != {1}:
        return NotImplemented
    out = window.output_size(x.shape[2:])
    y = k.empty((*x.shape[:2], *out), x.dtype)
    numbers = (*_planes(x.shape), *_window(window, False))
    k.avg_pool2d(*arrays, y, *numbers, count_include_pad, *pair(out, 1))
    return y


@pool.avg_pool_backward.kernel
def _avg_pool_backward(
    k: Any,
    dy: Array,
    *,
    size: tuple[int, ...],
    window: pool.Window,
    count_include_pad: bool,
    divisor: int | None = None,
) -> Any:
    arrays = packed(dy)
    if arrays is None or divisor is not None:
        return NotImplemented
    if _unfit(dy.ndim, window, size) or set(window.dilation) != {1}:
        return NotImplemented
    dx = k.empty((*dy.shape[:2], *size), dy.dtype)
    numbers = (*_planes(dx.shape), *_window(window, False))
    k.avg_pool2d_backward(*arrays, dx, *numbers, count_include_pad, *pair(dy.shape[2:], 1))
    return dx


def _too_long(k: Any, *sizes: tuple[int, ...]) -> bool:
    """Whether an adaptive pooling has more places, or longer axes, than 32 bits allow."""
    return _too_large(*sizes) or (not k.on_host and max(map(max, sizes)) >= 1 << 16)


@pool.adaptive_avg_pool.kernel
def _adaptive_avg_pool(k: Any, x: Array, *, out: tuple[int, ...]) -> Any:
    arrays = packed(x)
    if arrays is None or x.ndim not in (3, 4) or _too_long(k, x.shape[2:], out):
        return NotImplemented
    y = k.empty((*x.shape[:2], *out), x.dtype)
    k.adaptive_avg_pool2d(*arrays, y, *_planes(x.shape), *pair(out, 1))
    return y


@pool.adaptive_avg_pool_backward.kernel
def _adaptive_avg_pool_backward(k: Any, dy: Array, *, size: tuple[int, ...]) -> Any:
    arrays = packed(dy)
    if arrays is None or dy.ndim not in (3, 4) or _too_long(k, dy.shape[2:], size):
        return NotImplemented
    dx = k.empty((*dy.shape[:2], *size), dy.dtype)
    k.adaptive_avg_pool2d_backward(*arrays, dx, *_planes(dx.shape), *pair(dy.shape[2:], 1))
    return dx
