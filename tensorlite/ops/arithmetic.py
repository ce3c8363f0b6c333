"""Functions of two numbers, element by element. Shapes broadcast, dtypes promote.

A Python number never promotes within its kind: ``float16 * 2.0`` is float16.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tensorlite.backend import Array, array_backend, is_array
from tensorlite.backend.dtypes import weak
from tensorlite.backend.mixed import add_by_kernel
from tensorlite.backend.numpy import LARGE
from tensorlite.ops.compare import where
from tensorlite.ops.elementwise import exp, log
from tensorlite.ops.fused import float32_inside, fused, widened
from tensorlite.ops.promotion import MixedOnCuda, cast, floats, same_dtype
from tensorlite.ops.rounding import trunc
from tensorlite.ops.subgradients import zero
from tensorlite.primitive import primitive
from tensorlite.tape import mode, recorders

__all__ = [
    "add",
    "addcdiv",
    "addcmul",
    "div",
    "divide",
    "float_power",
    "floor_divide",
    "fmod",
    "lerp",
    "mul",
    "multiply",
    "pow",
    "remainder",
    "rsub",
    "sub",
    "subtract",
    "true_divide",
]

# The first four are the commonest operations there are: they skip the call of `weak` for arrays.


@primitive(operands=MixedOnCuda())
def add(xp: Any, x1: Array, x2: Array, *, alpha: float = 1) -> Array:
    """``input + alpha * other``.

    Parameters
    ----------
    alpha : float
        Factor of `other`.

    Examples
    --------
    >>> tl.add(tl.tensor([5.0, -3.0]), tl.tensor([2.0, 2.0]))
    tensor([ 7., -1.])
    """
    if x1.__class__ is not x2.__class__:
        x1, x2 = weak(x1, x2)
    return x1 + x2 if alpha == 1 else x1 + _scaled(x1, x2, alpha)


add.defvjp(x1=lambda g: g, x2=lambda g, alpha: g if alpha == 1 else g * alpha)


def _add(k: Any, x1: Array, x2: Array, *, alpha: float) -> Any:
    if x1.__class__ is not x2.__class__:
        return NotImplemented
    if x1.shape == x2.shape:
        return add_by_kernel(k, x1, x2, alpha) if _rounds_alike(k, x1, alpha) else NotImplemented
    if alpha != 1 or not 0 < x2.ndim < x1.ndim or x2.shape != x1.shape[-x2.ndim :]:
        return NotImplemented
    if x2.ndim == 1:
        return k.new_bias_add(x1, x2)
    if not (x1.flags.c_contiguous and x2.flags.c_contiguous):
        return NotImplemented
    rows = math.prod(x1.shape[: -x2.ndim])  # -1 cannot be found where there is no element
    y = k.new_bias_add(x1.reshape(rows, x2.size), x2.reshape(x2.size))
    return y if y is NotImplemented else y.reshape(x1.shape)


add.kernel(_add, from_size=LARGE)  # fewer NumPy has added before a kernel is called


def _rounds_alike(k: Any, x: Array, alpha: float) -> bool:
    """Whether a multiple is added as if nothing was recorded: kernels round once, NumPy twice."""
    return not k.on_host or x.size >= LARGE or alpha in (1, -1)


class NoBooleans(MixedOnCuda):
    """`MixedOnCuda`, but for booleans, whose difference would be no boolean."""

    def __call__(self, args: tuple) -> tuple:
        """Refuse booleans; bring the others to one dtype."""
        if any(getattr(x, "dtype", None) == np.bool_ for x in args):
            raise TypeError(
                "sub: a Tensor of bool has no difference: use ~t, or t1 ^ t2, or t.float() first"
            )
        return super().__call__(args)


@primitive(operands=NoBooleans())
def sub(xp: Any, x1: Array, x2: Array, *, alpha: float = 1) -> Array:
    """``input - alpha * other``.

    Parameters
    ----------
    alpha : float
        Factor of `other`.

    Examples
    --------
    >>> tl.sub(tl.tensor([5.0, -3.0]), tl.tensor([2.0, 2.0]))
    tensor([ 3., -5.])
    """
    if x1.__class__ is not x2.__class__:
        x1, x2 = weak(x1, x2)
    return x1 - x2 if alpha == 1 else x1 - _scaled(x1, x2, alpha)


sub.defvjp(x1=lambda g: g, x2=lambda g, alpha: -g if alpha == 1 else g * -alpha)


def _sub(k: Any, x1: Array, x2: Array, *, alpha: float) -> Any:
    if x1.__class__ is not x2.__class__:
        return NotImplemented
    return add_by_kernel(k, x1, x2, -alpha) if _rounds_alike(k, x1, alpha) else NotImplemented


sub.kernel(_sub, from_size=LARGE)


subtract = sub


def _scaled(x1: Any, x2: Any, alpha: float) -> Any:
    """``alpha * x2``, where the dtypes allow that."""
    kinds = {np.result_type(x).kind for x in (x1, x2)}
    if isinstance(alpha, float) and kinds <= {"i", "u", "b"}:
        raise TypeError(f"alpha must be an integer for integers, not {alpha!r}")
    return x2 * weak(bool(alpha) if kinds == {"b"} else alpha, x2)[0]


def rsub(input: Any, other: Any, *, alpha: float = 1) -> Any:
    """``other - alpha * input``.

    Parameters
    ----------
    alpha : float
        Factor of `input`.

    Examples
    --------
    >>> tl.rsub(tl.tensor([5.0, -3.0]), tl.tensor([2.0, 2.0]))
    tensor([-3.,  5.])
    """
    return sub(other, input, alpha=alpha)


@primitive(operands=same_dtype)
def mul(xp: Any, x1: Array, x2: Array) -> Array:
    """``input * other``.

    Examples
    --------
    >>> tl.mul(tl.tensor([5.0, -3.0]), tl.tensor([2.0, 2.0]))
    tensor([10., -6.])
    """
    if x1.__class__ is not x2.__class__:
        x1, x2 = weak(x1, x2)
    return x1 * x2


def _product(g: Any, x: Any) -> Any:
    if recorders:
        return mul(g, x)  # a recorder sees what kernels do, not what NumPy does
    if x.__class__ is float:
        g, x = weak(g, x)
    return g * x


mul.defvjp(x1=lambda g, x2: _product(g, x2), x2=lambda g, x1: _product(g, x1))


def _mul(k: Any, x1: Array, x2: Any) -> Any:
    number = x2.__class__ is float or (x2.__class__ is int and abs(x2) <= 1 << 53)
    if number and is_array(x1) and x1.dtype.char in "fd":
        # NumPy multiplies as fast, but a recorded call needs no Python.
        recorded = mode.switches.recorder is not None
        return k.new_scale(x1, float(x2)) if recorded or not k.on_host else NotImplemented
    if x1.__class__ is not x2.__class__:
        return NotImplemented
    if x1.shape == x2.shape:
        return k.new_multiply(x1, x2)
    return NotImplemented if x2.ndim else k.new_scale_by(x1, x2)


mul.kernel(_mul, from_size=LARGE)


multiply = mul


@primitive(operands=floats)
def true_divide(xp: Any, x1: Array, x2: Array) -> Array:
    """``input / other``; of integers too, a float.

    Examples
    --------
    >>> tl.true_divide(tl.tensor([5.0, -3.0]), tl.tensor([2.0, 2.0]))
    tensor([ 2.5, -1.5])

    >>> tl.true_divide(tl.tensor([1, 2]), tl.tensor([2, 2]))
    tensor([0.5, 1. ])
    """
    if x1.__class__ is not x2.__class__:
        x1, x2 = weak(x1, x2)
    return x1 / x2


true_divide.defvjp(x1=lambda g, x2: g / x2, x2=lambda g, y, x2: -g * y / x2)


def div(input: Any, other: Any, *, rounding_mode: str | None = None) -> Any:
    """``input / other``; of integers too, a float.

    Parameters
    ----------
    input, other : Tensor or number
        Broadcast against each other.
    rounding_mode : {None, "trunc", "floor"}
        Round the quotient towards 0, or down: integers then stay integers, and the gradient is 0.

    Raises
    ------
    ValueError
        If `rounding_mode` is something else.

    Examples
    --------
    >>> tl.div(tl.tensor([5.0, -3.0]), tl.tensor([2.0, 2.0]))
    tensor([ 2.5, -1.5])
    """
    if rounding_mode is None:
        return true_divide(input, other)
    if rounding_mode == "floor":
        return floor_divide(input, other)
    if rounding_mode == "trunc":
        return truncated_divide(input, other)
    raise ValueError(f"div: rounding_mode is None, 'trunc' or 'floor', not {rounding_mode!r}")


divide = div


_NO_NUMBERS = "two booleans are no numbers to divide or to raise: use t.int() first"


def _check_divisor(xp: Any, x1: Array, x2: Array) -> None:
    """Refuse division of integers by 0, on the CPU; on CUDA a check would wait for the device."""
    kinds = {np.result_type(x).kind for x in (x1, x2)}
    if kinds == {"b"}:
        raise TypeError(_NO_NUMBERS)
    whole = not kinds - set("iub")
    if whole and (not is_array(x2) or xp is np) and not np.all(x2):
        raise ZeroDivisionError("integers divided by 0")


@primitive(operands=same_dtype)
@float32_inside
def floor_divide(xp: Any, x1: Array, x2: Array) -> Array:
    """``input / other`` rounded down; its gradient is 0.

    Raises
    ------
    ZeroDivisionError
        If integers are divided by 0, on the CPU.

    Examples
    --------
    >>> tl.floor_divide(tl.tensor([5.0, -3.0]), tl.tensor([2.0, 2.0]))
    tensor([ 2., -2.])
    """
    x1, x2 = weak(x1, x2)
    _check_divisor(xp, x1, x2)
    y = xp.floor_divide(x1, x2)
    if xp is np or y.dtype.kind in "iub":
        return y
    # CuPy rounds the quotient, which may have vanished, or have been infinite to begin with.
    vanished = (y == 0) & (x1 != 0) & ((x1 < 0) != (x2 < 0))
    y = xp.where(vanished, -1, y).astype(y.dtype, copy=False)
    return xp.where(xp.isinf(x1) & (x2 != 0), xp.nan, y).astype(y.dtype, copy=False)


floor_divide.defvjp(x1=zero, x2=zero)


@primitive(operands=same_dtype)
def truncated_divide(xp: Any, x1: Array, x2: Array) -> Array:
    """``x1 / x2`` rounded towards 0; its gradient is 0."""
    x1, x2 = weak(x1, x2)
    _check_divisor(xp, x1, x2)
    if np.result_type(x1, x2).kind in "iub":
        down = xp.floor_divide(x1, x2)
        return down + ((down < 0) & (down * x2 != x1))
    return xp.trunc(x1 / x2)


truncated_divide.defvjp(x1=zero, x2=zero)


@primitive(operands=same_dtype)
def remainder(xp: Any, x1: Array, x2: Array) -> Array:
    """``input - floor(input / other) * other``: the remainder, of `other`'s sign.

    It is that of Python's ``%``. Of floats by 0 it is NaN.

    Raises
    ------
    ZeroDivisionError
        If integers are divided by 0, on the CPU.

    Examples
    --------
    >>> tl.remainder(tl.tensor([5.0, -3.0]), tl.tensor([2.0, 2.0]))
    tensor([1., 1.])
    """
    x1, x2 = weak(x1, x2)
    _check_divisor(xp, x1, x2)
    return xp.remainder(x1, x2)


remainder.defvjp(x1=lambda g: g, x2=lambda g, x1, x2: -g * floor_divide(x1, x2))


@primitive(operands=same_dtype)
def fmod(xp: Any, x1: Array, x2: Array) -> Array:
    """``input - trunc(input / other) * other``: the remainder, of `input`'s sign (as in C).

    Raises
    ------
    ZeroDivisionError
        If integers are divided by 0, on the CPU.

    Examples
    --------
    >>> tl.fmod(tl.tensor([5.0, -3.0]), tl.tensor([2.0, 2.0]))
    tensor([ 1., -1.])
    """
    x1, x2 = weak(x1, x2)
    _check_divisor(xp, x1, x2)
    return xp.fmod(x1, x2)


fmod.defvjp(x1=lambda g: g, x2=lambda g, x1, x2: -g * trunc(x1 / x2))

# --- powers -----------------------------------------------------------------------------------


@primitive(operands=same_dtype)
def pow(xp: Any, x1: Array, x2: Array) -> Array:
    """``input ** exponent``.

    The gradient by `input` is 0 where that is 0 and ``0 <= exponent < 1`` (the slope is
    infinite), and that by `exponent` NaN where `input` is negative (there is none).

    Raises
    ------
    ValueError
        If both are integers and `exponent` is negative.

    Examples
    --------
    >>> tl.pow(tl.tensor([5.0, -3.0]), tl.tensor([2.0, 2.0]))
    tensor([25.,  9.])
    """
    if isinstance(x1, (int, float)) and isinstance(x2, (int, float)):
        raise TypeError(f"{x1!r} and {x2!r} are both numbers: one must be a Tensor")
    if isinstance(x2, bool) and x1.dtype.kind == "b":
        return x1 | (not x2)
    if isinstance(x2, (int, float)) and x2 == x2 // 1:
        return _whole_power(xp, x1, int(x2))
    if isinstance(x2, float) and x2 == 0.5 and x1.dtype.kind not in "iub":
        return xp.sqrt(x1)
    if np.result_type(x1).kind == np.result_type(x2).kind == "b":
        raise TypeError(_NO_NUMBERS)
    if is_array(x2) and x2.dtype.kind == "i" and np.result_type(x1).kind in "iub":
        return _integer_power(xp, x1, x2)
    return xp.power(*weak(x1, x2))


def _integer_power(xp: Any, x: Array, exponent: Array) -> Array:
    """``x ** exponent`` of integers: to a negative power that is 0, but of 1 and -1."""
    power = xp.power(x, xp.maximum(exponent, 0))
    of_one = xp.where(x == 1, 1, xp.where(x == -1, 1 - 2 * (exponent % 2), 0))
    return xp.where(exponent < 0, of_one, power).astype(power.dtype, copy=False)


def _whole_power(xp: Any, x: Array, exponent: int) -> Array:
    """``x ** exponent``, which for negative x NumPy's `power` computes a hundred times slower."""
    if x.dtype.kind in "iub":
        if exponent < 0:  # CuPy computes nonsense
            raise ValueError(
                f"integers to the negative integer power {exponent}: make them floats first"
            )
        return xp.power(x, exponent)
    cast = array_backend((x,)).cast
    return cast(_float_power(xp, widened(x), exponent), x.dtype)


