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


# --- what torch has beside ----------------------------------------------------------------------


def test_hooks_with_keywords_first_always_and_as_a_context():
    layer, seen = nn.Linear(2, 2), []
    layer.register_forward_pre_hook(lambda *a: seen.append("second"))
    layer.register_forward_pre_hook(lambda *a: seen.append("first"), prepend=True)
    layer.register_forward_pre_hook(
        lambda m, args, kwargs: ((), {"input": kwargs["input"] * 0}), with_kwargs=True
    )
    with layer.register_forward_hook(lambda m, args, y: seen.append("after")):
        y = layer(input=tl.ones((1, 2)))
    layer(input=tl.ones((1, 2)))
    assert seen == ["first", "second", "after", "first", "second"]
    np.testing.assert_array_equal(y.detach().numpy()[0], layer.bias.detach().numpy())
    broken = nn.Linear(2, 2)
    broken.register_forward_hook(lambda m, args, y: seen.append(y), always_call=True)
    with pytest.raises(ValueError):
        broken(tl.ones((1, 3)))
    assert seen[-1] is None


def test_backward_hooks_see_and_change_gradients(device):
    layer = nn.Linear(2, 2, bias=False)
    nn.init.eye_(layer.weight)
    layer.to(device)
    seen = []

    def see(module, grad_input, grad_output):
        seen.append((grad_input, grad_output))
        return None if grad_input[0] is None else (grad_input[0] + 1,)

    before = layer.register_full_backward_pre_hook(lambda m, g: (g[0] * 2,))
    after = layer.register_full_backward_hook(see)
    x = tl.ones((1, 2), device=device, requires_grad=True)
    (layer(x) + x * 10).sum().backward()  # only what passes the module counts
    (grad_input,), (grad_output,) = seen[0]
    assert grad_output.tolist() == [[2, 2]]
    assert grad_input.tolist() == [[2, 2]]
    assert x.grad.tolist() == [[13, 13]]
    assert layer.weight.grad.tolist() == [[2, 2], [2, 2]]
    layer(tl.ones((1, 2), device=device)).sum().backward()  # no gradient leaves
    assert seen[1][0] == (None,)
    before.remove()
    after.remove()
    layer(x).sum().backward()
    assert len(seen) == 2


def test_backward_hooks_of_several_inputs_and_outputs():
    class Both(nn.Module):
        def forward(self, a, n, b):
            return a * b, {"not": "a Tensor"}, a + b

    module, seen = Both(), []
    module.register_full_backward_hook(lambda m, gi, go: seen.append((gi, go)))
    a, b = tl.tensor(2.0, requires_grad=True), tl.tensor(3.0, requires_grad=True)
    product, _, _ = module(a, 7, b)
    product.backward()
    (da, none, db), (dp, no_text, ds) = seen[0]
    assert (da.item(), none, db.item()) == (3, None, 2)
    assert (dp.item(), no_text, ds) == (1, None, None)


def test_gradients_of_gradients_pass_hooks():
    layer = nn.Linear(1, 1, bias=False)
    layer.register_full_backward_hook(lambda m, gi, go: (gi[0] * 3,))
    x = tl.tensor([[2.0]], requires_grad=True)
    y = layer(x)
    (g,) = tl.grad((y * y).sum(), [x], create_graph=True)
    (second,) = tl.grad(g.sum(), [x])
    w = layer.weight.item()
    np.testing.assert_allclose([g.item(), second.item()], [3 * 4 * w * w, 3 * 3 * 2 * w * w])


def test_names_registered_as_none_keep_their_place():
    class Late(nn.Module):
        def __init__(self):
            super().__init__()
            self.register_parameter("first", None)
            self.second = nn.Parameter(tl.zeros(1))
            self.plain = None
            self.third = nn.Linear(1, 1)
            self.first = nn.Parameter(tl.zeros(2))
            self.plain = nn.Parameter(tl.zeros(3))

    names = [name for name, _ in Late().named_parameters()]
    assert names == ["first", "second", "plain", "third.weight", "third.bias"]


