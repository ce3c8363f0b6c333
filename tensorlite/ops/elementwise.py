"""Functions of one number, element by element.

Where a function's slope is infinite at the edge of its domain (`sqrt` at 0, `asin` at 1) the
gradient is 0, and at a corner (`abs` at 0) too, so that gradients stay finite.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tensorlite.backend import Array
from tensorlite.ops import special
from tensorlite.ops.fused import float32_inside
from tensorlite.ops.promotion import cast, floats
from tensorlite.ops.rounding import sign
from tensorlite.ops.slopes import infinite_at_zero
from tensorlite.primitive import primitive

__all__ = [
    "abs",
    "absolute",
    "cast",
    "erf",
    "erfc",
    "exp",
    "exp2",
    "expm1",
    "log",
    "log1p",
    "log2",
    "log10",
    "neg",
    "negative",
    "reciprocal",
    "rsqrt",
    "sqrt",
    "square",
]

# --- sign -------------------------------------------------------------------------------------


@primitive
def neg(xp: Any, x: Array) -> Array:
    """``-x``."""
    return -x


neg.defvjp(x=lambda g: -g)
negative = neg


@primitive
def abs(xp: Any, x: Array) -> Array:
    """Absolute value; gradient 0 at 0."""
    return xp.abs(x)


abs.defvjp(x=lambda g, x: g * sign(x))
absolute = abs

# --- powers -----------------------------------------------------------------------------------


@primitive
def square(xp: Any, x: Array) -> Array:
    """``x**2``; of booleans an integer."""
    return x * x if x.dtype.kind != "b" else x.astype(np.int64)


square.defvjp(x=lambda g, x: 2 * g * x)


@primitive(operands=floats)
def sqrt(xp: Any, x: Array) -> Array:
    """Square root; gradient 0 at 0."""
    return xp.sqrt(x)


sqrt.defvjp(x=lambda g, y: 0.5 * g / infinite_at_zero(y))


@primitive(operands=floats)
@float32_inside
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
exp.kernel("exp")


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
expm1.kernel("expm1")


@primitive(operands=floats)
def log(xp: Any, x: Array) -> Array:
    """Natural logarithm."""
    return xp.log(x)


log.defvjp(x=lambda g, x: g / x)
log.kernel("log")


@primitive(operands=floats)
def log2(xp: Any, x: Array) -> Array:
    """Logarithm to base 2."""
    return xp.log2(x)


log2.defvjp(x=lambda g, x: g * (1 / math.log(2)) / x)


@primitive(operands=floats)
def log10(xp: Any, x: Array) -> Array:
    """Logarithm to base 10."""
    return xp.log10(x)


log10.defvjp(x=lambda g, x: g * (1 / math.log(10)) / x)


@primitive(operands=floats)
def log1p(xp: Any, x: Array) -> Array:
    """``log(1 + x)``, accurate for small `x`."""
    return xp.log1p(x)


log1p.defvjp(x=lambda g, x: g / (1 + x))

# --- the error function -----------------------------------------------------------------------
log1p.kernel("log1p")


@primitive(operands=floats)
def erf(xp: Any, x: Array) -> Array:
    """Error function ``2 / sqrt(pi) * integral of exp(-t**2) from 0 to x``."""
    return special.erf(xp, x)


erf.defvjp(x=lambda g, x: g * (2 / math.sqrt(math.pi)) * exp(-x * x))
erf.kernel("erf")


@primitive(operands=floats)
def erfc(xp: Any, x: Array) -> Array:
    """``1 - erf(x)``, accurate where that is small."""
    return special.erfc(xp, x)


erfc.defvjp(x=lambda g, x: g * (-2 / math.sqrt(math.pi)) * exp(-x * x))
