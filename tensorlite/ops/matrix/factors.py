"""Decompositions of matrices, under their names in ``torch.linalg``."""

from __future__ import annotations

from typing import Any, NoReturn

import numpy as np

from tensorlite import return_types
from tensorlite.backend import array_backend
from tensorlite.ops import decompositions
from tensorlite.ops import elimination as packed
from tensorlite.ops.decompositions import LinAlgError
from tensorlite.ops.diagonals import triu
from tensorlite.ops.matrix.checks import also_called, check_matrices
from tensorlite.primitive import primitive
from tensorlite.tensor import Tensor, tensor_of

# --- Cholesky -----------------------------------------------------------------------------------


@also_called(A="input")
def cholesky(input: Tensor, *, upper: bool = False) -> Tensor:
    """Triangular factor of symmetric positive definite matrices, ``L @ L.mT = input``.

    Parameters
    ----------
    input : Tensor, shape (..., n, n)
        Only one triangle is read. The gradient is symmetric.
    upper : bool
        Read the upper triangle, and return ``L.mT``.

    Returns
    -------
    Tensor, shape (..., n, n)

    Raises
    ------
    LinAlgError
        If a matrix is not positive definite.

    Examples
    --------
    >>> tl.linalg.cholesky(tl.tensor([[4.0, 2.0], [2.0, 5.0]]))
    tensor([[2., 0.],
            [1., 2.]])
    """
    check_matrices("linalg.cholesky", input, square=True)
    return decompositions.cholesky(input.mT).mT if upper else decompositions.cholesky(input)


@also_called(A="input")
def cholesky_ex(input: Tensor, *, upper: bool = False, check_errors: bool = False) -> Any:
    """`cholesky` that says where it fails instead of raising.

    Parameters
    ----------
    input : Tensor, shape (..., n, n)
    upper : bool
        As of `cholesky`.
    check_errors : bool
        Raise after all.

    Returns
    -------
    (L, info)
        `info` (int32) is 0, or for a matrix that is not positive definite the order of the first
        leading minor that is not; its L is NaN then, and has no gradient.

    Examples
    --------
    >>> tl.linalg.cholesky_ex(tl.tensor([[1.0, 2.0], [2.0, 1.0]])).info
    tensor(2, dtype=int32)
    """
    check_matrices("linalg.cholesky_ex", input, square=True)
    try:
        factor = cholesky(input, upper=upper)
        info = _zeros_int32(input)
    except LinAlgError:
        if check_errors:
            raise
        factor, info = _partial_cholesky(input.mT if upper else input)
        factor = factor.mT if upper else factor
    return return_types.linalg_cholesky_ex(factor, info)


def _zeros_int32(A: Tensor) -> Tensor:
    """A 0 for each matrix."""
    return tensor_of(array_backend((A.array,)).xp.zeros(A.shape[:-2], "int32"))


def _partial_cholesky(A: Tensor) -> tuple[Tensor, Tensor]:
    """Factors where there are some, and the order of the first minor that is not positive."""
    xp, n = array_backend((A.array,)).xp, A.shape[-1]
    flat = A.array.reshape(-1, n, n)
    factors, info = xp.full_like(flat, np.nan), np.zeros(len(flat), np.int32)
    for i, a in enumerate(flat):
        good, bad = 0, n + 1  # orders of minors that are, and are not, positive definite
        while bad - good > 1:
            order = (good + bad) // 2
            try:
                xp.linalg.cholesky(a[:order, :order])
                good = order
            except np.linalg.LinAlgError:
                bad = order
        info[i] = bad if bad <= n else 0
        if good == n:
            factors[i] = xp.linalg.cholesky(a)
    shape = A.shape[:-2]
    return tensor_of(factors.reshape(A.shape)), tensor_of(xp.asarray(info).reshape(shape))


# --- orthogonal factors -------------------------------------------------------------------------


def qr(A: Tensor, mode: str = "reduced") -> Any:
    """Factor ``A = Q @ R``, R upper triangular and the columns of Q orthonormal.

    Parameters
    ----------
    A : Tensor, shape (..., m, n)
    mode : "reduced", "complete" or "r"
        With k = min(m, n): Q (..., m, k) and R (..., k, n); Q (..., m, m) and R (..., m, n); or an
        empty Q and the R of "reduced", which has no gradient then.

    Returns
    -------
    (Q, R)

    Raises
    ------
    RuntimeError
        If there is no such `mode`.

    Examples
    --------
    >>> Q, R = tl.linalg.qr(tl.tensor([[3.0, 0.0], [4.0, 5.0]]))
    >>> Q.shape, R.shape
    ((2, 2), (2, 2))
    """
    if mode not in ("reduced", "complete", "r"):
        raise RuntimeError(f"linalg.qr: mode={mode!r}; use 'reduced', 'complete' or 'r'")
    check_matrices("linalg.qr", A)
    if mode == "r":
        empty = tensor_of(array_backend((A.array,)).xp.zeros(0, A.dtype))
        return return_types.linalg_qr(empty, upper_factor(A))
    return return_types.linalg_qr(*decompositions.qr(A, complete=mode == "complete"))


