"""Softmax cross-entropy of each row against a class, the gradient computed in the forward pass."""

from __future__ import annotations

import math
from types import ModuleType
from typing import Any

import numpy as np

from tensorlite.backend import Array, array_backend
from tensorlite.ops.arithmetic import mul
from tensorlite.ops.compare import where
from tensorlite.ops.fused import widened
from tensorlite.ops.reduce import sum
from tensorlite.primitive import primitive
from tensorlite.tensor import Tensor

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
    place, own, spread = _targets(xp, labels, weight, wide, ignore_index, label_smoothing)
    each_row = xp.arange(x.shape[0])
    with np.errstate(invalid="ignore"):  # a row of nothing but -inf
        shifted = wide - wide.max(axis=1, keepdims=True) if x.size else wide
    e = xp.exp(shifted)
    total = e.sum(axis=1)
    log_total = xp.log(total)
    loss = _unless_nothing(xp, own, log_total - shifted[each_row, place])
    all_weight = own
    if spread is not None:
        all_weight = own + spread.sum(axis=1)
        loss += _unless_nothing(xp, spread, log_total[:, None] - shifted).sum(axis=1)
    if mean:
        count = _count(xp, labels, weight, wide, ignore_index)
        with np.errstate(invalid="ignore"):  # not a number where nothing counts
            loss = loss.sum() / count
    loss = loss.astype(x.dtype, copy=False)
    if not with_gradient:
        return loss
    e = _unless_nothing(xp, all_weight[:, None], e / total[:, None])
    e[each_row, place] -= own
    if spread is not None:
        e -= spread
    if mean:
        e /= xp.where(count == 0, 1, count).astype(e.dtype)
    return loss, e.astype(x.dtype, copy=False)


def _unless_nothing(xp: ModuleType, weight: Array, loss: Array) -> Array:
    """`weight` · `loss`; 0 where the weight is 0, even if the loss is infinite."""
    with np.errstate(invalid="ignore"):
        return xp.where(weight == 0, 0, weight * loss)


def _places(
    xp: ModuleType, labels: Array, x: Array, ignore_index: int
) -> tuple[Array, Array, Array]:
    """Of each row the class, 0 where it has none; whether it counts; whether its label is wrong."""
    counts = labels != ignore_index
    known = (labels >= 0) & (labels < x.shape[1])
    return xp.where(counts & known, labels, 0), counts, counts & ~known


def _count(
    xp: ModuleType, labels: Array, weight: Array | None, x: Array, ignore_index: int
) -> Array:
    """How many labels count, or the sum of their weights."""
    place, counts, _ = _places(xp, labels, x, ignore_index)
    return counts.sum() if weight is None else (counts * weight[place]).sum()


def _targets(
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


@cross_entropy_rows.defvjp_joint
def _cross_entropy_vjp(
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
    place, own, spread = _targets(xp, labels, weight, x, ignore_index, label_smoothing)
    target = xp.zeros_like(x) if spread is None else spread.astype(x.dtype)
    target[xp.arange(x.shape[0]), place] += own.astype(x.dtype)
    if mean:
        target /= _count(xp, labels, weight, x, ignore_index).astype(x.dtype)
    return target


@primitive
def scale_rows(xp: ModuleType, x: Array, scale: Array) -> Array:
    """Multiply each row of `x` (rows, columns) by a number of its own, `scale` (rows,)."""
    return x * scale[:, None]


scale_rows.defvjp(
    x=lambda g, scale: scale_rows(g, scale),
    scale=lambda g, x: sum(g * x, axis=1),
)


# --- of log-probabilities -----------------------------------------------------------------------


@primitive(name="nll_loss")
def nll_rows(
    xp: ModuleType,
    x: Array,
    labels: Array,
    weight: Array | None = None,
    *,
    ignore_index: int,
    mean: bool,
) -> Array:
    """-w_label · x_label of each row of `x` (rows, classes), or the mean; see `cross_entropy_rows`.

    Rows of weight 0 do not count, even if they are infinite.
    """
    wide, weight = widened(x), widened(weight)
    place, own, _ = _targets(xp, labels, weight, wide, ignore_index, 0.0)
    loss = -_unless_nothing(xp, own, wide[xp.arange(x.shape[0]), place])
    if mean:
        with np.errstate(invalid="ignore"):  # not a number where nothing counts
            loss = loss.sum() / own.sum()
    return loss.astype(x.dtype, copy=False)


@primitive
def nll_backward(
    xp: ModuleType,
    dy: Array,
    labels: Array,
    weight: Array | None,
    *,
    classes: int,
    ignore_index: int,
    mean: bool,
) -> Array:
    """Cotangent of the rows."""
    wide, weight = widened(dy), widened(weight)
    dx = xp.zeros((labels.size, classes), wide.dtype)
    place, own, _ = _targets(xp, labels, weight, dx, ignore_index, 0.0)
    if mean:
        count = own.sum()
        own = own / xp.where(count == 0, 1, count)
    dx[xp.arange(labels.size), place] = -own * wide
    return dx.astype(dy.dtype, copy=False)


nll_rows.defvjp(
    x=lambda g, x_shape, labels, weight, ignore_index, mean: nll_backward(
        g, labels, weight, classes=x_shape[1], ignore_index=ignore_index, mean=mean
    )
)
nll_backward.defvjp(
    dy=lambda g, labels, weight, ignore_index, mean: nll_rows(
        g, labels, weight, ignore_index=ignore_index, mean=mean
    )
)
