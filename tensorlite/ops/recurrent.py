"""Recurrent layers over a whole sequence, with torch's formulas and order of gates.

The input's part of all gates, x @ W_ihᵀ + b_ih (for LSTM and RNN with b_hh as well), is one product
that the caller computes: `projected` (steps, batch, gates · hidden). States have the initial one
in front, (steps + 1, batch, hidden), or behind where the sequence is read in reverse.

A primitive returns the values of its gates beside the states: the gradient is a function of these
outputs, so nothing else is kept, and differentiates again through them.
"""

from __future__ import annotations

from types import ModuleType
from typing import Any

from tensorlite.backend import Array
from tensorlite.backend.base import rows_of
from tensorlite.ops.activation import sigmoid
from tensorlite.ops.channels import channel_sum
from tensorlite.ops.fused import float32_inside, fused
from tensorlite.ops.joining import cat, stack
from tensorlite.ops.linalg import matmul
from tensorlite.ops.linear import linear
from tensorlite.ops.trigonometry import tanh
from tensorlite.primitive import primitive
from tensorlite.tensor import Tensor

__all__ = ["gru", "lstm", "rnn"]


def walk(steps: int, reverse: bool) -> list[tuple[int, int, int]]:
    """For each step in time: its place, and those of the states before and after it."""
    if reverse:
        return [(t, t + 1, t) for t in reversed(range(steps))]
    return [(t, t, t + 1) for t in range(steps)]


def states_before(states: Any, reverse: bool) -> Any:
    """The state that each step starts from."""
    return states[1:] if reverse else states[:-1]


def _after(states: Any, reverse: bool) -> Any:
    return states[:-1] if reverse else states[1:]


def _states(xp: ModuleType, initial: Array, steps: int, reverse: bool) -> Array:
    states = xp.empty((steps + 1, *initial.shape), initial.dtype)
    states[-1 if reverse else 0] = initial
    return states


def _parts(gates: Any, count: int) -> list:
    """Cut (batch, count · hidden) into its gates, each (batch, hidden)."""
    hidden = gates.shape[-1] // count
    return [gates[:, i * hidden : (i + 1) * hidden] for i in range(count)]


def _at(cotangents: Any, place: int) -> Any:
    """One step of a cotangent; 0 where there is none."""
    return 0.0 if cotangents is None else cotangents[place]


def _in_time(steps: list, reverse: bool) -> Any:
    """What a walk from the last step to the first collected, as (steps, batch, …)."""
    return stack(steps if reverse else steps[::-1])


# --- LSTM ---------------------------------------------------------------------------------------


@primitive(name="lstm")
@float32_inside(rounded=(0, 2))
def lstm_sequence(
    xp: ModuleType,
    projected: Array,
    h0: Array,
    c0: Array,
    weight: Array,
    *,
    reverse: bool,
    overwrite: bool = False,
) -> tuple[Array, Array, Array]:
    """All states h and c, and the values of the gates i, f, g, o (Hochreiter, Schmidhuber 1997).

    c = f · c' + i · g and h = o · tanh c, with h' and c' the states of the step before. i, f and o
    are the sigmoid, g the tanh, of their parts of projected + h' @ weightᵀ. Of short floats c is
    float32. If `overwrite`, kernels leave the gates where `projected` was.
    """
    check_layer("lstm", projected, weight, 4, h0, c0)
    steps = projected.shape[0]
    h, c = _states(xp, h0, steps, reverse), _states(xp, c0, steps, reverse)
    gates = xp.empty_like(projected)
    for t, before, after in walk(steps, reverse):
        i, f, g, o = _parts(projected[t] + matmul(h[before], weight.T), 4)
        i, f, g, o = sigmoid(i), sigmoid(f), xp.tanh(g), sigmoid(o)
        xp.concatenate((i, f, g, o), axis=-1, out=gates[t])
        c[after] = f * c[before] + i * g
        h[after] = o * xp.tanh(c[after])
    return h, c, gates