@primitive(name="qr")
def upper_factor(xp: Any, a: Any) -> Any:
    """R of the decomposition alone."""
    return decompositions.qr.primitive.reference(xp, a)[1]


def _upper_factor_vjp(g: Any) -> NoReturn:
    raise RuntimeError("qr: mode='r' has no gradient, which needs Q: use mode='reduced'")


upper_factor.defvjp(a=_upper_factor_vjp)


def svd(A: Tensor, full_matrices: bool = True, *, driver: str | None = None) -> Any:
    """Singular value decomposition, ``A = U @ diag(S) @ Vh``.

    Parameters
    ----------
    A : Tensor, shape (..., m, n)
    full_matrices : bool
        U (..., m, m) and Vh (..., n, n); otherwise U (..., m, k) and Vh (..., k, n) with
        k = min(m, n). What is added for square ones is not determined, and has no gradient.
    driver : None
        There is no choice.

    Returns
    -------
    (U, S, Vh)
        S (..., k) descends. Of U and Vh only what does not depend on signs has a meaning.

    Raises
    ------
    RuntimeError
        If a `driver` is given.
    LinAlgError
        If the decomposition does not converge.

    Examples
    --------
    >>> tl.linalg.svd(tl.tensor([[3.0, 0.0], [0.0, 2.0]])).S
    tensor([3., 2.])
    """
    _check_driver("linalg.svd", driver)
    check_matrices("linalg.svd", A)
    return return_types.linalg_svd(*decompositions.svd(A, full_matrices=full_matrices))


def svdvals(A: Tensor, *, driver: str | None = None) -> Tensor:
    """Singular values of matrices (..., m, n), descending, shape (..., min(m, n)).

    Parameters
    ----------
    A : Tensor, shape (..., m, n)
    driver : None
        There is no choice.

    Returns
    -------
    Tensor, shape (..., min(m, n))

    Raises
    ------
    RuntimeError
        If a `driver` is given.

    Examples
    --------
    >>> tl.linalg.svdvals(tl.tensor([[3.0, 0.0], [0.0, 2.0]]))
    tensor([3., 2.])
    """
    _check_driver("linalg.svdvals", driver)
    check_matrices("linalg.svdvals", A)
    return decompositions.svd(A)[1]


def _check_driver(name: str, driver: str | None) -> None:
    if driver is not None:
        raise RuntimeError(f"{name}: driver={driver!r}: there is no choice, leave it out")


@also_called(A="input")
def eigh(input: Tensor, UPLO: str = "L") -> Any:
    """Eigenvalues, ascending, and orthonormal eigenvectors of symmetric matrices.

    Parameters
    ----------
    input : Tensor, shape (..., n, n)
    UPLO : "L" or "U"
        The triangle that is read.

    Returns
    -------
    (eigenvalues, eigenvectors)
        Shapes (..., n) and (..., n, n), the vectors in the columns.

    Raises
    ------
    RuntimeError
        If `UPLO` is something else.
    LinAlgError
        If the decomposition does not converge.

    Examples
    --------
    >>> tl.linalg.eigh(tl.tensor([[2.0, 1.0], [1.0, 2.0]])).eigenvalues
    tensor([1., 3.])
    """
    if UPLO.upper() not in ("L", "U"):
        raise RuntimeError(f"linalg.eigh: UPLO={UPLO!r}; use 'L' or 'U'")
    check_matrices("linalg.eigh", input, square=True)
    read = input if UPLO.upper() == "L" else input.mT
    return return_types.linalg_eigh(*decompositions.eigh(read))


@also_called(A="input")
def eigvalsh(input: Tensor, UPLO: str = "L") -> Tensor:
    """Eigenvalues, ascending, of symmetric matrices; see `eigh`.

    Parameters
    ----------
    input : Tensor, shape (..., n, n)
    UPLO : "L" or "U"
        The triangle that is read.

    Returns
    -------
    Tensor, shape (..., n)

    Examples
    --------
    >>> tl.linalg.eigvalsh(tl.tensor([[2.0, 1.0], [1.0, 2.0]]))
    tensor([1., 3.])
    """
    return eigh(input, UPLO).eigenvalues


