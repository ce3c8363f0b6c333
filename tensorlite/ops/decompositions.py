"""Determinants, inverses and decompositions of matrices, by LAPACK: the primitives.

What users call is in `ops/matrix`. They run on the CPU; on CUDA through CuPy, where cuSOLVER is
installed. Leading axes are batches. The gradients are those of Giles, "An extended collection of
matrix derivative results for forward and reverse mode algorithmic differentiation" (2008), and
Townsend, "Differentiating the singular value decomposition" (2016).

Of eigenvectors and singular vectors only what does not depend on their signs has a meaning, and
so has a gradient. Vectors of equal (singular) values are not determined at all: pairs of them
contribute nothing to a gradient, which stays finite.
"""

from __future__ import annotations

from types import ModuleType
from typing import Any

import numpy as np

from tensorlite.backend import Array, array_backend
from tensorlite.ops.compare import where
from tensorlite.ops.diagonals import tril
from tensorlite.ops.linalg import matmul
from tensorlite.ops.reduce import prod
from tensorlite.ops.shape import concat_arrays, stack_arrays, with_zeros
from tensorlite.primitive import primitive


class LinAlgError(np.linalg.LinAlgError, RuntimeError):
    """A matrix that is singular, not positive definite, or whose decomposition did not converge.

    Examples
    --------
    >>> try:
    ...     tl.linalg.inv(tl.zeros(2, 2))
    ... except tl.linalg.LinAlgError:
    ...     print("singular")
    singular
    """


def _call(xp: ModuleType, name: str, *arrays: Array, **options: Any) -> Any:
    """Call a function of ``xp.linalg``, naming what is missing."""
    for x in arrays:
        if x.dtype.itemsize == 2 and x.dtype.kind in "fV":
            raise TypeError(f"{name}: there is none for {x.dtype}; use x.float()")
    try:
        result = getattr(xp.linalg, name)(*arrays, **options)
    except ImportError as error:
        raise RuntimeError(
            f"{name}: CUDA needs cuSOLVER, which cannot be loaded ({str(error).splitlines()[0]}); "
            "install it or compute on the CPU: x.cpu()"
        ) from error
    except np.linalg.LinAlgError as error:
        raise LinAlgError(str(error)) from error  # the call adds its name, and the inputs
    return tuple(result) if isinstance(result, tuple) else result


# --- determinants and inverses ------------------------------------------------------------------


@primitive
def inv(xp: ModuleType, a: Array) -> Array:
    """Inverse of square matrices, shape (..., n, n).

    Raises
    ------
    numpy.linalg.LinAlgError
        If a matrix is singular.
    """
    return _call(xp, "inv", a)


inv.defvjp(a=lambda g, y: -matmul(y.mT, matmul(g, y.mT)))


@primitive
def det(xp: ModuleType, a: Array) -> Array:
    """Determinant of square matrices, shape (..., n, n)."""
    return _call(xp, "det", a)


det.defvjp(a=lambda g, a: g[..., None, None] * cofactors(a))


@primitive
def cofactors(xp: ModuleType, a: Array) -> Array:
    """The gradient of the determinant: ``det(a) * inv(a).mT``; singular matrices have one, too."""
    y = _call(xp, "det", a)
    if (y != 0).all():
        return y[..., None, None] * _call(xp, "inv", a).mT
    u, s, vh = _call(xp, "svd", a, full_matrices=False)
    others = xp.where(xp.eye(s.shape[-1], dtype=bool), 1, s[..., None, :]).prod(-1)
    signs = _call(xp, "det", u) * _call(xp, "det", vh)
    return array_backend((a,)).matmul(u * (signs[..., None] * others)[..., None, :], vh)


@cofactors.defvjp_composite
def _cofactors(a: Any) -> Any:
    """Cofactors by singular values, which exist where the inverse does not."""
    u, s, vh = svd(a)
    signs = (det(u) * det(vh)).detach()
    n = s.shape[-1]
    others = [prod(concat_arrays(s[..., :i], s[..., i + 1 :], axis=-1), axis=-1) for i in range(n)]
    return matmul(u * (signs[..., None] * stack_arrays(*others, axis=-1))[..., None, :], vh)


@primitive
def slogdet(xp: ModuleType, a: Array) -> tuple[Array, Array]:
    """Sign of the determinant of square matrices, and the logarithm of its absolute value.

    The sign has no gradient.
    """
    return _call(xp, "slogdet", a)


