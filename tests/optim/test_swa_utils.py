"""Averages of weights."""

import copy

import numpy as np
import pytest

import tensorlite as tl
from tensorlite import nn
from tensorlite.optim.swa_utils import (
    AveragedModel,
    get_ema_avg_fn,
    get_ema_multi_avg_fn,
    get_swa_avg_fn,
    get_swa_multi_avg_fn,
    update_bn,
)


def on_host(tensor):
    return tensor.detach().to("cpu").numpy()


def model_of(value, device):
    model = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2)).to(device)
    set_to(model, value)
    return model


def set_to(model, value):
    for parameter in model.parameters():
        parameter.array[...] = value
    model[1].running_mean.array[...] = value


FUNCTIONS = {
    "mean": ({}, lambda values: np.mean(values)),
    "swa": ({"avg_fn": get_swa_avg_fn()}, lambda values: np.mean(values)),
    "swa of lists": ({"multi_avg_fn": get_swa_multi_avg_fn()}, lambda values: np.mean(values)),
    "ema": ({"avg_fn": get_ema_avg_fn(0.5)}, lambda v: 0.25 * v[0] + 0.25 * v[1] + 0.5 * v[2]),
    "ema of lists": (
        {"multi_avg_fn": get_ema_multi_avg_fn(0.5)},
        lambda v: 0.25 * v[0] + 0.25 * v[1] + 0.5 * v[2],
    ),
    "own": (
        {"avg_fn": lambda mean, now, n: mean + now * (n + 1)},
        lambda v: v[0] + 2 * v[1] + 3 * v[2],
    ),
}


@pytest.mark.parametrize("use_buffers", [False, True])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_averages(name, use_buffers, device):
    settings, formula = FUNCTIONS[name]
    values = [3.0, 5.0, 10.0]
    model = model_of(0.0, device)
    average = AveragedModel(model, use_buffers=use_buffers, **settings)
    for value in values:
        set_to(model, value)
        average.update_parameters(model)
    for parameter in average.module.parameters():
        np.testing.assert_allclose(on_host(parameter), formula(values), rtol=1e-6)
    mean = formula(values) if use_buffers else 10
    np.testing.assert_allclose(on_host(average.module[1].running_mean), mean, rtol=1e-6)
    assert int(average.n_averaged) == 3
    x = tl.ones((4, 2), device=device)
    np.testing.assert_array_equal(on_host(average(x)), on_host(average.module(x)))


def test_the_average_is_a_copy_and_can_be_saved(device):
    model = model_of(1.0, device)
    average = AveragedModel(model, device=device)
    average.update_parameters(model)
    set_to(model, 2.0)
    assert on_host(average.module[0].weight).max() == 1
    state = average.state_dict()
    assert {"n_averaged", "module.0.weight", "module.1.running_mean"} <= set(state)
    other = AveragedModel(model)
    other.load_state_dict(state)
    other.update_parameters(model)
    assert on_host(other.module[0].weight).max() == 1.5


def test_averages_between_forward_and_backward(device):
    model = model_of(1.0, device)
    average = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(0.9))
    optimizer = tl.optim.Adam(model.parameters(), lr=0.1)
    for _ in range(3):
        loss = model(tl.randn(4, 2, device=device)).square().sum()
        average.update_parameters(model)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert all(np.isfinite(on_host(p)).all() for p in average.parameters())


def test_statistics_of_batch_norm(device):
    model = model_of(1.0, device)
    norm = model[1]
    norm.momentum = 0.3
    model.eval()
    rng = np.random.default_rng(0)
    batches = [rng.normal(size=(8, 2)).astype("f") for _ in range(3)]
    data = [(tl.tensor(b, device=device), None) for b in batches]
    update_bn(data, model, device)
    hidden = [b @ np.ones((2, 2), "f") + 1 for b in batches]
    np.testing.assert_allclose(
        on_host(norm.running_mean), np.mean([h.mean(0) for h in hidden], 0), rtol=1e-5
    )
    np.testing.assert_allclose(
        on_host(norm.running_var), np.mean([h.var(0, ddof=1) for h in hidden], 0), rtol=1e-5
    )
    assert (norm.momentum, norm.training, model.training) == (0.3, False, False)
    plain = nn.Linear(2, 2).to(device)
    before = copy.deepcopy(plain.state_dict())
    update_bn([b[0] for b in data], plain)
    np.testing.assert_array_equal(on_host(before["weight"]), on_host(plain.weight))


def test_bad_settings(device):
    with pytest.raises(ValueError, match="not both"):
        AveragedModel(model_of(0, device), avg_fn=get_swa_avg_fn(), multi_avg_fn=print)
    for make in (get_ema_avg_fn, get_ema_multi_avg_fn):
        with pytest.raises(ValueError, match="decay"):
            make(1.5)
