"""The gamma distribution and what is made of it: beta, Dirichlet, Student's t."""

from __future__ import annotations

import math
from typing import Any

import tensorlite as tl
from tensorlite.distributions import constraints
from tensorlite.distributions.distribution import Distribution, broadcast_all, drawn
from tensorlite.distributions.standard_gamma import log_gammas, standard_gamma
from tensorlite.nn import functional as F
from tensorlite.tensor import Tensor


class Gamma(Distribution):
    """The gamma distribution with the density ∝ x^(concentration − 1) · exp(−rate · x).

    Samples are differentiable by the concentration, too (Figurnov, Mohamed and Mnih, "Implicit
    reparameterization gradients", NeurIPS 2018).

    Parameters
    ----------
    concentration, rate : float or Tensor
        Above 0; they broadcast.

    Examples
    --------
    >>> Gamma(2.0, 4.0).mean
    tensor(0.5)
    """

    arg_constraints = {"concentration": constraints.positive, "rate": constraints.positive}
    event_dims = {"concentration": 0, "rate": 0}
    support = constraints.nonnegative
    has_rsample = True

    def __init__(self, concentration: Any, rate: Any, validate_args: bool | None = None) -> None:
        self.concentration, self.rate = broadcast_all(concentration, rate)
        super().__init__(self.concentration.shape, validate_args=validate_args)

    @property
    def mean(self) -> Tensor:
        """Concentration / rate."""
        return self.concentration / self.rate

    @property
    def mode(self) -> Tensor:
        """(concentration − 1) / rate, at least 0."""
        return ((self.concentration - 1) / self.rate).clamp(min=0)

    @property
    def variance(self) -> Tensor:
        """Concentration / rate²."""
        return self.concentration / (self.rate * self.rate)

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        """See `Distribution.rsample`."""
        shape = self._extended_shape(sample_shape)
        value = standard_gamma(self.concentration.expand(shape)) / self.rate
        return value.clamp(min=tl.finfo(value.dtype).tiny)

    def log_prob(self, value: Tensor) -> Tensor:
        """See `Distribution.log_prob`."""
        self._validate_sample(value)
        a = self.concentration
        powers = tl.xlogy(a, self.rate) + tl.xlogy(a - 1, value)
        return powers - self.rate * value - tl.lgamma(a)

    def cdf(self, value: Tensor) -> Tensor:
        """See `Distribution.cdf`."""
        self._validate_sample(value)
        return tl.special.gammainc(self.concentration, self.rate * value)

    def entropy(self) -> Tensor:
        """See `Distribution.entropy`."""
        a = self.concentration
        return a - self.rate.log() + tl.lgamma(a) + (1 - a) * tl.digamma(a)


class Chi2(Gamma):
    """The distribution of the sum of `df` squares of standard normal numbers.

    Parameters
    ----------
    df : float or Tensor
        Above 0.

    Raises
    ------
    ValueError
        If `df` is not positive.

    Examples
    --------
    >>> Chi2(3.0).mean, Chi2(3.0).df
    (tensor(3.), tensor(3.))
    """

    arg_constraints = {"df": constraints.positive}

    def __init__(self, df: Any, validate_args: bool | None = None) -> None:
        half = 0.5 * df
        super().__init__(half, 0.5, validate_args)
        if self._validate_args and not bool((self.concentration > 0).all()):
            raise ValueError(f"Chi2: df must be positive, not {df}")

    @property
    def df(self) -> Tensor:
        """Degrees of freedom."""
        return self.concentration * 2


