"""Matrix products: on the CPU in one call; on CUDA the references call cuBLASLt."""

from __future__ import annotations

from typing import Any

from tensorlite.backend import Array
from tensorlite.ops.linalg import matmul
from tensorlite.ops.linear import linear


@matmul.kernel
def _matmul(k: Any, a: Array, b: Array) -> Any:
    return k.new_matmul(a, b, None)


@linear.kernel
def _linear(k: Any, x: Array, weight: Array, bias: Array | None = None) -> Any:
    return k.new_matmul(x, weight.mT, bias) if weight.ndim == 2 else NotImplemented
