"""Functions of two numbers, element by element. Shapes broadcast, dtypes promote as in NumPy 2.

A Python number never promotes: ``float16 * 2.0`` is float16.
"""

from __future__ import annotations

import math
from typing import Any

from tensorlite.backend import Array
from tensorlite.ops.compare import where
from tensorlite.ops.dtypes import weak
from tensorlite.ops.elementwise import exp, log
from tensorlite.ops.promotion import floats, same_dtype
from tensorlite.ops.slopes import infinite_at_zero, zero
from tensorlite.primitive import primitive

__all__ = [
    "add",
    "atan2",
    "clip",
    "div",
    "floordiv",
    "hypot",
    "lerp",
    "logaddexp",
    "maximum",
    "minimum",
    "mod",
    "mul",
    "pow",
    "sub",
]

# The first four are the commonest operations there are: they skip the call of `weak` for arrays.


@primitive(operands=same_dtype)
def add(xp: Any, x1: Array, x2: Array) -> Array:
    """``x1 + x2``."""
    if x1.__class__ is not x2.__class__:
        x1, x2 = weak(x1, x2)
    return x1 + x2


add.defvjp(x1=lambda g: g, x2=lambda g: g)


@primitive(operands=same_dtype)
def sub(xp: Any, x1: Array, x2: Array) -> Array:
    """``x1 - x2``."""
    if x1.__class__ is not x2.__class__:
        x1, x2 = weak(x1, x2)
    return x1 - x2


sub.defvjp(x1=lambda g: g, x2=lambda g: -g)


@primitive(operands=same_dtype)
def mul(xp: Any, x1: Array, x2: Array) -> Array:
    """``x1 * x2``."""
    if x1.__class__ is not x2.__class__:
        x1, x2 = weak(x1, x2)
    return x1 * x2


mul.defvjp(x1=lambda g, x2: g * x2, x2=lambda g, x1: g * x1)


@primitive(operands=floats)
def div(xp: Any, x1: Array, x2: Array) -> Array:
    """``x1 / x2``; of integers too, a float."""
    if x1.__class__ is not x2.__class__:
        x1, x2 = weak(x1, x2)
    return x1 / x2


div.defvjp(x1=lambda g, x2: g / x2, x2=lambda g, y, x2: -g * y / x2)


@primitive(operands=same_dtype)
def floordiv(xp: Any, x1: Array, x2: Array) -> Array:
    """``x1 / x2`` rounded down; its gradient is 0."""
    x1, x2 = weak(x1, x2)
    return xp.floor_divide(x1, x2)


floordiv.defvjp(x1=zero, x2=zero)


@primitive(operands=same_dtype)
def mod(xp: Any, x1: Array, x2: Array) -> Array:
    """``x1 - floor(x1 / x2) * x2``: the remainder, of `x2`'s sign (as Python's ``%``)."""
    x1, x2 = weak(x1, x2)
    return xp.remainder(x1, x2)


mod.defvjp(x1=lambda g: g, x2=lambda g, x1, x2: -g * floordiv(x1, x2))


@primitive(operands=same_dtype)
def pow(xp: Any, x1: Array, x2: Array) -> Array:
    """``x1 ** x2``.

    The gradient is 0 by `x1` where that is 0 and the slope infinite (``x2 < 1``), and by `x2`
    where `x1` is not positive.

    Raises
    ------
    ValueError
        If both are integers and `x2` is negative.
    """
    x1, x2 = weak(x1, x2)
    if isinstance(x2, int) and x2 < 0 and x1.dtype.kind in "iu":  # CuPy computes nonsense
        raise ValueError(f"integers to the negative integer power {x2}: make them floats first")
    return xp.power(x1, x2)


def _pow_by_base(g: Any, x1: Any, x2: Any) -> Any:
    if isinstance(x2, (int, float)) and x2 >= 1:
        return g * x2 * x1 ** (x2 - 1)
    steep = (x1 == 0) & (x2 < 1)  # infinity to a negative power is the 0 we want
    return g * x2 * where(steep, math.inf, x1) ** (x2 - 1)


def _pow_by_exponent(g: Any, y: Any, x1: Any) -> Any:
    if isinstance(x1, (int, float)):
        return g * y * (math.log(x1) if x1 > 0 else 0.0)
    return g * y * log(where(x1 > 0, x1, 1))