@slogdet.defvjp_joint
def _slogdet_vjp(g: tuple, needs: tuple[bool, ...], a: Any) -> tuple:
    return (None if g[1] is None else g[1][..., None, None] * inv(a).mT,)


@primitive
def solve(xp: ModuleType, a: Array, b: Array) -> Array:
    """Solve ``a @ x = b``.

    Parameters
    ----------
    a : Tensor, shape (..., n, n)
    b : Tensor, shape (n,) or (..., n, k)
        One right-hand side, or k in the columns.

    Raises
    ------
    numpy.linalg.LinAlgError
        If a matrix is singular.
    """
    return _call(xp, "solve", a, b)


@solve.defvjp_joint
def _solve_vjp(g: Any, needs: tuple[bool, ...], a: Any, b_shape: tuple, y: Any) -> tuple:
    if len(b_shape) == 1:
        of_b = solve(a.mT, g[..., None])
        of_a = -of_b * y[..., None, :] if needs[0] else None
        return of_a, of_b[..., 0]
    of_b = solve(a.mT, g)
    return -matmul(of_b, y.mT) if needs[0] else None, of_b


@primitive
def cholesky(xp: ModuleType, a: Array) -> Array:
    """Lower triangular factor L of symmetric positive definite matrices, ``L @ L.mT = a``.

    Only the lower triangle of `a` is read; the gradient is symmetric.

    Raises
    ------
    numpy.linalg.LinAlgError
        If a matrix is not positive definite.
    """
    return _call(xp, "cholesky", a)


def _cholesky_vjp(g: Any, y: Any) -> Any:
    middle = matmul(y.mT, tril(g))
    half = 0.5 * (tril(middle) + tril(middle, -1))  # the lower triangle, and half the diagonal
    d = solve(y.mT, solve(y.mT, half).mT)
    return 0.5 * (d + d.mT)


cholesky.defvjp(a=_cholesky_vjp)


@primitive
def pinv(xp: ModuleType, a: Array, atol: Any, rtol: Any, *, hermitian: bool = False) -> Array:
    """Pseudoinverse of matrices, shape (..., m, n) → (..., n, m), by singular values.

    Those up to ``max(atol, rtol * the largest)`` count as 0. The gradient is Golub and Pereyra's
    (1973), right where the rank does not change.
    """
    if hermitian:
        values, u = _call(xp, "eigh", a)
        s, vh = xp.abs(values), xp.where(values < 0, -1, 1)[..., None].astype(a.dtype) * u.mT
    else:
        u, s, vh = _call(xp, "svd", a, full_matrices=False)
    largest = s.max(-1) if s.shape[-1] else xp.zeros(s.shape[:-1], s.dtype)
    cut = xp.maximum(atol, rtol * largest)[..., None]
    inverse = xp.where(s > cut, 1 / xp.where(s > cut, s, 1), 0).astype(a.dtype)
    return array_backend((a,)).matmul(vh.mT, inverse[..., None] * u.mT)


def _pinv_vjp(g: Any, a: Any, y: Any) -> Any:
    yt, gt = y.mT, g.mT
    rows, columns = matmul(matmul(gt, y), yt), matmul(yt, matmul(y, gt))
    return (
        rows
        - matmul(a, matmul(y, rows))
        + columns
        - matmul(matmul(columns, y), a)
        - matmul(yt, matmul(g, yt))
    )


pinv.defvjp(a=_pinv_vjp)

# --- decompositions -----------------------------------------------------------------------------


@primitive
def qr(xp: ModuleType, a: Array, *, complete: bool = False) -> tuple[Array, Array]:
    """Factor ``a = q @ r``, r upper triangular and the columns of q orthonormal.

    Parameters
    ----------
    a : Tensor, shape (..., m, n)
        Its first min(m, n) columns must be independent for the gradient to exist.
    complete : bool
        Make q square; then a gradient exists only for m ≤ n.

    Returns
    -------
    q : Tensor, shape (..., m, k)
    r : Tensor, shape (..., k, n)
        With k = min(m, n), or m if complete.
    """
    return _call(xp, "qr", a, mode="complete" if complete else "reduced")


