"""Products of vectors and matrices, each for given shapes, and sums with such products."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from tensorlite.backend.dims import one_dim
from tensorlite.ops.creation import eye
from tensorlite.ops.decompositions import inv
from tensorlite.ops.diagonals import diagonal
from tensorlite.ops.faces import copies, takes_axis
from tensorlite.ops.linalg import matmul
from tensorlite.ops.matrix.checks import (
    check_matrices,
    check_ndim,
    check_one_dtype,
    check_same_lengths,
)
from tensorlite.ops.reduce import sum as sum_
from tensorlite.ops.shape import broadcast_to, reshape
from tensorlite.ops.tiling import roll
from tensorlite.tensor import Tensor

__all__ = [
    "bmm",
    "chain_matmul",
    "cross",
    "dot",
    "ger",
    "inner",
    "kron",
    "matrix_power",
    "mm",
    "mv",
    "outer",
    "trace",
    "vdot",
]

# --- products of given shapes -------------------------------------------------------------------


def mm(input: Tensor, mat2: Tensor) -> Tensor:
    """Product of two matrices, shapes (n, k) and (k, m); nothing broadcasts.

    Parameters
    ----------
    input, mat2 : Tensor, shapes (n, k) and (k, m)

    Returns
    -------
    Tensor, shape (n, m)

    Raises
    ------
    RuntimeError
        If the shapes do not fit.

    Examples
    --------
    >>> tl.mm(tl.tensor([[1.0, 2.0], [3.0, 4.0]]), tl.tensor([[0.0, 1.0], [1.0, 0.0]]))
    tensor([[2., 1.],
            [4., 3.]])
    """
    check_ndim("mm", "input", input, 2)
    check_ndim("mm", "mat2", mat2, 2)
    return product_of("mm", input, mat2)


def bmm(input: Tensor, mat2: Tensor) -> Tensor:
    """Products of as many matrices, shapes (b, n, k) and (b, k, m); nothing broadcasts.

    Parameters
    ----------
    input, mat2 : Tensor, shapes (b, n, k) and (b, k, m)

    Returns
    -------
    Tensor, shape (b, n, m)

    Raises
    ------
    RuntimeError
        If the shapes do not fit.

    Examples
    --------
    >>> tl.bmm(tl.ones(2, 3, 4), tl.ones(2, 4, 5)).shape
    (2, 3, 5)
    """
    check_ndim("bmm", "input", input, 3)
    check_ndim("bmm", "mat2", mat2, 3)
    return product_of("bmm", input, mat2)


def mv(input: Tensor, vec: Tensor) -> Tensor:
    """Product of a matrix (n, k) and a vector (k,).

    Parameters
    ----------
    input, vec : Tensor, shapes (n, k) and (k,)

    Returns
    -------
    Tensor, shape (n,)

    Raises
    ------
    RuntimeError
        If the shapes do not fit.

    Examples
    --------
    >>> tl.mv(tl.tensor([[1.0, 2.0], [3.0, 4.0]]), tl.tensor([1.0, 10.0]))
    tensor([21., 43.])
    """
    check_ndim("mv", "input", input, 2)
    check_ndim("mv", "vec", vec, 1)
    check_one_dtype("mv", input, vec)
    if input.shape[1] != vec.shape[0]:
        raise RuntimeError(f"mv: {tuple(input.shape)} and {tuple(vec.shape)} do not fit")
    return matmul(input, vec)


def product_of(name: str, a: Tensor, b: Tensor) -> Tensor:
    """The product of matrices whose lengths fit; `name` is what an error calls it."""
    check_one_dtype(name, a, b)
    if a.shape[-1] != b.shape[-2] or tuple(a.shape[:-2]) != tuple(b.shape[:-2]):
        raise RuntimeError(f"{name}: shapes {tuple(a.shape)} and {tuple(b.shape)} do not fit")
    return matmul(a, b)


def dot(input: Tensor, tensor: Tensor) -> Tensor:
    """Sum of the products of two vectors' elements; `matmul` takes more axes.

    Parameters
    ----------
    input, tensor : Tensor, shape (n,)
        Of one dtype.

    Returns
    -------
    Tensor, shape ()

    Examples
    --------
    >>> tl.dot(tl.tensor([5.0, -3.0]), tl.tensor([2.0, 2.0]))
    tensor(4.)
    """
    return _dot("dot", input, tensor)


def vdot(input: Tensor, other: Tensor) -> Tensor:
    """Sum of the products of two vectors' elements, as `dot` for real numbers.

    Parameters
    ----------
    input, other : Tensor, shape (n,)
        Of one dtype.

    Returns
    -------
    Tensor, shape ()

    Examples
    --------
    >>> tl.vdot(tl.tensor([5.0, -3.0]), tl.tensor([2.0, 2.0]))
    tensor(4.)
    """
    return _dot("vdot", input, other)


def _dot(name: str, a: Tensor, b: Tensor) -> Tensor:
    check_ndim(name, "each Tensor", a, 1)
    check_ndim(name, "each Tensor", b, 1)
    check_one_dtype(name, a, b)
    check_same_lengths(name, a, b)
    return matmul(a, b)


def inner(input: Tensor, other: Tensor) -> Tensor:
    """Sums of products over the last axes of both; a number without axes multiplies.

    Parameters
    ----------
    input, other : Tensor, shapes (..., n) and (..., n)

    Returns
    -------
    Tensor
        The other axes of `input`, then those of `other`.

    Raises
    ------
    RuntimeError
        If the last axes have different lengths.

    Examples
    --------
    >>> tl.inner(tl.tensor([5.0, -3.0]), tl.tensor([2.0, 2.0]))
    tensor(4.)
    """
    if not input.shape or not other.shape:
        return input * other
    check_one_dtype("inner", input, other)
    n, m = input.shape[-1], other.shape[-1]
    if n != m:
        raise RuntimeError(f"inner: the last axes have lengths {n} and {m}")
    left = reshape(input, (_count(input.shape[:-1]), n))
    right = reshape(other, (_count(other.shape[:-1]), n))
    return reshape(matmul(left, right.mT), (*input.shape[:-1], *other.shape[:-1]))


def outer(input: Tensor, vec2: Tensor) -> Tensor:
    """Product of each element of one vector, shape (n,), with each of another, shape (m,).

    Parameters
    ----------
    input, vec2 : Tensor, shapes (n,) and (m,)

    Returns
    -------
    Tensor, shape (n, m)

    Examples
    --------
    >>> tl.ger(tl.tensor([1.0, 2.0]), tl.tensor([3.0, 4.0]))
    tensor([[3., 4.],
            [6., 8.]])
    """
    check_ndim("outer", "input", input, 1)
    check_ndim("outer", "vec2", vec2, 1)
    return reshape(input, (input.shape[0], 1)) * reshape(vec2, (1, vec2.shape[0]))


ger = outer


@takes_axis
def vecdot(x: Tensor, y: Tensor, *, dim: int = -1) -> Tensor:
    """Sums of products along one axis; the others broadcast.

    Parameters
    ----------
    x, y : Tensor
        Of shapes that broadcast.
    dim : int
        The axis.

    Returns
    -------
    Tensor
        Without the axis `dim`.

    Raises
    ------
    RuntimeError
        If the axis has two lengths.

    Examples
    --------
    >>> tl.linalg.vecdot(tl.tensor([1.0, 2.0]), tl.tensor([3.0, 4.0]))
    tensor(11.)
    """
    check_one_dtype("linalg.vecdot", x, y)
    a, b = (v.shape[one_dim(dim, len(v.shape), "linalg.vecdot")] for v in (x, y))
    if a != b:
        raise RuntimeError(f"linalg.vecdot: axis {dim} has lengths {a} and {b}")
    return sum_(x * y, axis=dim)


def _count(lengths: Sequence[int]) -> int:
    return int(np.prod(lengths, dtype=np.int64))


# --- several matrices ---------------------------------------------------------------------------


def multi_dot(tensors: Sequence[Tensor]) -> Tensor:
    """Product of two or more matrices, in the order that multiplies least.

    The first and the last may be vectors. The order is found by dynamic programming (Cormen et
    al., "Introduction to Algorithms", 15.2).

    Parameters
    ----------
    tensors : sequence of Tensor, shapes (n, k), (k, m) and so on

    Returns
    -------
    Tensor, shape (n, m)

    Raises
    ------
    RuntimeError
        If there are fewer than two, or lengths do not fit.

    Examples
    --------
    >>> tl.linalg.multi_dot([tl.ones(2, 3), tl.ones(3, 4), tl.ones(4)])
    tensor([12., 12.])
    """
    xs = list(tensors)
    if len(xs) < 2:
        raise RuntimeError(f"linalg.multi_dot: two matrices or more, not {len(xs)}")
    check_one_dtype("linalg.multi_dot", *xs)
    first, last = len(xs[0].shape) == 1, len(xs[-1].shape) == 1
    if first:
        xs[0] = reshape(xs[0], (1, xs[0].shape[0]))
    if last:
        xs[-1] = reshape(xs[-1], (xs[-1].shape[0], 1))
    for i, x in enumerate(xs):
        check_ndim("linalg.multi_dot", f"tensors[{i}]", x, 2)
    for i, (a, b) in enumerate(pairwise(xs)):
        if a.shape[1] != b.shape[0]:
            shapes = f"{tuple(a.shape)} and {tuple(b.shape)}"
            raise RuntimeError(f"linalg.multi_dot: tensors {i} and {i + 1}, {shapes}, do not fit")
    y = _in_order(xs, _splits([xs[0].shape[0], *[x.shape[1] for x in xs]]), 0, len(xs) - 1)
    shape = tuple(y.shape)[int(first) : 2 - int(last)]
    return reshape(y, shape) if first or last else y


def _splits(lengths: list[int]) -> dict[tuple[int, int], int]:
    """Where to cut the product of matrices i to j, for each i < j."""
    n = len(lengths) - 1
    cost: dict[tuple[int, int], int] = {(i, i): 0 for i in range(n)}
    split: dict[tuple[int, int], int] = {}
    for width in range(1, n):
        for i in range(n - width):
            j = i + width

            def price(k: int, i: int = i, j: int = j) -> int:
                both = cost[i, k] + cost[k + 1, j]
                return both + lengths[i] * lengths[k + 1] * lengths[j + 1]

            split[i, j] = min(range(i, j), key=price)
            cost[i, j] = price(split[i, j])
    return split


def _in_order(xs: list[Tensor], split: dict, i: int, j: int) -> Tensor:
    if i == j:
        return xs[i]
    k = split[i, j]
    return matmul(_in_order(xs, split, i, k), _in_order(xs, split, k + 1, j))


@copies
def chain_matmul(*matrices: Tensor) -> Tensor:
    """Product of matrices in the order that multiplies least; see `linalg.multi_dot`.

    Parameters
    ----------
    *matrices : Tensor, shape (n, m)
        Of lengths that fit.

    Returns
    -------
    Tensor
        Of as many rows as the first, and columns as the last.

    Examples
    --------
    >>> tl.chain_matmul(tl.ones(2, 3), tl.ones(3, 4), tl.ones(4, 1)).shape
    (2, 1)
    """
    xs = matrices[0] if len(matrices) == 1 and isinstance(matrices[0], (tuple, list)) else matrices
    return xs[0] if len(xs) == 1 else multi_dot(xs)


@copies
def matrix_power(input: Tensor, n: int) -> Tensor:
    """Product of `n` times the same square matrix, shape (..., m, m).

    Negative powers are those of the inverse, and 0 gives the identity.

    Parameters
    ----------
    input : Tensor, shape (..., m, m)
    n : int

    Returns
    -------
    Tensor, shape (..., m, m)

    Raises
    ------
    RuntimeError
        If the matrices are not square.

    Examples
    --------
    >>> tl.matrix_power(tl.tensor([[1.0, 1.0], [0.0, 1.0]]), 3)
    tensor([[1., 3.],
            [0., 1.]])
    """
    if len(input.shape) < 2 or input.shape[-1] != input.shape[-2]:
        raise RuntimeError(f"matrix_power: square matrices are needed, not {tuple(input.shape)}")
    if n == 0:
        one = eye(input.shape[-1], dtype=input.dtype, device=input.device)
        return broadcast_to(one, tuple(input.shape)) * 1
    if n < 0:
        check_matrices("matrix_power", input, square=True)
        input, n = inv(input), -n
    result: Any = None
    while True:  # the powers 1, 2, 4, 8 …, of which those are taken that n has in binary
        if n & 1:
            result = input if result is None else matmul(result, input)
        n >>= 1
        if not n:
            return result
        input = matmul(input, input)


# --- others -------------------------------------------------------------------------------------


def kron(input: Tensor, other: Tensor) -> Tensor:
    """Kronecker product: each element of `input` times the whole of `other`, side by side.

    Parameters
    ----------
    input, other : Tensor
        Of any shapes; the one with fewer axes gets more in front.

    Returns
    -------
    Tensor
        The lengths of the axes are products of those of both.

    Examples
    --------
    >>> tl.kron(tl.tensor([5.0, -3.0]), tl.tensor([2.0, 2.0]))
    tensor([10., 10., -6., -6.])
    """
    ndim = max(len(input.shape), len(other.shape))
    a = (1,) * (ndim - len(input.shape)) + tuple(input.shape)
    b = (1,) * (ndim - len(other.shape)) + tuple(other.shape)
    left = reshape(input, [n for pair in zip(a, (1,) * ndim, strict=True) for n in pair])
    right = reshape(other, [n for pair in zip((1,) * ndim, b, strict=True) for n in pair])
    return reshape(left * right, [n * m for n, m in zip(a, b, strict=True)])


def trace(input: Tensor) -> Tensor:
    """Sum of a matrix's diagonal.

    Parameters
    ----------
    input : Tensor, shape (n, m)

    Returns
    -------
    Tensor, shape ()

    Examples
    --------
    >>> tl.trace(tl.tensor([[4.0, 1.0], [1.0, 3.0]]))
    tensor(7.)
    """
    check_ndim("trace", "input", input, 2)
    return sum_(diagonal(input))


@takes_axis
def cross(input: Tensor, other: Tensor, dim: int | None = None) -> Tensor:
    """Cross products of vectors in three dimensions.

    Parameters
    ----------
    input, other : Tensor
        Of as many axes; they broadcast.
    dim : int, optional
        The axis of length 3; by default the first one that has it.

    Returns
    -------
    Tensor
        Of the shape that they broadcast to.

    Raises
    ------
    RuntimeError
        If there is no axis of length 3.

    Examples
    --------
    >>> tl.cross(tl.tensor([1.0, 0.0, 0.0]), tl.tensor([0.0, 1.0, 0.0]))
    tensor([0., 0., 1.])
    """
    if dim is None:
        dims = [i for i, n in enumerate(input.shape) if n == 3]
        if not dims:
            raise RuntimeError(f"cross: shape {tuple(input.shape)} has no axis of length 3")
        dim = dims[0]
    return cross_along("cross", input, other, dim)


def cross_along(name: str, a: Tensor, b: Tensor, dim: int) -> Tensor:
    if len(a.shape) != len(b.shape):
        shapes = f"{tuple(a.shape)} and {tuple(b.shape)}"
        raise RuntimeError(f"{name}: shapes {shapes} have not as many axes")
    axis = one_dim(dim, len(a.shape), name)
    for x in (a, b):
        if x.shape[axis] != 3:
            raise RuntimeError(f"{name}: axis {dim} of shape {tuple(x.shape)} has not length 3")
    return roll(a * roll(b, -1, axis) - roll(a, -1, axis) * b, -1, axis)
