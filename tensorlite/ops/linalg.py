"""The matrix product: the primitive that the other products come down to."""

from __future__ import annotations

import math
from types import ModuleType
from typing import Any

import numpy as np

from tensorlite.backend import Array, array_backend
from tensorlite.ops.promotion import Operands
from tensorlite.primitive import primitive
from tensorlite.tensor import Tensor

__all__ = ["matmul"]


class _OneDtype(Operands):
    """Tensors of several dtypes are refused: a product is long, and which way to cast is a choice.

    What a rule multiplies are raw arrays, which are let through.
    """

    def __call__(self, args: tuple) -> tuple:
        dtypes = {x.dtype for x in args if isinstance(x, Tensor)}
        if len(dtypes) > 1:
            names = " and ".join(str(x.dtype) for x in args)
            raise RuntimeError(f"matmul: operands of {names}: cast one, x.to(other.dtype)")
        return args


@primitive(operands=_OneDtype())
def matmul(xp: ModuleType, a: Array, b: Array) -> Array:
    """Matrix product, ``input @ other``.

    Parameters
    ----------
    input : Tensor, shape (..., n, k) or (k,)
    other : Tensor, shape (..., k, m) or (k,)
        Of the same dtype. Leading axes broadcast; a vector counts as a row on the left and a column
        on the right.

    Returns
    -------
    Tensor, shape (..., n, m)
        Without n or m where the operand was a vector.

    Raises
    ------
    ValueError
        If the shapes do not fit.
    RuntimeError
        If the dtypes differ.

    Examples
    --------
    >>> tl.matmul(tl.tensor([5.0, -3.0]), tl.tensor([2.0, 2.0]))
    tensor(4.)
    """
    try:
        return array_backend((a, b)).matmul(a, b)
    except (ValueError, AttributeError) as error:
        raise ValueError(
            f"matmul: shapes {np.shape(a)} and {np.shape(b)} do not fit: (..., n, k) @ (..., k, m) "
            "needs one k, and leading axes that broadcast"
        ) from error


matmul.primitive.rename({"a": "input", "b": "other"})
matmul.on_host("new_matmul")


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
