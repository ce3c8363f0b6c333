"""Finding places: in sorted sequences; and choices of elements."""

from __future__ import annotations

import itertools
from types import ModuleType
from typing import Any

import numpy as np

from tensorlite.backend import Array
from tensorlite.backend.dtypes import int32, int64
from tensorlite.ops.distinct import beside
from tensorlite.ops.fused import widened
from tensorlite.ops.index import take_along_axis
from tensorlite.ops.joining import stack
from tensorlite.ops.shape import broadcast_to
from tensorlite.primitive import primitive

__all__ = ["bucketize", "cartesian_prod", "combinations", "searchsorted"]


@primitive(name="searchsorted")
def sorted_places(
    xp: ModuleType, sequence: Array, x: Array, *, right: bool, dtype: np.dtype
) -> Array:
    """How many elements of an ascending `sequence` (…, n) are less than `x`, or not greater.

    With more axes than one each row is searched for the same row of `x`.
    """
    sequence, x = widened(sequence), widened(x)
    if sequence.ndim == 1:
        return xp.searchsorted(sequence, x, side="right" if right else "left").astype(dtype)
    # A binary search in all rows at once.
    n = sequence.shape[-1]
    low, high = xp.zeros(x.shape, int64), xp.full(x.shape, n, int64)
    for _ in range(n.bit_length()):
        middle = (low + high) // 2
        value = xp.take_along_axis(sequence, xp.minimum(middle, n - 1), -1)
        before = (low < high) & (~(value > x) if right else ~(value >= x))
        low = xp.where(before, middle + 1, low)
        high = xp.where(before, high, xp.maximum(middle, low))
    return low.astype(dtype)


def searchsorted(
    sorted_sequence: Any,
    input: Any,
    *,
    out_int32: bool = False,
    right: bool = False,
    side: str | None = None,
    sorter: Any = None,
) -> Any:
    """Where elements belong in ascending sequences.

    Parameters
    ----------
    sorted_sequence : Tensor, shape (n,) or (..., n)
        Ascending along the last axis.
    input : Tensor or number
        What to look for; of (..., n) with the same axes before the last.
    out_int32 : bool
        Return int32 instead of int64.
    right : bool
        Behind equal elements, not before them.
    side : {"left", "right"}, optional
        Says the same.
    sorter : integer Tensor, optional
        Indices that sort `sorted_sequence`, if it is not.

    Returns
    -------
    Tensor
        Of `input`'s shape: numbers from 0 to n.

    Raises
    ------
    ValueError
        If the shapes do not fit, or `side` contradicts `right`.

    Examples
    --------
    >>> tl.searchsorted(tl.tensor([1.0, 2.0, 4.0]), tl.tensor([2.0, 3.0]))
    tensor([1, 2])
    """
    if side not in (None, "left", "right") or (side == "left" and right):
        raise ValueError(f"searchsorted: side={side!r} with right={right}")
    input = beside(input, sorted_sequence)
    shape, wanted = tuple(sorted_sequence.shape), tuple(input.shape)
    if not shape or (len(shape) > 1 and shape[:-1] != wanted[:-1]):
        raise ValueError(
            f"searchsorted: sorted_sequence of shape {shape} has one axis, or all but the last of "
            f"input's, {wanted}"
        )
    if sorter is not None:
        if tuple(sorter.shape) != shape:
            raise ValueError(f"searchsorted: sorter of shape {tuple(sorter.shape)}, not {shape}")
        sorted_sequence = take_along_axis(sorted_sequence, sorter, axis=-1)
    dtype = int32 if out_int32 else int64
    return sorted_places(sorted_sequence, input, right=right or side == "right", dtype=dtype)


def bucketize(input: Any, boundaries: Any, *, out_int32: bool = False, right: bool = False) -> Any:
    """Number of the part between ascending `boundaries` (n,) in which each element lies.

    Part i reaches from boundary i - 1 to i, of which it has the upper; with ``right=True`` the
    lower. The result has `input`'s shape, and numbers from 0 to n.

    Parameters
    ----------
    input : Tensor or number
        Of any shape.
    boundaries : Tensor, shape (n,)
    out_int32, right : bool
        Whether to return int32, not int64; as above.

    Returns
    -------
    Tensor of int64 or int32

    Raises
    ------
    ValueError
        If `boundaries` has not one axis.

    Examples
    --------
    >>> tl.bucketize(tl.tensor([0.5, 1.0, 9.0]), tl.tensor([1.0, 2.0]))
    tensor([0, 0, 2])
    """
    if len(boundaries.shape) != 1:
        raise ValueError(f"bucketize: boundaries have one axis, not shape {boundaries.shape}")
    return searchsorted(boundaries, input, out_int32=out_int32, right=right)


def combinations(input: Any, r: int = 2, with_replacement: bool = False) -> Any:
    """All choices of `r` elements of a Tensor (n,), one per row, in order of their places.

    Parameters
    ----------
    input : Tensor, shape (n,)
    r : int
        At least 0.
    with_replacement : bool
        Whether an element may be chosen more than once.

    Returns
    -------
    Tensor, shape (choices, r), or (0,) for ``r=0``

    Raises
    ------
    ValueError
        If `input` has not one axis, or `r` is negative.

    Examples
    --------
    >>> tl.combinations(tl.tensor([1, 2, 3]))
    tensor([[1, 2],
            [1, 3],
            [2, 3]])
    """
    if len(input.shape) != 1:
        raise ValueError(f"combinations: input has one axis, not shape {tuple(input.shape)}")
    if r < 0:
        raise ValueError(f"combinations: r={r} is negative")
    if r == 0:
        return input[:0]
    if r > input.shape[0] and not (with_replacement and input.shape[0]):  # there is none
        return input[np.empty((0, r), np.int64)]
    choose = itertools.combinations_with_replacement if with_replacement else itertools.combinations
    places = np.array(list(choose(range(input.shape[0]), r)), np.int64).reshape(-1, r)
    return input[places]


def cartesian_prod(*tensors: Any) -> Any:
    """All ways to take one element of each Tensor (n,), one per row, the last changing fastest.

    Parameters
    ----------
    *tensors : Tensor, shape (n,)
        Of one dtype.

    Returns
    -------
    Tensor, shape (ways, number of Tensors), or of a single Tensor that itself

    Raises
    ------
    ValueError
        If there is none, one has not one axis, or their dtypes differ.

    Examples
    --------
    >>> tl.cartesian_prod(tl.tensor([1, 2]), tl.tensor([3, 4]))
    tensor([[1, 3],
            [1, 4],
            [2, 3],
            [2, 4]])
    """
    if not tensors:
        raise ValueError("cartesian_prod: at least one Tensor")
    for t in tensors:
        if len(t.shape) != 1 or t.dtype != tensors[0].dtype:
            raise ValueError(
                f"cartesian_prod: Tensors with one axis and one dtype, not {t.dtype} of shape "
                f"{tuple(t.shape)}"
            )
    if len(tensors) == 1:
        return tensors[0]
    shape = tuple([t.shape[0] for t in tensors])
    grids = [
        broadcast_to(t.reshape((-1,) + (1,) * (len(shape) - i - 1)), shape).reshape((-1,))
        for i, t in enumerate(tensors)
    ]
    return stack(grids, 1)
