"""Sequential, ModuleList, ModuleDict and ParameterList."""

from __future__ import annotations

import numpy as np
import pytest

import tensorlite as tl
from tensorlite import nn


def layers(n: int = 3) -> list[nn.Linear]:
    return [nn.Linear(i + 1, i + 2) for i in range(n)]


def test_sequential_feeds_each_with_the_one_before():
    first, second, third = layers()
    model = nn.Sequential(first, second, third)
    x = tl.ones((4, 1))
    np.testing.assert_array_equal(
        model(x).detach().numpy(), third(second(first(x))).detach().numpy()
    )
    assert len(model) == 3
    assert list(model) == [first, second, third]


def test_sequential_indexing_slicing_and_growing():
    first, second, third = layers()
    model = nn.Sequential(first, second)
    assert model.append(third) is model
    assert model[0] is first
    assert model[-1] is third
    tail = model[1:]
    assert isinstance(tail, nn.Sequential)
    assert list(tail.state_dict()) == ["1.weight", "1.bias", "2.weight", "2.bias"]
    model[0] = nn.Identity()
    assert next(iter(model.state_dict())) == "1.weight"
    with pytest.raises(IndexError, match="index 3 is out of range for 3"):
        model[3]


def test_sequential_of_names():
    first, second, _ = layers()
    model = nn.Sequential({"body": first, "head": second})
    assert list(model.state_dict()) == ["body.weight", "body.bias", "head.weight", "head.bias"]
    assert model.head is second
    assert model[1] is second
    assert list(model[:1].state_dict()) == ["body.weight", "body.bias"]


def test_module_list():
    members = nn.ModuleList(layers())
    assert [m.in_features for m in members] == [1, 2, 3]
    assert list(members[1:].state_dict()) == ["0.weight", "0.bias", "1.weight", "1.bias"]
    members.extend([nn.ReLU()])
    members[0] = nn.Identity()
    assert [type(m).__name__ for m in members] == ["Identity", "Linear", "Linear", "ReLU"]
    with pytest.raises(NotImplementedError, match="ModuleList has no forward"):
        members(tl.ones(1))
    for wrong in (None, 3, nn.Parameter(tl.zeros(1))):
        with pytest.raises(TypeError, match="is no Module"):
            members.append(wrong)
    assert len(members) == 4


def test_module_dict():
    members = nn.ModuleDict({"a": nn.Linear(1, 2)})
    members["b"] = nn.ReLU()
    members.update({"a": nn.Identity(), "c": nn.Tanh()})
    assert list(members) == list(members.keys()) == ["a", "b", "c"]
    assert [type(m).__name__ for m in members.values()] == ["Identity", "ReLU", "Tanh"]
    assert dict(members.items())["b"] is members["b"]
    assert "b" in members
    del members["b"]
    assert len(members) == 2
    with pytest.raises(KeyError, match="has no 'b'"):
        members["b"]
    with pytest.raises(ValueError, match="already has an attribute 'keys'"):
        members["keys"] = nn.ReLU()


def test_parameter_list():
    members = nn.ParameterList(nn.Parameter(tl.zeros(n)) for n in (1, 2))
    members.append(nn.Parameter(tl.zeros((3, 1))))
    assert list(members.state_dict()) == ["0", "1", "2"]
    assert len(list(members.parameters())) == 3
    assert repr(members) == "ParameterList((1,), (2,), (3, 1))  # 6 parameters"
    with pytest.raises(TypeError, match="is no Parameter"):
        members.append(tl.zeros(1))


def test_members_belong_to_the_module_that_has_the_container():
    class Net(nn.Module):
        def __init__(self) -> None:
            self.blocks = nn.ModuleList(layers(2))
            self.scales = nn.ParameterList([nn.Parameter(tl.ones(2))])
            self.heads = nn.ModuleDict({"left": nn.Linear(2, 1, bias=False)})

    assert [name for name, _ in Net().named_parameters()] == [
        "blocks.0.weight",
        "blocks.0.bias",
        "blocks.1.weight",
        "blocks.1.bias",
        "scales.0",
        "heads.left.weight",
    ]
