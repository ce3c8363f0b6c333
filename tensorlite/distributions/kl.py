"""Kullback and Leibler's divergence."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

import tensorlite as tl
from tensorlite.distributions.beta import Beta, Dirichlet, Gamma
from tensorlite.distributions.discrete import (
    Bernoulli,
    Binomial,
    Categorical,
    Geometric,
    OneHotCategorical,
    Poisson,
)
from tensorlite.distributions.distribution import Distribution, sum_rightmost
from tensorlite.distributions.independent import Independent
from tensorlite.distributions.location_scale import (
    Cauchy,
    Exponential,
    Gumbel,
    HalfNormal,
    Laplace,
    Normal,
    Uniform,
)
from tensorlite.distributions.multivariate_normal import MultivariateNormal
from tensorlite.distributions.transformed import TransformedDistribution
from tensorlite.nn import functional as F
from tensorlite.tensor import Tensor

_RULES: dict[tuple[type, type], Callable] = {}
_EULER = 0.57721566490153286


def register_kl(type_p: type, type_q: type) -> Callable:
    """Decorate a function of two distributions that computes their divergence.

    Parameters
    ----------
    type_p, type_q : type
        Classes of distributions.

    Raises
    ------
    TypeError
        If they are something else.

    Examples
    --------
    >>> @register_kl(MyNormal, Normal)
    ... def kl(p, q):
    ...     ...
    """
    for kind in (type_p, type_q):
        if not (isinstance(kind, type) and issubclass(kind, Distribution)):
            raise TypeError(f"register_kl takes classes of distributions, not {kind!r}")

    def register(rule: Callable) -> Callable:
        _RULES[type_p, type_q] = rule
        _rule_of.cache_clear()
        return rule

    return register


@functools.cache
def _rule_of(type_p: Any, type_q: Any) -> Callable | None:
    """The rule for the nearest classes: first by the first, then by the second."""
    fits = [
        (type_p.__mro__.index(p), type_q.__mro__.index(q), rule)
        for (p, q), rule in _RULES.items()
        if issubclass(type_p, p) and issubclass(type_q, q)
    ]
    return min(fits, key=lambda fit: fit[0] + fit[1])[2] if fits else None


def kl_divergence(p: Distribution, q: Distribution) -> Tensor:
    """KL(p ‖ q) = ∫ p(x) log(p(x) / q(x)) dx, of shape batch_shape.

    Parameters
    ----------
    p, q : Distribution

    Returns
    -------
    Tensor

    Raises
    ------
    NotImplementedError
        If no formula is known for the two; `register_kl` adds one.

    Examples
    --------
    >>> kl_divergence(Normal(0.0, 1.0), Normal(1.0, 1.0))
    tensor(0.5)
    """
    rule = _rule_of(type(p), type(q))  # type: ignore[arg-type]  # mypy wants hashable classes
    if rule is None:
        raise NotImplementedError(
            f"no KL({type(p).__name__} || {type(q).__name__}) is known: see register_kl"
        )
    return rule(p, q)


def _inf_where(condition: Tensor, value: Tensor) -> Tensor:
    return tl.where(condition, tl.full_like(value, math.inf), value)


@register_kl(Normal, Normal)
def _normal(p: Any, q: Any) -> Tensor:
    ratio = (p.scale / q.scale) ** 2
    shift = ((p.loc - q.loc) / q.scale) ** 2
    return 0.5 * (ratio + shift - 1 - ratio.log())


@register_kl(Laplace, Laplace)
def _laplace(p: Any, q: Any) -> Tensor:
    ratio, shift = p.scale / q.scale, (p.loc - q.loc).abs()
    return -ratio.log() + shift / q.scale + ratio * (-shift / p.scale).exp() - 1


@register_kl(Gumbel, Gumbel)
def _gumbel(p: Any, q: Any) -> Tensor:
    ratio = p.scale / q.scale
    a, b = q.loc / q.scale, p.loc / q.scale
    tail = (a - b + tl.lgamma(1 + ratio)).exp()
    return -ratio.log() - a + b + ratio * _EULER + tail - (1 + _EULER)


@register_kl(Cauchy, Cauchy)
def _cauchy(p: Any, q: Any) -> Tensor:
    top = (p.scale + q.scale) ** 2 + (p.loc - q.loc) ** 2
    return top.log() - (4 * p.scale * q.scale).log()


@register_kl(HalfNormal, HalfNormal)
def _half_normal(p: Any, q: Any) -> Tensor:
    return _normal(p.base_dist, q.base_dist)


@register_kl(Uniform, Uniform)
def _uniform(p: Any, q: Any) -> Tensor:
    value = ((q.high - q.low) / (p.high - p.low)).log()
    return _inf_where((q.low > p.low) | (q.high < p.high), value)


@register_kl(Uniform, Normal)
def _uniform_normal(p: Any, q: Any) -> Tensor:
    width = p.high - p.low
    spread = (width**2 / 12 + ((p.high + p.low) / 2 - q.loc) ** 2) / (2 * q.scale**2)
    return (math.sqrt(2 * math.pi) * q.scale / width).log() + spread


@register_kl(Exponential, Exponential)
def _exponential(p: Any, q: Any) -> Tensor:
    ratio = q.rate / p.rate
    return ratio - 1 - ratio.log()


@register_kl(Exponential, Gamma)
def _exponential_gamma(p: Any, q: Any) -> Tensor:
    ratio = q.rate / p.rate
    logs = -q.concentration * ratio.log() + tl.lgamma(q.concentration)
    return logs + ratio + q.concentration * _EULER - (1 + _EULER)


@register_kl(Gamma, Exponential)
def _gamma_exponential(p: Any, q: Any) -> Tensor:
    return -p.entropy() - q.rate.log() + q.rate * p.concentration / p.rate


@register_kl(Gamma, Gamma)
def _gamma(p: Any, q: Any) -> Tensor:
    a, b = p.concentration, q.concentration
    logs = b * (p.rate / q.rate).log() + tl.lgamma(b) - tl.lgamma(a)
    return logs + (a - b) * tl.digamma(a) + (q.rate - p.rate) * (a / p.rate)


@register_kl(Beta, Beta)
def _beta(p: Any, q: Any) -> Tensor:
    total_p = p.concentration1 + p.concentration0
    total_q = q.concentration1 + q.concentration0
    ones = tl.lgamma(q.concentration1) - tl.lgamma(p.concentration1)
    zeros = tl.lgamma(q.concentration0) - tl.lgamma(p.concentration0)
    slopes = (p.concentration1 - q.concentration1) * tl.digamma(p.concentration1)
    slopes = slopes + (p.concentration0 - q.concentration0) * tl.digamma(p.concentration0)
    logs = tl.lgamma(total_p) - tl.lgamma(total_q) + ones + zeros
    return logs + slopes + (total_q - total_p) * tl.digamma(total_p)


@register_kl(Dirichlet, Dirichlet)
def _dirichlet(p: Any, q: Any) -> Tensor:
    a, b = p.concentration, q.concentration
    total = a.sum(-1)
    logs = tl.lgamma(total) - tl.lgamma(b.sum(-1)) + (tl.lgamma(b) - tl.lgamma(a)).sum(-1)
    slopes = tl.digamma(a) - tl.digamma(total).unsqueeze(-1)
    return logs + ((a - b) * slopes).sum(-1)


@register_kl(Bernoulli, Bernoulli)
def _bernoulli(p: Any, q: Any) -> Tensor:
    one = p.probs * (F.softplus(-q.logits) - F.softplus(-p.logits))
    zero = (1 - p.probs) * (F.softplus(q.logits) - F.softplus(p.logits))
    one = tl.where(p.probs == 0, tl.zeros_like(one), _inf_where(q.probs == 0, one))
    zero = tl.where(p.probs == 1, tl.zeros_like(zero), _inf_where(q.probs == 1, zero))
    return one + zero


@register_kl(Binomial, Binomial)
def _binomial(p: Any, q: Any) -> Tensor:
    if bool((p.total_count < q.total_count).any()):
        raise NotImplementedError("KL between Binomials, the second with more trials")
    value = p.total_count * (
        p.probs * (p.logits - q.logits) + F.softplus(q.logits) - F.softplus(p.logits)
    )
    return _inf_where(p.total_count > q.total_count, value)


@register_kl(Geometric, Geometric)
def _geometric(p: Any, q: Any) -> Tensor:
    return -p.entropy() - tl.log1p(-q.probs) / p.probs - q.logits


@register_kl(Poisson, Poisson)
def _poisson(p: Any, q: Any) -> Tensor:
    return p.rate * (p.rate.log() - q.rate.log()) - (p.rate - q.rate)


@register_kl(Categorical, Categorical)
def _categorical(p: Any, q: Any) -> Tensor:
    parts = p.probs * (p.logits - q.logits)
    parts = _inf_where((q.probs == 0) & (parts == parts), parts)
    return tl.where(p.probs == 0, tl.zeros_like(parts), parts).sum(-1)


@register_kl(OneHotCategorical, OneHotCategorical)
def _one_hot(p: Any, q: Any) -> Tensor:
    return _categorical(p, q)


@register_kl(MultivariateNormal, MultivariateNormal)
def _multivariate_normal(p: Any, q: Any) -> Tensor:
    if p.event_shape != q.event_shape:
        raise ValueError(
            f"KL between MultivariateNormals of {p.event_shape[0]} and {q.event_shape[0]} numbers"
        )
    n = p.event_shape[0]
    batch = tl.broadcast_shapes(p.batch_shape, q.batch_shape)
    matrix = q.scale_tril.expand((*batch, n, n))
    ratio = tl.linalg.solve_triangular(matrix, p.scale_tril.expand((*batch, n, n)), upper=False)
    trace = (ratio * ratio).sum(-1).sum(-1)
    distance = q.distance_from_mean(p.loc)
    return q.half_log_det - p.half_log_det + 0.5 * (trace + distance - n)


@register_kl(Independent, Independent)
def _independent(p: Any, q: Any) -> Tensor:
    if p.reinterpreted_batch_ndims != q.reinterpreted_batch_ndims:
        raise NotImplementedError("KL between Independents of different numbers of axes")
    return sum_rightmost(kl_divergence(p.base_dist, q.base_dist), p.reinterpreted_batch_ndims)


@register_kl(TransformedDistribution, TransformedDistribution)
def _transformed(p: Any, q: Any) -> Tensor:
    alike = list(map(repr, p.transforms)) == list(map(repr, q.transforms))
    same = p.transforms == q.transforms
    if not (same or (alike and all(not vars_of(t) for t in p.transforms))):
        raise NotImplementedError("KL between distributions that are transformed differently")
    if p.event_shape != q.event_shape:
        raise NotImplementedError("KL between distributions of different events")
    return kl_divergence(p.base_dist, q.base_dist)


def vars_of(transform: Any) -> dict[str, Any]:
    """What a transform was made with."""
    return {k: v for k, v in vars(transform).items() if k not in ("_cache_size", "_last")}
