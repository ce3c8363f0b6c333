"""Samples of special functions, against integrals and sums that define them."""

from __future__ import annotations

import math

import numpy as np

from samples.activation import numerical
from samples.base import Sample, normal, positive, uniform
from tensorlite import ops, special
from tensorlite.ops.gamma import derivative_of_digamma
from tensorlite.ops.probabilities import log_odds

lgamma = np.vectorize(math.lgamma, otypes=[float])
erf = np.vectorize(math.erf, otypes=[float])
erfc = np.vectorize(math.erfc, otypes=[float])
nodes, weights = np.polynomial.legendre.leggauss(200)


def integral(f, low, high):
    """Gauss's quadrature over [low, high], which may be arrays: f takes one more axis, the last."""
    low, high = np.broadcast_arrays(np.asarray(low, float), high)
    middle, half = (low + high) / 2, (high - low) / 2
    return (f(middle[..., None] + half[..., None] * nodes) * weights).sum(-1) * half


def bessel(order, scaled=False):
    def reference(x):
        x = x[..., None]
        size = np.abs(x) if scaled else 0
        return (
            integral(
                lambda t: np.exp(x * np.cos(t) - size) * np.cos(order * t),
                np.zeros(x.shape[:-1]),
                math.pi,
            )
            / math.pi
        )

    return reference


def zeta(s, q):
    """The sum of 100,000 terms, and the integral of the others with its first correction."""
    k = np.arange(100_000.0)
    far = q + 100_000.0
    return ((q[..., None] + k) ** -s[..., None]).sum(-1) + far ** (1 - s) / (s - 1) + far**-s / 2


def halfway(f, low, high):
    """Invert a growing function by bisection."""

    def inverse(y):
        below, above = np.full(y.shape, low), np.full(y.shape, high)
        for _ in range(100):
            x = (below + above) / 2
            below, above = np.where(f(x) < y, x, below), np.where(f(x) < y, above, x)
        return x

    return inverse


def ndtr(x):
    return 0.5 * erfc(-x / math.sqrt(2))


def lower(a, x):
    """P(a, x), by an integral over t = x u**10, which is smooth at 0."""
    part = integral(
        lambda u: 10 * np.exp(-x[..., None] * u**10) * u ** (10 * a[..., None] - 1),
        np.zeros(x.shape),
        1.0,
    )
    return part * x**a / np.exp(lgamma(a))


def sample(op, reference, x, *others, saves=None, **options):
    options.setdefault("tolerance", 10)
    return Sample(op, [x, *others], reference=reference, saves=saves, **options)


within = uniform(3, 5, low=0.1, high=0.9)

SAMPLES = [
    sample(ops.lgamma, lgamma, uniform(3, 5, low=0.2, high=12), saves=("x",)),
    sample(ops.lgamma, lgamma, uniform(3, 5, low=-2.8, high=-2.2)),
    sample(
        ops.digamma,
        lambda x: numerical(lgamma, x),
        uniform(3, 5, low=2, high=12),
        saves=("x",),
        tolerance=200,
    ),
    *[
        Sample(
            derivative_of_digamma,
            [uniform(3, 5, low=0.5, high=6)],
            dict(n=n),
            reference=lambda x, n: (
                (-1.0) ** (n + 1) * math.factorial(n) * zeta(np.full(x.shape, n + 1.0), x)
            ),
            tolerance=20,
            saves=("x", "n"),
        )
        for n in (1, 2, 3)
    ],
    sample(
        special.zeta,
        zeta,
        uniform(3, 4, low=2, high=5),
        positive(3, 4),
        grad=(1,),
        broadcasts=False,
        tolerance=20,
    ),
    sample(ops.igamma, lower, positive(3, 4), uniform(3, 4, low=0.1, high=9), grad=(1,)),
    sample(
        ops.igammac,
        lambda a, x: 1 - lower(a, x),
        positive(3, 4),
        uniform(3, 4, low=0.1, high=3),
        grad=(1,),
    ),
    sample(ops.i0, bessel(0), normal(3, 5), saves=("x",)),
    sample(special.i1, bessel(1), normal(3, 5), saves=("x",)),
    sample(special.i0e, bessel(0, True), uniform(3, 5, low=0.1, high=40), saves=("x",)),
    sample(special.i1e, bessel(1, True), uniform(3, 5, low=0.1, high=40), saves=("x",)),
    sample(ops.erfinv, halfway(erf, -6.0, 6.0), uniform(3, 5, low=-0.9, high=0.9), saves=("y",)),
    sample(special.ndtri, halfway(ndtr, -9.0, 9.0), within, saves=("x",)),
    sample(
        special.erfcx,
        lambda x: np.exp(x * x) * erfc(x),
        uniform(3, 5, low=-2, high=4),
        saves=("x",),
        tolerance=20,
    ),
    sample(special.ndtr, ndtr, normal(3, 5), saves=("x",)),
    sample(special.log_ndtr, lambda x: np.log(ndtr(x)), normal(3, 5), saves=("x",)),
    sample(special.entr, lambda x: -x * np.log(x), positive(3, 5), saves=("x",)),
    sample(log_odds, lambda p: np.log(p / (1 - p)), within, saves=("x",)),
]
