"""Recurrent layers over a whole sequence: one kernel on either device.

On CUDA the sequence is one launch where all blocks run at once and hold the weights (see
``kernels/recurrence.cu``); where they cannot, each step is a product and a kernel of its cells.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tensorlite.backend import HOST, Array, array_backend
from tensorlite.backend.base import rows_of
from tensorlite.backend.dtypes import is_short
from tensorlite.ops.compiled.arrays import kernel_sum_dtype, packed
from tensorlite.ops.fused import float32_inside
from tensorlite.ops.linear import affine_gradients, weight_gradient
from tensorlite.ops.recurrent import (
    check_layer,
    gru_backward,
    gru_sequence,
    lstm_backward,
    lstm_sequence,
    rnn_backward,
    rnn_sequence,
    states_before,
    walk,
)
from tensorlite.tape import put, recorders, zeros


def _states(k: Any, initial: Array, steps: int, reverse: bool, dtype: Any = None) -> Array:
    """Room for all states, the initial one in its place."""
    states = k.empty((steps + 1, *initial.shape), dtype or initial.dtype)
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


#: Of kernels/device/together.h: units and sequences of a block, and its warps.
_UNITS, _SEQUENCES, _WARPS = 8, 16, 8


def _together(
    k: Any, kernel: str, x: Array, depth: int, gates: int, batch: int, hidden: int
) -> tuple | None:
    """What a kernel takes whose blocks go through the sequence together; None where they cannot.

    That is the numbers in which blocks arrive, and how many crews, blocks and bytes of shared
    memory there are. Each block holds the weights of `gates` columns a unit, `depth` of each.
    """
    if is_short(x.dtype) and not k.has_tiles(x):
        return None
    piece = 64 // x.dtype.itemsize
    columns, sum_bytes = gates * _UNITS, kernel_sum_dtype(x.dtype).itemsize
    weights = -(-depth // piece) * 64 * columns
    shared = weights + _WARPS * _SEQUENCES * (columns + 8) * sum_bytes
    members = -(-hidden // _UNITS)
    crews = min(-(-batch // _SEQUENCES), k.resident(kernel, x, shared) // members)
    if not crews:
        return None
    arrived = array_backend((x,)).xp.zeros(crews, np.int32)
    return arrived, crews, crews * members, shared


def _rows(k: Any, x: Array) -> list[Array]:
    """The rows of the first axis of an array without gaps; CuPy's views take thrice as long."""
    if k.on_host:
        return [*x]
    shape, dtype, start = x.shape[1:], x.dtype, x.data
    step = x.nbytes // len(x) if len(x) else 0
    return [k.empty(shape, dtype, start + i * step) for i in range(len(x))]


# --- LSTM ---------------------------------------------------------------------------------------


@lstm_sequence.kernel
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
    arrays = None if k.on_host else packed(projected, h0, c0, weight)
    if arrays is not None:
        check_layer("lstm", projected, weight, 4, h0, c0)
        steps, (batch, hidden) = len(projected), h0.shape
        team = _together(k, "lstm_together", weight, hidden, 4, batch, hidden)
        if team is not None:
            arrived, *numbers = team
            h = _states(k, h0, steps, reverse)
            c = _states(k, c0, steps, reverse, kernel_sum_dtype(h0.dtype))
            projected, weight = arrays[0], arrays[3]
            gates = projected if overwrite else k.empty(projected.shape, projected.dtype)
            size = (arrived, steps, batch, hidden, *numbers, reverse)
            k.lstm_together(projected, weight, gates, h, c, *size)
            return h, c, gates
    return _lstm_in_steps(k, projected, h0, c0, weight, reverse=reverse, overwrite=overwrite)


@float32_inside(rounded=(0, 2))
def _lstm_in_steps(
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
    dweight: Array | None = None,
) -> Any:
    if k.on_host or dh is None or dgates is not None:
        arrays = cells = None
    else:
        arrays, cells = packed(gates, h, weight, dh), packed(c, dc)
    if arrays is not None and cells is not None:
        steps, batch, hidden = len(gates), h.shape[1], h.shape[2]
        team = _together(k, "lstm_together_backward", weight, 4 * hidden, 1, batch, hidden)
        if team is not None and cells[0].dtype == kernel_sum_dtype(h.dtype):
            arrived, *numbers = team
            gates, h, weight, dh = arrays
            inner = gates if overwrite else k.empty(gates.shape, gates.dtype)
            dh0, dc0 = k.empty((batch, hidden), h.dtype), k.empty((batch, hidden), c.dtype)
            size = (arrived, steps, batch, hidden, *numbers, reverse)
            k.lstm_together_backward(dh, gates, weight, *cells, inner, dh0, dc0, *size)
            before = rows_of(states_before(h, reverse))
            return inner, dh0, dc0, weight_gradient(rows_of(inner), before, dweight)
    options: dict = {"reverse": reverse, "overwrite": overwrite, "dweight": dweight}
    return _lstm_backward_in_steps(k, gates, h, c, weight, dh, dc, dgates, **options)


