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
from tensorlite.ops.subgradients import infinite_at_zero
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
    """``-input``.

    Examples
    --------
    >>> tl.neg(tl.tensor([-1.5, 0.0, 2.0]))
    tensor([ 1.5, -0. , -2. ])
    """
    return -x


neg.defvjp(x=lambda g: -g)
negative = neg


@primitive
def abs(xp: Any, x: Array) -> Array:
    """Absolute value; gradient 0 at 0.

    Examples
    --------
    >>> tl.abs(tl.tensor([-1.5, 0.0, 2.0]))
    tensor([1.5, 0. , 2. ])
    """
    return xp.abs(x)


abs.defvjp(x=lambda g, x: g * sign(x))
absolute = abs

# --- powers -----------------------------------------------------------------------------------


@primitive
def square(xp: Any, x: Array) -> Array:
    """``input**2``; of booleans an integer.

    Examples
    --------
    >>> tl.square(tl.tensor([-1.5, 0.0, 2.0]))
    tensor([2.25, 0.  , 4.  ])
    """
    return x * x if x.dtype.kind != "b" else x.astype(np.int64)


square.defvjp(x=lambda g, x: 2 * g * x)


@primitive(operands=floats)
def sqrt(xp: Any, x: Array) -> Array:
    """Square root; gradient 0 at 0.

    Examples
    --------
    >>> tl.sqrt(tl.tensor([0.25, 0.5, 0.75]))
    tensor([0.5       , 0.70710677, 0.8660254 ])
    """
    return xp.sqrt(x)


sqrt.defvjp(x=lambda g, y: 0.5 * g / infinite_at_zero(y))


@primitive(operands=floats)
@float32_inside
def rsqrt(xp: Any, x: Array) -> Array:
    """``1 / sqrt(input)``.

    Examples
    --------
    >>> tl.rsqrt(tl.tensor([0.25, 1.0, 4.0]))
    tensor([2. , 1. , 0.5])
    """
    return 1 / xp.sqrt(x)


rsqrt.defvjp(x=lambda g, y: -0.5 * g * y * y * y)


@primitive(operands=floats)
def reciprocal(xp: Any, x: Array) -> Array:
    """``1 / input``; of integers too, a float.

    Examples
    --------
    >>> tl.reciprocal(tl.tensor([0.25, 0.5, 0.75]))
    tensor([4.       , 2.       , 1.3333334])
    """
    return 1 / x


reciprocal.defvjp(x=lambda g, y: -g * y * y)

# --- exponentials and logarithms --------------------------------------------------------------


@primitive(operands=floats)
def exp(xp: Any, x: Array) -> Array:
    """``e**input``.

    Examples
    --------
    >>> tl.exp(tl.tensor([-1.5, 0.0, 2.0]))
    tensor([0.22313015, 1.        , 7.3890557 ])
    """
    return xp.exp(x)


exp.defvjp(x=lambda g, y: g * y)
exp.kernel("exp")


@primitive(operands=floats)
def exp2(xp: Any, x: Array) -> Array:
    """``2**input``.

    Examples
    --------
    >>> tl.exp2(tl.tensor([-1.5, 0.0, 2.0]))
    tensor([0.35355338, 1.        , 4.        ])
    """
    return xp.exp2(x)


exp2.defvjp(x=lambda g, y: g * y * math.log(2))


@primitive(operands=floats)
def expm1(xp: Any, x: Array) -> Array:
    """``e**input - 1``, accurate for small `input`.

    Examples
    --------
    >>> tl.expm1(tl.tensor([-1.5, 0.0, 2.0]))
    tensor([-0.77686983,  0.        ,  6.389056  ])
    """
    return xp.expm1(x)


expm1.defvjp(x=lambda g, y: g * (y + 1))
expm1.kernel("expm1")


@primitive(operands=floats)
def log(xp: Any, x: Array) -> Array:
    """Natural logarithm.

    Examples
    --------
    >>> tl.log(tl.tensor([0.25, 0.5, 0.75]))
    tensor([-1.3862944, -0.6931472, -0.2876821])
    """
    return xp.log(x)


log.defvjp(x=lambda g, x: g / x)
log.kernel("log")


@primitive(operands=floats)
def log2(xp: Any, x: Array) -> Array:
    """Logarithm to base 2.

    Examples
    --------
    >>> tl.log2(tl.tensor([0.25, 0.5, 0.75]))
    tensor([-2.       , -1.       , -0.4150375])
    """
    return xp.log2(x)


log2.defvjp(x=lambda g, x: g * (1 / math.log(2)) / x)


@primitive(operands=floats)
def log10(xp: Any, x: Array) -> Array:
    """Logarithm to base 10.

    Examples
    --------
    >>> tl.log10(tl.tensor([0.25, 0.5, 0.75]))
    tensor([-0.60206   , -0.30103   , -0.12493874])
    """
    return xp.log10(x)


log10.defvjp(x=lambda g, x: g * (1 / math.log(10)) / x)


@primitive(operands=floats)
def log1p(xp: Any, x: Array) -> Array:
    """``log(1 + input)``, accurate for small `input`.

    Examples
    --------
    >>> tl.log1p(tl.tensor([0.25, 0.5, 0.75]))
    tensor([0.22314356, 0.40546513, 0.5596158 ])
    """
    return xp.log1p(x)


log1p.defvjp(x=lambda g, x: g / (1 + x))

# --- the error function -----------------------------------------------------------------------
log1p.kernel("log1p")


@primitive(operands=floats)
def erf(xp: Any, x: Array) -> Array:
    """Error function ``2 / sqrt(pi) * integral of exp(-t**2) from 0 to input``.

    Examples
    --------
    >>> tl.erf(tl.tensor([-1.5, 0.0, 2.0]))
    tensor([-0.96610516,  0.        ,  0.9953223 ])
    """
    return special.erf(xp, x)


erf.defvjp(x=lambda g, x: g * (2 / math.sqrt(math.pi)) * exp(-x * x))
erf.kernel("erf")


@primitive(operands=floats)
def erfc(xp: Any, x: Array) -> Array:
    """``1 - erf(input)``, accurate where that is small.

    Examples
    --------
    >>> tl.erfc(tl.tensor([-1.5, 0.0, 2.0]))
    tensor([1.9661051 , 1.        , 0.00467773])
    """
    return special.erfc(xp, x)


erfc.defvjp(x=lambda g, x: g * (-2 / math.sqrt(math.pi)) * exp(-x * x))
