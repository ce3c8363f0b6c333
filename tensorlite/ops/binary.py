"""Rarer functions of two numbers, element by element. Shapes broadcast, dtypes promote."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tensorlite.backend import Array
from tensorlite.backend.dtypes import default_dtype, weak
from tensorlite.ops.activation import sigmoid
from tensorlite.ops.compare import isinf, where
from tensorlite.ops.elementwise import log, log1p
from tensorlite.ops.fused import float32_inside
from tensorlite.ops.promotion import floats, same_dtype
from tensorlite.ops.rounding import sign
from tensorlite.ops.subgradients import zero
from tensorlite.primitive import primitive

__all__ = [
    "copysign",
    "gcd",
    "heaviside",
    "lcm",
    "ldexp",
    "logaddexp",
    "logaddexp2",
    "nextafter",
    "xlogy",
]


# --- signs and steps --------------------------------------------------------------------------


@primitive(operands=floats)
def copysign(xp: Any, x1: Array, x2: Array) -> Array:
    """The magnitude of `input` with the sign of `other`, which -0.0 has too.

    The gradient is 0 where `input` is 0.

    Examples
    --------
    >>> tl.copysign(tl.tensor([5.0, -3.0]), tl.tensor([2.0, 2.0]))
    tensor([5., 3.])
    """
    return xp.copysign(*weak(x1, x2))


copysign.defvjp(
    x1=lambda g, x1, y: g * sign(x1) * sign(y),
    x2=zero,
)


@primitive(operands=same_dtype)
def heaviside(xp: Any, x1: Array, x2: Array) -> Array:
    """0 where `input` is negative, 1 where it is positive, `values` where it is 0; has no gradient.

    Examples
    --------
    >>> tl.heaviside(tl.tensor([5.0, -3.0]), tl.tensor([2.0, 2.0]))
    tensor([1., 0.])
    """
    x1, x2 = weak(x1, x2)
    dtype = np.result_type(x1, x2)
    step = xp.where(x1 == 0, x2, (x1 > 0).astype(dtype))
    return xp.where(x1 != x1, x1, step).astype(dtype, copy=False)


heaviside.primitive.rename({"x1": "input", "x2": "values"})


@primitive(operands=floats)
def nextafter(xp: Any, x1: Array, x2: Array) -> Array:
    """The number next to `input` on the way to `other`.

    Examples
    --------
    >>> tl.nextafter(tl.tensor([5.0, -3.0]), tl.tensor([2.0, 2.0]))
    tensor([ 4.9999995, -2.9999998])
    """
    return xp.nextafter(*weak(x1, x2))


nextafter.defvjp(x1=lambda g, x1, x2: where(x1 == x2, 0, g), x2=zero)

# --- integers ---------------------------------------------------------------------------------


@primitive(operands=same_dtype)
def gcd(xp: Any, x1: Array, x2: Array) -> Array:
    """The greatest common divisor of integers; of 0 and 0, 0.

    Examples
    --------
    >>> tl.gcd(tl.tensor([6, 3]), tl.tensor([4, 1]))
    tensor([2, 1])
    """
    return xp.gcd(x1, x2)


@primitive(operands=same_dtype)
def lcm(xp: Any, x1: Array, x2: Array) -> Array:
    """The least common multiple of integers.

    Examples
    --------
    >>> tl.lcm(tl.tensor([6, 3]), tl.tensor([4, 1]))
    tensor([12,  3])
    """
    return xp.lcm(x1, x2)


# --- exponentials and logarithms --------------------------------------------------------------


@primitive
def ldexp(xp: Any, x1: Array, x2: Array) -> Array:
    """``input * 2**other``.

    Examples
    --------
    >>> tl.ldexp(tl.tensor([5.0, -3.0]), tl.tensor([2.0, 2.0]))
    tensor([ 20., -12.])
    """
    x1, x2 = weak(x1, x2)
    whole = np.result_type(x2).kind in "iub"
    if np.result_type(x1).kind in "iub":
        x1 = xp.asarray(x1, default_dtype() if whole else np.result_type(x2))
    if whole:
        return xp.ldexp(x1, xp.asarray(x2).astype(np.int32, copy=False))
    return x1 * xp.exp2(x2)


ldexp.defvjp(x1=lambda g, x2: ldexp(g, x2), x2=lambda g, y: g * y * math.log(2))


@primitive(operands=floats)
def logaddexp(xp: Any, x1: Array, x2: Array) -> Array:
    """``log(exp(input) + exp(other))`` without overflow.

    Examples
    --------
    >>> tl.logaddexp(tl.tensor([5.0, -3.0]), tl.tensor([2.0, 2.0]))
    tensor([5.0485873, 2.0067153])
    """
    return xp.logaddexp(*weak(x1, x2))


@primitive(operands=floats)
@float32_inside
def logaddexp2(xp: Any, x1: Array, x2: Array) -> Array:
    """``log2(2**input + 2**other)`` without overflow.

    Examples
    --------
    >>> tl.logaddexp2(tl.tensor([1.0, 2.0]), tl.tensor([1.0, 3.0]))
    tensor([2.       , 3.5849624])
    """
    if xp is np:
        return xp.logaddexp2(x1, x2)
    # CuPy takes the logarithm of 1 + 2**-|x1 - x2|, which is 1 where a little is added.
    larger = xp.maximum(x1, x2)
    added = xp.log1p(xp.exp2(-xp.abs(x1 - x2))) * math.log2(math.e)
    return larger + xp.where(x1 == x2, 1, added).astype(larger.dtype, copy=False)


def _part(x: Any, other: Any, base: float) -> Any:
    """The share of `x` in the sum of two powers: of equal infinite ones half, of nothing 0."""
    same = isinf(x) & (x == other)
    part = sigmoid((where(same, 0, x) - where(same, 0, other)) * math.log(base))
    return where(same & (x < 0), 0, part)


for _primitive, _base in ((logaddexp, math.e), (logaddexp2, 2.0)):
    _primitive.defvjp(
        x1=lambda g, x1, x2, *, base=_base: g * _part(x1, x2, base),
        x2=lambda g, x1, x2, *, base=_base: g * _part(x2, x1, base),
    )


@primitive(operands=floats)
@float32_inside
def xlogy(xp: Any, x1: Array, x2: Array) -> Array:
    """``input * log(other)``, and 0 where `input` is 0, unless `other` is NaN.

    Examples
    --------
    >>> tl.xlogy(tl.tensor([0.0, 2.0]), tl.tensor([0.0, 1.0]))
    tensor([0., 0.])
    """
    x1, x2 = weak(x1, x2)
    nothing = (x1 == 0) & (x2 == x2)
    return xp.where(nothing, x1 * 0, x1 * xp.log(xp.where(nothing, 1, x2)))


xlogy.defvjp(
    x1=lambda g, x1, x2: _by_factor(g, x1, x2, 0, log),
    x2=lambda g, x1, x2: _by_argument(g, x1, x2),
)


def _by_factor(g: Any, x1: Any, x2: Any, pole: float, logarithm: Any) -> Any:
    """``g * logarithm(x2)``, and 0 where `x1` is 0 and the logarithm has no value."""
    nothing = (x1 == 0) & (x2 <= pole)
    return where(nothing, 0, g * logarithm(where(nothing, pole + 1, x2)))


def _by_argument(g: Any, x1: Any, x2: Any) -> Any:
    """``g * x1 / x2``, and 0 where both are 0."""
    return g * x1 / where((x1 == 0) & (x2 == 0), 1, x2)


@primitive(operands=floats)
@float32_inside
def xlog1py(xp: Any, x1: Array, x2: Array) -> Array:
    """``input * log(1 + other)``, and 0 where `input` is 0, unless `other` is NaN.

    Examples
    --------
    >>> tl.special.xlog1py(tl.tensor([0.0, 2.0]), tl.tensor([-1.0, 1.0]))
    tensor([0.       , 1.3862944])
    """
    x1, x2 = weak(x1, x2)
    nothing = (x1 == 0) & (x2 == x2)
    return xp.where(nothing, x1 * 0, x1 * xp.log1p(xp.where(nothing, 0, x2)))


xlog1py.defvjp(
    x1=lambda g, x1, x2: _by_factor(g, x1, x2, -1, log1p),
    x2=lambda g, x1, x2: _by_argument(g, x1, 1 + x2),
)
