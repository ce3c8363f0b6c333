"""Elementwise operations: activations, transcendentals, dropout."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from tensorlite.backend import Array, array_backend, is_array
from tensorlite.backend.numpy import LARGE
from tensorlite.ops import (
    activation,
    arithmetic,
    compare,
    elementwise,
    likelihoods,
    trigonometry,
)
from tensorlite.ops.compiled.arrays import accumulator, packed
from tensorlite.ops.dropout import philox_dropout
from tensorlite.ops.fused import widened
from tensorlite.random import base_of
from tensorlite.tape import mode


def _give(
    primitive: Callable,
    name: str,
    *scalars: str,
    only: dict[str, Any] | None = None,
    dtypes: str = "efdE",
) -> None:
    """Let kernel `name` compute `primitive` on arrays of one shape.

    Parameters
    ----------
    scalars
        Static parameters that the kernel takes, in its order.
    only
        Values that the other static parameters must have.
    dtypes
        Characters of the dtypes the kernel has.
    """
    fixed = (only or {}).items()
    new_name = f"new_{name}"

    def run(k: Any, x: Array, *others: Array, **static: Any) -> Any:
        if any(static[key] != value for key, value in fixed):
            return NotImplemented
        values = [static[key] for key in scalars]
        if k.on_host:  # which sees to dtypes and strides itself
            return getattr(k, new_name)(x, *others, *values)
        arrays = packed(x, *others)
        if arrays is None or x.dtype.char not in dtypes or any(a.shape != x.shape for a in others):
            return NotImplemented
        y = k.empty(x.shape, x.dtype)
        getattr(k, name)(*arrays, y, x.size, *values)
        return y

    primitive.kernel(run)
    if not fixed and not scalars:
        primitive.on_host(new_name)


for _name in ("erf", "exp", "expm1", "log", "log1p"):
    _give(getattr(elementwise, _name), _name, dtypes="fd")
for _name in ("tanh", "tanh_backward"):
    _give(getattr(trigonometry, _name), _name)
for _name in ("logsigmoid", "relu", "sigmoid", "silu"):
    _give(getattr(activation, _name), _name)
    _give(getattr(activation, f"{_name}_backward"), f"{_name}_backward")
_give(likelihoods.cross_entropy_of_logits, "logits_loss")
_give(likelihoods.cross_entropy_of_logits_backward, "logits_loss_backward")
for _ending in ("", "_backward"):
    _give(getattr(activation, f"leaky_relu{_ending}"), f"leaky_relu{_ending}", "negative_slope")
    _give(
        getattr(activation, f"softplus{_ending}"),
        f"softplus{_ending}",
        "threshold",
        only={"beta": 1.0},
    )

for _primitive, _name in (
    (activation.scaled_elu, "elu"),
    (activation.elu_backward, "elu_backward"),
):
    _give(_primitive, _name, "alpha", only={"scale": 1.0, "steepness": 1.0})


def _give_large(primitive: Callable, last: int | None = None) -> Callable:
    """Let a kernel compute `primitive` of two arrays of the CPU of which the first is large.

    The second has the first's shape or, if given, the `last` axes of it. The kernel gets both
    without gaps, the output, which it returns, and the static parameters.
    """

    def give(fill: Callable) -> None:
        def run(k: Any, x1: Array, x2: Array, **static: Any) -> Any:
            # A recorded call needs no Python, so there kernels pay from the first element on.
            small = x1.size < LARGE and mode.switches.recorder is None
            if x1.__class__ is not x2.__class__ or small or not k.on_host or not x1.size:
                return NotImplemented
            if x2.shape != x1.shape and (last is None or x2.shape != x1.shape[x1.ndim - last :]):
                return NotImplemented
            arrays = packed(x1, x2)
            if arrays is None:
                return NotImplemented
            y = k.empty(x1.shape, x1.dtype)
            return fill(k, *arrays, y, **static)

        primitive.kernel(run, from_size=LARGE)

    return give


@_give_large(arithmetic.add, last=1)
def _add(k: Any, x1: Array, x2: Array, y: Array, *, alpha: float) -> Any:
    if x1.shape == x2.shape:
        k.axpy(x2, x1, y, y.size, float(alpha))
    elif alpha == 1:
        k.bias_add(x1, x2, y, y.size // x2.size, x2.size)
    else:
        return NotImplemented
    return y


@_give_large(arithmetic.sub)
def _sub(k: Any, x1: Array, x2: Array, y: Array, *, alpha: float) -> Any:
    k.axpy(x2, x1, y, y.size, -float(alpha))
    return y


@_give_large(arithmetic.mul, last=0)
def _mul(k: Any, x1: Array, x2: Array, y: Array) -> Any:
    (k.multiply if x1.shape == x2.shape else k.scale_by)(x1, x2, y, y.size)
    return y


@activation.gelu.kernel
def _gelu(k: Any, x: Array, *, approximate: str) -> Any:
    arrays = packed(x)
    if arrays is None or approximate not in ("none", "tanh"):
        return NotImplemented
    y = k.empty(x.shape, x.dtype)
    (k.gelu if approximate == "none" else k.gelu_tanh)(*arrays, y, x.size)
    return y


@activation.gelu_backward.kernel
def _gelu_backward(k: Any, dy: Array, x: Array, *, approximate: str) -> Any:
    arrays = packed(dy, x)
    if arrays is None or dy.shape != x.shape:
        return NotImplemented
    dx = k.empty(x.shape, x.dtype)
    kernel = k.gelu_backward if approximate == "none" else k.gelu_tanh_backward
    kernel(*arrays, dx, x.size)
    return dx


@philox_dropout.kernel
def _dropout(k: Any, x: Array, *, p: float, key: tuple[int, int], offset: int) -> Any:
    arrays = packed(x)
    if arrays is None:
        return NotImplemented
    y = k.empty(x.shape, x.dtype)
    k.dropout(*arrays, y, base_of(key), x.size, p, key[0] | key[1] << 32, offset)
    return y


# --- powers -----------------------------------------------------------------------------------

_POWERS = (-2, -1, 2, 3, 4)  # that kernels have


def _made(k: Any, name: str, arrays: list[Array], *values: Any) -> Array:
    """What a kernel makes of arrays of one shape."""
    if k.on_host:
        return getattr(k, f"new_{name}")(*arrays, *values)
    y = k.empty(arrays[-1].shape, arrays[-1].dtype)
    getattr(k, name)(*arrays, y, y.size, *values)
    return y


@arithmetic.pow.kernel
def _pow(k: Any, x1: Array, x2: Any) -> Any:
    if not isinstance(x2, (int, float)) or x2 not in _POWERS:
        return NotImplemented
    arrays = packed(x1)
    return NotImplemented if arrays is None else _made(k, "power", arrays, int(x2))


@arithmetic.pow_slope.kernel
def _pow_slope(k: Any, dy: Array, x: Array, *, exponent: float) -> Any:
    if exponent not in _POWERS or dy.shape != x.shape:
        return NotImplemented
    arrays = packed(dy, x)
    return NotImplemented if arrays is None else _made(k, "power_slope", arrays, int(exponent))


# --- choices ----------------------------------------------------------------------------------


def _number(k: Any, x: Any) -> Any:
    """A Python number for what is one in the host's memory, else None."""
    if isinstance(x, (int, float)):
        return x
    if mode.switches.recorder is not None:  # the array may hold another number at a replay
        return None
    return x.item() if k.on_host and is_array(x) and not x.ndim else None


