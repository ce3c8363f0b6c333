"""Distributions of transformed samples."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import tensorlite as tl
from tensorlite.distributions import constraints
from tensorlite.distributions.distribution import Distribution, sum_rightmost
from tensorlite.distributions.independent import Independent
from tensorlite.distributions.transforms import ComposeTransform, Transform
from tensorlite.tape import no_grad
from tensorlite.tensor import Size, Tensor


class TransformedDistribution(Distribution):
    """The distribution of what transforms make of a distribution's samples.

    Parameters
    ----------
    base_distribution
        The distribution.
    transforms
        A transform, or several, the first first.
    validate_args
        See `Distribution`.

    Raises
    ------
    ValueError
        If `transforms` are none, or take values of another shape.

    Examples
    --------
    >>> logistic = TransformedDistribution(Uniform(0, 1), [SigmoidTransform().inv])
    """

    def __init__(
        self,
        base_distribution: Distribution,
        transforms: Transform | Sequence[Transform],
        validate_args: bool | None = None,
    ) -> None:
        given = [transforms] if isinstance(transforms, Transform) else transforms
        if not isinstance(given, (list, tuple)) or not all(
            isinstance(each, Transform) for each in given
        ):
            raise ValueError(f"transforms must be a Transform or a list of them, not {transforms}")
        self.transforms = list(given)
        whole = ComposeTransform(self.transforms)
        shape = (*base_distribution.batch_shape, *base_distribution.event_shape)
        wanted = whole.domain.event_dim if self.transforms else 0
        if len(shape) < wanted:
            raise ValueError(
                f"TransformedDistribution: the transforms take values of {wanted} axes, samples of "
                f"{base_distribution} have {len(shape)}"
            )
        missing = max(0, wanted - len(base_distribution.event_shape))
        if missing:
            base_distribution = Independent(base_distribution, missing, validate_args=False)
        self.base_dist: Any = base_distribution
        codomain = whole.codomain.event_dim if self.transforms else 0
        after = whole.forward_shape(shape)
        event_dim = codomain + max(len(base_distribution.event_shape) - wanted, 0)
        split = len(after) - event_dim
        super().__init__(after[:split], after[split:], validate_args)

    def expand(self, batch_shape: Any, _instance: Any = None) -> TransformedDistribution:
        """See `Distribution.expand`."""
        new = object.__new__(type(self))
        new.__dict__.update(self.__dict__)
        new._batch_shape = Size(batch_shape)
        inner = ComposeTransform(self.transforms).inverse_shape((*batch_shape, *self.event_shape))
        dims = len(inner) - len(self.base_dist.event_shape)
        new.base_dist = self.base_dist.expand(inner[:dims])
        return new

    @property
    def has_rsample(self) -> bool:  # type: ignore[override]  # an attribute of the base class
        """As the base distribution."""
        return self.base_dist.has_rsample

    @property
    def support(self) -> constraints.Constraint:
        """What the last transform gives."""
        if not self.transforms:
            return self.base_dist.support
        last = self.transforms[-1].codomain
        return constraints.independent(last, max(0, len(self.event_shape) - last.event_dim))

    def sample(self, sample_shape: Any = ()) -> Tensor:
        """See `Distribution.sample`."""
        with no_grad():
            return self._transformed(self.base_dist.sample(sample_shape))

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        """See `Distribution.rsample`."""
        return self._transformed(self.base_dist.rsample(sample_shape))

    def _transformed(self, x: Tensor) -> Tensor:
        for transform in self.transforms:
            x = transform(x)
        return x

    def log_prob(self, value: Tensor) -> Tensor:
        """See `Distribution.log_prob`."""
        self._validate_sample(value)
        total: Tensor | int = 0
        event_dim, y = len(self.event_shape), value
        for transform in reversed(self.transforms):
            x = transform.inverse_of(y)
            event_dim += transform.domain.event_dim - transform.codomain.event_dim
            part = transform.log_abs_det_jacobian(x, y)
            total = total - sum_rightmost(part, event_dim - transform.domain.event_dim)
            y = x
        base = self.base_dist.log_prob(y)
        return total + sum_rightmost(base, event_dim - len(self.base_dist.event_shape))

    def _sign(self) -> Any:
        return ComposeTransform(self.transforms).sign

    def cdf(self, value: Tensor) -> Tensor:
        """See `Distribution.cdf`."""
        self._validate_sample(value)
        for transform in reversed(self.transforms):
            value = transform.inverse_of(value)
        return self._turned(self.base_dist.cdf(value))

    def icdf(self, value: Tensor) -> Tensor:
        """See `Distribution.icdf`."""
        return self._transformed(self.base_dist.icdf(self._turned(value)))

    def _turned(self, p: Tensor) -> Tensor:
        """1 − p where the transforms fall."""
        sign = self._sign()
        if isinstance(sign, int):
            return p if sign == 1 else 1 - p
        return tl.where(sign > 0, p, 1 - p)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.base_dist}, {self.transforms})"
