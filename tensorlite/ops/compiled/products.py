"""Matrix products: on the CPU in one call; on CUDA the references call cuBLASLt."""

from __future__ import annotations

from typing import Any

from tensorlite.backend import Array
from tensorlite.ops.compiled.planes import sums
from tensorlite.ops.linalg import matmul
from tensorlite.ops.linear import affine_gradients, linear


@matmul.kernel
def _matmul(k: Any, a: Array, b: Array) -> Any:
    return k.new_matmul(a, b, None)


@linear.kernel
def _linear(k: Any, x: Array, weight: Array, bias: Array | None = None) -> Any:
    return k.new_matmul(x, weight.mT, bias) if weight.ndim == 2 else NotImplemented


@affine_gradients.kernel
def _affine_gradients(k: Any, dy: Array, x: Array) -> Any:
    if not k.on_host:
        return NotImplemented
    both = k.new_affine_gradients(dy, x)
    if both is NotImplemented:
        product = k.new_matmul(dy.mT, x, None)
        both = product if product is NotImplemented else (product, sums(k, dy))
    return both
