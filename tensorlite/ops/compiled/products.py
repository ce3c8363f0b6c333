"""Matrix products: on the CPU in one call; on CUDA the references call cuBLASLt."""

from __future__ import annotations

from typing import Any

from tensorlite.backend import Array
from tensorlite.backend.base import rows_of
from tensorlite.ops.channels import channel_sum
from tensorlite.ops.linalg import matmul
from tensorlite.ops.linear import affine_gradients, linear, linear_relu, weight_gradient
from tensorlite.ops.rectifiers import relu_backward

linear.on_host("new_linear")
linear_relu.on_host("new_linear_relu")
weight_gradient.on_host("new_weight_gradient")
affine_gradients.on_host("new_affine_gradients")


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
    dy = rows_of(dy if out is None else relu_backward(dy, out))
    both = weight_gradient(dy, rows_of(x), dweight), channel_sum(dy)
    return both if weight is None else (matmul(dy, weight).reshape(x.shape), *both)
