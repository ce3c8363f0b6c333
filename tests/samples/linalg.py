"""Samples of products, sums over named axes, and decompositions."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from samples.base import Input, Sample, integers, normal
from tensorlite import ops
from tensorlite.ops import decompositions, elimination
from tensorlite.ops.matrix import factors

LAPACK = dict(dtypes=("float32", "float64"), devices=("cpu",), tolerance=50)
DIVIDED = dict(dtypes=("float32", "float64"), tolerance=50)
SQUARE = dict(LAPACK, no_zero="square: the batch above is emptied")


def regular(*shape: int) -> Input:
    """Square matrices far from singular, all of whose (singular) values differ."""

    def draw(generator: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
        n = shape[-1]
        return generator.uniform(-0.5, 0.5, shape) + np.diag(np.arange(2.0, 2.0 + 2 * n, 2))

    return Input(shape, draw)


def positive_definite(*shape: int) -> Input:
    """Symmetric matrices with eigenvalues well above 0."""

    def draw(generator: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
        a = generator.standard_normal(shape)
        return a @ a.mT + shape[-1] * np.eye(shape[-1])

    return Input(shape, draw)


def named(op: Callable, function: Callable) -> Callable:
    """A function of Tensors that counts as a sample of `op`."""
    function.__name__, function.__module__ = op.__name__, op.__module__
    return function


def products(a, b) -> np.ndarray:
    """The matrix product, element by element."""
    left, right = np.atleast_2d(a), b[:, None] if b.ndim == 1 else b
    y = (left[..., :, :, None] * right[..., None, :, :]).sum(-2)
    y = y[..., 0, :] if a.ndim == 1 else y
    return y[..., 0] if b.ndim == 1 else y


def determinant(a) -> np.ndarray:
    """Expansion along the first row."""
    if a.shape[-1] == 0:
        return np.ones(a.shape[:-2])
    rest = np.arange(a.shape[-1])
    minors = [determinant(a[..., 1:, rest != j]) for j in rest]
    return sum((-1) ** j * a[..., 0, j] * minor for j, minor in enumerate(minors))


def inverse(a) -> np.ndarray:
    """Cofactors over the determinant."""
    n = np.arange(a.shape[-1])
    y = np.empty_like(a)
    for i in n:
        for j in n:
            minor = a[..., n != j, :][..., n != i]
            y[..., i, j] = (-1) ** (i + j) * determinant(minor)
    return y / determinant(a)[..., None, None] if y.size else y


def solution(a, b) -> np.ndarray:
    return products(inverse(a), b)


def cholesky_factor(a) -> np.ndarray:
    """Cholesky and Banachiewicz's algorithm."""
    y = np.zeros_like(a)
    for i in range(a.shape[-1]):
        for j in range(i + 1):
            rest = a[..., i, j] - (y[..., i, :j] * y[..., j, :j]).sum(-1)
            y[..., i, j] = np.sqrt(rest) if i == j else rest / y[..., j, j]
    return y


def symmetric(a):
    """Operations that read one triangle become functions of the whole matrix."""
    return (a + a.mT) * 0.5


def positive_qr(a) -> tuple:
    """Orthonormal columns, with the signs that make r's diagonal positive."""
    q, r = decompositions.qr(a)
    signs = ops.sign(ops.diagonal(r, 0, -2, -1))
    return q * signs[..., None, :], r * signs[..., :, None]


def gram_schmidt(a) -> tuple[np.ndarray, np.ndarray]:
    """Columns made orthonormal one after another."""
    k = min(a.shape[-2:])
    q = np.zeros((*a.shape[:-1], k))
    for j in range(k):
        rest = a[..., j] - (q * (q * a[..., j, None]).sum(-2, keepdims=True)).sum(-1)
        q[..., j] = rest / np.sqrt((rest * rest).sum(-1, keepdims=True))
    return q, products(q.mT, a)


def eigenvalues_and_squares(a) -> tuple:
    """What of a decomposition does not depend on the signs of the vectors."""
    w, v = decompositions.eigh(symmetric(a))
    return w, v * v


