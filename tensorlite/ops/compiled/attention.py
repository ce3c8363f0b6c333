"""Attention, whose scores are never kept."""

from __future__ import annotations

import math
from typing import Any

from tensorlite.backend import Array
from tensorlite.ops.attention import attention, attention_backward
from tensorlite.ops.compiled.arrays import accumulator, packed

MOST_HEAD_DIMS = 128  # that a team on CUDA holds in registers


def _heads(shape: tuple[int, ...]) -> tuple[int, int]:
    """(…, heads, rows, columns) as a number of batches and one of heads."""
    *lead, heads = shape[:-2] if len(shape) > 2 else (1,)
    return math.prod(lead), heads


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
    arrays = packed(query, key, value, *others)
    if arrays is None:
        return None
    batch, heads = _heads(query.shape)
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
    mask = mask if mask.flags.c_contiguous else mask.copy()
    if mask.dtype == bool:
        masks = [None, mask]
    elif mask.dtype == query.dtype:
        masks = [mask, None]
    else:
        return None
    return arrays, masks, (batch, heads, queries, keys, dim, *shape[:3])


@attention.kernel
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
    y = k.empty(query.shape, query.dtype)
    lse = k.empty((*query.shape[:-1], 1), accumulator(query.dtype))
    k.attention(*arrays, *masks, y, lse, *numbers, scale, is_causal)
    return y, lse


@attention_backward.kernel
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
    (query, key, value, dy, out), masks, numbers = found
    inputs = (dy, query, key, value, *masks)
    dq, dk, dv = (k.empty(a.shape, a.dtype) for a in (query, key, value))
    if k.on_host:
        k.attention_backward(*inputs, out, lse, dq, dk, dv, *numbers, scale, is_causal)
    else:
        mean = k.empty(lse.shape, lse.dtype)
        k.attention_backward_queries(*inputs, out, lse, dq, mean, *numbers, scale, is_causal)
        k.attention_backward_keys(*inputs, lse, mean, dk, dv, *numbers, scale, is_causal)
    return dq, dk, dv
