"""Samples of recurrent layers, step by step."""

from __future__ import annotations

import numpy as np

from samples.base import Sample, normal
from tensorlite.ops import recurrent


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def walk(projected, h0, reverse, step):
    """All states of h with the initial one in its place, by ``h = step(x, h)``."""
    sequence = projected[::-1] if reverse else projected
    states = [h0]
    for x in sequence:
        states.append(step(x, states[-1]))
    return np.array(states[::-1] if reverse else states)


def in_time(steps, reverse):
    return np.array(steps[::-1] if reverse else steps)


def lstm(projected, h0, c0, weight, reverse):
    cells, gates = [c0], []

    def step(x, h):
        i, f, g, o = np.split(x + h @ weight.T, 4, axis=-1)
        i, f, g, o = sigmoid(i), sigmoid(f), np.tanh(g), sigmoid(o)
        gates.append(np.concatenate((i, f, g, o), -1))
        cells.append(f * cells[-1] + i * g)
        return o * np.tanh(cells[-1])

    return walk(projected, h0, reverse, step), in_time(cells, reverse), in_time(gates, reverse)


def gru(projected, h0, weight, bias=0.0, reverse=False):
    gates, kept = [], []

    def step(x, h):
        (x_r, x_z, x_n), (h_r, h_z, m) = np.split(x, 3, -1), np.split(h @ weight.T + bias, 3, -1)
        r, z = sigmoid(x_r + h_r), sigmoid(x_z + h_z)
        n = np.tanh(x_n + r * m)
        gates.append(np.concatenate((r, z, n), -1))
        kept.append(m)
        return (1 - z) * n + z * h

    return walk(projected, h0, reverse, step), in_time(gates, reverse), in_time(kept, reverse)


def rnn(projected, h0, weight, relu, reverse):
    function = (lambda x: np.maximum(x, 0)) if relu else np.tanh
    return walk(projected, h0, reverse, lambda x, h: function(x + h @ weight.T))


def transposed_jacobian(f, inputs, cotangents):
    """Cotangents of `inputs` of ``f(*inputs)``, by central differences of each element."""
    results = []
    for k, x in enumerate(inputs):
        d = np.empty_like(x)
        for i in np.ndindex(x.shape):
            total = 0.0
            for distance, c in ((1, 45), (2, -9), (3, 1)):
                for sign in (1, -1):
                    moved = [v.copy() for v in inputs]
                    moved[k][i] += sign * distance * 1e-3
                    terms = zip(f(*moved), cotangents, strict=True)
                    total += sign * c * sum(np.sum(y * g) for y, g in terms if g is not None)
            d[i] = total / (60 * 1e-3)
        results.append(d)
    return tuple(results)


STEPS, BATCH, HIDDEN = 3, 2, 3
generator = np.random.default_rng(2)


def drawn(*shape):
    return generator.standard_normal(shape)


H0, C0 = drawn(BATCH, HIDDEN), drawn(BATCH, HIDDEN)
PROJECTED, WEIGHT = drawn(STEPS, BATCH, 4 * HIDDEN), drawn(4 * HIDDEN, HIDDEN)
BIAS = drawn(3 * HIDDEN)
THREE, ONE = slice(3 * HIDDEN), slice(HIDDEN)


def of_batch(h, *inputs):
    """The inputs that `h` came from, as many sequences as there are in it."""
    return [x[..., : h.shape[1], :] for x in inputs]


def backward_of_lstm(gates, h, c, weight, dh, dc, dgates, reverse):
    return transposed_jacobian(
        lambda *inputs: lstm(*inputs, reverse),
        (*of_batch(h, PROJECTED, H0, C0), weight),
        (dh, dc, dgates),
    )


def backward_of_gru(gates, h, m, weight, dh, dgates, dm, reverse):
    return transposed_jacobian(
        lambda *inputs: gru(*inputs, reverse),
        (*of_batch(h, PROJECTED[..., THREE], H0), weight, BIAS),
        (dh, dgates, dm),
    )


def backward_of_rnn(h, weight, dh, relu, reverse):
    return transposed_jacobian(
        lambda *inputs: (rnn(*inputs, relu, reverse),),
        (*of_batch(h, PROJECTED[..., ONE], H0), weight),
        (dh,),
    )


