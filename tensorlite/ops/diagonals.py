"""Triangles and diagonals of matrices."""

from __future__ import annotations

from collections.abc import Sequence
from types import ModuleType
from typing import Any

import numpy as np

from tensorlite import backend
from tensorlite.backend import Array, Device, array_backend, backend_for
from tensorlite.backend.dims import named_dims
from tensorlite.backend.dtypes import as_dtype
from tensorlite.ops.compare import where
from tensorlite.ops.faces import copies
from tensorlite.ops.gathering import raw
from tensorlite.ops.shape import reshape
from tensorlite.primitive import primitive
from tensorlite.tensor import Tensor, tensor_of

__all__ = [
    "diag",
    "diag_embed",
    "diagflat",
    "diagonal",
    "diagonal_scatter",
    "tril",
    "tril_indices",
    "triu",
    "triu_indices",
]

# --- triangles ----------------------------------------------------------------------------------


def _check_matrices(x: Array) -> None:
    if x.ndim < 2:
        raise ValueError(f"there is no matrix in shape {x.shape}")


@primitive
def tril(xp: ModuleType, x: Array, *, diagonal: int = 0) -> Array:
    """Keep what is on and below the `diagonal`-th diagonal of the last two axes; the rest is 0.

    Parameters
    ----------
    input : Tensor, shape (..., n, m)
    diagonal : int
        0 is the main one, positive numbers are above it.

    Returns
    -------
    Tensor
        Of `input`'s shape and dtype.

    Raises
    ------
    ValueError
        If `input` has fewer than two axes.

    Examples
    --------
    >>> tl.tril(tl.tensor([[1, 2], [3, 4]]))
    tensor([[1, 0],
            [3, 4]])
    """
    _check_matrices(x)
    return xp.tril(x, diagonal).astype(x.dtype, copy=False)  # CuPy widens bfloat16


tril.defvjp(x=lambda g, diagonal: tril(g, diagonal))


@primitive
def triu(xp: ModuleType, x: Array, *, diagonal: int = 0) -> Array:
    """Keep what is on and above the `diagonal`-th diagonal of the last two axes; the rest is 0.

    Parameters
    ----------
    input : Tensor, shape (..., n, m)
    diagonal : int
        0 is the main one, positive numbers are above it.

    Returns
    -------
    Tensor
        Of `input`'s shape and dtype.

    Raises
    ------
    ValueError
        If `input` has fewer than two axes.

    Examples
    --------
    >>> tl.triu(tl.tensor([[1, 2], [3, 4]]))
    tensor([[1, 2],
            [0, 4]])
    """
    _check_matrices(x)
    return xp.triu(x, diagonal).astype(x.dtype, copy=False)


triu.defvjp(x=lambda g, diagonal: triu(g, diagonal))


def tril_indices(
    row: int, col: int, offset: int = 0, *, dtype: Any = np.int64, device: Any = None
) -> Tensor:
    """Places on and below the `offset`-th diagonal of a matrix: rows and columns, shape (2, n).

    Parameters
    ----------
    row, col : int
        Size of the matrix.
    offset : int
        0 is the main diagonal, positive numbers are above it.

    Returns
    -------
    Tensor of int64, shape (2, n)

    Raises
    ------
    RuntimeError
        If a length is negative.

    Examples
    --------
    >>> tl.tril_indices(2, 2)
    tensor([[0, 1, 1],
            [0, 0, 1]])
    """
    return _indices(np.tril_indices, row, col, offset, dtype, device)


def triu_indices(
    row: int, col: int, offset: int = 0, *, dtype: Any = np.int64, device: Any = None
) -> Tensor:
    """Places on and above the `offset`-th diagonal of a matrix: rows and columns, shape (2, n).

    Parameters
    ----------
    row, col : int
        Size of the matrix.
    offset : int
        0 is the main diagonal, positive numbers are above it.

    Returns
    -------
    Tensor of int64, shape (2, n)

    Raises
    ------
    RuntimeError
        If a length is negative.

    Examples
    --------
    >>> tl.triu_indices(2, 2)
    tensor([[0, 0, 1],
            [0, 1, 1]])
    """
    return _indices(np.triu_indices, row, col, offset, dtype, device)


def _indices(find: Any, row: int, col: int, offset: int, dtype: Any, device: Any) -> Tensor:
    if row < 0 or col < 0:
        raise RuntimeError(f"{find.__name__}: no matrix has {row} rows and {col} columns")
    places = np.stack(find(row, offset, col)).astype(as_dtype(dtype))
    where_to: Device = backend.device(device)
    return tensor_of(backend_for(where_to).asarray(places, device=where_to))


# --- diagonals ----------------------------------------------------------------------------------


@primitive(view=True)
def diagonal(xp: ModuleType, x: Array, *, offset: int = 0, dim1: int = 0, dim2: int = 1) -> Array:
    """Take the `offset`-th diagonal of two axes; it becomes the last axis of the result.

    Parameters
    ----------
    input : Tensor
        Of at least two axes.
    offset : int
        0 is the main diagonal, positive numbers are above it.
    dim1, dim2 : int
        The axes.

    Returns
    -------
    Tensor, shape (..., n)
        A view.

    Examples
    --------
    >>> tl.diagonal(tl.tensor([[4.0, 1.0], [1.0, 3.0]]))
    tensor([4., 3.])
    """
    y = xp.diagonal(x, _no_further(offset, x.shape), dim1, dim2)
    if xp is np and x.flags.writeable:
        y.flags.writeable = True  # NumPy means to warn those who expect a copy
    return y


