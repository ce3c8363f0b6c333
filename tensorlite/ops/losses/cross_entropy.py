"""Softmax cross-entropy of each row against a class, the gradient computed in the forward pass."""

from __future__ import annotations

import math
from types import ModuleType
from typing import Any

import numpy as np

from tensorlite.backend import Array, array_backend
from tensorlite.ops.arithmetic import mul
from tensorlite.ops.compare import where
from tensorlite.ops.compiled.arrays import kernel_sum_dtype, packed, plain
from tensorlite.ops.faces import name_wrong_type, names_wrong_types
from tensorlite.ops.fused import widened
from tensorlite.ops.losses.labels import (
    check_labels,
    count_of,
    rows_of_classes,
    targets_of,
    unless_nothing,
)
from tensorlite.ops.losses.reduction import check_same_shape, chosen, reduced
from tensorlite.ops.reduce import sum
from tensorlite.ops.softmax import log_softmax
from tensorlite.primitive import primitive
from tensorlite.tape import check, mode, recorders
from tensorlite.tensor import Tensor

__all__ = ["cross_entropy"]

# The gradient is an output, not an auxiliary array: tied to the graph, it is what the second order
# goes through, which so needs neither the logits nor the probabilities.


@primitive(name="cross_entropy")
def cross_entropy_rows(
    xp: ModuleType,
    x: Array,
    labels: Array,
    weight: Array | None = None,
    *,
    ignore_index: int,
    label_smoothing: float,
    mean: bool,
    with_gradient: bool,
) -> Any:
    """Loss of each row of logits `x` (rows, classes) or their mean, and its gradient if wanted.

    With s = `label_smoothing`, class c has the target t_c = w_c ((1 - s) [c = label] + s/classes),
    the loss -Σ t_c log softmax(x)_c, and its gradient softmax(x) Σt - t. A row whose label is
    `ignore_index` has neither; a label that is no class makes the loss NaN. The mean divides by
    the sum of w_label over the other rows.

    Returns
    -------
    loss, shape (rows,), or () if `mean`
    gradient, shape (rows, classes), if `with_gradient`
    """
    wide, weight = widened(x), widened(weight)
    place, own, spread = targets_of(xp, labels, weight, wide, ignore_index, label_smoothing)
    each_row = xp.arange(x.shape[0])
    with np.errstate(invalid="ignore"):  # a row of nothing but -inf
        shifted = wide - wide.max(axis=1, keepdims=True) if x.size else wide
    e = xp.exp(shifted)
    total = e.sum(axis=1)
    log_total = xp.log(total)
    loss = unless_nothing(xp, own, log_total - shifted[each_row, place])
    all_weight = own
    if spread is not None:
        all_weight = own + spread.sum(axis=1)
        loss += unless_nothing(xp, spread, log_total[:, None] - shifted).sum(axis=1)
    if mean:
        count = count_of(xp, labels, weight, wide, ignore_index)
        with np.errstate(invalid="ignore"):  # not a number where nothing counts
            loss = loss.sum() / count
    loss = loss.astype(x.dtype, copy=False)
    if not with_gradient:
        return loss
    e = unless_nothing(xp, all_weight[:, None], e / total[:, None])
    e[each_row, place] -= own
    if spread is not None:
        e -= spread
    if mean:
        e /= xp.where(count == 0, 1, count).astype(e.dtype)
    return loss, e.astype(x.dtype, copy=False)


@cross_entropy_rows.defvjp_joint
def cross_entropy_vjp(
    g: tuple,
    needs: tuple,
    y: tuple,
    labels: Any,
    weight: Any,
    ignore_index: int,
    label_smoothing: float,
    mean: bool,
    *,
    last: bool = False,
) -> tuple:
    dloss, dgradient = g
    gradient = y[1]
    if dgradient is None and mean and last:
        return array_backend((gradient,)).scale(gradient, dloss), None, None
    dx = 0.0
    if dloss is not None:
        dx = mul(gradient, dloss) if mean else scale_rows(gradient, dloss)
    if dgradient is not None:
        target = _dense_targets(gradient, labels, weight, ignore_index, label_smoothing, mean)
        total = target.sum(axis=1, keepdims=True)
        probability = (gradient + target) / where(total == 0, 1, total)
        along = sum(probability * dgradient, axis=1, keepdims=True)
        dx = dx + total * probability * (dgradient - along)
    return dx, None, None


def _dense_targets(
    x: Any, labels: Any, weight: Any, ignore_index: int, label_smoothing: float, mean: bool
) -> Array:
    """The targets as a raw array like `x`: they are constants, whatever the rule runs on."""
    x, labels, weight = (v.array if isinstance(v, Tensor) else v for v in (x, labels, weight))
    xp = array_backend((x,)).xp
    place, own, spread = targets_of(xp, labels, weight, x, ignore_index, label_smoothing)
    target = xp.zeros_like(x) if spread is None else spread.astype(x.dtype)
    target[xp.arange(x.shape[0]), place] += own.astype(x.dtype)
    if mean:
        target /= count_of(xp, labels, weight, x, ignore_index).astype(x.dtype)
    return target


cross_entropy_rows.on_host("new_cross_entropy")


@cross_entropy_rows.kernel
def _cross_entropy(
    k: Any,
    x: Array,
    labels: Array,
    weight: Array | None = None,
    *,
    ignore_index: int,
    label_smoothing: float,
    mean: bool,
    with_gradient: bool,
) -> Any:
    arrays = packed(x, weight)
    if arrays is None or x.ndim != 2:
        return NotImplemented
    x, weight = arrays
    rows, classes = x.shape
    labels = labels.astype(np.int64, copy=False)
    if not plain(labels):
        labels = labels.copy()
    wide = kernel_sum_dtype(x.dtype)
    count = None
    if mean:
        count = k.empty((1,), wide)
        k.label_weight(labels, weight, count, rows, classes, ignore_index)
    loss = k.empty((rows,), wide)
    dx = k.empty(x.shape, x.dtype) if with_gradient else None
    k.cross_entropy(
        x, labels, weight, count, loss, dx, rows, classes, ignore_index, label_smoothing
    )
    if mean:
        each_row, loss = loss, k.empty((), wide)
        k.row_sum(each_row, loss, 1, rows, 1.0)
    loss = loss.astype(x.dtype, copy=False)
    return (loss, dx) if with_gradient else loss


@primitive
def scale_rows(xp: ModuleType, x: Array, scale: Array) -> Array:
    """Multiply each row of `x` (rows, columns) by a number of its own, `scale` (rows,)."""
    return x * scale[:, None]


scale_rows.defvjp(
    x=lambda g, scale: scale_rows(g, scale),
    scale=lambda g, x: sum(g * x, axis=1),
)


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

    Returns
    -------
    Tensor, shape (), or `target`'s for "none"

    Raises
    ------
    IndexError
        If a class index is not in [0, C), on the CPU.

    Examples
    --------
    >>> F.cross_entropy(tl.tensor([[0.0, 0.0]]), tl.tensor([1]))
    tensor(0.6931472)
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
        x, labels = rows_of_classes("cross_entropy", input, target, weight)
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
            check(check_labels, "cross_entropy", labels.array, x.shape[1], ignore_index)
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
