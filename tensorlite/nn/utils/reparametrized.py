"""The older spelling of weight and spectral normalization, by hooks before `forward`.

New code uses `nn.utils.parametrizations`.
"""

from __future__ import annotations

import warnings
from typing import Any

from tensorlite.nn.conv import ConvTransposeNd
from tensorlite.nn.module import Module
from tensorlite.nn.parameter import Parameter
from tensorlite.nn.utils.norms import (
    as_matrix,
    largest_singular_value,
    norm_except,
    power_iterations,
    random_unit,
    weight_of,
)
from tensorlite.tape import no_grad
from tensorlite.tensor import Tensor

__all__ = ["remove_spectral_norm", "remove_weight_norm", "spectral_norm", "weight_norm"]


class _Recomputed:
    """A hook that computes a weight before each call of its owner."""

    def __init__(self, name: str) -> None:
        self.name = name

    def value(self, module: Module) -> Tensor:
        """The weight."""
        raise NotImplementedError

    def __call__(self, module: Module, args: Any) -> None:
        """Compute it anew."""
        setattr(module, self.name, self.value(module))


class WeightNorm(_Recomputed):
    """From ``weight_g``, the lengths, and ``weight_v``."""

    def __init__(self, name: str, dim: int | None) -> None:
        super().__init__(name)
        self.dim = -1 if dim is None else dim

    def value(self, module: Module) -> Tensor:
        """The weight."""
        g, v = getattr(module, f"{self.name}_g"), getattr(module, f"{self.name}_v")
        return weight_of(g, v, self.dim)


class SpectralNorm(_Recomputed):
    """From ``weight_orig`` and the buffers ``weight_u`` and ``weight_v``."""

    def __init__(self, name: str, n_power_iterations: int, dim: int, eps: float) -> None:
        super().__init__(name)
        if n_power_iterations <= 0:
            raise ValueError(
                "Expected n_power_iterations to be positive, but got "
                f"n_power_iterations={n_power_iterations}"
            )
        self.n_power_iterations, self.dim, self.eps = n_power_iterations, dim, eps

    def value(self, module: Module) -> Tensor:
        """The weight; in training after some power iterations."""
        original = getattr(module, f"{self.name}_orig")
        u, v = getattr(module, f"{self.name}_u"), getattr(module, f"{self.name}_v")
        matrix = as_matrix(original, self.dim)
        if module.training:
            power_iterations(matrix.mT, v, u, self.n_power_iterations, self.eps)
        return original / largest_singular_value(matrix, u, v)


def weight_norm(module: Module, name: str = "weight", dim: int | None = 0) -> Module:
    """As `parametrizations.weight_norm`, with the parameters ``weight_g`` and ``weight_v``.

    Parameters
    ----------
    module, name, dim
        As of `parametrizations.weight_norm`.

    Returns
    -------
    Module
        The owner.

    Raises
    ------
    KeyError
        If there is no such parameter.
    RuntimeError
        If it has one already.

    Examples
    --------
    >>> [name for name, _ in nn.utils.weight_norm(nn.Linear(4, 3)).named_parameters()]
    ['bias', 'weight_g', 'weight_v']
    """
    warnings.warn(
        "`nn.utils.weight_norm` is deprecated in favor of `nn.utils.parametrizations.weight_norm`.",
        FutureWarning,
        stacklevel=2,
    )
    _refuse_second(module, name, WeightNorm, "weight_norm")
    hook = WeightNorm(name, dim)
    weight = _taken(module, name)
    with no_grad():
        lengths = norm_except(weight.detach(), hook.dim)
    module.register_parameter(f"{name}_g", Parameter(lengths))
    module.register_parameter(f"{name}_v", Parameter(weight.detach()))
    return _installed(module, hook)


