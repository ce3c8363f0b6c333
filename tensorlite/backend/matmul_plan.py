"""How NumPy's `matmul` becomes strided-batched products of matrices with a leading dimension.

Shapes and strides only: nothing here touches memory. A BLAS knows matrices of which one axis is
dense and the other advances by a *leading dimension*, and one *batch stride* per operand (0
broadcasts). NumPy knows vectors, any number of batch axes, and any strides. `plan_matmul` goes
from one to the other with as few copies and calls as it can.
"""

from __future__ import annotations

import functools
import itertools
import math
import operator
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple


class Matrix(NamedTuple):
    """One operand of a strided-batched product, in elements.

    `transposed` says that the columns are dense rather than the rows; `ld` is the distance of
    two rows (of two columns, if transposed) and `stride` that of two matrices of the batch.
    """

    transposed: bool
    ld: int
    stride: int


@dataclass(frozen=True, eq=False, slots=True)
class MatmulPlan:
    """A matmul as products ``(batch, m, k) @ (batch, k, n) -> (batch, m, n)``.

    Attributes
    ----------
    shape
        Of the result.
    m, n, k, batch, a, b, out
        One product and its operands; without meaning where a size is zero.
    offsets
        Where the operands of each product start, in elements: one entry but where an operand is
        broadcast along some of several batch axes; none where a size is zero.
    offset_bits
        For each operand, all bits that any of its offsets has set: they limit its alignment.
    copy_a, copy_b, copy_out
        Whether an operand has to be packed first because its strides have no leading dimension
        (see `packed_strides`), and whether the result has to be copied into place.
    """

    shape: tuple[int, ...]
    m: int
    n: int
    k: int
    batch: int
    a: Matrix
    b: Matrix
    out: Matrix
    offsets: tuple[tuple[int, int, int], ...]
    offset_bits: tuple[int, int, int]
    copy_a: bool
    copy_b: bool
    copy_out: bool


@functools.lru_cache(maxsize=4096)
def plan_matmul(
    a_shape: tuple[int, ...],
    a_strides: tuple[int, ...],
    b_shape: tuple[int, ...],
    b_strides: tuple[int, ...],
    out_shape: tuple[int, ...] | None,
    out_strides: tuple[int, ...] | None,
    itemsize: int,
) -> MatmulPlan:
    """Lay out ``a @ b``; strides in bytes, `out_shape` None for a new, contiguous result.

    Raises
    ------
    ValueError
        If the shapes do not fit each other, or `out_shape` is not that of the result.
    """
    shape = result_shape(a_shape, b_shape)
    if out_shape is not None and out_shape != shape:
        raise ValueError(f"matmul: out has shape {out_shape}, the result has shape {shape}")
    is_row, is_column = len(a_shape) == 1, len(b_shape) == 1
    if is_row:
        a_shape, a_strides = (1, *a_shape), (0, *a_strides)
    if is_column:
        b_shape, b_strides = (*b_shape, 1), (*b_strides, 0)
    m, k, n = a_shape[-2], a_shape[-1], b_shape[-1]
    lead = shape[: len(shape) - 2 + is_row + is_column]
    full = (*lead, m, n)
    if 0 in full or k == 0:
        none = Matrix(False, 1, 0)
        size = (m, n, k, math.prod(lead))
        return MatmulPlan(shape, *size, none, none, none, (), (0, 0, 0), False, False, False)
    if out_strides is None:
        out_strides = shape_strides(full, itemsize)
    else:
        end = list(out_strides[len(lead) :])
        end = [0, *end] if is_row else end
        out_strides = (*out_strides[: len(lead)], *([*end, 0] if is_column else end))

    a, copy_a = _usable(a_shape, a_strides, itemsize)
    b, copy_b = _usable(b_shape, b_strides, itemsize)
    out, copy_out = _usable(full, out_strides, itemsize)
    if not copy_out and _fitting(m, n, out).transposed:
        copy_out = True
    if copy_out:
        out = shape_strides(full, 1)
    matrices = [_fitting(m, k, a), _fitting(k, n, b), _fitting(m, n, out)]
    batches = [_spread(a_shape[:-2], a, lead), _spread(b_shape[:-2], b, lead), out[:-2]]
    *outer, (batch, *inner) = _merged(lead, batches)
    matrices = [matrix._replace(stride=s) for matrix, s in zip(matrices, inner, strict=True)]
    m, batch, matrices = _folded(m, n, k, batch, matrices)
    offsets = _offsets(outer)
    bits_a, bits_b, bits_out = (
        functools.reduce(operator.or_, s) for s in zip(*offsets, strict=True)
    )
    bits = (bits_a, bits_b, bits_out)
    of_a, of_b, of_out = matrices
    copies = (copy_a, copy_b, copy_out)
    return MatmulPlan(shape, m, n, k, batch, of_a, of_b, of_out, offsets, bits, *copies)


def result_shape(a_shape: tuple[int, ...], b_shape: tuple[int, ...]) -> tuple[int, ...]:
    """Shape of ``a @ b`` by NumPy's rules, or a ValueError that names what does not fit."""
    if not a_shape or not b_shape:
        raise ValueError(f"matmul: needs at least one axis each, got {a_shape} @ {b_shape}")
    inner = b_shape[0] if len(b_shape) == 1 else b_shape[-2]
    if a_shape[-1] != inner:
        raise ValueError(
            f"matmul: {a_shape} @ {b_shape}: the last axis of the first has {a_shape[-1]} "
            f"elements, the axis of the second that it meets has {inner}"
        )
    lead = []
    pairs = itertools.zip_longest(reversed(a_shape[:-2]), reversed(b_shape[:-2]), fillvalue=1)
    for p, q in pairs:
        if p != q and 1 not in (p, q):
            raise ValueError(f"matmul: {a_shape} @ {b_shape}: the batch axes do not broadcast")
        lead.append(q if p == 1 else p)
    rows = a_shape[-2:-1] if len(a_shape) > 1 else ()
    columns = b_shape[-1:] if len(b_shape) > 1 else ()
    return (*reversed(lead), *rows, *columns)


