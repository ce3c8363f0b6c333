"""Sums with matrix products, as BLAS has them: ``beta * input + alpha * product``."""

from __future__ import annotations

from typing import Any

import numpy as np

from tensorlite.backend.dtypes import result_type
from tensorlite.ops.elementwise import cast
from tensorlite.ops.linalg import matmul
from tensorlite.ops.matrix.checks import (
    check_ndim,
    check_one_dtype,
)
from tensorlite.ops.matrix.products import mv, outer, product_of
from tensorlite.ops.shape import reshape
from tensorlite.tensor import Tensor

__all__ = [
    "addbmm",
    "addmm",
    "addmv",
    "addr",
    "baddbmm",
]


def _added(name: str, input: Tensor, product: Tensor, beta: Any, alpha: Any) -> Tensor:
    """``beta * input + alpha * product``; with beta 0 `input` is not looked at, NaN or not."""
    check_one_dtype(name, input, product)
    try:
        broadcast = np.broadcast_shapes(input.shape, product.shape)
    except ValueError:
        broadcast = ()
    if broadcast != tuple(product.shape):
        raise RuntimeError(
            f"{name}: input of shape {tuple(input.shape)} does not broadcast to the product's "
            f"{tuple(product.shape)}"
        )
    if input.dtype.kind in "iu" and (isinstance(beta, float) or isinstance(alpha, float)):
        raise RuntimeError(f"{name}: beta={beta}, alpha={alpha} for {input.dtype}: use integers")
    scaled = product if alpha == 1 else product * alpha
    if beta == 0:
        return scaled
    return (input if beta == 1 else input * beta) + scaled


def addmm(input: Tensor, mat1: Tensor, mat2: Tensor, *, beta: Any = 1, alpha: Any = 1) -> Tensor:
    """``beta * input + alpha * (mat1 @ mat2)`` of matrices.

    Parameters
    ----------
    input : Tensor
        Broadcasts to (n, m).
    mat1 : Tensor, shape (n, k)
    mat2 : Tensor, shape (k, m)
    beta, alpha : float
        With beta 0 `input` does not count, even where it is NaN.

    Returns
    -------
    Tensor, shape (n, m)

    Raises
    ------
    RuntimeError
        If the shapes do not fit, or `beta` or `alpha` is no integer though the Tensors are.

    Examples
    --------
    >>> tl.addmm(tl.tensor([[1.0, 1.0], [1.0, 1.0]]), tl.ones(2, 3), tl.ones(3, 2), beta=0.5)
    tensor([[3.5, 3.5],
            [3.5, 3.5]])
    """
    check_ndim("addmm", "mat1", mat1, 2)
    check_ndim("addmm", "mat2", mat2, 2)
    return _added("addmm", input, product_of("addmm", mat1, mat2), beta, alpha)


def baddbmm(
    input: Tensor, batch1: Tensor, batch2: Tensor, *, beta: Any = 1, alpha: Any = 1
) -> Tensor:
    """``beta * input + alpha * (batch1 @ batch2)`` of (b, n, k) and (b, k, m) matrices.

    Parameters
    ----------
    input : Tensor
        Broadcasts to (b, n, m).
    batch1, batch2 : Tensor, shapes (b, n, k) and (b, k, m)
    beta, alpha : float
        With beta 0 `input` does not count, even where it is NaN.

    Returns
    -------
    Tensor, shape (b, n, m)

    Raises
    ------
    RuntimeError
        If the shapes do not fit, or `beta` or `alpha` is no integer though the Tensors are.

    Examples
    --------
    >>> tl.baddbmm(tl.tensor([[[1.0, 2.0]]]), tl.ones(1, 1, 3), tl.ones(1, 3, 2))
    tensor([[[4., 5.]]])
    """
    check_ndim("baddbmm", "batch1", batch1, 3)
    check_ndim("baddbmm", "batch2", batch2, 3)
    return _added("baddbmm", input, product_of("baddbmm", batch1, batch2), beta, alpha)