def _float_power(xp: Any, x: Array, exponent: int) -> Array:
    if exponent in (-1, -2):
        return 1 / _float_power(xp, x, -exponent)
    if not 1 <= exponent <= 4:
        power = xp.power(xp.abs(x), x.dtype.type(exponent))
        return xp.copysign(power, x) if exponent % 2 else power
    if exponent == 1:
        return x * 1
    square = x * x
    return square if exponent == 2 else square * (x if exponent == 3 else square)


@fused
def pow_slope(dy: Any, x: Any, *, exponent: float) -> Any:
    """``dy * exponent * x ** (exponent - 1)``: the cotangent of the base of a power.

    It is 0 where the base is 0 and the slope infinite.
    """
    if exponent == 0:
        return zero(dy + x)
    if 0 < exponent < 1:
        x = where(x == 0, math.inf, x)  # to a negative power 0, as we want it
    return dy * (exponent * pow(x, exponent - 1))


def _pow_by_base(g: Any, x1: Any, x2: Any) -> Any:
    if isinstance(x2, (int, float)):
        return pow_slope(g, x1, exponent=x2)
    steep = (x1 == 0) & (x2 >= 0) & (x2 < 1)
    power = pow(where(steep, math.inf, x1), x2 - 1)
    flat = (power == 0) | (x2 == 0)  # whatever the other factor is
    return g * where(flat, 0, x2) * where(flat, 0, power)