def states(*axes):
    return normal(STEPS + 1, BATCH, *axes)


MIXED = dict(keeps_dtype=False, tolerance=8)  # states of cells and gates stay in float32
EXACT = ("float64", "float32")
WIDE = 1e4  # central differences agree to about 1e-9

LSTM = [
    sample
    for reverse in (False, True)
    for h, c, gates in [lstm(PROJECTED, H0, C0, WEIGHT, reverse)]
    for sample in (
        Sample(
            recurrent.lstm_sequence,
            [normal(4, BATCH, 4 * HIDDEN), normal(BATCH, HIDDEN), normal(BATCH, HIDDEN), WEIGHT],
            dict(reverse=reverse),
            reference=lstm,
            zero=[normal(4, 0, 4 * HIDDEN), normal(0, HIDDEN), normal(0, HIDDEN), WEIGHT],
            saves=("weight", "y", "reverse"),
            **MIXED,
        ),
        *[
            Sample(
                recurrent.lstm_backward,
                [gates, h, c, WEIGHT, *cotangents],
                dict(reverse=reverse),
                reference=backward_of_lstm,
                zero=[gates[:, :0], h[:, :0], c[:, :0], WEIGHT, h[:, :0], None, None],
                dtypes=EXACT,
                tolerance=WIDE,
            )
            for cotangents in (
                (states(HIDDEN), None, None),
                (states(HIDDEN), states(HIDDEN), normal(STEPS, BATCH, 4 * HIDDEN)),
            )
        ],
    )
]

GRU = [
    sample
    for reverse in (False, True)
    for h, gates, m in [gru(PROJECTED[..., THREE], H0, WEIGHT[THREE], BIAS, reverse)]
    for sample in (
        *[
            Sample(
                recurrent.gru_sequence,
                [normal(4, BATCH, 3 * HIDDEN), normal(BATCH, HIDDEN), WEIGHT[THREE], *bias],
                dict(reverse=reverse),
                reference=gru,
                zero=[normal(4, 0, 3 * HIDDEN), normal(0, HIDDEN), WEIGHT[THREE], *bias],
                saves=("weight", "y", "reverse"),
                **MIXED,
            )
            for bias in ((), (BIAS,))
        ],
        *[
            Sample(
                recurrent.gru_backward,
                [gates, h, m, WEIGHT[THREE], *cotangents],
                dict(reverse=reverse),
                reference=backward_of_gru,
                zero=[gates[:, :0], h[:, :0], m[:, :0], WEIGHT[THREE], h[:, :0], None, None],
                dtypes=EXACT,
                tolerance=WIDE,
            )
            for cotangents in (
                (states(HIDDEN), None, None),
                (states(HIDDEN), normal(STEPS, BATCH, 3 * HIDDEN), normal(STEPS, BATCH, HIDDEN)),
            )
        ],
    )
]

RNN = [
    sample
    for reverse in (False, True)
    for relu in (False, True)
    for h in [rnn(PROJECTED[..., ONE], H0, WEIGHT[ONE], relu, reverse)]
    for sample in (
        Sample(
            recurrent.rnn_sequence,
            [normal(4, BATCH, HIDDEN), normal(BATCH, HIDDEN), WEIGHT[ONE]],
            dict(relu=relu, reverse=reverse),
            reference=rnn,
            zero=[normal(4, 0, HIDDEN), normal(0, HIDDEN), WEIGHT[ONE]],
            tolerance=8,
            saves=("weight", "y", "relu", "reverse"),
        ),
        Sample(
            recurrent.rnn_backward,
            [h, WEIGHT[ONE], states(HIDDEN)],
            dict(relu=relu, reverse=reverse),
            reference=backward_of_rnn,
            grad=(1, 2) if relu else None,  # states of a relu stand exactly at its corner
            zero=[h[:, :0], WEIGHT[ONE], normal(STEPS + 1, 0, HIDDEN)],
            dtypes=EXACT,
            tolerance=WIDE,
        ),
    )
]

SAMPLES = LSTM + GRU + RNN
