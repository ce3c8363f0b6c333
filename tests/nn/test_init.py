"""Initial values: distributions, shapes, determinism, errors."""

from __future__ import annotations

import math

import numpy as np
import pytest

import tensorlite as tl
from tensorlite import nn
from tensorlite.backend import Device
from tensorlite.nn import init
from tensorlite.nn.parameter import empty
from tensorlite.random import Generator


def drawn(fn, *shape: int, **kwargs) -> np.ndarray:
    tensor = empty(shape)
    assert fn(tensor, generator=Generator(5), **kwargs) is tensor
    return tensor.array


def test_gains():
    assert init.calculate_gain("linear") == init.calculate_gain("sigmoid") == 1
    assert init.calculate_gain("tanh") == 5 / 3
    assert init.calculate_gain("relu") == math.sqrt(2)
    assert init.calculate_gain("leaky_relu", 0.2) == math.sqrt(2 / 1.04)
    assert init.calculate_gain("selu") == 0.75
    with pytest.raises(ValueError, match="unknown nonlinearity 'gelu'"):
        init.calculate_gain("gelu")


@pytest.mark.parametrize(
    ("fn", "kwargs", "bound"),
    [
        (init.uniform_, dict(a=-3.0, b=3.0), 3),
        (init.xavier_uniform_, dict(gain=2.0), 2 * math.sqrt(6 / (50 * 9 + 40 * 9))),
        (init.kaiming_uniform_, dict(a=math.sqrt(5)), 1 / math.sqrt(50 * 9)),
        (
            init.kaiming_uniform_,
            dict(mode="fan_out", nonlinearity="relu"),
            math.sqrt(6 / (40 * 9)),
        ),
    ],
)
def test_uniform_distributions(fn, kwargs, bound):
    values = drawn(fn, 40, 50, 3, 3, **kwargs)
    assert np.abs(values).max() <= bound
    assert np.abs(values).max() > 0.999 * bound
    assert abs(values.mean()) < 0.01 * bound
    assert values.std() == pytest.approx(bound / math.sqrt(3), rel=0.01)


@pytest.mark.parametrize(
    ("fn", "kwargs", "mean", "std"),
    [
        (init.normal_, dict(mean=2.0, std=3.0), 2, 3),
        (init.xavier_normal_, {}, 0, math.sqrt(2 / (50 * 9 + 40 * 9))),
        (init.kaiming_normal_, dict(nonlinearity="relu"), 0, math.sqrt(2 / (50 * 9))),
    ],
)
def test_normal_distributions(fn, kwargs, mean, std):
    values = drawn(fn, 40, 50, 3, 3, **kwargs)
    assert abs(values.mean() - mean) < 0.03 * std
    assert values.std() == pytest.approx(std, rel=0.01)
    assert (np.abs(values - mean) < std).mean() == pytest.approx(0.6827, abs=0.01)


def test_truncated_normal_keeps_to_its_bounds():
    values = drawn(init.trunc_normal_, 300, 100, mean=1.0, std=2.0, a=-1.0, b=4.0)
    assert values.min() >= -1
    assert values.max() <= 4
    # E[x | a ≤ x ≤ b] = mean + std · (φ(α) − φ(β)) / (Φ(β) − Φ(α)), α = −1, β = 1.5
    phi = [math.exp(-(t**2) / 2) / math.sqrt(2 * math.pi) for t in (-1, 1.5)]
    held = (math.erf(1.5 / math.sqrt(2)) + math.erf(1 / math.sqrt(2))) / 2
    assert values.mean() == pytest.approx(1 + 2 * (phi[0] - phi[1]) / held, abs=0.02)
    with pytest.raises(ValueError, match="holds only"):
        init.trunc_normal_(empty(2), a=5.0, b=6.0)


@pytest.mark.parametrize("shape", [(5, 5), (3, 8), (8, 3), (4, 2, 3)])
def test_orthogonal(shape):
    q = drawn(init.orthogonal_, *shape, gain=2.0).reshape(shape[0], -1)
    product = q @ q.T if q.shape[0] <= q.shape[1] else q.T @ q
    np.testing.assert_allclose(product, 4 * np.eye(len(product)), atol=1e-5)


def test_constants():
    np.testing.assert_array_equal(init.constant_(empty(2), 3).array, [3, 3])
    np.testing.assert_array_equal(init.ones_(init.zeros_(empty(2))).array, [1, 1])
    np.testing.assert_array_equal(init.eye_(empty(2, 3)).array, np.eye(2, 3))
    x = tl.randn((2, 3, 7))
    weight = init.dirac_(empty(3, 3, 5))
    np.testing.assert_array_equal(
        nn.functional.conv1d(x, weight, padding=2).detach().array, x.array
    )


@pytest.mark.parametrize(
    ("fn", "shape", "message"),
    [
        (init.xavier_uniform_, (3,), r"fans of a Tensor of shape \(3,\)"),
        (init.kaiming_normal_, (), "fans"),
        (init.orthogonal_, (3,), "less than two axes"),
        (init.eye_, (2, 2, 2), "no matrix"),
        (init.dirac_, (2, 2), "no weight of a convolution"),
    ],
)
def test_wrong_shapes_are_named(fn, shape, message):
    with pytest.raises(ValueError, match=message):
        fn(empty(shape))


def test_a_wrong_mode_is_named():
    with pytest.raises(ValueError, match="mode 'fan_avg'"):
        init.kaiming_uniform_(empty(2, 2), mode="fan_avg")


def test_a_seed_gives_the_same_weights_on_every_device(device: Device):
    def weights(where):
        tl.manual_seed(3)
        layer = nn.Linear(7, 5).to(where)
        for fn in (init.normal_, init.orthogonal_, init.trunc_normal_, init.kaiming_uniform_):
            fn(layer.weight)
            yield layer.weight.detach().to("cpu").numpy().copy()

    for a, b in zip(list(weights("cpu")), list(weights(device)), strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_leaf_that_requires_grad_is_written_in_place():
    layer = nn.Linear(2, 2)
    place = layer.weight.array
    init.zeros_(layer.weight)
    assert layer.weight.array is place
    assert layer.weight.requires_grad
    assert layer.weight.is_leaf


def bounds(weight: tl.Tensor) -> float:
    return float(np.abs(weight.array).max())


def test_layers_start_with_torchs_distributions():
    tl.manual_seed(0)
    linear = nn.Linear(400, 300)
    conv = nn.Conv2d(40, 30, 5, groups=2)
    transposed = nn.ConvTranspose2d(30, 40, 5)
    for layer, fan in ((linear, 400), (conv, 20 * 25), (transposed, 40 * 25)):
        limit = 1 / math.sqrt(fan)
        assert 0.99 * limit < bounds(layer.weight) <= limit
        assert 0.8 * limit < bounds(layer.bias) <= limit
    attention = nn.MultiheadAttention(64, 4)
    limit = math.sqrt(6 / (4 * 64))
    assert 0.99 * limit < bounds(attention.in_proj_weight) <= limit
    assert bounds(attention.in_proj_bias) == bounds(attention.out_proj.bias) == 0
    lstm = nn.LSTM(10, 100)
    assert all(0.09 < bounds(p) <= 0.1 for p in lstm.parameters())
    table = nn.Embedding(500, 40, padding_idx=-2).weight.array
    assert table.std() == pytest.approx(1, rel=0.02)
    assert not table[-2].any()
