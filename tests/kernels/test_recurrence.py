"""Recurrent layers whose sequence is one launch on CUDA, against the CPU's kernels in float64."""

from __future__ import annotations

import numpy as np
import pytest
from guards import assert_close
from ml_dtypes import bfloat16
from test_rnn import GATES, draw

# steps, batch, hidden: one unit; several crews; odd rows; a crew with several sets of sequences
SHAPES = [(1, 1, 1), (3, 2, 5), (5, 33, 31), (2, 50, 40)]
UNITS = {np.float64: 1e-13, np.float32: 2e-6, np.float16: 2e-3, bfloat16: 1.6e-2}


@pytest.fixture
def together(kernels, device):
    if device.type != "cuda":
        pytest.skip("the CPU's kernels have tests in test_rnn.py")
    return kernels


def numbers(kernels, kernel, weight, batch, depth, gates, crews=None):
    """The arrays of arrivals, crews, blocks and bytes of shared memory."""
    from tensorlite.backend import backend_for
    from tensorlite.ops.compiled.recurrent import _together

    hidden = weight.shape[1]
    arrived, most, _, shared = _together(kernels, kernel, weight, depth, gates, batch, hidden)
    crews = min(crews or most, most)
    assert backend_for("cuda").to_host(arrived).tolist() == [0] * most
    return arrived[:crews], (crews, crews * -(-hidden // 8), shared)


def both_ways(kernels, backend, guarded, kind, arrays, dtype, reverse, crews=None):
    """What the kernels of a kind make of `draw`'s arrays: states, gates, and all gradients."""
    parts, state, w, bias, dy, _ = arrays
    steps, batch, hidden = dy.shape
    gates, wide = GATES.get(kind, 1), np.float64 if dtype is np.float64 else np.float32

    def up(x):
        return backend.asarray(x.astype(dtype))

    def room(*shape, of=dtype):
        return guarded.empty(shape, of)

    weight, initial = up(w), (steps if reverse else 0)
    h = room(steps + 1, batch, hidden)
    h[initial] = up(state[0])
    dh = up(np.concatenate([dy, dy[:1] * 0] if reverse else [dy[:1] * 0, dy]))
    inner, dh0 = room(steps, batch, gates * hidden), room(batch, hidden)
    size = (steps, batch, hidden)
    options = (kind == "relu",) if gates == 1 else ()
    name = "rnn_together" if gates == 1 else f"{kind}_together"
    ahead, plan = numbers(kernels, name, weight, batch, hidden, gates, crews)
    back, plan_back = numbers(kernels, f"{name}_backward", weight, batch, gates * hidden, 1, crews)
    ahead, back = (ahead, *size, *plan, reverse), (back, *size, *plan_back, reverse)
    if kind == "lstm":
        c, values = room(steps + 1, batch, hidden, of=wide), room(*inner.shape)
        c[initial] = backend.asarray(state[1].astype(wide))
        kernels.lstm_together(up(parts), weight, values, h, c, *ahead)
        dc = backend.asarray(np.zeros(c.shape, wide))
        dc[0 if reverse else -1] = 0.5
        dc0 = room(batch, hidden, of=wide)
        kernels.lstm_together_backward(dh, values, weight, c, dc, inner, dh0, dc0, *back)
        results = [h, c, values, inner, dh0, dc0]
    elif kind == "gru":
        values, m, product = room(*inner.shape), room(steps, batch, hidden), room(*inner.shape)
        carried = [room(batch, hidden, of=wide) for _ in range(2)]
        kernels.gru_together(up(parts), weight, up(bias), values, h, m, carried[0], *ahead)
        operands = (dh, values, weight, h, m, inner, product, dh0, carried[1])
        kernels.gru_together_backward(*operands, *back)
        results = [h, values, m, inner, product, dh0]
    else:
        kernels.rnn_together(up(parts), weight, h, *options, *ahead)
        kernels.rnn_together_backward(dh, h, weight, inner, dh0, *options, *back)
        results = [h, inner, dh0]
    return [backend.to_host(x) for x in results]


def on_the_host(k, kind, arrays, dtype, reverse, states):
    """The same in float64 by the CPU's kernels, or by NumPy; of operands rounded to `dtype`.

    Plain layers' gradients are those at the device's own `states`: a relu that is 0 for one may not
    be for the other.
    """
    parts, state, w, bias, dy, _ = (
        [x.astype(dtype).astype(np.float64) for x in a]
        if isinstance(a, list)
        else a.astype(dtype).astype(np.float64)
        for a in arrays
    )
    steps, batch, hidden = dy.shape
    size, initial = (steps, batch, hidden, reverse), (steps if reverse else 0)
    kept = [np.zeros((steps + 1, batch, hidden)) for _ in state]
    for history, first in zip(kept, state, strict=True):
        history[initial] = first
    values, inner = np.empty(parts.shape), np.empty(parts.shape)
    dh0 = np.zeros((batch, hidden))
    if kind == "lstm":
        k.lstm(parts, w, values, *kept, *size)
        dc0 = np.full((batch, hidden), 0.5)
        k.lstm_backward(dy, values, w, kept[1], None, inner, dh0, dc0, *size)
        return [*kept, values, inner, dh0, dc0]
    if kind == "gru":
        m, product = np.empty(dy.shape), np.empty(parts.shape)
        k.gru(parts, w, bias, values, kept[0], m, *size)
        k.gru_backward(dy, values, w, kept[0], m, inner, product, dh0, *size)
        return [kept[0], values, m, inner, product, dh0]
    (h,) = kept
    order = [(t, t + 1, t) if reverse else (t, t, t + 1) for t in range(steps)]
    for t, before, after in order[::-1] if reverse else order:
        argument = parts[t] + h[before] @ w.T
        h[after] = np.maximum(argument, 0) if kind == "relu" else np.tanh(argument)
    states = states.astype(np.float64)
    for t, _, after in order if reverse else order[::-1]:
        slope = states[after] > 0 if kind == "relu" else 1 - states[after] ** 2
        inner[t] = (dh0 + dy[t]) * slope
        dh0 = inner[t] @ w
    return [h, inner, dh0]


def drawn(kind, shape):
    hidden = shape[-1]
    parts, state, w, bias, dy, last = draw(kind if kind in GATES else "gru", shape, np.float64)
    if kind not in GATES:
        parts, w, bias = (
            parts[..., :hidden].copy(),
            w[:hidden] * 0.4,
            bias[:hidden],
        )  # nothing grows
    return parts, state, w, bias, dy, last


@pytest.mark.parametrize("dtype", UNITS, ids=lambda dtype: np.dtype(dtype).name)
@pytest.mark.parametrize("kind", ["lstm", "gru", "tanh", "relu"])
@pytest.mark.parametrize("shape", SHAPES)
def test_a_sequence_in_one_launch(together, backend, guarded, host_kernels, kind, shape, dtype):
    arrays, reverse = drawn(kind, shape), shape[0] % 2 == 0
    found = both_ways(together, backend, guarded, kind, arrays, dtype, reverse)
    right = on_the_host(host_kernels, kind, arrays, dtype, reverse, found[0])
    for ours, exact in zip(found, right, strict=True):
        assert_close(ours, exact, UNITS[dtype])


@pytest.mark.parametrize("dtype", [np.float32, bfloat16], ids=["float32", "bfloat16"])
@pytest.mark.parametrize("kind", ["lstm", "gru"])
def test_same_bits_however_many_crews_there_are(together, backend, guarded, kind, dtype):
    arrays = drawn(kind, (3, 50, 11))
    runs = [
        both_ways(together, backend, guarded, kind, arrays, dtype, False, crews)
        for crews in (1, 3, 4, 4)
    ]
    for first, *others in zip(*runs, strict=True):
        for other in others:
            assert first.tobytes() == other.tobytes()


def test_a_state_that_is_not_finite_spoils_no_other_sequence(together, backend, guarded):
    arrays = drawn("lstm", (2, 3, 9))
    clean = both_ways(together, backend, guarded, "lstm", arrays, np.float32, False)
    arrays[1][0][1] = np.nan
    spoilt = both_ways(together, backend, guarded, "lstm", arrays, np.float32, False)
    for before, after in zip(clean, spoilt, strict=True):
        kept = [0, 2]
        rows = (slice(None), kept) if before.ndim == 3 else kept
        np.testing.assert_array_equal(before[rows], after[rows])
    assert np.isnan(spoilt[0][1:, 1]).all()
