"""The normal distribution's functions and others of probabilities: `ndtr`, `erfinv`, `logit`, ….

The quantile is M. J. Wichura's PPND16 ("Algorithm AS 241: the percentage points of the normal
distribution", Applied Statistics 37 (1988) 477-484), good to about 1e-16.
"""

from __future__ import annotations

import math
from typing import Any

from tensorlite.backend import Array
from tensorlite.ops import special
from tensorlite.ops.compare import where
from tensorlite.ops.elementwise import exp, log
from tensorlite.ops.fused import float32_inside
from tensorlite.ops.limits import clamp
from tensorlite.ops.promotion import floats
from tensorlite.ops.subgradients import float32_rule
from tensorlite.ops.wide import horner, in_float64
from tensorlite.primitive import primitive

__all__ = ["erfinv", "logit"]

# --- quantiles --------------------------------------------------------------------------------

# Numerator and denominator of rational functions, from the highest power down: for the middle, of
# 0.180625 - q²; for the tail, of √(-log p) - 1.6 up to 5; and of that less 5 beyond.
_MIDDLE = (
    (
        (2509.0809287301226727, 33430.575583588128105, 67265.770927008700853),
        (45921.953931549871457, 13731.693765509461125, 1971.5909503065514427),
        (133.14166789178437745, 3.387132872796366608),
    ),
    (
        (5226.495278852854561, 28729.085735721942674, 39307.89580009271061),
        (21213.794301586595867, 5394.1960214247511077, 687.1870074920579083),
        (42.313330701600911252, 1.0),
    ),
)
_TAIL = (
    (
        (7.7454501427834140764e-4, 0.0227238449892691845833, 0.24178072517745061177),
        (1.27045825245236838258, 3.64784832476320460504, 5.7694972214606914055),
        (4.6303378461565452959, 1.42343711074968357734),
    ),
    (
        (1.05075007164441684324e-9, 5.475938084995344946e-4, 0.0151986665636164571966),
        (0.14810397642748007459, 0.68976733498510000455, 1.6763848301838038494),
        (2.05319162663775882187, 1.0),
    ),
)
_FAR_TAIL = (
    (
        (2.01033439929228813265e-7, 2.71155556874348757815e-5, 0.0012426609473880784386),
        (0.026532189526576123093, 0.29656057182850489123, 1.7848265399172913358),
        (5.4637849111641143699, 6.6579046435011037772),
    ),
    (
        (2.04426310338993978564e-15, 1.4215117583164458887e-7, 1.8463183175100546818e-5),
        (7.868691311456132591e-4, 0.0148753612908506148525, 0.13692988092273580531),
        (0.59983220655588793769, 1.0),
    ),
)


def _ratio(coefficients: Any, x: Any) -> Any:
    numerator, denominator = ([c for row in rows for c in row] for rows in coefficients)
    return horner(numerator, x) / horner(denominator, x)


def _quantile(xp: Any, q: Any, tail: Any) -> Any:
    """Where the normal distribution is ``0.5 + q``; `tail` is its distance from 0 or 1."""
    middle = q * _ratio(_MIDDLE, 0.180625 - q * q)
    root = xp.sqrt(-xp.log(tail))
    near = _ratio(_TAIL, xp.minimum(root, 5.0) - 1.6)
    outer = xp.where(root <= 5, near, _ratio(_FAR_TAIL, xp.minimum(root, 100.0) - 5))
    outer = xp.copysign(xp.where(tail == 0, xp.inf, outer), q)
    return xp.where(tail < 0, xp.nan, xp.where(xp.abs(q) <= 0.425, middle, outer))


@primitive(operands=floats)
@in_float64
def erfinv(xp: Any, x: Array) -> Array:
    """Inverse of `erf` in [-1, 1]; NaN outside.

    Examples
    --------
    >>> tl.erfinv(tl.tensor([-0.5, 0.0, 0.5]))
    tensor([-0.47693628,  0.        ,  0.47693628])
    """
    return _quantile(xp, 0.5 * x, 0.5 * (1 - xp.abs(x))) * math.sqrt(0.5)


erfinv.defvjp(x=lambda g, y: g * (0.5 * math.sqrt(math.pi)) * exp(y * y))


@primitive(operands=floats)
@in_float64
def ndtri(xp: Any, x: Array) -> Array:
    """Inverse of `ndtr` in [0, 1]; NaN outside.

    Examples
    --------
    >>> tl.special.ndtri(tl.tensor([0.25, 0.5, 0.75]))
    tensor([-0.67448974,  0.        ,  0.67448974])
    """
    return _quantile(xp, x - 0.5, xp.minimum(x, 1 - x))


ndtri.defvjp(x=float32_rule(lambda g, x: g * math.sqrt(2 * math.pi) * exp(0.5 * ndtri(x) ** 2)))

# --- distribution functions -------------------------------------------------------------------


