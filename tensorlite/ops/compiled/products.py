"""Matrix products: on the CPU in one call; on CUDA the references call cuBLASLt."""

from __future__ import annotations

from typing import Any

from tensorlite.backend import Array
from tensorlite.ops.channels import channel_sum, rows_of
from tensorlite.ops.linalg import matmul
from tensorlite.ops.linear import affine_gradients, linear, linear_relu, weight_gradient


@matmul.kernel
def _matmul(k: Any, a: Array, b: Array) -> Any:
    return k.new_matmul(a, b, None, None, False)


@linear.kernel
def _linear(k: Any, x: Array, weight: Array, bias: Array | None = None) -> Any:
    return k.new_matmul(x, weight.mT, bias, None, False) if weight.ndim == 2 else NotImplemented


@linear_relu.kernel
def _linear_relu(k: Any, x: Array, weight: Array, bias: Array | None = None) -> Any:
    return k.new_matmul(x, weight.mT, bias, None, True) if weight.ndim == 2 else NotImplemented


@weight_gradient.kernel
def _weight_gradient(k: Any, dy: Array, x: Array, *, into: Array | None) -> Any:
    return k.new_matmul(dy.mT, x, None, into, False)


@affine_gradients.kernel
def _affine_gradients(
    k: Any,
    dy: Array,
    x: Array,
    weight: Array | None = None,
    out: Array | None = None,
    *,
    dweight: Array | None,
    dbias: Array | None,
) -> Any:
    if not k.on_host:
        return NotImplemented
    if out is not None:
        dy = k.new_relu_backward(dy, out)
        if dy is NotImplemented:
            return NotImplemented
    found = k.new_affine_gradients(dy, x, weight, dweight, dbias)
    if found is not NotImplemented:
        return found
    dy = rows_of(dy)
    both = weight_gradient(dy, rows_of(x), dweight), channel_sum(dy)
    return both if weight is None else (matmul(dy, weight).reshape(x.shape), *both)
