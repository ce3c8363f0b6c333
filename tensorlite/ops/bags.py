"""Embedding bags: sums, means or largest elements of groups of rows of a table."""

from __future__ import annotations

import math

import numpy as np

from tensorlite.backend import Array, array_backend
from tensorlite.ops.compare import where
from tensorlite.ops.embedding import embedding, embedding_backward, table_row
from tensorlite.ops.fused import widened
from tensorlite.ops.index import take_along_axis
from tensorlite.ops.padding import pad_constant
from tensorlite.tensor import Tensor, tensor_of

__all__ = ["embedding_bag"]


def embedding_bag(
    input: Tensor,
    weight: Tensor,
    offsets: Tensor | None = None,
    max_norm: float | None = None,
    norm_type: float = 2,
    scale_grad_by_freq: bool = False,
    mode: str = "mean",
    sparse: bool = False,
    per_sample_weights: Tensor | None = None,
    include_last_offset: bool = False,
    padding_idx: int | None = None,
) -> Tensor:
    """Sums, means or largest elements of bags of rows of `weight`.

    Parameters
    ----------
    input
        Integers in [0, rows): one bag per row (bags, n), or one after another (n,).
    weight, max_norm, norm_type, scale_grad_by_freq, sparse
        As in `embedding`.
    offsets
        Of an `input` of one axis: where the bags begin, ascending from 0.
    mode : {"sum", "mean", "max"}
        Empty bags give zeros; of equal largest elements the first has the gradient.
    per_sample_weights
        Factor of each row, of `input`'s shape; for "sum".
    include_last_offset
        Whether the last of `offsets` is the end of the last bag.
    padding_idx
        Index that belongs to no bag.

    Returns
    -------
    Tensor, shape (bags, D)

    Raises
    ------
    ValueError
        If there is no such `mode`, or shapes or options do not fit each other.

    Examples
    --------
    >>> tl.embedding_bag(tl.tensor([[0, 1]]), tl.tensor([[1.0, 2.0], [3.0, 4.0]]))
    tensor([[2., 3.]])
    """
    op = "embedding_bag"
    if mode not in ("sum", "mean", "max"):
        raise ValueError(f"{op}: mode {mode!r} is none of 'sum', 'mean', 'max'")
    if per_sample_weights is not None and (
        mode != "sum" or per_sample_weights.shape != input.shape
    ):
        raise ValueError(
            f"{op}: per_sample_weights of shape {per_sample_weights.shape} with mode {mode!r}; "
            f"they are for 'sum', of input's shape {input.shape}"
        )
    if mode == "max" and scale_grad_by_freq:
        raise ValueError(f"{op}: scale_grad_by_freq is not for mode 'max'")
    padding_idx = table_row(op, padding_idx, weight)
    bags, count = _bags(input, offsets, include_last_offset)
    flat = input.reshape(math.prod(input.shape))
    rows = embedding(flat, weight, padding_idx, max_norm, norm_type, scale_grad_by_freq, sparse)
    backend = array_backend((bags,))
    xp = backend.xp
    if padding_idx is None:
        counts = xp.bincount(bags, minlength=count)
    else:
        belongs = flat.array != padding_idx
        counts = xp.bincount(bags[belongs], minlength=count)
    if mode == "max":
        return _largest_of_bags(rows, bags, count, None if padding_idx is None else belongs)
    if per_sample_weights is not None:
        rows = rows * per_sample_weights.reshape(-1, 1)
    if padding_idx is not None:
        rows = where(belongs[:, None], rows, 0.0)
    total = embedding_backward(rows, bags, rows=count, padding_idx=None)
    if mode == "sum":
        return total
    return total / tensor_of(xp.maximum(counts, 1)[:, None].astype(total.dtype))


def _bags(input: Tensor, offsets: Tensor | None, include_last: bool) -> tuple[Array, int]:
    """The bag of each index, and how many there are."""
    raw = input.array
    backend = array_backend((raw,))
    xp = backend.xp
    if len(input.shape) == 2:
        if offsets is not None:
            raise ValueError("embedding_bag: offsets are for an input of one axis")
        bags, n = input.shape
        return xp.repeat(xp.arange(bags), n), bags
    if len(input.shape) != 1 or offsets is None or len(offsets.shape) != 1:
        raise ValueError(
            f"embedding_bag: input of shape {input.shape} must be (bags, n), or (n,) with offsets "
            "(bags,)"
        )
    starts = offsets.array
    if include_last and not starts.size:
        raise ValueError("embedding_bag: offsets are empty, but include_last_offset=True")
    on_host = isinstance(starts, np.ndarray) and starts.size
    if on_host and (starts[0] or (np.diff(starts) < 0).any() or starts[-1] > raw.size):
        raise ValueError(
            f"embedding_bag: offsets {starts.tolist()} must ascend from 0 to at most {raw.size}, "
            "the number of indices"
        )
    starts = starts[:-1] if include_last else starts
    return xp.searchsorted(starts, xp.arange(raw.size), side="right") - 1, int(starts.size)


def _largest_of_bags(rows: Tensor, bags: Array, count: int, belongs: Array | None) -> Tensor:
    """The largest elements of the `rows` of each bag, the first of equal ones."""
    xp = array_backend((bags,)).xp
    numbers = xp.arange(bags.size)
    if belongs is not None:
        numbers, bags = numbers[belongs], bags[belongs]
    counts = xp.bincount(bags, minlength=count)
    longest = max(int(counts.max()) if count else 0, 1)
    table = xp.zeros((count, longest), np.int64)
    table[bags, xp.arange(bags.size) - (xp.cumsum(counts) - counts)[bags]] = numbers
    if not rows.shape[0]:  # there is nothing to take from, but there are bags
        rows = pad_constant(rows, widths=((0, 1), (0, 0)), value=0)
    inside = xp.arange(longest) < counts[:, None]
    values = xp.where(inside[..., None], widened(rows.array)[table], -math.inf)
    best = xp.take_along_axis(table, values.argmax(axis=1), 1)
    return where((counts > 0)[:, None], take_along_axis(rows, best, axis=0), 0.0)
