"""Softmax and its logarithm."""

from __future__ import annotations

from types import ModuleType
from typing import Any

from tensorlite.backend import Array
from tensorlite.backend.totals import total
from tensorlite.ops.elementwise import exp
from tensorlite.ops.faces import takes_axis
from tensorlite.ops.fused import float32_inside, fused
from tensorlite.ops.promotion import cast, floats
from tensorlite.ops.reduce import sum
from tensorlite.primitive import is_last_axis, primitive

__all__ = ["log_softmax", "softmax"]


@fused
def softmax_backward(dy: Any, out: Any, *, axis: int) -> Any:
    """Cotangent of `softmax`'s input from that of its output `out`."""
    return out * (dy - sum(dy * out, axis=axis, keepdims=True))


@fused
def log_softmax_backward(dy: Any, out: Any, *, axis: int) -> Any:
    """Cotangent of `log_softmax`'s input from that of its output `out`."""
    return dy - exp(out) * sum(dy, axis=axis, keepdims=True)


@primitive(name="softmax", operands=floats)
@float32_inside
def softmax_along(xp: ModuleType, x: Array, *, axis: int) -> Array:
    """``exp(x) / Σ exp(x)`` along `axis`, without overflow.

    A slice of nothing but -inf gives NaN.
    """
    if not x.size:
        return x
    y = xp.exp(_below_zero(x, axis))
    y /= total(xp, y, axis, keepdims=True)
    return y


softmax_along.defvjp(x=lambda g, y, axis: softmax_backward(g, y, axis=axis))
softmax_along.kernel("softmax", axis=is_last_axis)
softmax_backward.kernel("softmax_backward", axis=is_last_axis)


@primitive(name="log_softmax", operands=floats)
@float32_inside
def log_softmax_along(xp: ModuleType, x: Array, *, axis: int) -> Array:
    """``x - log Σ exp(x)`` along `axis`, without overflow or the logarithm of 0."""
    if not x.size:
        return x
    shifted = _below_zero(x, axis)
    return shifted - xp.log(total(xp, xp.exp(shifted), axis, keepdims=True))


log_softmax_along.defvjp(x=lambda g, y, axis: log_softmax_backward(g, y, axis=axis))
log_softmax_along.kernel("log_softmax", axis=is_last_axis)
log_softmax_backward.kernel("log_softmax_backward", axis=is_last_axis)


def _below_zero(x: Array, axis: int) -> Array:
    """`x` less its largest value along `axis`, so that no exponential overflows."""
    return x - x.max(axis=axis, keepdims=True)


@takes_axis
def softmax(input: Any, dim: int, dtype: Any = None) -> Any:
    """``exp(input) / Σ exp(input)`` along `dim`, without overflow.

    A slice of nothing but -inf gives NaN.

    Parameters
    ----------
    input : Tensor
        Any shape.
    dim : int
        The axis along which the result adds up to 1.
    dtype
        Cast `input` to it first.

    Returns
    -------
    Tensor
        Of `input`'s shape.

    Examples
    --------
    >>> tl.softmax(tl.tensor([0.0, 0.0]), dim=0)
    tensor([0.5, 0.5])
    """
    return softmax_along(input if dtype is None else cast(input, dtype), axis=dim)


@takes_axis
def log_softmax(input: Any, dim: int, dtype: Any = None) -> Any:
    """``input - log Σ exp(input)`` along `dim`, without overflow or the logarithm of 0.

    Parameters
    ----------
    input : Tensor
        Any shape.
    dim : int
        The axis of the sum.
    dtype
        Cast `input` to it first.

    Returns
    -------
    Tensor
        Of `input`'s shape.

    Examples
    --------
    >>> tl.log_softmax(tl.tensor([0.0, 0.0]), dim=0)
    tensor([-0.6931472, -0.6931472])
    """
    return log_softmax_along(input if dtype is None else cast(input, dtype), axis=dim)