pow.defvjp(x1=_pow_by_base, x2=_pow_by_exponent)


@primitive(operands=same_dtype)
def maximum(xp: Any, x1: Array, x2: Array) -> Array:
    """The larger of two; NaN if one is. Equal numbers share the gradient half and half."""
    return xp.maximum(*weak(x1, x2))


maximum.defvjp(
    x1=lambda g, x1, x2: _of_chosen(g, x1 > x2, x1 == x2),
    x2=lambda g, x1, x2: _of_chosen(g, x2 > x1, x1 == x2),
)


@primitive(operands=same_dtype)
def minimum(xp: Any, x1: Array, x2: Array) -> Array:
    """The smaller of two; NaN if one is. Equal numbers share the gradient half and half."""
    return xp.minimum(*weak(x1, x2))


minimum.defvjp(
    x1=lambda g, x1, x2: _of_chosen(g, x1 < x2, x1 == x2),
    x2=lambda g, x1, x2: _of_chosen(g, x2 < x1, x1 == x2),
)


def _of_chosen(g: Any, chosen: Any, tied: Any) -> Any:
    """The cotangent of an operand that was chosen, or as large as the other one."""
    return where(chosen, g, where(tied, 0.5 * g, 0))


@primitive(operands=same_dtype)
def clip(xp: Any, x: Array, min: Array | None = None, max: Array | None = None) -> Array:
    """`x` limited to ``[min, max]``; None is no limit.

    At a limit the gradient is `x`'s; beyond it, the limit's.
    """
    if min is not None:
        x = xp.maximum(*weak(x, min))
    return x if max is None else xp.minimum(*weak(x, max))


def _clip_by_x(g: Any, x: Any, min: Any, max: Any) -> Any:
    if min is not None:
        g = where(x < min, 0, g)
    return g if max is None else where(x > max, 0, g)


clip.defvjp(
    x=_clip_by_x,
    min=lambda g, x, min: where(x < min, g, 0),
    max=lambda g, x, max: where(x > max, g, 0),
)


@primitive(operands=floats)
def atan2(xp: Any, x1: Array, x2: Array) -> Array:
    """Angle of the point at height `x1` and width `x2`, in (-pi, pi]; gradient 0 at the origin."""
    return xp.arctan2(*weak(x1, x2))


def _angle_slope(g: Any, side: Any, x1: Any, x2: Any) -> Any:
    """``g * side / r**2``, with r the distance from the origin; r**2 itself could overflow."""
    r = infinite_at_zero(hypot(x1, x2))
    return g * (side / r) / r


atan2.defvjp(
    x1=lambda g, x1, x2: _angle_slope(g, x2, x1, x2),
    x2=lambda g, x1, x2: -_angle_slope(g, x1, x1, x2),
)


@primitive(operands=floats)
def hypot(xp: Any, x1: Array, x2: Array) -> Array:
    """``sqrt(x1**2 + x2**2)`` without overflow; gradient 0 at the origin."""
    return xp.hypot(*weak(x1, x2))


hypot.defvjp(
    x1=lambda g, y, x1: g * (x1 / infinite_at_zero(y)),
    x2=lambda g, y, x2: g * (x2 / infinite_at_zero(y)),
)


@primitive(operands=floats)
def logaddexp(xp: Any, x1: Array, x2: Array) -> Array:
    """``log(exp(x1) + exp(x2))`` without overflow."""
    return xp.logaddexp(*weak(x1, x2))


def share(x: Any, total: Any) -> Any:
    """``exp(x - total)``, and 0 where both are -inf: the share of x in a sum of exponentials."""
    return exp(x - where(total == -math.inf, 0, total))


logaddexp.defvjp(
    x1=lambda g, y, x1: g * share(x1, y),
    x2=lambda g, y, x2: g * share(x2, y),
)


@primitive(operands=same_dtype)
def lerp(xp: Any, start: Array, end: Array, weight: Array) -> Array:
    """``start + weight * (end - start)``."""
    return start + weak(start, weight)[1] * (end - start)


lerp.defvjp(
    start=lambda g, weight: g * (1 - weight),
    end=lambda g, weight: g * weight,
    weight=lambda g, start, end: g * (end - start),
)
