"""Inverses and solutions of linear equations, under their names in ``torch.linalg``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tensorlite import return_types
from tensorlite.backend import array_backend
from tensorlite.backend.dims import one_dim
from tensorlite.ops import decompositions
from tensorlite.ops import elimination as packed
from tensorlite.ops.axes import movedim
from tensorlite.ops.creation import eye
from tensorlite.ops.decompositions import LinAlgError
from tensorlite.ops.diagonals import tril, triu
from tensorlite.ops.linalg import matmul
from tensorlite.ops.matrix.checks import also_called, check_floats, check_matrices, check_one_dtype
from tensorlite.ops.matrix.factors import svdvals
from tensorlite.ops.reduce import sum as sum_
from tensorlite.ops.shape import broadcast_to, reshape
from tensorlite.tensor import Tensor, tensor_of

# --- inverses -----------------------------------------------------------------------------------


def inv(A: Tensor) -> Tensor:
    """Inverse of square matrices, shape (..., n, n).

    Parameters
    ----------
    A : Tensor, shape (..., n, n)

    Returns
    -------
    Tensor, shape (..., n, n)

    Raises
    ------
    LinAlgError
        If a matrix is singular.

    Examples
    --------
    >>> tl.linalg.inv(tl.tensor([[2.0, 0.0], [0.0, 4.0]]))
    tensor([[0.5 , 0.  ],
            [0.  , 0.25]])
    """
    check_matrices("linalg.inv", A, square=True)
    return decompositions.inv(A)


def inv_ex(A: Tensor, *, check_errors: bool = False) -> Any:
    """`inv` that says where it fails instead of raising.

    Parameters
    ----------
    A : Tensor, shape (..., n, n)
    check_errors : bool
        Raise after all.

    Returns
    -------
    (inverse, info)
        `info` (int32) is 0, or for a singular matrix the place of the first 0 among its pivots,
        from 1; if there is one, no inverse is computed: they are NaN.

    Examples
    --------
    >>> tl.linalg.inv_ex(tl.zeros(2, 2)).info
    tensor(1, dtype=int32)
    """
    check_matrices("linalg.inv_ex", A, square=True)
    result, info = _or_info(lambda: decompositions.inv(A), A, A, check_errors)
    return return_types.linalg_inv_ex(result, info)


def _or_info(compute: Any, A: Tensor, like: Tensor, check_errors: bool) -> tuple[Tensor, Tensor]:
    """A result and zeros, or NaN and where the matrices are singular."""
    xp = array_backend((A.array,)).xp
    try:
        return compute(), tensor_of(xp.zeros(A.shape[:-2], "int32"))
    except LinAlgError:
        if check_errors:
            raise
    factor = packed.lu_packed(A.detach())[0].array
    zero = xp.diagonal(factor, 0, -2, -1) == 0
    info = ((zero.argmax(-1) + 1) * zero.any(-1)).astype("int32")
    return tensor_of(xp.full(like.shape, np.nan, A.dtype)), tensor_of(info)


@also_called(A="input")
def pinv(
    input: Tensor, rcond: Any = None, hermitian: bool = False, *, atol: Any = None, rtol: Any = None
) -> Tensor:
    """Pseudoinverse of matrices, shape (..., m, n) → (..., n, m), by singular values.

    Parameters
    ----------
    input : Tensor
    rcond
        Another name of `rtol`.
    hermitian : bool
        The matrices are symmetric, of which the lower triangle is read.
    atol, rtol : float or Tensor, optional
        Singular values up to ``max(atol, rtol * the largest)`` count as 0. Without either, `rtol`
        is ``max(m, n)`` times the dtype's epsilon.

    Returns
    -------
    Tensor, shape (..., n, m)

    Examples
    --------
    >>> tl.linalg.pinv(tl.tensor([[2.0, 0.0], [0.0, 0.0]]))
    tensor([[0.5, 0. ],
            [0. , 0. ]])
    """
    check_matrices("linalg.pinv", input, square=hermitian)
    atol, rtol = _tolerances(input, atol, rcond if rtol is None else rtol)
    return decompositions.pinv(input, atol, rtol, hermitian=hermitian)


def _tolerances(A: Tensor, atol: Any, rtol: Any) -> tuple[Any, Any]:
    if rtol is None:
        none = atol is None or (not isinstance(atol, Tensor) and atol == 0)
        rtol = float(np.finfo(_numpy_float(A)).eps) * max(A.shape[-2:]) if none else 0.0
        if isinstance(atol, Tensor):  # where it is 0 the default holds
            usual = float(np.finfo(_numpy_float(A)).eps) * max(A.shape[-2:])
            rtol = (atol.detach() == 0).to(A.dtype) * usual
    return (0.0 if atol is None else _detached(atol)), _detached(rtol)


def _detached(x: Any) -> Any:
    return x.detach() if isinstance(x, Tensor) else x


def _numpy_float(A: Tensor) -> Any:
    return A.dtype if A.dtype.kind == "f" else np.float32


@also_called(A="input")
def matrix_rank(
    input: Tensor, tol: Any = None, hermitian: bool = False, *, atol: Any = None, rtol: Any = None
) -> Tensor:
    """How many singular values of matrices (..., m, n) are not 0: int64, shape (...).

    Parameters
    ----------
    input : Tensor
    tol : float or Tensor, optional
        The same as `atol`, with `rtol` 0.
    hermitian : bool
        The matrices are symmetric, of which the lower triangle is read.
    atol, rtol : float or Tensor, optional
        Singular values up to ``max(atol, rtol * the largest)`` count as 0. Without either, `rtol`
        is ``max(m, n)`` times the dtype's epsilon.

    Returns
    -------
    Tensor of int64, shape (...)

    Examples
    --------
    >>> tl.linalg.matrix_rank(tl.tensor([[1.0, 2.0], [2.0, 4.0]]))
    tensor(1)
    """
    check_matrices("linalg.matrix_rank", input, square=hermitian)
    input = input.detach()
    if tol is not None:
        atol, rtol = tol, 0.0
    atol, rtol = _tolerances(input, atol, rtol)
    values = abs(decompositions.eigh(input)[0]) if hermitian else svdvals(input)
    if 0 in input.shape[-2:]:
        return values.sum(-1).to(np.int64)
    cut = rtol * values.amax(-1)
    cut = cut.clamp(min=atol) if not isinstance(atol, Tensor) else cut.maximum(atol)
    return (values > cut[..., None]).sum(-1)


# --- equations ----------------------------------------------------------------------------------


def solve(A: Tensor, B: Tensor, *, left: bool = True) -> Tensor:
    """Solve ``A @ X = B``, or ``X @ A = B``.

    Parameters
    ----------
    A : Tensor, shape (..., n, n)
    B : Tensor, shape (n,), (..., n) or (..., n, k)
        A vector, one per matrix of `A` (if its shape is that of `A` without the last axis), or
        matrices.
    left : bool
        Whether `A` stands on the left.

    Returns
    -------
    Tensor
        Of the shape of `B`.

    Raises
    ------
    LinAlgError
        If a matrix is singular.

    Examples
    --------
    >>> tl.linalg.solve(tl.tensor([[2.0, 0.0], [0.0, 4.0]]), tl.tensor([2.0, 8.0]))
    tensor([1., 2.])
    """
    check_matrices("linalg.solve", A, square=True)
    return _solved("linalg.solve", A, B, left)


def _solved(name: str, A: Tensor, B: Tensor, left: bool) -> Tensor:
    check_one_dtype(name, A, B)
    vectors = len(B.shape) == 1 or (
        len(B.shape) == len(A.shape) - 1 and tuple(B.shape) == tuple(A.shape[:-1])
    )
    if vectors and not left:
        raise RuntimeError(f"{name}: left=False needs matrices, not B of shape {tuple(B.shape)}")
    rows = B.shape[-1] if vectors or not left else B.shape[-2]
    if rows != A.shape[-1]:
        shapes = f"A {tuple(A.shape)} and B {tuple(B.shape)}"
        raise RuntimeError(f"{name}: shapes {shapes} do not fit: A has {A.shape[-1]} rows")
    if vectors:
        return decompositions.solve(A, B[..., None])[..., 0]
    return decompositions.solve(A, B) if left else decompositions.solve(A.mT, B.mT).mT


def solve_ex(A: Tensor, B: Tensor, *, left: bool = True, check_errors: bool = False) -> Any:
    """`solve`, and `info` as `inv_ex` gives it.

    Parameters
    ----------
    A, B, left
        As of `solve`.
    check_errors : bool
        Raise after all.

    Returns
    -------
    result, info : Tensor
        Of the shapes of `B` and (...).

    Raises
    ------
    RuntimeError
        If the shapes do not fit.

    Examples
    --------
    >>> tl.linalg.solve_ex(tl.zeros(2, 2), tl.ones(2)).info
    tensor(1, dtype=int32)
    """
    check_matrices("linalg.solve_ex", A, square=True)
    result, info = _or_info(lambda: _solved("linalg.solve_ex", A, B, left), A, B, check_errors)
    return return_types.linalg_solve_ex(result, info)


@also_called(A="input")
def solve_triangular(
    input: Tensor, B: Tensor, *, upper: bool, left: bool = True, unitriangular: bool = False
) -> Tensor:
    """Solve ``input @ X = B``, or ``X @ input = B``, with triangular matrices.

    Parameters
    ----------
    input : Tensor, shape (..., n, n)
        Only its triangle is read.
    B : Tensor, shape (..., n, k), or (..., k, n) where `input` stands on the right
    upper : bool
        Which triangle.
    left : bool
        Whether `input` stands on the left.
    unitriangular : bool
        Take the diagonal for ones, whatever it is.

    Returns
    -------
    Tensor
        Of the shape of `B`.

    Raises
    ------
    RuntimeError
        If the shapes do not fit.

    Examples
    --------
    >>> A, B = tl.tensor([[2.0, 1.0], [0.0, 4.0]]), tl.tensor([[4.0], [8.0]])
    >>> tl.linalg.solve_triangular(A, B, upper=True)
    tensor([[1.],
            [2.]])
    """
    name = "linalg.solve_triangular"
    check_matrices(name, input, square=True)
    check_matrices(name, B)
    check_one_dtype(name, input, B)
    if B.shape[-2 if left else -1] != input.shape[-1]:
        shapes = f"input {tuple(input.shape)} and B {tuple(B.shape)}"
        raise RuntimeError(f"{name}: shapes {shapes} do not fit")
    triangle = triangular(input, upper, unitriangular)
    return decompositions.solve(triangle, B) if left else decompositions.solve(triangle.mT, B.mT).mT


def triangular(A: Tensor, upper: bool, unit: bool = False) -> Tensor:
    """One triangle of matrices, with ones on the diagonal if wanted."""
    if unit:
        return packed.unit_lower(A.mT).mT if upper else packed.unit_lower(A)
    return triu(A) if upper else tril(A)


def lu_solve(
    LU: Tensor, pivots: Tensor, B: Tensor, *, left: bool = True, adjoint: bool = False
) -> Tensor:
    """Solve ``A @ X = B``, or ``X @ A = B``, with what `lu_factor` made of A.

    Parameters
    ----------
    LU, pivots : Tensor
        Shapes (..., n, n) and (..., n).
    B : Tensor, shape (..., n, k), or (..., k, n) where A stands on the right
    left : bool
        Whether A stands on the left.
    adjoint : bool
        Solve with A transposed.

    Returns
    -------
    Tensor
        Of the shape of `B`.

    Raises
    ------
    RuntimeError
        If the shapes do not fit.

    Examples
    --------
    >>> LU, pivots = tl.linalg.lu_factor(tl.tensor([[2.0, 0.0], [0.0, 4.0]]))
    >>> tl.linalg.lu_solve(LU, pivots, tl.tensor([[2.0], [8.0]]))
    tensor([[1.],
            [2.]])
    """
    name = "linalg.lu_solve"
    check_matrices(name, LU, square=True)
    check_matrices(name, B)
    check_one_dtype(name, LU, B)
    if B.shape[-2 if left else -1] != LU.shape[-1]:
        shapes = f"LU {tuple(LU.shape)} and B {tuple(B.shape)}"
        raise RuntimeError(f"{name}: shapes {shapes} do not fit")
    if not left:
        return lu_solve(LU, pivots, B.mT, adjoint=not adjoint).mT
    p = packed.permutation(pivots, n=LU.shape[-1], dtype=LU.dtype)
    lower, upper = packed.unit_lower(LU), triu(LU)
    find = decompositions.solve
    if adjoint:
        return matmul(p, find(lower.mT, find(upper.mT, B)))
    return find(upper, find(lower, matmul(p.mT, B)))


@also_called(A="input", B="b")
def lstsq(
    input: Tensor, b: Tensor, rcond: float | None = None, *, driver: str | None = None
) -> Any:
    """Solutions of ``input @ X ≈ b`` with the least squares, and of those the shortest.

    Parameters
    ----------
    input : Tensor, shape (..., m, n)
    b : Tensor, shape (..., m, k) or (..., m)
    rcond : float, optional
        Singular values up to `rcond` times the largest count as 0; by default ``max(m, n)`` times
        the dtype's epsilon.
    driver : "gels", "gelsy", "gelsd" or "gelss", optional
        Which results are filled, as torch's of that name are; by default "gelsy".

    Returns
    -------
    (solution, residuals, rank, singular_values)
        `residuals` (..., k) are the squares' sums, where m > n, all matrices have full rank and the
        driver is not "gelsy"; otherwise empty. The last two are empty with "gels", and
        `singular_values` with "gelsy", too.

    Raises
    ------
    RuntimeError
        If shapes do not fit, or there is no such `driver`.

    Examples
    --------
    >>> A, b = tl.tensor([[1.0, 0.0], [1.0, 1.0], [1.0, 2.0]]), tl.tensor([[1.0], [3.0], [5.0]])
    >>> tl.linalg.lstsq(A, b).solution
    tensor([[0.9999999],
            [1.9999996]])
    """
    name = "linalg.lstsq"
    check_matrices(name, input)
    check_one_dtype(name, input, b)
    if driver not in (None, "gels", "gelsy", "gelsd", "gelss"):
        raise RuntimeError(f"{name}: driver={driver!r}: use 'gels', 'gelsy', 'gelsd' or 'gelss'")
    driver = driver or "gelsy"
    vectors = len(b.shape) == len(input.shape) - 1 and tuple(b.shape) == tuple(input.shape[:-1])
    right = b[..., None] if vectors else b
    if len(right.shape) < 2 or right.shape[-2] != input.shape[-2]:
        shapes = f"input {tuple(input.shape)} and b {tuple(b.shape)}"
        raise RuntimeError(f"{name}: shapes {shapes} do not fit")
    x = matmul(pinv(input, rtol=rcond), right)
    xp = array_backend((input.array,)).xp
    values = svdvals(input.detach())
    rank = matrix_rank(input, rtol=rcond)
    m, n = input.shape[-2:]
    residuals = tensor_of(xp.zeros(0, input.dtype))
    if m > n and driver != "gelsy" and (rank.array == n).all():
        residuals = sum_((matmul(input, x) - right).detach() ** 2, axis=-2)
    none, nothing = tensor_of(xp.zeros(0, input.dtype)), tensor_of(xp.zeros(0, "int64"))
    return return_types.linalg_lstsq(
        x[..., 0] if vectors else x,
        residuals,
        nothing if driver == "gels" else rank,
        values if driver in ("gelsd", "gelss") else none,
    )


# --- tensors taken for matrices -----------------------------------------------------------------


@also_called(A="input")
def tensorinv(input: Tensor, ind: int = 2) -> Tensor:
    """Inverse of the map that `tensordot` with input is.

    Parameters
    ----------
    input : Tensor
        As many elements in its first `ind` axes as in the others.
    ind : int
        At least 1.

    Returns
    -------
    Tensor
        Of shape ``input.shape[ind:] + input.shape[:ind]``.

    Raises
    ------
    RuntimeError
        If `ind` is below 1, or the two parts have not as many elements.

    Examples
    --------
    >>> tl.linalg.tensorinv(tl.eye(6).reshape(6, 2, 3), ind=1).shape
    (2, 3, 6)
    """
    if ind < 1:
        raise RuntimeError(f"linalg.tensorinv: ind={ind} has to be at least 1")
    check_floats("linalg.tensorinv", input)
    first, rest = tuple(input.shape[:ind]), tuple(input.shape[ind:])
    n, m = (int(np.prod(s, dtype=np.int64)) for s in (first, rest))
    if n != m:
        raise RuntimeError(f"linalg.tensorinv: {first} and {rest} have not as many elements")
    return reshape(inv(reshape(input, (n, n))), rest + first)


@also_called(A="input", B="other")
def tensorsolve(input: Tensor, other: Tensor, dims: Sequence[int] | None = None) -> Tensor:
    """Solve ``tensordot(input, X, X.ndim) = other``.

    Parameters
    ----------
    input : Tensor
        Of shape ``other.shape + X.shape``, once the axes `dims` are moved to its end.
    other : Tensor
    dims : sequence of int, optional

    Returns
    -------
    Tensor, shape X.shape

    Raises
    ------
    RuntimeError
        If the shapes do not fit.

    Examples
    --------
    >>> tl.linalg.tensorsolve(tl.eye(6).reshape(2, 3, 6), tl.ones(2, 3))
    tensor([1., 1., 1., 1., 1., 1.])
    """
    name = "linalg.tensorsolve"
    check_floats(name, input)
    check_one_dtype(name, input, other)
    if dims is not None:
        axes = [one_dim(d, len(input.shape), name) for d in dims]
        input = movedim(input, axes, [len(input.shape) - len(axes) + i for i in range(len(axes))])
    rest = tuple(input.shape[len(other.shape) :])
    n = int(np.prod(rest, dtype=np.int64))
    if n != other.numel() or input.numel() != n * n:
        shapes = f"input {tuple(input.shape)} and other {tuple(other.shape)}"
        raise RuntimeError(
            f"{name}: shapes {shapes} do not fit: input has to be B's map onto {rest}"
        )
    return reshape(solve(reshape(input, (n, n)), reshape(other, (n,))), rest)


# --- older names --------------------------------------------------------------------------------


@also_called(L="input2")
def cholesky_solve(input: Tensor, input2: Tensor, upper: bool = False) -> Tensor:
    """Solve ``A @ X = input`` with the Cholesky factor of A.

    Parameters
    ----------
    input : Tensor, shape (..., n, k)
    input2 : Tensor, shape (..., n, n)
    upper : bool
        Whether `input2` is the upper factor.

    Returns
    -------
    Tensor, shape (..., n, k)

    Raises
    ------
    RuntimeError
        If the shapes do not fit.

    Examples
    --------
    >>> tl.cholesky_solve(tl.tensor([[4.0], [3.0]]), tl.tensor([[2.0, 0.0], [0.0, 1.0]]))
    tensor([[1.],
            [3.]])
    """
    check_matrices("cholesky_solve", input2, square=True)
    check_matrices("cholesky_solve", input)
    check_one_dtype("cholesky_solve", input, input2)
    if input.shape[-2] != input2.shape[-1]:
        shapes = f"{tuple(input.shape)} and {tuple(input2.shape)}"
        raise RuntimeError(f"cholesky_solve: shapes {shapes} do not fit")
    lower = triangular(input2, True).mT if upper else triangular(input2, False)
    return decompositions.solve(lower.mT, decompositions.solve(lower, input))


@also_called(L="input")
def cholesky_inverse(input: Tensor, upper: bool = False) -> Tensor:
    """Inverse of A by its Cholesky factor, shape (..., n, n).

    Parameters
    ----------
    input : Tensor, shape (..., n, n)
        The factor.
    upper : bool
        Whether it is the upper one.

    Returns
    -------
    Tensor, shape (..., n, n)

    Examples
    --------
    >>> tl.cholesky_inverse(tl.tensor([[2.0, 0.0], [0.0, 1.0]]))
    tensor([[0.25, 0.  ],
            [0.  , 1.  ]])
    """
    check_matrices("cholesky_inverse", input, square=True)
    one = eye(input.shape[-1], dtype=input.dtype, device=input.device)
    return cholesky_solve(broadcast_to(one, tuple(input.shape)), input, upper)