class Beta(Distribution):
    """The beta distribution with the density ∝ x^(c1 − 1) · (1 − x)^(c0 − 1).

    Parameters
    ----------
    concentration1, concentration0 : float or Tensor
        Above 0; they broadcast.

    Examples
    --------
    >>> Beta(2.0, 2.0).mean, Beta(2.0, 2.0).log_prob(tl.tensor(0.5))
    (tensor(0.5), tensor(0.40546513))
    """

    arg_constraints = {
        "concentration1": constraints.positive,
        "concentration0": constraints.positive,
    }
    event_dims = {"concentration1": 0, "concentration0": 0}
    support = constraints.unit_interval
    has_rsample = True

    def __init__(
        self, concentration1: Any, concentration0: Any, validate_args: bool | None = None
    ) -> None:
        self.concentration1, self.concentration0 = broadcast_all(concentration1, concentration0)
        super().__init__(self.concentration1.shape, validate_args=validate_args)

    @property
    def _total(self) -> Tensor:
        return self.concentration1 + self.concentration0

    @property
    def mean(self) -> Tensor:
        """c1 / (c1 + c0)."""
        return self.concentration1 / self._total

    @property
    def mode(self) -> Tensor:
        """(c1 − 1) / (c1 + c0 − 2), each part at least 0; 0 or 1 where both are below 1."""
        both = tl.stack([self.concentration1, self.concentration0], -1)
        return _mode(both)[..., 0]

    @property
    def variance(self) -> Tensor:
        """c1 · c0 / ((c1 + c0)² · (c1 + c0 + 1))."""
        total = self._total
        return self.concentration1 * self.concentration0 / (total * total * (total + 1))

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        """See `Distribution.rsample`."""
        both = tl.stack([self.concentration1, self.concentration0], -1)
        logs = log_gammas(both.expand((*self._extended_shape(sample_shape), 2)))
        return tl.sigmoid(logs[..., 0] - logs[..., 1])

    def log_prob(self, value: Tensor) -> Tensor:
        """See `Distribution.log_prob`."""
        self._validate_sample(value)
        a, b = self.concentration1, self.concentration0
        powers = tl.xlogy(a - 1, value) + tl.special.xlog1py(b - 1, -value)
        return powers - tl.lgamma(a) - tl.lgamma(b) + tl.lgamma(self._total)

    def entropy(self) -> Tensor:
        """See `Distribution.entropy`."""
        a, b, total = self.concentration1, self.concentration0, self._total
        logs = tl.lgamma(a) + tl.lgamma(b) - tl.lgamma(total)
        slopes = (a - 1) * tl.digamma(a) + (b - 1) * tl.digamma(b)
        return logs - slopes + (total - 2) * tl.digamma(total)


class Dirichlet(Distribution):
    """The Dirichlet distribution of probabilities, along the last axis of `concentration`.

    Parameters
    ----------
    concentration : Tensor, shape (…, k)
        Above 0.

    Raises
    ------
    ValueError
        If it has no axes.

    Examples
    --------
    >>> Dirichlet(tl.ones(3)).mean
    tensor([0.33333334, 0.33333334, 0.33333334])
    """

    arg_constraints = {
        "concentration": constraints.independent(constraints.positive, 1),
    }
    event_dims = {"concentration": 1}
    support = constraints.simplex
    has_rsample = True

    def __init__(self, concentration: Tensor, validate_args: bool | None = None) -> None:
        if concentration.dim() < 1:
            raise ValueError("Dirichlet: concentration must have at least one axis")
        self.concentration = concentration
        shape = concentration.shape
        super().__init__(shape[:-1], shape[-1:], validate_args)

    @property
    def mean(self) -> Tensor:
        """Concentration, divided by its sum."""
        return self.concentration / self.concentration.sum(-1, keepdim=True)

    @property
    def mode(self) -> Tensor:
        """(c − 1) / Σ (c − 1), or the corner of the greatest where all are below 1."""
        return _mode(self.concentration)

    @property
    def variance(self) -> Tensor:
        """C · (s − c) / (s² · (s + 1)), s the sum."""
        total = self.concentration.sum(-1, keepdim=True)
        c = self.concentration
        return c * (total - c) / (total * total * (total + 1))

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        """See `Distribution.rsample`."""
        shape = self._extended_shape(sample_shape)
        return tl.softmax(log_gammas(self.concentration.expand(shape)), -1)

    def log_prob(self, value: Tensor) -> Tensor:
        """See `Distribution.log_prob`."""
        self._validate_sample(value)
        c = self.concentration
        powers = tl.xlogy(c - 1, value).sum(-1)
        return powers + tl.lgamma(c.sum(-1)) - tl.lgamma(c).sum(-1)

    def entropy(self) -> Tensor:
        """See `Distribution.entropy`."""
        c, count = self.concentration, self.concentration.shape[-1]
        total = c.sum(-1)
        logs = tl.lgamma(c).sum(-1) - tl.lgamma(total)
        slopes = (count - total) * tl.digamma(total) + ((c - 1) * tl.digamma(c)).sum(-1)
        return logs - slopes