def shape_strides(shape: Sequence[int], itemsize: int) -> tuple[int, ...]:
    """Strides of a C-contiguous array."""
    sizes = itertools.accumulate(reversed(shape[1:]), lambda p, q: p * max(q, 1), initial=itemsize)
    return tuple(reversed(list(sizes))) if shape else ()


def packed_strides(
    shape: tuple[int, ...], strides: tuple[int, ...], itemsize: int
) -> tuple[int, ...]:
    """Strides after packing: dense, but what is broadcast along a batch axis stays so."""
    kept = [n if s else 1 for n, s in zip(shape[:-2], strides[:-2], strict=True)] + [*shape[-2:]]
    dense = shape_strides(kept, itemsize)
    repeated = [s == 0 for s in strides[:-2]] + [False, False]
    return tuple([0 if r else s for r, s in zip(repeated, dense, strict=True)])


def row_stride(shape: tuple[int, ...], strides: tuple[int, ...], itemsize: int) -> int | None:
    """Leading dimension of an array seen as rows of its last axis; None if it has none."""
    if len(shape) < 2 or 0 in shape or strides[-1] != itemsize:
        return None
    ((_, stride), *outer) = reversed(_merged(shape[:-1], [strides[:-1]]))
    return None if outer or stride % itemsize else max(stride // itemsize, shape[-1])


def _usable(
    shape: tuple[int, ...], strides: tuple[int, ...], itemsize: int
) -> tuple[tuple[int, ...], bool]:
    """Strides in elements as they are or, where a BLAS cannot read them, after packing."""
    elements = tuple([s // itemsize for s in strides])
    whole = all(s % itemsize == 0 for s in strides)
    # One batch stride must do for all axes along which the operand is not broadcast.
    varying = [(n, s) for n, s in zip(shape[:-2], elements, strict=False) if n > 1 and s]
    even = all(p == n * q for (_, p), (n, q) in itertools.pairwise(varying))
    positive = all(s > 0 for _, s in varying)
    if whole and even and positive and _matrix(shape[-2], shape[-1], elements) is not None:
        return elements, False
    return packed_strides(shape, elements, 1), True


def _matrix(rows: int, columns: int, strides: tuple[int, ...]) -> Matrix | None:
    """Read the last two strides as a matrix with a leading dimension, if it has one."""
    down, right = strides[-2:]
    if columns <= 1 or right == 1:
        ld = down if rows > 1 else max(columns, 1)
        if ld >= columns and ld > 0:
            return Matrix(False, ld, 0)
    if rows <= 1 or down == 1:
        ld = right if columns > 1 else max(rows, 1)
        if ld >= rows and ld > 0:
            return Matrix(True, ld, 0)
    return None


def _fitting(rows: int, columns: int, strides: tuple[int, ...]) -> Matrix:
    """`_matrix` of strides that are known to have one."""
    matrix = _matrix(rows, columns, strides)
    assert matrix is not None
    return matrix


def _spread(shape: tuple[int, ...], strides: tuple[int, ...], lead: tuple[int, ...]) -> list[int]:
    """Batch strides over the broadcast batch axes: 0 where the operand has none or one."""
    own = [s if n > 1 else 0 for n, s in zip(shape, strides, strict=False)]
    return [0] * (len(lead) - len(shape)) + own


def _merged(shape: Sequence[int], operands: Sequence[Sequence[int]]) -> list[tuple[int, ...]]:
    """Axes as (length, stride of each operand), neighbours joined where all operands allow it."""
    axes: list[tuple[int, ...]] = []
    for n, *strides in zip(shape, *operands, strict=True):
        if n == 1:
            continue
        if axes and all(p == n * q for p, q in zip(axes[-1][1:], strides, strict=True)):
            n *= axes.pop()[0]
        axes.append((n, *strides))
    return axes or [(1, *[0] * len(operands))]


def _folded(
    m: int, n: int, k: int, batch: int, matrices: list[Matrix]
) -> tuple[int, int, list[Matrix]]:
    """Turn a batch against one shared `b` into more rows: one large product, not many small."""
    a, b, out = matrices
    if batch == 1 or b.stride or a.transposed:
        return m, batch, matrices
    if m == 1 and a.stride >= k and out.stride >= n:  # single rows: the batch stride is the ld
        return batch, 1, [Matrix(False, a.stride, 0), b, Matrix(False, out.stride, 0)]
    if a.stride == m * a.ld and out.stride == m * out.ld:
        return m * batch, 1, [a._replace(stride=0), b, out._replace(stride=0)]
    return m, batch, matrices


def _offsets(outer: list[tuple[int, ...]]) -> tuple[tuple[int, int, int], ...]:
    """Starts of the operands for each index along the axes that did not merge."""
    steps = [[(i * sa, i * sb, i * so) for i in range(n)] for n, sa, sb, so in outer]
    return tuple(
        (sum(s[0] for s in starts), sum(s[1] for s in starts), sum(s[2] for s in starts))
        for starts in itertools.product(*steps)
    )
