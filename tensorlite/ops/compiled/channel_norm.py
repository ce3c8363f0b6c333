"""Arrays (N, C, …): batch norm."""

from __future__ import annotations

from typing import Any

from tensorlite.backend import Array
from tensorlite.ops.channel_norm import batch_norm_backward, batch_norm_channels
from tensorlite.ops.compiled.arrays import kernel_sum_dtype, packed, plane_sizes


@batch_norm_channels.kernel
def _batch_norm(
    k: Any,
    x: Array,
    weight: Array | None = None,
    bias: Array | None = None,
    *,
    eps: float,
    save: bool,
) -> Any:
    arrays = packed(x, weight, bias)
    if arrays is None:
        return NotImplemented
    x, *affine = arrays
    n, channels, size = plane_sizes(x)
    wide = kernel_sum_dtype(x.dtype)
    planes, means, squares = n, x, None  # where a plane is a number, that is its mean
    if size > 1:
        means, squares = (k.empty((n, channels), wide) for _ in range(2))
        k.plane_moments(x, means, squares, n * channels, size)
    elif not k.on_host:
        planes = k.parts(n)
        means, squares = (k.empty((planes, channels), wide) for _ in range(2))
        k.column_moments(x, means, squares, n, channels, planes)
    center, variance, rstd = (k.empty((channels,), wide) for _ in range(3))
    found = (center, variance, rstd)
    k.channel_moments(means, squares, *found, planes, channels, n * size, eps)
    y = k.empty(x.shape, x.dtype)
    if size == 1 and not k.on_host:
        k.batch_norm_rows(x, center, rstd, *affine, y, n, channels, planes)
    else:
        k.batch_norm(x, center, rstd, *affine, y, n, channels, size)
    return (y, center, variance), center, rstd


@batch_norm_backward.kernel
def _batch_norm_backward(
    k: Any, dy: Array, x: Array, weight: Array | None, center: Array, rstd: Array, *, eps: float
) -> Any:
    arrays, statistics = packed(dy, x, weight), packed(center, rstd)
    if arrays is None or statistics is None or dy.shape != x.shape:
        return NotImplemented
    dy, x, weight = arrays
    n, channels, size = plane_sizes(x)
    in_rows = size == 1 and not k.on_host
    parts = k.parts(n) if in_rows else n
    partial = k.empty((2, parts, channels), center.dtype)
    if in_rows:
        k.batch_norm_row_sums(dy, x, *statistics, *partial, n, channels, parts)
    else:
        k.batch_norm_sums(dy, x, *statistics, *partial, n, channels, size)
    totals = k.empty((2, channels), center.dtype)
    k.column_total(partial, totals, 2, parts, channels)
    dbias, dweight = totals
    dx = k.empty(x.shape, x.dtype)
    if in_rows:
        every = (dy, x, *statistics, weight, dweight, dbias, dx)
        k.batch_norm_rows_backward(*every, n, channels, parts)
    else:
        k.batch_norm_backward(dy, x, *statistics, weight, dweight, dbias, dx, n, channels, size)
    return dx, dweight, dbias
