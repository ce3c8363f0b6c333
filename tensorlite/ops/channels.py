"""Arrays (N, C, …): sums, scales and shifts for each channel, the second axis."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

from tensorlite.backend import Array, array_backend
from tensorlite.backend.dtypes import is_short
from tensorlite.backend.totals import total
from tensorlite.ops.compiled.arrays import (
    kernel_sum_dtype,
    packed,
    plain,
    plane_sizes,
    room,
)
from tensorlite.ops.fused import float32_inside, widened
from tensorlite.ops.rectifiers import relu_backward
from tensorlite.ops.shape import broadcast_to
from tensorlite.primitive import primitive


def per_channel(values: Any, ndim: int) -> Any:
    """Reshape (C,) to broadcast along the second of `ndim` axes."""
    return values.reshape((values.shape[0],) + (1,) * (ndim - 2))


@primitive
@float32_inside
def channel_sum(xp: ModuleType, x: Array, *, into: Array | None = None) -> Array:
    """Sum (N, C, …) over all axes but the second: the gradient of a bias.

    In the array `into` if that is possible: unrounded, if that is float32 and `x` short.
    """
    return total(xp, x, (0, *range(2, x.ndim)))


channel_sum.defvjp(x=lambda g, x_shape: broadcast_to(per_channel(g, len(x_shape)), x_shape))


@channel_sum.kernel
def _channel_sum(k: Any, x: Array, *, into: Array | None = None) -> Any:
    n, channels, size = plane_sizes(x)
    short = is_short(x.dtype) and not k.on_host
    if not x.size or not (short or x.dtype.char in "fd"):
        return _of_rows(x, n, channels) if x.size and size == 1 else NotImplemented
    wide = kernel_sum_dtype(x.dtype)
    sums = room(k, (channels,), x.dtype, into, None if k.on_host else wide)
    if size == 1:
        return _of_rows(x, n, channels, sums)
    arrays = packed(x)
    if arrays is None:
        return NotImplemented
    partial = k.empty((n, channels), wide)
    if short:
        k.row_sum_wide(*arrays, partial, n * channels, size)
    else:
        k.row_sum(*arrays, partial, n * channels, size, 1.0)
    k.column_total(partial, sums, 1, n, channels)
    return sums


def _of_rows(x: Array, n: int, channels: int, out: Array | None = None) -> Array:
    return array_backend((x,)).column_sums(x.reshape(n, channels), out)


@primitive
def scale_and_shift_gradients(xp: ModuleType, dy: Array, x: Array) -> tuple[Array, Array]:
    """Sums of `dy` · `x` and of `dy` (N, C, …) over all axes but the second, in one pass.

    Those of short floats are float32.
    """
    dy, x = widened(dy), widened(x)
    axes = (0, *range(2, x.ndim))
    return total(xp, dy * x, axes), total(xp, dy, axes)


@scale_and_shift_gradients.defvjp_composite
def _scale_and_shift_gradients(dy: Any, x: Any) -> tuple[Any, Any]:
    return channel_sum(dy * x), channel_sum(dy)


@primitive
@float32_inside
def channel_affine(
    xp: ModuleType, x: Array, scale: Array | None = None, shift: Array | None = None
) -> Array:
    """`x` · `scale` + `shift` with a scale and a shift (C,) for each channel of `x` (N, C, …)."""
    y = x if scale is None else x * per_channel(scale, x.ndim)
    return y if shift is None else y + per_channel(shift, x.ndim)


channel_affine.defvjp(
    x=lambda g, scale: _x_gradient(g, scale),
    scale=lambda g, x: scale_and_shift_gradients(g, x)[0],
    shift=lambda g: channel_sum(g),
)


@channel_affine.defvjp_group("x", "scale", "shift")
def _gradients(g: Any, x: Any, scale: Any) -> tuple:
    return _x_gradient(g, scale), *scale_and_shift_gradients(g, x)


@channel_affine.defvjp_group("scale", "shift")
def _parameter_gradients(g: Any, x: Any) -> tuple:
    return scale_and_shift_gradients(g, x)


@primitive
@float32_inside
def channel_affine_relu(
    xp: ModuleType, x: Array, scale: Array | None = None, shift: Array | None = None
) -> Array:
    """`relu` of `channel_affine` in one pass; `nn.Sequential` uses it."""
    return xp.maximum(channel_affine.primitive.reference(xp, x, scale, shift), 0)


channel_affine_relu.defvjp(
    x=lambda g, y, scale: _x_gradient(relu_backward(g, y), scale),
    scale=lambda g, y, x: scale_and_shift_gradients(relu_backward(g, y), x)[0],
    shift=lambda g, y: channel_sum(relu_backward(g, y)),
)


@channel_affine_relu.defvjp_group("x", "scale", "shift")
def _gradients_through_relu(g: Any, y: Any, x: Any, scale: Any) -> tuple:
    g = relu_backward(g, y)
    return _x_gradient(g, scale), *scale_and_shift_gradients(g, x)


def _x_gradient(g: Any, scale: Any) -> Any:
    return g if scale is None else channel_affine(g, scale)


# --- kernels ------------------------------------------------------------------------------------


def by_channel(x: Array, *values: Any) -> list | None:
    """Numbers of channels in the dtype that kernels compute in for `x`; None if that is not one.

    One that was left out is None, and stays None.
    """
    wide = kernel_sum_dtype(x.dtype)
    ready = []
    for value in values:
        if value is not None:
            value = value if value.dtype == wide else widened(value)
            if value.dtype != wide or value.__class__ is not x.__class__:
                return None
            value = value if plain(value) else array_backend((value,)).copy(value)
        ready.append(value)
    return ready


def normalize_channels(k: Any, x: Array, numbers: list, relu: bool) -> Array:
    """(`x` - mean) · rstd · weight + bias by kernel, with `numbers` for these four or None."""
    n, channels, size = plane_sizes(x)
    y = k.empty(x.shape, x.dtype)
    if size == 1 and not k.on_host:
        k.batch_norm_rows(x, *numbers, relu, y, n, channels, k.parts(n))
    else:
        k.batch_norm(x, *numbers, relu, y, n, channels, size)
    return y


def gradient_sums(k: Any, g: Array, x: Array, numbers: list, relu: bool) -> Array:
    """Gradients of the bias and the weight, (2, C), that `normalize_channels` took, by kernel."""
    n, channels, size = plane_sizes(x)
    in_rows = size == 1 and not k.on_host
    parts = k.parts(n) if in_rows else n
    wide = kernel_sum_dtype(x.dtype)
    partial, totals = k.empty((2, parts, channels), wide), k.empty((2, channels), wide)
    if in_rows:
        k.batch_norm_row_sums(g, x, *numbers, relu, *partial, n, channels, parts)
    else:
        k.batch_norm_sums(g, x, *numbers, relu, *partial, n, channels, size)
    k.column_total(partial, totals, 2, parts, channels)
    return totals


@scale_and_shift_gradients.kernel
def _sums(k: Any, dy: Array, x: Array) -> Any:
    arrays = packed(dy, x)
    if arrays is None or dy.shape != x.shape:
        return NotImplemented
    dy, x = arrays
    shift, scale = gradient_sums(k, dy, x, [None] * 4, relu=False)
    return scale, shift


def _affine_kernel(relu: bool) -> Callable:
    def affine(k: Any, x: Array, scale: Array | None = None, shift: Array | None = None) -> Any:
        arrays, numbers = packed(x), by_channel(x, None, None, scale, shift)
        if arrays is None or numbers is None:
            return NotImplemented
        return normalize_channels(k, arrays[0], numbers, relu)

    return affine


channel_affine.kernel(_affine_kernel(relu=False))
channel_affine_relu.kernel(_affine_kernel(relu=True))
