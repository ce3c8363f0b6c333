"""Losses of numbers: squares, absolute values, and what lies between."""

from __future__ import annotations

from types import ModuleType

from tensorlite.backend import Array
from tensorlite.backend.dtypes import is_floating
from tensorlite.ops.elementwise import abs, cast, square
from tensorlite.ops.fused import float32_inside
from tensorlite.ops.limits import maximum, minimum
from tensorlite.ops.losses.reduction import (
    check_floats,
    check_same_shape,
    chosen,
    divided_sum,
    reduced,
)
from tensorlite.primitive import primitive
from tensorlite.tensor import Tensor

__all__ = ["huber_loss", "l1_loss", "mse_loss", "smooth_l1_loss"]


@primitive
@float32_inside
def huber(xp: ModuleType, d: Array, *, delta: float) -> Array:
    """d²/2 of differences up to `delta`, `delta` (|d| - `delta`/2) beyond."""
    near = xp.clip(d, -delta, delta)
    return near * (d - 0.5 * near)


huber.defvjp(d=lambda g, d, delta: g * minimum(maximum(d, -delta), delta))


def mse_loss(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    weight: Tensor | None = None,
) -> Tensor:
    """(input - target)².

    Parameters
    ----------
    input, target
        Of one shape.
    size_average, reduce
        Old arguments for `reduction`.
    reduction
        "mean", "sum" or "none".
    weight
        Weight of each element, of `input`'s shape; a mean then is divided by their sum.

    Returns
    -------
    Tensor, shape (), or `input`'s for "none"

    Examples
    --------
    >>> F.mse_loss(tl.tensor([0.0]), tl.tensor([3.0]))
    tensor(9.)
    """
    check_same_shape("mse_loss", input, target)
    reduction = chosen("mse_loss", reduction, size_average, reduce)
    return _weighted("mse_loss", square(_difference(input, target)), weight, reduction)


def _difference(input: Tensor, target: Tensor) -> Tensor:
    """``input - target``, of which one may be booleans: 0 and 1 beside floats."""
    if input.dtype.kind == "b" and is_floating(target.dtype):
        input = cast(input, target.dtype)
    if target.dtype.kind == "b" and is_floating(input.dtype):
        target = cast(target, input.dtype)
    return input - target


def l1_loss(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    weight: Tensor | None = None,
) -> Tensor:
    """|input - target|; parameters as in `mse_loss`.

    Parameters
    ----------
    input, target, reduction, weight
        As of `mse_loss`.

    Returns
    -------
    Tensor, shape (), or `input`'s for "none"

    Examples
    --------
    >>> F.l1_loss(tl.tensor([0.0]), tl.tensor([3.0]))
    tensor(3.)
    """
    check_same_shape("l1_loss", input, target)
    reduction = chosen("l1_loss", reduction, size_average, reduce)
    return _weighted("l1_loss", abs(input - target), weight, reduction)


def _weighted(op: str, loss: Tensor, weight: Tensor | None, reduction: str) -> Tensor:
    if weight is None:
        return reduced(loss, reduction)
    check_same_shape(op, loss, weight, "input weight")
    loss = loss * weight
    return divided_sum(loss, weight) if reduction == "mean" else reduced(loss, reduction)


def huber_loss(
    input: Tensor,
    target: Tensor,
    reduction: str = "mean",
    delta: float = 1.0,
    weight: Tensor | None = None,
) -> Tensor:
    """d²/2 up to `delta`, `delta` (d - `delta`/2) above, with d = |input - target| (Huber 1964).

    `weight` is of `input`'s shape; a mean is over all elements all the same, as torch has it.

    Parameters
    ----------
    input, target : Tensor
        Of one shape.
    reduction : {"mean", "sum", "none"}
        What is made of the losses.
    delta : float
        Above 0.
    weight : Tensor, optional

    Returns
    -------
    Tensor, shape (), or `input`'s for "none"

    Raises
    ------
    ValueError
        If `delta` is not positive.

    Examples
    --------
    >>> F.huber_loss(tl.tensor([0.0]), tl.tensor([3.0]))
    tensor(2.5)
    """
    check_same_shape("huber_loss", input, target)
    check_floats("huber_loss", input)
    if delta <= 0:
        raise ValueError(f"huber_loss: delta must be positive, not {delta}")
    loss = huber(_difference(input, target), delta)
    if weight is not None:
        check_same_shape("huber_loss", loss, weight, "input weight")
        loss = loss * weight
    return reduced(loss, reduction)


def smooth_l1_loss(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    beta: float = 1.0,
) -> Tensor:
    """d²/(2 `beta`) up to `beta`, d - `beta`/2 above, with d = |input - target|; l1 for beta 0.

    Parameters
    ----------
    input, target : Tensor
        Of one shape.
    reduction : {"mean", "sum", "none"}
        What is made of the losses.
    beta : float
        Not negative.

    Returns
    -------
    Tensor, shape (), or `input`'s for "none"

    Raises
    ------
    ValueError
        If `beta` is negative.

    Examples
    --------
    >>> F.smooth_l1_loss(tl.tensor([0.0]), tl.tensor([3.0]))
    tensor(2.5)
    """
    check_same_shape("smooth_l1_loss", input, target)
    reduction = chosen("smooth_l1_loss", reduction, size_average, reduce)
    check_floats("smooth_l1_loss", target if is_floating(target.dtype) else input)
    if beta < 0:
        raise ValueError(f"smooth_l1_loss: beta must not be negative, but is {beta}")
    if beta == 0:
        return reduced(abs(_difference(input, target)), reduction)
    return reduced(huber(_difference(input, target), beta) / beta, reduction)