@qr.defvjp_joint
def _qr_vjp(g: tuple, needs: tuple[bool, ...], y: tuple) -> tuple:
    q, r = y
    if r.shape[-2] > r.shape[-1]:
        raise RuntimeError(
            f"qr: mode='complete' of matrices with more rows than columns ({r.shape[-2]} > "
            f"{r.shape[-1]}) has no gradient: the last columns of q can be any; use 'reduced'"
        )
    of_q, of_r = with_zeros(g, [q.shape, r.shape])
    k = r.shape[-2]
    if r.shape[-1] == k:
        return (_square_qr_vjp(q, r, of_q, of_r),)
    # The columns behind the first k are q @ rest: they depend on a through q too.
    first, rest = r[..., :k], r[..., k:]
    of_q = of_q + matmul(matmul(q, rest), of_r[..., k:].mT)
    of_first = _square_qr_vjp(q, first, of_q, of_r[..., :k])
    return (concat_arrays(of_first, matmul(q, of_r[..., k:]), axis=-1),)


def _square_qr_vjp(q: Any, r: Any, of_q: Any, of_r: Any) -> Any:
    middle = matmul(r, of_r.mT) - matmul(of_q.mT, q)
    symmetric = tril(middle) + tril(middle, -1).mT
    return solve(r, (of_q + matmul(q, symmetric)).mT).mT


@primitive
def eigh(xp: ModuleType, a: Array) -> tuple[Array, Array]:
    """Eigenvalues, ascending, and orthonormal eigenvectors of symmetric matrices.

    Only the lower triangle of `a` is read; the gradient is that of a function of the whole matrix.

    Returns
    -------
    w : Tensor, shape (..., n)
    v : Tensor, shape (..., n, n)
        Eigenvectors in the columns.
    """
    return _call(xp, "eigh", a)


@eigh.defvjp_joint
def _eigh_vjp(g: tuple, needs: tuple[bool, ...], y: tuple) -> tuple:
    (w, v), (of_w, of_v) = y, g
    d = 0.0
    if of_w is not None:
        d = matmul(v * of_w[..., None, :], v.mT)
    if of_v is not None:
        gaps = _reciprocal(w[..., None, :] - w[..., :, None])
        d = d + matmul(matmul(v, gaps * matmul(v.mT, of_v)), v.mT)
    return (d,)


@primitive
def svd(xp: ModuleType, a: Array, *, full_matrices: bool = False) -> tuple[Array, Array, Array]:
    """Singular value decomposition, ``a = u @ (s[..., None] * vh)``.

    Parameters
    ----------
    a : Tensor, shape (..., m, n)
    full_matrices : bool
        Make u and vh square. What is added is not determined, and has no gradient.

    Returns
    -------
    u : Tensor, shape (..., m, k)
    s : Tensor, shape (..., k)
        Descending; k = min(m, n).
    vh : Tensor, shape (..., k, n)
    """
    return _call(xp, "svd", a, full_matrices=full_matrices)


@svd.defvjp_joint
def _svd_vjp(g: tuple, needs: tuple[bool, ...], y: tuple) -> tuple:
    (u, s, vh), (of_u, of_s, of_vh) = y, g
    k = s.shape[-1]
    if u.shape[-1] > k:
        u, of_u = u[..., :k], None if of_u is None else of_u[..., :k]
    if vh.shape[-2] > k:
        vh, of_vh = vh[..., :k, :], None if of_vh is None else of_vh[..., :k, :]
    d = 0.0
    if of_s is not None:
        d = matmul(u * of_s[..., None, :], vh)
    squares = s * s
    gaps = _reciprocal(squares[..., None, :] - squares[..., :, None])
    inverse = _reciprocal(s)
    if of_u is not None:
        turn = matmul(u.mT, of_u)
        d = d + matmul(matmul(u, gaps * (turn - turn.mT) * s[..., None, :]), vh)
        if u.shape[-2] > s.shape[-1]:  # what leaves the columns' space
            d = d + matmul((of_u - matmul(u, turn)) * inverse[..., None, :], vh)
    if of_vh is not None:
        turn = matmul(vh, of_vh.mT)
        d = d + matmul(u, matmul(s[..., :, None] * gaps * (turn - turn.mT), vh))
        if vh.shape[-1] > s.shape[-1]:
            d = d + matmul(u, inverse[..., :, None] * (of_vh - matmul(turn.mT, vh)))
    return (d,)


def _reciprocal(x: Any) -> Any:
    """``1 / x``, and 0 at 0."""
    zero = x == 0
    return where(zero, 0.0, 1 / where(zero, 1.0, x))
