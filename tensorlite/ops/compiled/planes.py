"""Arrays (N, C, …): batch norm, and sums over all but the channels."""

from __future__ import annotations

import math
from typing import Any

from tensorlite.backend import Array
from tensorlite.ops.channel_norm import batch_norm_backward, batch_norm_planes
from tensorlite.ops.channels import channel_sum
from tensorlite.ops.compiled.arrays import accumulator, packed, plain


def _planes(x: Array) -> tuple[int, int, int]:
    """Images, channels, and the elements of one channel of one image."""
    return *x.shape[:2], math.prod(x.shape[2:])


@batch_norm_planes.kernel
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
    n, channels, size = _planes(x)
    wide = accumulator(x.dtype)
    means, squares = x, None  # where a plane is a number, that is its mean
    if size > 1:
        means, squares = (k.empty((n, channels), wide) for _ in range(2))
        k.plane_moments(x, means, squares, n * channels, size)
    center, variance = (k.empty((channels,), wide) for _ in range(2))
    k.channel_moments(means, squares, center, variance, n, channels, size)
    rstd = (variance + eps) ** -0.5
    y = k.empty(x.shape, x.dtype)
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
    n, channels, size = _planes(x)
    by_plane = k.empty((2, n, channels), center.dtype)
    k.batch_norm_sums(dy, x, *statistics, *by_plane, n, channels, size)
    totals = k.empty((2, channels), center.dtype)
    k.column_total(by_plane, totals, 2, n, channels)
    dbias, dweight = totals
    dx = k.empty(x.shape, x.dtype)
    k.batch_norm_backward(dy, x, *statistics, weight, dweight, dbias, dx, n, channels, size)
    return dx, dweight, dbias


@channel_sum.kernel
def _channel_sum(k: Any, x: Array) -> Any:
    n, channels, size = _planes(x)
    parts = k.parts(n)
    if size == 1 and parts == n and x.dtype.char in "fd" and plain(x) and x.size:
        partial = x  # few rows: as many as there would be partial sums
    elif (arrays := packed(x)) is None:
        return NotImplemented
    elif size == 1:
        partial = k.empty((parts, channels), accumulator(x.dtype))
        k.column_sum(*arrays, partial, n, channels, parts)
    elif x.dtype.char in "fd":
        parts = n
        partial = k.empty((n, channels), x.dtype)
        k.row_sum(*arrays, partial, n * channels, size, 1.0)
    else:
        return NotImplemented
    total = k.empty((channels,), x.dtype)
    k.column_total(partial, total, 1, parts, channels)
    return total
