"""A bias and the activation after it, in one pass each way."""

from __future__ import annotations

from types import ModuleType
from typing import Any

from tensorlite.backend import Array
from tensorlite.backend.base import rows_of
from tensorlite.ops.activation import gelu, gelu_backward
from tensorlite.ops.channels import channel_sum
from tensorlite.ops.fused import float32_inside, fused
from tensorlite.ops.rectifiers import relu, relu_backward
from tensorlite.primitive import primitive

__all__ = ["bias_gelu", "bias_relu"]


def _fits(x: Array, bias: Array) -> bool:
    return x.ndim > 0 and bias.shape == x.shape[-1:]


def _check(op: str, x: Array, bias: Array) -> None:
    if not _fits(x, bias):
        raise ValueError(
            f"{op}: bias of shape {bias.shape} for x of shape {x.shape}; it must be as long as the "
            "last axis of x"
        )


def _with_kernel(op: Any, name: str) -> None:
    """Let a kernel compute `op`; it counts the bias's elements, and its shape is looked at here."""

    @op.kernel
    def run(k: Any, x: Array, bias: Array) -> Any:
        return getattr(k, name)(x, bias) if _fits(x, bias) else NotImplemented


@primitive
@float32_inside
def bias_relu(xp: ModuleType, x: Array, bias: Array) -> Array:
    """`relu` (`input` + `bias`), without an array for the sum.

    Parameters
    ----------
    input
        Shape (…, n).
    bias
        Shape (n,).

    Returns
    -------
    Tensor, shape (…, n)

    Raises
    ------
    ValueError
        If the lengths differ.

    Examples
    --------
    >>> F.bias_relu(tl.tensor([[1.0, -1.0]]), tl.tensor([0.0, 2.0]))
    tensor([[1., 1.]])
    """
    _check("bias_relu", x, bias)
    return relu(x + bias)


@fused
def bias_relu_backward(dy: Any, out: Any) -> tuple[Any, Any]:
    """Cotangents of `x` and `bias` of `bias_relu` from that of its output `out`."""
    dx = relu_backward(dy, out)
    return dx, channel_sum(rows_of(dx))


bias_relu.defvjp_joint(lambda g, needs, y: bias_relu_backward(g, y))
_with_kernel(bias_relu, "new_bias_relu")
bias_relu_backward.kernel("bias_relu_backward")


@primitive
@float32_inside
def bias_gelu(xp: ModuleType, x: Array, bias: Array) -> Array:
    """`gelu` (`input` + `bias`) in its tanh form, without an array for the sum.

    Parameters
    ----------
    input
        Shape (…, n).
    bias
        Shape (n,).

    Returns
    -------
    Tensor, shape (…, n)

    Raises
    ------
    ValueError
        If the lengths differ.

    Examples
    --------
    >>> F.bias_gelu(tl.tensor([[1.0, -1.0]]), tl.tensor([0.0, 1.0]))
    tensor([[0.841192, 0.      ]])
    """
    _check("bias_gelu", x, bias)
    return gelu(x + bias, approximate="tanh")


@fused
def bias_gelu_backward(dy: Any, x: Any, bias: Any) -> tuple[Any, Any]:
    """Cotangents of `x` and `bias` of `bias_gelu`."""
    dx = gelu_backward(dy, x + bias, approximate="tanh")
    return dx, channel_sum(rows_of(dx))


bias_gelu.defvjp_joint(lambda g, needs, x, bias: bias_gelu_backward(g, x, bias))
_with_kernel(bias_gelu, "new_bias_gelu")
bias_gelu_backward.kernel("bias_gelu_backward")
