"""Losses with a margin: hinges, rankings, cosines and triplets."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from tensorlite.backend import array_backend
from tensorlite.ops.activation import softplus
from tensorlite.ops.compare import where
from tensorlite.ops.distance import in_reach, pairwise_distance
from tensorlite.ops.elementwise import cast, sqrt, square
from tensorlite.ops.index import take_along_axis
from tensorlite.ops.limits import minimum
from tensorlite.ops.losses.reduction import (
    at_least_zero,
    check_floats,
    check_same_shape,
    chosen,
    reduced,
)
from tensorlite.ops.reduce import sum
from tensorlite.tensor import Tensor

__all__ = [
    "cosine_embedding_loss",
    "hinge_embedding_loss",
    "hinge_loss",
    "margin_ranking_loss",
    "multi_margin_loss",
    "multilabel_margin_loss",
    "soft_margin_loss",
    "triplet_margin_loss",
    "triplet_margin_with_distance_loss",
]


def hinge_loss(
    input: Tensor, target: Tensor, reduction: str = "mean", margin: float = 1.0
) -> Tensor:
    """max(0, `margin` - target · input), with targets 1 and -1; torch has no such loss.

    Parameters
    ----------
    input, target : Tensor
        Of one shape.
    reduction : {"mean", "sum", "none"}
        What is made of the losses.
    margin : float

    Returns
    -------
    Tensor, shape (), or `input`'s for "none"

    Examples
    --------
    >>> F.hinge_loss(tl.tensor([0.5, 2.0]), tl.tensor([1.0, 1.0]))
    tensor(0.25)
    """
    check_same_shape("hinge_loss", input, target)
    return reduced(at_least_zero(margin - target * input), reduction)


def hinge_embedding_loss(
    input: Tensor,
    target: Tensor,
    margin: float = 1.0,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """Of distances: `input` where the target is 1, max(0, `margin` - input) where it is -1.

    Parameters
    ----------
    input, target : Tensor
        Of one shape.
    margin : float
    reduction : {"mean", "sum", "none"}
        What is made of the losses.

    Returns
    -------
    Tensor, shape (), or `input`'s for "none"

    Examples
    --------
    >>> F.hinge_embedding_loss(tl.tensor([0.5, 0.5]), tl.tensor([1, -1]))
    tensor(0.5)
    """
    check_same_shape("hinge_embedding_loss", input, target)
    check_floats("hinge_embedding_loss", input)
    reduction = chosen("hinge_embedding_loss", reduction, size_average, reduce)
    apart = where(target != 1, at_least_zero(margin - input), 0.0)
    return reduced(apart + where(target != -1, input, 0.0), reduction)


def soft_margin_loss(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """log(1 + exp(-target · input)), with targets 1 and -1; without overflow.

    Parameters
    ----------
    input, target : Tensor
        Of one shape.
    reduction : {"mean", "sum", "none"}
        What is made of the losses.

    Returns
    -------
    Tensor, shape (), or `input`'s for "none"

    Examples
    --------
    >>> F.soft_margin_loss(tl.tensor([0.0]), tl.tensor([1.0]))
    tensor(0.6931472)
    """
    check_same_shape("soft_margin_loss", input, target)
    check_floats("soft_margin_loss", input)
    reduction = chosen("soft_margin_loss", reduction, size_average, reduce)
    loss = softplus(-cast(target, input.dtype) * input, threshold=math.inf)
    return reduced(loss, reduction)


def margin_ranking_loss(
    input1: Tensor,
    input2: Tensor,
    target: Tensor,
    margin: float = 0.0,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """max(0, -target · (input1 - input2) + `margin`): which is larger, by the target's sign.

    The three have as many axes as each other, and broadcast.

    Parameters
    ----------
    input1, input2, target : Tensor
        Of shapes that broadcast.
    margin : float
    reduction : {"mean", "sum", "none"}
        What is made of the losses.

    Returns
    -------
    Tensor, shape (), or that shape for "none"

    Raises
    ------
    ValueError
        If the numbers of axes differ.

    Examples
    --------
    >>> F.margin_ranking_loss(tl.tensor([1.0]), tl.tensor([3.0]), tl.tensor([1.0]))
    tensor(2.)
    """
    if not len(input1.shape) == len(input2.shape) == len(target.shape):
        raise ValueError(
            f"margin_ranking_loss: input1 {input1.shape}, input2 {input2.shape} and target "
            f"{target.shape} must have the same number of axes"
        )
    reduction = chosen("margin_ranking_loss", reduction, size_average, reduce)
    return reduced(at_least_zero(-target * (input1 - input2) + margin), reduction)


def cosine_embedding_loss(
    input1: Tensor,
    input2: Tensor,
    target: Tensor,
    margin: float = 0.0,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """1 - cosine where the target is 1, max(0, cosine - `margin`) where it is -1.

    `input1` and `input2` are (N, D) or (D,), `target` is (N,) or ().

    Parameters
    ----------
    input1, input2, target : Tensor
    margin : float
    reduction : {"mean", "sum", "none"}
        What is made of the losses.

    Returns
    -------
    Tensor, shape (), or `target`'s for "none"

    Raises
    ------
    ValueError
        If the shapes do not fit.

    Examples
    --------
    >>> F.cosine_embedding_loss(tl.ones(1, 2), tl.ones(1, 2), tl.tensor([-1]))
    tensor(1.0000001)
    """
    check_same_shape("cosine_embedding_loss", input1, input2, "input1 input2")
    if len(input1.shape) not in (1, 2):
        raise ValueError(
            f"cosine_embedding_loss: inputs of shape {input1.shape} are neither (N, D) nor (D,)"
        )
    check_same_shape("cosine_embedding_loss", input1[..., 0], target, "each target")
    reduction = chosen("cosine_embedding_loss", reduction, size_average, reduce)
    tiny = 1e-12  # torch's
    a, b = in_reach(input1), in_reach(input2)
    lengths = sqrt(sum(square(a), axis=-1) + tiny) * sqrt(sum(square(b), axis=-1) + tiny)
    cosine = sum(a * b, axis=-1) / lengths
    apart = where(target == -1, at_least_zero(cosine - margin), 0.0)
    return reduced(apart + where(target == 1, 1 - cosine, 0.0), reduction)


# --- classes ------------------------------------------------------------------------------------


def multi_margin_loss(
    input: Tensor,
    target: Tensor,
    p: int = 1,
    margin: float = 1.0,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """Mean over the other classes of max(0, `margin` - input[target] + input[class])^`p`.

    Parameters
    ----------
    input
        Scores (N, C) or (C,).
    target
        Class indices (N,) or ().
    p
        1 or 2.
    weight
        Weight of each class as a target, (C,).
    margin : float
    reduction : {"mean", "sum", "none"}
        What is made of the losses.

    Returns
    -------
    Tensor, shape (), or `target`'s for "none"

    Raises
    ------
    ValueError
        If `p` is neither 1 nor 2, or shapes do not fit.
    TypeError
        If `target` holds no integers.

    Examples
    --------
    >>> F.multi_margin_loss(tl.tensor([[0.0, 0.5]]), tl.tensor([1]))
    tensor(0.25)
    """
    op = "multi_margin_loss"
    reduction = chosen(op, reduction, size_average, reduce)
    if p not in (1, 2):
        raise ValueError(f"{op}: p is 1 or 2, not {p}")
    scores, labels, shape = _scores_and_labels(op, input, target)
    classes = scores.shape[1]
    if weight is not None and weight.shape != (classes,):
        raise ValueError(f"{op}: weight of shape {weight.shape} for {classes} classes")
    xp = array_backend((labels,)).xp
    others = labels[:, None] != xp.arange(classes)
    missing = margin - take_along_axis(scores, labels[:, None], axis=1) + scores
    missing = where((missing > 0) & others, missing, 0.0)
    missing = missing if p == 1 else square(missing)
    loss = sum(missing, axis=1) / classes
    if weight is not None:
        loss = loss * weight[labels]
    return reduced(loss.reshape(shape), reduction)


def _scores_and_labels(
    op: str, input: Tensor, target: Tensor
) -> tuple[Tensor, np.ndarray, tuple[int, ...]]:
    """Scores (N, C), raw class indices (N,), and the shape of one loss per example."""
    input = input.reshape(1) if input.shape == () else input
    single = len(input.shape) < 2
    if (
        len(input.shape) > 2
        or not input.shape[-1]
        or math.prod(target.shape) != (1 if single else input.shape[0])
        or len(target.shape) > 1
    ):
        raise ValueError(
            f"{op}: input of shape {input.shape} and target of shape {target.shape} must be "
            "(N, C) and (N,), or (C,) and ()"
        )
    labels = target.array.reshape(-1)
    if labels.dtype.kind not in "iu":
        raise TypeError(f"{op}: class indices must be integers, not {labels.dtype}")
    classes = input.shape[-1]
    if isinstance(labels, np.ndarray):
        wrong = labels[(labels < 0) | (labels >= classes)]
        if wrong.size:
            raise IndexError(f"{op}: class index {wrong[0]} is not in [0, {classes}), the classes")
    shape = target.shape if single else input.shape[:1]
    return input.reshape(labels.size, classes), labels, tuple(shape)


def multilabel_margin_loss(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """Sum over right and wrong classes of max(0, 1 - input[right] + input[wrong]), over C.

    `input` is (N, C) or (C,); `target`, of the same shape, lists an example's classes, the first -1
    ends the list.

    Parameters
    ----------
    input, target : Tensor
    reduction : {"mean", "sum", "none"}
        What is made of the losses.

    Returns
    -------
    Tensor, shape (), or (N,) for "none"

    Raises
    ------
    ValueError
        If the shapes do not fit.
    TypeError
        If `target` holds no integers.
    IndexError
        If a class index is not in [-1, C), on the CPU.

    Examples
    --------
    >>> F.multilabel_margin_loss(tl.tensor([[0.0, 0.5]]), tl.tensor([[1, -1]]))
    tensor(0.25)
    """
    op = "multilabel_margin_loss"
    check_same_shape(op, input, target)
    reduction = chosen(op, reduction, size_average, reduce)
    if len(input.shape) > 2:
        raise ValueError(f"{op}: input of shape {input.shape} is neither (N, C) nor (C,)")
    shape, classes = input.shape[:-1], input.shape[-1] if input.shape else 1
    listed = target.array.reshape(-1, classes)
    if listed.dtype.kind not in "iu":
        raise TypeError(f"{op}: class indices must be integers, not {listed.dtype}")
    if isinstance(listed, np.ndarray) and listed.size:
        wrong = listed[(listed < -1) | (listed >= classes)]
        if wrong.size:
            raise IndexError(f"{op}: class index {wrong[0]} is not in [-1, {classes})")
    xp = array_backend((listed,)).xp
    counts = xp.cumsum(listed < 0, axis=1) == 0
    places = xp.where(counts, listed, 0)
    is_right = ((places[:, :, None] == xp.arange(classes)) & counts[:, :, None]).any(axis=1)
    scores = input.reshape(-1, classes)
    right = take_along_axis(scores, places, axis=1)
    missing = 1 - right.reshape(-1, classes, 1) + scores.reshape(-1, 1, classes)
    pairs = counts[:, :, None] & ~is_right[:, None, :]
    loss = sum(where((missing > 0) & pairs, missing, 0.0), axis=(1, 2)) / classes
    return reduced(loss.reshape(tuple(shape)), reduction)


# --- triplets -----------------------------------------------------------------------------------


def triplet_margin_loss(
    anchor: Tensor,
    positive: Tensor,
    negative: Tensor,
    margin: float = 1.0,
    p: float = 2.0,
    eps: float = 1e-6,
    swap: bool = False,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """max(0, |anchor - positive| - |anchor - negative| + `margin`) (Balntas et al. 2016).

    Distances are `pairwise_distance`: `p`-norms over the last axis of the differences plus `eps`.
    With `swap` the distance to the negative is that of anchor or positive, whichever is nearer.

    Parameters
    ----------
    anchor, positive, negative : Tensor, shape (N, D) or (D,)
    margin : float
        Above 0.
    p, eps, swap
        As above.
    reduction : {"mean", "sum", "none"}
        What is made of the losses.

    Returns
    -------
    Tensor, shape (), or (N,) for "none"

    Raises
    ------
    ValueError
        If the numbers of axes differ, or `margin` is not positive.

    Examples
    --------
    >>> F.triplet_margin_loss(tl.zeros(1, 2), tl.zeros(1, 2), tl.ones(1, 2))
    tensor(0.)
    """
    check_same_shape("triplet_margin_loss", anchor, positive, "anchor positive")
    check_same_shape("triplet_margin_loss", anchor, negative, "anchor negative")
    reduction = chosen("triplet_margin_loss", reduction, size_average, reduce)
    return _triplets(
        "triplet_margin_loss",
        (anchor, positive, negative),
        lambda a, b: pairwise_distance(a, b, p, eps),
        margin,
        swap,
        reduction,
    )


def triplet_margin_with_distance_loss(
    anchor: Tensor,
    positive: Tensor,
    negative: Tensor,
    *,
    distance_function: Callable[[Tensor, Tensor], Tensor] | None = None,
    margin: float = 1.0,
    swap: bool = False,
    reduction: str = "mean",
) -> Tensor:
    """`triplet_margin_loss` with a distance of your own (default: `pairwise_distance`).

    Parameters
    ----------
    anchor, positive, negative : Tensor, shape (N, D) or (D,)
    distance_function : callable, optional
        Of two Tensors.
    margin : float
        Above 0.
    swap : bool
        As of `triplet_margin_loss`.
    reduction : {"mean", "sum", "none"}
        What is made of the losses.

    Returns
    -------
    Tensor, shape (), or (N,) for "none"

    Raises
    ------
    ValueError
        If the numbers of axes differ, or `margin` is not positive.

    Examples
    --------
    >>> F.triplet_margin_with_distance_loss(tl.zeros(1, 2), tl.zeros(1, 2), tl.ones(1, 2))
    tensor(0.)
    """
    op = "triplet_margin_with_distance_loss"
    if not len(anchor.shape) == len(positive.shape) == len(negative.shape):
        raise ValueError(
            f"{op}: anchor {anchor.shape}, positive {positive.shape} and negative "
            f"{negative.shape} must have the same number of axes"
        )
    distance = distance_function or pairwise_distance
    return _triplets(op, (anchor, positive, negative), distance, margin, swap, reduction)


def _triplets(
    op: str,
    triplets: tuple[Tensor, Tensor, Tensor],
    distance: Callable[[Tensor, Tensor], Tensor],
    margin: float,
    swap: bool,
    reduction: str,
) -> Tensor:
    if margin <= 0:
        raise ValueError(f"{op}: margin must be positive, not {margin}")
    anchor, positive, negative = triplets
    near, far = distance(anchor, positive), distance(anchor, negative)
    if swap:
        far = minimum(far, distance(positive, negative))
    return reduced(at_least_zero(margin + near - far), reduction)
