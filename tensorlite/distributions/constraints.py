"""What values parameters and samples may have."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorlite as tl
from tensorlite.tensor import Tensor


class Constraint:
    """A condition on values.

    Parameters
    ----------
    name : str
        How it is shown.
    holds : callable
        It gets a Tensor of values and returns one of bool, of the same shape.

    Attributes
    ----------
    is_discrete : bool
        Whether values are whole numbers.
    event_dim : int
        How many of the last axes belong to one value.

    Examples
    --------
    >>> tl.distributions.constraints.positive.check(tl.tensor([1.0, -1.0]))
    tensor([ True, False])
    """

    is_discrete = False
    event_dim = 0

    def __init__(
        self,
        name: str,
        holds: Callable[[Tensor], Tensor],
        *,
        event_dim: int = 0,
        is_discrete: bool = False,
    ) -> None:
        self.name, self._holds = name, holds
        self.event_dim, self.is_discrete = event_dim, is_discrete

    def check(self, value: Tensor) -> Tensor:
        """Whether each value meets the condition: a bool for each.

        Parameters
        ----------
        value : Tensor
            Of any shape.

        Returns
        -------
        Tensor of bool
            Of that shape, without the axes of one value.
        """
        return self._holds(value)

    def __repr__(self) -> str:
        return self.name


def _whole(x: Tensor) -> Tensor:
    return x % 1 == 0


def independent(base: Constraint, reinterpreted_batch_ndims: int) -> Constraint:
    """The condition `base` on all values of the last axes together.

    Parameters
    ----------
    base : Constraint
    reinterpreted_batch_ndims : int
        How many axes.

    Examples
    --------
    >>> constraints = tl.distributions.constraints
    >>> constraints.independent(constraints.positive, 1).check(tl.tensor([1.0, -2.0]))
    tensor(False)
    """
    axes = reinterpreted_batch_ndims

    def holds(value: Tensor) -> Tensor:
        result = base.check(value)
        return result.reshape(*result.shape[: result.dim() - axes], -1).all(-1)

    return Constraint(
        f"independent({base}, {axes})",
        holds if axes else base.check,
        event_dim=base.event_dim + axes,
        is_discrete=base.is_discrete,
    )


def greater_than(lower_bound: Any) -> Constraint:
    """More than a bound.

    Parameters
    ----------
    lower_bound : float or Tensor

    Examples
    --------
    >>> tl.distributions.constraints.greater_than(0.0).check(tl.tensor([1.0, 0.0]))
    tensor([ True, False])
    """
    return Constraint(f"greater_than({lower_bound})", lambda x: x > lower_bound)


def greater_than_eq(lower_bound: Any) -> Constraint:
    """At least a bound.

    Parameters
    ----------
    lower_bound : float or Tensor

    Examples
    --------
    >>> tl.distributions.constraints.greater_than_eq(0.0).check(tl.tensor([1.0, 0.0]))
    tensor([ True,  True])
    """
    return Constraint(f"greater_than_eq({lower_bound})", lambda x: x >= lower_bound)


def less_than(upper_bound: Any) -> Constraint:
    """Less than a bound.

    Parameters
    ----------
    upper_bound : float or Tensor

    Examples
    --------
    >>> tl.distributions.constraints.less_than(1.0).check(tl.tensor([1.0, 0.0]))
    tensor([False,  True])
    """
    return Constraint(f"less_than({upper_bound})", lambda x: x < upper_bound)


def interval(lower_bound: Any, upper_bound: Any) -> Constraint:
    """Between two bounds, or at one.

    Parameters
    ----------
    lower_bound, upper_bound : float or Tensor

    Examples
    --------
    >>> tl.distributions.constraints.interval(0, 1).check(tl.tensor([1.0, 2.0]))
    tensor([ True, False])
    """
    name = f"interval({lower_bound}, {upper_bound})"
    return Constraint(name, lambda x: (x >= lower_bound) & (x <= upper_bound))


def integer_interval(lower_bound: Any, upper_bound: Any) -> Constraint:
    """A whole number between two bounds, or at one.

    Parameters
    ----------
    lower_bound, upper_bound : float or Tensor

    Examples
    --------
    >>> tl.distributions.constraints.integer_interval(0, 1).check(tl.tensor([1.0, 2.0]))
    tensor([ True, False])
    """
    return Constraint(
        f"integer_interval({lower_bound}, {upper_bound})",
        lambda x: _whole(x) & (x >= lower_bound) & (x <= upper_bound),
        is_discrete=True,
    )


def _is_simplex(x: Tensor) -> Tensor:
    return (x >= 0).all(-1) & ((x.sum(-1) - 1).abs() < 1e-6)


def _is_one_hot(x: Tensor) -> Tensor:
    return ((x == 0) | (x == 1)).all(-1) & (x.sum(-1) == 1)


def _is_lower(x: Tensor) -> Tensor:
    return (tl.tril(x) == x).reshape(*x.shape[:-2], -1).all(-1)


def _is_lower_cholesky(x: Tensor) -> Tensor:
    return _is_lower(x) & (tl.diagonal(x, 0, -2, -1) > 0).all(-1)


def _is_symmetric(x: Tensor) -> Tensor:
    close = (x - x.swapaxes(-2, -1)).abs() <= 1e-6 + 1e-5 * x.abs()
    return close.reshape(*x.shape[:-2], -1).all(-1)


def _is_positive_definite(x: Tensor) -> Tensor:
    symmetric = _is_symmetric(x)
    if not bool(symmetric.all()):
        return symmetric
    return (tl.linalg.eigvalsh(x.detach()) > 0).all(-1)


real = Constraint("real", lambda x: x == x)
real_vector = independent(real, 1)
boolean = Constraint("boolean", lambda x: (x == 0) | (x == 1), is_discrete=True)
positive = greater_than(0.0)
nonnegative = greater_than_eq(0.0)
unit_interval = interval(0.0, 1.0)
nonnegative_integer = Constraint(
    "nonnegative_integer", lambda x: _whole(x) & (x >= 0), is_discrete=True
)
positive_integer = Constraint("positive_integer", lambda x: _whole(x) & (x >= 1), is_discrete=True)
simplex = Constraint("simplex", _is_simplex, event_dim=1)
one_hot = Constraint("one_hot", _is_one_hot, event_dim=1, is_discrete=True)
lower_triangular = Constraint("lower_triangular", _is_lower, event_dim=2)
lower_cholesky = Constraint("lower_cholesky", _is_lower_cholesky, event_dim=2)
positive_definite = Constraint("positive_definite", _is_positive_definite, event_dim=2)
