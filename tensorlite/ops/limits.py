"""The larger and the smaller of two numbers, and numbers within limits. Shapes broadcast."""

from __future__ import annotations

import math
from typing import Any

from tensorlite.backend import Array, is_array
from tensorlite.backend.dtypes import weak
from tensorlite.ops.compare import isnan, where
from tensorlite.ops.compiled.arrays import host_number
from tensorlite.ops.fused import fused
from tensorlite.ops.promotion import same_dtype
from tensorlite.primitive import primitive

__all__ = [
    "clamp",
    "clamp_max",
    "clamp_min",
    "clip",
    "fmax",
    "fmin",
    "maximum",
    "minimum",
]


@primitive(operands=same_dtype)
def maximum(xp: Any, x1: Array, x2: Array) -> Array:
    """The larger of two; NaN if one is. Equal numbers share the gradient half and half.

    Examples
    --------
    >>> tl.maximum(tl.tensor([5.0, -3.0]), tl.tensor([2.0, 2.0]))
    tensor([5., 2.])
    """
    return xp.maximum(*weak(x1, x2))


@primitive(operands=same_dtype)
def minimum(xp: Any, x1: Array, x2: Array) -> Array:
    """The smaller of two; NaN if one is. Equal numbers share the gradient half and half.

    Examples
    --------
    >>> tl.minimum(tl.tensor([5.0, -3.0]), tl.tensor([2.0, 2.0]))
    tensor([ 2., -3.])
    """
    return xp.minimum(*weak(x1, x2))


@fused
def of_larger(dy: Any, x1: Any, x2: Any) -> Any:
    """The cotangent of `x1` as one of two of which the larger was chosen."""
    return where(x1 == x2, 0.5 * dy, where(x1 < x2, 0, dy))


@fused
def of_smaller(dy: Any, x1: Any, x2: Any) -> Any:
    """The cotangent of `x1` as one of two of which the smaller was chosen."""
    return where(x1 == x2, 0.5 * dy, where(x1 > x2, 0, dy))


maximum.defvjp(
    x1=lambda g, x1, x2: of_larger(g, x1, x2),
    x2=lambda g, x1, x2: of_larger(g, x2, x1),
)
minimum.defvjp(
    x1=lambda g, x1, x2: of_smaller(g, x1, x2),
    x2=lambda g, x1, x2: of_smaller(g, x2, x1),
)


def _give_choice(primitive: Any, sign: float) -> None:
    @primitive.kernel
    def run(k: Any, dy: Array, x1: Array, x2: Any) -> Any:
        bound = host_number(k, x2)
        if bound is None:
            return k.new_of_larger(dy, x1, x2, sign)
        return k.new_of_larger_than(dy, x1, float(bound), sign)


_give_choice(of_larger, 1.0)
_give_choice(of_smaller, -1.0)


@maximum.kernel
def _maximum(k: Any, x1: Any, x2: Any) -> Any:
    return _clamp(k, x1, x2, None) if is_array(x1) and _is_one(x2) else NotImplemented


@minimum.kernel
def _minimum(k: Any, x1: Any, x2: Any) -> Any:
    return _clamp(k, x1, None, x2) if is_array(x1) and _is_one(x2) else NotImplemented


def _is_one(x: Any) -> bool:
    return isinstance(x, (int, float)) or not x.ndim


@primitive(operands=same_dtype)
def fmax(xp: Any, x1: Array, x2: Array) -> Array:
    """The larger of two, or the one that is not NaN. Of equal numbers `input` has the gradient.

    Examples
    --------
    >>> tl.fmax(tl.tensor([5.0, -3.0]), tl.tensor([2.0, 2.0]))
    tensor([5., 2.])
    """
    return xp.fmax(*weak(x1, x2))


fmax.defvjp(
    x1=lambda g, x1, x2: where((x1 >= x2) | isnan(x2), g, 0),
    x2=lambda g, x1, x2: where((x1 >= x2) | isnan(x2), 0, g),
)


@primitive(operands=same_dtype)
def fmin(xp: Any, x1: Array, x2: Array) -> Array:
    """The smaller of two, or the one that is not NaN. Of equal numbers `input` has the gradient.

    Examples
    --------
    >>> tl.fmin(tl.tensor([5.0, -3.0]), tl.tensor([2.0, 2.0]))
    tensor([ 2., -3.])
    """
    return xp.fmin(*weak(x1, x2))


fmin.defvjp(
    x1=lambda g, x1, x2: where((x1 <= x2) | isnan(x2), g, 0),
    x2=lambda g, x1, x2: where((x1 <= x2) | isnan(x2), 0, g),
)


@primitive(operands=same_dtype)
def clamp(xp: Any, x: Array, min: Array | None = None, max: Array | None = None) -> Array:
    """`input` limited to ``[min, max]``; None is no limit. Where ``min > max`` it is `max`.

    At a limit the gradient is `input`'s; beyond it, the limit's.

    Raises
    ------
    ValueError
        Without any limit.

    Examples
    --------
    >>> tl.clamp(tl.tensor([-1.5, 0.0, 2.0]), -1.0, 1.0)
    tensor([-1.,  0.,  1.])
    """
    if min is None and max is None:
        raise ValueError("at least one of min and max must be given")
    if min is not None:
        x = xp.maximum(*weak(x, min))
    return x if max is None else xp.minimum(*weak(x, max))


clip = clamp


@fused
def within(dy: Any, x: Any, min: Any, max: Any) -> Any:
    """`dy` where `x` is in [`min`, `max`], else 0: the cotangent of what was limited."""
    if min is not None:
        dy = where(x >= min, dy, 0)
    return dy if max is None else where(x <= max, dy, 0)


def _clamp_by_min(g: Any, x: Any, min: Any, max: Any) -> Any:
    return where(x < min if max is None else (x < min) & (min < max), g, 0)


def _clamp_by_max(g: Any, x: Any, min: Any, max: Any) -> Any:
    return where(x > max if min is None else (x > max) | (min > max), g, 0)


clamp.defvjp(x=lambda g, x, min, max: within(g, x, min, max), min=_clamp_by_min, max=_clamp_by_max)


@clamp.kernel
def _clamp(k: Any, x: Array, min: Any, max: Any) -> Any:
    ends = _limits(k, min, max)
    return k.new_clamp(x, *ends) if ends and min is not max else NotImplemented


@within.kernel
def _within(k: Any, dy: Array, x: Array, min: Any, max: Any) -> Any:
    ends = _limits(k, min, max)
    return k.new_within(dy, x, *ends) if ends else NotImplemented


def _limits(k: Any, low: Any, high: Any) -> tuple[float, float] | None:
    """Two limits as numbers, of which None is none; None where one is an array, or NaN."""
    low = -math.inf if low is None else host_number(k, low)
    high = math.inf if high is None else host_number(k, high)
    if low is None or high is None or low != low or high != high:
        return None
    return float(low), float(high)


def clamp_min(input: Any, min: Any) -> Any:
    """`input`, and `min` where it is smaller.

    Examples
    --------
    >>> tl.clamp_min(tl.tensor([5.0, -3.0]), tl.tensor([2.0, 2.0]))
    tensor([5., 2.])
    """
    return clamp(input, min)


def clamp_max(input: Any, max: Any) -> Any:
    """`input`, and `max` where it is larger.

    Examples
    --------
    >>> tl.clamp_max(tl.tensor([5.0, -3.0]), tl.tensor([2.0, 2.0]))
    tensor([ 2., -3.])
    """
    return clamp(input, None, max)
