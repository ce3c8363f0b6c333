"""Functions of one number, element by element.

Where a function's slope is infinite at the edge of its domain (`sqrt` at 0, `asin` at 1) the
gradient is 0, and at a corner (`abs` at 0) too, so that gradients stay finite.
"""

from __future__ import annotations

import math
from typing import Any

from tensorlite.backend import Array
from tensorlite.ops import special
from tensorlite.ops.promotion import cast, floats
from tensorlite.ops.slopes import infinite_at_zero, zero
from tensorlite.primitive import primitive

__all__ = [
    "abs",
    "acos",
    "acosh",
    "asin",
    "asinh",
    "atan",
    "atanh",
    "cast",
    "ceil",
    "cos",
    "cosh",
    "erf",
    "erfc",
    "exp",
    "exp2",
    "expm1",
    "floor",
    "log",
    "log1p",
    "log2",
    "log10",
    "neg",
    "reciprocal",
    "round",
    "rsqrt",
    "sign",
    "sin",
    "sinh",
    "sqrt",
    "square",
    "tan",
    "tanh",
    "trunc",
]

# --- sign and rounding ------------------------------------------------------------------------


@primitive
def neg(xp: Any, x: Array) -> Array:
    """``-x``."""
    return -x


neg.defvjp(x=lambda g: -g)


@primitive
def abs(xp: Any, x: Array) -> Array:
    """Absolute value; gradient 0 at 0."""
    return xp.abs(x)


abs.defvjp(x=lambda g, x: g * sign(x))


@primitive
def sign(xp: Any, x: Array) -> Array:
    """-1, 0 or 1; its gradient is 0."""
    return xp.sign(x)


sign.defvjp(x=zero)


@primitive
def floor(xp: Any, x: Array) -> Array:
    """The largest integer not above `x`; its gradient is 0."""
    return xp.floor(x)


floor.defvjp(x=zero)


@primitive
def ceil(xp: Any, x: Array) -> Array:
    """The smallest integer not below `x`; its gradient is 0."""
    return xp.ceil(x)


ceil.defvjp(x=zero)


@primitive
def trunc(xp: Any, x: Array) -> Array:
    """`x` without its fraction; its gradient is 0."""
    return xp.trunc(x)


trunc.defvjp(x=zero)


@primitive
def round(xp: Any, x: Array, *, decimals: int = 0) -> Array:
    """`x` rounded to `decimals` places, halves to even; its gradient is 0."""
    return xp.round(x, decimals)


round.defvjp(x=zero)

# --- powers -----------------------------------------------------------------------------------


@primitive
def square(xp: Any, x: Array) -> Array:
    """``x**2``."""
    return x * x


square.defvjp(x=lambda g, x: 2 * g * x)


@primitive(operands=floats)
def sqrt(xp: Any, x: Array) -> Array:
    """Square root; gradient 0 at 0."""
    return xp.sqrt(x)


sqrt.defvjp(x=lambda g, y: 0.5 * g / infinite_at_zero(y))


@primitive(operands=floats)
def rsqrt(xp: Any, x: Array) -> Array:
    """``1 / sqrt(x)``."""
    return 1 / xp.sqrt(x)


rsqrt.defvjp(x=lambda g, y: -0.5 * g * y * y * y)


@primitive(operands=floats)
def reciprocal(xp: Any, x: Array) -> Array:
    """``1 / x``; of integers too, a float."""
    return 1 / x


reciprocal.defvjp(x=lambda g, y: -g * y * y)

# --- exponentials and logarithms --------------------------------------------------------------


@primitive(operands=floats)
def exp(xp: Any, x: Array) -> Array:
    """``e**x``."""
    return xp.exp(x)


exp.defvjp(x=lambda g, y: g * y)


@primitive(operands=floats)
def exp2(xp: Any, x: Array) -> Array:
    """``2**x``."""
    return xp.exp2(x)


exp2.defvjp(x=lambda g, y: g * y * math.log(2))


@primitive(operands=floats)
def expm1(xp: Any, x: Array) -> Array:
    """``e**x - 1``, accurate for small `x`."""
    return xp.expm1(x)


expm1.defvjp(x=lambda g, y: g * (y + 1))


@primitive(operands=floats)
def log(xp: Any, x: Array) -> Array:
    """Natural logarithm."""
    return xp.log(x)


log.defvjp(x=lambda g, x: g / x)


@primitive(operands=floats)
def log2(xp: Any, x: Array) -> Array:
    """Logarithm to base 2."""
    return xp.log2(x)


log2.defvjp(x=lambda g, x: g / (x * math.log(2)))


