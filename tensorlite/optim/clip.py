"""Clipping gradients, in place and on the device."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np

from tensorlite.backend import Array, array_backend
from tensorlite.ops.compiled.arrays import accumulator, alike
from tensorlite.optim.arena import flat_gradients
from tensorlite.tape import on_device_of
from tensorlite.tensor import Tensor, tensor_of

_PART = 8192  # elements whose squares a team sums


def clip_grad_norm_(
    parameters: Tensor | Iterable[Tensor], max_norm: float, norm_type: float = 2.0
) -> Tensor:
    """Scale gradients so that their norm, taken together, is at most `max_norm`.

    Parameters
    ----------
    parameters
        Tensors whose ``.grad`` is scaled in place; those without one are left out.
    max_norm
        The greatest norm.
    norm_type
        p of the p-norm; `math.inf` for the greatest magnitude.

    Returns
    -------
    Tensor
        The norm before clipping, with no axes, on the device: nothing waits for it here.

    Raises
    ------
    ValueError
        If a limit is not positive, or no parameter has a gradient.
    RuntimeError
        If gradients are on different devices; nothing was scaled then.

    Notes
    -----
    Pascanu, Mikolov and Bengio, "On the difficulty of training recurrent neural networks", 2013.
    """
    if not max_norm > 0 or not norm_type > 0:
        raise ValueError(f"max_norm and norm_type must be positive, not {max_norm}, {norm_type}")
    grads = flat_gradients(parameters)
    if not grads:
        raise ValueError("clip_grad_norm_: no parameter has a gradient: call backward() first")
    places = sorted({str(array_backend((grad,)).device_of(grad)) for grad in grads})
    if len(places) > 1:
        raise RuntimeError(
            f"clip_grad_norm_: gradients on different devices: {', '.join(places)}. Clip the "
            "parameters of each device by a call of its own"
        )
    backend = array_backend(grads)
    dense = all(grad.flags.c_contiguous for grad in grads)
    with on_device_of(grads[0]):
        if backend.kernels is not None and norm_type == 2 and dense and alike(*grads):
            return tensor_of(_clip(backend.kernels, grads, max_norm))
        total = _norm(backend.xp, grads, norm_type)
        scale = backend.xp.minimum(max_norm / (total + 1e-6), 1.0)
        for grad in grads:
            grad *= scale.astype(grad.dtype)
        return tensor_of(backend.asarray(total))


def _clip(k: Any, grads: list[Array], max_norm: float) -> Array:
    """Clip by kernels, in place; returns the 2-norm, whose squares are summed in float64."""
    parts = [-(-grad.size // _PART) for grad in grads]
    partial = k.empty((sum(parts),), np.dtype(np.float64))
    start = 0
    for grad, count in zip(grads, parts, strict=True):
        k.square_sum(grad, partial[start : start + count], grad.size, count)
        start += count
    norm = k.empty((), accumulator(grads[0].dtype))
    factor = k.empty((1,), grads[0].dtype)
    k.clip_factor(partial, norm, factor, partial.size, max_norm)
    for grad in grads:
        k.scale_by(grad, factor, grad, grad.size)
    return norm


def _norm(xp: Any, grads: list[Array], p: float) -> Array:
    """The p-norm of all gradients, summed in float32 or wider."""
    if math.isinf(p):
        return xp.stack([xp.abs(g).max() for g in grads]).max()
    wide = [g.astype(xp.promote_types(g.dtype, xp.float32), copy=False).reshape(-1) for g in grads]
    sums = [(g * g if p == 2 else xp.abs(g) ** p).sum() for g in wide]
    return xp.stack(sums).sum() ** (1 / p)


def clip_grad_value_(parameters: Tensor | Iterable[Tensor], clip_value: float) -> None:
    """Limit each element of the gradients to [−clip_value, clip_value], in place."""
    if not clip_value > 0:
        raise ValueError(f"clip_value must be positive, not {clip_value}")
    for grad in flat_gradients(parameters):
        with on_device_of(grad):
            array_backend((grad,)).xp.clip(grad, -clip_value, clip_value, out=grad)
