"""`nn.utils`: vectors of parameters, parametrizations, fusion."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest

import tensorlite as tl
from tensorlite import nn
from tensorlite.nn.utils import parametrizations, parametrize


def host(tensor: tl.Tensor) -> np.ndarray:
    return tensor.detach().to("cpu").numpy()


class Symmetric(nn.Module):
    def forward(self, x):
        return x.triu() + x.triu(1).mT


class Doubled(nn.Module):
    def forward(self, x):
        return 2 * x

    def right_inverse(self, x):
        return x / 2


def test_parameters_as_a_vector(device):
    model = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 1)).to(device)
    vector = nn.utils.parameters_to_vector(model.parameters())
    assert vector.shape == (13,)
    places = [p.array for p in model.parameters()]
    nn.utils.vector_to_parameters(tl.arange(13.0, device=device), model.parameters())
    assert host(model[1].weight).tolist() == [[9, 10, 11]]
    assert all(p.array is a for p, a in zip(model.parameters(), places, strict=True))
    with pytest.raises(RuntimeError, match="for 13 elements"):
        nn.utils.vector_to_parameters(vector[:5], model.parameters())
    with pytest.raises(TypeError, match="Tensor"):
        nn.utils.vector_to_parameters([1.0], model.parameters())


def test_a_parametrized_weight_is_computed_when_it_is_read(device):
    layer = nn.Linear(3, 3).to(device)
    original = layer.weight
    assert parametrize.register_parametrization(layer, "weight", Symmetric()) is layer
    assert layer.parametrizations.weight.original is original
    np.testing.assert_array_equal(host(layer.weight), host(layer.weight).T)
    assert list(layer.state_dict()) == ["bias", "parametrizations.weight.original"]
    assert isinstance(layer, nn.Linear)
    assert parametrize.type_before_parametrizations(layer) is nn.Linear
    layer(tl.ones((1, 3), device=device)).sum().backward()
    assert not np.tril(host(original.grad), -1).any()
    with pytest.raises(RuntimeError, match="does not implement right_inverse"):
        layer.weight = tl.zeros((3, 3), device=device)
    parametrize.remove_parametrizations(layer, "weight")
    assert type(layer) is nn.Linear
    assert layer.weight is original
    np.testing.assert_array_equal(host(layer.weight), host(layer.weight).T)
    assert [name for name, _ in layer.named_parameters()] == ["bias", "weight"]


def test_parametrizations_in_turn_and_their_inverse():
    layer = nn.Linear(2, 2)
    before = host(layer.weight).copy()
    parametrize.register_parametrization(layer, "weight", Doubled())
    np.testing.assert_array_equal(host(layer.weight), before)
    parametrize.register_parametrization(layer, "weight", Doubled())
    np.testing.assert_array_equal(host(layer.weight), before)
    np.testing.assert_array_equal(host(layer.parametrizations.weight.original), before / 4)
    layer.weight = tl.ones((2, 2))
    np.testing.assert_array_equal(
        host(layer.parametrizations.weight.original), np.full((2, 2), 0.25)
    )
    parametrize.register_parametrization(layer, "bias", Doubled())
    assert parametrize.is_parametrized(layer, "bias")
    parametrize.remove_parametrizations(layer, "weight", leave_parametrized=False)
    np.testing.assert_array_equal(host(layer.weight), np.full((2, 2), 0.25))
    assert parametrize.is_parametrized(layer)
    assert not parametrize.is_parametrized(layer, "weight")


def test_a_cache_computes_once():
    class Counted(nn.Module):
        calls = 0

        def forward(self, x):
            Counted.calls += 1
            return x

    layer = nn.Linear(2, 2)
    parametrize.register_parametrization(layer, "weight", Counted())
    Counted.calls = 0
    with parametrize.cached():
        assert layer.weight is layer.weight
    assert Counted.calls == 1
    assert layer.weight is not None
    assert Counted.calls == 2


def test_copies_of_parametrized_modules_are_independent():
    layer = parametrizations.weight_norm(nn.Linear(2, 3))
    other = copy.deepcopy(layer)
    parametrize.remove_parametrizations(layer, "weight")
    assert parametrize.is_parametrized(other)
    np.testing.assert_allclose(host(other.weight), host(layer.weight), rtol=1e-6)
    with pytest.raises(RuntimeError, match="only supported through state_dict"):
        pickle.dumps(other)
    third = nn.Linear(2, 3)
    parametrize.transfer_parametrizations_and_params(other, third)
    np.testing.assert_allclose(host(third.weight), host(other.weight), rtol=1e-6)


@pytest.mark.parametrize(
    ("parametrization", "name", "message"),
    [
        (nn.Flatten(0), "weight", "may not change dtype and shape"),
        (Doubled(), "height", "does not have a parameter"),
    ],
)
def test_what_cannot_be_parametrized(parametrization, name, message):
    layer = nn.Linear(2, 2)
    with pytest.raises(ValueError, match=message):
        parametrize.register_parametrization(layer, name, parametrization)
    assert list(layer.state_dict()) == ["weight", "bias"]
    with pytest.raises(ValueError, match="does not have a parametrization"):
        parametrize.remove_parametrizations(layer, "weight")


def test_weight_norm_loads_what_its_older_form_saved():
    layer = nn.Linear(3, 2)
    before = host(layer.weight).copy()
    with pytest.warns(FutureWarning, match="deprecated"):
        older = nn.utils.weight_norm(copy.deepcopy(layer))
    assert list(older.state_dict()) == ["bias", "weight_g", "weight_v"]
    np.testing.assert_allclose(host(older.weight), before, rtol=1e-6)
    newer = parametrizations.weight_norm(layer)
    newer.load_state_dict(older.state_dict())
    nn.init.constant_(older.weight_g, 2.0)
    older(tl.ones((1, 3)))
    np.testing.assert_allclose(np.linalg.norm(host(older.weight), axis=1), 2, rtol=1e-6)
    nn.utils.remove_weight_norm(older)
    assert isinstance(older.weight, nn.Parameter)
    np.testing.assert_allclose(np.linalg.norm(host(older.weight), axis=1), 2, rtol=1e-6)
    with pytest.raises(ValueError, match="not found"):
        nn.utils.remove_weight_norm(older)


def test_spectral_norm_comes_to_one(device):
    tl.manual_seed(0)
    for layer in (
        parametrizations.spectral_norm(nn.Conv2d(3, 4, 3).to(device), n_power_iterations=30),
        nn.utils.spectral_norm(nn.Conv2d(3, 4, 3).to(device), n_power_iterations=60),
    ):
        layer(tl.ones((1, 3, 4, 4), device=device))
        largest = np.linalg.svd(host(layer.weight).reshape(4, -1), compute_uv=False)[0]
        assert largest == pytest.approx(1, abs=1e-4)
    nn.utils.remove_spectral_norm(layer)
    assert list(layer.state_dict()) == ["bias", "weight"]
    two_reads = parametrizations.spectral_norm(nn.Linear(3, 2).to(device))
    real, fake = (two_reads(tl.ones((1, 3), device=device) * n) for n in (1, 2))
    (real - fake).sum().backward()  # the vectors that were read have moved on since


@pytest.mark.parametrize(
    ("layer", "norm", "shape", "fuse"),
    [
        (lambda: nn.Conv2d(2, 3, 3), lambda: nn.BatchNorm2d(3), (2, 2, 5, 5), "conv"),
        (lambda: nn.Conv1d(2, 3, 3, bias=False), lambda: nn.BatchNorm1d(3), (2, 2, 5), "conv"),
        (
            lambda: nn.ConvTranspose2d(2, 3, 2),
            lambda: nn.BatchNorm2d(3),
            (2, 2, 3, 3),
            "transposed",
        ),
        (lambda: nn.Linear(2, 3), lambda: nn.BatchNorm1d(3, affine=False), (4, 2), "linear"),
    ],
)
def test_fusion_with_batch_norm(layer, norm, shape, fuse):
    layer, norm = layer(), norm()
    rng = np.random.default_rng(0)
    for tensor in (norm.running_mean, norm.running_var, *norm.parameters()):
        tensor.data.copy_(tl.tensor(rng.uniform(0.5, 1.5, 3)))
    layer.eval(), norm.eval()
    if fuse == "linear":
        fused = nn.utils.fuse_linear_bn_eval(layer, norm)
    else:
        fused = nn.utils.fuse_conv_bn_eval(layer, norm, fuse == "transposed")
    x = tl.tensor(rng.normal(size=shape).astype(np.float32))
    np.testing.assert_allclose(host(fused(x)), host(norm(layer(x))), rtol=1e-5, atol=1e-6)
    with pytest.raises(ValueError, match="eval"):
        nn.utils.fuse_conv_bn_eval(layer.train(), norm)


def test_skip_init():
    assert nn.utils.skip_init(nn.Linear, 2, 3, dtype=tl.float64).weight.dtype == np.float64
    with pytest.raises(RuntimeError, match="'device'"):
        nn.utils.skip_init(nn.ReLU)
