"""Clipping gradients, in place and on the device."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np

from tensorlite.backend import Array, array_backend
from tensorlite.ops.compiled.arrays import alike, kernel_sum_dtype
from tensorlite.optim.arena import divided, flat_gradients
from tensorlite.optim.foreign import brought
from tensorlite.tape import on_device_of, unit
from tensorlite.tensor import Tensor, tensor_of

_PART = 8192  # elements whose squares a team sums


def clip_grad_norm_(
    parameters: Tensor | Iterable[Tensor],
    max_norm: float,
    norm_type: float = 2.0,
    error_if_nonfinite: bool = False,
    foreach: bool | None = None,
) -> Tensor:
    """Scale gradients so that their norm, taken together, is at most `max_norm`.

    Parameters
    ----------
    parameters
        Tensors whose ``.grad`` is scaled in place; those without one are left out. One that is
        given twice counts once.
    max_norm
        The greatest norm.
    norm_type
        p of the p-norm; `math.inf` or "inf" for the greatest magnitude.
    error_if_nonfinite
        Raise where the norm is infinite or NaN, and scale nothing. The host waits for the norm.
    foreach
        Accepted for torch's sake.

    Returns
    -------
    Tensor
        The norm before clipping, with no axes, on the device of the first gradient; 0 if there is
        no gradient. Nothing waits for it here.

    Raises
    ------
    ValueError
        If `max_norm` is negative, or `norm_type` not positive.
    RuntimeError
        If `error_if_nonfinite`, for an infinite or NaN norm.

    Notes
    -----
    Pascanu, Mikolov and Bengio, "On the difficulty of training recurrent neural networks", 2013.

    Examples
    --------
    >>> loss.backward()
    >>> norm = nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    """
    max_norm = _at_least_0(max_norm, "max_norm")
    parameters = [parameters] if isinstance(parameters, Tensor) else list(parameters)
    shared = divided(parameters)
    grads = flat_gradients(parameters)
    for sharing, arenas in shared.items():
        if len(shared) == 1 and sharing.has_all(parameters):
            norm = sharing.norm(arenas, _positive(norm_type))
            _check_finite(norm, norm_type, error_if_nonfinite)
            _scale(sharing.own_gradients(arenas), max_norm, norm)
            return tensor_of(norm)
        sharing.gather_gradients(arenas)
    if not grads:
        return tensor_of(np.zeros((), np.float32))
    return tensor_of(unit("clip_grad_norm_", _clip, grads, max_norm, norm_type, error_if_nonfinite))


def _clip(grads: list[Array], max_norm: float, norm_type: float, error_if_nonfinite: bool) -> Array:
    """Scale gradients; their norm before."""
    backend = array_backend(grads)
    k = backend.kernels
    plain = k is not None and float(norm_type) == 2 and alike(*grads) and grads[0].itemsize < 8
    if plain and all(g.flags.c_contiguous for g in grads) and _on_one_device(grads):
        with on_device_of(grads[0]):
            norm, factor = _norm_and_factor(k, grads, max_norm)
            _check_finite(norm, norm_type, error_if_nonfinite)
            for grad in grads:
                k.scale_by(grad, factor, grad, grad.size)
            return norm
    norm = _norm(grads, norm_type)
    _check_finite(norm, norm_type, error_if_nonfinite)
    _scale(grads, max_norm, norm)
    return norm


def get_total_norm(
    tensors: Tensor | Iterable[Tensor],
    norm_type: float = 2.0,
    error_if_nonfinite: bool = False,
    foreach: bool | None = None,
) -> Tensor:
    """The norm of all elements of some Tensors together; parameters as of `clip_grad_norm_`.

    Parameters
    ----------
    tensors : iterable of Tensor
        Of any shapes.
    norm_type, error_if_nonfinite, foreach
        As of `clip_grad_norm_`.

    Returns
    -------
    Tensor, shape ()

    Raises
    ------
    RuntimeError
        If `error_if_nonfinite`, for an infinite or NaN norm.

    Examples
    --------
    >>> nn.utils.get_total_norm([tl.tensor([3.0]), tl.tensor([4.0])])
    tensor(5.)
    """
    given = [tensors] if isinstance(tensors, Tensor) else list(tensors)
    if not given:
        return tensor_of(np.zeros((), np.float32))
    norm = unit("norm", _norm, [tensor.array for tensor in given], norm_type)
    _check_finite(norm, norm_type, error_if_nonfinite)
    return tensor_of(norm)


def clip_grads_with_norm_(
    parameters: Tensor | Iterable[Tensor],
    max_norm: float,
    total_norm: Tensor,
    foreach: bool | None = None,
) -> None:
    """Scale gradients by what brings `total_norm` down to `max_norm`, if it is greater.

    Parameters
    ----------
    parameters : iterable of Tensor
        Of any shapes.
    max_norm : float
        Not negative.
    total_norm : Tensor, shape ()
        See `get_total_norm`.
    foreach
        Accepted for torch's sake.

    Raises
    ------
    ValueError
        If `max_norm` is negative.

    Examples
    --------
    >>> loss.backward()
    >>> norm = nn.utils.get_total_norm([p.grad for p in model.parameters()])
    >>> nn.utils.clip_grads_with_norm_(model.parameters(), 1.0, norm)
    """
    unit("clip", _scale, _own(parameters), _at_least_0(max_norm, "max_norm"), total_norm.array)


def _own(parameters: Tensor | Iterable[Tensor]) -> list[Array]:
    """The gradients, as few arrays; of those that processes divide all, put together."""
    parameters = [parameters] if isinstance(parameters, Tensor) else list(parameters)
    for sharing, arenas in divided(parameters).items():
        sharing.gather_gradients(arenas)
    return flat_gradients(parameters)


def _at_least_0(value: Any, name: str) -> float:
    if not float(value) >= 0:
        raise ValueError(f"{name} must be at least 0, not {value}")
    return float(value)


def _positive(norm_type: float) -> float:
    if not float(norm_type) > 0:
        raise ValueError(f"norm_type must be positive, not {norm_type}")
    return float(norm_type)


def _on_one_device(arrays: list[Array]) -> bool:
    backend = array_backend(arrays)
    first = backend.device_of(arrays[0])
    return all(backend.device_of(array) == first for array in arrays[1:])


def _check_finite(norm: Array, norm_type: float, wanted: bool) -> None:
    if wanted and not math.isfinite(float(norm)):
        raise RuntimeError(
            f"the total norm of order {norm_type} of the gradients is {float(norm)}, so they "
            "cannot be clipped; error_if_nonfinite=False scales them all the same"
        )


def _norm_and_factor(k: Any, grads: list[Array], max_norm: float) -> tuple[Array, Array]:
    """The 2-norm by kernels, its squares summed in float64, and what gradients are scaled by."""
    parts = [-(-grad.size // _PART) for grad in grads]
    partial = k.empty((sum(parts),), np.dtype(np.float64))
    start = 0
    for grad, count in zip(grads, parts, strict=True):
        k.square_sum(grad, partial[start : start + count], grad.size, count)
        start += count
    norm = k.empty((), kernel_sum_dtype(grads[0].dtype))
    factor = k.empty((1,), grads[0].dtype)
    k.clip_factor(partial, norm, factor, partial.size, max_norm)
    return norm, factor


def _norm(arrays: list[Array], norm_type: float) -> Array:
    """The p-norm of all arrays together, on the device of the first: the norm of their norms."""
    p = _positive(norm_type)
    backend = array_backend(arrays)
    norms = []
    for array in arrays:
        with on_device_of(array), np.errstate(all="ignore"):
            norms.append(_one_norm(array_backend((array,)), array, p))
    with on_device_of(arrays[0]), np.errstate(all="ignore"):
        if len(norms) == 1:
            return norms[0]
        norms = [brought(norm, arrays[0]) for norm in norms]
        return _one_norm(backend, backend.xp.concatenate([n.reshape(1) for n in norms]), p)


def _one_norm(backend: Any, x: Array, p: float) -> Array:
    """One array's p-norm, in float32 or wider; its greatest element is 1 on the way.

    So no power is too large or too small for its type.
    """
    xp = backend.xp
    wide = xp.abs(x.astype(xp.promote_types(x.dtype, xp.float32), copy=False))
    peak = wide.max() if x.size else xp.zeros((), wide.dtype)
    if math.isinf(p) or not x.size:
        return backend.asarray(peak)
    unit = xp.where((peak > 0) & xp.isfinite(peak), peak, xp.ones_like(peak))
    ratio = wide / unit
    powers = ratio * ratio if p == 2 else ratio**p
    return backend.asarray((unit * powers.sum() ** (1 / p)).astype(wide.dtype))


def _scale(grads: list[Array], max_norm: float, norm: Array) -> None:
    """Multiply gradients by max_norm / norm where that is less than 1; by NaN where it is NaN.

    Zeros stay: gaps between the gradients of an arena must never be NaN.
    """
    for grad in grads:
        backend = array_backend((grad,))
        with on_device_of(grad), np.errstate(all="ignore"):
            factor = backend.xp.minimum(max_norm / (brought(norm, grad) + 1e-6), 1.0)
            scaled = grad * factor.astype(grad.dtype)
            grad[...] = backend.xp.where(grad == 0, grad, scaled)


def clip_grad_value_(
    parameters: Tensor | Iterable[Tensor], clip_value: float, foreach: bool | None = None
) -> None:
    """Limit each element of the gradients to [−clip_value, clip_value], in place.

    Parameters
    ----------
    parameters : iterable of Tensor
        Of any shapes.
    clip_value : float
        Not negative.
    foreach
        Accepted for torch's sake.

    Raises
    ------
    ValueError
        If `clip_value` is negative.

    Examples
    --------
    >>> loss.backward()
    >>> nn.utils.clip_grad_value_(model.parameters(), 0.1)
    """
    clip_value = _at_least_0(clip_value, "clip_value")
    for grad in _own(parameters):
        with on_device_of(grad):
            unit("clip_grad_value_", _limit, grad, clip_value)


def _limit(grad: Array, most: float) -> None:
    array_backend((grad,)).xp.clip(grad, -most, most, out=grad)
