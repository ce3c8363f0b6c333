"""Nothing that a captured call depends on goes stale."""

import numpy as np
import pytest
from captured import both, pair

import tensorlite as tl
from tensorlite import nn


def _set(name, value):
    def change(i, model, optimizer):
        if i >= 6:
            optimizer.param_groups[0][name] = value

    return change


@pytest.mark.parametrize(
    ("name", "value"), [("lr", 0.01), ("momentum", 0.9), ("weight_decay", 0.1), ("maximize", True)]
)
def test_settings_of_the_optimizer_take_effect(name, value):
    step = both(_set(name, value))
    assert len(step.recordings) == 1


def test_a_new_seed_counts():
    def change(i, model, optimizer):
        if i == 6:
            tl.manual_seed(99)

    both(change)


def test_evaluation_and_training_are_recorded_apart():
    def change(i, model, optimizer):
        model.train(i % 4 < 2)

    step = both(change)
    assert len(step.recordings) == 2


def test_weights_that_are_loaded_count():
    other = {name: value.clone() for name, value in pair()[0].state_dict().items()}

    def change(i, model, optimizer):
        if i == 6:
            model.load_state_dict(other)

    both(change)


def test_a_frozen_parameter_needs_a_new_recording():
    def change(i, model, optimizer):
        if i == 6:
            model.last.weight.requires_grad_(False)

    both(change)


def test_loading_an_optimizer_goes_on_from_there():
    saved = {}

    def change(i, model, optimizer):
        if i == 4:
            saved["state"] = optimizer.state_dict()
        if i == 8:
            optimizer.load_state_dict(saved["state"])

    both(change)


def test_the_last_batch_has_another_size():
    model, _optimizer, step, batches = pair()
    step = tl.capture(step)
    twin_model, _, twin, _ = pair()
    tl.manual_seed(1)
    for fn in (step, twin):
        tl.manual_seed(7)
        for _ in range(3):
            for x, y in [*batches[:4], (batches[4][0][:5], batches[4][1][:5])]:
                fn(x, y)
    for p, q in zip(model.parameters(), twin_model.parameters(), strict=True):
        np.testing.assert_array_equal(p.detach().numpy(), q.detach().numpy())
    assert len(step.recordings) == 2


def test_the_least_recently_used_recording_goes():
    double = tl.capture(lambda x: x * 2 + 1, most=2)
    for n in (3, 4, 5):
        for _ in range(3):
            double(tl.ones(n))
    assert len(double.recordings) == 2


def test_two_captured_functions_share_parameters():
    results = []
    for captured in (False, True):
        model, _optimizer, step, batches = pair()

        def predict(x, model=model):
            with tl.no_grad():
                return model(x)

        if captured:
            step, predict = tl.capture(step), tl.capture(predict)
        results.append([])
        for x, y in batches:
            step(x, y)
            results[-1].append(predict(x).numpy())
    for a, b in zip(*results, strict=True):
        np.testing.assert_array_equal(a, b)


def test_results_are_the_callers_own():
    double = tl.capture(lambda x: x * 2)
    kept = [double(tl.full((3,), float(i))) for i in range(6)]
    assert [k[0].item() for k in kept] == [0.0, 2.0, 4.0, 6.0, 8.0, 10.0]


def test_gradients_that_are_there_are_added_to():
    def grads(captured):
        tl.manual_seed(2)
        layer = nn.Linear(4, 3)

        def add(x):
            loss = layer(x).sum()
            loss.backward()
            return loss

        add = tl.capture(add) if captured else add
        seen = []
        for i in range(9):
            if i in (0, 3, 7):
                layer.weight.grad = layer.bias.grad = None
            add(tl.full((2, 4), float(i)))
            seen.append(layer.weight.grad.numpy().copy())
        return seen

    for a, b in zip(grads(False), grads(True), strict=True):
        np.testing.assert_array_equal(a, b)


def test_nested_arguments_and_results():
    @tl.capture
    def mixed(batch, *, scale):
        return {"sum": batch["a"] + batch["b"][0], "more": (batch["a"] * scale, "name", 3)}

    for i in range(5):
        batch = {"a": tl.full((2,), float(i)), "b": [tl.ones(2)]}
        found = mixed(batch, scale=3.0)
    np.testing.assert_array_equal(found["sum"].numpy(), [5, 5])
    assert found["more"][0].tolist() == [12.0, 12.0]
    assert found["more"][1:] == ("name", 3)
