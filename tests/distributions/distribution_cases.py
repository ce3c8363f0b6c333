"""Distributions, values and pairs that are compared with torch's: functions of a library.

Each takes ``D``, the module of distributions, and ``t``, which makes Tensors of float64.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

COVARIANCE = [[2.0, 0.5, 0.3], [0.5, 1.5, -0.2], [0.3, -0.2, 1.0]]


def where_there_is_a_solver(test: Callable) -> Callable:
    """Let a test pass on a CUDA without cuSOLVER if that is what it is told."""

    @functools.wraps(test)
    def wrapped(*args: Any, **kwargs: Any) -> None:
        try:
            test(*args, **kwargs)
        except RuntimeError as error:
            if "CUDA needs cuSOLVER" not in str(error):
                raise

    return wrapped


# Name: (parameters, function of D and their Tensors, value)
CASES: dict[str, tuple[list, Any, Any]] = {
    "Normal": ([[0.5, -1.0], [2.0, 0.3]], lambda D, a, b: D.Normal(a, b), [[1.0, 2.0], [0.5, -1]]),
    "LogNormal": ([[0.5, -1.0], [0.7, 0.3]], lambda D, a, b: D.LogNormal(a, b), [1.5, 0.25]),
    "HalfNormal": ([[0.5, 2.0]], lambda D, a: D.HalfNormal(a), [1.5, 0.25]),
    "Uniform": ([[0.5, -1.0], [2.0, 0.3]], lambda D, a, b: D.Uniform(a, b), [1.5, 0.25]),
    "Exponential": ([[0.5, 3.0]], lambda D, a: D.Exponential(a), [1.5, 0.25]),
    "Laplace": ([[0.5, -1.0], [2.0, 0.3]], lambda D, a, b: D.Laplace(a, b), [-1.5, 0.25]),
    "Cauchy": ([[0.5, -1.0], [2.0, 0.3]], lambda D, a, b: D.Cauchy(a, b), [-1.5, 0.25]),
    "Gumbel": ([[0.5, -1.0], [2.0, 0.3]], lambda D, a, b: D.Gumbel(a, b), [-1.5, 0.25]),
    "Gamma": ([[0.5, 7.0], [2.0, 0.3]], lambda D, a, b: D.Gamma(a, b), [1.5, 20.0]),
    "Chi2": ([[0.5, 7.0]], lambda D, a: D.Chi2(a), [1.5, 20.0]),
    "Beta": ([[0.5, 7.0], [2.0, 3.0]], lambda D, a, b: D.Beta(a, b), [0.5, 0.75]),
    "Dirichlet": (
        [[[0.5, 7.0, 2.0], [2.0, 3.0, 4.0]]],
        lambda D, a: D.Dirichlet(a),
        [0.2, 0.5, 0.3],
    ),
    "StudentT": (
        [[0.5, 7.0], [2.0, 3.0], [0.5, 4.0]],
        lambda D, a, b, c: D.StudentT(a, b, c),
        [0.5, 0.75],
    ),
    "Bernoulli": ([[0.2, 0.7]], lambda D, a: D.Bernoulli(a), [[1.0, 0.0], [0.0, 1.0]]),
    "Bernoulli-logits": ([[-3.0, 2.0]], lambda D, a: D.Bernoulli(logits=a), [1.0, 0.0]),
    "Geometric": ([[0.2, 0.7]], lambda D, a: D.Geometric(a), [3.0, 0.0]),
    "Geometric-logits": ([[-3.0, 2.0]], lambda D, a: D.Geometric(logits=a), [1.0, 4.0]),
    "Binomial": ([[0.2, 0.7]], lambda D, a: D.Binomial(5, a), [3.0, 0.0]),
    "Binomial-logits": ([[-3.0, 2.0]], lambda D, a: D.Binomial(5, logits=a), [1.0, 4.0]),
    "Poisson": ([[0.2, 7.0]], lambda D, a: D.Poisson(a), [3.0, 0.0]),
    "Categorical": ([[[0.2, 0.5, 0.3], [1.0, 2.0, 5.0]]], lambda D, a: D.Categorical(a), [2, 0]),
    "Categorical-logits": ([[0.2, -5.0, 3.0]], lambda D, a: D.Categorical(logits=a), [2, 0, 1]),
    "OneHotCategorical": (
        [[[0.2, 0.5, 0.3], [1.0, 2.0, 5.0]]],
        lambda D, a: D.OneHotCategorical(a),
        [[0.0, 0.0, 1.0], [1.0, 0.0, 0.0]],
    ),
    "MultivariateNormal": (
        [[[0.0, 1.0, 2.0], [3.0, 4.0, 5.0]], COVARIANCE],
        lambda D, a, b: D.MultivariateNormal(a, b),
        [0.5, 0.2, -1.0],
    ),
    "MultivariateNormal-precision": (
        [[0.0, 1.0, 2.0], COVARIANCE],
        lambda D, a, b: D.MultivariateNormal(a, precision_matrix=b),
        [[0.5, 0.2, -1.0]],
    ),
    "MultivariateNormal-factor": (
        [[0.0, 1.0], [[2.0, 0.0], [0.5, 1.5]]],
        lambda D, a, b: D.MultivariateNormal(a, scale_tril=b),
        [[0.5, 0.2], [3.0, 1.0]],
    ),
    "Independent": (
        [[[0.5, -1.0], [0.0, 1.0]], [2.0, 0.3]],
        lambda D, a, b: D.Independent(D.Normal(a, b), 1),
        [1.0, 2.0],
    ),
    "Transformed": (
        [[0.5, -1.0], [2.0, 0.3]],
        lambda D, a, b: D.TransformedDistribution(
            D.Normal(a, b), [D.AffineTransform(a, -b), D.SigmoidTransform()]
        ),
        [0.3, 0.6],
    ),
    "Transformed-power": (
        [[0.5, 1.0]],
        lambda D, a: D.TransformedDistribution(
            D.Exponential(a), [D.PowerTransform(a), D.ExpTransform().inv]
        ),
        [0.3, -0.6],
    ),
    "Transformed-tanh": (
        [[[0.5, -1.0]], [2.0, 0.3]],
        lambda D, a, b: D.TransformedDistribution(
            D.Independent(D.Normal(a, b), 1),
            [D.TanhTransform(), D.AffineTransform(a, b, event_dim=1)],
        ),
        [[0.3, -1.1]],
    ),
    "Transformed-sticks": (
        [[0.5, -1.0]],
        lambda D, a: D.TransformedDistribution(D.Normal(a, 1.0), D.StickBreakingTransform()),
        [0.3, 0.6, 0.1],
    ),
    "Transformed-softplus": (
        [[0.5, -1.0]],
        lambda D, a: D.TransformedDistribution(D.Normal(a, 1.0), D.SoftplusTransform()),
        [0.3, 0.6],
    ),
    "Transformed-shape": (
        [[0.5, -1.0, 2.0, 0.0]],
        lambda D, a: D.TransformedDistribution(D.Normal(a, 1.0), D.ReshapeTransform((4,), (2, 2))),
        [[0.3, 0.6], [0.1, 0.2]],
    ),
}

FACTS = ("mean", "variance", "stddev", "mode")

# Name: (parameters, function of D and their Tensors: a pair)
PAIRS: dict[str, tuple[list, Any]] = {
    "Normal": (
        [0.5, 2.0, [-1.0, 1.0], 0.7],
        lambda D, a, b, c, d: (D.Normal(a, b), D.Normal(c, d)),
    ),
    "LogNormal": (
        [0.5, 2.0, 1.0, 0.7],
        lambda D, a, b, c, d: (D.LogNormal(a, b), D.LogNormal(c, d)),
    ),
    "HalfNormal": ([0.5, 2.0], lambda D, a, b: (D.HalfNormal(a), D.HalfNormal(b))),
    "Laplace": ([0.5, 2.0, 1.0, 0.7], lambda D, a, b, c, d: (D.Laplace(a, b), D.Laplace(c, d))),
    "Cauchy": ([0.5, 2.0, 1.0, 0.7], lambda D, a, b, c, d: (D.Cauchy(a, b), D.Cauchy(c, d))),
    "Gumbel": ([0.5, 2.0, 1.0, 0.7], lambda D, a, b, c, d: (D.Gumbel(a, b), D.Gumbel(c, d))),
    "Uniform": ([0.5, 2.0, 0.0, 2.7], lambda D, a, b, c, d: (D.Uniform(a, b), D.Uniform(c, d))),
    "Uniform-out": ([0.5, 3.0, 0.0, 2.7], lambda D, a, b, c, d: (D.Uniform(a, b), D.Uniform(c, d))),
    "Uniform-Normal": (
        [0.5, 2.0, 1.0, 0.7],
        lambda D, a, b, c, d: (D.Uniform(a, b), D.Normal(c, d)),
    ),
    "Exponential": ([0.5, 2.0], lambda D, a, b: (D.Exponential(a), D.Exponential(b))),
    "Exponential-Gamma": ([0.5, 2.0, 3.0], lambda D, a, b, c: (D.Exponential(a), D.Gamma(b, c))),
    "Gamma-Exponential": ([0.5, 2.0, 3.0], lambda D, a, b, c: (D.Gamma(a, b), D.Exponential(c))),
    "Gamma": ([0.5, 2.0, 1.0, 0.7], lambda D, a, b, c, d: (D.Gamma(a, b), D.Gamma(c, d))),
    "Chi2": ([0.5, 2.0], lambda D, a, b: (D.Chi2(a), D.Chi2(b))),
    "Beta": ([0.5, 2.0, 1.0, 0.7], lambda D, a, b, c, d: (D.Beta(a, b), D.Beta(c, d))),
    "Dirichlet": ([[0.5, 2.0], [3.0, 1.0]], lambda D, a, b: (D.Dirichlet(a), D.Dirichlet(b))),
    "Bernoulli": ([[0.5, 0.2], [0.3, 0.9]], lambda D, a, b: (D.Bernoulli(a), D.Bernoulli(b))),
    "Bernoulli-sure": ([[0.0, 0.2], [0.3, 0.0]], lambda D, a, b: (D.Bernoulli(a), D.Bernoulli(b))),
    "Binomial": ([[0.5, 0.2], [0.3, 0.9]], lambda D, a, b: (D.Binomial(4, a), D.Binomial(4, b))),
    "Geometric": ([[0.5, 0.2], [0.3, 0.9]], lambda D, a, b: (D.Geometric(a), D.Geometric(b))),
    "Poisson": ([[0.5, 2.2], [0.3, 0.9]], lambda D, a, b: (D.Poisson(a), D.Poisson(b))),
    "Categorical": (
        [[[0.5, 0.5], [0.2, 0.8]], [0.3, 0.7]],
        lambda D, a, b: (D.Categorical(a), D.Categorical(b)),
    ),
    "Categorical-sure": (
        [[[0.0, 1.0], [0.2, 0.8]], [0.0, 1.0]],
        lambda D, a, b: (D.Categorical(a), D.Categorical(b)),
    ),
    "OneHotCategorical": (
        [[0.5, 0.5], [0.3, 0.7]],
        lambda D, a, b: (D.OneHotCategorical(a), D.OneHotCategorical(b)),
    ),
    "MultivariateNormal": (
        [[0.0, 1.0, 2.0], COVARIANCE, [[1.0, 1.0, 1.0], [0.0, 0.0, 0.0]]],
        lambda D, a, b, c: (D.MultivariateNormal(a, b), D.MultivariateNormal(c, b @ b)),
    ),
    "Independent": (
        [[0.5, 2.0], [1.0, 0.7]],
        lambda D, a, b: (
            D.Independent(D.Normal(a, b), 1),
            D.Independent(D.Normal(b, b * 2), 1),
        ),
    ),
}