def _select(k: Any, condition: Array, x1: Any, x2: Any) -> Any:
    numbers = [_number(k, x) for x in (x1, x2)]
    arrays = [x for x, number in zip((x1, x2), numbers, strict=True) if number is None]
    if not arrays or not is_array(condition) or condition.dtype.char != "?":
        return NotImplemented
    arrays = packed(*arrays)
    if arrays is None or arrays[0].shape != arrays[-1].shape:
        return NotImplemented
    shape = arrays[0].shape
    if condition.shape != shape:
        if condition.ndim > len(shape) or not _fits(condition.shape, shape):
            return NotImplemented
        condition = array_backend((condition,)).xp.broadcast_to(condition, shape)
    if not condition.flags.c_contiguous:
        condition = array_backend((condition,)).copy(condition)
    condition = condition.view(np.uint8)
    y = k.empty(shape, arrays[0].dtype)
    if len(arrays) == 2:
        k.select(condition, *arrays, y, y.size)
    else:
        second = numbers[0] is None
        k.select_or(condition, *arrays, y, y.size, float(numbers[second]), float(not second))
    return y


compare.select.kernel(_select, from_size=512)  # fewer NumPy has chosen before a kernel is called


def _fits(shape: tuple, target: tuple) -> bool:
    """Whether a shape of no more axes broadcasts to another without enlarging it."""
    return all(n in (1, m) for n, m in zip(reversed(shape), reversed(target), strict=False))