@primitive(operands=floats)
def log10(xp: Any, x: Array) -> Array:
    """Logarithm to base 10."""
    return xp.log10(x)


log10.defvjp(x=lambda g, x: g / (x * math.log(10)))


@primitive(operands=floats)
def log1p(xp: Any, x: Array) -> Array:
    """``log(1 + x)``, accurate for small `x`."""
    return xp.log1p(x)


log1p.defvjp(x=lambda g, x: g / (1 + x))

# --- angles and hyperbolas --------------------------------------------------------------------


@primitive(operands=floats)
def sin(xp: Any, x: Array) -> Array:
    """Sine of `x` in radians."""
    return xp.sin(x)


sin.defvjp(x=lambda g, x: g * cos(x))


@primitive(operands=floats)
def cos(xp: Any, x: Array) -> Array:
    """Cosine of `x` in radians."""
    return xp.cos(x)


cos.defvjp(x=lambda g, x: -g * sin(x))


@primitive(operands=floats)
def tan(xp: Any, x: Array) -> Array:
    """Tangent of `x` in radians."""
    return xp.tan(x)


tan.defvjp(x=lambda g, y: g * (1 + y * y))


@primitive(operands=floats)
def asin(xp: Any, x: Array) -> Array:
    """Inverse sine, in [-pi/2, pi/2]; gradient 0 at -1 and 1."""
    return xp.arcsin(x)


asin.defvjp(x=lambda g, x: g / infinite_at_zero(sqrt(1 - x * x)))


@primitive(operands=floats)
def acos(xp: Any, x: Array) -> Array:
    """Inverse cosine, in [0, pi]; gradient 0 at -1 and 1."""
    return xp.arccos(x)


acos.defvjp(x=lambda g, x: -g / infinite_at_zero(sqrt(1 - x * x)))


@primitive(operands=floats)
def atan(xp: Any, x: Array) -> Array:
    """Inverse tangent, in (-pi/2, pi/2)."""
    return xp.arctan(x)


atan.defvjp(x=lambda g, x: g / (1 + x * x))


@primitive(operands=floats)
def sinh(xp: Any, x: Array) -> Array:
    """Hyperbolic sine."""
    return xp.sinh(x)


sinh.defvjp(x=lambda g, x: g * cosh(x))


@primitive(operands=floats)
def cosh(xp: Any, x: Array) -> Array:
    """Hyperbolic cosine."""
    return xp.cosh(x)


cosh.defvjp(x=lambda g, x: g * sinh(x))


@primitive(operands=floats)
def tanh(xp: Any, x: Array) -> Array:
    """Hyperbolic tangent."""
    return xp.tanh(x)


@primitive
def tanh_backward(xp: Any, dy: Array, out: Array) -> Array:
    """Cotangent of `tanh`'s input from that of its output `out`."""
    return dy * (1 - out * out)


tanh.defvjp(x=lambda g, y: tanh_backward(g, y))
tanh_backward.defvjp(
    dy=lambda g, out: tanh_backward(g, out), out=lambda g, dy, out: g * dy * (-2 * out)
)


@primitive(operands=floats)
def asinh(xp: Any, x: Array) -> Array:
    """Inverse hyperbolic sine."""
    return xp.arcsinh(x)


asinh.defvjp(x=lambda g, x: g / sqrt(1 + x * x))


@primitive(operands=floats)
def acosh(xp: Any, x: Array) -> Array:
    """Inverse hyperbolic cosine; gradient 0 at 1."""
    return xp.arccosh(x)


acosh.defvjp(x=lambda g, x: g / infinite_at_zero(sqrt((x - 1) * (x + 1))))


@primitive(operands=floats)
def atanh(xp: Any, x: Array) -> Array:
    """Inverse hyperbolic tangent."""
    return xp.arctanh(x)


atanh.defvjp(x=lambda g, x: g / (1 - x * x))

# --- the error function -----------------------------------------------------------------------


@primitive(operands=floats)
def erf(xp: Any, x: Array) -> Array:
    """Error function ``2 / sqrt(pi) * integral of exp(-t**2) from 0 to x``."""
    return special.erf(xp, x)


erf.defvjp(x=lambda g, x: g * (2 / math.sqrt(math.pi)) * exp(-x * x))


@primitive(operands=floats)
def erfc(xp: Any, x: Array) -> Array:
    """``1 - erf(x)``, accurate where that is small."""
    return special.erfc(xp, x)


erfc.defvjp(x=lambda g, x: g * (-2 / math.sqrt(math.pi)) * exp(-x * x))
