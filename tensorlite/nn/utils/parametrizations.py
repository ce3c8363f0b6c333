"""Ready parametrizations: weight and spectral normalization."""

from __future__ import annotations

from typing import Any

from tensorlite.nn.conv import ConvTransposeNd
from tensorlite.nn.module import Module
from tensorlite.nn.utils.norms import (
    as_matrix,
    largest_singular_value,
    norm_except,
    power_iterations,
    random_unit,
    unit,
    weight_of,
)
from tensorlite.nn.utils.parametrize import register_parametrization
from tensorlite.tensor import Tensor
from tensorlite.unknown import answers_for

__all__ = ["spectral_norm", "weight_norm"]


class _WeightNorm(Module):
    """Length and direction apart: original0 the lengths, original1 a vector of any length."""

    def __init__(self, dim: int | None = 0) -> None:
        super().__init__()
        self.dim = -1 if dim is None else dim

    def forward(self, weight_g: Tensor, weight_v: Tensor) -> Tensor:
        """The weight."""
        return weight_of(weight_g, weight_v, self.dim)

    def right_inverse(self, weight: Tensor) -> tuple[Tensor, Tensor]:
        """Lengths and directions of a weight."""
        return norm_except(weight, self.dim), weight


def weight_norm(module: Module, name: str = "weight", dim: int | None = 0) -> Module:
    """Parametrize a weight by its length and its direction [1]_.

    Parameters
    ----------
    module, name
        The owner, and the name of the parameter.
    dim
        The axis along which each slice has a length of its own; None for one length.

    Returns
    -------
    Module
        The owner, with ``parametrizations.weight.original0`` (lengths) and ``original1``.

    References
    ----------
    .. [1] Salimans and Kingma, "Weight normalization", NeurIPS 2016.

    Examples
    --------
    >>> layer = nn.utils.parametrizations.weight_norm(nn.Linear(4, 3))
    >>> layer.parametrizations.weight.original0.shape
    (3, 1)
    """
    register_parametrization(module, name, _WeightNorm(dim), unsafe=True)

    def rename(state_dict: dict, prefix: str, *_: Any) -> None:
        for old, new in ((f"{name}_g", "original0"), (f"{name}_v", "original1")):
            if prefix + old in state_dict:  # of the older `nn.utils.weight_norm`
                key = f"{prefix}parametrizations.{name}.{new}"
                state_dict[key] = state_dict.pop(prefix + old)

    module._register_load_state_dict_pre_hook(rename)
    return module


class _SpectralNorm(Module):
    """A weight divided by its largest singular value, which power iterations estimate."""

    def __init__(
        self, weight: Tensor, n_power_iterations: int = 1, dim: int = 0, eps: float = 1e-12
    ) -> None:
        super().__init__()
        if not -weight.ndim <= dim < weight.ndim:
            raise IndexError(
                f"spectral_norm: dim {dim} is out of range for a weight of {weight.ndim} axes"
            )
        if n_power_iterations <= 0:
            raise ValueError(
                "Expected n_power_iterations to be positive, but got "
                f"n_power_iterations={n_power_iterations}"
            )
        self.dim = dim % weight.ndim
        self.eps = eps
        if weight.ndim > 1:
            self.n_power_iterations = n_power_iterations
            matrix = as_matrix(weight.detach(), self.dim)
            self.register_buffer("_u", random_unit(matrix.shape[0], matrix, eps))
            self.register_buffer("_v", random_unit(matrix.shape[1], matrix, eps))
            power_iterations(matrix, self._u, self._v, 15, eps)

    def forward(self, weight: Tensor) -> Tensor:
        """The weight with largest singular value 1."""
        if weight.ndim == 1:
            return unit(weight, self.eps)
        matrix = as_matrix(weight, self.dim)
        if self.training:
            power_iterations(matrix, self._u, self._v, self.n_power_iterations, self.eps)
        return weight / largest_singular_value(matrix, self._u, self._v)

    def right_inverse(self, value: Tensor) -> Tensor:
        """The value itself."""
        return value


def spectral_norm(
    module: Module,
    name: str = "weight",
    n_power_iterations: int = 1,
    eps: float = 1e-12,
    dim: int | None = None,
) -> Module:
    """Divide a weight by its largest singular value whenever it is read [1]_.

    Parameters
    ----------
    module, name
        The owner, and the name of the parameter.
    n_power_iterations
        Steps of the estimate at each reading in training.
    eps
        Least length that vectors are divided by.
    dim
        The axis of the outputs; by default 1 of transposed convolutions, else 0.

    Returns
    -------
    Module
        The owner.

    Raises
    ------
    ValueError
        If there is no such parameter, or an option is out of range.

    References
    ----------
    .. [1] Miyato, Kataoka, Koyama and Yoshida, "Spectral normalization for generative adversarial
       networks", ICLR 2018.

    Examples
    --------
    >>> layer = nn.utils.parametrizations.spectral_norm(nn.Linear(4, 3))
    >>> layer.weight.shape
    (3, 4)
    """
    weight = getattr(module, name, None)
    if not isinstance(weight, Tensor):
        raise ValueError(f"Module '{module}' has no parameter or buffer with name '{name}'")
    if dim is None:
        dim = 1 if isinstance(module, ConvTransposeNd) else 0
    made = _SpectralNorm(weight, n_power_iterations, dim, eps)
    return register_parametrization(module, name, made)


__getattr__ = answers_for(__name__)