def test_the_registries_are_live_dictionaries(model):
    layer = model[2]
    assert list(layer._parameters) == ["weight", "bias"]
    weight = layer._parameters.pop("weight")
    assert not hasattr(layer, "weight")
    layer.weight = weight.detach() * 2  # an ordinary attribute now
    assert [name for name, _ in layer.named_parameters()] == ["bias"]
    del layer.weight
    layer._parameters["weight"] = weight
    assert list(layer.state_dict()) == ["bias", "weight"]
    assert list(model._modules) == ["0", "1", "2"]
    assert "steps" in model[0]._buffers
    with pytest.raises(TypeError, match="is no module"):
        model._modules["3"] = 3


def test_kinds_may_change_where_torch_lets_them():
    module = nn.Module()
    module.x = nn.Parameter(tl.zeros(1))
    module.x = nn.Linear(1, 1)
    assert list(module._parameters) == []
    assert list(module._modules) == ["x"]
    module.x = nn.Parameter(tl.zeros(1))
    assert list(module._modules) == []
    with pytest.raises(KeyError, match="already has an attribute 'forward'"):
        module.forward = nn.Parameter(tl.zeros(1))


def test_buffers_by_assignment():
    module = nn.Module()
    module.kept = nn.Buffer(tl.zeros(2))
    module.fleeting = nn.Buffer(tl.ones(2), persistent=False)
    assert [name for name, _ in module.named_buffers()] == ["kept", "fleeting"]
    assert list(module.state_dict()) == ["kept"]


def test_find_and_replace_by_dotted_name(model):
    assert model.get_submodule("0.first") is model[0].first
    assert model.get_submodule("") is model
    assert model.get_parameter("0.first.bias") is model[0].first.bias
    assert model.get_buffer("0.steps") is model[0].steps
    for wrong in ("0.last", "0.first.weight", "0.width"):
        with pytest.raises(AttributeError):
            model.get_submodule(wrong)
    with pytest.raises(AttributeError, match=r"is not an nn\.Parameter"):
        model.get_parameter("0.steps")
    model.set_submodule("0.first", nn.Identity())
    assert isinstance(model[0].first, nn.Identity)
    with pytest.raises(AttributeError):
        model.set_submodule("0.other.x", nn.Identity())


def test_all_names_of_what_is_shared(model):
    names = [name for name, _ in model.named_parameters(remove_duplicate=False)]
    assert "0.first.weight" in names
    assert "0.again.weight" in names
    assert len(names) == 7
    paths = [name for name, _ in model.named_modules(remove_duplicate=False)]
    assert paths == ["", "0", "0.first", "0.again", "1", "2"]


def test_load_by_assignment_takes_what_is_given(model):
    given = {
        name: value.double() for name, value in model.state_dict().items() if "steps" not in name
    }
    given["0.steps"] = model[0].steps
    model[2].weight.requires_grad_(False)
    model.load_state_dict(given, assign=True)
    assert model[2].weight.dtype == np.float64
    assert model[2].weight.array is given["2.weight"].array
    assert isinstance(model[2].weight, nn.Parameter)
    assert not model[2].weight.requires_grad
    assert model[0].scale.requires_grad


def test_loading_casts_to_the_dtypes_there_are(model):
    model.load_state_dict({name: v.double() for name, v in model.state_dict().items()})
    assert {str(v.dtype) for v in model.state_dict().values()} == {"float32", "int64"}
    counter = nn.BatchNorm1d(2)
    counter.load_state_dict({"num_batches_tracked": np.array([7])}, strict=False)
    assert counter.num_batches_tracked.item() == 7


