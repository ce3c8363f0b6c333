"""Losses. Each compares a prediction with a target of the same shape: nothing broadcasts.

``reduction`` is "mean" (over all elements), "sum", or "none" for one loss an element or example.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tensorlite.backend import Array, array_backend
from tensorlite.ops.activation import relu, softplus
from tensorlite.ops.arithmetic import maximum, minimum
from tensorlite.ops.compare import where
from tensorlite.ops.cross_entropy import cross_entropy_rows
from tensorlite.ops.elementwise import abs, exp, log, sqrt, square
from tensorlite.ops.index import take_along_axis
from tensorlite.ops.norms import vector_norm
from tensorlite.ops.reduce import mean, sum
from tensorlite.ops.shape import moveaxis
from tensorlite.ops.softmax import log_softmax
from tensorlite.tape import is_grad_enabled
from tensorlite.tensor import Tensor

__all__ = [
    "binary_cross_entropy",
    "binary_cross_entropy_with_logits",
    "cosine_embedding_loss",
    "cross_entropy",
    "hinge_loss",
    "huber_loss",
    "kl_div",
    "l1_loss",
    "mse_loss",
    "nll_loss",
    "smooth_l1_loss",
    "triplet_margin_loss",
]


def _reduced(loss: Tensor, reduction: str) -> Tensor:
    if reduction == "mean":
        return mean(loss)
    if reduction == "sum":
        return sum(loss)
    if reduction == "none":
        return loss
    raise ValueError(f"reduction is 'mean', 'sum' or 'none', not {reduction!r}")


def _check_same_shape(op: str, input: Tensor, target: Tensor) -> None:
    """Refuse what would broadcast: (N, 1) against (N,) would compare all pairs."""
    if input.shape == target.shape:
        return
    hint = "give both the same shape"
    if input.numel() == target.numel():
        hint = f"reshape one, such as input.reshape({target.shape})"
    raise ValueError(
        f"{op}: input of shape {input.shape} and target of shape {target.shape} would broadcast; "
        + hint
    )


# --- regression ---------------------------------------------------------------------------------


def mse_loss(input: Tensor, target: Tensor, reduction: str = "mean") -> Tensor:
    """(input - target)²."""
    _check_same_shape("mse_loss", input, target)
    return _reduced(square(input - target), reduction)


def l1_loss(input: Tensor, target: Tensor, reduction: str = "mean") -> Tensor:
    """|input - target|."""
    _check_same_shape("l1_loss", input, target)
    return _reduced(abs(input - target), reduction)


def huber_loss(
    input: Tensor, target: Tensor, reduction: str = "mean", delta: float = 1.0
) -> Tensor:
    """d²/2 up to `delta`, `delta` (d - `delta`/2) above, with d = |input - target| (Huber 1964)."""
    _check_same_shape("huber_loss", input, target)
    if delta <= 0:
        raise ValueError(f"huber_loss: delta must be positive, not {delta}")
    distance = abs(input - target)
    near = minimum(distance, delta)
    return _reduced(near * (distance - 0.5 * near), reduction)


def smooth_l1_loss(
    input: Tensor, target: Tensor, reduction: str = "mean", beta: float = 1.0
) -> Tensor:
    """d²/(2 `beta`) up to `beta`, d - `beta`/2 above, with d = |input - target|; l1 for beta 0."""
    _check_same_shape("smooth_l1_loss", input, target)
    if beta < 0:
        raise ValueError(f"smooth_l1_loss: beta must not be negative, but is {beta}")
    if beta == 0:
        return l1_loss(input, target, reduction)
    return huber_loss(input, target, reduction, delta=beta) / beta


# --- classification -----------------------------------------------------------------------------


def cross_entropy(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    ignore_index: int = -100,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
) -> Tensor:
    """-log softmax(input) of the target class, or averaged over target probabilities.

    Parameters
    ----------
    input
        Logits (N, C), (N, C, d1, …), or (C,).
    target
        Class indices of `input`'s shape without C, or probabilities of its whole shape.
    weight
        Weight of each class (C,).
    ignore_index
        Class index that does not count.
    reduction
        "mean" divides by the number of class indices that count, or the sum of their weights; by
        the number of examples for probabilities.
    label_smoothing
        Part of each target that is spread evenly over all classes.

    Raises
    ------
    IndexError
        If a class index is not in [0, C), on the CPU.
    """
    if not 0 <= label_smoothing <= 1:
        raise ValueError(f"cross_entropy: label_smoothing is in [0, 1], not {label_smoothing}")
    if target.array.dtype.kind not in "iu":
        return _cross_entropy_of_probabilities(input, target, weight, reduction, label_smoothing)
    x, labels = _examples("cross_entropy", input, target, weight)
    with_gradient = input.requires_grad and is_grad_enabled()
    result = cross_entropy_rows(
        x,
        labels,
        weight,
        ignore_index=ignore_index,
        label_smoothing=label_smoothing,
        mean=reduction == "mean",
        with_gradient=with_gradient,
    )
    loss = result[0] if with_gradient else result
    if isinstance(loss.array, np.ndarray):
        total = loss.array if loss.array.ndim == 0 else loss.array.sum()
        if math.isnan(total):  # as a wrong label leaves it
            _check_labels("cross_entropy", labels.array, x.shape[1], ignore_index)
    if reduction == "mean":
        return loss
    return _reduced(loss, reduction) if reduction != "none" else loss.reshape(target.shape)


def _cross_entropy_of_probabilities(
    input: Tensor, target: Tensor, weight: Tensor | None, reduction: str, label_smoothing: float
) -> Tensor:
    _check_same_shape("cross_entropy", input, target)
    axis = min(1, len(input.shape) - 1)
    if label_smoothing:
        target = target * (1 - label_smoothing) + label_smoothing / input.shape[axis]
    each = target * log_softmax(input, axis=axis)
    if weight is not None:
        each = each * weight.reshape(-1, *(1,) * (len(input.shape) - axis - 1))
    return _reduced(-sum(each, axis=axis), reduction)


def nll_loss(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    ignore_index: int = -100,
    reduction: str = "mean",
) -> Tensor:
    """-input of the target class, `input` being log-probabilities; see `cross_entropy`."""
    x, labels = _examples("nll_loss", input, target, weight)
    _check_labels("nll_loss", labels.array, x.shape[1], ignore_index)
    place, own = _places(labels, weight, ignore_index, x.dtype)
    loss = -take_along_axis(x, place[:, None], axis=1).reshape(-1) * own
    if reduction == "mean":
        return sum(loss) / own.sum()
    return _reduced(loss, reduction) if reduction != "none" else loss.reshape(target.shape)


def _examples(
    op: str, input: Tensor, target: Tensor, weight: Tensor | None
) -> tuple[Tensor, Tensor]:
    """Logits as (rows, C) and labels as (rows,)."""
    shape, labels = input.array.shape, target.array
    axis = min(1, len(shape) - 1)
    if not shape or shape[:axis] + shape[axis + 1 :] != labels.shape:
        raise ValueError(
            f"{op}: input of shape {shape} and class indices of shape {labels.shape}; the "
            "indices must have input's shape (N, C, …) without C"
        )
    classes = shape[axis]
    if labels.dtype.kind not in "iu":
        raise TypeError(f"{op}: class indices must be integers, not {labels.dtype}")
    if weight is not None and weight.shape != (classes,):
        raise ValueError(f"{op}: weight of shape {weight.shape} for {classes} classes")
    if len(shape) == 2:
        return input, target
    if len(shape) > 2:
        input = moveaxis(input, 1, -1)
    return input.reshape(target.numel(), classes), target.reshape(target.numel())


def _check_labels(op: str, labels: Array, classes: int, ignore_index: int) -> None:
    """Refuse labels that are no class. Not on CUDA, where that would wait for the device."""
    if not isinstance(labels, np.ndarray):
        return
    wrong = labels[((labels < 0) | (labels >= classes)) & (labels != ignore_index)]
    if wrong.size:
        raise IndexError(f"{op}: class index {wrong[0]} is not in [0, {classes}), the classes")


def _places(
    labels: Tensor, weight: Tensor | None, ignore_index: int, dtype: Any
) -> tuple[Array, Array]:
    """Of each label the class to look at, and how much it counts."""
    raw = labels.array
    valid = raw != ignore_index
    place = array_backend((raw,)).xp.where(valid, raw, 0)
    return place, valid.astype(dtype) if weight is None else valid * weight.array[place]


def binary_cross_entropy(
    input: Tensor, target: Tensor, weight: Tensor | None = None, reduction: str = "mean"
) -> Tensor:
    """-(target log input + (1 - target) log(1 - input)) of probabilities.

    Logarithms are not less than -100; at 0 and 1, where they would be infinite, their gradient is
    0. `binary_cross_entropy_with_logits` has no such corners. `weight` broadcasts to `input`.
    """
    _check_same_shape("binary_cross_entropy", input, target)
    raw = input.array
    if isinstance(raw, np.ndarray) and raw.size and (raw.min() < 0 or raw.max() > 1):
        raise ValueError(
            f"binary_cross_entropy: input reaches from {raw.min()} to {raw.max()}, but "
            "probabilities are in [0, 1]; for logits use binary_cross_entropy_with_logits"
        )
    loss = -(target * _clamped_log(input) + (1 - target) * _clamped_log(1 - input))
    return _reduced(loss if weight is None else loss * weight, reduction)


def _clamped_log(x: Tensor) -> Tensor:
    return where(x > 0, maximum(log(where(x > 0, x, 1.0)), -100.0), -100.0)


def binary_cross_entropy_with_logits(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    reduction: str = "mean",
    pos_weight: Tensor | None = None,
) -> Tensor:
    """`binary_cross_entropy` of sigmoid(input), without overflow.

    `weight` and `pos_weight`, which multiplies the part of positive targets, broadcast to `input`.
    """
    _check_same_shape("binary_cross_entropy_with_logits", input, target)
    tail = softplus(-input, threshold=math.inf)
    if pos_weight is not None:
        tail = tail * (1 + (pos_weight - 1) * target)
    loss = (1 - target) * input + tail
    return _reduced(loss if weight is None else loss * weight, reduction)


def kl_div(
    input: Tensor, target: Tensor, reduction: str = "mean", log_target: bool = False
) -> Tensor:
    """``target * (log(target) - input)`` of log-probabilities `input`; 0 where target is 0.

    With `log_target` the target is given as its logarithm. Kullback and Leibler's divergence of
    distributions is ``reduction="batchmean"``: the sum divided by the length of the first axis.
    """
    _check_same_shape("kl_div", input, target)
    if log_target:
        loss = exp(target) * (target - input)
    else:
        loss = target * (log(where(target == 0, 1.0, target)) - input)
    if reduction == "batchmean":
        return sum(loss) / input.shape[0]
    return _reduced(loss, reduction)


# --- margins ------------------------------------------------------------------------------------


def hinge_loss(
    input: Tensor, target: Tensor, reduction: str = "mean", margin: float = 1.0
) -> Tensor:
    """max(0, `margin` - target · input), with targets 1 and -1."""
    _check_same_shape("hinge_loss", input, target)
    return _reduced(relu(margin - target * input), reduction)


def cosine_embedding_loss(
    input1: Tensor,
    input2: Tensor,
    target: Tensor,
    margin: float = 0.0,
    reduction: str = "mean",
) -> Tensor:
    """1 - cosine where the target is 1, max(0, cosine - `margin`) where it is -1.

    `input1` and `input2` are (N, D) or (D,), `target` is (N,) or ().
    """
    _check_same_shape("cosine_embedding_loss", input1, input2)
    _check_same_shape("cosine_embedding_loss", input1[..., 0], target)
    tiny = 1e-12  # torch's
    squares = (sum(square(input1), axis=-1) + tiny) * (sum(square(input2), axis=-1) + tiny)
    cosine = sum(input1 * input2, axis=-1) / sqrt(squares)
    return _reduced(where(target > 0, 1 - cosine, relu(cosine - margin)), reduction)


def triplet_margin_loss(
    anchor: Tensor,
    positive: Tensor,
    negative: Tensor,
    margin: float = 1.0,
    p: float = 2.0,
    eps: float = 1e-6,
    swap: bool = False,
    reduction: str = "mean",
) -> Tensor:
    """max(0, |anchor - positive| - |anchor - negative| + `margin`) (Balntas et al. 2016).

    Distances are `p`-norms over the last axis of the differences plus `eps`. With `swap` the
    distance to the negative is that of anchor or positive, whichever is nearer.
    """
    _check_same_shape("triplet_margin_loss", anchor, positive)
    _check_same_shape("triplet_margin_loss", anchor, negative)
    near = vector_norm(anchor - positive + eps, ord=p, axis=-1)
    far = vector_norm(anchor - negative + eps, ord=p, axis=-1)
    if swap:
        far = minimum(far, vector_norm(positive - negative + eps, ord=p, axis=-1))
    return _reduced(relu(near - far + margin), reduction)
