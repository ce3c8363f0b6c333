"""Angles and hyperbolas, and the length and the angle of a vector (x, y).

Where a function's slope is infinite at the edge of its domain (`asin` at 1) the gradient is 0.
Products like (1 - x)(1 + x) stand for 1 - x², which cancels near 1 and overflows far out.
"""

from __future__ import annotations

import math
from typing import Any

from tensorlite.backend import Array
from tensorlite.backend.dtypes import weak
from tensorlite.ops.compare import isinf, where
from tensorlite.ops.elementwise import sqrt
from tensorlite.ops.fused import float32_inside
from tensorlite.ops.promotion import floats
from tensorlite.ops.rounding import sign
from tensorlite.ops.subgradients import float32_rule, infinite_at_zero
from tensorlite.primitive import primitive

__all__ = [
    "acos",
    "acosh",
    "arccos",
    "arccosh",
    "arcsin",
    "arcsinh",
    "arctan",
    "arctan2",
    "arctanh",
    "asin",
    "asinh",
    "atan",
    "atan2",
    "atanh",
    "cos",
    "cosh",
    "deg2rad",
    "hypot",
    "rad2deg",
    "sin",
    "sinc",
    "sinh",
    "tan",
    "tanh",
]


@primitive(operands=floats)
def sin(xp: Any, x: Array) -> Array:
    """Sine of `input` in radians.

    Examples
    --------
    >>> tl.sin(tl.tensor([-1.5, 0.0, 2.0]))
    tensor([-0.997495 ,  0.       ,  0.9092974])
    """
    return xp.sin(x)


sin.defvjp(x=lambda g, x: g * cos(x))


@primitive(operands=floats)
def cos(xp: Any, x: Array) -> Array:
    """Cosine of `input` in radians.

    Examples
    --------
    >>> tl.cos(tl.tensor([-1.5, 0.0, 2.0]))
    tensor([ 0.0707372,  1.       , -0.4161468])
    """
    return xp.cos(x)


cos.defvjp(x=lambda g, x: -g * sin(x))


@primitive(operands=floats)
def tan(xp: Any, x: Array) -> Array:
    """Tangent of `input` in radians.

    Examples
    --------
    >>> tl.tan(tl.tensor([-1.5, 0.0, 2.0]))
    tensor([-14.10142,   0.     ,  -2.18504])
    """
    return xp.tan(x)


tan.defvjp(x=lambda g, y: g * (1 + y * y))


@primitive(operands=floats)
def asin(xp: Any, x: Array) -> Array:
    """Inverse sine, in [-pi/2, pi/2]; gradient 0 at -1 and 1.

    Examples
    --------
    >>> tl.asin(tl.tensor([0.25, 0.5, 0.75]))
    tensor([0.25268024, 0.5235988 , 0.84806216])
    """
    return xp.arcsin(x)


asin.defvjp(x=lambda g, x: g / infinite_at_zero(sqrt((1 - x) * (1 + x))))


@primitive(operands=floats)
def acos(xp: Any, x: Array) -> Array:
    """Inverse cosine, in [0, pi]; gradient 0 at -1 and 1.

    Examples
    --------
    >>> tl.acos(tl.tensor([0.25, 0.5, 0.75]))
    tensor([1.3181162, 1.0471976, 0.7227342])
    """
    return xp.arccos(x)


acos.defvjp(x=lambda g, x: -g / infinite_at_zero(sqrt((1 - x) * (1 + x))))


@primitive(operands=floats)
def atan(xp: Any, x: Array) -> Array:
    """Inverse tangent, in (-pi/2, pi/2).

    Examples
    --------
    >>> tl.atan(tl.tensor([-1.5, 0.0, 2.0]))
    tensor([-0.98279375,  0.        ,  1.1071488 ])
    """
    return xp.arctan(x)


atan.defvjp(x=lambda g, x: g / (1 + x * x))


@primitive(operands=floats)
def sinh(xp: Any, x: Array) -> Array:
    """Hyperbolic sine.

    Examples
    --------
    >>> tl.sinh(tl.tensor([-1.5, 0.0, 2.0]))
    tensor([-2.1292794,  0.       ,  3.6268604])
    """
    return xp.sinh(x)


sinh.defvjp(x=lambda g, x: g * cosh(x))


@primitive(operands=floats)
def cosh(xp: Any, x: Array) -> Array:
    """Hyperbolic cosine.

    Examples
    --------
    >>> tl.cosh(tl.tensor([-1.5, 0.0, 2.0]))
    tensor([2.3524096, 1.       , 3.7621956])
    """
    return xp.cosh(x)


cosh.defvjp(x=lambda g, x: g * sinh(x))


@primitive(operands=floats)
def tanh(xp: Any, x: Array) -> Array:
    """Hyperbolic tangent.

    Examples
    --------
    >>> tl.tanh(tl.tensor([-1.5, 0.0, 2.0]))
    tensor([-0.9051482,  0.       ,  0.9640276])
    """
    return xp.tanh(x)


@primitive
def tanh_backward(xp: Any, dy: Array, out: Array) -> Array:
    """Cotangent of `tanh`'s input from that of its output `out`."""
    return dy * (1 - out * out)


