"""Attention, whose scores are never kept."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from tensorlite.backend import Array, array_backend
from tensorlite.backend.dtypes import is_short
from tensorlite.backend.precision import get_float32_matmul_precision
from tensorlite.ops.attention import attention, attention_backward
from tensorlite.ops.compiled.arrays import alike, kernel_sum_dtype, plain, widened_on_host
from tensorlite.random import base_of

MOST_HEAD_DIMS = 128  # that a team on CUDA holds in registers
_LONGEST = 2**31 - 128  # rows that kernels count in 32 bits
_FURTHEST = 2**31  # bytes between rows, which kernels of tiles count in packs of 32 bits


def _heads(shape: tuple[int, ...]) -> tuple[int, int]:
    """(…, heads, rows, columns) as a number of batches and one of heads."""
    *lead, heads = shape[:-2] if len(shape) > 2 else (1,)
    return math.prod(lead), heads


def _has_dense_rows(x: Array) -> bool:
    """Whether kernels can read it: rows without gaps, and each element where it may begin."""
    dense = x.shape[-1] == 1 or x.strides[-1] == x.itemsize
    return dense and (x.__class__ is not np.ndarray or x.flags.aligned)


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


class _Arguments(NamedTuple):
    """What the kernels of both passes take."""

    arrays: list[Array]
    masks: list[Array | None]
    """An additive and a boolean one, and what is added to the offset of random numbers."""
    numbers: tuple[int, ...]
    rest: tuple[float, ...]
    """The scale, whether the mask is causal, the probability to drop, seed and offset."""
    names: Callable[[str], str]
    """The kernel's name for a pass: "", "_queries" or "_keys"."""


def _kernels(k: Any, query: Array, backward: bool) -> tuple[Callable[[str], str], int] | None:
    """The names of the kernels that take this query, and how long rows' packs must be."""
    dim = query.shape[-1]
    if k.on_host:
        return "attention{}".format, 1
    if k.has_tiles(query):
        if is_short(query.dtype) and dim <= (128 if backward else 256):
            return f"attention_tiles{{}}_{64 if dim <= 64 else -(-dim // 128) * 128}".format, 8
        high = query.dtype.char == "f" and get_float32_matmul_precision() == "high"
        if high and dim <= 128:
            return f"attention_tf32{{}}_{64 if dim <= 64 else 128}".format, 4
    if dim > MOST_HEAD_DIMS:
        return None
    return "attention{}".format if not backward else "attention_backward{}".format, 1


def _in_packs(x: Array, pack: int) -> Array:
    """`x` so that each row is whole packs of 16 bytes; with zeros behind it if need be."""
    dim = x.shape[-1]
    if not (
        dim % pack
        or array_backend((x,)).address(x) % 16
        or abs(x.strides[-2]) >= _FURTHEST
        or any(n > 1 and step % 16 for n, step in zip(x.shape[:-1], x.strides[:-1], strict=True))
    ):
        return x
    padded = array_backend((x,)).xp.zeros((*x.shape[:-1], -(-dim // pack) * pack), x.dtype)
    padded[..., :dim] = x
    return padded


def _arguments(
    k: Any,
    query: Array,
    key: Array,
    value: Array,
    mask: Array | None,
    *others: Array,
    backward: bool = False,
    is_causal: bool,
    scale: float,
    p: float,
    seed: tuple[int, int],
    offset: int,
) -> _Arguments | None:
    """What the kernels take; None if there are none for this."""
    if k.on_host and query.dtype.char not in "fd":
        return None
    if not alike(query, key, value, *others):
        return None
    dim, shared = query.shape[-1], key.shape[:-2] == value.shape[:-2]
    if not shared or query.ndim != key.ndim or key.shape[-1] != dim or value.shape[-1] != dim:
        return None
    (batch, heads), (_, kv_heads) = _heads(query.shape), _heads(key.shape)
    if query.shape[:-3] != key.shape[:-3] or heads % kv_heads:
        return None
    queries, keys = query.shape[-2], key.shape[-2]
    found = _kernels(k, query, backward)
    if found is None or max(queries, keys) > _LONGEST:
        return None
    names, pack = found
    mine = (heads, kv_heads, kv_heads, *[heads] * len(others))
    arrays = [
        _in_heads(x, batch, n) for x, n in zip((query, key, value, *others), mine, strict=True)
    ]
    if pack > 1:
        arrays = [_in_packs(x, pack) for x in arrays]
    masks, mask_shape = [None, None], (1, 1, 1)
    if mask is not None:
        if mask.ndim > 4 or mask.shape[-1] != keys or (query.ndim > 4 and mask.ndim > 2):
            return None
        shape = (1,) * (4 - mask.ndim) + mask.shape
        if query.ndim == 3:  # one axis before the matrices: it counts as the heads
            shape = (1, *shape[1:])
        allowed = [(batch, 1), (heads, 1), (queries, 1)]
        if any(n not in pair for n, pair in zip(shape, allowed, strict=False)):
            return None
        if mask.dtype not in (bool, query.dtype):
            return None
        masks[mask.dtype == bool] = mask if plain(mask) else mask.copy()
        mask_shape = shape[:3]
    numbers = (batch, heads, kv_heads, queries, keys, arrays[0].shape[-1], *mask_shape)
    base = base_of(seed) if p else None
    rest = (scale, is_causal, p, seed[0] | seed[1] << 32, offset)
    return _Arguments(arrays, [*masks, base], numbers, rest, names)


@attention.kernel
@widened_on_host(statistics_out=1)
def _attention(
    k: Any,
    query: Array,
    key: Array,
    value: Array,
    mask: Array | None = None,
    *,
    save: bool,
    **static: Any,
) -> Any:
    found = _arguments(k, query, key, value, mask, **static)
    if found is None:
        return NotImplemented
    y = _room(k, found.arrays[0])
    lse = k.empty((*query.shape[:-1], 1), kernel_sum_dtype(query.dtype))
    kernel = getattr(k, found.names(""))
    kernel(*found.arrays, *found.masks, y, lse, *found.numbers, *found.rest)
    return _unpadded(y, query), lse


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
    **static: Any,
) -> Any:
    found = _arguments(k, query, key, value, mask, dy, out, backward=True, **static)
    if found is None:
        return NotImplemented
    *arrays, dy, out = found.arrays
    lse = lse if plain(lse) else lse.copy()
    inputs = (dy, *arrays, *found.masks)
    dq, dk, dv = rooms = _rooms(k, arrays)
    numbers = (*found.numbers, *found.rest)
    if k.on_host:
        k.attention_backward(*inputs, out, lse, dq, dk, dv, *numbers)
    else:
        of_queries, of_keys = (getattr(k, found.names(x)) for x in ("_queries", "_keys"))
        levels = k.empty((*lse.shape[:-1], 2), lse.dtype)
        of_queries(*inputs, out, lse, dq, levels, *numbers)
        of_keys(*inputs, levels, dk, dv, *numbers)
    return tuple(_unpadded(d, x) for d, x in zip(rooms, (query, key, value), strict=True))


def _unpadded(x: Array, like: Array) -> Array:
    """A result in the shape of an input, without what its rows were padded by."""
    if x.shape[-1] != like.shape[-1]:
        x = array_backend((x,)).copy(x[..., : like.shape[-1]])
    return x.reshape(like.shape)
