"""Batch axes taken as event axes."""

from __future__ import annotations

from typing import Any

from tensorlite.distributions import constraints
from tensorlite.distributions.distribution import Distribution, sum_rightmost
from tensorlite.tensor import Size, Tensor


class Independent(Distribution):
    """The last batch axes of a distribution taken as one sample: log-probabilities are summed.

    Parameters
    ----------
    base_distribution
        The distribution.
    reinterpreted_batch_ndims
        How many axes.
    validate_args
        See `Distribution`.

    Raises
    ------
    ValueError
        If there are not so many batch axes.

    Examples
    --------
    >>> diagonal = Independent(Normal(tl.zeros(3), tl.ones(3)), 1)
    >>> diagonal.log_prob(tl.zeros(5, 3)).shape
    (5,)
    """

    def __init__(
        self,
        base_distribution: Distribution,
        reinterpreted_batch_ndims: int,
        validate_args: bool | None = None,
    ) -> None:
        count = len(base_distribution.batch_shape)
        if reinterpreted_batch_ndims > count:
            raise ValueError(
                f"Independent: {reinterpreted_batch_ndims} batch axes asked of a distribution that "
                f"has {count}"
            )
        shape = (*base_distribution.batch_shape, *base_distribution.event_shape)
        split = count - reinterpreted_batch_ndims
        self.base_dist = base_distribution
        self.reinterpreted_batch_ndims = reinterpreted_batch_ndims
        super().__init__(shape[:split], shape[split:], validate_args)

    def expand(self, batch_shape: Any, _instance: Any = None) -> Independent:
        """See `Distribution.expand`."""
        batch_shape = Size(batch_shape)
        own = self.event_shape[: self.reinterpreted_batch_ndims]
        base = self.base_dist.expand((*batch_shape, *own))
        return type(self)(base, self.reinterpreted_batch_ndims, validate_args=False)

    @property
    def has_rsample(self) -> bool:  # type: ignore[override]  # an attribute of the base class
        """As the base distribution."""
        return self.base_dist.has_rsample

    @property
    def has_enumerate_support(self) -> bool:  # type: ignore[override]  # an attribute of the base class
        """As the base distribution, where no axes are taken."""
        return self.reinterpreted_batch_ndims == 0 and self.base_dist.has_enumerate_support

    @property
    def support(self) -> constraints.Constraint:
        """That of the base distribution, for all of a sample."""
        return constraints.independent(self.base_dist.support, self.reinterpreted_batch_ndims)

    @property
    def mean(self) -> Tensor:
        """As the base distribution."""
        return self.base_dist.mean

    @property
    def mode(self) -> Tensor:
        """As the base distribution."""
        return self.base_dist.mode

    @property
    def variance(self) -> Tensor:
        """As the base distribution."""
        return self.base_dist.variance

    def sample(self, sample_shape: Any = ()) -> Tensor:
        """See `Distribution.sample`."""
        return self.base_dist.sample(sample_shape)

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        """See `Distribution.rsample`."""
        return self.base_dist.rsample(sample_shape)

    def log_prob(self, value: Tensor) -> Tensor:
        """See `Distribution.log_prob`."""
        return sum_rightmost(self.base_dist.log_prob(value), self.reinterpreted_batch_ndims)

    def entropy(self) -> Tensor:
        """See `Distribution.entropy`."""
        return sum_rightmost(self.base_dist.entropy(), self.reinterpreted_batch_ndims)

    def enumerate_support(self, expand: bool = True) -> Tensor:
        """See `Distribution.enumerate_support`."""
        if self.reinterpreted_batch_ndims:
            raise NotImplementedError("Independent: all combinations would be too many")
        return self.base_dist.enumerate_support(expand)

    def __repr__(self) -> str:
        return f"Independent({self.base_dist}, {self.reinterpreted_batch_ndims})"
