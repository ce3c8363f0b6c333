"""Class labels: what each row's target is, and what is refused."""

from __future__ import annotations

import math
from types import ModuleType

import numpy as np

from tensorlite.backend import Array
from tensorlite.ops.axes import movedim
from tensorlite.tensor import Tensor


def rows_of_classes(
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


def check_labels(op: str, labels: Array, classes: int, ignore_index: int) -> None:
    """Refuse labels that are no class. Not on CUDA, where that would wait for the device."""
    if not isinstance(labels, np.ndarray):
        return
    if labels.size and labels.min() >= 0 and labels.max() < classes:
        return
    wrong = labels[((labels < 0) | (labels >= classes)) & (labels != ignore_index)]
    if wrong.size:
        raise IndexError(f"{op}: class index {wrong[0]} is not in [0, {classes}), the classes")


def targets_of(
    xp: ModuleType,
    labels: Array,
    weight: Array | None,
    x: Array,
    ignore_index: int,
    label_smoothing: float,
) -> tuple[Array, Array, Array | None]:
    """Class of each row, the target there, and what smoothing gives to all classes, if anything."""
    place, counts, wrong = _places(xp, labels, x, ignore_index)
    own = xp.where(wrong, math.nan, counts).astype(x.dtype) * (1 - label_smoothing)
    if weight is not None:
        own = own * weight[place]
    if not label_smoothing:
        return place, own, None
    share = x.dtype.type(label_smoothing / x.shape[1])
    each_class = xp.full(x.shape[1], share) if weight is None else weight * share
    return place, own, counts[:, None] * each_class


def count_of(
    xp: ModuleType, labels: Array, weight: Array | None, x: Array, ignore_index: int
) -> Array:
    """How many labels count, or the sum of their weights."""
    place, counts, _ = _places(xp, labels, x, ignore_index)
    return counts.sum() if weight is None else (counts * weight[place]).sum()


def _places(
    xp: ModuleType, labels: Array, x: Array, ignore_index: int
) -> tuple[Array, Array, Array]:
    """Of each row the class, 0 where it has none; whether it counts; whether its label is wrong."""
    counts = labels != ignore_index
    known = (labels >= 0) & (labels < x.shape[1])
    return xp.where(counts & known, labels, 0), counts, counts & ~known


def unless_nothing(xp: ModuleType, weight: Array, loss: Array) -> Array:
    """`weight` · `loss`; 0 where the weight is 0, even if the loss is infinite."""
    with np.errstate(invalid="ignore"):
        return xp.where(weight == 0, 0, weight * loss)
