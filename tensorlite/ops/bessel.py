"""Modified Bessel functions of the first kind: `i0`, `i1` and, less their growth, `i0e`, `i1e`.

Near 0 by the power series, whose terms are all positive; far out by Hankel's asymptotic series
(NIST Digital Library of Mathematical Functions, 10.25.2 and 10.40.1). Good to about 1e-15.
"""

from __future__ import annotations

import math
from typing import Any

from tensorlite.backend import Array
from tensorlite.ops.compare import isinf, where
from tensorlite.ops.promotion import floats
from tensorlite.ops.rounding import sign
from tensorlite.ops.subgradients import float32_rule
from tensorlite.ops.wide import in_float64
from tensorlite.primitive import primitive

__all__ = ["i0"]

_FAR = 25.0


def _near(order: int, size: Any) -> Any:
    """``I(size)`` up to `_FAR`."""
    square = 0.25 * size * size
    y = 1.0 + 0 * square
    for k in range(60, 0, -1):
        y = 1 + square / (k * (k + order)) * y
    return y * (0.5 * size if order else 1.0)


def _far(xp: Any, order: int, size: Any) -> Any:
    """``I(size) exp(-size)`` from `_FAR` on."""
    y = 1.0 + 0 / size
    for k in range(26, 0, -1):
        y = 1 - (4 * order - (2 * k - 1) ** 2) / (8 * k * size) * y
    return y / (math.sqrt(2 * math.pi) * xp.sqrt(size))


def _scaled(xp: Any, order: int, x: Any) -> Any:
    """``I(x) exp(-|x|)``."""
    size = xp.abs(x)
    near = _near(order, xp.minimum(size, _FAR)) * xp.exp(-size)
    y = xp.where(size < _FAR, near, _far(xp, order, xp.maximum(size, _FAR)))
    return xp.copysign(y, x) if order else y


def _grown(xp: Any, order: int, x: Any) -> Any:
    """``I(x)``; exp(|x|) by halves, which overflow no sooner than the result."""
    size = xp.abs(x)
    half = xp.exp(0.5 * size)
    far = xp.where(xp.isinf(size), xp.inf, _far(xp, order, xp.maximum(size, _FAR)) * half * half)
    y = xp.where(size < _FAR, _near(order, xp.minimum(size, _FAR)), far)
    return xp.copysign(y, x) if order else y


@primitive(operands=floats)
@in_float64
def i0(xp: Any, x: Array) -> Array:
    """Modified Bessel function of the first kind and order 0.

    Examples
    --------
    >>> tl.i0(tl.tensor([0.0, 1.0, 2.0]))
    tensor([1.       , 1.2660658, 2.2795854])
    """
    return _grown(xp, 0, x)


@primitive(operands=floats)
@in_float64
def i0e(xp: Any, x: Array) -> Array:
    """``exp(-|input|) * i0(input)``.

    Examples
    --------
    >>> tl.special.i0e(tl.tensor([0.0, 0.5, 1.0]))
    tensor([1.        , 0.64503527, 0.4657596 ])
    """
    return _scaled(xp, 0, x)


@primitive(operands=floats)
@in_float64
def i1(xp: Any, x: Array) -> Array:
    """Modified Bessel function of the first kind and order 1.

    Examples
    --------
    >>> tl.special.i1(tl.tensor([0.0, 0.5, 1.0]))
    tensor([0.       , 0.2578943, 0.5651591])
    """
    return _grown(xp, 1, x)


@primitive(operands=floats)
@in_float64
def i1e(xp: Any, x: Array) -> Array:
    """``exp(-|input|) * i1(input)``.

    Examples
    --------
    >>> tl.special.i1e(tl.tensor([0.0, 0.5, 1.0]))
    tensor([0.        , 0.1564208 , 0.20791042])
    """
    return _scaled(xp, 1, x)


def _over_x(y: Any, x: Any) -> Any:
    """``i1(x) / x``, and its limit at 0; 0 where it is infinite, since `i0` is larger."""
    zero = x == 0
    return where(zero, 0.5, where(isinf(y), 0, y) / where(zero, 1, x))


# In short floats y has too few digits for what cancels, so that it is computed again.
i0.defvjp(x=lambda g, x: g * i1(x))
i1.defvjp(x=float32_rule(lambda g, x: g * (i0(x) - _over_x(i1(x), x))))
i0e.defvjp(x=float32_rule(lambda g, x: g * (i1e(x) - sign(x) * i0e(x))))
i1e.defvjp(x=float32_rule(lambda g, x: g * (i0e(x) - _over_x(i1e(x), x) - sign(x) * i1e(x))))
