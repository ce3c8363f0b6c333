"""Distributions of whole numbers and classes."""

from __future__ import annotations

import math
from functools import cached_property
from typing import Any

import numpy as np

import tensorlite as tl
from tensorlite.backend import array_backend
from tensorlite.distributions import constraints
from tensorlite.distributions.distribution import (
    Distribution,
    broadcast_all,
    clamped_probs,
    drawn,
    made,
    uniform_above_0,
)
from tensorlite.nn import functional as F
from tensorlite.random import default_generator
from tensorlite.tape import no_grad, on_device_of
from tensorlite.tensor import Tensor


class _Binary(Distribution):
    """A distribution with a probability of success, or its logit log(p / (1 − p))."""

    arg_constraints = {"probs": constraints.unit_interval, "logits": constraints.real}
    event_dims = {"probs": 0, "logits": 0}

    def _take(self, probs: Any, logits: Any) -> Tensor:
        """Keep the one that is given, and return it."""
        if (probs is None) == (logits is None):
            raise ValueError(f"{type(self).__name__}: give either probs or logits")
        name, value = ("logits", logits) if probs is None else ("probs", probs)
        (kept,) = broadcast_all(value)
        self.__dict__[name] = kept
        return kept

    @cached_property
    def probs(self) -> Tensor:
        """Probabilities of success."""
        return tl.sigmoid(self.__dict__["logits"])

    @cached_property
    def logits(self) -> Tensor:
        """Logits of success."""
        p = clamped_probs(self.__dict__["probs"])
        return p.log() - tl.log1p(-p)

    @property
    def _param(self) -> Tensor:
        given = self.__dict__.get("probs")
        return self.logits if given is None else given

    @property
    def param_shape(self) -> tuple[int, ...]:
        """Shape of the parameter."""
        return self._param.shape


class Bernoulli(_Binary):
    """1 with the probability `probs`, else 0.

    Parameters
    ----------
    probs, logits : float or Tensor
        The probability, or log(p / (1 − p)): one of them.

    Examples
    --------
    >>> Bernoulli(0.25).mean, Bernoulli(0.25).log_prob(tl.tensor(1.0))
    (tensor(0.25), tensor(-1.3862944))
    """

    support = constraints.boolean
    has_enumerate_support = True

    def __init__(
        self, probs: Any = None, logits: Any = None, validate_args: bool | None = None
    ) -> None:
        kept = self._take(probs, logits)
        super().__init__(kept.shape, validate_args=validate_args)

    @property
    def mean(self) -> Tensor:
        """`probs`."""
        return self.probs

    @property
    def mode(self) -> Tensor:
        """0 or 1; NaN where both are as likely."""
        mode = (self.probs >= 0.5).to(self.probs.dtype)
        return tl.where(self.probs == 0.5, tl.full_like(mode, math.nan), mode)

    @property
    def variance(self) -> Tensor:
        """P · (1 − p)."""
        return self.probs * (1 - self.probs)

    def sample(self, sample_shape: Any = ()) -> Tensor:
        """See `Distribution.sample`."""
        with no_grad():
            u = drawn("uniform", self._extended_shape(sample_shape), self.probs)
            return (u < self.probs).to(self.probs.dtype)

    def log_prob(self, value: Tensor) -> Tensor:
        """See `Distribution.log_prob`."""
        self._validate_sample(value)
        logits, value = broadcast_all(self.logits, value)
        return -F.binary_cross_entropy_with_logits(logits, value.to(logits.dtype), reduction="none")

    def entropy(self) -> Tensor:
        """See `Distribution.entropy`."""
        return F.binary_cross_entropy_with_logits(self.logits, self.probs, reduction="none")

    def enumerate_support(self, expand: bool = True) -> Tensor:
        """See `Distribution.enumerate_support`."""
        values = tl.arange(2, dtype=self._param.dtype, device=self._param.device)
        values = values.reshape(-1, *[1] * len(self.batch_shape))
        return values.expand((2, *self.batch_shape)) if expand else values


