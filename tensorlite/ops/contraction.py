"""Sums of products over named axes, as matrix products.

`einsum` and `tensordot` come down to `contract`: two operands whose axes have labels are brought to
the form (batch, kept, summed) @ (batch, summed, kept) by transposing and merging axes.
Everything is written with primitives, so the gradients, of any order, follow.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from itertools import combinations
from typing import Any

from tensorlite.backend.dims import named_dims
from tensorlite.ops.diagonals import diagonal
from tensorlite.ops.linalg import matmul
from tensorlite.ops.reduce import sum as sum_
from tensorlite.ops.shape import reshape, transpose_axes
from tensorlite.tensor import Tensor

__all__ = ["einsum", "tensordot"]


def einsum(*args: Any) -> Tensor:
    """Sum products of elements over the axes named alike: ``einsum(equation, *operands)``.

    Parameters
    ----------
    equation : str
        One letter for each axis, commas between the operands, and after ``->`` the axes of the
        result: ``"bik,bkj->bij"``. ``...`` stands for axes that broadcast; where the result lacks
        it they are summed, too. Without ``->`` the result has the axes of ``...`` and the letters
        that occur once, in alphabetical order.
    *operands : Tensor
        One by one or as one list. Instead of an equation a list of numbers below 52 may follow each
        operand, and one more say the result's axes: ``einsum(x, [0, 1], y, [1, 2], [0, 2])``;
        ``...`` stands there, too.

    Returns
    -------
    Tensor

    Raises
    ------
    ValueError
        If the letters do not fit the operands' axes or lengths.
    RuntimeError
        If the operands' dtypes differ.

    Examples
    --------
    >>> tl.einsum("ij,kj->ik", tl.ones(2, 3), tl.ones(4, 3)).shape
    (2, 4)
    """
    subscripts, operands = _equation(args)
    if len({x.dtype for x in operands}) > 1:
        dtypes = ", ".join(str(x.dtype) for x in operands)
        raise RuntimeError(f"einsum: operands of {dtypes}: cast them to one dtype")
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


LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
ORDERED = LETTERS[26:] + LETTERS[:26]  # as the alphabet sorts them
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


def _equation(args: tuple) -> tuple[str, Sequence[Tensor]]:
    """The equation and the operands, in whichever form they were given."""
    if args and isinstance(args[0], str):
        rest = args[1:]
        if len(rest) == 1 and isinstance(rest[0], (tuple, list)):
            rest = tuple(rest[0])
        if not rest:
            raise ValueError("einsum: give at least one operand")
        return args[0], rest
    if len(args) < 2 or not all(isinstance(a, (tuple, list)) for a in args[1::2]):
        raise ValueError(
            "einsum: an equation and operands, einsum('ij,jk->ik', x, y), or operands each with a "
            "list of its axes, einsum(x, [0, 1], y, [1, 2], [0, 2])"
        )
    pairs, result = len(args) // 2, args[-1] if len(args) % 2 else None
    equation = ",".join(_as_letters(args[2 * i + 1]) for i in range(pairs))
    if result is not None:
        equation += "->" + _as_letters(result)
    return equation, args[: 2 * pairs : 2]


def _as_letters(axes: Sequence) -> str:
    for axis in axes:
        if axis is not ... and not 0 <= axis < len(LETTERS):
            raise ValueError(f"einsum: axis {axis} in {list(axes)}: use numbers from 0 to 51")
    return "".join("..." if axis is ... else ORDERED[axis] for axis in axes)


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
    if output.count("...") > 1 or any(part.count("...") > 1 for part in parts):
        raise ValueError(f"einsum: {subscripts!r}: '...' may stand once for an operand")
    unknown = set(letters + output.replace("...", "")) - set(LETTERS)
    if unknown or len(set(result)) < len(result) or not set(result) <= set("".join(labels)):
        raise ValueError(
            f"einsum: {subscripts!r}: axes are letters, and the result names each of its "
            "axes once, after one of the operands"
        )
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


# --- tensordot ----------------------------------------------------------------------------------


def tensordot(a: Tensor, b: Tensor, dims: Any = 2, out: None = None) -> Tensor:
    """Sum products over axes of two Tensors.

    Parameters
    ----------
    a, b : Tensor
        Of one dtype.
    dims : int or (sequence of int, sequence of int)
        The last `dims` axes of `a` with the first of `b`, or the axes of each; a Tensor of such
        numbers is taken, too. An axis of length 1 fits any other.
    out : None
        Taken as torch takes it; only None.

    Returns
    -------
    Tensor
        The other axes of `a`, then those of `b`.

    Raises
    ------
    RuntimeError
        If the axes do not fit.

    Examples
    --------
    >>> tl.tensordot(tl.tensor([[1.0, 2.0], [3.0, 4.0]]), tl.tensor([[0.0, 1.0], [1.0, 0.0]]))
    tensor(5.)
    """
    if out is not None:
        raise TypeError("tensordot: out= is not supported: results are new Tensors")
    if a.dtype != b.dtype:
        raise RuntimeError(f"tensordot: operands of {a.dtype} and {b.dtype}: cast one")
    if isinstance(dims, Tensor):
        dims = dims.tolist()
    if isinstance(dims, int):
        if not 0 <= dims <= min(len(a.shape), len(b.shape)):
            raise RuntimeError(
                f"tensordot: dims={dims} for shapes {tuple(a.shape)} and {tuple(b.shape)}"
            )
        dims = (range(len(a.shape) - dims, len(a.shape)), range(dims))
    first, second = ((d,) if isinstance(d, int) else d for d in dims)
    of_a = named_dims(tuple(first), len(a.shape), "tensordot: a")
    of_b = named_dims(tuple(second), len(b.shape), "tensordot: b")
    lengths = [[x.shape[i] for i in own] for x, own in ((a, of_a), (b, of_b))]
    pairs = zip(*lengths, strict=False)
    if len(of_a) != len(of_b) or any(n != m and 1 not in (n, m) for n, m in pairs):
        raise RuntimeError(
            f"tensordot: axes {of_a} of shape {tuple(a.shape)} and {of_b} of {tuple(b.shape)} "
            "differ in length"
        )
    # Beside a length of 1 the longer axis is summed alone.
    a = _summed_beside_one(a, of_a, lengths[1])
    b = _summed_beside_one(b, of_b, lengths[0])
    a_labels = "".join(map(chr, range(len(a.shape))))
    b_labels = [chr(len(a.shape) + i) for i in range(len(b.shape))]
    for i, j in zip(of_a, of_b, strict=True):
        b_labels[j] = a_labels[i]
    kept = set(a_labels) ^ set(b_labels)
    return contract(a, a_labels, b, "".join(b_labels), kept)[0]


def _summed_beside_one(x: Tensor, axes: Sequence[int], others: Sequence[int]) -> Tensor:
    over = tuple([i for i, n in zip(axes, others, strict=True) if n == 1 and x.shape[i] != 1])
    return sum_(x, axis=over, keepdims=True) if over else x
