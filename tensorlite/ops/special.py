"""The error function on raw arrays: CuPy has it, NumPy has not.

Three rational approximations, each for its range of |x| (W. J. Cody, "Rational Chebyshev
approximations for the error function", Math. Comp. 23 (1969) 631-637; the coefficients are those
of his public SPECFUN `CALERF`). Error below 1e-15 of the value; NumPy's floats
are computed in float64, and so are right to the last bit in shorter ones.
"""

from __future__ import annotations

import math
from types import ModuleType

import numpy as np

from tensorlite.backend import Array
from tensorlite.backend.dtypes import is_short
from tensorlite.ops.wide import horner

_NEAR = 0.46875  # up to here erf(x) = x R(x**2); beyond, erfc(x) = exp(-x**2) R(x)
_FAR = 4.0  # beyond, erfc(x) = exp(-x**2) / x * (1 / sqrt(pi) - R(1 / x**2) / x**2)
_VANISHED = 30.0  # from here on erfc(x) is 0 in float64

# Coefficients from the highest power down: numerator, denominator.
_NEAR_R = (
    (
        1.85777706184603153e-1,
        3.16112374387056560e0,
        1.13864154151050156e2,
        3.77485237685302021e2,
        3.20937758913846947e3,
    ),
    (
        1.0,
        2.36012909523441209e1,
        2.44024637934444173e2,
        1.28261652607737228e3,
        2.84423683343917062e3,
    ),
)
_MIDDLE_R = (
    (
        2.15311535474403846e-8,
        5.64188496988670089e-1,
        8.88314979438837594e0,
        6.61191906371416295e1,
        2.98635138197400131e2,
        8.81952221241769090e2,
        1.71204761263407058e3,
        2.05107837782607147e3,
        1.23033935479799725e3,
    ),
    (
        1.0,
        1.57449261107098347e1,
        1.17693950891312499e2,
        5.37181101862009858e2,
        1.62138957456669019e3,
        3.29079923573345963e3,
        4.36261909014324716e3,
        3.43936767414372164e3,
        1.23033935480374942e3,
    ),
)
_FAR_R = (
    (
        1.63153871373020978e-2,
        3.05326634961232344e-1,
        3.60344899949804439e-1,
        1.25781726111229246e-1,
        1.60837851487422766e-2,
        6.58749161529837803e-4,
    ),
    (
        1.0,
        2.56852019228982242e0,
        1.87295284992346725e0,
        5.27905102951428412e-1,
        6.05183413124413191e-2,
        2.33520497626869185e-3,
    ),
)


def erf(xp: ModuleType, x: Array) -> Array:
    """Error function."""
    if xp is not np:
        return _cupy_special("erf", x)
    t = _widened(x)
    y = np.empty_like(t)
    near = np.abs(t) <= _NEAR
    y[near] = _erf_near(t[near])
    far = t[~near]
    y[~near] = np.copysign(1 - _erfc_outside(np.abs(far)), far)
    return y.astype(_result_dtype(x), copy=False)


def erfc(xp: ModuleType, x: Array) -> Array:
    """``1 - erf(x)``."""
    if xp is not np:
        return _cupy_special("erfc", x)
    t = _widened(x)
    y = np.empty_like(t)
    near = np.abs(t) <= _NEAR
    y[near] = 1 - _erf_near(t[near])
    far = t[~near]
    tail = _erfc_outside(np.abs(far))
    y[~near] = np.where(far < 0, 2 - tail, tail)
    return y.astype(_result_dtype(x), copy=False)


def erfcx_above_0(xp: ModuleType, x: Array) -> Array:
    """``exp(x**2) * erfc(x)`` of float64 from 0 up."""
    inside = xp.minimum(x, _NEAR)
    near = xp.exp(inside * inside) * (1 - _erf_near(inside))
    middle = _ratio(_MIDDLE_R, xp.minimum(x, _FAR))
    w = 1 / xp.maximum(x, _FAR)
    far = (1 / math.sqrt(math.pi) - w * w * _ratio(_FAR_R, w * w)) * w
    return xp.where(x <= _NEAR, near, xp.where(x <= _FAR, middle, far))


def _erf_near(x: Array) -> Array:
    """``erf`` for |x| up to `_NEAR`."""
    return x * _ratio(_NEAR_R, x * x)


def _erfc_outside(x: np.ndarray) -> np.ndarray:
    """``erfc`` for x beyond `_NEAR`."""
    x = np.minimum(x, _VANISHED)
    # exp(-x**2) from a part of x whose square is exact: rounding x**2 would cost digits.
    coarse = np.trunc(x * 16) / 16
    return erfcx_above_0(np, x) * np.exp(-coarse * coarse) * np.exp((coarse - x) * (coarse + x))


def _ratio(coefficients: tuple[tuple[float, ...], ...], x: Array) -> Array:
    """A quotient of two polynomials."""
    numerator, denominator = coefficients
    return horner(numerator, x) / horner(denominator, x)


def _result_dtype(x: Array) -> np.dtype:
    return x.dtype if x.dtype.kind in "fV" else np.dtype(np.float64)


def _widened(x: np.ndarray) -> np.ndarray:
    return x.astype(np.float64, copy=False)


def _cupy_special(name: str, x: Array) -> Array:
    from cupyx.scipy import special

    wide = x.astype(np.float32 if is_short(x.dtype) else _result_dtype(x), copy=False)
    return getattr(special, name)(wide).astype(_result_dtype(x), copy=False)