def addbmm(
    input: Tensor, batch1: Tensor, batch2: Tensor, *, beta: Any = 1, alpha: Any = 1
) -> Tensor:
    """``beta * input + alpha *`` the sum of all ``batch1[i] @ batch2[i]``.

    Parameters
    ----------
    input : Tensor
        Broadcasts to (n, m).
    batch1, batch2 : Tensor, shapes (b, n, k) and (b, k, m)
    beta, alpha : float
        With beta 0 `input` does not count, even where it is NaN.

    Returns
    -------
    Tensor, shape (n, m)

    Raises
    ------
    RuntimeError
        If the shapes do not fit, or `beta` or `alpha` is no integer though the Tensors are.

    Examples
    --------
    >>> tl.addbmm(tl.tensor([[0.0, 0.0], [0.0, 0.0]]), tl.ones(3, 2, 4), tl.ones(3, 4, 2))
    tensor([[12., 12.],
            [12., 12.]])
    """
    check_ndim("addbmm", "batch1", batch1, 3)
    check_ndim("addbmm", "batch2", batch2, 3)
    b, n, k = batch1.shape
    if tuple(batch2.shape[:2]) != (b, k):
        shapes = f"{tuple(batch1.shape)} and {tuple(batch2.shape)}"
        raise RuntimeError(f"addbmm: shapes {shapes} do not fit")
    check_one_dtype("addbmm", batch1, batch2)
    # One product that sums over the matrices, too.
    left = reshape(batch1.swapaxes(0, 1), (n, b * k))
    return _added(
        "addbmm", input, matmul(left, reshape(batch2, (b * k, batch2.shape[2]))), beta, alpha
    )


def addmv(input: Tensor, mat: Tensor, vec: Tensor, *, beta: Any = 1, alpha: Any = 1) -> Tensor:
    """``beta * input + alpha * (mat @ vec)`` of a matrix (n, k) and a vector (k,).

    Parameters
    ----------
    input : Tensor
        Broadcasts to (n,).
    mat, vec : Tensor, shapes (n, k) and (k,)
    beta, alpha : float
        With beta 0 `input` does not count, even where it is NaN.

    Returns
    -------
    Tensor, shape (n,)

    Raises
    ------
    RuntimeError
        If the shapes do not fit, or `beta` or `alpha` is no integer though the Tensors are.

    Examples
    --------
    >>> tl.addmv(tl.tensor([1.0, 2.0]), tl.ones(2, 3), tl.ones(3))
    tensor([4., 5.])
    """
    return _added("addmv", input, mv(mat, vec), beta, alpha)


def addr(input: Tensor, vec1: Tensor, vec2: Tensor, *, beta: Any = 1, alpha: Any = 1) -> Tensor:
    """``beta * input + alpha *`` the outer product of two vectors.

    Parameters
    ----------
    input : Tensor
        Broadcasts to (n, m).
    vec1, vec2 : Tensor, shapes (n,) and (m,)
    beta, alpha : float
        With beta 0 `input` does not count, even where it is NaN.

    Returns
    -------
    Tensor, shape (n, m)

    Raises
    ------
    RuntimeError
        If the shapes do not fit, or `beta` or `alpha` is no integer though the Tensors are.

    Examples
    --------
    >>> tl.addr(tl.tensor([[0.0, 0.0], [0.0, 0.0]]), tl.tensor([1.0, 2.0]), tl.tensor([3.0, 4.0]))
    tensor([[3., 4.],
            [6., 8.]])
    """
    product = outer(vec1, vec2)
    dtype = result_type(input, product)  # this one promotes, as multiplication does
    if dtype.kind != "b":
        return _added("addr", cast(input, dtype), cast(product, dtype), beta, alpha)
    scaled = product & bool(alpha)
    return input | scaled if beta else scaled