def _mode(concentration: Tensor) -> Tensor:
    """The mode of the Dirichlet distribution."""
    above = (concentration - 1).clamp(min=0)
    mode = above / above.sum(-1, keepdim=True)
    corner = F.one_hot(concentration.argmax(-1), concentration.shape[-1]).to(mode.dtype)
    return tl.where((concentration < 1).all(-1, keepdim=True), corner, mode)


class StudentT(Distribution):
    """Student's t distribution with `df` degrees of freedom, shifted and scaled.

    Parameters
    ----------
    df, loc, scale : float or Tensor
        They broadcast; `df` and `scale` are above 0.

    Examples
    --------
    >>> StudentT(3.0).variance
    tensor(3.)
    """

    arg_constraints = {
        "df": constraints.positive,
        "loc": constraints.real,
        "scale": constraints.positive,
    }
    event_dims = {"df": 0, "loc": 0, "scale": 0}
    support = constraints.real
    has_rsample = True

    def __init__(
        self, df: Any, loc: Any = 0.0, scale: Any = 1.0, validate_args: bool | None = None
    ) -> None:
        self.df, self.loc, self.scale = broadcast_all(df, loc, scale)
        super().__init__(self.df.shape, validate_args=validate_args)

    @property
    def mean(self) -> Tensor:
        """`loc`, where df > 1; else NaN."""
        return tl.where(self.df > 1, self.loc, tl.full_like(self.loc, math.nan))

    @property
    def mode(self) -> Tensor:
        """`loc`."""
        return self.loc

    @property
    def variance(self) -> Tensor:
        """scale² · df / (df − 2) where df > 2; inf where df > 1; else NaN."""
        finite = self.scale * self.scale * self.df / (self.df - 2).clamp(min=1e-30)
        rest = tl.full_like(self.df, math.nan)
        rest = tl.where(self.df > 1, tl.full_like(self.df, math.inf), rest)
        return tl.where(self.df > 2, finite, rest)

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        """See `Distribution.rsample`."""
        shape = self._extended_shape(sample_shape)
        normal = drawn("normal", shape, self.loc)
        half = 0.5 * self.df.expand(shape)
        spread = (standard_gamma(half) / half).clamp(min=tl.finfo(half.dtype).tiny)
        return self.loc + self.scale * normal * tl.rsqrt(spread)

    def log_prob(self, value: Tensor) -> Tensor:
        """See `Distribution.log_prob`."""
        self._validate_sample(value)
        z = (value - self.loc) / self.scale
        half = 0.5 * self.df
        scale = self.scale.log() + 0.5 * self.df.log() + 0.5 * math.log(math.pi)
        logs = tl.lgamma(half) - tl.lgamma(half + 0.5)
        return -(half + 0.5) * tl.log1p(z * z / self.df) - scale - logs

    def entropy(self) -> Tensor:
        """See `Distribution.entropy`."""
        half = 0.5 * self.df
        logs = tl.lgamma(half) + 0.5 * math.log(math.pi) - tl.lgamma(half + 0.5)
        slope = (half + 0.5) * (tl.digamma(half + 0.5) - tl.digamma(half))
        return self.scale.log() + slope + 0.5 * self.df.log() + logs