def remove_weight_norm(module: Module, name: str = "weight") -> Module:
    """Undo `weight_norm`; the weight keeps its value.

    Parameters
    ----------
    module : Module
        The owner.
    name : str
        Of the parameter.

    Returns
    -------
    Module
        The owner.

    Raises
    ------
    ValueError
        If there is none to undo.

    Examples
    --------
    >>> layer = nn.utils.weight_norm(nn.Linear(4, 3))
    >>> nn.utils.remove_weight_norm(layer).weight.shape
    (3, 4)
    """
    hook = _removed(module, name, WeightNorm, "weight_norm")
    return _restored(module, hook, f"{name}_g", f"{name}_v")


def spectral_norm(
    module: Module,
    name: str = "weight",
    n_power_iterations: int = 1,
    eps: float = 1e-12,
    dim: int | None = None,
) -> Module:
    """As `parametrizations.spectral_norm`, with the parameter ``weight_orig``.

    Parameters
    ----------
    module, name, n_power_iterations, eps, dim
        As of `parametrizations.spectral_norm`.

    Returns
    -------
    Module
        The owner.

    Raises
    ------
    KeyError
        If there is no such parameter.
    RuntimeError
        If it has one already.

    Examples
    --------
    >>> [name for name, _ in nn.utils.spectral_norm(nn.Linear(4, 3)).named_parameters()]
    ['bias', 'weight_orig']
    """
    _refuse_second(module, name, SpectralNorm, "spectral_norm")
    if dim is None:
        dim = 1 if isinstance(module, ConvTransposeNd) else 0
    hook = SpectralNorm(name, n_power_iterations, dim, eps)
    weight = _taken(module, name)
    matrix = as_matrix(weight.detach(), dim)
    module.register_parameter(f"{name}_orig", weight)
    module.register_buffer(f"{name}_u", random_unit(matrix.shape[0], matrix, eps))
    module.register_buffer(f"{name}_v", random_unit(matrix.shape[1], matrix, eps))
    setattr(module, name, weight.detach())
    module.register_forward_pre_hook(hook)
    return module


def remove_spectral_norm(module: Module, name: str = "weight") -> Module:
    """Undo `spectral_norm`; the weight keeps its value.

    Parameters
    ----------
    module : Module
        The owner.
    name : str
        Of the parameter.

    Returns
    -------
    Module
        The owner.

    Raises
    ------
    ValueError
        If there is none to undo.

    Examples
    --------
    >>> layer = nn.utils.spectral_norm(nn.Linear(4, 3))
    >>> nn.utils.remove_spectral_norm(layer).weight.shape
    (3, 4)
    """
    hook = _removed(module, name, SpectralNorm, "spectral_norm")
    training, module.training = module.training, False
    try:
        return _restored(module, hook, f"{name}_orig", f"{name}_u", f"{name}_v")
    finally:
        module.training = training


def _refuse_second(module: Module, name: str, kind: type[_Recomputed], what: str) -> None:
    for hook, _ in module._forward_pre_hooks.values():
        if isinstance(hook, kind) and hook.name == name:
            raise RuntimeError(f"Cannot register two {what} hooks on the same parameter {name}")


def _taken(module: Module, name: str) -> Parameter:
    """A parameter, which the module has no longer."""
    weight = module._parameters.get(name)
    if weight is None:
        raise KeyError(f"{type(module).__name__} has no parameter {name!r}")
    delattr(module, name)
    return weight


def _installed(module: Module, hook: _Recomputed) -> Module:
    setattr(module, hook.name, hook.value(module))
    module.register_forward_pre_hook(hook)
    return module


def _removed(module: Module, name: str, kind: type[_Recomputed], what: str) -> _Recomputed:
    for key, (hook, _) in list(module._forward_pre_hooks.items()):
        if isinstance(hook, kind) and hook.name == name:
            del module._forward_pre_hooks[key]
            return hook
    raise ValueError(f"{what} of '{name}' not found in {module}")


def _restored(module: Module, hook: _Recomputed, *names: str) -> Module:
    with no_grad():
        weight = hook.value(module).detach()
    delattr(module, hook.name)
    for name in names:
        delattr(module, name)
    module.register_parameter(hook.name, Parameter(weight))
    return module
