"""Distributions of one number that are drawn by shifting and scaling."""

from __future__ import annotations

import math
from typing import Any

import tensorlite as tl
from tensorlite.distributions import constraints
from tensorlite.distributions.distribution import (
    Distribution,
    broadcast_all,
    drawn,
    uniform_above_0,
)
from tensorlite.distributions.transformed import TransformedDistribution
from tensorlite.distributions.transforms import AbsTransform, ExpTransform
from tensorlite.tensor import Tensor

_LOG_ROOT_2PI = math.log(2 * math.pi) / 2
_EULER = 0.57721566490153286


class _LocationScale(Distribution):
    """A distribution of ``loc + scale · standard``."""

    arg_constraints = {"loc": constraints.real, "scale": constraints.positive}
    event_dims = {"loc": 0, "scale": 0}
    support = constraints.real
    has_rsample = True

    def __init__(self, loc: Any, scale: Any, validate_args: bool | None = None) -> None:
        self.loc, self.scale = broadcast_all(loc, scale)
        super().__init__(self.loc.shape, validate_args=validate_args)

    def _standard(self, shape: Any) -> Tensor:
        """Samples with loc 0 and scale 1."""
        raise NotImplementedError

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        """See `Distribution.rsample`."""
        return self.loc + self._standard(self._extended_shape(sample_shape)) * self.scale

    def _z(self, value: Tensor) -> Tensor:
        self._validate_sample(value)
        return (value - self.loc) / self.scale


class Normal(_LocationScale):
    """The normal distribution with mean `loc` and standard deviation `scale`.

    Parameters
    ----------
    loc, scale : float or Tensor
        They broadcast; `scale` is above 0.

    Examples
    --------
    >>> Normal(0.0, 1.0).log_prob(tl.tensor(0.0))
    tensor(-0.9189385)
    """

    @property
    def mean(self) -> Tensor:
        """`loc`."""
        return self.loc

    @property
    def mode(self) -> Tensor:
        """`loc`."""
        return self.loc

    @property
    def stddev(self) -> Tensor:
        """`scale`."""
        return self.scale

    @property
    def variance(self) -> Tensor:
        """scale²."""
        return self.scale * self.scale

    def _standard(self, shape: Any) -> Tensor:
        return drawn("normal", shape, self.loc)

    def log_prob(self, value: Tensor) -> Tensor:
        """See `Distribution.log_prob`."""
        z = self._z(value)
        return -0.5 * z * z - self.scale.log() - _LOG_ROOT_2PI

    def cdf(self, value: Tensor) -> Tensor:
        """See `Distribution.cdf`."""
        return tl.special.ndtr(self._z(value))

    def icdf(self, value: Tensor) -> Tensor:
        """See `Distribution.icdf`."""
        return self.loc + self.scale * tl.special.ndtri(value)

    def entropy(self) -> Tensor:
        """See `Distribution.entropy`."""
        return 0.5 + _LOG_ROOT_2PI + self.scale.log()


class Laplace(_LocationScale):
    """The distribution with the density exp(−|x − loc| / scale) / (2 · scale).

    Parameters
    ----------
    loc, scale : float or Tensor
        They broadcast; `scale` is above 0.

    Examples
    --------
    >>> Laplace(0.0, 1.0).variance
    tensor(2.)
    """

    @property
    def mean(self) -> Tensor:
        """`loc`."""
        return self.loc

    @property
    def mode(self) -> Tensor:
        """`loc`."""
        return self.loc

    @property
    def variance(self) -> Tensor:
        """2 · scale²."""
        return 2 * self.scale * self.scale

    def _standard(self, shape: Any) -> Tensor:
        u = drawn("uniform", shape, self.loc) * 2 - 1
        tiny = tl.finfo(self.loc.dtype).tiny
        return -u.sign() * (1 - u.abs()).clamp(min=tiny).log()

    def log_prob(self, value: Tensor) -> Tensor:
        """See `Distribution.log_prob`."""
        return -self._z(value).abs() - (2 * self.scale).log()

    def cdf(self, value: Tensor) -> Tensor:
        """See `Distribution.cdf`."""
        z = self._z(value)
        return 0.5 - 0.5 * z.sign() * tl.expm1(-z.abs())

    def icdf(self, value: Tensor) -> Tensor:
        """See `Distribution.icdf`."""
        term = value - 0.5
        return self.loc - self.scale * term.sign() * tl.log1p(-2 * term.abs())

    def entropy(self) -> Tensor:
        """See `Distribution.entropy`."""
        return 1 + (2 * self.scale).log()


