"""LSTM and GRU kernels against their formulas and central differences in float64."""

from __future__ import annotations

import numpy as np
import pytest
from guards import assert_close

# steps, batch, hidden
SHAPES = [(3, 2, 5), (1, 1, 1), (7, 31, 33), (4, 6, 100), (0, 2, 3)]
GATES = {"lstm": 4, "gru": 3}


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def lstm_step(part, state, w, bias):
    """One step; `part` is the input's part of the gates."""
    h, c = state
    i, f, g, o = np.split(part + h @ w.T + bias, 4, axis=-1)
    c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
    return sigmoid(o) * np.tanh(c), c


def gru_step(part, state, w, bias):
    """One step; the reset gate stands before the state's product, bias included."""
    (h,) = state
    r, z, n = np.split(part, 3, axis=-1)
    hr, hz, hn = np.split(h @ w.T + bias, 3, axis=-1)
    r, z = sigmoid(r + hr), sigmoid(z + hz)
    return ((1 - z) * np.tanh(n + r * hn) + z * h,)


def sequence(kind, parts, state, w, bias, reverse):
    """All outputs in the order of the input, and the last state."""
    step = lstm_step if kind == "lstm" else gru_step
    outputs = np.zeros((*parts.shape[:2], w.shape[1]))
    order = range(len(parts))
    for t in reversed(order) if reverse else order:
        state = step(parts[t], state, w, bias)
        outputs[t] = state[0]
    return outputs, state


def draw(kind, shape, dtype):
    """Parts of the gates, initial state, weights, bias, and gradients of outputs and last state."""
    steps, batch, hidden = shape
    rng, gates = np.random.default_rng(0), GATES[kind]
    states = 2 if kind == "lstm" else 1
    wanted = [(steps, batch, gates * hidden), *[(batch, hidden)] * states]
    wanted += [(gates * hidden, hidden), (gates * hidden,), (steps, batch, hidden)]
    wanted += [(batch, hidden)] * states
    arrays = [0.5 * rng.standard_normal(s).astype(dtype) for s in wanted]
    return arrays[0], arrays[1 : 1 + states], *arrays[1 + states : 4 + states], arrays[4 + states :]


def run(k, guarded, kind, operands, reverse):
    """Outputs, last state, and gradients of parts, initial state, and the state's product."""
    parts, state, w, bias, dy, dstate = operands
    steps, batch, hidden = dy.shape
    size = (steps, batch, hidden, reverse)
    first, last = (steps, 0) if reverse else (0, steps)
    kept = [guarded.empty((steps + 1, batch, hidden), parts.dtype) for _ in state]
    for history, initial in zip(kept, state, strict=True):
        history[first] = initial
    gates, dgates = (guarded.empty(parts.shape, parts.dtype) for _ in range(2))
    carried = [guarded.filled(d) for d in dstate]
    if kind == "lstm":
        k.lstm(parts + bias, w, gates, *kept, *size)
        final = [history[last].copy() for history in kept]
        k.lstm_backward(dy, gates, w, kept[1], None, dgates, *carried, *size)
        dproduct = dgates
    else:
        m, dproduct = guarded.empty(dy.shape, dy.dtype), guarded.empty(gates.shape, dy.dtype)
        k.gru(parts, w, bias, gates, kept[0], m, *size)
        final = [kept[0][last].copy()]
        k.gru_backward(dy, gates, w, kept[0], m, dgates, dproduct, *carried, *size)
    before = kept[0][1:] if reverse else kept[0][:-1]
    dw = np.einsum("tbg,tbh->gh", dproduct, before)
    y = kept[0][:-1] if reverse else kept[0][1:]
    return y, final, (dgates, *carried, dw, dproduct.sum((0, 1)))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("kind", GATES)
