"""LSTM and GRU over a whole sequence: one kernel on the CPU; on CUDA two launches per step."""

from __future__ import annotations

from typing import Any

from tensorlite.backend import HOST, Array, array_backend
from tensorlite.backend.base import rows_of
from tensorlite.ops.compiled.arrays import packed
from tensorlite.ops.fused import float32_inside
from tensorlite.ops.linalg import matmul
from tensorlite.ops.recurrent import (
    check_layer,
    gru_backward,
    gru_sequence,
    lstm_backward,
    lstm_sequence,
    states_before,
    walk,
)
from tensorlite.tape import put, recorders, zeros


def _states(k: Any, initial: Array, steps: int, reverse: bool) -> Array:
    """Room for all states, the initial one in its place."""
    states = k.empty((steps + 1, *initial.shape), initial.dtype)
    put(states[-1 if reverse else 0], initial)
    return states


def _carried(k: Any, like: Array, d: Array | None = None) -> Array:
    """What the walk starts with: the cotangent of the last state, or zeros."""
    if d is None:
        return zeros(like, like.shape[1:])
    carried = k.empty(like.shape[1:], like.dtype)
    put(carried, d)
    return carried


def _room(k: Any, x: Array, overwrite: bool) -> Array:
    """`x`, if it may be overwritten, or an array like it; on CUDA with its values."""
    if overwrite:
        return x
    return k.empty(x.shape, x.dtype) if k.on_host else x.copy()


def _rows(k: Any, x: Array) -> list[Array]:
    """The rows of the first axis of an array without gaps; CuPy's views take thrice as long."""
    if k.on_host:
        return [*x]
    shape, dtype, start = x.shape[1:], x.dtype, x.data
    step = x.nbytes // len(x) if len(x) else 0
    return [k.empty(shape, dtype, start + i * step) for i in range(len(x))]


# --- LSTM ---------------------------------------------------------------------------------------


@lstm_sequence.kernel
@float32_inside
def _lstm(
    k: Any,
    projected: Array,
    h0: Array,
    c0: Array,
    weight: Array,
    *,
    reverse: bool,
    overwrite: bool = False,
) -> Any:
    arrays = packed(projected, h0, c0, weight)
    if arrays is None:
        return NotImplemented
    check_layer("lstm", projected, weight, 4, h0, c0)
    steps, (batch, hidden) = len(projected), h0.shape
    h, c = _states(k, h0, steps, reverse), _states(k, c0, steps, reverse)
    projected, weight = arrays[0], arrays[3]
    gates = _room(k, projected, overwrite)
    if k.on_host:
        k.lstm(projected, weight, gates, h, c, steps, batch, hidden, reverse)
    else:
        turned = weight.T
        each_h, each_c, each_gates = (_rows(k, x) for x in (h, c, gates))
        for t, before, after in walk(steps, reverse):
            k.matmul(each_h[before], turned, each_gates[t], None, True)
            k.lstm_cell(each_gates[t], each_c[before], each_c[after], each_h[after], batch, hidden)
    return h, c, gates


@lstm_backward.kernel
@float32_inside
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
    overwrite: bool = False,
) -> Any:
    arrays = packed(gates, h, c, weight, dh, dc)
    if arrays is None or dh is None or dgates is not None:
        return NotImplemented
    gates, h, c, weight, dh, dc = arrays
    steps, batch, hidden = len(gates), h.shape[1], h.shape[2]
    last, first = (0, -1) if reverse else (-1, 0)
    dc_carried = _carried(k, c, None if dc is None else dc[last])
    dy = dh[:-1] if reverse else dh[1:]
    inner = _room(k, gates, overwrite)
    if k.on_host:
        dh_carried = _carried(k, h)
        size = (steps, batch, hidden, reverse)
        k.lstm_backward(dy, gates, weight, c, dc, inner, dh_carried, dc_carried, *size)
        dh0 = HOST.plus(dh_carried, dh[first], small=bool(recorders))
    else:
        carried = dh.copy()  # of each state, to which the step that reads it adds its part
        each_c, each, each_inner = (_rows(k, x) for x in (c, carried, inner))
        for t, before, after in reversed(walk(steps, reverse)):
            states = (each_c[before], each_c[after], each[after])
            k.lstm_cell_backward(each_inner[t], *states, dc_carried, batch, hidden)
            k.matmul(each_inner[t], weight, each[before], None, True)
            if dc is not None:
                dc_carried += dc[before]
        dh0 = carried[first]
    return inner, dh0, dc_carried, matmul(rows_of(inner).T, rows_of(states_before(h, reverse)))


# --- GRU ----------------------------------------------------------------------------------------


@gru_sequence.kernel
@float32_inside
def _gru(
    k: Any,
    projected: Array,
    h0: Array,
    weight: Array,
    bias: Array | None = None,
    *,
    reverse: bool,
    overwrite: bool = False,
) -> Any:
    arrays = packed(projected, h0, weight, bias)
    if arrays is None:
        return NotImplemented
    check_layer("gru", projected, weight, 3, h0)
    projected, _, weight, bias = arrays
    steps, (batch, hidden) = len(projected), h0.shape
    h, m = _states(k, h0, steps, reverse), k.empty((steps, batch, hidden), h0.dtype)
    gates = _room(k, projected, overwrite)
    if k.on_host:
        k.gru(projected, weight, bias, gates, h, m, steps, batch, hidden, reverse)
    else:
        state = k.empty((batch, 3 * hidden), h0.dtype)
        for t, before, after in walk(steps, reverse):
            k.matmul(h[before], weight.T, state, bias, False)
            k.gru_cell(gates[t], state, m[t], h[before], h[after], batch, hidden)
    return h, gates, m


@gru_backward.kernel
@float32_inside
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
    overwrite: bool = False,
) -> Any:
    arrays = packed(gates, h, m, weight, dh)
    if arrays is None or dh is None or dgates is not None or dm is not None:
        return NotImplemented
    gates, h, m, weight, dh = arrays
    steps, batch, hidden = m.shape
    dstate = k.empty(gates.shape, gates.dtype)
    carried = _carried(k, h)
    inner = _room(k, gates, overwrite)
    if k.on_host:
        dy = dh[:-1] if reverse else dh[1:]
        size = (steps, batch, hidden, reverse)
        k.gru_backward(dy, gates, weight, h, m, inner, dstate, carried, *size)
    else:
        for t, before, after in reversed(walk(steps, reverse)):
            carried += dh[after]
            k.gru_cell_backward(inner[t], m[t], h[before], dstate[t], carried, batch, hidden)
            k.matmul(dstate[t], weight, carried, None, True)
    each_row = rows_of(dstate)
    dh0 = array_backend((dh,)).plus(carried, dh[-1 if reverse else 0], small=bool(recorders))
    dweight = matmul(each_row.T, rows_of(states_before(h, reverse)))
    return inner, dh0, dweight, array_backend((dh,)).column_sums(each_row)
