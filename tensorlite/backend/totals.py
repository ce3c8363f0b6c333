"""Sums of arrays, exact enough for any number of elements: the one rule for all of them.

**The rule.** float16 and bfloat16 are added up in float32 and rounded once; integers and booleans
are added up in int64; and no sum is a chain of more than `BLOCK` additions, so that its error does
not grow with the number of elements: a chain in float32 stands still at 2**24 ones.

NumPy adds pairwise along the axis that is next in memory, and in chains along others; those are cut
here. CuPy's reductions are trees.
"""

from __future__ import annotations

import math
from itertools import groupby
from types import ModuleType
from typing import Any

import numpy as np

from tensorlite.backend.dims import Axis, all_dims, dropped_shape, kept_shape
from tensorlite.backend.dtypes import int64, numpy_sum_dtype

Array = Any  # of NumPy or CuPy

BLOCK = 256
LONG_ROW = 512  # elements from which on rows are added one by one, with their sum in the cache


def total_dtype(dtype: np.dtype) -> np.dtype:
    """The dtype of a sum or a product of numbers of `dtype`."""
    return int64 if dtype.kind in "biu" else dtype


def total(
    xp: ModuleType, x: Array, axis: Axis = None, keepdims: bool = False, dtype: Any = None
) -> Array:
    """Sum over `axis` in `dtype`: by default float32 for short floats, int64 for integers."""
    axes = all_dims(axis, x.ndim)
    dtype = dtype or numpy_sum_dtype(x.dtype) or total_dtype(x.dtype)
    if xp is np and _needs_cuts(x, axes):
        shape = kept_shape(x.shape, axes) if keepdims else dropped_shape(x.shape, axes)
        return _cut_total(x, axes, dtype).reshape(shape)
    return x.sum(axis=axes, dtype=dtype, keepdims=keepdims)


def _needs_cuts(x: np.ndarray, axes: tuple[int, ...]) -> bool:
    """Whether NumPy's sum over `axes` would have long chains: several axes, or one not nearest."""
    if x.dtype.kind not in "fV" or not x.size or all(x.shape[i] <= BLOCK for i in axes):
        return False
    one_row = len(axes) == x.ndim and (x.flags.c_contiguous or x.flags.f_contiguous)
    return not one_row and axes != (_nearest(x),)


def _nearest(x: np.ndarray) -> int:
    """The axis whose elements are nearest in memory, NumPy's innermost; of several the last."""
    strides = [abs(s) if n > 1 else math.inf for s, n in zip(x.strides, x.shape, strict=True)]
    return max(i for i, stride in enumerate(strides) if stride == min(strides))


def _cut_total(x: np.ndarray, axes: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    """Sum over one axis after the other, the nearest in memory first; they stay, with length 1."""
    if x.flags.c_contiguous:
        x, axes = _merged(x, axes)
    nearest = _nearest(x)
    for i in sorted(axes, key=lambda i: (i != nearest, abs(x.strides[i]))):
        x = x.sum(axis=i, dtype=dtype, keepdims=True) if i == nearest else _along(x, i, dtype)
    return x


def _merged(x: np.ndarray, axes: tuple[int, ...]) -> tuple[np.ndarray, tuple[int, ...]]:
    """`x` with neighbours of one kind, to be summed over or not, as one axis; and the former."""
    lengths = []
    for _, group in groupby(range(x.ndim), axes.__contains__):
        lengths.append(math.prod([x.shape[i] for i in group]))
    first = 0 if 0 in axes else 1
    return x.reshape(lengths), tuple(range(first, len(lengths), 2))


def _along(x: np.ndarray, axis: int, dtype: np.dtype) -> np.ndarray:
    """Sum along one axis, which stays with length 1, in chains of at most `BLOCK`."""
    while x.shape[axis] > BLOCK:
        n = x.shape[axis]
        parts = -(-n // BLOCK)
        chain = n // parts
        before, after = x.shape[:axis], x.shape[axis + 1 :]
        head, rest = np.split(x, [chain * parts], axis)
        if math.prod(after) < LONG_ROW:  # one of each part at a time, so that many are added
            sums = head.reshape(*before, chain, parts, *after).sum(axis=axis, dtype=dtype)
        else:
            sums = head.reshape(*before, parts, chain, *after).sum(axis=axis + 1, dtype=dtype)
        x = np.concatenate((sums, rest.astype(dtype)), axis) if rest.shape[axis] else sums
    return x.sum(axis=axis, dtype=dtype, keepdims=True)