def _pow_by_exponent(g: Any, y: Any, x1: Any, x2: Any) -> Any:
    if isinstance(x1, (int, float)):
        logarithm = math.log(x1) if x1 > 0 else -math.inf if x1 == 0 else math.nan
        if 0 < x1 < math.inf:
            return g * y * logarithm
        flat = _is_flat(y, x1, x2)
        return where(flat, 0, g * where(flat, 1, y) * logarithm)
    flat = _is_flat(y, x1, x2)
    logarithm = log(where(flat, 1, where(x1 < 0, math.nan, x1)))
    return where(flat, 0, g * y * logarithm)


def _is_flat(y: Any, x1: Any, x2: Any) -> Any:
    """Where the slope by the exponent, ``y * log(x1)``, is 0 by limit."""
    return ((x1 == 0) & (x2 >= 0)) | ((x1 > 0) & (y == 0))


pow.defvjp(x1=_pow_by_base, x2=_pow_by_exponent)
pow.primitive.rename({"x1": "input", "x2": "exponent"})


_POWERS = (-2, -1, 2, 3, 4)  # that kernels have


@pow.kernel
def _pow(k: Any, x1: Array, x2: Any) -> Any:
    if not isinstance(x2, (int, float)) or x2 not in _POWERS:
        return NotImplemented
    return k.new_power(x1, int(x2))


