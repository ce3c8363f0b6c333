"""Losses of single elements that are primitives: cross-entropies, divergence, Huber's.

A term whose target is 0 does not count, even if it is infinite: 0 · inf is replaced by 0.
"""

from __future__ import annotations

import math
from types import ModuleType
from typing import Any

import numpy as np

from tensorlite.backend import Array
from tensorlite.ops.activation import logsigmoid, sigmoid
from tensorlite.ops.arithmetic import maximum, minimum
from tensorlite.ops.compare import where
from tensorlite.ops.elementwise import exp, log, log1p
from tensorlite.ops.fused import float32_inside, fused
from tensorlite.primitive import primitive

# --- binary cross-entropies ---------------------------------------------------------------------


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

# --- divergence ---------------------------------------------------------------------------------


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

# --- Huber's loss -------------------------------------------------------------------------------


@primitive
@float32_inside
def huber(xp: ModuleType, d: Array, *, delta: float) -> Array:
    """d²/2 of differences up to `delta`, `delta` (|d| - `delta`/2) beyond."""
    near = xp.clip(d, -delta, delta)
    return near * (d - 0.5 * near)


huber.defvjp(d=lambda g, d, delta: g * minimum(maximum(d, -delta), delta))
