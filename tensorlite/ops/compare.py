"""Comparisons, logic, bits, and choosing between two arrays. Shapes broadcast."""

from __future__ import annotations

from typing import Any

import numpy as np

from tensorlite.backend import Array
from tensorlite.ops.dtypes import weak
from tensorlite.ops.promotion import choices, same_dtype
from tensorlite.primitive import primitive

__all__ = [
    "bitwise_and",
    "bitwise_not",
    "bitwise_or",
    "bitwise_xor",
    "eq",
    "ge",
    "gt",
    "isfinite",
    "isinf",
    "isnan",
    "le",
    "left_shift",
    "logical_and",
    "logical_not",
    "logical_or",
    "logical_xor",
    "lt",
    "masked_fill",
    "ne",
    "right_shift",
    "where",
]


@primitive(operands=same_dtype)
def eq(xp: Any, x1: Array, x2: Array) -> Array:
    """Whether ``x1 == x2``, element by element."""
    return xp.equal(x1, x2)


@primitive(operands=same_dtype)
def ne(xp: Any, x1: Array, x2: Array) -> Array:
    """Whether ``x1 != x2``, element by element."""
    return xp.not_equal(x1, x2)


@primitive(operands=same_dtype)
def lt(xp: Any, x1: Array, x2: Array) -> Array:
    """Whether ``x1 < x2``, element by element."""
    return xp.less(x1, x2)


@primitive(operands=same_dtype)
def le(xp: Any, x1: Array, x2: Array) -> Array:
    """Whether ``x1 <= x2``, element by element."""
    return xp.less_equal(x1, x2)


@primitive(operands=same_dtype)
def gt(xp: Any, x1: Array, x2: Array) -> Array:
    """Whether ``x1 > x2``, element by element."""
    return xp.greater(x1, x2)


@primitive(operands=same_dtype)
def ge(xp: Any, x1: Array, x2: Array) -> Array:
    """Whether ``x1 >= x2``, element by element."""
    return xp.greater_equal(x1, x2)


@primitive
def isnan(xp: Any, x: Array) -> Array:
    """Whether each element is NaN."""
    return xp.isnan(x)


@primitive
def isinf(xp: Any, x: Array) -> Array:
    """Whether each element is infinite."""
    return xp.isinf(x)


@primitive
def isfinite(xp: Any, x: Array) -> Array:
    """Whether each element is neither infinite nor NaN."""
    return xp.isfinite(x)


@primitive
def logical_and(xp: Any, x1: Array, x2: Array) -> Array:
    """Whether both elements are nonzero."""
    return xp.logical_and(x1, x2)


@primitive
def logical_or(xp: Any, x1: Array, x2: Array) -> Array:
    """Whether at least one of two elements is nonzero."""
    return xp.logical_or(x1, x2)


@primitive
def logical_xor(xp: Any, x1: Array, x2: Array) -> Array:
    """Whether exactly one of two elements is nonzero."""
    return xp.logical_xor(x1, x2)


@primitive
def logical_not(xp: Any, x: Array) -> Array:
    """Whether each element is zero."""
    return xp.logical_not(x)


@primitive(operands=same_dtype)
def bitwise_and(xp: Any, x1: Array, x2: Array) -> Array:
    """Bits set in both integers (``&``); of booleans: both."""
    return xp.bitwise_and(x1, x2)


@primitive(operands=same_dtype)
def bitwise_or(xp: Any, x1: Array, x2: Array) -> Array:
    """Bits set in either integer (``|``); of booleans: either."""
    return xp.bitwise_or(x1, x2)


@primitive(operands=same_dtype)
def bitwise_xor(xp: Any, x1: Array, x2: Array) -> Array:
    """Bits set in exactly one of two integers (``^``)."""
    return xp.bitwise_xor(x1, x2)


@primitive
def bitwise_not(xp: Any, x: Array) -> Array:
    """Bits not set in an integer (``~``); of booleans: not."""
    return xp.invert(x)


@primitive(operands=same_dtype)
def left_shift(xp: Any, x1: Array, x2: Array) -> Array:
    """The bits of `x1`, moved up by `x2` places (``<<``)."""
    return xp.left_shift(x1, x2)


@primitive(operands=same_dtype)
def right_shift(xp: Any, x1: Array, x2: Array) -> Array:
    """The bits of `x1`, moved down by `x2` places (``>>``)."""
    return xp.right_shift(x1, x2)


@primitive(operands=choices)
def where(xp: Any, condition: Array, x1: Array, x2: Array) -> Array:
    """`x1` where `condition` holds, `x2` elsewhere.

    The gradient of the one not taken is exactly 0, even where its value is NaN or infinite.
    """
    return xp.where(condition, *weak(x1, x2))


where.defvjp(
    x1=lambda g, condition: where(condition, g, 0),
    x2=lambda g, condition: where(condition, 0, g),
)


def masked_fill(x: Any, mask: Any, value: Any) -> Any:
    """`x` with `value` where `mask` holds.

    Parameters
    ----------
    x : Tensor
        Any shape and dtype.
    mask : Tensor of bool
        Broadcasts to `x`'s shape.
    value : number or Tensor
        Broadcasts to `x`'s shape.

    Raises
    ------
    ValueError
        If `mask` or `value` would enlarge `x`.
    """
    for name, other in (("mask", mask), ("value", value)):
        shape = getattr(other, "shape", ())
        if np.broadcast_shapes(x.shape, shape) != x.shape:
            raise ValueError(
                f"masked_fill: {name} of shape {shape} does not broadcast to x's shape {x.shape}"
            )
    return where(mask, value, x)