@pow_slope.kernel
def _pow_slope(k: Any, dy: Array, x: Array, *, exponent: float) -> Any:
    return k.new_power_slope(dy, x, int(exponent)) if exponent in _POWERS else NotImplemented


def float_power(input: Any, exponent: Any) -> Any:
    """``input ** exponent`` in float64, whatever the dtypes.

    Raises
    ------
    TypeError
        If both are Python numbers.

    Examples
    --------
    >>> tl.float_power(tl.tensor([5.0, -3.0]), tl.tensor([2.0, 2.0]))
    tensor([25.,  9.], dtype=float64)
    """
    if isinstance(input, (int, float)) and isinstance(exponent, (int, float)):
        raise TypeError(
            f"float_power: {input!r} and {exponent!r} are numbers: one must be a Tensor"
        )
    if not isinstance(input, (int, float)):
        input = cast(input, np.float64)
    elif not isinstance(exponent, (int, float)):
        input = float(input)
    if not isinstance(exponent, (int, float)):
        exponent = cast(exponent, np.float64)
    return pow(input, exponent)


# --- shares -----------------------------------------------------------------------------------


def share(x: Any, total: Any) -> Any:
    """``exp(x - total)``, and 0 where both are -inf: the share of x in a sum of exponentials."""
    return exp(x - where(total == -math.inf, 0, total))


