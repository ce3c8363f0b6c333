"""Losses of yes and no: cross-entropies of probabilities and of logits."""

from __future__ import annotations

import numpy as np

from tensorlite.nn.losses.reduction import check_same_shape, chosen, reduced
from tensorlite.ops.elementwise import cast
from tensorlite.ops.likelihoods import (
    cross_entropy_of_logits,
    cross_entropy_of_probabilities,
    weighted_cross_entropy_of_logits,
)
from tensorlite.ops.reduce import mean
from tensorlite.tensor import Tensor

__all__ = [
    "binary_cross_entropy",
    "binary_cross_entropy_with_logits",
    "multilabel_soft_margin_loss",
]


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

    Raises
    ------
    ValueError
        If an element of `input` is not in [0, 1], on the CPU.
    """
    check_same_shape("binary_cross_entropy", input, target)
    reduction = chosen("binary_cross_entropy", reduction, size_average, reduce)
    raw = input.array
    if isinstance(raw, np.ndarray) and raw.size and not (raw.min() >= 0 and raw.max() <= 1):
        raise ValueError(
            f"binary_cross_entropy: input reaches from {raw.min()} to {raw.max()}, but "
            "probabilities are in [0, 1]; for logits use binary_cross_entropy_with_logits"
        )
    loss = cross_entropy_of_probabilities(input, _as_floats(target, input))
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
    """
    check_same_shape("binary_cross_entropy_with_logits", input, target)
    reduction = chosen("binary_cross_entropy_with_logits", reduction, size_average, reduce)
    target = _as_floats(target, input)
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
    """`binary_cross_entropy_with_logits`, of each example the mean over classes (the last axis)."""
    check_same_shape("multilabel_soft_margin_loss", input, target)
    reduction = chosen("multilabel_soft_margin_loss", reduction, size_average, reduce)
    loss = cross_entropy_of_logits(input, _as_floats(target, input))
    return reduced(mean(loss if weight is None else loss * weight, axis=-1), reduction)


def _as_floats(target: Tensor, input: Tensor) -> Tensor:
    """Targets that are integers or booleans in the dtype of the predictions."""
    return target if target.array.dtype.kind in "fV" else cast(target, input.dtype)
