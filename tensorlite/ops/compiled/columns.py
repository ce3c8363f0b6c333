"""Convolution on CUDA: windows as the columns of a matrix, and products by cuBLASLt.

N images, C channels in G groups, O filters, K elements and P places of a window.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from tensorlite.backend import Array
from tensorlite.ops.channels import per_channel
from tensorlite.ops.compiled.arrays import pair
from tensorlite.ops.conv import Geometry
from tensorlite.ops.fused import widened
from tensorlite.ops.linalg import matmul


def convolve(k: Any, x: Array, weight: Array, bias: Array | None, geometry: Geometry) -> Array:
    """`convolution` of arrays without gaps."""
    kernel = weight.shape[2:]
    columns = _columns(k, x, kernel, geometry)
    y = matmul(_filters(weight, geometry.groups), columns)  # (N, G, O/G, P)
    y = y.reshape(len(x), len(weight), *geometry.output_size(x.shape[2:], kernel))
    if bias is not None:
        y += per_channel(bias, y.ndim)
    return y


def spread(k: Any, d: Array, weight: Array, shape: tuple[int, ...], geometry: Geometry) -> Array:
    """`convolution_transpose` of arrays without gaps, to images of `shape`."""
    columns = matmul(_filters(weight, geometry.groups).mT, _filters_out(d, geometry.groups))
    if _is_plain(weight.shape[2:], geometry):
        return columns.reshape(shape)
    image = k.empty(shape, d.dtype)
    k.col2im(columns, image, *_numbers(shape, weight.shape[2:], geometry))
    return image


def correlate(k: Any, d: Array, x: Array, kernel: Sequence[int], geometry: Geometry) -> Array:
    """`convolution_weight` of arrays without gaps."""
    columns = _columns(k, x, kernel, geometry)
    filters = _filters_out(d, geometry.groups)
    shape = (d.shape[1], x.shape[1] // geometry.groups, *kernel)
    # One gradient an image, of so many at a time that they need no more memory than the columns.
    most = max(columns.size // math.prod(shape), 1)
    total: Any = None
    for start in range(0, len(x), most):
        images = slice(start, start + most)
        part = _summed(k, matmul(filters[images], columns[images].mT), shape)
        total = part if total is None else total + part
    return total.astype(d.dtype, copy=False)


def _summed(k: Any, each: Array, shape: tuple[int, ...]) -> Array:
    """The sum of weight gradients (N, G, O/G, C/G·K) over the images, in float32 or wider."""
    if each.dtype.char not in "fd":
        return widened(each).sum(axis=0).reshape(shape)
    total = k.empty(shape, each.dtype)
    k.column_total(each, total, 1, len(each), total.size)
    return total


def _columns(k: Any, x: Array, kernel: Sequence[int], geometry: Geometry) -> Array:
    """Every window of `x` as a column, (N, G, C/G·K, P)."""
    n, channels, *size = x.shape
    groups = geometry.groups
    places = math.prod(geometry.output_size(size, kernel))
    shape = (n, groups, channels // groups * math.prod(kernel), places)
    if _is_plain(kernel, geometry):
        return x.reshape(shape)
    columns = k.empty(shape, x.dtype)
    k.im2col(x, columns, *_numbers(x.shape, kernel, geometry))
    return columns


def _is_plain(kernel: Sequence[int], geometry: Geometry) -> bool:
    """Whether each window is one element, and each element a window."""
    return {*kernel, *geometry.stride} == {1} and set(geometry.padding) == {0}


def _numbers(shape: tuple[int, ...], kernel: Sequence[int], geometry: Geometry) -> tuple[int, ...]:
    """What `im2col` and `col2im` want to know about images of `shape`."""
    n, channels, *size = shape
    out = geometry.output_size(size, kernel)
    return (
        *(n, channels, *pair(size, 1), *pair(kernel, 1)),
        *pair(geometry.stride, 1),
        *pair(geometry.padding, 0),
        *pair(geometry.dilation, 1),
        *pair(out, 1),
    )


def _filters(weight: Array, groups: int) -> Array:
    """Filters as matrices (G, O/G, C/G·K)."""
    filters = len(weight)
    return weight.reshape(groups, filters // groups, weight.size // filters)


def _filters_out(d: Array, groups: int) -> Array:
    """What filters gave as matrices (N, G, O/G, P)."""
    n, filters, *out = d.shape
    return d.reshape(n, groups, filters // groups, math.prod(out))