class Geometric(_Binary):
    """Number of failures before the first success.

    Parameters
    ----------
    probs, logits : float or Tensor
        The probability of success, or log(p / (1 − p)): one of them.

    Raises
    ------
    ValueError
        If a probability is 0.

    Examples
    --------
    >>> Geometric(0.25).mean
    tensor(3.)
    """

    support = constraints.nonnegative_integer

    def __init__(
        self, probs: Any = None, logits: Any = None, validate_args: bool | None = None
    ) -> None:
        kept = self._take(probs, logits)
        super().__init__(kept.shape, validate_args=validate_args)
        if self._validate_args and probs is not None and not bool((kept > 0).all()):
            raise ValueError(f"Geometric: probs must be positive, not {kept}")

    @property
    def mean(self) -> Tensor:
        """1 / p − 1."""
        return 1 / self.probs - 1

    @property
    def mode(self) -> Tensor:
        """0."""
        return tl.zeros_like(self.probs)

    @property
    def variance(self) -> Tensor:
        """(1 / p − 1) / p."""
        return (1 / self.probs - 1) / self.probs

    def sample(self, sample_shape: Any = ()) -> Tensor:
        """See `Distribution.sample`."""
        with no_grad():
            u = uniform_above_0(self._extended_shape(sample_shape), self.probs)
            return tl.floor(u.log() / tl.log1p(-self.probs))

    def log_prob(self, value: Tensor) -> Tensor:
        """See `Distribution.log_prob`."""
        self._validate_sample(value)
        value, probs = broadcast_all(value, self.probs)
        sure = (probs == 1) & (value == 0)
        q = tl.where(sure, tl.zeros_like(probs), probs)
        return value * tl.log1p(-q) + probs.log()

    def entropy(self) -> Tensor:
        """See `Distribution.entropy`."""
        cross = F.binary_cross_entropy_with_logits(self.logits, self.probs, reduction="none")
        return cross / self.probs


class Binomial(_Binary):
    """Number of successes in `total_count` trials.

    Parameters
    ----------
    total_count : int or Tensor
        Number of trials.
    probs, logits : float or Tensor
        The probability, or log(p / (1 − p)): one of them.

    Examples
    --------
    >>> Binomial(10, 0.5).mean, Binomial(10, 0.5).log_prob(tl.tensor(5.0))
    (tensor(5.), tensor(-1.4020424))
    """

    arg_constraints = {
        "total_count": constraints.nonnegative_integer,
        "probs": constraints.unit_interval,
        "logits": constraints.real,
    }
    event_dims = {"total_count": 0, "probs": 0, "logits": 0}
    has_enumerate_support = True

    def __init__(
        self,
        total_count: Any = 1,
        probs: Any = None,
        logits: Any = None,
        validate_args: bool | None = None,
    ) -> None:
        kept = self._take(probs, logits)
        name = "logits" if probs is None else "probs"
        count, kept = broadcast_all(total_count, kept)
        self.__dict__[name] = kept
        self.total_count = count.to(kept.dtype)
        super().__init__(kept.shape, validate_args=validate_args)

    @property
    def support(self) -> constraints.Constraint:
        """From 0 to the number of trials."""
        return constraints.integer_interval(0, self.total_count)

    @property
    def mean(self) -> Tensor:
        """N · p."""
        return self.total_count * self.probs

    @property
    def mode(self) -> Tensor:
        """⌊(n + 1) · p⌋, at most n."""
        top = tl.floor((self.total_count + 1) * self.probs)
        return tl.minimum(top, self.total_count)

    @property
    def variance(self) -> Tensor:
        """N · p · (1 − p)."""
        return self.total_count * self.probs * (1 - self.probs)

    def sample(self, sample_shape: Any = ()) -> Tensor:
        """See `Distribution.sample`: trials up to each next success are drawn at once."""
        shape = self._extended_shape(sample_shape)
        probs = self.probs.detach().expand(shape)
        count = self.total_count.expand(shape)
        with on_device_of(probs.array):
            xp = array_backend((probs.array,)).xp
            p = probs.array.astype(np.float64)
            n = count.array.astype(np.float64)
            rare = xp.minimum(p, 1 - p)  # of successes or of failures
            hits = xp.zeros(p.shape, np.float64)
            done = xp.zeros(p.shape, np.float64)
            scale = xp.log1p(-xp.where(rare > 0, rare, 0.5))
            while True:
                u = 1 - default_generator.uniform(p.shape, np.float64, probs.device)
                skip = xp.where(rare > 0, xp.floor(xp.log(u) / scale) + 1, np.inf)
                done = done + skip
                hit = done <= n
                if not bool(hit.any()):
                    break
                hits = hits + hit
            return made(xp.where(p <= 0.5, hits, n - hits), probs)

    def log_prob(self, value: Tensor) -> Tensor:
        """See `Distribution.log_prob`."""
        self._validate_sample(value)
        n, logits = self.total_count, self.logits
        ways = tl.lgamma(n + 1) - tl.lgamma(value + 1) - tl.lgamma(n - value + 1)
        return ways + value * logits - n * F.softplus(logits)

    def entropy(self) -> Tensor:
        """See `Distribution.entropy`; all distributions must have the same number of trials."""
        log_prob = self.log_prob(self.enumerate_support())
        return -(log_prob.exp() * log_prob).sum(0)

    def enumerate_support(self, expand: bool = True) -> Tensor:
        """See `Distribution.enumerate_support`."""
        count = int(self.total_count.max())
        if int(self.total_count.min()) != count:
            raise NotImplementedError("Binomial: distributions with different numbers of trials")
        values = tl.arange(count + 1, dtype=self._param.dtype, device=self._param.device)
        values = values.reshape(-1, *[1] * len(self.batch_shape))
        return values.expand((count + 1, *self.batch_shape)) if expand else values