def _give_choice(primitive: Callable, sign: float) -> None:
    @primitive.kernel
    def run(k: Any, dy: Array, x1: Array, x2: Any) -> Any:
        bound = _number(k, x2)
        arrays = packed(dy, x1) if bound is not None else packed(dy, x1, x2)
        if arrays is None or any(a.shape != dy.shape for a in arrays):
            return NotImplemented
        if bound is None:
            return _made(k, "of_larger", arrays, sign)
        return _made(k, "of_larger_than", arrays, float(bound), sign)


_give_choice(arithmetic.of_larger, 1.0)
_give_choice(arithmetic.of_smaller, -1.0)


def _limits(k: Any, low: Any, high: Any) -> tuple[float, float] | None:
    """Two limits as numbers, of which None is none; None where one is an array, or NaN."""
    low = -math.inf if low is None else _number(k, low)
    high = math.inf if high is None else _number(k, high)
    if low is None or high is None or low != low or high != high:
        return None
    return float(low), float(high)


@arithmetic.clamp.kernel
def _clamp(k: Any, x: Array, min: Any, max: Any) -> Any:
    limits = _limits(k, min, max)
    arrays = packed(x) if limits and is_array(x) and min is not max else None
    return NotImplemented if arrays is None else _made(k, "clamp", arrays, *limits)


@arithmetic.within.kernel
def _within(k: Any, dy: Array, x: Array, min: Any, max: Any) -> Any:
    limits = _limits(k, min, max)
    arrays = packed(dy, x) if limits and dy.shape == x.shape else None
    return NotImplemented if arrays is None else _made(k, "within", arrays, *limits)


@arithmetic.maximum.kernel
def _maximum(k: Any, x1: Any, x2: Any) -> Any:
    return _clamp(k, x1, x2, None) if is_array(x1) and _is_one(x2) else NotImplemented


@arithmetic.minimum.kernel
def _minimum(k: Any, x1: Any, x2: Any) -> Any:
    return _clamp(k, x1, None, x2) if is_array(x1) and _is_one(x2) else NotImplemented


def _is_one(x: Any) -> bool:
    return isinstance(x, (int, float)) or not x.ndim


# --- PReLU ------------------------------------------------------------------------------------


@activation.prelu_of_channels.kernel
def _prelu(k: Any, x: Array, weight: Array) -> Any:
    arrays = packed(x, weight)
    if arrays is None:
        return NotImplemented
    if weight.size == 1:
        number = _number(k, weight.reshape(()))
        return NotImplemented if number is None else k.new_leaky_relu(arrays[0], number)
    n, channels = x.shape[:2]
    y = k.empty(x.shape, x.dtype)
    if x.ndim == 2:
        k.prelu_columns(*arrays, y, n, channels)
    else:
        k.prelu(*arrays, y, n * channels, x.size // (n * channels), channels)
    return y


@activation.prelu_backward.kernel
def _prelu_backward(k: Any, dy: Array, x: Array, weight: Array) -> Any:
    arrays = packed(dy, x, weight)
    if arrays is None or dy.shape != x.shape:
        return NotImplemented
    if weight.size == 1:
        number = _number(k, weight.reshape(()))
        if number is None:
            return NotImplemented
        below = widened(k.new_clamp(arrays[1], -math.inf, 0.0)) * widened(arrays[0])
        dx = k.new_leaky_relu_backward(*arrays[:2], number)
        return dx, below.sum().reshape(1)
    n, channels = x.shape[:2]
    dx = k.empty(x.shape, x.dtype)
    if x.ndim == 2:
        partial = k.empty((k.parts(n), channels), accumulator(x.dtype))
        k.prelu_columns_backward(*arrays, dx, partial, n, channels, len(partial))
    else:
        rows = n * channels
        partial = k.empty((n, channels), accumulator(x.dtype))
        k.prelu_backward(*arrays, dx, partial.reshape(-1), rows, x.size // rows, channels)
    return dx, partial.sum(axis=0)
