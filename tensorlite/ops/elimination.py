"""The decomposition of a matrix into triangular ones, with rows exchanged.

NumPy has none, so it is written out: column by column inside blocks, and block by block with matrix
products (Golub and Van Loan, "Matrix Computations", 3.2.11 and 3.4). It needs no LAPACK, and so
runs on CUDA without cuSOLVER; its gradient solves equations, and needs that.
"""

from __future__ import annotations

import math
from types import ModuleType
from typing import Any

from tensorlite.backend import Array, array_backend
from tensorlite.ops.decompositions import solve
from tensorlite.ops.diagonals import tril, triu
from tensorlite.ops.fused import float32_inside
from tensorlite.ops.linalg import matmul
from tensorlite.ops.shape import concat_arrays
from tensorlite.primitive import primitive

BLOCK = 32  # columns


@primitive(name="lu_factor")
def lu_packed(xp: ModuleType, a: Array, *, pivot: bool = True) -> tuple[Array, Array]:
    """Factor ``a = p @ l @ u``: l unit lower triangular, u upper triangular, p a permutation.

    Parameters
    ----------
    a : Tensor, shape (..., m, n)
    pivot : bool
        Exchange rows, so that each step divides by the largest element there is.

    Returns
    -------
    lu : Tensor, shape (..., m, n)
        u, and below its diagonal l without its ones.
    pivots : Tensor, shape (..., min(m, n)), int32
        Row i was exchanged with row ``pivots[i] - 1``, one after another.
    """
    m, n = a.shape[-2:]
    lu = a.reshape(math.prod(a.shape[:-2]), m, n).copy()
    k = min(m, n)
    pivots = xp.broadcast_to(xp.arange(1, k + 1, dtype="int32"), (len(lu), k)).copy()
    each = xp.arange(len(lu))
    product = array_backend((lu,)).matmul
    for start in range(0, k, BLOCK):
        stop = min(start + BLOCK, k)
        for j in range(start, stop):
            if pivot and len(lu):
                row = abs(lu[:, j:, j]).argmax(1) + j
                pivots[:, j] = row + 1
                found = lu[each, row]
                lu[each, row] = lu[:, j]
                lu[:, j] = found
            by = lu[:, j, j]
            lu[:, j + 1 :, j] /= xp.where(by == 0, 1, by)[:, None]
            lu[:, j + 1 :, j + 1 : stop] -= lu[:, j + 1 :, j, None] * lu[:, j, None, j + 1 : stop]
        if stop < n:  # what the block does to the columns behind it
            for j in range(start, stop):
                lu[:, j + 1 : stop, stop:] -= lu[:, j + 1 : stop, j, None] * lu[:, j, None, stop:]
            lu[:, stop:, stop:] -= product(lu[:, stop:, start:stop], lu[:, start:stop, stop:])
    return lu.reshape(a.shape), pivots.reshape(*a.shape[:-2], k)


@primitive
def permutation(xp: ModuleType, pivots: Array, *, n: int, dtype: Any) -> Array:
    """The permutation of n rows that pivots stand for, as a matrix p: ``a = p @ l @ u``."""
    flat = pivots.reshape(math.prod(pivots.shape[:-1]), pivots.shape[-1])
    each = xp.arange(len(flat))
    rows = xp.broadcast_to(xp.arange(n), (len(flat), n)).copy()
    for i in range(flat.shape[-1]):
        other = flat[:, i] - 1
        found = rows[each, other]
        rows[each, other] = rows[:, i]
        rows[:, i] = found
    p = (xp.arange(n)[:, None] == rows[:, None, :]).astype(dtype)
    return p.reshape(*pivots.shape[:-1], n, n)


@primitive
@float32_inside
def unit_lower(xp: ModuleType, x: Array) -> Array:
    """What is below the diagonal, and ones on it."""
    return xp.tril(x, -1) + xp.eye(*x.shape[-2:], dtype=x.dtype)


unit_lower.defvjp(x=lambda g: tril(g, -1))


@lu_packed.defvjp_joint
def _lu_vjp(g: tuple, needs: tuple[bool, ...], y: tuple) -> tuple:
    """Of the square part in front, and of the rows below it or the columns behind it."""
    (lu, pivots), d = y, g[0]
    if d is None:
        return (None,)
    m, n = lu.shape[-2:]
    k = min(m, n)
    left, right = unit_lower(lu[..., :k, :k]), triu(lu[..., :k, :k])
    front = d[..., :k, :k]
    of_left, of_right = matmul(left.mT, tril(front, -1)), matmul(triu(front), right.mT)
    if n > m:
        behind = d[..., m:]
        of_left = of_left - matmul(behind, lu[..., m:].mT)
    if m > n:
        below = d[..., n:, :]
        of_right = of_right - matmul(lu[..., n:, :].mT, below)
    middle = tril(of_left, -1) + triu(of_right)
    d = solve(right, solve(left.mT, middle).mT).mT
    if n > m:
        d = concat_arrays(d, solve(left.mT, behind), axis=-1)
    if m > n:
        d = concat_arrays(d, solve(right, below.mT).mT, axis=-2)
    p = permutation(pivots, n=m, dtype=lu.dtype)
    return (matmul(p, d),)