class Poisson(Distribution):
    """Number of events of which `rate` are expected.

    Parameters
    ----------
    rate : float or Tensor
        Not negative.

    Examples
    --------
    >>> Poisson(3.0).log_prob(tl.tensor(2.0))
    tensor(-1.4959226)
    """

    arg_constraints = {"rate": constraints.nonnegative}
    event_dims = {"rate": 0}
    support = constraints.nonnegative_integer

    def __init__(self, rate: Any, validate_args: bool | None = None) -> None:
        (self.rate,) = broadcast_all(rate)
        super().__init__(self.rate.shape, validate_args=validate_args)

    @property
    def mean(self) -> Tensor:
        """`rate`."""
        return self.rate

    @property
    def mode(self) -> Tensor:
        """⌊rate⌋."""
        return tl.floor(self.rate)

    @property
    def variance(self) -> Tensor:
        """`rate`."""
        return self.rate

    def sample(self, sample_shape: Any = ()) -> Tensor:
        """See `Distribution.sample`."""
        with no_grad():
            return tl.poisson(self.rate.expand(self._extended_shape(sample_shape)))

    def log_prob(self, value: Tensor) -> Tensor:
        """See `Distribution.log_prob`."""
        self._validate_sample(value)
        rate, value = broadcast_all(self.rate, value)
        return tl.xlogy(value, rate) - rate - tl.lgamma(value + 1)