class Cauchy(_LocationScale):
    """The Cauchy distribution, which has no mean.

    Parameters
    ----------
    loc, scale : float or Tensor
        Its middle, and half the distance of its quartiles.

    Examples
    --------
    >>> Cauchy(0.0, 1.0).log_prob(tl.tensor(0.0))
    tensor(-1.1447299)
    """

    @property
    def mean(self) -> Tensor:
        """NaN."""
        return tl.full_like(self.loc, math.nan)

    @property
    def mode(self) -> Tensor:
        """`loc`."""
        return self.loc

    @property
    def variance(self) -> Tensor:
        """Infinity."""
        return tl.full_like(self.loc, math.inf)

    def _standard(self, shape: Any) -> Tensor:
        return tl.tan(math.pi * (uniform_above_0(shape, self.loc) - 0.5))

    def log_prob(self, value: Tensor) -> Tensor:
        """See `Distribution.log_prob`."""
        z = self._z(value)
        return -math.log(math.pi) - self.scale.log() - tl.log1p(z * z)

    def cdf(self, value: Tensor) -> Tensor:
        """See `Distribution.cdf`."""
        return tl.atan(self._z(value)) / math.pi + 0.5

    def icdf(self, value: Tensor) -> Tensor:
        """See `Distribution.icdf`."""
        return tl.tan(math.pi * (value - 0.5)) * self.scale + self.loc

    def entropy(self) -> Tensor:
        """See `Distribution.entropy`."""
        return math.log(4 * math.pi) + self.scale.log()


class Gumbel(_LocationScale):
    """The distribution of the greatest of many: its cdf is exp(−exp(−(x − loc) / scale)).

    Parameters
    ----------
    loc, scale : float or Tensor
        They broadcast.

    Examples
    --------
    >>> Gumbel(0.0, 1.0).mean
    tensor(0.5772157)
    """

    @property
    def mean(self) -> Tensor:
        """Loc + Euler's constant · scale."""
        return self.loc + _EULER * self.scale

    @property
    def mode(self) -> Tensor:
        """`loc`."""
        return self.loc

    @property
    def variance(self) -> Tensor:
        """π² scale² / 6."""
        return (math.pi**2 / 6) * self.scale * self.scale

    def _standard(self, shape: Any) -> Tensor:
        tiny = tl.finfo(self.loc.dtype).tiny
        return -(-uniform_above_0(shape, self.loc).log()).clamp(min=tiny).log()

    def log_prob(self, value: Tensor) -> Tensor:
        """See `Distribution.log_prob`."""
        z = self._z(value)
        return -z - (-z).exp() - self.scale.log()

    def cdf(self, value: Tensor) -> Tensor:
        """See `Distribution.cdf`."""
        return (-(-self._z(value)).exp()).exp()

    def icdf(self, value: Tensor) -> Tensor:
        """See `Distribution.icdf`."""
        return self.loc - self.scale * (-value.log()).log()

    def entropy(self) -> Tensor:
        """See `Distribution.entropy`."""
        return self.scale.log() + (1 + _EULER)


class Uniform(Distribution):
    """The uniform distribution on [low, high).

    Parameters
    ----------
    low, high : float or Tensor
        They broadcast.

    Raises
    ------
    ValueError
        If `low` is not less than `high`.

    Examples
    --------
    >>> Uniform(0.0, 4.0).mean
    tensor(2.)
    """

    arg_constraints = {"low": constraints.real, "high": constraints.real}
    event_dims = {"low": 0, "high": 0}
    has_rsample = True

    def __init__(self, low: Any, high: Any, validate_args: bool | None = None) -> None:
        self.low, self.high = broadcast_all(low, high)
        super().__init__(self.low.shape, validate_args=validate_args)
        if self._validate_args and not bool((self.low < self.high).all()):
            raise ValueError(f"Uniform: low must be less than high, not {self.low}, {self.high}")

    @property
    def support(self) -> constraints.Constraint:
        """From low to high."""
        return constraints.interval(self.low, self.high)

    @property
    def mean(self) -> Tensor:
        """The middle."""
        return (self.low + self.high) / 2

    @property
    def mode(self) -> Tensor:
        """NaN: there is none."""
        return tl.full_like(self.low, math.nan)

    @property
    def variance(self) -> Tensor:
        """(high − low)² / 12."""
        return (self.high - self.low) ** 2 / 12

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        """See `Distribution.rsample`."""
        u = drawn("uniform", self._extended_shape(sample_shape), self.low)
        return self.low + u * (self.high - self.low)

    def log_prob(self, value: Tensor) -> Tensor:
        """See `Distribution.log_prob`; outside −inf."""
        self._validate_sample(value)
        inside = (value >= self.low) & (value < self.high)
        return inside.to(self.low.dtype).log() - (self.high - self.low).log()

    def cdf(self, value: Tensor) -> Tensor:
        """See `Distribution.cdf`."""
        self._validate_sample(value)
        return ((value - self.low) / (self.high - self.low)).clamp(min=0, max=1)

    def icdf(self, value: Tensor) -> Tensor:
        """See `Distribution.icdf`."""
        return value * (self.high - self.low) + self.low

    def entropy(self) -> Tensor:
        """See `Distribution.entropy`."""
        return (self.high - self.low).log()