@fused
def lstm_backward(
    gates: Any,
    h: Any,
    c: Any,
    weight: Any,
    dh: Any,
    dc: Any,
    dgates: Any,
    *,
    reverse: bool,
    overwrite: bool = False,
    dweight: Any = None,
) -> tuple:
    """Cotangents of `lstm_sequence`'s inputs from those of its outputs, which may be None.

    If `overwrite`, kernels leave that of `projected` where `gates` was. That of `weight` may be put
    in the array `dweight`.
    """
    order = walk(gates.shape[0], reverse)
    last = order[-1][2]
    carried_h, carried_c = _at(dh, last), _at(dc, last)
    inner = []  # cotangents of the arguments of the gates
    for t, before, after in reversed(order):
        i, f, g, o = _parts(gates[t], 4)
        squashed = tanh(c[after])
        total = carried_c + carried_h * o * (1 - squashed * squashed)
        values = cat([total * g, total * c[before], total * i, carried_h * squashed], axis=-1)
        slopes = cat([i * (1 - i), f * (1 - f), 1 - g * g, o * (1 - o)], axis=-1)
        inner.append((values + _at(dgates, t)) * slopes)
        carried_c = total * f + _at(dc, before)
        carried_h = matmul(inner[-1], weight) + _at(dh, before)
    dprojected = _in_time(inner, reverse)
    dweight = matmul(rows_of(dprojected).mT, rows_of(states_before(h, reverse)))
    return dprojected, carried_h, carried_c, dweight


@lstm_sequence.defvjp_joint
def _lstm_vjp(
    g: tuple,
    needs: tuple,
    weight: Any,
    y: tuple,
    reverse: bool,
    *,
    into: tuple | None = None,
    last: bool = False,
) -> tuple:
    h, c, gates = y
    return lstm_backward(
        gates, h, c, weight, *g, reverse=reverse, overwrite=last, dweight=into and into[3]
    )


def lstm(
    projected: Tensor, h0: Tensor, c0: Tensor, weight: Tensor, reverse: bool = False
) -> tuple[Tensor, tuple[Tensor, Tensor]]:
    """One direction of one LSTM layer.

    Parameters
    ----------
    projected
        x @ W_ihᵀ + b_ih + b_hh, (steps, batch, 4 · hidden), gates in the order i, f, g, o.
    h0, c0
        Initial states (batch, hidden).
    weight
        W_hh (4 · hidden, hidden).
    reverse
        Whether to read the sequence from its end.

    Returns
    -------
    output : Tensor, shape (steps, batch, hidden)
    (h, c) : Tensors, shape (batch, hidden)
        The states after the last step read.

    Examples
    --------
    >>> F.lstm(tl.zeros(7, 2, 20), tl.zeros(2, 5), tl.zeros(2, 5), tl.zeros(20, 5))[0].shape
    (7, 2, 5)
    """
    return _outputs_of_lstm(lstm_sequence(projected, h0, c0, weight, reverse, False), reverse)


def lstm_layer(
    x: Tensor,
    h0: Tensor,
    c0: Tensor,
    weight_ih: Tensor,
    weight_hh: Tensor,
    bias: Tensor | None,
    reverse: bool,
) -> tuple[Tensor, tuple[Tensor, Tensor]]:
    """`lstm` of `linear` of `x`; the gates overwrite the projection, which nothing else reads."""
    projected = linear(x, weight_ih, bias)
    return _outputs_of_lstm(lstm_sequence(projected, h0, c0, weight_hh, reverse, True), reverse)


def _outputs_of_lstm(
    states: tuple[Tensor, ...], reverse: bool
) -> tuple[Tensor, tuple[Tensor, Tensor]]:
    h, c, _ = states
    end = 0 if reverse else -1
    return _after(h, reverse), (h[end], c[end].astype(h.dtype))


# --- GRU ----------------------------------------------------------------------------------------


