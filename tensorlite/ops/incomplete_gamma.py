"""The regularized incomplete gamma functions P(a, x) and Q(a, x) = 1 - P(a, x).

Three ways (NIST Digital Library of Mathematical Functions): the power series (8.7.1) for x up to
a + 1, the continued fraction (8.9.2) beyond, and for large a with x near it, where both are slow,
Temme's uniform asymptotic expansion (8.12). Good to about 1e-13, relative to the smaller of P and Q
but where Q is a remnant of 1 (x < 4).
"""

from __future__ import annotations

import functools
import math
from typing import Any

from tensorlite.backend import Array
from tensorlite.ops import special
from tensorlite.ops.elementwise import exp, log
from tensorlite.ops.gamma import lgamma, lgamma_of
from tensorlite.ops.promotion import floats
from tensorlite.ops.wide import horner, in_float64
from tensorlite.primitive import primitive

__all__ = ["igamma", "igammac"]

_LARGE = 20.0  # from here on the expansion serves within `_NEAR` of a
_NEAR = 0.35
_ORDERS, _POWERS = 12, 28  # how many powers of 1/a and of η it has


@functools.cache
def _expansion() -> tuple[list[float], list[list[float]]]:
    """Coefficients of Γ*(a) by powers of 1/a, and of each c_k(η), from the lowest power up."""
    from fractions import Fraction  # for this alone, and not quickly imported

    count = _POWERS + 2 * _ORDERS + 4
    alpha = [Fraction(0), Fraction(1)]  # x / a - 1 by powers of η
    for n in range(2, count):
        known = sum((alpha[j] * (n + 1 - j) * alpha[n + 1 - j] for j in range(2, n)), Fraction(0))
        alpha.append((alpha[n - 1] - known) / (n + 1))
    gamma = [alpha[2 * k + 1] * math.prod(range(1, 2 * k + 2, 2)) for k in range(_ORDERS)]
    first = [Fraction(-1, 3)] + [(n + 2) * alpha[n + 2] for n in range(1, count - 2)]
    rows = [first]
    for k in range(1, _ORDERS):
        above = rows[-1]
        rows.append(
            [
                (-1) ** k * gamma[k] * first[n] + (n + 2) * above[n + 2]
                for n in range(len(above) - 2)
            ]
        )
    return [float(g) for g in gamma], [[float(d) for d in row[:_POWERS]] for row in rows]


def _excess(xp: Any, mu: Any) -> Any:
    """``mu - log(1 + mu)``, by its series near 0."""
    small = xp.abs(mu) < 0.1
    z = xp.where(small, mu, 0)
    series = horner([(-1) ** k / k for k in range(18, 1, -1)] + [0.0, 0.0], z)
    return xp.where(small, series, mu - xp.log1p(mu))


def _peak(xp: Any, a: Any, x: Any) -> Any:
    """``x**a exp(-x) / Γ(a + 1)``: for large a from the distance to its peak at x = a."""
    large = a >= _LARGE
    b = xp.where(large, a, _LARGE)
    by_distance = xp.exp(-b * _excess(xp, (x - b) / b)) / xp.sqrt(2 * math.pi * b)
    by_distance = by_distance / horner(reversed(_expansion()[0]), 1 / b)
    direct = xp.exp(a * xp.log(x) - x - lgamma_of(xp, a + 1))
    return xp.where(large, by_distance, direct)


def _series(xp: Any, a: Any, x: Any) -> Any:
    """P over `_peak`: ``1 + x / (a + 1) + x² / ((a + 1)(a + 2)) + …``."""
    term = total = 1.0 + 0 * x
    for k in range(1, 200):
        term = term * x / (a + k)
        total = total + term
    return total