class Exponential(Distribution):
    """The distribution with the density rate · exp(−rate · x), x ≥ 0.

    Parameters
    ----------
    rate : float or Tensor
        Above 0.

    Examples
    --------
    >>> Exponential(2.0).mean
    tensor(0.5)
    """

    arg_constraints = {"rate": constraints.positive}
    event_dims = {"rate": 0}
    support = constraints.nonnegative
    has_rsample = True

    def __init__(self, rate: Any, validate_args: bool | None = None) -> None:
        (self.rate,) = broadcast_all(rate)
        super().__init__(self.rate.shape, validate_args=validate_args)

    @property
    def mean(self) -> Tensor:
        """1 / rate."""
        return 1 / self.rate

    @property
    def mode(self) -> Tensor:
        """0."""
        return tl.zeros_like(self.rate)

    @property
    def stddev(self) -> Tensor:
        """1 / rate."""
        return 1 / self.rate

    @property
    def variance(self) -> Tensor:
        """1 / rate²."""
        return 1 / (self.rate * self.rate)

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        """See `Distribution.rsample`."""
        u = drawn("uniform", self._extended_shape(sample_shape), self.rate)
        return -tl.log1p(-u) / self.rate

    def log_prob(self, value: Tensor) -> Tensor:
        """See `Distribution.log_prob`."""
        self._validate_sample(value)
        return self.rate.log() - self.rate * value

    def cdf(self, value: Tensor) -> Tensor:
        """See `Distribution.cdf`."""
        self._validate_sample(value)
        return -tl.expm1(-self.rate * value)

    def icdf(self, value: Tensor) -> Tensor:
        """See `Distribution.icdf`."""
        return -tl.log1p(-value) / self.rate

    def entropy(self) -> Tensor:
        """See `Distribution.entropy`."""
        return 1 - self.rate.log()


class LogNormal(TransformedDistribution):
    """The distribution of exp(x) where x is normal with mean `loc`, standard deviation `scale`.

    Parameters
    ----------
    loc, scale : float or Tensor
        They broadcast; `scale` is above 0.

    Examples
    --------
    >>> LogNormal(0.0, 1.0).mean, LogNormal(0.0, 1.0).loc, LogNormal(0.0, 1.0).scale
    (tensor(1.6487212), tensor(0.), tensor(1.))
    """

    arg_constraints = {"loc": constraints.real, "scale": constraints.positive}
    has_rsample = True

    def __init__(self, loc: Any, scale: Any, validate_args: bool | None = None) -> None:
        super().__init__(Normal(loc, scale, validate_args), ExpTransform(), validate_args)

    @property
    def loc(self) -> Tensor:
        """Mean of the logarithm."""
        return self.base_dist.loc

    @property
    def scale(self) -> Tensor:
        """Standard deviation of the logarithm."""
        return self.base_dist.scale

    @property
    def mean(self) -> Tensor:
        """exp(loc + scale² / 2)."""
        return (self.loc + self.base_dist.variance / 2).exp()

    @property
    def mode(self) -> Tensor:
        """exp(loc − scale²)."""
        return (self.loc - self.base_dist.variance).exp()

    @property
    def variance(self) -> Tensor:
        """(exp(scale²) − 1) · exp(2 · loc + scale²)."""
        square = self.base_dist.variance
        return tl.expm1(square) * (2 * self.loc + square).exp()

    def entropy(self) -> Tensor:
        """See `Distribution.entropy`."""
        return self.base_dist.entropy() + self.loc


class HalfNormal(TransformedDistribution):
    """The distribution of |x| where x is normal with mean 0, standard deviation `scale`.

    Parameters
    ----------
    scale : float or Tensor
        Above 0.

    Examples
    --------
    >>> HalfNormal(2.0).mean, HalfNormal(2.0).scale
    (tensor(1.5957692), tensor(2.))
    """

    arg_constraints = {"scale": constraints.positive}
    support = constraints.nonnegative
    has_rsample = True

    def __init__(self, scale: Any, validate_args: bool | None = None) -> None:
        base = Normal(0.0, scale, validate_args=False)
        super().__init__(base, AbsTransform(), validate_args)
        if self._validate_args:
            Normal(0.0, scale, validate_args=True)

    @property
    def scale(self) -> Tensor:
        """Of the normal distribution."""
        return self.base_dist.scale

    @property
    def mean(self) -> Tensor:
        """Scale · √(2 / π)."""
        return self.scale * math.sqrt(2 / math.pi)

    @property
    def mode(self) -> Tensor:
        """0."""
        return tl.zeros_like(self.scale)

    @property
    def variance(self) -> Tensor:
        """scale² · (1 − 2 / π)."""
        return self.scale * self.scale * (1 - 2 / math.pi)

    def log_prob(self, value: Tensor) -> Tensor:
        """See `Distribution.log_prob`."""
        self._validate_sample(value)
        log_prob = self.base_dist.log_prob(value) + math.log(2)
        return tl.where(value >= 0, log_prob, tl.full_like(log_prob, -math.inf))

    def cdf(self, value: Tensor) -> Tensor:
        """See `Distribution.cdf`."""
        self._validate_sample(value)
        return 2 * self.base_dist.cdf(value) - 1

    def icdf(self, value: Tensor) -> Tensor:
        """See `Distribution.icdf`."""
        return self.base_dist.icdf((value + 1) / 2)

    def entropy(self) -> Tensor:
        """See `Distribution.entropy`."""
        return self.base_dist.entropy() - math.log(2)
