"""Elementwise operations that choose among kernels, or convert their arguments for one."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tensorlite.backend import Array, array_backend, is_array
from tensorlite.backend.numpy import LARGE
from tensorlite.ops import activation, arithmetic, compare, limits, rectifiers
from tensorlite.ops.compiled.arrays import kernel_sum_dtype, packed
from tensorlite.ops.fused import widened
from tensorlite.tape import mode


@arithmetic.add.kernel
def _add(k: Any, x1: Array, x2: Array, *, alpha: float) -> Any:
    if x1.__class__ is not x2.__class__:
        return NotImplemented
    if x1.shape == x2.shape:
        return k.new_axpy(x2, x1, alpha) if _rounds_alike(k, x1, alpha) else NotImplemented
    if alpha != 1 or x2.ndim != 1 or x2.shape != x1.shape[-1:]:
        return NotImplemented
    return k.new_bias_add(x1, x2)


@arithmetic.sub.kernel
def _sub(k: Any, x1: Array, x2: Array, *, alpha: float) -> Any:
    if x1.__class__ is not x2.__class__:
        return NotImplemented
    return k.new_axpy(x2, x1, -alpha) if _rounds_alike(k, x1, alpha) else NotImplemented


def _rounds_alike(k: Any, x: Array, alpha: float) -> bool:
    """Whether a multiple is added as if nothing was recorded: kernels round once, NumPy twice."""
    return not k.on_host or x.size >= LARGE or alpha in (1, -1)


@arithmetic.mul.kernel
def _mul(k: Any, x1: Array, x2: Any) -> Any:
    if isinstance(x2, float) and is_array(x1) and x1.dtype.char in "fd":
        # NumPy multiplies as fast, but a recorded call needs no Python.
        recorded = mode.switches.recorder is not None
        return k.new_scale(x1, x2) if recorded or not k.on_host else NotImplemented
    if x1.__class__ is not x2.__class__:
        return NotImplemented
    if x1.shape == x2.shape:
        return k.new_multiply(x1, x2)
    return NotImplemented if x2.ndim else k.new_scale_by(x1, x2)


# NumPy has computed fewer before a kernel is called.
for _primitive in (arithmetic.add, arithmetic.sub, arithmetic.mul):
    _primitive.primitive.kernel_from = LARGE


@activation.gelu.kernel
def _gelu(k: Any, x: Array, *, approximate: str) -> Any:
    if approximate not in ("none", "tanh"):
        return NotImplemented
    return (k.new_gelu if approximate == "none" else k.new_gelu_tanh)(x)


@activation.gelu_backward.kernel
def _gelu_backward(k: Any, dy: Array, x: Array, *, approximate: str) -> Any:
    exact = approximate == "none"
    return (k.new_gelu_backward if exact else k.new_gelu_tanh_backward)(dy, x)


# --- powers -----------------------------------------------------------------------------------

_POWERS = (-2, -1, 2, 3, 4)  # that kernels have


@arithmetic.pow.kernel
def _pow(k: Any, x1: Array, x2: Any) -> Any:
    if not isinstance(x2, (int, float)) or x2 not in _POWERS:
        return NotImplemented
    return k.new_power(x1, int(x2))


@arithmetic.pow_slope.kernel
def _pow_slope(k: Any, dy: Array, x: Array, *, exponent: float) -> Any:
    return k.new_power_slope(dy, x, int(exponent)) if exponent in _POWERS else NotImplemented


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
    given = [x for x, number in zip((x1, x2), numbers, strict=True) if number is None]
    if not given or not is_array(condition) or condition.dtype.char != "?":
        return NotImplemented
    arrays = packed(*given)
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


def _give_choice(primitive: Any, sign: float) -> None:
    @primitive.kernel
    def run(k: Any, dy: Array, x1: Array, x2: Any) -> Any:
        bound = _number(k, x2)
        if bound is None:
            return k.new_of_larger(dy, x1, x2, sign)
        return k.new_of_larger_than(dy, x1, float(bound), sign)


_give_choice(limits.of_larger, 1.0)
_give_choice(limits.of_smaller, -1.0)


def _limits(k: Any, low: Any, high: Any) -> tuple[float, float] | None:
    """Two limits as numbers, of which None is none; None where one is an array, or NaN."""
    low = -math.inf if low is None else _number(k, low)
    high = math.inf if high is None else _number(k, high)
    if low is None or high is None or low != low or high != high:
        return None
    return float(low), float(high)


@limits.clamp.kernel
def _clamp(k: Any, x: Array, min: Any, max: Any) -> Any:
    ends = _limits(k, min, max)
    return k.new_clamp(x, *ends) if ends and min is not max else NotImplemented


@limits.within.kernel
def _within(k: Any, dy: Array, x: Array, min: Any, max: Any) -> Any:
    ends = _limits(k, min, max)
    return k.new_within(dy, x, *ends) if ends else NotImplemented


@limits.maximum.kernel
def _maximum(k: Any, x1: Any, x2: Any) -> Any:
    return _clamp(k, x1, x2, None) if is_array(x1) and _is_one(x2) else NotImplemented


@limits.minimum.kernel
def _minimum(k: Any, x1: Any, x2: Any) -> Any:
    return _clamp(k, x1, None, x2) if is_array(x1) and _is_one(x2) else NotImplemented


def _is_one(x: Any) -> bool:
    return isinstance(x, (int, float)) or not x.ndim


# --- PReLU ------------------------------------------------------------------------------------


@rectifiers.prelu_of_channels.kernel
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


@rectifiers.prelu_backward.kernel
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
        partial = k.empty((k.parts(n), channels), kernel_sum_dtype(x.dtype))
        k.prelu_columns_backward(*arrays, dx, partial, n, channels, len(partial))
    else:
        rows = n * channels
        partial = k.empty((n, channels), kernel_sum_dtype(x.dtype))
        k.prelu_backward(*arrays, dx, partial.reshape(-1), rows, x.size // rows, channels)
    return dx, partial.sum(axis=0)
