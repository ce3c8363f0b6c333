"""Captured training has the bits of eager training."""

import threading

import numpy as np
import pytest
from captured import CASES, Perceptron, assert_same, here, pair, run, training, vectors

import tensorlite as tl
import tensorlite.nn.functional as F
from tensorlite import optim
from tensorlite.recording import CaptureError


@pytest.mark.parametrize("kind", CASES)
def test_captured_training_has_the_bits_of_eager_training(kind, device):
    if kind == "mlp_nadam" and device.type == "cuda":  # the host computes a product of all steps
        with pytest.raises(CaptureError, match=r"NAdam\.step\(\) with numbers that the host"):
            run(kind, captured=True)
        return
    eager, captured = run(kind), run(kind, captured=True)
    assert_same(eager, captured)
    assert captured[3].recordings[0].replays >= len(captured[0]) - 4


@pytest.mark.parametrize("how", ["scaled", "accumulated"])
@pytest.mark.parametrize("kind", ["mlp", "cnn", "gpt", "lstm"])
def test_scaled_and_accumulated_training_too(kind, how):
    eager, captured = run(kind, how), run(kind, how, captured=True)
    assert_same(eager, captured)
    assert captured[3].recordings[0].replays >= len(captured[0]) - 4


@pytest.mark.parametrize("how", ["plain", "scaled"])
@pytest.mark.parametrize("kind", ["mlp", "cnn", "gpt", "lstm"])
def test_training_goes_on_from_a_checkpoint_with_the_same_bits(kind, how, tmp_path):
    parts = {}
    _, _, step, data = training(kind, how, True, parts)
    rng = np.random.default_rng(0)
    for i in range(20):
        if i == 9:
            states = {name: part.state_dict() for name, part in parts.items()}
            tl.save((states, tl.get_rng_state()), tmp_path / "state")
            later = rng.bit_generator.state
        step(*map(here, data(rng)))
    again = {}
    _, _, step, data = training(kind, how, True, again)
    rng.bit_generator.state = later
    for _ in range(3):  # recorded before it is loaded, and replayed after
        step(*map(here, data(np.random.default_rng(1))))
    states, random = tl.load(tmp_path / "state")
    for name, part in again.items():
        part.load_state_dict(states[name])
    tl.set_rng_state(random)
    for _ in range(9, 20):
        step(*map(here, data(rng)))
    resumed = again["model"].state_dict()
    for name, value in parts["model"].state_dict().items():
        np.testing.assert_array_equal(resumed[name].numpy(), value.numpy(), err_msg=name)
    assert step.recordings[-1].replays > 4


def test_a_trainer_captures_and_has_the_same_history(device):
    def history(capture):
        tl.manual_seed(0)
        model = Perceptron()
        optimizer = optim.Adam(model.named_parameters(), lr=1e-3)
        rng = np.random.default_rng(3)
        data = tl.data.TensorDataset(*map(here, vectors(rng)))
        loader = tl.data.DataLoader(data, batch_size=3, shuffle=True)
        trainer = tl.training.Trainer(
            model, optimizer, F.cross_entropy, callbacks=[], device=device, capture=capture
        )
        return trainer, [r["train_loss"] for r in trainer.fit(loader, epochs=6)]

    (on, replayed), (_, eager) = history("on"), history("off")
    assert replayed == eager
    assert len(on._captured.recordings) == 2  # the last batch is smaller


def test_a_thread_of_its_own_captures_and_replays():
    """NumPy has an allocator for each context: memory of a recording must be kept in all."""
    found = {}

    def work():
        _, _, step, batches = pair()
        captured = tl.capture(step)
        found["losses"] = [captured(*batch).item() for batch in batches]
        found["replays"] = [recording.replays for recording in captured.recordings]

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    _, _, step, batches = pair()
    assert found["losses"] == [step(*batch).item() for batch in batches]
    assert found["replays"] == [len(batches) - 2]