def eig(A: Tensor) -> NoReturn:
    """Not there: eigenvalues of a matrix that is not symmetric are complex numbers.

    Parameters
    ----------
    A : Tensor, shape (..., n, n)

    Raises
    ------
    NotImplementedError
        Always.

    Examples
    --------
    >>> try:
    ...     tl.linalg.eig(tl.eye(2))
    ... except NotImplementedError:
    ...     print(tl.linalg.eigh(tl.eye(2)).eigenvalues)
    tensor([1., 1.])
    """
    raise NotImplementedError(
        "linalg.eig: the eigenvalues of such matrices are complex, and Tensors hold real numbers; "
        "use linalg.eigh of symmetric matrices, or numpy.linalg.eig(A.numpy())"
    )


def eigvals(A: Tensor) -> NoReturn:
    """Not there: eigenvalues of a matrix that is not symmetric are complex numbers.

    Parameters
    ----------
    A : Tensor, shape (..., n, n)

    Raises
    ------
    NotImplementedError
        Always.

    Examples
    --------
    >>> try:
    ...     tl.linalg.eigvals(tl.eye(2))
    ... except NotImplementedError:
    ...     print(tl.linalg.eigvalsh(tl.eye(2)))
    tensor([1., 1.])
    """
    eig(A)


# --- triangular factors -------------------------------------------------------------------------


def lu_factor(A: Tensor, *, pivot: bool = True) -> Any:
    """Factor ``A = P @ L @ U``, packed into one matrix; see `lu`, and `lu_solve` for its use.

    Parameters
    ----------
    A : Tensor, shape (..., m, n)
    pivot : bool
        Whether rows may be exchanged.

    Returns
    -------
    (LU, pivots)
        U, and below its diagonal L without its ones; row i was exchanged with row
        ``pivots[i] - 1``, one after another.

    Examples
    --------
    >>> LU, pivots = tl.linalg.lu_factor(tl.tensor([[2.0, 1.0], [4.0, 1.0]]))
    >>> pivots
    tensor([2, 2], dtype=int32)
    """
    return return_types.linalg_lu_factor(*_packed("linalg.lu_factor", A, pivot))


def lu_factor_ex(A: Tensor, *, pivot: bool = True, check_errors: bool = False) -> Any:
    """`lu_factor`, and `info`: 0, or the place of the first 0 on the diagonal of U, from 1.

    Parameters
    ----------
    A : Tensor, shape (..., m, n)
    pivot : bool
        Whether rows may be exchanged.
    check_errors : bool
        Raise where `info` is not 0.

    Returns
    -------
    LU, pivots, info : Tensor
        Of shapes (..., m, n), (..., k) and (...).

    Raises
    ------
    LinAlgError
        If U has a 0 on its diagonal, with `check_errors`.

    Examples
    --------
    >>> tl.linalg.lu_factor_ex(tl.zeros(2, 2)).info
    tensor(1, dtype=int32)
    """
    factor, pivots = _packed("linalg.lu_factor_ex", A, pivot)
    zero = array_backend((A.array,)).xp.diagonal(factor.array, 0, -2, -1) == 0
    found = zero.any(-1) if zero.shape[-1] else _zeros_int32(A).array
    info = ((zero.argmax(-1) + 1) * found).astype("int32") if zero.shape[-1] else found
    if check_errors and info.any():
        raise LinAlgError(f"linalg.lu_factor_ex: U has a 0 on its diagonal, info={info.tolist()}")
    return return_types.linalg_lu_factor_ex(factor, pivots, tensor_of(info))


def lu(A: Tensor, *, pivot: bool = True) -> Any:
    """Factor ``A = P @ L @ U``: a permutation, a unit lower and an upper triangular matrix.

    Parameters
    ----------
    A : Tensor, shape (..., m, n)
    pivot : bool
        Exchange rows, so that each step divides by the largest element there is. Without it P is
        empty, and the result exact only where no division is by a small number.

    Returns
    -------
    (P, L, U)
        Shapes (..., m, m), (..., m, k) and (..., k, n) with k = min(m, n).

    Examples
    --------
    >>> P, L, U = tl.linalg.lu(tl.tensor([[2.0, 1.0], [4.0, 1.0]]))
    >>> U
    tensor([[4. , 1. ],
            [0. , 0.5]])
    """
    factor, pivots = _packed("linalg.lu", A, pivot)
    p, lower, upper = unpacked(factor, pivots)
    if not pivot:
        p = tensor_of(array_backend((A.array,)).xp.zeros(0, A.dtype))
    return return_types.linalg_lu(p, lower, upper)


def _packed(name: str, A: Tensor, pivot: bool) -> tuple[Tensor, Tensor]:
    check_matrices(name, A)
    return packed.lu_packed(A, pivot=pivot)


def unpacked(factor: Tensor, pivots: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """P, L and U of a packed factor."""
    m, n = factor.shape[-2:]
    k = min(m, n)
    p = packed.permutation(pivots, n=m, dtype=factor.dtype)
    return p, packed.unit_lower(factor[..., :k]), triu(factor[..., :k, :])
