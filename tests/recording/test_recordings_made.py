"""What a recording holds, and what is left out of it."""

import numpy as np
from captured import device_kind, here, pair, training

import tensorlite as tl
from tensorlite import nn


def test_replays_hold_memory_flat():
    import tracemalloc

    _model, _optimizer, step, batches = pair()
    step = tl.capture(step)
    for _ in range(10):
        step(*batches[0])
    tracemalloc.start()
    step(*batches[0])
    before = tracemalloc.get_traced_memory()[0]
    for _ in range(10_000 if device_kind() == "cpu" else 1000):
        step(*batches[0])
    grown = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    assert grown < 20_000


def test_a_recording_is_readable_and_plans_its_memory():
    _model, _optimizer, step, batches = pair()
    step = tl.capture(step)
    for batch in batches[:4]:
        step(*batch)
    (recording,) = step.recordings
    assert "cross_entropy" in str(recording)
    assert "captured.py" in str(recording)
    assert recording.to_dot().startswith("digraph")
    before, after = recording.memory
    assert 0 < after < before


def test_calls_whose_results_nobody_reads_are_dropped(host):
    @tl.capture
    def call(x):
        tl.exp(x)
        return tl.tanh(x)

    for _ in range(3):
        y = call(tl.ones(2000))
    names = [line.name for line in call.recordings[0].lines()]
    assert names == ["tanh"]
    np.testing.assert_allclose(y.numpy(), np.tanh(1), rtol=1e-6)


def test_what_is_always_the_same_is_computed_once(host):
    weight = tl.ones(6)

    @tl.capture
    def call(x):
        mask = tl.ones(6, 6).triu() * 2  # constants alone
        changed = tl.zeros(6).exp()
        changed += x[0]  # begins as a constant, and is written to
        return x @ mask + weight.exp(), changed

    for i in range(6):
        if i == 4:
            weight += 1
        found, changed = call(tl.full((3, 6), float(i)))
        expected = np.full((3, 6), i) @ np.triu(np.full((6, 6), 2)) + np.exp(weight.numpy())
        np.testing.assert_allclose(found.numpy(), expected, rtol=1e-6)
        np.testing.assert_array_equal(changed.numpy(), np.full(6, 1 + i))
    (recording,) = call.recordings
    assert recording.replays == 4
    names = [line.name for line in recording.lines()]
    assert "triu" not in names
    assert "scale" not in names
    assert "exp" in names


def test_what_added_nothing_while_it_was_recorded_adds_later():
    offset = tl.zeros(3)

    @tl.capture
    def call(x):
        y = x * 1.0
        y += offset
        return y

    for i in range(5):
        offset.array[...] = max(i - 1, 0)
        np.testing.assert_array_equal(call(tl.full((3,), 5.0 + i)).numpy(), 5 + i + max(i - 1, 0))
    assert call.recordings[0].replays == 3


def test_embeddings_are_recorded_without_python():
    words = nn.Embedding(5, 4)
    call = tl.capture(lambda ids: words(ids))
    for ids in ([0, 1], [1, 4], [2, 2], [3, 0]):
        found = call(tl.tensor(ids))
        np.testing.assert_array_equal(found.numpy(), words.weight.detach().numpy()[ids])
    assert [line.by_python for line in call.recordings[0].lines()] == [False]


def test_recurrent_layers_run_forward_without_python(host):
    _model, _optimizer, step, data = training("lstm", captured=True)
    rng = np.random.default_rng(0)
    for _ in range(3):
        step(*map(tl.tensor, data(rng)))
    forward = [line for line in step.recordings[0].lines() if line.name == "lstm"]
    assert not forward[0].by_python


def test_gaps_and_a_copied_input():
    call = tl.capture(lambda x: x.T @ x)
    rng = np.random.default_rng(0)
    for _ in range(5):
        x = here(rng.standard_normal((6, 8)).astype(np.float32))[:, ::2]
        np.testing.assert_array_equal(call(x).numpy(), (x.T @ x).numpy())