def _fraction(xp: Any, a: Any, x: Any) -> Any:
    """Q over ``_peak * a``, by Lentz's method as W. Thompson and A. Barnett changed it."""
    b = x + 1 - a
    c, d = 1e300 + 0 * x, 1 / b
    y = d
    for k in range(1, 200):
        factor = -k * (k - a)
        b = b + 2
        d = 1 / (factor * d + b)
        c = b + factor / c
        y = y * c * d
    return y


def _uniform(xp: Any, a: Any, x: Any, sign: int) -> Any:
    """P for sign -1 and Q for 1, by the expansion."""
    mu = (x - a) / a
    half_square = _excess(xp, mu)
    eta = xp.copysign(xp.sqrt(2 * half_square), mu)
    total = 0.0
    for row in reversed(_expansion()[1]):
        total = total / a + horner(reversed(row), eta)
    rest = total * xp.exp(-a * half_square) / xp.sqrt(2 * math.pi * a)
    return 0.5 * special.erfc(xp, sign * eta * xp.sqrt(0.5 * a)) + sign * rest


def _regularized(xp: Any, a: Any, x: Any, upper: bool) -> Any:
    near = (a >= _LARGE) & (xp.abs(x - a) < _NEAR * a)
    by_series = (x < 4) | (x < a + 1)
    # Where a formula is not wanted it gets numbers that it can do with.
    inner, outer = by_series & ~near, ~by_series & ~near
    safe_a = xp.where(a > 0, xp.minimum(a, 1e300), 1.0)
    peak = _peak(xp, safe_a, xp.where(x > 0, x, 1.0))
    lower = peak * _series(xp, xp.where(inner, safe_a, 1.0), xp.where(inner, x, 1.0))
    rest = peak * safe_a * _fraction(xp, xp.where(outer, safe_a, 1.0), xp.where(outer, x, 5.0))
    middle = _uniform(xp, xp.where(near, a, _LARGE), xp.where(near, x, _LARGE), 1 if upper else -1)
    if upper:
        y = xp.where(near, middle, xp.where(by_series, 1 - lower, rest))
    else:
        y = xp.where(near, middle, xp.where(by_series, lower, 1 - rest))
    all_below = (x == xp.inf) | (a == 0)
    none_below = (x == 0) | (a == xp.inf)
    y = xp.where(none_below, float(upper), xp.where(all_below, float(not upper), y))
    undefined = (a < 0) | (x < 0) | (a != a) | (x != x) | (all_below & none_below)
    return xp.where(undefined, xp.nan, y)


@primitive(operands=floats)
@in_float64
def igamma(xp: Any, x1: Array, x2: Array) -> Array:
    """The part of the gamma function of `input` that comes from below `other` (regularized, P).

    It can be differentiated by `other` alone.

    Examples
    --------
    >>> tl.igamma(tl.tensor([1.0, 2.0]), tl.tensor([1.0, 2.0]))
    tensor([0.63212055, 0.59399414])
    """
    return _regularized(xp, xp.asarray(x1), xp.asarray(x2), upper=False)


@primitive(operands=floats)
@in_float64
def igammac(xp: Any, x1: Array, x2: Array) -> Array:
    """The part of the gamma function of `input` that comes from above `other` (regularized, Q).

    It can be differentiated by `other` alone.

    Examples
    --------
    >>> tl.igammac(tl.tensor([1.0, 2.0]), tl.tensor([1.0, 2.0]))
    tensor([0.36787945, 0.40600586])
    """
    return _regularized(xp, xp.asarray(x1), xp.asarray(x2), upper=True)


def _density(x1: Any, x2: Any) -> Any:
    """The derivative of P by `x2`."""
    return exp((x1 - 1) * log(x2) - x2 - lgamma(x1))


def _refused(g: Any) -> Any:
    raise NotImplementedError(
        "igamma: no derivative by the first argument; give it without requires_grad: a.detach()"
    )


igamma.defvjp(x1=_refused, x2=lambda g, x1, x2: g * _density(x1, x2))
igammac.defvjp(x1=_refused, x2=lambda g, x1, x2: -g * _density(x1, x2))