def test_hooks_and_extra_state_of_state_dicts():
    class Counting(nn.Linear):
        count = 3

        def get_extra_state(self):
            return {"count": self.count}

        def set_extra_state(self, state):
            self.count = state["count"]

    model = nn.Sequential(Counting(1, 1))
    state = model.state_dict()
    assert state["0._extra_state"] == {"count": 3}
    model[0].count = 0
    assert str(model.load_state_dict(state)) == "<All keys matched successfully>"
    assert model[0].count == 3

    def rename(module, state_dict, prefix, *_):
        state_dict[f"{prefix}weight"] = state_dict.pop(f"{prefix}w")

    plain, after = nn.Sequential(nn.Linear(1, 1)), []
    plain[0].register_load_state_dict_pre_hook(rename)
    plain.register_load_state_dict_post_hook(lambda module, keys: after.append(keys))
    given = {"0.w": np.full((1, 1), 5, np.float32), "0.bias": np.zeros(1, np.float32)}
    plain.load_state_dict(given)
    assert plain[0].weight.item() == 5
    assert after[0].missing_keys == []
    assert list(given) == ["0.w", "0.bias"]
    plain.register_state_dict_post_hook(lambda m, found, prefix, _: found.update({"note": 1}))
    assert list(plain.state_dict(prefix="p.")) == ["p.0.weight", "p.0.bias", "note"]
    into = {}
    assert plain.state_dict(into, "a.") is into


def test_a_module_may_load_in_its_own_way():
    class Transposed(nn.Linear):
        def _load_from_state_dict(self, state_dict, prefix, *rest):
            state_dict[f"{prefix}weight"] = state_dict[f"{prefix}weight"].T
            super()._load_from_state_dict(state_dict, prefix, *rest)

    model = nn.Sequential(Transposed(3, 2))
    given = {"0.weight": np.arange(6, dtype=np.float32).reshape(3, 2), "0.bias": np.zeros(2)}
    model.load_state_dict(given)
    np.testing.assert_array_equal(model[0].weight.detach().numpy(), given["0.weight"].T)


def test_to_takes_what_torch_takes(model):
    assert model.to(tl.float64, non_blocking=True)[2].weight.dtype == np.float64
    assert model.to(device="cpu", dtype=tl.float32)[2].weight.dtype == np.float32
    assert model.to(tl.zeros(1, dtype=tl.float16))[2].weight.dtype == np.float16
    assert model.to("cpu", tl.float32)[2].weight.dtype == np.float32
    assert model.bfloat16()[2].weight.dtype.name == "bfloat16"
    assert model[0].steps.dtype == np.int64
    assert model.cpu().type(tl.float64)[0].steps.dtype == np.float64
    with pytest.raises(TypeError, match="no argument 'place'"):
        model.to(place="cpu")


def test_gradients_can_be_set_to_zero(model):
    model(tl.ones((1, 3))).sum().backward()
    model.zero_grad(set_to_none=False)
    assert not model[2].bias.grad.numpy().any()


def test_device_and_dtype_of_new_layers(device):
    for layer in (
        nn.Linear(2, 3, device=device, dtype=tl.float64),
        nn.Conv2d(2, 3, 3, device=device, dtype=tl.float64),
        nn.BatchNorm2d(3, device=device, dtype=tl.float64),
        nn.LSTM(2, 3, device=device, dtype=tl.float64),
        nn.MultiheadAttention(4, 2, device=device, dtype=tl.float64),
    ):
        tensors = [*layer.parameters(), *layer.buffers()]
        assert {t.device for t in tensors} == {device}
        assert {str(t.dtype) for t in tensors} <= {"float64", "int64"}


def test_unknown_attributes_and_wrappers():
    class Wrapper(nn.Module):
        def __init__(self, inner):
            super().__init__()
            self.inner = inner

        def __getattr__(self, name):
            try:
                return super().__getattr__(name)
            except AttributeError:
                return getattr(self.inner, name)

    wrapped = Wrapper(nn.Linear(2, 3))
    assert wrapped.out_features == 3
    with pytest.raises(AttributeError, match="'Linear' object has no attribute 'depth'"):
        wrapped.depth
    assert "0" not in dir(nn.Sequential(nn.ReLU()))


def test_what_no_layer_takes_is_refused():
    for wrong in (lambda: nn.Sigmoid(True), lambda: nn.Module(3), lambda: nn.Linear(2, 3, biass=1)):
        with pytest.raises(TypeError):
            wrong()


def test_parameters_of_whole_numbers_are_not_trained():
    assert not nn.Parameter(tl.arange(3), requires_grad=False).requires_grad
    with pytest.raises(TypeError, match="cannot be trained"):
        nn.Parameter(tl.arange(3))
    assert nn.Parameter().shape == (0,)
