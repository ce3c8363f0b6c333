"""The machinery of modules: registration, state, hooks, copies, errors, repr."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest

import tensorlite as tl
from tensorlite import nn
from tensorlite.backend import Device


class Block(nn.Module):
    """One of each kind: a parameter, buffers, a submodule, a shared submodule."""

    def __init__(self, width: int, bias: bool = True):
        self.width = width
        self.first = nn.Linear(width, width, bias)
        self.scale = nn.Parameter(np.ones(width, np.float32))
        self.register_buffer("steps", tl.tensor(0))
        self.register_buffer("cache", tl.zeros(2), persistent=False)
        self.again = self.first

    def forward(self, x: tl.Tensor, twice: bool = False) -> tl.Tensor:
        x = self.first(x) * self.scale
        return self.again(x) if twice else x


@pytest.fixture
def model() -> nn.Sequential:
    return nn.Sequential(Block(3), nn.ReLU(), nn.Linear(3, 2))


def test_parameters_come_once_in_order_with_dotted_names(model):
    names = [name for name, _ in model.named_parameters()]
    assert names == ["0.scale", "0.first.weight", "0.first.bias", "2.weight", "2.bias"]
    named = dict(model.named_parameters()).values()
    assert all(p is q for p, q in zip(model.parameters(), named, strict=True))
    assert [name for name, _ in model.named_parameters(prefix="net", recurse=False)] == []
    assert [name for name, _ in model[0].named_parameters("b", recurse=False)] == ["b.scale"]


def test_buffers_and_modules_by_name(model):
    assert [name for name, _ in model.named_buffers()] == ["0.steps", "0.cache"]
    assert [name for name, _ in model.named_modules()] == ["", "0", "0.first", "1", "2"]
    assert [type(m).__name__ for m in model.children()] == ["Block", "ReLU", "Linear"]
    assert len(list(model.modules())) == 5
    assert next(model.buffers()) is model[0].steps


def test_state_dict_has_what_persists_under_every_name(model):
    assert list(model.state_dict()) == [
        "0.scale",
        "0.steps",
        "0.first.weight",
        "0.first.bias",
        "0.again.weight",
        "0.again.bias",
        "2.weight",
        "2.bias",
    ]
    assert all(not value.requires_grad for value in model.state_dict().values())


def test_load_state_dict_copies_into_the_memory_there_is(model):
    other = copy.deepcopy(model)
    for p in other.parameters():
        nn.init.normal_(p)
    other[0].steps.array[...] = 7
    places = [p.array for p in model.parameters()]
    result = model.load_state_dict(other.state_dict())
    assert result.missing_keys == result.unexpected_keys == []
    for p, q, place in zip(model.parameters(), other.parameters(), places, strict=True):
        assert p.array is place
        np.testing.assert_array_equal(p.array, q.array)
    assert model[0].steps.item() == 7


def test_load_state_dict_lists_all_that_does_not_fit_and_changes_nothing(model):
    before = {name: value.array.copy() for name, value in model.state_dict().items()}
    state = {name: value + 1 for name, value in before.items()}
    del state["2.bias"]
    state["2.weight"] = np.zeros((5, 3), np.float32)
    state["head.weight"] = np.zeros(3)
    with pytest.raises(RuntimeError) as error:
        model.load_state_dict(state)
    text = str(error.value)
    for part in (
        "missing: 2.bias",
        "unexpected: head.weight",
        "2.weight: shape (5, 3), but the module has (2, 3)",
    ):
        assert part in text
    for name, value in model.state_dict().items():
        np.testing.assert_array_equal(value.array, before[name])


def test_not_strict_loads_what_is_there_but_never_a_wrong_shape(model):
    result = model.load_state_dict({"2.bias": np.full(2, 5, np.float32), "x": 0}, strict=False)
    assert result.unexpected_keys == ["x"]
    assert "0.scale" in result.missing_keys
    np.testing.assert_array_equal(model[2].bias.array, [5, 5])
    with pytest.raises(RuntimeError, match=r"2.bias: shape \(3,\)"):
        model.load_state_dict({"2.bias": np.zeros(3, np.float32)}, strict=False)


def test_loading_is_noticed_by_a_graph_that_had_saved_the_values():
    layer = nn.Linear(3, 2)
    loss = layer(tl.ones((1, 3)).requires_grad_()).sum()
    layer.load_state_dict(layer.state_dict())
    with pytest.raises(RuntimeError, match="changed in place"):
        loss.backward()


def test_train_and_eval_reach_every_module(model):
    model.eval()
    assert not any(m.training for m in model.modules())
    model[0].train()
    assert model[0].first.training
    assert not model.training


def test_to_casts_floats_and_their_gradients_only(model):
    model(tl.ones((1, 3))).sum().backward()
    model.double()
    assert all(p.dtype == np.float64 for p in model.parameters())
    assert model[2].weight.grad.dtype == np.float64
    assert model[0].steps.dtype == np.int64
    assert model[0].cache.dtype == np.float64
    assert model[0].again.weight is model[0].first.weight
    assert model.half()[2].weight.dtype == np.float16
    assert model.float()[2].weight.dtype == np.float32
    with pytest.raises(TypeError, match="floating point"):
        model.to(np.int64)
    assert model[2].weight.dtype == np.float32


def test_to_moves_between_devices_and_leaves_what_is_there(model, device: Device):
    place = model[2].weight.array
    assert model.to("cpu")[2].weight.array is place
    model.to(device)
    assert all(t.device == device for t in (*model.parameters(), *model.buffers()))
    x = tl.ones((4, 3), device=device)
    assert model(x).device == device


def test_apply_reaches_children_first(model):
    seen = []
    assert model.apply(lambda m: seen.append(type(m).__name__)) is model
    assert seen == ["Linear", "Block", "ReLU", "Linear", "Sequential"]


def test_zero_grad_and_requires_grad(model):
    x = tl.ones((1, 3))
    model[0].requires_grad_(False)
    model(x).sum().backward()
    assert model[0].scale.grad is None
    assert model[2].bias.grad is not None
    model.zero_grad()
    assert model[2].bias.grad is None


def test_hooks_see_and_change_inputs_and_outputs_until_removed():
    layer = nn.Linear(2, 2, bias=False)
    nn.init.eye_(layer.weight)
    seen = []
    before = layer.register_forward_pre_hook(lambda module, args: args[0] * 2)
    after = layer.register_forward_hook(lambda module, args, output: output + 1)
    last = layer.register_forward_hook(lambda m, args, output: seen.append((m, args)))
    x = tl.ones((1, 2))
    np.testing.assert_array_equal(layer(x).detach().numpy(), [[3, 3]])
    assert seen[0][0] is layer
    np.testing.assert_array_equal(seen[0][1][0].numpy(), [[2, 2]])
    for handle in (before, after, last):
        handle.remove()
    np.testing.assert_array_equal(layer(x).detach().numpy(), [[1, 1]])
    assert len(seen) == 1


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))])
def test_copies_are_independent_and_keep_what_is_shared(model, duplicate):
    model[2].weight.requires_grad_(False)
    other = duplicate(model.eval())
    assert not other.training
    assert other[0].again is other[0].first
    assert not other[2].weight.requires_grad
    assert list(other.state_dict()) == list(model.state_dict())
    for (name, p), q in zip(model.named_parameters(), other.parameters(), strict=True):
        assert not np.shares_memory(p.array, q.array), name
        np.testing.assert_array_equal(p.array, q.array)
        assert isinstance(q, nn.Parameter)
    assert [name for name, _ in other.named_buffers()] == ["0.steps", "0.cache"]


def test_attributes_keep_their_kind(model):
    with pytest.raises(
        TypeError, match=r"Linear\.weight is a parameter and cannot become a ndarray"
    ):
        model[2].weight = np.zeros((2, 3))
    with pytest.raises(TypeError, match=r"Block\.steps is a buffer"):
        model[0].steps = 3
    with pytest.raises(TypeError, match=r"Block\.first is a module"):
        model[0].first = "linear"
    model[0].steps = tl.tensor(3)
    assert dict(model.named_buffers())["0.steps"].item() == 3
    model[2].bias = None
    assert list(model[2].state_dict()) == ["weight"]


def test_registration_refuses_bad_names_kinds_and_duplicates():
    module = nn.Module()
    module.register_parameter("weight", None)
    module.register_parameter("weight", nn.Parameter(tl.zeros(2)))
    assert list(module.state_dict()) == ["weight"]
    with pytest.raises(KeyError, match="already has an attribute 'weight'"):
        module.register_buffer("weight", tl.zeros(2))
    with pytest.raises(KeyError, match="no dots"):
        module.register_buffer("a.b", tl.zeros(2))
    with pytest.raises(TypeError, match="a Tensor is no parameter"):
        module.register_parameter("other", tl.zeros(2))
    with pytest.raises(TypeError, match="a ndarray is no buffer"):
        module.register_buffer("other", np.zeros(2))
    with pytest.raises(KeyError, match="already has an attribute 'forward'"):
        module.add_module("forward", nn.ReLU())
    with pytest.raises(TypeError, match="int64 cannot be trained"):
        nn.Parameter(np.arange(3))


def test_errors_name_the_path_of_the_module(model):
    with pytest.raises(ValueError) as error:
        nn.Sequential(nn.Identity(), model)(tl.ones((2, 4)))
    assert error.value.__notes__ == [
        "raised in Sequential.1.0.first: Linear(in_features=3, out_features=3, bias=True)"
    ]
    with pytest.raises(NotImplementedError, match=r"\[Module\] is missing"):
        nn.Module()(1)


def test_repr_is_a_tree_with_parameter_counts(model):
    model[2].requires_grad_(False)
    assert (
        repr(model)
        == """\
Sequential(                                                    # 23 parameters (8 frozen)
  (0): Block(                                                  # 15
    (first): Linear(in_features=3, out_features=3, bias=True)  # 12
    (again): Linear(in_features=3, out_features=3, bias=True)  # 12
  )
  (1): ReLU()
  (2): Linear(in_features=3, out_features=2, bias=True)        # 8 (8 frozen)
)"""
    )
    assert repr(nn.Linear(2, 1, bias=False)) == (
        "Linear(in_features=2, out_features=1, bias=False)  # 2 parameters"
    )
    assert repr(nn.Dropout(0.3)) == "Dropout(p=0.3, inplace=False)"


def test_gradients_of_a_shared_layer_add_up():
    block = Block(2)
    x = tl.ones((1, 2))
    block(x, twice=True).sum().backward()
    w, b = block.first.weight.detach().numpy(), block.first.bias.detach().numpy()
    inner = w @ np.ones(2) + b
    wanted = np.outer(np.ones(2), inner) + np.outer(w.T @ np.ones(2), np.ones(2))
    np.testing.assert_allclose(block.first.weight.grad.numpy(), wanted, rtol=1e-5)