tanh.defvjp(x=lambda g, y: tanh_backward(g, y))
tanh_backward.defvjp(
    dy=lambda g, out: tanh_backward(g, out), out=lambda g, dy, out: g * dy * (-2 * out)
)
tanh.kernel("tanh")
tanh_backward.kernel("tanh_backward")


@primitive(operands=floats)
def asinh(xp: Any, x: Array) -> Array:
    """Inverse hyperbolic sine.

    Examples
    --------
    >>> tl.asinh(tl.tensor([-1.5, 0.0, 2.0]))
    tensor([-1.1947632,  0.       ,  1.4436355])
    """
    return xp.arcsinh(x)


asinh.defvjp(x=lambda g, x: g / hypot(x, 1.0))


@primitive(operands=floats)
def acosh(xp: Any, x: Array) -> Array:
    """Inverse hyperbolic cosine; gradient 0 at 1.

    Examples
    --------
    >>> tl.acosh(tl.tensor([1.5, 2.0, 4.0]))
    tensor([0.9624236, 1.316958 , 2.063437 ])
    """
    return xp.arccosh(x)


acosh.defvjp(x=lambda g, x: g / infinite_at_zero(sqrt(x - 1) * sqrt(x + 1)))


@primitive(operands=floats)
def atanh(xp: Any, x: Array) -> Array:
    """Inverse hyperbolic tangent.

    Examples
    --------
    >>> tl.atanh(tl.tensor([0.25, 0.5, 0.75]))
    tensor([0.25541282, 0.54930615, 0.97295505])
    """
    return xp.arctanh(x)


atanh.defvjp(x=lambda g, x: g / ((1 - x) * (1 + x)))

arccos, arcsin, arctan = acos, asin, atan
arccosh, arcsinh, arctanh = acosh, asinh, atanh


def deg2rad(input: Any) -> Any:
    """Degrees in radians.

    Examples
    --------
    >>> tl.deg2rad(tl.tensor([-1.5, 0.0, 2.0]))
    tensor([-0.02617994,  0.        ,  0.03490658])
    """
    return input * (math.pi / 180)


def rad2deg(input: Any) -> Any:
    """Radians in degrees.

    Examples
    --------
    >>> tl.rad2deg(tl.tensor([-1.5, 0.0, 2.0]))
    tensor([-85.94367,   0.     , 114.59156])
    """
    return input * (180 / math.pi)


@primitive(operands=floats)
@float32_inside
def sinc(xp: Any, x: Array) -> Array:
    """``sin(pi input) / (pi input)``, and 1 at 0.

    Examples
    --------
    >>> tl.sinc(tl.tensor([-0.5, 0.0, 0.5]))
    tensor([0.63661975, 1.        , 0.63661975])
    """
    u = math.pi * xp.where(x == 0, 1, x)
    return xp.where(x == 0, 1, xp.sin(u) / u)


@float32_rule
def _sinc_slope(g: Any, x: Any) -> Any:
    """``(cos(pi x) - sinc(x)) / x``, where that cancels by its series."""
    near = (x > -0.1) & (x < 0.1)
    u = math.pi * where(near, x, 0)
    series, square = 0.0, u * u
    for k in range(7, 0, -1):
        series = series * square + (-1) ** k * 2 * k / math.factorial(2 * k + 1)
    far = (cos(math.pi * x) - sinc(x)) / where(near, 1, x)
    return g * where(near, series * u * math.pi, far)


sinc.defvjp(x=_sinc_slope)

# --- vectors ----------------------------------------------------------------------------------


@primitive(operands=floats)
def hypot(xp: Any, x1: Array, x2: Array) -> Array:
    """``sqrt(input**2 + other**2)`` without overflow; gradient 0 at the origin.

    Examples
    --------
    >>> tl.hypot(tl.tensor([5.0, -3.0]), tl.tensor([2.0, 2.0]))
    tensor([5.3851647, 3.6055512])
    """
    return xp.hypot(*weak(x1, x2))


def _component(side: Any, r: Any) -> Any:
    """``side / r``: a component of a vector of length r, in its direction.

    An infinite side leaves nothing of the other.
    """
    far = isinf(side)
    return where(far, sign(side), side) / where(far, 1, infinite_at_zero(r))


hypot.defvjp(
    x1=lambda g, y, x1: g * _component(x1, y),
    x2=lambda g, y, x2: g * _component(x2, y),
)


@primitive(operands=floats)
def atan2(xp: Any, x1: Array, x2: Array) -> Array:
    """Angle of the point at height `input` and width `other`, in (-pi, pi].

    The gradient is 0 at the origin.

    Examples
    --------
    >>> tl.atan2(tl.tensor([5.0, -3.0]), tl.tensor([2.0, 2.0]))
    tensor([ 1.19029  , -0.9827938])
    """
    return xp.arctan2(*weak(x1, x2))


arctan2 = atan2


def _angle_slope(g: Any, side: Any, x1: Any, x2: Any) -> Any:
    """``g * side / r**2``, with r the distance from the origin; r**2 itself could overflow."""
    r = hypot(x1, x2)
    return g * _component(side, r) / infinite_at_zero(r)


atan2.defvjp(
    x1=lambda g, x1, x2: _angle_slope(g, x2, x1, x2),
    x2=lambda g, x1, x2: -_angle_slope(g, x1, x1, x2),
)
