"""Linear algebra under its names at the top of torch; `tensorlite.linalg` has the newer ones."""

from __future__ import annotations

from typing import Any

import numpy as np

from tensorlite import return_types
from tensorlite.backend import array_backend
from tensorlite.ops import decompositions
from tensorlite.ops.matrix import factors, norms, solvers
from tensorlite.ops.matrix.checks import check_matrices, check_one_dtype
from tensorlite.ops.matrix.norms import det, logdet, matrix_exp
from tensorlite.ops.matrix.solvers import cholesky_inverse, cholesky_solve
from tensorlite.tensor import Tensor, tensor_of

__all__ = [
    "cholesky",
    "cholesky_inverse",
    "cholesky_solve",
    "det",
    "inverse",
    "logdet",
    "lu",
    "lu_solve",
    "lu_unpack",
    "matrix_exp",
    "pinverse",
    "qr",
    "slogdet",
    "svd",
    "triangular_solve",
]


def cholesky(input: Tensor, upper: bool = False) -> Tensor:
    """Triangular factor of symmetric positive definite matrices; see `linalg.cholesky`.

    Parameters
    ----------
    input : Tensor, shape (..., n, n)
    upper : bool
        Return the upper factor.

    Returns
    -------
    Tensor, shape (..., n, n)

    Examples
    --------
    >>> tl.cholesky(tl.tensor([[4.0, 2.0], [2.0, 5.0]]))
    tensor([[2., 0.],
            [1., 2.]])
    """
    return factors.cholesky(input, upper=upper)


def inverse(input: Tensor) -> Tensor:
    """Inverse of square matrices, shape (..., n, n); see `linalg.inv`.

    Parameters
    ----------
    input : Tensor, shape (..., n, n)

    Returns
    -------
    Tensor, shape (..., n, n)

    Examples
    --------
    >>> tl.inverse(tl.tensor([[2.0, 0.0], [0.0, 4.0]]))
    tensor([[0.5 , 0.  ],
            [0.  , 0.25]])
    """
    return solvers.inv(input)


def pinverse(input: Tensor, rcond: float = 1e-15) -> Tensor:
    """Pseudoinverse of matrices; see `linalg.pinv`.

    Parameters
    ----------
    input : Tensor, shape (..., m, n)
    rcond : float
        Singular values below it times the largest count as 0.

    Returns
    -------
    Tensor, shape (..., n, m)

    Examples
    --------
    >>> tl.pinverse(tl.tensor([[2.0, 0.0], [0.0, 0.0]]))
    tensor([[0.5, 0. ],
            [0. , 0. ]])
    """
    return solvers.pinv(input, rtol=rcond)


def slogdet(input: Tensor) -> Any:
    """Sign and logarithm of the determinant of square matrices; see `linalg.slogdet`.

    Parameters
    ----------
    input : Tensor, shape (..., n, n)

    Returns
    -------
    sign, logabsdet : Tensor, shape (...)

    Examples
    --------
    >>> tl.slogdet(tl.eye(2))
    slogdet(sign=tensor(1.), logabsdet=tensor(0.))
    """
    return return_types.slogdet(*norms.slogdet(input))


def qr(input: Tensor, some: bool = True) -> Any:
    """Orthonormal and triangular factor of matrices; see `linalg.qr`.

    `some` is the mode "reduced", otherwise "complete".

    Parameters
    ----------
    input : Tensor, shape (..., m, n)
    some : bool
        As below.

    Returns
    -------
    Q, R : Tensor, shapes (..., m, k) and (..., k, n)

    Examples
    --------
    >>> tl.qr(tl.eye(2)).R.shape
    (2, 2)
    """
    return return_types.qr(*factors.qr(input, "reduced" if some else "complete"))


def svd(input: Tensor, some: bool = True, compute_uv: bool = True) -> Any:
    """Singular value decomposition, ``input = U @ diag(S) @ V.mT``; see `linalg.svd`.

    Parameters
    ----------
    input : Tensor, shape (..., m, n)
    some : bool
        U (..., m, k) and V (..., n, k) with k = min(m, n); otherwise both are square.
    compute_uv : bool
        Otherwise U and V are zeros.

    Returns
    -------
    (U, S, V)
        V, and not as in `linalg.svd` its transpose.

    Examples
    --------
    >>> tl.svd(tl.tensor([[3.0, 0.0], [0.0, 2.0]])).S
    tensor([3., 2.])
    """
    u, s, vh = factors.svd(input, full_matrices=not some)
    if not compute_uv:
        m, n = input.shape[-2:]
        zeros = array_backend((input.array,)).xp.zeros
        u, v = (tensor_of(zeros((*input.shape[:-2], k, k), input.dtype)) for k in (m, n))
        return return_types.svd(u, s, v)
    return return_types.svd(u, s, vh.mT)


