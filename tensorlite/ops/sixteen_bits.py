"""What `autocast` runs on CUDA in the place of operations that compute in float32.

These read 16-bit floats as they come, compute in float32 and give float32, as a cast before the
operation would, without the cast and its array; gradients come back in the inputs' own dtypes. A
norm gives a copy in 16 bits beside its result, as the products behind it read that.
"""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np

from tensorlite.backend import Array, array_backend, is_array
from tensorlite.backend.dtypes import is_short
from tensorlite.ops.compiled.arrays import plain
from tensorlite.ops.fused import widened
from tensorlite.ops.losses.cross_entropy import cross_entropy_rows, cross_entropy_vjp
from tensorlite.ops.row_norm import layer_norm_rows, layer_norm_vjp, rms_norm_rows, rms_norm_vjp
from tensorlite.ops.softmax import (
    log_softmax_along,
    log_softmax_backward,
    softmax_along,
    softmax_backward,
)
from tensorlite.primitive import Primitive, is_last_axis, primitive
from tensorlite.short_copies import keep_short
from tensorlite.tensor import Tensor

_FLOAT32 = np.dtype(np.float32)


def _ready(k: Any, x: Array, *parameters: Array | None) -> list | None:
    """Arrays without gaps, where kernels take them: parameters in float32 beside a short `x`."""
    fit = is_short(x.dtype) or x.dtype == _FLOAT32
    if k.on_host or not fit or not x.size:
        return None
    if any(a is not None and a.dtype not in (_FLOAT32, np.int64) for a in parameters):
        return None
    return [a if a is None or plain(a) else array_backend((a,)).copy(a) for a in (x, *parameters)]


# --- norms ----------------------------------------------------------------------------------------


@primitive(aux=("center", "rstd"), name="layer_norm", any_float=True)
def layer_norm_of_short(
    xp: ModuleType,
    x: Array,
    weight: Array | None = None,
    bias: Array | None = None,
    *,
    eps: float,
    dtype: np.dtype,
    save: bool,
) -> tuple[tuple[Array, Array], Array, Array]:
    """`layer_norm_rows` in float32, and a copy of its result in `dtype`."""
    y, center, rstd = layer_norm_rows.primitive.reference(
        xp, *map(widened, (x, weight, bias)), eps=eps, save=save
    )
    return (y, array_backend((y,)).cast(y, dtype)), center, rstd