@pytest.mark.parametrize("shape", SHAPES)
def test_sequence_and_its_gradient(host_kernels, host_guarded, kind, shape, reverse, dtype):
    operands = draw(kind, shape, dtype)
    y, final, gradients = run(host_kernels, host_guarded, kind, operands, reverse)
    parts, state, w, bias, dy, dstate = operands
    variables = [a.astype(np.float64) for a in (parts, *state, w, bias)]

    def evaluate(arrays):
        return sequence(kind, arrays[0], arrays[1:-2], arrays[-2], arrays[-1], reverse)

    tolerance = 1e-5 if dtype == "float32" else 1e-13
    outputs, last = evaluate(variables)
    assert_close(y, outputs, tolerance)
    for got, wanted in zip(final, last, strict=True):
        assert_close(got, wanted, tolerance)

    def loss(arrays):
        outputs, last = evaluate(arrays)
        return (outputs * dy).sum() + sum((s * d).sum() for s, d in zip(last, dstate, strict=True))

    rng, step = np.random.default_rng(1), 1e-5
    for i, gradient in enumerate(gradients):
        for _ in range(2):
            direction = rng.standard_normal(variables[i].shape)
            ahead, behind = list(variables), list(variables)
            ahead[i], behind[i] = variables[i] + step * direction, variables[i] - step * direction
            slope = (loss(ahead) - loss(behind)) / (2 * step)
            exact = (gradient.astype(np.float64) * direction).sum()
            scale = np.linalg.norm(gradient.astype(np.float64)) + 1
            assert abs(slope - exact) < (1e-4 if dtype == "float32" else 1e-7) * scale


@pytest.mark.parametrize("shape", [(7, 31, 33), (3, 5, 200)], ids=["sequences", "units"])
@pytest.mark.parametrize("kind", GATES)
def test_same_bits_however_the_threads_divide_it(host_kernels, host_guarded, kind, shape):
    operands = draw(kind, shape, "float32")
    before, results = host_kernels.get_num_threads(), []
    try:
        for threads in (1, 3):
            host_kernels.set_num_threads(threads)
            y, final, gradients = run(host_kernels, host_guarded, kind, operands, False)
            results.append([y, *final, *gradients[:-2]])
    finally:
        host_kernels.set_num_threads(before)
    for one, three in zip(*results, strict=True):
        assert (one == three).all()


@pytest.mark.parametrize("kind", GATES)
def test_one_cell_is_one_step_of_the_sequence(
    kernels, backend, guarded, host_kernels, host_guarded, kind
):
    parts, state, w, bias, dy, dstate = draw(kind, (1, 31, 33), "float32")
    operands = parts, state, w, bias, np.zeros_like(dy), dstate
    y, final, gradients = run(host_kernels, host_guarded, kind, operands, False)
    product = state[0] @ w.T
    up = backend.asarray
    outs = [guarded.empty((31, 33), "float32") for _ in range(2)]
    carried = [guarded.filled(d) for d in dstate]
    if kind == "lstm":
        gates = guarded.filled(parts[0] + product + bias)
        kernels.lstm_cell(gates, up(state[1]), outs[1], outs[0], 31, 33)
        kernels.lstm_cell_backward(gates, up(state[1]), outs[1], carried[0], carried[1], 31, 33)
        assert_close(backend.to_host(outs[1]), final[1], 1e-6)
        assert_close(backend.to_host(carried[1]), gradients[2], 1e-6)
    else:
        gates, dproduct = guarded.filled(parts[0]), guarded.empty(parts[0].shape, "float32")
        kernels.gru_cell(gates, up(product + bias), outs[1], up(state[0]), outs[0], 31, 33)
        kernels.gru_cell_backward(gates, outs[1], up(state[0]), dproduct, carried[0], 31, 33)
        through_product = backend.to_host(dproduct) @ w
        assert_close(backend.to_host(carried[0]) + through_product, gradients[1], 1e-5)
    assert_close(backend.to_host(outs[0]), y[0], 1e-6)
    assert_close(backend.to_host(gates), gradients[0][0], 1e-5)


def test_gates_are_within_the_stated_error(host_kernels):
    """Of a first step from nothing, i, f and o are sigmoid of what is projected, and g is tanh."""
    x = np.linspace(-20, 20, 100_001, dtype="float32")
    x[:3] = -np.inf, np.inf, np.nan
    gates = np.empty((1, x.size, 4), "float32")
    h, c = (np.zeros((2, x.size, 1), "float32") for _ in range(2))
    projected, w = np.repeat(x, 4).reshape(gates.shape), np.zeros((4, 1), "float32")
    host_kernels.lstm(projected, w, gates, h, c, 1, x.size, 1, False)
    exact = x.astype("float64")
    with np.errstate(over="ignore"):
        np.testing.assert_allclose(gates[0, :, 0], sigmoid(exact), rtol=0, atol=1.7e-7)
    np.testing.assert_allclose(gates[0, :, 2], np.tanh(exact), rtol=0, atol=3.5e-7)