def _no_further(offset: int, shape: Sequence[int]) -> int:
    """An offset beyond which no diagonal is; NumPy reads wild from -2³¹ elements before a row."""
    most = max(shape, default=0)
    return min(max(offset, -most), most)


@primitive
def diagonal_backward(
    xp: ModuleType, d: Array, *, shape: tuple[int, ...], offset: int, dim1: int, dim2: int
) -> Array:
    """Lay `d` on a diagonal of zeros."""
    x = xp.zeros(shape, d.dtype)
    along = xp.arange(d.shape[-1])
    matrices = xp.moveaxis(x, (dim1, dim2), (-2, -1))
    matrices[..., along + max(-offset, 0), along + max(offset, 0)] = d
    return x


diagonal.defvjp(
    x=lambda g, x_shape, offset, dim1, dim2: diagonal_backward(g, x_shape, offset, dim1, dim2)
)
diagonal_backward.defvjp(d=lambda g, offset, dim1, dim2: diagonal(g, offset, dim1, dim2))


def diag_embed(input: Tensor, offset: int = 0, dim1: int = -2, dim2: int = -1) -> Tensor:
    """Lay the last axis on the `offset`-th diagonal of matrices of zeros, in the axes named.

    Parameters
    ----------
    input : Tensor, shape (..., n)
    offset : int
        0 is the main diagonal, positive numbers are above it.
    dim1, dim2 : int
        The axes of the matrices in the result.

    Returns
    -------
    Tensor, shape (..., n + |offset|, n + |offset|)

    Raises
    ------
    RuntimeError
        If `input` has no axes.

    Examples
    --------
    >>> tl.diag_embed(tl.tensor([1, 2]))
    tensor([[1, 0],
            [0, 2]])
    """
    if not input.shape:
        raise RuntimeError("diag_embed: a Tensor with no axes has no diagonal to lay out")
    ndim = len(input.shape) + 1
    first, second = named_dims((dim1, dim2), ndim, "diag_embed")
    n = input.shape[-1] + abs(offset)
    shape = list(input.shape[:-1])
    for axis in sorted((first, second)):
        shape.insert(axis, n)
    return diagonal_backward(input, tuple(shape), offset, first, second)


@copies
def diag(input: Tensor, diagonal: int = 0) -> Tensor:
    """Take the `diagonal`-th diagonal of a matrix; of one axis, make the matrix that has it.

    Parameters
    ----------
    input : Tensor, shape (n, m) or (n,)
    diagonal : int
        0 is the main one, positive numbers are above it.

    Returns
    -------
    Tensor, shape (k,) or (n + |diagonal|, n + |diagonal|)

    Raises
    ------
    RuntimeError
        If `input` has neither one axis nor two.

    Examples
    --------
    >>> tl.diag(tl.tensor([[4.0, 1.0], [1.0, 3.0]]))
    tensor([4., 3.])
    """
    if len(input.shape) == 1:
        return diag_embed(input, diagonal)
    if len(input.shape) != 2:
        raise RuntimeError(f"diag: shape {tuple(input.shape)} has neither one axis nor two")
    return _diagonal(input, diagonal)


_diagonal = diagonal  # whose name is `diag`'s parameter, too


def diagflat(input: Tensor, offset: int = 0) -> Tensor:
    """Make the matrix that has all elements, in row order, on its `offset`-th diagonal.

    Parameters
    ----------
    input : Tensor
        Of any shape.
    offset : int
        0 is the main diagonal, positive numbers are above it.

    Returns
    -------
    Tensor
        A square matrix.

    Examples
    --------
    >>> tl.diagflat(tl.tensor([1, 2]), 1)
    tensor([[0, 1, 0],
            [0, 0, 2],
            [0, 0, 0]])
    """
    return diag_embed(reshape(input, (-1,)), offset)


def diagonal_scatter(
    input: Tensor, src: Tensor, offset: int = 0, dim1: int = 0, dim2: int = 1
) -> Tensor:
    """Put `src` in place of the `offset`-th diagonal of two axes, in a copy.

    Parameters
    ----------
    input : Tensor
        Of at least two axes.
    src : Tensor
        Of the diagonal's shape, see `diagonal`, and `input`'s dtype.
    offset : int
        0 is the main diagonal, positive numbers are above it.
    dim1, dim2 : int
        The axes.

    Returns
    -------
    Tensor
        Of `input`'s shape and dtype.

    Raises
    ------
    RuntimeError
        If `src` has another shape or dtype.

    Examples
    --------
    >>> tl.diagonal_scatter(tl.zeros(2, 2), tl.tensor([1.0, 2.0]))
    tensor([[1., 0.],
            [0., 2.]])
    """
    shape = tuple(input.shape)
    far = _no_further(offset, shape)
    place = np.diagonal(np.broadcast_to(np.empty(()), shape), far, dim1, dim2).shape
    if tuple(src.shape) != place:
        raise RuntimeError(
            f"diagonal_scatter: src of shape {tuple(src.shape)} is not of the diagonal's {place}"
        )
    if src.dtype != input.dtype:
        raise RuntimeError(f"diagonal_scatter: src is {src.dtype}, and input {input.dtype}")
    xp = array_backend((raw(input),)).xp
    mask = diagonal_backward(xp.ones(place, bool), shape, offset, dim1, dim2)
    return where(mask, diagonal_backward(src, shape, offset, dim1, dim2), input)
