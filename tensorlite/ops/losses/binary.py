"""Losses of yes and no: cross-entropies of probabilities and of logits.

A term whose target is 0 does not count, even if it is infinite: 0 · inf is replaced by 0.
"""

from __future__ import annotations

from types import ModuleType
from typing import Any

import numpy as np

from tensorlite.backend import Array
from tensorlite.ops.activation import logsigmoid, sigmoid
from tensorlite.ops.compare import where
from tensorlite.ops.elementwise import log, log1p
from tensorlite.ops.fused import float32_inside, fused
from tensorlite.ops.limits import maximum
from tensorlite.ops.losses.reduction import (
    check_floats,
    check_same_shape,
    chosen,
    floats_alike,
    reduced,
)
from tensorlite.ops.reduce import mean
from tensorlite.primitive import primitive
from tensorlite.tensor import Tensor

__all__ = [
    "binary_cross_entropy",
    "binary_cross_entropy_with_logits",
    "multilabel_soft_margin_loss",
]


@primitive(name="binary_cross_entropy")
@float32_inside
def cross_entropy_of_probabilities(xp: ModuleType, x: Array, t: Array) -> Array:
    """-(t log x + (1 - t) log(1 - x)), logarithms not below -100."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return -(t * xp.maximum(xp.log(x), -100) + (1 - t) * xp.maximum(xp.log1p(-x), -100))


def _by_probability(g: Any, x: Any, t: Any) -> Any:
    # Not steeper than torch's; of float16, than it can hold.
    steepest = 2.0**-14 if x.dtype == np.float16 else 1e-12
    return g * (x - t) / maximum(x * (1 - x), steepest)


def _by_target(g: Any, x: Any) -> Any:
    certain, impossible = x == 1, x == 0
    no = where(certain, -100.0, maximum(log1p(where(certain, 0.0, -x)), -100.0))
    yes = where(impossible, -100.0, maximum(log(where(impossible, 1.0, x)), -100.0))
    return g * (no - yes)


cross_entropy_of_probabilities.defvjp(x=_by_probability, t=_by_target)


@primitive(name="binary_cross_entropy_with_logits")
@float32_inside
def cross_entropy_of_logits(xp: ModuleType, x: Array, t: Array) -> Array:
    """`cross_entropy_of_probabilities` of sigmoid(x), without overflow."""
    with np.errstate(invalid="ignore"):
        small = xp.log1p(xp.exp(-xp.abs(x)))
        yes, no = small + xp.maximum(-x, 0), small + xp.maximum(x, 0)
        return xp.where(t == 0, 0, t * yes) + xp.where(t == 1, 0, (1 - t) * no)


@fused
def cross_entropy_of_logits_backward(dy: Any, x: Any, t: Any) -> Any:
    """Cotangent of the logits."""
    return dy * ((1 - t) * sigmoid(x) - t * sigmoid(-x))


cross_entropy_of_logits.defvjp(
    x=lambda g, x, t: cross_entropy_of_logits_backward(g, x, t),
    t=lambda g, x: -g * x,
)
cross_entropy_of_logits.kernel("logits_loss")
cross_entropy_of_logits_backward.kernel("logits_loss_backward")


@primitive(name="binary_cross_entropy_with_logits")
@float32_inside
def weighted_cross_entropy_of_logits(xp: ModuleType, x: Array, t: Array, positive: Array) -> Array:
    """`cross_entropy_of_logits`, the part of t times `positive`."""
    with np.errstate(invalid="ignore"):
        small = xp.log1p(xp.exp(-xp.abs(x)))
        yes, no = (small + xp.maximum(-x, 0)) * positive, small + xp.maximum(x, 0)
        return xp.where(t == 0, 0, t * yes) + xp.where(t == 1, 0, (1 - t) * no)


weighted_cross_entropy_of_logits.defvjp(
    x=lambda g, x, t, positive: g * ((1 - t) * sigmoid(x) - t * positive * sigmoid(-x)),
    t=lambda g, x, positive: g * (logsigmoid(-x) - positive * logsigmoid(x)),
    positive=lambda g, x, t: g * where(t == 0, 0.0, -t * logsigmoid(where(t == 0, 0.0, x))),
)


def binary_cross_entropy(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """-(target log input + (1 - target) log(1 - input)) of probabilities.

    Logarithms are not less than -100, and slopes by `input` not steeper than 1e12 (16,384 in
    float16). `binary_cross_entropy_with_logits` has no such corners. `weight` broadcasts to
    `input`.

    Parameters
    ----------
    input, target : Tensor
        Of one shape.
    weight : Tensor, optional
    reduction : {"mean", "sum", "none"}
        What is made of the losses.

    Returns
    -------
    Tensor, shape (), or `input`'s for "none"

    Raises
    ------
    ValueError
        If an element of `input` is not in [0, 1], on the CPU.

    Examples
    --------
    >>> F.binary_cross_entropy(tl.tensor([0.5, 0.5]), tl.tensor([0.0, 1.0]))
    tensor(0.6931472)
    """
    check_same_shape("binary_cross_entropy", input, target)
    check_floats("binary_cross_entropy", input)
    reduction = chosen("binary_cross_entropy", reduction, size_average, reduce)
    raw = input.array
    if isinstance(raw, np.ndarray) and raw.size and not (raw.min() >= 0 and raw.max() <= 1):
        raise ValueError(
            f"binary_cross_entropy: input reaches from {raw.min()} to {raw.max()}, but "
            "probabilities are in [0, 1]; for logits use binary_cross_entropy_with_logits"
        )
    loss = cross_entropy_of_probabilities(*floats_alike(input, target))
    return reduced(loss if weight is None else loss * weight, reduction)


def binary_cross_entropy_with_logits(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    pos_weight: Tensor | None = None,
) -> Tensor:
    """`binary_cross_entropy` of sigmoid(input), without overflow, also at infinite logits.

    `weight` and `pos_weight`, which multiplies the part of positive targets, broadcast to `input`.

    Parameters
    ----------
    input, target : Tensor
        Of one shape.
    weight, pos_weight : Tensor, optional
    reduction : {"mean", "sum", "none"}
        What is made of the losses.

    Returns
    -------
    Tensor, shape (), or `input`'s for "none"

    Examples
    --------
    >>> F.binary_cross_entropy_with_logits(tl.tensor([0.0, 0.0]), tl.tensor([0.0, 1.0]))
    tensor(0.6931472)
    """
    check_same_shape("binary_cross_entropy_with_logits", input, target)
    check_floats("binary_cross_entropy_with_logits", input)
    reduction = chosen("binary_cross_entropy_with_logits", reduction, size_average, reduce)
    input, target = floats_alike(input, target)
    if pos_weight is None:
        loss = cross_entropy_of_logits(input, target)
    else:
        loss = weighted_cross_entropy_of_logits(input, target, pos_weight)
    return reduced(loss if weight is None else loss * weight, reduction)


def multilabel_soft_margin_loss(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """`binary_cross_entropy_with_logits`, of each example the mean over classes (the last axis).

    Parameters
    ----------
    input, target : Tensor, shape (N, C)
    weight : Tensor, shape (C,), optional
    reduction : {"mean", "sum", "none"}
        What is made of the losses.

    Returns
    -------
    Tensor, shape (), or (N,) for "none"

    Examples
    --------
    >>> F.multilabel_soft_margin_loss(tl.tensor([[0.0, 0.0]]), tl.tensor([[0.0, 1.0]]))
    tensor(0.6931472)
    """
    check_same_shape("multilabel_soft_margin_loss", input, target)
    check_floats("multilabel_soft_margin_loss", input)
    reduction = chosen("multilabel_soft_margin_loss", reduction, size_average, reduce)
    loss = cross_entropy_of_logits(*floats_alike(input, target))
    return reduced(mean(loss if weight is None else loss * weight, axis=-1), reduction)
