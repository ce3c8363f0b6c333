"""Samples of the gamma distribution, and their derivative by its concentration.

Marsaglia and Tsang, "A simple method for generating gamma variables", 2000. The derivative keeps
the sample's quantile: dx/dα = −(∂F/∂α) / (∂F/∂x) with the cumulative distribution F (Figurnov,
Mohamed and Mnih, "Implicit reparameterization gradients", NeurIPS 2018). All in float64.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tensorlite.backend import Array, array_backend
from tensorlite.distributions.distribution import made
from tensorlite.ops.gamma import digamma
from tensorlite.random import default_generator
from tensorlite.tape import on_device_of
from tensorlite.tensor import Tensor

_LARGE = 1000.0  # from which concentration on the quantile is expanded in 1 / √α
_MOST_TERMS = 5000


def standard_gamma(alpha: Tensor) -> Tensor:
    """Draw from the gamma distribution with rate 1; differentiable once by `alpha`."""
    array = alpha.array
    with on_device_of(array), np.errstate(under="ignore"):
        logs = _log_samples(array, alpha.device)
        x = array_backend((array,)).xp.exp(logs)
        value = made(x, alpha)
        if not alpha.requires_grad:
            return value
        slope = made(x * _log_slope(array, logs), alpha)
    return value + (alpha - alpha.detach()) * slope


def log_gammas(alpha: Tensor) -> Tensor:
    """Logarithms of such samples, which do not underflow for small `alpha`."""
    array = alpha.array
    with on_device_of(array), np.errstate(under="ignore"):
        logs = _log_samples(array, alpha.device)
        value = made(logs, alpha)
        if not alpha.requires_grad:
            return value
        slope = made(_log_slope(array, logs), alpha)
    return value + (alpha - alpha.detach()) * slope


def _log_samples(alpha: Array, device: Any) -> Array:
    """Logarithms of samples, in float64."""
    xp = array_backend((alpha,)).xp
    a = alpha.astype(np.float64).reshape(-1)
    # Below 1: a sample for α + 1, times u^(1/α).
    boosted = xp.where(a < 1, a + 1, a)
    d = boosted - 1 / 3
    c = 1 / xp.sqrt(9 * d)
    result = xp.zeros_like(a)
    left = xp.arange(a.size)
    while left.size:
        n = int(left.size)
        z = default_generator.normal((n,), np.float64, device)
        u = 1 - default_generator.uniform((n,), np.float64, device)  # never 0
        base = 1 + c[left] * z
        fine = base > 0
        log_v = 3 * xp.log(xp.where(fine, base, 1))
        v = xp.exp(log_v)
        most = 0.5 * z * z + d[left] * (1 - v + log_v)
        fine &= xp.log(u) < most
        result[left[fine]] = xp.log(d[left[fine]]) + log_v[fine]
        left = left[~fine]
    u = 1 - default_generator.uniform((int(a.size),), np.float64, device)
    tiny = np.finfo(np.float64).tiny
    result = result + xp.where(a < 1, xp.log(u) / xp.maximum(a, tiny), 0)
    return result.reshape(alpha.shape)


def _log_slope(alpha: Array, log_x: Array) -> Array:
    """D log x / dα at the same quantile."""
    xp = array_backend((alpha,)).xp
    a, log_x = alpha.astype(np.float64).reshape(-1), log_x.reshape(-1)
    small = xp.where(a < _LARGE, a, 1.0)
    slope = _by_series(xp, small, xp.where(a < _LARGE, log_x, 0.0))
    large = xp.where(a < _LARGE, _LARGE, a)
    by_quantile = _by_expansion(xp, large, xp.where(a < _LARGE, np.log(_LARGE), log_x))
    return xp.where(a < _LARGE, slope, by_quantile).reshape(alpha.shape)


def _by_series(xp: Any, a: Array, log_x: Array) -> Array:
    """From F = x^α exp(−x) / Γ(α + 1) · S with S = Σ x^n / ((α + 1) ⋯ (α + n)).

    ∂ log F / ∂α = log x − ψ(α + 1) + S′ / S, and F / (x · ∂F/∂x) = S / α.
    """
    x = xp.exp(log_x)
    term = total = xp.ones_like(a)
    harmonic, slope = xp.zeros_like(a), xp.zeros_like(a)
    for n in range(1, _MOST_TERMS):
        term = term * (x / (a + n))
        harmonic = harmonic + 1 / (a + n)
        total = total + term
        slope = slope - term * harmonic
        if n % 16 == 0 and not bool((term * harmonic > 1e-17 * xp.abs(slope)).any()):
            break
    return -(total * (log_x - digamma(a + 1)) + slope) / a


def _by_expansion(xp: Any, a: Array, log_x: Array) -> Array:
    """From Cornish and Fisher's expansion of the quantile x(α, z), z a normal number."""
    x, root = xp.exp(log_x), xp.sqrt(a)
    z = (x - a) / root
    for _ in range(4):  # Newton's method for z
        z = z - (_quantile(a, root, z) - x) / _quantile_slope(root, z)
    by_alpha = 1 + z / (2 * root) - (z**3 - 7 * z) / (72 * root**3)
    by_alpha = by_alpha + (3 * z**4 + 7 * z**2 - 16) / (810 * a**2)
    return by_alpha / x


def _quantile(a: Array, root: Array, z: Array) -> Array:
    tail = (z**3 - 7 * z) / (36 * root) - (3 * z**4 + 7 * z**2 - 16) / (810 * a)
    return a + root * z + (z * z - 1) / 3 + tail


def _quantile_slope(root: Array, z: Array) -> Array:
    return root + 2 * z / 3 + (3 * z * z - 7) / (36 * root)
