"""The gamma function's family: `lgamma`, `digamma`, `polygamma`, Hurwitz's `zeta`.

All take a small argument up by recurrence to where an asymptotic series holds (Stirling's and its
derivatives; NIST Digital Library of Mathematical Functions, 5.5, 5.11, 5.15, 25.11), and a negative
one to a positive by reflection. Good to about 1e-14, of the value or, where that is small, of 1.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from tensorlite.backend import Array
from tensorlite.ops.inplace import in_place
from tensorlite.ops.promotion import floats
from tensorlite.ops.wide import horner, in_float64
from tensorlite.primitive import primitive

__all__ = ["digamma", "lgamma", "mvlgamma", "polygamma"]

EULER = 0.57721566490153286061
_BERNOULLI = (  # B2, B4, …
    *(1 / 6, -1 / 30, 1 / 42, -1 / 30, 5 / 66, -691 / 2730, 7 / 6, -3617 / 510),
    *(43867 / 798, -174611 / 330, 854513 / 138, -236364091 / 2730),
)
_FAR = 10.0  # from here on the asymptotic series of the functions of one argument hold
_STEPS = 10  # as many steps up lead there


def zeta_of(xp: Any, s: Any, q: Any) -> Any:
    """Σ (q + k)^-s over k = 0, 1, …, for s > 1 and q > 0, by Euler's and Maclaurin's formula."""
    total, steps = 0.0, 16
    for k in range(steps):
        total = total + (q + k) ** -s
    far = q + steps
    power = far**-s
    total = total + far ** (1 - s) / (s - 1) + 0.5 * power  # far**-s alone may be 0
    term = s * power / far
    for j, b in enumerate(_BERNOULLI, start=1):
        total = total + b / math.factorial(2 * j) * term
        term = term * (s + 2 * j - 1) * (s + 2 * j) / (far * far)
    return total


@functools.cache
def _series_at_2() -> list[float]:
    """Coefficients of log Γ(2 + z), from the highest power down (DLMF 5.7.3)."""
    rest = [zeta_of(math, float(k), 2.0) for k in range(2, 33)]  # ζ(k) - 1
    terms = [(-1) ** k * r / k for k, r in enumerate(rest, start=2)]
    return [*reversed(terms), 1 - EULER, 0.0]


def _rising(x: Any, steps: int) -> Any:
    """``x (x + 1) … (x + steps - 1)``."""
    return functools.reduce(lambda product, k: product * (x + k), range(1, steps), x)


def _lgamma_above_0(xp: Any, x: Any) -> Any:
    near = xp.minimum(x, 2.5)
    whole = xp.where(near < 0.5, 0.0, xp.where(near < 1.5, 1.0, 2.0))
    z = near - whole
    at_2 = horner(_series_at_2(), z)
    at_1 = at_2 - xp.where(whole < 2, xp.log1p(z), 0)
    at_0 = at_1 - xp.where(whole < 1, xp.log(near), 0)
    small = x < _FAR
    t = xp.where(small, x + _STEPS, x)
    w = 1 / (t * t)
    tail = [b / (2 * j * (2 * j - 1)) for j, b in enumerate(_BERNOULLI[:8], start=1)]
    far = (t - 0.5) * (xp.log(t) - 1) - 0.5 + 0.5 * math.log(2 * math.pi)
    far = far + horner(reversed(tail), w) / t
    far = far - xp.where(small, xp.log(_rising(xp.where(small, x, 1), _STEPS)), 0)
    return xp.where(x < 2.5, at_0, far)


def lgamma_of(xp: Any, x: Any) -> Any:
    """``log |Γ(x)|`` of a float64 array."""
    size = xp.abs(x)
    above = _lgamma_above_0(xp, size)
    fraction = size - xp.floor(size)
    sine = xp.sin(math.pi * xp.minimum(fraction, 1 - fraction))
    below = math.log(math.pi) - xp.log(size) - xp.log(sine) - above
    infinite = xp.isinf(x) | ((x < 0) & (fraction == 0))
    return xp.where(infinite, xp.inf, xp.where(x < 0, below, above))


@primitive(operands=floats)
@in_float64
def lgamma(xp: Any, x: Array) -> Array:
    """Logarithm of the absolute value of the gamma function; infinity at 0, -1, -2 ….

    Examples
    --------
    >>> tl.lgamma(tl.tensor([0.5, 1.0, 4.0]))
    tensor([0.5723649, 0.       , 1.7917595])
    """
    return lgamma_of(xp, x)


def _cotangent(xp: Any, fraction: Any) -> Any:
    """``cot(pi fraction)`` for a fraction from -1/2 to 1/2, where it is exactly 0."""
    size = xp.abs(fraction)
    flat = xp.tan(math.pi * (0.5 - xp.maximum(size, 0.25)))
    steep = 1 / xp.tan(math.pi * xp.minimum(size, 0.25))
    return xp.copysign(xp.where(size < 0.25, steep, flat), fraction)


@primitive(operands=floats)
@in_float64
def digamma(xp: Any, x: Array) -> Array:
    """Derivative of `lgamma`; NaN at -1, -2 …, infinity at 0.

    Examples
    --------
    >>> tl.digamma(tl.tensor([0.5, 1.0, 2.0]))
    tensor([-1.96351   , -0.5772157 ,  0.42278433])
    """
    negative = x < 0
    size = xp.where(negative, 1 - x, x)
    small = size < _FAR
    t = xp.where(small, size + _STEPS, size)
    w = 1 / (t * t)
    tail = [b / (2 * j) for j, b in enumerate(_BERNOULLI[:8], start=1)]
    y = xp.log(t) - 0.5 / t - w * horner(reversed(tail), w)
    for k in range(_STEPS - 1, -1, -1):
        y = y - xp.where(small, 1 / (size + k), 0)
    fraction = x - xp.round(x)
    y = y - xp.where(negative, math.pi * _cotangent(xp, fraction), 0)
    y = xp.where(negative & (fraction == 0), xp.nan, y)
    return xp.where(x == 0, -xp.copysign(xp.inf, x), y)


lgamma.defvjp(x=lambda g, x: g * digamma(x))
digamma.defvjp(x=lambda g, x: g * derivative_of_digamma(x, n=1))


@functools.cache
def _derivative_of_cotangent(n: int) -> list[float]:
    """The n-th derivative of cot as a polynomial of cot, from the highest power down."""
    p = np.polynomial.Polynomial([0.0, 1.0])
    for _ in range(n):
        p = -p.deriv() * np.polynomial.Polynomial([1.0, 0.0, 1.0])
    return p.coef[::-1].tolist()


@primitive(name="polygamma", operands=floats)
@in_float64
def derivative_of_digamma(xp: Any, x: Array, *, n: int) -> Array:
    """The `n`-th derivative of `digamma`, n > 0."""
    negative = x < 0
    size = xp.where(negative, 1 - x, x)
    sign, factor = (-1.0) ** (n + 1), float(math.factorial(n)) if n < 171 else math.inf
    y = sign * factor * zeta_of(xp, n + 1.0, size)
    y = xp.where(size == xp.inf, 0, y)
    fraction = x - xp.round(x)
    cotangent = _cotangent(xp, xp.where(negative, fraction, 0.25))
    reflected = (-1.0) ** n * y - math.pi ** (n + 1) * horner(
        _derivative_of_cotangent(n), cotangent
    )
    y = xp.where(negative, reflected, y)
    return xp.where((x <= 0) & (fraction == 0), sign * xp.inf, y)


derivative_of_digamma.defvjp(x=lambda g, x, n: g * derivative_of_digamma(x, n=n + 1))


def polygamma(n: Any, input: Any) -> Any:
    """The `n`-th derivative of `digamma`; as a method ``x.polygamma(n)``.

    Parameters
    ----------
    n : int
        Not negative; 0 is `digamma` itself.
    input : Tensor
        Any shape.

    Returns
    -------
    Tensor
        Of `input`'s shape and float dtype.

    Raises
    ------
    ValueError
        If `n` is no integer, or negative.

    Examples
    --------
    >>> tl.polygamma(1, tl.tensor([1.0, 2.0]))
    tensor([1.644934  , 0.64493406])
    """
    if not isinstance(n, int):
        n, input = input, n
    if n < 0:
        raise ValueError(f"polygamma: n is {n}; it must not be negative")
    return derivative_of_digamma(input, n=n) if n else digamma(input)


def polygamma_(input: Any, n: int) -> Any:
    """`polygamma` in place: writes into the Tensor and returns it.

    Parameters
    ----------
    n : int
        Not negative; 0 is `digamma` itself.

    Returns
    -------
    Tensor
        The Tensor itself, of the shape and dtype that it had.

    Raises
    ------
    ValueError
        If `n` is no integer, or negative.
    RuntimeError
        If the Tensor is of integers; if it is a leaf that requires grad and operations are
        recorded.

    Examples
    --------
    >>> tl.tensor([1.0, 2.0]).polygamma_(1)
    tensor([1.644934  , 0.64493406])
    """
    return in_place(polygamma)(input, n)


def mvlgamma(input: Any, p: int) -> Any:
    """Logarithm of the gamma function of p × p matrices.

    Parameters
    ----------
    input : Tensor
        Any shape; the function is defined above ``(p - 1) / 2``.
    p : int
        The size of the matrices, at least 1.

    Raises
    ------
    ValueError
        If `p` is not positive.

    Examples
    --------
    >>> tl.mvlgamma(tl.tensor([2.0, 3.0]), 2)
    tensor([0.45158267, 1.550195  ])
    """
    if p < 1:
        raise ValueError(f"mvlgamma: p is {p}; it must be at least 1")
    parts: Callable = lambda j: lgamma(input - 0.5 * j)  # noqa: E731
    total = functools.reduce(lambda sum, j: sum + parts(j), range(1, p), lgamma(input))
    return total + p * (p - 1) / 4 * math.log(math.pi)


@primitive(operands=floats)
@in_float64
def zeta(xp: Any, x1: Array, x2: Array) -> Array:
    """Hurwitz's zeta function: the sum of ``(other + k) ** -input`` over k = 0, 1, 2 ….

    It is NaN for ``input < 1``, and for negative `other` unless `input` is an integer and
    ``other > -1000``; infinite for ``input == 1`` and at the poles ``other == 0, -1, -2 …``.

    Examples
    --------
    >>> tl.special.zeta(tl.tensor([2.0, 3.0]), 1.0)
    tensor([1.644934 , 1.2020569])
    """
    x1, x2 = xp.asarray(x1), xp.asarray(x2)
    poles = (x2 <= 0) & (x2 == xp.floor(x2))
    negative = x2 < 0
    allowed = ~negative | ((x1 == xp.floor(x1)) & (x2 > -1000))
    q = xp.where(allowed & ~poles, x2, 1.0)
    s = xp.where(x1 > 1, x1, 2.0)
    lowest = float(q.min()) if q.size else 1.0
    below = xp.zeros(())
    for _ in range(max(0, math.ceil(-lowest))):
        below = below + xp.where(q < 0, xp.abs(q) ** -s * xp.where(s % 2, -1, 1), 0)
        q = xp.where(q < 0, q + 1, q)
    y = xp.where(xp.isinf(q), 0, zeta_of(xp, s, q) + below)
    y = xp.where(allowed, y, xp.nan)
    y = xp.where(poles, xp.inf, y)
    y = xp.where(x1 == 1, xp.inf, xp.where(x1 > 1, y, xp.nan))
    return xp.where(x2 != x2, xp.nan, y)


zeta.defvjp(x2=lambda g, x1, x2: g * -x1 * zeta(x1 + 1, x2))
