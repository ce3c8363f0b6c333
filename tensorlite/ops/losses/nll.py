"""Negative log-likelihood of classes, given log-probabilities."""

from __future__ import annotations

from types import ModuleType

import numpy as np

from tensorlite.backend import Array
from tensorlite.ops.fused import widened
from tensorlite.ops.losses.labels import check_labels, rows_of_classes, targets_of, unless_nothing
from tensorlite.ops.losses.reduction import chosen, reduced
from tensorlite.primitive import primitive
from tensorlite.tape import check
from tensorlite.tensor import Tensor

__all__ = ["nll_loss"]


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
    place, own, _ = targets_of(xp, labels, weight, wide, ignore_index, 0.0)
    loss = -unless_nothing(xp, own, wide[xp.arange(x.shape[0]), place])
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
    place, own, _ = targets_of(xp, labels, weight, dx, ignore_index, 0.0)
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


def nll_loss(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    ignore_index: int = -100,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """-input of the target class, `input` being log-probabilities; see `cross_entropy`.

    Parameters
    ----------
    input : Tensor, shape (N, C, ...) or (C,)
    target : integer Tensor
        Of `input`'s shape without C.
    weight : Tensor, shape (C,), optional
    ignore_index : int
        Class index that does not count.
    reduction : {"mean", "sum", "none"}
        What is made of the losses.

    Returns
    -------
    Tensor, shape (), or `target`'s for "none"

    Raises
    ------
    ValueError
        If there is no such `reduction`, or shapes do not fit.

    Examples
    --------
    >>> F.nll_loss(tl.tensor([[-1.0, -2.0]]), tl.tensor([1]))
    tensor(2.)
    """
    reduction = chosen("nll_loss", reduction, size_average, reduce)
    x, labels = rows_of_classes("nll_loss", input, target, weight)
    check(check_labels, "nll_loss", labels.array, x.shape[1], ignore_index)
    if reduction not in ("mean", "sum", "none"):
        raise ValueError(f"reduction is 'mean', 'sum' or 'none', not {reduction!r}")
    loss = nll_rows(x, labels, weight, ignore_index=ignore_index, mean=reduction == "mean")
    if reduction == "mean":
        return loss
    return reduced(loss, reduction) if reduction != "none" else loss.reshape(target.shape)
