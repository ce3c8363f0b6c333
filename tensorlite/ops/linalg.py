"""The matrix product, and the trace."""

from __future__ import annotations

import math
from types import ModuleType
from typing import Any

import numpy as np

from tensorlite.backend import Array, array_backend
from tensorlite.ops.parts import diagonal
from tensorlite.ops.reduce import sum as sum_
from tensorlite.primitive import primitive
from tensorlite.tensor import Tensor

__all__ = ["matmul", "trace"]


@primitive
def matmul(xp: ModuleType, a: Array, b: Array) -> Array:
    """Matrix product with NumPy's rules, ``a @ b``.

    Parameters
    ----------
    a : Tensor, shape (..., n, k) or (k,)
    b : Tensor, shape (..., k, m) or (k,)
        Leading axes broadcast; a vector counts as a row on the left and a column on the right.

    Returns
    -------
    Tensor, shape (..., n, m)
        Without n or m where the operand was a vector.
    """
    try:
        return array_backend((a, b)).matmul(a, b)
    except (ValueError, AttributeError) as error:
        raise ValueError(
            f"matmul: shapes {np.shape(a)} and {np.shape(b)} do not fit: (..., n, k) @ (..., k, m) "
            "needs one k, and leading axes that broadcast"
        ) from error


def _matmul_vjp_a(g: Any, a_shape: tuple[int, ...], b: Any) -> Any:
    if b.ndim == 1:
        return g[..., None] * b
    if len(a_shape) == 1:
        return matmul(b, g[..., None])[..., 0]
    return matmul(g, b.mT)


def _matmul_vjp_b(g: Any, a: Any, b_shape: tuple[int, ...]) -> Any:
    if a.ndim == 1:
        return a * g if len(b_shape) == 1 else a[:, None] * g[..., None, :]
    if len(b_shape) > 2:
        return matmul(a.mT, g)
    # One matrix for all leading axes of `a`: a single product sums over them.
    rows = math.prod(a.shape[:-1])
    return matmul(a.reshape(rows, -1 if rows else a.shape[-1]).mT, g.reshape(rows, *b_shape[1:]))


matmul.defvjp(a=_matmul_vjp_a, b=_matmul_vjp_b)


def trace(x: Tensor, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Tensor:
    """Sum of the `offset`-th diagonal of two axes, as `numpy.trace`."""
    return sum_(diagonal(x, offset, axis1, axis2), -1)
