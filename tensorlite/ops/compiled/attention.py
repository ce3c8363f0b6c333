"""Attention, whose scores are never kept."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from tensorlite.backend import Array, array_backend
from tensorlite.backend.dtypes import is_short
from tensorlite.ops.attention import attention, attention_backward
from tensorlite.ops.compiled.arrays import alike, kernel_sum_dtype, plain, widened_on_host

MOST_HEAD_DIMS = 128  # that a team on CUDA holds in registers


def _heads(shape: tuple[int, ...]) -> tuple[int, int]:
    """(…, heads, rows, columns) as a number of batches and one of heads."""
    *lead, heads = shape[:-2] if len(shape) > 2 else (1,)
    return math.prod(lead), heads


def _has_dense_rows(x: Array) -> bool:
    return x.shape[-1] == 1 or x.strides[-1] == x.itemsize


def _in_heads(x: Array, batch: int, heads: int) -> Array:
    """`x` as (batch, heads, rows, columns): a view if possible, as heads may lie side by side."""
    if x.ndim != 4:
        x = x.reshape(batch, heads, *x.shape[-2:])
    return x if _has_dense_rows(x) else array_backend((x,)).copy(x)


def _room(k: Any, x: Array) -> Array:
    """An array for what has the shape of `x`, its axes in the same order in memory."""
    shape, strides = x.shape, x.strides
    if x.flags.c_contiguous:
        return k.empty(shape, x.dtype)
    room, step = [0] * len(shape), x.itemsize
    for axis in sorted(range(len(shape)), key=strides.__getitem__):
        room[axis] = step
        step *= shape[axis]
    if room[-1] != x.itemsize:
        return k.empty(shape, x.dtype)
    return _laid_out(k, k.empty((x.size,), x.dtype), shape, room, 0)


def _rooms(k: Any, xs: list[Array]) -> list[Array]:
    """A `_room` for each: parts of one array where these are, so that they need not be joined."""
    first = xs[0]
    shape, strides = first.shape, first.strides
    starts = [*map(array_backend(xs).address, xs)]
    lowest, second, *_ = ordered = sorted(starts)
    step = second - lowest
    dense = first.itemsize
    for stride, n in sorted(zip((step, *strides), (len(xs), *shape), strict=True)):
        if n != 1 and stride != dense:
            return [_room(k, x) for x in xs]
        dense *= n
    alike = all(x.shape == shape and x.strides == strides for x in xs)
    if not alike or any(start != lowest + i * step for i, start in enumerate(ordered)):
        return [_room(k, x) for x in xs]
    whole = k.empty((len(xs) * first.size,), first.dtype)
    return [_laid_out(k, whole, shape, strides, start - lowest) for start in starts]


def _laid_out(
    k: Any, memory: Array, shape: Sequence[int], strides: Sequence[int], at: int
) -> Array:
    """The array that begins `at` so many bytes in that of another."""
    if k.on_host:
        return np.ndarray(shape, memory.dtype, memory, at, strides)
    return k.empty(shape, memory.dtype, memory.data + at, strides)


def _tiles(k: Any, query: Array) -> int:
    """For how long rows the kernels on tensor cores are that take this query; 0 for none."""
    if k.on_host or not is_short(query.dtype) or not k.has_tiles(query):
        return 0
    return 64 if query.shape[-1] <= 64 else 128


def _attention_arguments(
    k: Any, query: Array, key: Array, value: Array, mask: Array | None, *others: Array
) -> tuple[list, list, tuple[int, ...]] | None:
    """The arrays, the mask as an additive or a boolean one, and the numbers of the kernel."""
    if k.on_host and query.dtype.char not in "fd":
        return None
    dim = query.shape[-1]
    if not k.on_host and dim > MOST_HEAD_DIMS:
        return None
    same = query.shape[:-2] == key.shape[:-2] == value.shape[:-2]
    if not same or key.shape[-1] != dim or value.shape[-1] != dim:
        return None
    if not alike(query, key, value, *others):
        return None
    batch, heads = _heads(query.shape)
    arrays = [_in_heads(x, batch, heads) for x in (query, key, value, *others)]
    queries, keys = query.shape[-2], key.shape[-2]
    if mask is None:
        return arrays, [None, None], (batch, heads, queries, keys, dim, 1, 1, 1)
    if mask.ndim > 4 or mask.shape[-1] != keys or (query.ndim > 4 and mask.ndim > 2):
        return None
    shape = (1,) * (4 - mask.ndim) + mask.shape
    if query.ndim == 3:  # one axis before the matrices: it counts as the heads
        shape = (1, *shape[1:])
    allowed = [(batch, 1), (heads, 1), (queries, 1)]
    if any(n not in pair for n, pair in zip(shape, allowed, strict=False)):
        return None
    mask = mask if plain(mask) else mask.copy()
    if mask.dtype == bool:
        masks = [None, mask]
    elif mask.dtype == query.dtype:
        masks = [mask, None]
    else:
        return None
    return arrays, masks, (batch, heads, queries, keys, dim, *shape[:3])


@attention.kernel
@widened_on_host(statistics_out=1)
def _attention(
    k: Any,
    query: Array,
    key: Array,
    value: Array,
    mask: Array | None = None,
    *,
    is_causal: bool,
    scale: float,
    save: bool,
) -> Any:
    found = _attention_arguments(k, query, key, value, mask)
    if found is None:
        return NotImplemented
    arrays, masks, numbers = found
    y = _room(k, arrays[0])
    lse = k.empty((*query.shape[:-1], 1), kernel_sum_dtype(query.dtype))
    width = _tiles(k, query)
    kernel = getattr(k, f"attention_tiles_{width}") if width else k.attention
    kernel(*arrays, *masks, y, lse, *numbers, scale, is_causal)
    return y.reshape(query.shape), lse


@attention_backward.kernel
@widened_on_host(statistics_in=1)
def _attention_backward(
    k: Any,
    dy: Array,
    query: Array,
    key: Array,
    value: Array,
    mask: Array | None,
    out: Array,
    lse: Array,
    *,
    is_causal: bool,
    scale: float,
) -> Any:
    found = _attention_arguments(k, query, key, value, mask, dy, out)
    if found is None:
        return NotImplemented
    (*arrays, dy, out), masks, numbers = found
    inputs = (dy, *arrays, *masks)
    dq, dk, dv = _rooms(k, arrays)
    if k.on_host:
        k.attention_backward(*inputs, out, lse, dq, dk, dv, *numbers, scale, is_causal)
    else:
        mean = k.empty(lse.shape, lse.dtype)
        width = _tiles(k, query)
        names = (f"tiles_{{}}_{width}" if width else "backward_{}").format
        of_queries, of_keys = (getattr(k, f"attention_{names(x)}") for x in ("queries", "keys"))
        of_queries(*inputs, out, lse, dq, mean, *numbers, scale, is_causal)
        of_keys(*inputs, lse, mean, dk, dv, *numbers, scale, is_causal)
    return tuple(d.reshape(x.shape) for d, x in zip((dq, dk, dv), (query, key, value), strict=True))