class Categorical(Distribution):
    """One of k classes, along the last axis of `probs` or of `logits`.

    Parameters
    ----------
    probs
        Not negative, shape (…, k); divided by their sum.
    logits
        Logarithms of such, up to a constant.
    validate_args
        See `Distribution`.

    Raises
    ------
    ValueError
        If not one of both is given, or it has no axes.

    Examples
    --------
    >>> Categorical(tl.tensor([0.25, 0.75])).log_prob(tl.tensor(1))
    tensor(-0.28768206)
    >>> Categorical(tl.tensor([0.25, 0.75])).param_shape
    (2,)
    """

    arg_constraints = {
        "probs": constraints.simplex,
        "logits": constraints.real_vector,
    }
    event_dims = {"probs": 1, "logits": 1}
    has_enumerate_support = True

    def __init__(
        self,
        probs: Tensor | None = None,
        logits: Tensor | None = None,
        validate_args: bool | None = None,
    ) -> None:
        if (probs is None) == (logits is None):
            raise ValueError(f"{type(self).__name__}: give either probs or logits")
        given: Any = logits if probs is None else probs
        if given.dim() < 1:
            raise ValueError(f"{type(self).__name__}: the parameter must have at least one axis")
        if probs is None:
            self.__dict__["logits"] = given - tl.logsumexp(given, -1, keepdim=True)
        else:
            self.__dict__["probs"] = probs / probs.sum(-1, keepdim=True)
        self._num_events = given.shape[-1]
        super().__init__(given.shape[:-1], self._event_of(given), validate_args)

    def _event_of(self, given: Tensor) -> tuple[int, ...]:
        return ()

    @cached_property
    def probs(self) -> Tensor:
        """Probabilities of the classes."""
        return tl.softmax(self.__dict__["logits"], -1)

    @cached_property
    def logits(self) -> Tensor:
        """Logarithms of the probabilities."""
        return clamped_probs(self.__dict__["probs"]).log()

    @property
    def _param(self) -> Tensor:
        given = self.__dict__.get("probs")
        return self.logits if given is None else given

    @property
    def param_shape(self) -> tuple[int, ...]:
        """Shape of the parameter."""
        return self._param.shape

    @property
    def support(self) -> constraints.Constraint:
        """The numbers of the classes."""
        return constraints.integer_interval(0, self._num_events - 1)

    @property
    def mean(self) -> Tensor:
        """NaN: classes have no mean."""
        shape = self._extended_shape()
        return tl.full(shape, math.nan, dtype=self._param.dtype, device=self._param.device)

    @property
    def mode(self) -> Tensor:
        """The most likely class."""
        return self.probs.argmax(-1)

    @property
    def variance(self) -> Tensor:
        """NaN."""
        return self.mean

    def sample(self, sample_shape: Any = ()) -> Tensor:
        """See `Distribution.sample`."""
        return self._classes(sample_shape)

    def _classes(self, sample_shape: Any) -> Tensor:
        """Numbers of classes, int64."""
        shape = (*sample_shape, *self.batch_shape)
        with no_grad():
            flat = self.probs.reshape(-1, self._num_events)
            if not flat.shape[0] or not math.prod(sample_shape):
                return tl.zeros(shape, dtype=tl.int64, device=flat.device)
            drawn_classes = tl.multinomial(flat, math.prod(sample_shape), True)
            return drawn_classes.T.reshape(shape)

    def log_prob(self, value: Tensor) -> Tensor:
        """See `Distribution.log_prob`."""
        self._validate_sample(value)
        index = value.long().unsqueeze(-1)
        shape = tl.broadcast_shapes(index.shape[:-1], self.logits.shape[:-1])
        index = index.expand((*shape, 1))
        return self.logits.expand((*shape, self._num_events)).gather(-1, index).squeeze(-1)

    def entropy(self) -> Tensor:
        """See `Distribution.entropy`."""
        least = tl.finfo(self.logits.dtype).min
        return -(self.logits.clamp(min=least) * self.probs).sum(-1)

    def enumerate_support(self, expand: bool = True) -> Tensor:
        """See `Distribution.enumerate_support`."""
        values = tl.arange(self._num_events, device=self._param.device)
        values = values.reshape(-1, *[1] * len(self.batch_shape))
        return values.expand((self._num_events, *self.batch_shape)) if expand else values


class OneHotCategorical(Categorical):
    """A class as a vector with one 1; parameters as of `Categorical`.

    Parameters
    ----------
    probs, logits : Tensor, shape (…, k)
        As of `Categorical`.

    Examples
    --------
    >>> OneHotCategorical(tl.tensor([0.25, 0.75])).log_prob(tl.tensor([0.0, 1.0]))
    tensor(-0.28768206)
    """

    support = constraints.one_hot

    def _event_of(self, given: Tensor) -> tuple[int, ...]:
        return given.shape[-1:]

    @property
    def mean(self) -> Tensor:
        """`probs`."""
        return self.probs

    @property
    def mode(self) -> Tensor:
        """The most likely class."""
        return F.one_hot(self.probs.argmax(-1), self._num_events).to(self.probs.dtype)

    @property
    def variance(self) -> Tensor:
        """P · (1 − p)."""
        return self.probs * (1 - self.probs)

    def sample(self, sample_shape: Any = ()) -> Tensor:
        """See `Distribution.sample`."""
        return F.one_hot(self._classes(sample_shape), self._num_events).to(self._param.dtype)

    def log_prob(self, value: Tensor) -> Tensor:
        """See `Distribution.log_prob`."""
        self._validate_sample(value)
        return (self.logits * value).sum(-1)

    def enumerate_support(self, expand: bool = True) -> Tensor:
        """See `Distribution.enumerate_support`."""
        n = self._num_events
        values = tl.eye(n, dtype=self._param.dtype, device=self._param.device)
        values = values.reshape(n, *[1] * len(self.batch_shape), n)
        return values.expand((n, *self.batch_shape, n)) if expand else values
