"""Norms, determinants, and functions of matrices, under their names in ``torch.linalg``."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from tensorlite import return_types
from tensorlite.backend.dims import one_dim
from tensorlite.ops import decompositions
from tensorlite.ops.compare import where
from tensorlite.ops.creation import eye, tensor
from tensorlite.ops.decompositions import LinAlgError
from tensorlite.ops.diagonals import diagonal as diagonal_of
from tensorlite.ops.elementwise import cast
from tensorlite.ops.extremes import amax, amin
from tensorlite.ops.faces import takes_axis
from tensorlite.ops.linalg import matmul
from tensorlite.ops.matrix.checks import also_called, check_floats, check_matrices
from tensorlite.ops.matrix.factors import svdvals
from tensorlite.ops.matrix.solvers import inv
from tensorlite.ops.norms import vector_norm as norm_of
from tensorlite.ops.reduce import sum as sum_
from tensorlite.ops.scan import cumprod
from tensorlite.ops.shape import broadcast_to, concat_arrays, reshape, transpose_axes
from tensorlite.tensor import Tensor

# --- norms --------------------------------------------------------------------------------------


def _cast(name: str, x: Tensor, dtype: Any) -> Tensor:
    if dtype is not None:
        x = cast(x, dtype)
    check_floats(name, x)
    return x


@takes_axis
@also_called(x="input")
def vector_norm(
    input: Tensor, ord: float = 2, dim: Any = None, keepdim: bool = False, *, dtype: Any = None
) -> Tensor:
    """``sum(abs(x)**ord)**(1 / ord)`` along axes, of all elements of several as one vector.

    Parameters
    ----------
    input : Tensor
        Any shape.
    ord : float
        ``inf`` and ``-inf`` give the largest and smallest absolute value, 0 the number of elements
        that are not 0.
    dim : int or tuple of int, optional
        By default all axes.
    keepdim : bool
        Leave the axes with length 1.
    dtype : dtype, optional
        What the elements are cast to first.

    Returns
    -------
    Tensor
        Without the axes `dim`.

    Examples
    --------
    >>> tl.linalg.vector_norm(tl.tensor([3.0, 4.0]))
    tensor(5.)
    """
    input = _cast("linalg.vector_norm", input, dtype)
    return norm_of(input, ord=float(ord), axis=dim, keepdims=keepdim)


@takes_axis
@also_called(A="input")
def matrix_norm(
    input: Tensor,
    ord: float | str = "fro",
    dim: Sequence[int] = (-2, -1),
    keepdim: bool = False,
    *,
    dtype: Any = None,
) -> Tensor:
    """Norm of matrices.

    Parameters
    ----------
    input : Tensor, shape (..., m, n)
    ord : "fro", "nuc", inf, -inf, 1, -1, 2 or -2
        The root of the sum of squares; the sum of singular values; the largest or smallest sum of a
        row's absolute values, or of a column's; the largest or smallest singular value.
    dim : (int, int)
        The axes of the matrices.
    keepdim : bool
        Leave the axes with length 1.
    dtype : dtype, optional
        What the elements are cast to first.

    Returns
    -------
    Tensor, shape (...)

    Raises
    ------
    RuntimeError
        If there are fewer than two axes, or no such `ord`.

    Examples
    --------
    >>> tl.linalg.matrix_norm(tl.tensor([[3.0, 0.0], [0.0, 4.0]]))
    tensor(5.)
    """
    name = "linalg.matrix_norm"
    input = _cast(name, input, dtype)
    ndim = len(input.shape)
    if ndim < 2:
        raise RuntimeError(
            f"{name}: matrices are needed, at least two axes, not {tuple(input.shape)}"
        )
    axes = tuple(one_dim(d, ndim, name) for d in dim)
    if len(axes) != 2 or axes[0] == axes[1]:
        raise RuntimeError(f"{name}: dim={tuple(dim)} has to name two axes")
    if ord not in ("fro", "nuc", math.inf, -math.inf, 1, -1, 2, -2):
        raise RuntimeError(f"{name}: ord={ord!r}: use 'fro', 'nuc', inf, -inf, 1, -1, 2 or -2")
    if ord == "fro":
        return norm_of(input, ord=2.0, axis=axes, keepdims=keepdim)
    rest = tuple([i for i in range(ndim) if i not in axes])
    y = _matrix_norm(transpose_axes(input, rest + axes), ord)
    if not keepdim:
        return y
    return y.reshape([1 if i in axes else n for i, n in enumerate(input.shape)])


def _matrix_norm(x: Tensor, ord: Any) -> Tensor:
    """Of the last two axes."""
    if ord == "nuc":
        return sum_(svdvals(x), axis=-1)
    largest = amax if ord > 0 else amin
    if ord in (2, -2):
        return largest(svdvals(x), -1)
    return largest(norm_of(x, ord=1.0, axis=-2 if ord in (1, -1) else -1), -1)


@takes_axis
@also_called(A="input")
def norm(
    input: Tensor,
    ord: float | str | None = None,
    dim: Any = None,
    keepdim: bool = False,
    *,
    dtype: Any = None,
) -> Tensor:
    """Norm of vectors or of matrices.

    Parameters
    ----------
    input : Tensor
        Any shape.
    ord : float or str, optional
        See `vector_norm` and `matrix_norm`; by default 2 of vectors.
    dim : int or (int, int), optional
        One axis is for vectors, two are for matrices. Without it all elements are one vector, or,
        where there is an `ord`, `input` is one vector or one matrix.
    keepdim : bool
        Leave the axes with length 1.
    dtype : dtype, optional
        What the elements are cast to first.

    Returns
    -------
    Tensor
        Without the axes `dim`.

    Raises
    ------
    RuntimeError
        If `dim` has more than two axes, or does not go with `ord`.

    Examples
    --------
    >>> tl.linalg.norm(tl.tensor([3.0, 4.0]))
    tensor(5.)
    """
    name = "linalg.norm"
    input = _cast(name, input, dtype)
    ndim = len(input.shape)
    axes = None if dim is None else (tuple(dim) if isinstance(dim, (tuple, list)) else (dim,))
    if axes is not None and len(axes) not in (1, 2):
        raise RuntimeError(f"{name}: dim={dim} has to name one axis or two")
    if ord is None:
        return norm_of(input, ord=2.0, axis=axes, keepdims=keepdim)
    if axes is None and ndim not in (1, 2):
        raise RuntimeError(f"{name}: ord={ord!r} of shape {tuple(input.shape)} needs dim")
    if (ndim if axes is None else len(axes)) == 2:
        return matrix_norm(input, ord, (-2, -1) if axes is None else axes, keepdim)
    if isinstance(ord, str):
        raise RuntimeError(f"{name}: ord={ord!r} is for matrices: two axes")
    return norm_of(input, ord=float(ord), axis=axes, keepdims=keepdim)


@also_called(A="input")
def cond(input: Tensor, p: float | str | None = None) -> Tensor:
    """Condition number of matrices: the norm of each times that of its inverse.

    Parameters
    ----------
    input : Tensor, shape (..., m, n)
        Square, unless `p` is 2 or -2.
    p : see `matrix_norm`
        By default 2. Of a singular matrix the number is infinite.

    Returns
    -------
    Tensor, shape (...)

    Examples
    --------
    >>> tl.linalg.cond(tl.tensor([[2.0, 0.0], [0.0, 4.0]]))
    tensor(2.)
    """
    check_matrices("linalg.cond", input, square=p not in (None, 2, -2))
    if p in (None, 2, -2):
        s = svdvals(input)
        return s[..., -1] / s[..., 0] if p == -2 else s[..., 0] / s[..., -1]
    size = matrix_norm(input, p)
    try:
        return size * matrix_norm(inv(input), p)
    except LinAlgError:  # one of several may be: those have a determinant of 0
        singular = decompositions.det(input.detach()) == 0
        one = eye(input.shape[-1], dtype=input.dtype, device=input.device)
        regular = inv(where(singular[..., None, None], one, input))
        return where(singular, math.inf, size * matrix_norm(regular, p))


# --- determinants -------------------------------------------------------------------------------


def det(A: Tensor) -> Tensor:
    """Determinant of square matrices, shape (..., n, n) → (...).

    Parameters
    ----------
    A : Tensor, shape (..., n, n)

    Returns
    -------
    Tensor, shape (...)

    Examples
    --------
    >>> tl.det(tl.tensor([[4.0, 1.0], [1.0, 3.0]]))
    tensor(11.)
    """
    check_matrices("linalg.det", A, square=True)
    return decompositions.det(A)


def slogdet(A: Tensor) -> Any:
    """Sign of the determinant of square matrices, and the logarithm of its absolute value.

    Parameters
    ----------
    A : Tensor, shape (..., n, n)

    Returns
    -------
    (sign, logabsdet)
        Shapes (...). The sign has no gradient.

    Examples
    --------
    >>> tl.linalg.slogdet(tl.tensor([[2.0, 0.0], [0.0, -4.0]])).sign
    tensor(-1.)
    """
    check_matrices("linalg.slogdet", A, square=True)
    return return_types.linalg_slogdet(*decompositions.slogdet(A))


def logdet(input: Tensor) -> Tensor:
    """Logarithm of the determinant of square matrices: -inf where it is 0, NaN below.

    Parameters
    ----------
    input : Tensor, shape (..., n, n)

    Returns
    -------
    Tensor, shape (...)

    Examples
    --------
    >>> tl.logdet(tl.tensor([[4.0, 1.0], [1.0, 3.0]]))
    tensor(2.3978953)
    """
    check_matrices("logdet", input, square=True)
    sign, size = decompositions.slogdet(input)
    return where(sign.detach() < 0, math.nan, size)


# --- others -------------------------------------------------------------------------------------


def diagonal(A: Tensor, *, offset: int = 0, dim1: int = -2, dim2: int = -1) -> Tensor:
    """Take the `offset`-th diagonal of matrices; it becomes the last axis, and shares memory.

    Parameters
    ----------
    A : Tensor, shape (..., n, m)
    offset : int
        0 is the main diagonal, positive numbers are above it.
    dim1, dim2 : int
        The axes of the matrices.

    Returns
    -------
    Tensor, shape (..., k)

    Examples
    --------
    >>> tl.linalg.diagonal(tl.tensor([[1, 2], [3, 4]]))
    tensor([1, 4])
    """
    return diagonal_of(A, offset, dim1, dim2)


def vander(x: Tensor, N: int | None = None) -> Tensor:
    """Powers 0 to N - 1 (by default as many as elements) of each element, along a new last axis.

    Parameters
    ----------
    x : Tensor, shape (..., n)
    N : int, optional
        Above 1.

    Returns
    -------
    Tensor, shape (..., n, N)

    Raises
    ------
    RuntimeError
        If `N` is not above 1.

    Examples
    --------
    >>> tl.linalg.vander(tl.tensor([2.0, 3.0]), 3)
    tensor([[1., 2., 4.],
            [1., 3., 9.]])
    """
    if not x.shape:
        x = reshape(x, (1,))
    n = x.shape[-1] if N is None else N
    if n <= 1:
        raise RuntimeError(f"linalg.vander: N={n} has to be greater than 1")
    ones = broadcast_to((x * 0 + 1)[..., None], (*x.shape, 1))
    powers = cumprod(broadcast_to(x[..., None], (*x.shape, n - 1)), -1)
    return concat_arrays(ones, powers, axis=-1)


# Of the exponential's series, by fours: 1 / (4 i + j)!
_SERIES = [[1 / math.factorial(4 * i + j) for j in range(4)] for i in range(5)]


@also_called(A="input")
def matrix_exp(input: Tensor) -> Tensor:
    """Exponential of square matrices, shape (..., n, n).

    The matrix is halved until its norm is below 1/2, the series is summed there, and the result
    squared as often (Moler and Van Loan, "Nineteen dubious ways to compute the exponential of a
    matrix", 2003, method 3).

    Parameters
    ----------
    input : Tensor, shape (..., n, n)

    Returns
    -------
    Tensor, shape (..., n, n)

    Examples
    --------
    >>> tl.matrix_exp(tl.zeros(2, 2))
    tensor([[1., 0.],
            [0., 1.]])
    """
    check_matrices("linalg.matrix_exp", input, square=True)
    if 0 in input.shape:
        return input * 1
    columns = amax(norm_of(input.detach(), ord=1.0, axis=-2), -1)
    size = np.asarray(columns.cpu().double().numpy())
    if not np.isfinite(size).all():
        return input * math.nan
    halvings = np.asarray(np.maximum(np.ceil(np.log2(np.maximum(size, 1e-300))) + 1, 0))
    x = input * tensor(np.asarray(0.5**halvings), input.dtype, input.device)[..., None, None]
    y = _series(x, eye(input.shape[-1], dtype=input.dtype, device=input.device))
    for i in range(int(halvings.max())):
        more = np.asarray(halvings > i)
        squared = matmul(y, y)
        left = None if more.all() else tensor(more, device=input.device)[..., None, None]
        y = squared if left is None else where(left, squared, y)
    return y


def _series(x: Tensor, one: Tensor) -> Tensor:
    """The exponential's series up to the 19th power, in seven products."""
    x2 = matmul(x, x)
    x3, x4 = matmul(x2, x), matmul(x2, x2)
    y: Any = None
    for c0, c1, c2, c3 in reversed(_SERIES):
        part = one * c0 + x * c1 + x2 * c2 + x3 * c3
        y = part if y is None else part + matmul(x4, y)
    return y