def lu(A: Tensor, pivot: bool = True, get_infos: bool = False, out: None = None) -> Any:
    """Packed triangular factors and pivots of matrices; see `linalg.lu_factor`.

    With `get_infos` there is a third result, `info`, see `linalg.lu_factor_ex`.

    Parameters
    ----------
    A : Tensor, shape (..., m, n)
    pivot : bool
        Whether rows may be exchanged.
    get_infos : bool
        As above.
    out : None
        Taken as torch takes it; only None.

    Returns
    -------
    LU, pivots : Tensor
        Of shapes (..., m, n) and (..., min(m, n)).

    Raises
    ------
    TypeError
        If `out` is given.

    Examples
    --------
    >>> LU, pivots = tl.lu(tl.tensor([[4.0, 3.0], [6.0, 3.0]]))
    >>> pivots
    tensor([2, 2], dtype=int32)
    """
    if out is not None:
        raise TypeError("lu: out= is not supported: results are new Tensors")
    factor, pivots, info = factors.lu_factor_ex(A, pivot=pivot)
    return return_types.lu(factor, pivots, info) if get_infos else (factor, pivots)


def lu_solve(input: Tensor, LU_data: Tensor, LU_pivots: Tensor) -> Tensor:
    """Solve ``A @ X = input`` with the packed factors of A; see `linalg.lu_solve`.

    Parameters
    ----------
    input : Tensor, shape (..., n, k)
    LU_data, LU_pivots : Tensor, shapes (..., n, n) and (..., n)
        What `lu` returned.

    Returns
    -------
    Tensor, shape (..., n, k)

    Examples
    --------
    >>> tl.lu_solve(tl.tensor([[2.0], [4.0]]), *tl.lu(tl.tensor([[2.0, 0.0], [0.0, 4.0]])))
    tensor([[1.],
            [1.]])
    """
    return solvers.lu_solve(LU_data, LU_pivots, input)


def lu_unpack(
    LU_data: Tensor, LU_pivots: Tensor, unpack_data: bool = True, unpack_pivots: bool = True
) -> Any:
    """Take apart what `linalg.lu_factor` made.

    Parameters
    ----------
    LU_data, LU_pivots : Tensor, shapes (..., m, n) and (..., min(m, n))
        What `lu` returned.
    unpack_data, unpack_pivots : bool
        As below.

    Returns
    -------
    (P, L, U)
        See `linalg.lu`. Without `unpack_data` L and U are empty, without `unpack_pivots` P is.

    Raises
    ------
    RuntimeError
        If the pivots are not int32.

    Examples
    --------
    >>> P, L, U = tl.lu_unpack(*tl.lu(tl.tensor([[2.0, 0.0], [0.0, 4.0]])))
    >>> U
    tensor([[2., 0.],
            [0., 4.]])
    """
    check_matrices("lu_unpack", LU_data)
    if LU_pivots.dtype != np.int32:
        raise RuntimeError(f"lu_unpack: the pivots have to be int32, not {LU_pivots.dtype}")
    p, lower, upper = factors.unpacked(LU_data, LU_pivots)
    empty = tensor_of(array_backend((LU_data.array,)).xp.zeros(0, LU_data.dtype))
    if not unpack_data:
        lower = upper = empty
    return return_types.lu_unpack(p if unpack_pivots else empty, lower, upper)


def triangular_solve(
    input: Tensor,
    A: Tensor,
    upper: bool = True,
    transpose: bool = False,
    unitriangular: bool = False,
) -> Any:
    """Solve ``A @ X = input`` with triangular matrices; see `linalg.solve_triangular`.

    Parameters
    ----------
    input : Tensor, shape (..., n, k)
    A : Tensor, shape (..., n, n)
    upper, transpose, unitriangular : bool
        Whether `A` is the upper triangle, is transposed first, has ones on its diagonal.

    Returns
    -------
    (solution, cloned_coefficient)
        The latter is a copy of `A`.

    Examples
    --------
    >>> tl.triangular_solve(tl.tensor([[2.0], [4.0]]), tl.tensor([[2.0, 0.0], [0.0, 4.0]])).solution
    tensor([[1.],
            [1.]])
    """
    check_matrices("triangular_solve", A, square=True)
    check_one_dtype("triangular_solve", input, A)
    triangle = solvers.triangular(A, upper, unitriangular)
    solution = decompositions.solve(triangle.mT if transpose else triangle, input)
    return return_types.triangular_solve(solution, A * 1)
