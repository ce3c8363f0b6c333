"""Losses of classes: cross-entropy and negative log-likelihood."""

from __future__ import annotations

import math

import numpy as np

from tensorlite.backend import Array
from tensorlite.nn.losses.reduction import check_same_shape, chosen, reduced
from tensorlite.ops.axes import movedim
from tensorlite.ops.compare import where
from tensorlite.ops.cross_entropy import cross_entropy_rows, nll_rows
from tensorlite.ops.faces import name_wrong_type, names_wrong_types
from tensorlite.ops.reduce import sum
from tensorlite.ops.softmax import log_softmax
from tensorlite.tape import check, mode, recorders
from tensorlite.tensor import Tensor

__all__ = ["cross_entropy", "nll_loss"]


@names_wrong_types
def cross_entropy(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    ignore_index: int = -100,
    reduce: bool | None = None,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
) -> Tensor:
    """-log softmax(input) of the target class, or averaged over target probabilities.

    An ignored target, or a class of weight or probability 0, adds nothing to the loss, even if its
    logit is -inf.

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
    if size_average is not None or reduce is not None:
        reduction = chosen("cross_entropy", reduction, size_average, reduce)
    if not 0 <= label_smoothing <= 1:
        raise ValueError(f"cross_entropy: label_smoothing is in [0, 1], not {label_smoothing}")
    if reduction not in ("mean", "sum", "none"):
        raise ValueError(f"reduction is 'mean', 'sum' or 'none', not {reduction!r}")
    try:
        kind = target.array.dtype.kind
        if kind == "b":
            raise TypeError(
                "cross_entropy: target is bool; give class indices (target.long()) or "
                "probabilities (target.float())"
            )
        if kind not in "iu":
            if ignore_index >= 0:
                raise ValueError(
                    "cross_entropy: ignore_index is for class indices, not probabilities"
                )
            return _cross_entropy_of_probabilities(
                input, target, weight, reduction, label_smoothing
            )
        x, labels = _examples("cross_entropy", input, target, weight)
        with_gradient = input.requires_grad and mode.switches.grad
    except AttributeError as error:
        given = {"input": input, "target": target, "weight": weight}
        name_wrong_type("cross_entropy", given, error)
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
        # A wrong label gives NaN. In a recorded call the labels are checked instead of the loss.
        recorded = recorders and mode.switches.recorder is not None
        if recorded or math.isnan(total):
            check(_check_labels, "cross_entropy", labels.array, x.shape[1], ignore_index)
    if reduction == "mean":
        return loss
    return reduced(loss, reduction) if reduction != "none" else loss.reshape(target.shape)


def _cross_entropy_of_probabilities(
    input: Tensor, target: Tensor, weight: Tensor | None, reduction: str, label_smoothing: float
) -> Tensor:
    check_same_shape("cross_entropy", input, target)
    axis = min(1, len(input.shape) - 1)
    if label_smoothing:
        target = target * (1 - label_smoothing) + label_smoothing / input.shape[axis]
    # Chosen twice: so that neither the value nor a gradient is 0 · inf.
    none = target == 0
    logs = where(none, 0.0, log_softmax(input, axis=axis))
    each = where(none, 0.0, target * logs)
    if weight is not None:
        if weight.shape != (input.shape[axis],):
            raise ValueError(
                f"cross_entropy: weight of shape {weight.shape} for {input.shape[axis]} classes"
            )
        weight = weight.reshape(-1, *(1,) * (len(input.shape) - axis - 1))
        each = where(weight == 0, 0.0, each * weight)
    loss = -sum(each, axis=axis)
    return reduced(loss, reduction)


def nll_loss(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    ignore_index: int = -100,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """-input of the target class, `input` being log-probabilities; see `cross_entropy`."""
    reduction = chosen("nll_loss", reduction, size_average, reduce)
    x, labels = _examples("nll_loss", input, target, weight)
    check(_check_labels, "nll_loss", labels.array, x.shape[1], ignore_index)
    if reduction not in ("mean", "sum", "none"):
        raise ValueError(f"reduction is 'mean', 'sum' or 'none', not {reduction!r}")
    loss = nll_rows(x, labels, weight, ignore_index=ignore_index, mean=reduction == "mean")
    if reduction == "mean":
        return loss
    return reduced(loss, reduction) if reduction != "none" else loss.reshape(target.shape)


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
        input = movedim(input, 1, -1)
    return input.reshape(target.numel(), classes), target.reshape(target.numel())


def _check_labels(op: str, labels: Array, classes: int, ignore_index: int) -> None:
    """Refuse labels that are no class. Not on CUDA, where that would wait for the device."""
    if not isinstance(labels, np.ndarray):
        return
    if labels.size and labels.min() >= 0 and labels.max() < classes:
        return
    wrong = labels[((labels < 0) | (labels >= classes)) & (labels != ignore_index)]
    if wrong.size:
        raise IndexError(f"{op}: class index {wrong[0]} is not in [0, {classes}), the classes")