@primitive(name="gru")
@float32_inside(rounded=(0, 1, 2))
def gru_sequence(
    xp: ModuleType,
    projected: Array,
    h0: Array,
    weight: Array,
    bias: Array | None = None,
    *,
    reverse: bool,
    overwrite: bool = False,
) -> tuple[Array, Array, Array]:
    """All states h, the values of the gates r, z, n, and the state's part m of n (Cho et al. 2014).

    h = (1 - z) · n + z · h', with r, z = sigmoid(projected + state), n = tanh(projected + r · m),
    and (…, …, m) = state = h' @ weightᵀ + bias. `overwrite` is as in `lstm_sequence`.
    """
    check_layer("gru", projected, weight, 3, h0)
    steps = projected.shape[0]
    h = _states(xp, h0, steps, reverse)
    gates = xp.empty_like(projected)
    kept = xp.empty((steps, *h0.shape), projected.dtype)
    for t, before, after in walk(steps, reverse):
        state = matmul(h[before], weight.T)
        if bias is not None:
            state += bias
        (r, z, n), (state_r, state_z, m) = _parts(projected[t], 3), _parts(state, 3)
        r, z = sigmoid(r + state_r), sigmoid(z + state_z)
        n = xp.tanh(n + r * m)
        xp.concatenate((r, z, n), axis=-1, out=gates[t])
        kept[t] = m
        h[after] = n + z * (h[before] - n)
    return h, gates, kept


@fused
def gru_backward(
    gates: Any,
    h: Any,
    m: Any,
    weight: Any,
    dh: Any,
    dgates: Any,
    dm: Any,
    *,
    reverse: bool,
    overwrite: bool = False,
    dweight: Any = None,
    dbias: Any = None,
) -> tuple:
    """Cotangents of `gru_sequence`'s inputs from those of its outputs, as `lstm_backward`."""
    order = walk(gates.shape[0], reverse)
    carried = _at(dh, order[-1][2])
    inner, state = [], []  # cotangents of projected, and of h' @ weightᵀ + bias
    for t, before, _ in reversed(order):
        r, z, n = _parts(gates[t], 3)
        given_r, given_z, given_n = _parts(dgates[t], 3) if dgates is not None else (0.0,) * 3
        dn = (carried * (1 - z) + given_n) * (1 - n * n)
        dz = (carried * (h[before] - n) + given_z) * z * (1 - z)
        dr = (dn * m[t] + given_r) * r * (1 - r)
        inner.append(cat([dr, dz, dn], axis=-1))
        state.append(cat([dr, dz, dn * r + _at(dm, t)], axis=-1))
        carried = carried * z + matmul(state[-1], weight) + _at(dh, before)
    dstate = rows_of(_in_time(state, reverse))
    dweight = matmul(dstate.mT, rows_of(states_before(h, reverse)))
    return _in_time(inner, reverse), carried, dweight, channel_sum(dstate)


@gru_sequence.defvjp_joint
def _gru_vjp(
    g: tuple,
    needs: tuple,
    weight: Any,
    y: tuple,
    reverse: bool,
    *,
    into: tuple | None = None,
    last: bool = False,
) -> tuple:
    h, gates, m = y
    _, _, dweight, dbias = (*(into or ()), None, None, None, None)[:4]  # without bias: one less
    places = {"dweight": dweight, "dbias": dbias}
    return gru_backward(gates, h, m, weight, *g, reverse=reverse, overwrite=last, **places)


def gru(
    projected: Tensor,
    h0: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    reverse: bool = False,
) -> tuple[Tensor, Tensor]:
    """One direction of one GRU layer.

    Parameters
    ----------
    projected
        x @ W_ihᵀ + b_ih, (steps, batch, 3 · hidden), gates in the order r, z, n.
    h0
        Initial state (batch, hidden).
    weight, bias
        W_hh (3 · hidden, hidden) and b_hh (3 · hidden,), whose last part stands inside the product
        with r, so that it cannot be part of `projected`.
    reverse
        Whether to read the sequence from its end.

    Returns
    -------
    output : Tensor, shape (steps, batch, hidden)
    h : Tensor, shape (batch, hidden)
        The state after the last step read.

    Examples
    --------
    >>> F.gru(tl.zeros(7, 2, 15), tl.zeros(2, 5), tl.zeros(15, 5))[0].shape
    (7, 2, 5)
    """
    h, _, _ = gru_sequence(projected, h0, weight, bias, reverse=reverse)
    return _after(h, reverse), h[0 if reverse else -1]


def gru_layer(
    x: Tensor,
    h0: Tensor,
    weight_ih: Tensor,
    weight_hh: Tensor,
    bias_ih: Tensor | None,
    bias_hh: Tensor | None,
    reverse: bool,
) -> tuple[Tensor, Tensor]:
    """`gru` of `linear` of `x`, as `lstm_layer`."""
    projected = linear(x, weight_ih, bias_ih)
    h, _, _ = gru_sequence(projected, h0, weight_hh, bias_hh, reverse=reverse, overwrite=True)
    return _after(h, reverse), h[0 if reverse else -1]