def _exp_square(xp: Any, x: Any, factor: float) -> Any:
    """``exp(factor x²)`` from a part of x whose square is exact: rounding x² would cost digits."""
    coarse = xp.trunc(xp.clip(x, -100.0, 100.0) * 16) / 16
    return xp.exp(factor * coarse * coarse) * xp.exp(factor * (x - coarse) * (x + coarse))


def _scaled_erfc(xp: Any, x: Any) -> Any:
    """``exp(x²) erfc(x)``."""
    above = special.erfcx_above_0(xp, xp.abs(x))
    return xp.where(x < 0, 2 * _exp_square(xp, x, 1.0) - above, above)


def _tail(xp: Any, x: Any) -> Any:
    """What of the standard normal distribution lies beyond x > 0."""
    size = xp.minimum(x, 40.0)
    return 0.5 * special.erfcx_above_0(xp, size * math.sqrt(0.5)) * _exp_square(xp, size, -0.5)


@primitive(operands=floats)
@in_float64
def erfcx(xp: Any, x: Array) -> Array:
    """``exp(input**2) * erfc(input)``, without overflow for large input.

    Examples
    --------
    >>> tl.special.erfcx(tl.tensor([0.0, 0.5, 1.0]))
    tensor([1.        , 0.61569035, 0.42758358])
    """
    return _scaled_erfc(xp, x)


@float32_rule
def _erfcx_slope(g: Any, x: Any) -> Any:
    """``2 x y - 2 / sqrt(pi)``; far out, where that cancels, by its asymptotic series."""
    far = x > 1e3
    inverse = 1 / where(far, x, 1.0)
    tail = -inverse * inverse * (1 - 1.5 * inverse * inverse) / math.sqrt(math.pi)
    return g * where(far, tail, 2 * where(far, 1.0, x) * erfcx(x) - 2 / math.sqrt(math.pi))


erfcx.defvjp(x=_erfcx_slope)


@primitive(operands=floats)
@in_float64
def ndtr(xp: Any, x: Array) -> Array:
    """The standard normal distribution function.

    Examples
    --------
    >>> tl.special.ndtr(tl.tensor([0.0, 0.5, 1.0]))
    tensor([0.5       , 0.69146246, 0.8413448 ])
    """
    tail = _tail(xp, xp.abs(x))
    return xp.where(x < 0, tail, 1 - tail)


ndtr.defvjp(x=float32_rule(lambda g, x: g * exp(-0.5 * x * x) / math.sqrt(2 * math.pi)))


@primitive(operands=floats)
@in_float64
def log_ndtr(xp: Any, x: Array) -> Array:
    """Logarithm of `ndtr`, accurate where that is small.

    Examples
    --------
    >>> tl.special.log_ndtr(tl.tensor([0.0, 0.5, 1.0]))
    tensor([-0.6931472 , -0.3689464 , -0.17275378])
    """
    size = xp.abs(x)
    scaled = special.erfcx_above_0(xp, size * math.sqrt(0.5))
    near = xp.log1p(xp.where(x < 0, _tail(xp, size) - 1, -_tail(xp, size)))
    return xp.where(x < -1, xp.log(0.5 * scaled) - 0.5 * x * x, near)


log_ndtr.defvjp(
    x=float32_rule(lambda g, x: g * math.sqrt(2 / math.pi) / erfcx(x * -math.sqrt(0.5)))
)

# --- logarithms of probabilities --------------------------------------------------------------


@primitive(operands=floats)
@float32_inside
def entr(xp: Any, x: Array) -> Array:
    """``-input log(input)``: 0 at 0, and -infinity below.

    Examples
    --------
    >>> tl.special.entr(tl.tensor([0.0, 0.5, 1.0]))
    tensor([ 0.       ,  0.3465736, -0.       ])
    """
    above = x > 0
    y = -x * xp.log(xp.where(above, x, 1))
    return xp.where(above | (x != x), y, xp.where(x == 0, 0, -xp.inf)).astype(x.dtype, copy=False)


entr.defvjp(x=lambda g, x: g * (-1 - log(x)))


@primitive(name="logit", operands=floats)
@float32_inside
def log_odds(xp: Any, x: Array) -> Array:
    """``log(x / (1 - x))``."""
    return xp.log(x / (1 - x))


log_odds.defvjp(x=lambda g, x: where((x >= 0) & (x <= 1), g, math.nan) / (x * (1 - x)))


def logit(input: Any, eps: float | None = None) -> Any:
    """``log(input / (1 - input))``, the inverse of `sigmoid`.

    Parameters
    ----------
    input : Tensor
        Any shape; NaN outside [0, 1].
    eps : float, optional
        Limit `input` to ``[eps, 1 - eps]`` first.

    Examples
    --------
    >>> tl.logit(tl.tensor([0.25, 0.5, 0.75]))
    tensor([-1.0986123,  0.       ,  1.0986123])
    """
    return log_odds(input if eps is None else clamp(input, eps, 1 - eps))