# --- several at once --------------------------------------------------------------------------


@primitive(operands=same_dtype)
def lerp(xp: Any, start: Array, end: Array, weight: Array) -> Array:
    """``input + weight * (end - input)``, and `end` exactly where `weight` is 1.

    Examples
    --------
    >>> tl.lerp(tl.tensor([0.0, 10.0]), tl.tensor([4.0, 20.0]), 0.25)
    tensor([ 1. , 12.5])
    """
    weight = weak(start, weight)[1]
    difference = end - start
    if isinstance(weight, (int, float)):
        near = -0.5 < weight < 0.5
        return start + weight * difference if near else end - difference * (1 - weight)
    near = xp.abs(weight) < 0.5
    return xp.where(near, start + weight * difference, end - difference * (1 - weight))


lerp.primitive.rename({"start": "input"})
lerp.defvjp(
    start=lambda g, weight: g * (1 - weight),
    end=lambda g, weight: g * weight,
    weight=lambda g, start, end: g * (end - start),
)


def addcmul(input: Any, tensor1: Any, tensor2: Any, *, value: float = 1) -> Any:
    """``input + value * tensor1 * tensor2``.

    Parameters
    ----------
    value : float
        Factor of the product.

    Examples
    --------
    >>> tl.addcmul(tl.tensor([1.0, 1.0]), tl.tensor([2.0, 3.0]), tl.tensor([4.0, 5.0]), value=0.5)
    tensor([5. , 8.5])
    """
    product = mul(tensor1, tensor2)
    return add(input, product if value == 1 else product * value)


def addcdiv(input: Any, tensor1: Any, tensor2: Any, *, value: float = 1) -> Any:
    """``input + value * tensor1 / tensor2``.

    Parameters
    ----------
    value : float
        Factor of the quotient.

    Raises
    ------
    TypeError
        If `tensor1` and `tensor2` are both integers.

    Examples
    --------
    >>> tl.addcdiv(tl.tensor([1.0, 1.0]), tl.tensor([6.0, 9.0]), tl.tensor([2.0, 3.0]))
    tensor([4., 4.])
    """
    if all(x.dtype.kind in "iub" for x in (tensor1, tensor2)):
        raise TypeError("addcdiv: tensor1 and tensor2 are integers: make one of them float first")
    quotient = true_divide(tensor1, tensor2)
    return add(input, quotient if value == 1 else quotient * value)