# --- plain --------------------------------------------------------------------------------------


@primitive(name="rnn")
@float32_inside
def rnn_sequence(
    xp: ModuleType, projected: Array, h0: Array, weight: Array, *, relu: bool, reverse: bool
) -> Array:
    """All states h = tanh(projected + h' @ weightᵀ), or their positive part if `relu`."""
    check_layer("rnn", projected, weight, 1, h0)
    h = _states(xp, h0, projected.shape[0], reverse)
    for t, before, after in walk(projected.shape[0], reverse):
        argument = projected[t] + matmul(h[before], weight.T)
        h[after] = xp.maximum(argument, 0) if relu else xp.tanh(argument)
    return h


@fused
def rnn_backward(
    h: Any, weight: Any, dh: Any, *, relu: bool, reverse: bool, dweight: Any = None
) -> tuple:
    """Cotangents of `rnn_sequence`'s inputs from that of its output."""
    order = walk(h.shape[0] - 1, reverse)
    carried = dh[order[-1][2]]
    inner = []
    for _, before, after in reversed(order):
        inner.append(carried * (h[after] > 0 if relu else 1 - h[after] * h[after]))
        carried = matmul(inner[-1], weight) + dh[before]
    dprojected = _in_time(inner, reverse)
    return dprojected, carried, matmul(rows_of(dprojected).mT, rows_of(states_before(h, reverse)))


@rnn_sequence.defvjp_joint
def _rnn_vjp(
    g: Any,
    needs: tuple,
    weight: Any,
    y: Any,
    relu: bool,
    reverse: bool,
    *,
    into: tuple | None = None,
) -> tuple:
    return rnn_backward(y, weight, g, relu=relu, reverse=reverse, dweight=into and into[2])


def rnn(
    projected: Tensor,
    h0: Tensor,
    weight: Tensor,
    nonlinearity: str = "tanh",
    reverse: bool = False,
) -> tuple[Tensor, Tensor]:
    """One direction of one plain recurrent layer (Elman 1990).

    Parameters
    ----------
    projected
        x @ W_ihᵀ + b_ih + b_hh, (steps, batch, hidden).
    h0
        Initial state (batch, hidden).
    weight
        W_hh (hidden, hidden).
    nonlinearity : {"tanh", "relu"}
        Function of each new state.
    reverse
        Whether to read the sequence from its end.

    Returns
    -------
    output : Tensor, shape (steps, batch, hidden)
    h : Tensor, shape (batch, hidden)
        The state after the last step read.

    Raises
    ------
    ValueError
        If there is no such `nonlinearity`.

    Examples
    --------
    >>> F.rnn(tl.zeros(7, 2, 5), tl.zeros(2, 5), tl.zeros(5, 5))[0].shape
    (7, 2, 5)
    """
    if nonlinearity not in ("tanh", "relu"):
        raise ValueError(f"rnn: nonlinearity is 'tanh' or 'relu', not {nonlinearity!r}")
    h = rnn_sequence(projected, h0, weight, nonlinearity == "relu", reverse)
    return _after(h, reverse), h[0 if reverse else -1]


def check_layer(op: str, projected: Array, weight: Array, gates: int, *states: Array) -> None:
    """Refuse inputs of a recurrent layer whose shapes do not fit."""
    hidden = weight.shape[-1]
    if weight.ndim != 2 or weight.shape[0] != gates * hidden:
        raise ValueError(f"{op}: weight of shape {weight.shape} is not ({gates} · hidden, hidden)")
    if projected.ndim != 3 or projected.shape[0] == 0 or projected.shape[2] != gates * hidden:
        raise ValueError(
            f"{op}: projected of shape {projected.shape} is not (steps, batch, {gates * hidden}) "
            "with at least one step"
        )
    for state in states:
        if state.shape != (projected.shape[1], hidden):
            raise ValueError(
                f"{op}: an initial state of shape {state.shape} is not (batch, hidden) = "
                f"{(projected.shape[1], hidden)}"
            )