@layer_norm_of_short.kernel
def _layer_norm(
    k: Any,
    x: Array,
    weight: Array | None = None,
    bias: Array | None = None,
    *,
    eps: float,
    dtype: np.dtype,
    save: bool,
) -> Any:
    arrays = _ready(k, x, weight, bias)
    if arrays is None or not is_short(dtype) or x.dtype not in (_FLOAT32, dtype):
        return NotImplemented
    columns, each = x.shape[-1], (*x.shape[:-1], 1)
    y, copy = k.empty(x.shape, _FLOAT32), k.empty(x.shape, dtype)
    center, rstd = k.empty(each, _FLOAT32), k.empty(each, _FLOAT32)
    run = k.layer_norm_of_short if is_short(x.dtype) else k.layer_norm_short
    run(*arrays, y, copy, center, rstd, x.size // columns, columns, eps)
    return (y, copy), center, rstd


@primitive(aux=("rstd",), name="rms_norm", any_float=True)
def rms_norm_of_short(
    xp: ModuleType,
    x: Array,
    weight: Array | None = None,
    *,
    eps: float,
    dtype: np.dtype,
    save: bool,
) -> tuple[tuple[Array, Array], Array]:
    """`rms_norm_rows` in float32, and a copy of its result in `dtype`."""
    y, rstd = rms_norm_rows.primitive.reference(xp, widened(x), widened(weight), eps=eps, save=save)
    return (y, array_backend((y,)).cast(y, dtype)), rstd


@rms_norm_of_short.kernel
def _rms_norm(
    k: Any, x: Array, weight: Array | None = None, *, eps: float, dtype: np.dtype, save: bool
) -> Any:
    arrays = _ready(k, x, weight)
    if arrays is None or not is_short(dtype) or x.dtype not in (_FLOAT32, dtype):
        return NotImplemented
    columns = x.shape[-1]
    y, copy = k.empty(x.shape, _FLOAT32), k.empty(x.shape, dtype)
    rstd = k.empty((*x.shape[:-1], 1), _FLOAT32)
    run = k.rms_norm_of_short if is_short(x.dtype) else k.rms_norm_short
    run(*arrays, y, copy, rstd, x.size // columns, columns, eps)
    return (y, copy), rstd


def _sum_of_both(g: tuple) -> Any:
    """The cotangent of a norm's result: that of the copy belongs to it, too."""
    whole, short = g
    if whole is None or short is None:
        return short if whole is None else whole
    if isinstance(whole, Tensor):
        return whole + short
    return array_backend((whole,)).plus(whole, short)


@layer_norm_of_short.defvjp_joint
def _layer_norm_vjp(
    g: tuple,
    needs: tuple,
    x: Any,
    weight: Any,
    center: Any,
    rstd: Any,
    eps: float,
    *,
    into: tuple | None = None,
) -> tuple:
    return layer_norm_vjp(_sum_of_both(g), needs, x, weight, center, rstd, eps, into=into)


@rms_norm_of_short.defvjp_joint
def _rms_norm_vjp(
    g: tuple, needs: tuple, x: Any, weight: Any, rstd: Any, eps: float, *, into: tuple | None = None
) -> tuple:
    return rms_norm_vjp(_sum_of_both(g), needs, x, weight, rstd, eps, into=into)


@primitive(name="cast", any_float=True)
def cast_to_copy(xp: ModuleType, x: Array, copy: Array) -> Array:
    """A cast of `x` that is there already. Gradients go the way of `x`, where hooks see them."""
    return copy


cast_to_copy.defvjp(x=lambda g: g)  # the engine casts it back


def _norm(made: Callable) -> Callable:
    """The call of a norm that keeps the short copy with its result."""

    def call(*inputs: Any, dtype: np.dtype, **static: Any) -> Tensor:
        y, copy = made(*inputs, **static, dtype=dtype)
        keep_short(y, cast_to_copy(y, copy.detach()))
        return y

    return call


# --- softmax --------------------------------------------------------------------------------------


@primitive(name="softmax")
def softmax_of_short(xp: ModuleType, x: Array, *, axis: int) -> Array:
    """`softmax_along` in float32."""
    y: Array = softmax_along.primitive.reference(xp, widened(x), axis=axis)
    return y


@primitive(name="log_softmax")
def log_softmax_of_short(xp: ModuleType, x: Array, *, axis: int) -> Array:
    """`log_softmax_along` in float32."""
    y: Array = log_softmax_along.primitive.reference(xp, widened(x), axis=axis)
    return y


@softmax_of_short.kernel
def _softmax(k: Any, x: Array, *, axis: int) -> Any:
    fits = not k.on_host and is_last_axis(x, axis)
    return k.new_softmax_of_short(x) if fits else NotImplemented


@log_softmax_of_short.kernel
def _log_softmax(k: Any, x: Array, *, axis: int) -> Any:
    fits = not k.on_host and is_last_axis(x, axis)
    return k.new_log_softmax_of_short(x) if fits else NotImplemented


def _backward_to_short(name: str, g: Any, y: Any, axis: int, dtype: np.dtype) -> Any:
    """The cotangent of x in its dtype by a kernel, or NotImplemented."""
    if not is_array(g) or not is_array(y) or g.dtype != _FLOAT32 or not is_short(dtype):
        return NotImplemented
    k = array_backend((g,)).kernels
    arrays = None if k is None or not is_last_axis(y, axis) else _ready(k, g, y)
    if arrays is None:
        return NotImplemented
    dx, columns = k.empty(y.shape, dtype), y.shape[-1]
    getattr(k, name)(*arrays, dx, y.size // columns, columns)
    return dx


def _softmax_vjp(g: Any, y: Any, axis: int, x_dtype: Any) -> Any:
    dx = _backward_to_short("softmax_backward_to_short", g, y, axis, x_dtype)
    return softmax_backward(g, y, axis=axis) if dx is NotImplemented else dx


def _log_softmax_vjp(g: Any, y: Any, axis: int, x_dtype: Any) -> Any:
    dx = _backward_to_short("log_softmax_backward_to_short", g, y, axis, x_dtype)
    return log_softmax_backward(g, y, axis=axis) if dx is NotImplemented else dx


softmax_of_short.defvjp(x=_softmax_vjp)
log_softmax_of_short.defvjp(x=_log_softmax_vjp)


# --- cross-entropy --------------------------------------------------------------------------------


@primitive(name="cross_entropy")
def cross_entropy_of_short(
    xp: ModuleType,
    x: Array,
    labels: Array,
    weight: Array | None = None,
    *,
    ignore_index: int,
    label_smoothing: float,
    mean: bool,
    with_gradient: bool,
) -> Any:
    """`cross_entropy_rows` of short logits: the loss in float32.

    The gradient is bfloat16 for such logits. For float16 it is float32: before it is scaled it
    may vanish.
    """
    found = cross_entropy_rows.primitive.reference(
        xp,
        widened(x),
        labels,
        widened(weight),
        ignore_index=ignore_index,
        label_smoothing=label_smoothing,
        mean=mean,
        with_gradient=with_gradient,
    )
    if not with_gradient:
        return found
    loss, gradient = found
    return loss, array_backend((gradient,)).cast(gradient, _gradient_dtype(x.dtype))


def _gradient_dtype(dtype: np.dtype) -> np.dtype:
    return _FLOAT32 if dtype == np.float16 else dtype


@cross_entropy_of_short.kernel
def _cross_entropy(
    k: Any,
    x: Array,
    labels: Array,
    weight: Array | None = None,
    *,
    ignore_index: int,
    label_smoothing: float,
    mean: bool,
    with_gradient: bool,
) -> Any:
    arrays = _ready(k, x, labels.astype(np.int64, copy=False), weight)
    if arrays is None or x.ndim != 2 or not is_short(x.dtype):
        return NotImplemented
    x, labels, weight = arrays
    rows, classes = x.shape
    count = None
    if mean:
        count = k.empty((1,), _FLOAT32)
        k.label_weight(labels, weight, count, rows, classes, ignore_index)
    loss = k.empty((rows,), _FLOAT32)
    gradient = k.empty(x.shape, _gradient_dtype(x.dtype)) if with_gradient else None
    short, wide = (None, gradient) if x.dtype == np.float16 else (gradient, None)
    k.cross_entropy_of_short(
        *(x, labels, weight, count, loss, short, wide, rows, classes, ignore_index),
        label_smoothing,
    )
    if mean:
        each_row, loss = loss, k.empty((), _FLOAT32)
        k.row_sum(each_row, loss, 1, rows, 1.0)
    return (loss, gradient) if with_gradient else loss


cross_entropy_of_short.defvjp_joint(cross_entropy_vjp)


# --- the choice -----------------------------------------------------------------------------------

#: By the primitive: what runs in its place, and whether of float32, too: the result is read short.
INSTEAD: dict[Primitive, tuple[Callable, bool]] = {
    layer_norm_rows.primitive: (_norm(layer_norm_of_short), True),
    rms_norm_rows.primitive: (_norm(rms_norm_of_short), True),
    softmax_along.primitive: (softmax_of_short, False),
    log_softmax_along.primitive: (log_softmax_of_short, False),
    cross_entropy_rows.primitive: (cross_entropy_of_short, False),
}


def instead_of(
    made: Primitive, args: tuple, static: dict[str, Any], dtype: np.dtype | None
) -> tuple[Callable, tuple, dict[str, Any]] | None:
    """What to call in the place of `made` in a block that casts to `dtype`; None for itself."""
    call, of_float32 = INSTEAD.get(made, (None, False))
    x = args[0]
    if call is None or not isinstance(x, Tensor) or isinstance(x.array, np.ndarray):
        return None
    own = x.array.dtype
    fits = own in (dtype, _FLOAT32) if of_float32 else is_short(own)
    if not x.array.size or not fits:
        return None
    others = [a.dtype for a in args[1:] if a is not None]
    if any(other not in (_FLOAT32, np.int64) for other in others):
        return None
    return call, args, {**static, "dtype": dtype} if of_float32 else static
