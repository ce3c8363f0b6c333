"""Softmax and its logarithm."""

from __future__ import annotations

from types import ModuleType
from typing import Any

from tensorlite.backend import Array
from tensorlite.ops.elementwise import exp
from tensorlite.ops.fused import float32_inside, fused
from tensorlite.ops.reduce import sum
from tensorlite.primitive import primitive

__all__ = ["log_softmax", "softmax"]


@fused
def softmax_backward(dy: Any, out: Any, *, axis: int) -> Any:
    """Cotangent of `softmax`'s input from that of its output `out`."""
    return out * (dy - sum(dy * out, axis=axis, keepdims=True))


@fused
def log_softmax_backward(dy: Any, out: Any, *, axis: int) -> Any:
    """Cotangent of `log_softmax`'s input from that of its output `out`."""
    return dy - exp(out) * sum(dy, axis=axis, keepdims=True)


@primitive
@float32_inside
def softmax(xp: ModuleType, x: Array, *, axis: int = -1) -> Array:
    """``exp(x) / Σ exp(x)`` along `axis`, without overflow.

    A slice of nothing but -inf gives NaN.
    """
    if not x.size:
        return x
    y = xp.exp(_below_zero(x, axis))
    y /= y.sum(axis=axis, keepdims=True)
    return y


softmax.defvjp(x=lambda g, y, axis: softmax_backward(g, y, axis=axis))


@primitive
@float32_inside
def log_softmax(xp: ModuleType, x: Array, *, axis: int = -1) -> Array:
    """``x - log Σ exp(x)`` along `axis`, without overflow or the logarithm of 0."""
    if not x.size:
        return x
    shifted = _below_zero(x, axis)
    return shifted - xp.log(xp.exp(shifted).sum(axis=axis, keepdims=True))


log_softmax.defvjp(x=lambda g, y, axis: log_softmax_backward(g, y, axis=axis))


def _below_zero(x: Array, axis: int) -> Array:
    """`x` less its largest value along `axis`, so that no exponential overflows."""
    return x - x.max(axis=axis, keepdims=True)
