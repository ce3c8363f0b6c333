"""Recurrent layers over a whole sequence (on the CPU), and attention."""

from __future__ import annotations

import math
from typing import Any

from tensorlite.backend import Array
from tensorlite.ops.attention import attention, attention_backward
from tensorlite.ops.compiled.arrays import accumulator, packed
from tensorlite.ops.linalg import matmul
from tensorlite.ops.recurrent import check_layer, gru_, gru_backward, lstm_, lstm_backward


def _states(k: Any, initial: Array, steps: int, reverse: bool) -> Array:
    """Room for all states, the initial one in its place."""
    states = k.empty((steps + 1, *initial.shape), initial.dtype)
    states[-1 if reverse else 0] = initial
    return states


def _rows(x: Array) -> Array:
    return x.reshape(math.prod(x.shape[:-1]), x.shape[-1])


def _fits(k: Any, name: str, *arrays: Any) -> list | None:
    """Arrays for a kernel that is there for the CPU, float32 and float64 alone."""
    if not hasattr(k, name) or arrays[0].dtype.char not in "fd":
        return None
    return packed(*arrays)


@lstm_.kernel
def _lstm(k: Any, projected: Array, h0: Array, c0: Array, weight: Array, *, reverse: bool) -> Any:
    arrays = _fits(k, "lstm", projected, h0, c0, weight)
    if arrays is None:
        return NotImplemented
    check_layer("lstm", projected, weight, 4, h0, c0)
    steps, batch = projected.shape[:2]
    h, c = _states(k, h0, steps, reverse), _states(k, c0, steps, reverse)
    gates = projected.copy()
    k.lstm(gates, arrays[3], None, h, c, steps, batch, h0.shape[-1], reverse)
    return h, c, gates


@lstm_backward.kernel
def _lstm_backward(
    k: Any,
    gates: Array,
    h: Array,
    c: Array,
    weight: Array,
    dh: Array | None,
    dc: Array | None,
    dgates: Array | None,
    *,
    reverse: bool,
) -> Any:
    arrays = _fits(k, "lstm", gates, h, c, weight, dh)
    if arrays is None or dh is None or dgates is not None:
        return NotImplemented
    gates, h, c, weight, dh = arrays
    steps, batch = gates.shape[:2]
    last, first = (0, -1) if reverse else (-1, 0)
    if dc is not None:  # only that of the last state can be carried on
        inner = dc[1:] if reverse else dc[:-1]
        if inner.any():
            return NotImplemented
    carried_h = k.empty(h.shape[1:], h.dtype)
    carried_h[...] = 0
    carried_c = k.empty(h.shape[1:], h.dtype)
    carried_c[...] = 0 if dc is None else dc[last]
    dy = dh[:-1] if reverse else dh[1:]
    inner = gates.copy()
    k.lstm_backward(dy, inner, weight, c, carried_h, carried_c, steps, batch, h.shape[-1], reverse)
    before = h[1:] if reverse else h[:-1]
    return inner, carried_h + dh[first], carried_c, matmul(_rows(inner).T, _rows(before))


@gru_.kernel
def _gru(
    k: Any,
    projected: Array,
    h0: Array,
    weight: Array,
    bias: Array | None = None,
    *,
    reverse: bool,
) -> Any:
    arrays = _fits(k, "gru", projected, h0, weight, bias)
    if arrays is None:
        return NotImplemented
    check_layer("gru", projected, weight, 3, h0)
    _, _, weight, bias = arrays
    steps, batch = projected.shape[:2]
    h = _states(k, h0, steps, reverse)
    gates, m = projected.copy(), k.empty((steps, *h0.shape), h0.dtype)
    k.gru(gates, weight, bias, h, m, steps, batch, h0.shape[-1], reverse)
    return h, gates, m


@gru_backward.kernel
def _gru_backward(
    k: Any,
    gates: Array,
    h: Array,
    m: Array,
    weight: Array,
    dh: Array | None,
    dgates: Array | None,
    dm: Array | None,
    *,
    reverse: bool,
) -> Any:
    arrays = _fits(k, "gru", gates, h, m, weight, dh)
    if arrays is None or dh is None or dgates is not None or dm is not None:
        return NotImplemented
    gates, h, m, weight, dh = arrays
    steps, batch = gates.shape[:2]
    carried = k.empty(h.shape[1:], h.dtype)
    carried[...] = 0
    inner, state = gates.copy(), k.empty(gates.shape, gates.dtype)
    dy = dh[:-1] if reverse else dh[1:]
    k.gru_backward(dy, inner, weight, h, m, state, carried, steps, batch, h.shape[-1], reverse)
    before = h[1:] if reverse else h[:-1]
    rows = _rows(state)
    first = -1 if reverse else 0
    return inner, carried + dh[first], matmul(rows.T, _rows(before)), rows.sum(axis=0)


# --- attention ------------------------------------------------------------------------------------


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