def projectors(a) -> tuple[np.ndarray, list[np.ndarray]]:
    """Eigenvalues, ascending, of symmetric 3 x 3 matrices, and v vᵀ of each eigenvector v.

    Sylvester's formula: for eigenvalues x, y, z, the projector of x is (A-y)(A-z) / (x-y)(x-z).
    """
    w = np.sort(np.linalg.eigvals(a).real, -1)
    found = []
    for i in range(3):
        x, y, z = (w[..., k % 3, None, None] for k in range(i, i + 3))
        found.append(products(a - y * np.eye(3), a - z * np.eye(3)) / ((x - y) * (x - z)))
    return w, found


def eigen_by_projectors(a) -> tuple[np.ndarray, np.ndarray]:
    w, found = projectors(symmetric(a))
    return w, np.stack([np.diagonal(p, 0, -2, -1) for p in found], -1)


def sign_free_svd(a) -> tuple:
    """Singular values, squared left vectors, and the orthogonal factor u @ vh."""
    u, s, vh = decompositions.svd(a)
    return s, u * u, ops.matmul(u, vh)


def svd_by_projectors(a) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of matrices with three columns, or three rows."""
    if a.shape[-1] > 3:
        w, found = projectors(products(a, a.mT))
        s, found = np.sqrt(w[..., ::-1]), found[::-1]
        squares = np.stack([np.diagonal(p, 0, -2, -1) for p in found], -1)
        return s, squares, sum(products(p, a) / s[..., i, None, None] for i, p in enumerate(found))
    w, found = projectors(products(a.mT, a))
    s, found = np.sqrt(w[..., ::-1]), found[::-1]
    left = [products(a, p) / s[..., i, None, None] for i, p in enumerate(found)]  # u vᵀ
    squares = np.stack([np.diagonal(products(x, x.mT), 0, -2, -1) for x in left], -1)
    return s, squares, sum(left)


def pseudoinverse(a, atol, rtol, hermitian=False) -> np.ndarray:
    """Of matrices of full rank, by the normal equations."""
    if a.shape[-2] < a.shape[-1]:
        return products(a.mT, inverse(products(a, a.mT)))
    return products(inverse(products(a.mT, a)), a.mT)


def symmetric_pinv(a, atol, rtol) -> object:
    return decompositions.pinv((a + a.mT) * 0.5, atol, rtol, hermitian=True)


def singular(*shape: int) -> Input:
    """Square matrices whose last row is the sum of the others: of determinant 0."""

    def draw(generator: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
        a = generator.standard_normal(shape)
        a[..., -1, :] = a[..., :-1, :].sum(-2)
        return a

    return Input(shape, draw)


def cofactor_matrix(a) -> np.ndarray:
    n = np.arange(a.shape[-1])
    y = np.empty_like(a)
    for i in n:
        for j in n:
            y[..., i, j] = (-1) ** (i + j) * determinant(a[..., n != i, :][..., n != j])
    return y


def gauss(a, pivot=True) -> tuple[np.ndarray, np.ndarray]:
    """Gauss's, row by row, of one matrix after another."""
    lu, k = a.copy(), min(a.shape[-2:])
    pivots = np.empty((*a.shape[:-2], k), np.int32)
    for batch in np.ndindex(a.shape[:-2]):
        x = lu[batch]
        for j in range(k):
            row = j + np.abs(x[j:, j]).argmax() if pivot else j
            x[[j, row]] = x[[row, j]]
            pivots[(*batch, j)] = row + 1
            for i in range(j + 1, len(x)):
                x[i, j] /= x[j, j]
                x[i, j + 1 :] -= x[i, j] * x[j, j + 1 :]
    return lu, pivots


def exchanged(pivots, n, dtype) -> np.ndarray:
    p = np.zeros((*pivots.shape[:-1], n, n))
    for batch in np.ndindex(pivots.shape[:-1]):
        rows = np.arange(n)
        for i, other in enumerate(pivots[batch]):
            rows[[i, other - 1]] = rows[[other - 1, i]]
        p[batch][rows, np.arange(n)] = 1
    return p


