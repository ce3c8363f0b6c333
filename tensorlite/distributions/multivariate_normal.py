"""The normal distribution of vectors."""

from __future__ import annotations

import math
from functools import cached_property
from typing import Any

import tensorlite as tl
from tensorlite.distributions import constraints
from tensorlite.distributions.distribution import Distribution, drawn
from tensorlite.tensor import Tensor


class MultivariateNormal(Distribution):
    """The normal distribution with the mean `loc` and one of three matrices.

    Parameters
    ----------
    loc
        Mean, shape (…, n).
    covariance_matrix, precision_matrix, scale_tril
        The covariance Σ, its inverse, or the lower triangular L with L Lᵀ = Σ: one of them,
        shape (…, n, n). The last is the cheapest.
    validate_args
        See `Distribution`.

    Raises
    ------
    ValueError
        If not one matrix is given, or shapes do not fit.

    Examples
    --------
    >>> normal = MultivariateNormal(tl.zeros(2), tl.eye(2))
    >>> normal.log_prob(tl.zeros(2)), normal.half_log_det, normal.distance_from_mean(tl.ones(2))
    (tensor(-1.837877), tensor(0.), tensor(2.))
    """

    arg_constraints = {
        "loc": constraints.real_vector,
        "covariance_matrix": constraints.positive_definite,
        "precision_matrix": constraints.positive_definite,
        "scale_tril": constraints.lower_cholesky,
    }
    event_dims = {
        "loc": 1,
        "covariance_matrix": 2,
        "precision_matrix": 2,
        "scale_tril": 2,
        "_tril": 2,
    }
    support = constraints.real_vector
    has_rsample = True

    def __init__(
        self,
        loc: Tensor,
        covariance_matrix: Tensor | None = None,
        precision_matrix: Tensor | None = None,
        scale_tril: Tensor | None = None,
        validate_args: bool | None = None,
    ) -> None:
        matrices = {
            "covariance_matrix": covariance_matrix,
            "precision_matrix": precision_matrix,
            "scale_tril": scale_tril,
        }
        given = {name: matrix for name, matrix in matrices.items() if matrix is not None}
        if len(given) != 1:
            raise ValueError(
                "MultivariateNormal: give one of covariance_matrix, precision_matrix, scale_tril"
            )
        ((name, matrix),) = given.items()
        if loc.dim() < 1 or matrix.dim() < 2:
            raise ValueError(
                f"MultivariateNormal: loc must have at least one axis and {name} two, not "
                f"{loc.dim()} and {matrix.dim()}"
            )
        batch: Any = tl.broadcast_shapes(matrix.shape[:-2], loc.shape[:-1])
        n = loc.shape[-1]
        self.loc = loc.expand((*batch, n))
        self.__dict__[name] = matrix.expand((*batch, *matrix.shape[-2:]))
        super().__init__(batch, (n,), validate_args)
        self._tril = _factor(name, matrix)

    @cached_property
    def scale_tril(self) -> Tensor:
        """The lower triangular L with L Lᵀ = Σ."""
        n = self.event_shape[0]
        return self._tril.expand((*self.batch_shape, n, n))

    @cached_property
    def covariance_matrix(self) -> Tensor:
        """Σ."""
        return self.scale_tril @ self.scale_tril.swapaxes(-2, -1)

    @cached_property
    def precision_matrix(self) -> Tensor:
        """The inverse of Σ."""
        n = self.event_shape[0]
        eye = tl.eye(n, dtype=self.loc.dtype, device=self.loc.device)
        half = tl.linalg.solve_triangular(
            self.scale_tril, eye.expand_as(self.scale_tril), upper=False
        )
        return half.swapaxes(-2, -1) @ half

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
        """The diagonal of Σ."""
        return (self.scale_tril * self.scale_tril).sum(-1)

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        """See `Distribution.rsample`."""
        eps = drawn("normal", self._extended_shape(sample_shape), self.loc)
        return self.loc + (self.scale_tril @ eps.unsqueeze(-1)).squeeze(-1)

    def log_prob(self, value: Tensor) -> Tensor:
        """See `Distribution.log_prob`."""
        self._validate_sample(value)
        n = self.event_shape[0]
        return (
            -0.5 * (n * math.log(2 * math.pi) + self.distance_from_mean(value)) - self.half_log_det
        )

    @property
    def half_log_det(self) -> Tensor:
        """Half of the logarithm of Σ's determinant."""
        return tl.diagonal(self.scale_tril, 0, -2, -1).log().sum(-1)

    def distance_from_mean(self, value: Tensor) -> Tensor:
        """(value − loc)ᵀ Σ⁻¹ (value − loc).

        Parameters
        ----------
        value : Tensor, shape (…, n)

        Returns
        -------
        Tensor, shape (…)
        """
        difference = value - self.loc
        shape = difference.shape
        matrix = self.scale_tril.expand((*shape[:-1], shape[-1], shape[-1]))
        solved = tl.linalg.solve_triangular(matrix, difference.unsqueeze(-1), upper=False)
        return (solved.squeeze(-1) ** 2).sum(-1)

    def entropy(self) -> Tensor:
        """See `Distribution.entropy`."""
        n = self.event_shape[0]
        return 0.5 * n * (1 + math.log(2 * math.pi)) + self.half_log_det


def _factor(name: str, matrix: Tensor) -> Tensor:
    """L from what is given."""
    if name == "scale_tril":
        return matrix
    if name == "covariance_matrix":
        return tl.linalg.cholesky(matrix)
    # Of the precision P: with the axes reversed, its factor's inverse is lower triangular again.
    upper = tl.linalg.cholesky(tl.flip(matrix, (-2, -1)))
    upper = tl.flip(upper, (-2, -1)).swapaxes(-2, -1)
    eye = tl.eye(matrix.shape[-1], dtype=matrix.dtype, device=matrix.device)
    return tl.linalg.solve_triangular(upper, eye.expand_as(matrix), upper=False)
