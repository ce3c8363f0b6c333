"""Losses of distributions: divergence, Gaussian and Poisson likelihood.

A term whose target is 0 does not count, even if it is infinite: 0 · inf is replaced by 0.
"""

from __future__ import annotations

import math
from types import ModuleType
from typing import Any

import numpy as np

from tensorlite.backend import Array
from tensorlite.ops.compare import where
from tensorlite.ops.elementwise import exp, log, square
from tensorlite.ops.fused import float32_inside
from tensorlite.ops.like import full_like
from tensorlite.ops.limits import maximum
from tensorlite.ops.losses.reduction import (
    check_floats,
    check_same_shape,
    chosen,
    divided_sum,
    floats_alike,
    reduced,
)
from tensorlite.primitive import primitive
from tensorlite.tensor import Tensor

__all__ = ["gaussian_nll_loss", "kl_div", "poisson_nll_loss"]


@primitive(name="kl_div")
@float32_inside
def divergence(xp: ModuleType, x: Array, t: Array) -> Array:
    """T (log t - x); 0 where t is 0."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return xp.where(t == 0, 0, t * (xp.log(t) - x))


def _by_target_of_divergence(g: Any, x: Any, t: Any) -> Any:
    none = t == 0
    return g * where(none, 0.0, log(where(none, 1.0, t)) + 1 - where(none, 0.0, x))


divergence.defvjp(x=lambda g, t: -g * t, t=_by_target_of_divergence)


@primitive(name="kl_div")
@float32_inside
def log_divergence(xp: ModuleType, x: Array, t: Array) -> Array:
    """exp(t) (t - x); 0 where t is -inf."""
    with np.errstate(invalid="ignore"):
        return xp.where(t == -math.inf, 0, xp.exp(t) * (t - x))


def _by_target_of_log_divergence(g: Any, x: Any, t: Any) -> Any:
    none = t == -math.inf
    t = where(none, 0.0, t)
    return g * where(none, 0.0, exp(t) * (t + 1 - where(none, 0.0, x)))


log_divergence.defvjp(x=lambda g, t: -g * exp(t), t=_by_target_of_log_divergence)


def kl_div(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    log_target: bool = False,
) -> Tensor:
    """``target * (log(target) - input)`` of log-probabilities `input`; 0 where target is 0.

    With `log_target` the target is given as its logarithm. Kullback and Leibler's divergence of
    distributions is ``reduction="batchmean"``: the sum divided by the length of the first axis.

    Parameters
    ----------
    input, target : Tensor
        Of one shape.
    reduction : {"mean", "batchmean", "sum", "none"}
        What is made of the losses.
    log_target : bool

    Returns
    -------
    Tensor, shape (), or `input`'s for "none"

    Examples
    --------
    >>> F.kl_div(tl.tensor([[0.5, 0.5]]).log(), tl.tensor([[0.0, 1.0]]), reduction="batchmean")
    tensor(0.6931472)
    """
    check_same_shape("kl_div", input, target)
    check_floats("kl_div", input)
    reduction = chosen("kl_div", reduction, size_average, reduce)
    input, target = floats_alike(input, target)
    loss = log_divergence(input, target) if log_target else divergence(input, target)
    if reduction == "batchmean":
        return divided_sum(loss, input.shape[0] if input.shape else 1)
    return reduced(loss, reduction)


def gaussian_nll_loss(
    input: Tensor,
    target: Tensor,
    var: Tensor | float,
    full: bool = False,
    eps: float = 1e-6,
    reduction: str = "mean",
) -> Tensor:
    """(log var + (input - target)² / var) / 2: how unlikely a Gaussian makes the target.

    Parameters
    ----------
    input, target
        The expected values, and what came; of one shape, or one target for all.
    var
        Variances, none negative: of `input`'s shape, of that without its last axis, with a 1 in the
        place of one axis, or one number.
    full
        Whether to add the constant log(2π)/2.
    eps
        Smallest variance that is computed with; gradients pass it as if it were not there.
    reduction : {"mean", "sum", "none"}
        What is made of the losses.

    Returns
    -------
    Tensor, shape (), or `input`'s for "none"

    Raises
    ------
    ValueError
        If a variance is negative, or `var` does not fit.

    Examples
    --------
    >>> F.gaussian_nll_loss(tl.tensor([1.0]), tl.tensor([3.0]), tl.tensor([1.0]))
    tensor(2.)
    """
    op = "gaussian_nll_loss"
    if target.shape != ():
        check_same_shape(op, input, target)
    if isinstance(var, (int, float)):
        var = full_like(input, float(var))
    raw = var.array
    if isinstance(raw, np.ndarray) and (raw < 0).any():
        raise ValueError(f"{op}: var is negative somewhere: its least element is {raw.min()}")
    if var.shape != input.shape:
        if var.shape == input.shape[:-1]:
            var = var.reshape(*var.shape, 1)
        elif len(var.shape) != len(input.shape) or sum_of_differing(input, var) != 1:
            raise ValueError(f"{op}: var of shape {var.shape} for input of shape {input.shape}")
    var = var + (maximum(var, eps) - var).detach()
    loss = 0.5 * (log(var) + square(input - target) / var)
    return reduced(loss + 0.5 * math.log(2 * math.pi) if full else loss, reduction)


def sum_of_differing(input: Tensor, var: Tensor) -> int:
    """The lengths of `var` where they differ from those of `input`, added up: 1 broadcasts."""
    total = 0
    for wanted, n in zip(input.shape, var.shape, strict=True):
        total += 0 if n == wanted else n
    return total


def poisson_nll_loss(
    input: Tensor,
    target: Tensor,
    log_input: bool = True,
    full: bool = False,
    size_average: bool | None = None,
    eps: float = 1e-8,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """exp(input) - target · input: how unlikely a Poisson distribution makes the target.

    Parameters
    ----------
    input, target
        Logarithms of the expected counts, and the counts; of one shape.
    log_input
        If not, `input` are the counts themselves, and `eps` is added in their logarithm.
    full
        Whether to add Stirling's formula for log(target!), where the target is above 1.
    reduction : {"mean", "sum", "none"}
        What is made of the losses.

    Returns
    -------
    Tensor, shape (), or `input`'s for "none"

    Examples
    --------
    >>> F.poisson_nll_loss(tl.tensor([0.0]), tl.tensor([2.0]))
    tensor(1.)
    """
    check_same_shape("poisson_nll_loss", input, target)
    reduction = chosen("poisson_nll_loss", reduction, size_average, reduce)
    loss = exp(input) - target * input if log_input else input - target * log(input + eps)
    if full:
        many = target > 1
        count = where(many, target, 1.0)
        stirling = count * log(count) - count + 0.5 * log(2 * math.pi * count)
        loss = loss + where(many, stirling, 0.0)
    return reduced(loss, reduction)
