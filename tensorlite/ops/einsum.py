"""Sums of products over named axes, as matrix products.

`einsum`, `tensordot`, `dot` and `outer` all come down to `contract`: two operands whose axes have
labels are brought to the form (batch, kept, summed) @ (batch, summed, kept) by transposing and
merging axes. Everything is written with primitives, so the gradients, of any order, follow.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from itertools import combinations
from string import ascii_letters

from numpy.lib.array_utils import normalize_axis_tuple

from tensorlite.ops.linalg import matmul
from tensorlite.ops.parts import diagonal
from tensorlite.ops.reduce import sum as sum_
from tensorlite.ops.shape import reshape, transpose_axes
from tensorlite.tensor import Tensor

__all__ = ["dot", "einsum", "outer", "tensordot"]


def einsum(subscripts: str, *operands: Tensor) -> Tensor:
    """Sum products of elements over the axes named alike, as `numpy.einsum`.

    Parameters
    ----------
    subscripts : str
        One letter for each axis, commas between the operands, and after ``->`` the axes of the
        result: ``"bik,bkj->bij"``. ``...`` stands for axes that broadcast. Without ``->`` the
        result has the letters that occur once, in alphabetical order.
    *operands : Tensor

    Returns
    -------
    Tensor

    Raises
    ------
    ValueError
        If the letters do not fit the operands' axes or lengths.
    """
    labels, result = _parse(subscripts, [len(x.shape) for x in operands])
    lengths = _lengths(subscripts, labels, operands)
    terms = [
        _unstretched(*_with_diagonals(subscripts, x, own), lengths)
        for x, own in zip(operands, labels, strict=True)
    ]
    for i, (x, own) in enumerate(terms):
        elsewhere = set(result).union(*(other for j, (_, other) in enumerate(terms) if j != i))
        terms[i] = _summed(x, own, [label for label in own if label not in elsewhere])
    while len(terms) > 1:
        i, j = _next_pair(terms, result, lengths)
        (b, b_labels), (a, a_labels) = terms.pop(j), terms.pop(i)
        kept = set(result).union(*(own for _, own in terms))
        terms.append(contract(a, a_labels, b, b_labels, kept))
    x, own = terms[0]
    return _arranged(x, own, result)


Term = tuple[Tensor, str]  # an operand and the labels of its axes


def contract(a: Tensor, a_labels: str, b: Tensor, b_labels: str, kept: Iterable[str]) -> Term:
    """Multiply two operands and sum over the labels that both have and `kept` lacks.

    No label occurs twice in an operand, and equal labels have equal lengths.
    """
    batch = [label for label in a_labels if label in b_labels and label in kept]
    summed = [label for label in a_labels if label in b_labels and label not in kept]
    a_only = [label for label in a_labels if label not in b_labels]
    b_only = [label for label in b_labels if label not in a_labels]
    length = dict(zip(a_labels + b_labels, (*a.shape, *b.shape), strict=True))
    lead, rows, columns = ([length[x] for x in group] for group in (batch, a_only, b_only))
    if not summed:  # no matrix product, but one that broadcasts
        left = reshape(_arranged(a, a_labels, batch + a_only), [*lead, *rows, *[1] * len(columns)])
        right = reshape(_arranged(b, b_labels, batch + b_only), [*lead, *[1] * len(rows), *columns])
        return left * right, "".join(batch + a_only + b_only)
    n, k, m = math.prod(rows), math.prod(length[x] for x in summed), math.prod(columns)
    left = reshape(_arranged(a, a_labels, batch + a_only + summed), [*lead, n, k])
    right = reshape(_arranged(b, b_labels, batch + summed + b_only), [*lead, k, m])
    product = reshape(matmul(left, right), [*lead, *rows, *columns])
    return product, "".join(batch + a_only + b_only)


def _arranged(x: Tensor, labels: Sequence[str], order: Sequence[str]) -> Tensor:
    """`x` with its axes in another order."""
    axes = tuple(labels.index(label) for label in order)
    return x if axes == tuple(range(len(axes))) else transpose_axes(x, axes)


# --- reading the subscripts ---------------------------------------------------------------------


def _parse(subscripts: str, ndims: list[int]) -> tuple[list[str], str]:
    """Labels of each operand's axes and of the result's; axes of ``...`` get labels of their own.

    Those count from the right, so that they meet as broadcasting wants.
    """
    inputs, arrow, output = subscripts.replace(" ", "").partition("->")
    parts = inputs.split(",")
    if len(parts) != len(ndims):
        raise ValueError(f"einsum: {subscripts!r} is for {len(parts)} operands, not {len(ndims)}")
    spare = [ndim - len(part.replace("...", "")) for part, ndim in zip(parts, ndims, strict=True)]
    for i, (part, n) in enumerate(zip(parts, spare, strict=True)):
        if n < 0 or (n and "..." not in part):
            raise ValueError(
                f"einsum: operand {i} has {ndims[i]} axes, which {part!r} in {subscripts!r} does "
                "not fit"
            )
    dots = "".join(map(chr, range(0x100, 0x100 + max(spare, default=0))))[::-1]
    labels = [
        part.replace("...", dots[len(dots) - n :]) for part, n in zip(parts, spare, strict=True)
    ]
    letters = inputs.replace("...", "").replace(",", "")
    if not arrow:
        output = "..." + "".join(sorted(x for x in set(letters) if letters.count(x) == 1))
    result = output.replace("...", dots)
    unknown = set(letters + output.replace("...", "")) - set(ascii_letters)
    if unknown or len(set(result)) < len(result) or not set(result) <= set("".join(labels)):
        raise ValueError(
            f"einsum: {subscripts!r}: axes are letters, and the result names each of its "
            "axes once, after one of the operands"
        )
    if dots and "..." not in output:
        raise ValueError(f"einsum: {subscripts!r}: the result lacks the axes of '...'")
    return labels, result


def _lengths(subscripts: str, labels: list[str], operands: Sequence[Tensor]) -> dict[str, int]:
    """Length of each label; a length of 1 stretches to others."""
    lengths: dict[str, int] = {}
    for i, (x, own) in enumerate(zip(operands, labels, strict=True)):
        for label, n in zip(own, x.shape, strict=True):
            known = lengths.get(label, 1)
            if 1 not in (n, known) and n != known:
                shapes = ", ".join(str(tuple(x.shape)) for x in operands)
                raise ValueError(
                    f"einsum: {subscripts!r} with shapes {shapes}: an axis of operand {i} has "
                    f"length {n}, where others of that name have {known}"
                )
            lengths[label] = known if n == 1 else n
    return lengths


def _with_diagonals(subscripts: str, x: Tensor, labels: str) -> Term:
    """Bring labels that an operand repeats down to one axis, their diagonal."""
    for label in labels:
        while labels.count(label) > 1:
            i = labels.index(label)
            j = labels.index(label, i + 1)
            if x.shape[i] != x.shape[j]:
                raise ValueError(
                    f"einsum: {subscripts!r}: {label!r} stands for axes of lengths {x.shape[i]} "
                    f"and {x.shape[j]} of one operand"
                )
            x = diagonal(x, 0, i, j)
            labels = labels[:i] + labels[i + 1 : j] + labels[j + 1 :] + label
    return x, labels


def _unstretched(x: Tensor, labels: str, lengths: dict[str, int]) -> Term:
    """Drop axes of length 1 that other operands stretch: multiplying does that."""
    kept = [(label, n) for label, n in zip(labels, x.shape, strict=True) if n == lengths[label]]
    if len(kept) == len(labels):
        return x, labels
    return reshape(x, [n for _, n in kept]), "".join(label for label, _ in kept)


def _summed(x: Tensor, labels: str, over: list[str]) -> Term:
    if not over:
        return x, labels
    axes = tuple(labels.index(label) for label in over)
    return sum_(x, axes), "".join(label for label in labels if label not in over)


def _next_pair(terms: list[Term], result: str, lengths: dict[str, int]) -> tuple[int, int]:
    """The two operands whose product is smallest: a greedy order of contraction."""

    def size(pair: tuple[int, int]) -> int:
        rest = (own for k, (_, own) in enumerate(terms) if k not in pair)
        kept = set(result).union(*rest)
        return math.prod(lengths[x] for x in {*terms[pair[0]][1], *terms[pair[1]][1]} & kept)

    return min(combinations(range(len(terms)), 2), key=size)


# --- the others ---------------------------------------------------------------------------------


def tensordot(a: Tensor, b: Tensor, axes: int | Sequence = 2) -> Tensor:
    """Sum products over `axes`, as `numpy.tensordot`.

    Parameters
    ----------
    a, b : Tensor
    axes : int or (sequence of int, sequence of int)
        The last `axes` of `a` with the first of `b`, or the axes of each.

    Returns
    -------
    Tensor
        The other axes of `a`, then those of `b`.
    """
    if isinstance(axes, int):
        axes = (range(len(a.shape) - axes, len(a.shape)), range(axes))
    of_a = normalize_axis_tuple(axes[0], len(a.shape), "tensordot: axes of a")
    of_b = normalize_axis_tuple(axes[1], len(b.shape), "tensordot: axes of b")
    if [a.shape[i] for i in of_a] != [b.shape[i] for i in of_b]:
        raise ValueError(
            f"tensordot: axes {of_a} of shape {a.shape} and {of_b} of {b.shape} differ in length"
        )
    a_labels = "".join(map(chr, range(len(a.shape))))
    b_labels = [chr(len(a.shape) + i) for i in range(len(b.shape))]
    for i, j in zip(of_a, of_b, strict=True):
        b_labels[j] = a_labels[i]
    kept = set(a_labels) ^ set(b_labels)
    return contract(a, a_labels, b, "".join(b_labels), kept)[0]


def dot(a: Tensor, b: Tensor) -> Tensor:
    """Sum products over `a`'s last axis and `b`'s last but one (or only) one, as `numpy.dot`."""
    if 0 in (len(a.shape), len(b.shape)):
        return a * b
    if len(b.shape) <= 2:
        return matmul(a, b)
    return tensordot(a, b, ((-1,), (-2,)))


def outer(a: Tensor, b: Tensor) -> Tensor:
    """Multiply each element of `a` with each of `b`; both are flattened first."""
    return reshape(a, (-1, 1)) * reshape(b, (1, -1))