@float32_inside
def _lstm_backward_in_steps(
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
    dweight: Array | None = None,
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
    before = rows_of(states_before(h, reverse))
    return inner, dh0, dc_carried, weight_gradient(rows_of(inner), before, dweight)


# --- GRU ----------------------------------------------------------------------------------------


@gru_sequence.kernel
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
    arrays = None if k.on_host else packed(projected, h0, weight, bias)
    if arrays is not None:
        check_layer("gru", projected, weight, 3, h0)
        steps, (batch, hidden) = len(projected), h0.shape
        team = _together(k, "gru_together", weight, hidden, 3, batch, hidden)
        if team is not None:
            arrived, *numbers = team
            projected, _, weight, bias = arrays
            h, m = _states(k, h0, steps, reverse), k.empty((steps, batch, hidden), h0.dtype)
            gates = projected if overwrite else k.empty(projected.shape, projected.dtype)
            carried = k.empty((batch, hidden), kernel_sum_dtype(h0.dtype))
            size = (arrived, steps, batch, hidden, *numbers, reverse)
            k.gru_together(projected, weight, bias, gates, h, m, carried, *size)
            return h, gates, m
    return _gru_in_steps(k, projected, h0, weight, bias, reverse=reverse, overwrite=overwrite)


@float32_inside(rounded=(0, 1, 2))
def _gru_in_steps(
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
    dweight: Array | None = None,
    dbias: Array | None = None,
) -> Any:
    if k.on_host or dh is None or dgates is not None or dm is not None:
        arrays = None
    else:
        arrays = packed(gates, h, m, weight, dh)
    if arrays is not None:
        steps, batch, hidden = m.shape
        team = _together(k, "gru_together_backward", weight, 3 * hidden, 1, batch, hidden)
        if team is not None:
            arrived, *numbers = team
            gates, h, m, weight, dh = arrays
            dstate = k.empty(gates.shape, gates.dtype)
            inner = gates if overwrite else k.empty(gates.shape, gates.dtype)
            dh0 = k.empty((batch, hidden), h.dtype)
            carried = k.empty((batch, hidden), kernel_sum_dtype(h.dtype))
            size = (arrived, steps, batch, hidden, *numbers, reverse)
            k.gru_together_backward(dh, gates, weight, h, m, inner, dstate, dh0, carried, *size)
            return inner, dh0, *_of_product(dstate, h, reverse, dweight, dbias)
    options: dict = {"reverse": reverse, "overwrite": overwrite}
    options.update(dweight=dweight, dbias=dbias)
    return _gru_backward_in_steps(k, gates, h, m, weight, dh, dgates, dm, **options)


def _of_product(
    dstate: Array, h: Array, reverse: bool, dweight: Array | None, dbias: Array | None
) -> tuple[Array, Array]:
    """The gradients of W_hh and b_hh from that of h' W_hhᵀ + b_hh."""
    before = rows_of(states_before(h, reverse))
    return affine_gradients(rows_of(dstate), before, None, None, dweight, dbias)


@float32_inside
def _gru_backward_in_steps(
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
    dweight: Array | None = None,
    dbias: Array | None = None,
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
    dh0 = array_backend((dh,)).plus(carried, dh[-1 if reverse else 0], small=bool(recorders))
    return inner, dh0, *_of_product(dstate, h, reverse, dweight, dbias)


# --- plain --------------------------------------------------------------------------------------


@rnn_sequence.kernel
def _rnn(k: Any, projected: Array, h0: Array, weight: Array, *, relu: bool, reverse: bool) -> Any:
    arrays = None if k.on_host else packed(projected, h0, weight)
    if arrays is None:
        return NotImplemented
    check_layer("rnn", projected, weight, 1, h0)
    steps, (batch, hidden) = len(projected), h0.shape
    team = _together(k, "rnn_together", weight, hidden, 1, batch, hidden)
    if team is None:
        return NotImplemented
    arrived, *numbers = team
    h = _states(k, h0, steps, reverse)
    size = (arrived, steps, batch, hidden, *numbers, reverse)
    k.rnn_together(arrays[0], arrays[2], h, relu, *size)
    return h


@rnn_backward.kernel
def _rnn_backward(
    k: Any,
    h: Array,
    weight: Array,
    dh: Array,
    *,
    relu: bool,
    reverse: bool,
    dweight: Array | None = None,
) -> Any:
    arrays = None if k.on_host else packed(h, weight, dh)
    if arrays is None:
        return NotImplemented
    h, weight, dh = arrays
    steps, batch, hidden = len(h) - 1, h.shape[1], h.shape[2]
    team = _together(k, "rnn_together_backward", weight, hidden, 1, batch, hidden)
    if team is None:
        return NotImplemented
    arrived, *numbers = team
    inner, dh0 = k.empty((steps, batch, hidden), h.dtype), k.empty((batch, hidden), h.dtype)
    size = (arrived, steps, batch, hidden, *numbers, reverse)
    k.rnn_together_backward(dh, h, weight, inner, dh0, relu, *size)
    before = rows_of(states_before(h, reverse))
    return inner, dh0, weight_gradient(rows_of(inner), before, dweight)
