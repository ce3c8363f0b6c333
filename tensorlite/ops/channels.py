"""Arrays (N, C, …): sums, scales and shifts for each channel, the second axis."""

from __future__ import annotations

from types import ModuleType
from typing import Any

from tensorlite.backend import Array, array_backend
from tensorlite.backend.totals import total
from tensorlite.ops.compiled.arrays import packed, plane_sizes
from tensorlite.ops.fused import float32_inside
from tensorlite.ops.shape import broadcast_to
from tensorlite.primitive import primitive


def per_channel(values: Any, ndim: int) -> Any:
    """Reshape (C,) to broadcast along the second of `ndim` axes."""
    return values.reshape((values.shape[0],) + (1,) * (ndim - 2))


@primitive
@float32_inside
def channel_sum(xp: ModuleType, x: Array) -> Array:
    """Sum (N, C, …) over all axes but the second: the gradient of a bias."""
    return total(xp, x, (0, *range(2, x.ndim)))


channel_sum.defvjp(x=lambda g, x_shape: broadcast_to(per_channel(g, len(x_shape)), x_shape))


@channel_sum.kernel
def _channel_sum(k: Any, x: Array) -> Any:
    n, channels, size = plane_sizes(x)
    if size == 1 and x.size:
        return array_backend((x,)).column_sums(x.reshape(n, channels))
    if x.dtype.char not in "fd" or (arrays := packed(x)) is None:
        return NotImplemented
    partial = k.empty((n, channels), x.dtype)
    k.row_sum(*arrays, partial, n * channels, size, 1.0)
    sums = k.empty((channels,), x.dtype)
    k.column_total(partial, sums, 1, n, channels)
    return sums


@primitive
@float32_inside
def channel_affine(
    xp: ModuleType, x: Array, scale: Array | None = None, shift: Array | None = None
) -> Array:
    """`x` · `scale` + `shift` with a scale and a shift (C,) for each channel of `x` (N, C, …)."""
    y = x if scale is None else x * per_channel(scale, x.ndim)
    return y if shift is None else y + per_channel(shift, x.ndim)


channel_affine.defvjp(
    x=lambda g, scale, x_shape: g if scale is None else g * per_channel(scale, len(x_shape)),
    scale=lambda g, x: channel_sum(g * x),
    shift=lambda g: channel_sum(g),
)