SAMPLES = [
    *[
        Sample(ops.matmul, inputs, reference=products, zero=zero)
        for inputs, zero in [
            ([normal(3, 4), normal(4, 2)], [normal(3, 0), normal(0, 2)]),
            ([normal(4), normal(4)], [normal(0), normal(0)]),
            ([normal(4), normal(4, 2)], [normal(4), normal(4, 0)]),
            ([normal(3, 4), normal(4)], [normal(0, 4), normal(4)]),
            ([normal(2, 3, 4), normal(4)], [normal(2, 3, 0), normal(0)]),
            ([normal(4), normal(2, 4, 3)], [normal(0), normal(2, 0, 3)]),
            ([normal(2, 3, 4), normal(4, 5)], [normal(2, 3, 0), normal(0, 5)]),
            ([normal(3, 4), normal(2, 4, 5)], [normal(3, 4), normal(0, 4, 5)]),
            ([normal(2, 1, 3, 4), normal(5, 4, 2)], [normal(2, 1, 3, 4), normal(0, 4, 2)]),
        ]
    ],
    Sample(
        ops.matmul,
        [normal(3, 4), normal(4, 2)],
        reference=products,
        saves=("a", "a_shape", "b", "b_shape"),
        no_zero="above",
    ),
    Sample(
        ops.matmul,
        [integers(3, 4, high=9), integers(4, 2, high=9)],
        reference=products,
        no_zero="above",
    ),
    Sample(ops.trace, [normal(3, 4)], reference=np.trace),
    Sample(ops.dot, [normal(3), normal(3)], reference=np.dot),
    Sample(ops.outer, [normal(3), normal(4)], reference=np.outer),
    *[
        Sample(
            ops.tensordot,
            [normal(2, 3, 4), normal(4, 3, 2)],
            dict(dims=dims),
            reference=lambda a, b, dims: np.tensordot(a, b, dims),
            zero=[normal(0, 3, 4), normal(4, 3, 0)],
        )
        for dims in [((1, 2), (1, 0)), ((0, -1), (2, 0)), 1]
    ],
    Sample(
        ops.tensordot,
        [normal(2, 3), normal(4)],
        dict(dims=0),
        reference=lambda a, b, dims: np.tensordot(a, b, dims),
    ),
    *[
        Sample(
            ops.einsum, [subscripts, *operands], reference=np.einsum, no_zero="lengths are shared"
        )
        for subscripts, *operands in [
            ("ij,jk->ik", normal(2, 3), normal(3, 4)),
            ("ij,jk", normal(2, 3), normal(3, 4)),
            ("ii->i", normal(3, 3)),
            ("iji->j", normal(3, 2, 3)),
            ("ij->", normal(2, 3)),
            ("i,j->ji", normal(2), normal(3)),
            ("bhqd,bhkd->bhqk", normal(2, 1, 3, 2), normal(2, 2, 4, 2)),
            ("...ij,j...->i...", normal(2, 3, 4), normal(4, 2)),
            ("ij,j,ik->k", normal(2, 3), normal(3), normal(2, 4)),
            ("ij,ij->i", normal(1, 3), normal(2, 3)),
        ]
    ],
    Sample(
        decompositions.det,
        [regular(2, 3, 3)],
        reference=determinant,
        zero=[regular(0, 3, 3)],
        **LAPACK,
    ),
    Sample(decompositions.inv, [regular(2, 3, 3)], reference=inverse, saves=("y",), **LAPACK),
    Sample(
        decompositions.slogdet,
        [regular(2, 3, 3)],
        reference=lambda a: (np.sign(determinant(a)), np.log(np.abs(determinant(a)))),
        **LAPACK,
    ),
    *[
        Sample(decompositions.solve, [a, b], reference=solution, zero=zero, **LAPACK)
        for a, b, zero in [
            (regular(3, 3), normal(3), [regular(0, 0), normal(0)]),
            (regular(2, 3, 3), normal(3), [regular(0, 3, 3), normal(3)]),
            (regular(2, 3, 3), normal(3, 4), [regular(2, 3, 3), normal(3, 0)]),
            (regular(3, 3), normal(2, 3, 1), [regular(3, 3), normal(0, 3, 1)]),
        ]
    ],
    Sample(
        named(decompositions.cholesky, lambda a: decompositions.cholesky(symmetric(a))),
        [positive_definite(2, 3, 3)],
        reference=lambda a: cholesky_factor(symmetric(a)),
        **LAPACK,
    ),
    Sample(
        decompositions.cholesky,
        [positive_definite(3, 3)],
        reference=cholesky_factor,
        grad=(),
        **SQUARE,
    ),
    *[
        Sample(
            named(decompositions.qr, positive_qr),
            [normal(*shape)],
            reference=gram_schmidt,
            **LAPACK,
        )
        for shape in [(2, 3, 3), (5, 3), (2, 3, 5)]
    ],
    Sample(decompositions.qr, [normal(4, 3)], reference=np.linalg.qr, **LAPACK),
    Sample(
        named(decompositions.eigh, eigenvalues_and_squares),
        [regular(2, 3, 3)],
        reference=eigen_by_projectors,
        **LAPACK,
    ),
    Sample(
        decompositions.eigh, [positive_definite(3, 3)], reference=np.linalg.eigh, grad=(), **SQUARE
    ),
    *[
        Sample(named(decompositions.svd, sign_free_svd), [x], reference=svd_by_projectors, **LAPACK)
        for x in [regular(2, 3, 3), normal(2, 5, 3), normal(2, 3, 5)]
    ],
    Sample(
        decompositions.svd,
        [normal(4, 3)],
        reference=lambda a: np.linalg.svd(a, full_matrices=False),
        **LAPACK,
    ),
    Sample(
        decompositions.cofactors,
        [regular(2, 3, 3)],
        reference=cofactor_matrix,
        zero=[regular(0, 3, 3)],
        **LAPACK,
    ),
    Sample(
        decompositions.cofactors,
        [singular(2, 3, 3)],
        reference=cofactor_matrix,
        grad=(),
        no_zero="above",
        dtypes=("float64",),
        devices=("cpu",),
        tolerance=50,
    ),
    *[
        Sample(
            decompositions.pinv,
            [normal(*shape), 0.0, 1e-6],
            reference=pseudoinverse,
            grad=(0,),
            zero=[normal(0, *shape[1:]), 0.0, 1e-6],
            **LAPACK,
        )
        for shape in [(2, 4, 3), (2, 3, 4), (2, 3, 3)]
    ],
    Sample(
        named(decompositions.pinv, symmetric_pinv),
        [positive_definite(2, 3, 3), 0.0, 1e-6],
        reference=lambda a, atol, rtol: inverse(symmetric(a)),
        grad=(0,),
        zero=[positive_definite(0, 3, 3), 0.0, 1e-6],
        **LAPACK,
    ),
    *[
        Sample(elimination.lu_packed, [x], static, reference=gauss, zero=[zero], **options)
        for x, zero, static in [
            (regular(2, 3, 3), regular(0, 3, 3), dict()),
            (normal(2, 5, 3), normal(2, 0, 3), dict()),
            (normal(2, 3, 5), normal(2, 3, 0), dict()),
            (regular(3, 3), regular(0, 0), dict(pivot=False)),
            (regular(40, 40), regular(0, 0), dict()),  # more than a block
        ]
        for options in (LAPACK, dict(DIVIDED, grad=(), devices=("cuda",)))  # slopes ask for LAPACK
    ],
    Sample(
        elimination.permutation,
        [integers(2, 3, low=3, high=5)],
        dict(n=4, dtype=np.float64),
        reference=exchanged,
        zero=[integers(0, 3, low=3, high=5)],
        keeps_dtype=False,
    ),
    Sample(
        elimination.unit_lower,
        [normal(2, 3, 3)],
        reference=lambda x: np.tril(x, -1) + np.eye(x.shape[-1]),
    ),
    Sample(
        elimination.unit_lower,
        [normal(4, 3)],
        reference=lambda x: np.tril(x, -1) + np.eye(*x.shape),
    ),
    Sample(
        factors.upper_factor,
        [normal(4, 3)],
        reference=lambda a: np.linalg.qr(a)[1],
        grad=(),
        no_zero="of the decomposition above",
        **LAPACK,
    ),
]
