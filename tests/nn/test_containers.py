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


def apart(model: nn.Sequential, x: tl.Tensor) -> tl.Tensor:
    for module in model:
        x = module(x)
    return x


POOLED = {
    "plain": nn.MaxPool2d(2),
    "overlapping": nn.MaxPool2d(3, stride=2, padding=1),
    "dilated": nn.MaxPool2d(2, padding=1, dilation=3),  # some windows see padding alone
}


@pytest.mark.parametrize(
    ("model", "shape"),
    [
        (nn.Sequential(nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 4, bias=False), nn.ReLU()), (7, 6)),
        (nn.Sequential(nn.Linear(6, 5), nn.ReLU()), (2, 3, 6)),
        *[(nn.Sequential(nn.ReLU(), pool, nn.ReLU()), (2, 3, 6, 6)) for pool in POOLED.values()],
    ],
    ids=["linear", "leading axes", *POOLED],
)
def test_pairs_computed_as_one_give_what_they_give_apart(model, shape, device):
    model.to(device)
    values = np.random.default_rng(0).integers(-3, 3, shape).astype(np.float32)  # with ties
    results = []
    for run in (model, lambda x: apart(model, x)):
        x = tl.tensor(values, device=device, requires_grad=True)
        y = run(x)
        weight = tl.arange(y.numel(), dtype=tl.float32, device=device).reshape(y.shape)
        finite = tl.where(tl.isfinite(y), y, 0.0)
        gradients = tl.grad((finite * weight).sum(), [x, *model.parameters()])
        results.append([t.detach().to("cpu").numpy() for t in (y, *gradients)])
    for one, other in zip(*results, strict=True):
        np.testing.assert_array_equal(one, other)


def test_nan_goes_through_pairs(device):
    x = tl.full((1, 1, 4, 4), float("nan"), device=device)
    model = nn.Sequential(nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(4, 2), nn.ReLU())
    assert np.isnan(model.to(device)(x).detach().to("cpu").numpy()).all()


def test_hooks_see_both_of_a_pair():
    model = nn.Sequential(nn.Linear(2, 3), nn.ReLU())
    seen = []
    model[0].register_forward_hook(lambda module, args, output: seen.append(output))
    x = tl.tensor([[1.0, -2.0]])
    y = model(x)
    np.testing.assert_array_equal(seen[0].detach().numpy(), model[0].forward(x).detach().numpy())
    np.testing.assert_array_equal(y.detach().numpy(), np.maximum(seen[0].detach().numpy(), 0))


def test_what_a_module_was_made_to_do_stays():
    class Doubled(nn.Linear):
        def forward(self, x):
            return 2 * super().forward(x)

    doubled, changed = Doubled(2, 3), nn.Linear(2, 3)
    changed.forward = lambda x: -x
    x = tl.tensor([[1.0, -2.0]])
    assert nn.Sequential(changed, nn.ReLU())(x).tolist() == [[0.0, 2.0]]
    np.testing.assert_array_equal(
        nn.Sequential(doubled, nn.ReLU())(x).detach().numpy(),
        np.maximum(doubled(x).detach().numpy(), 0),
    )


def test_an_error_in_a_pair_names_the_layer():
    with pytest.raises(ValueError, match=r"^linear: x of shape \(2, 4\)") as error:
        nn.Sequential(nn.Identity(), nn.Linear(3, 3), nn.ReLU())(tl.ones((2, 4)))
    assert error.value.__notes__ == [
        "raised in Sequential.1: Linear(in_features=3, out_features=3)"
    ]


def test_a_hook_may_leave_something_in_the_sequential_that_runs():
    model = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2))
    model[1].register_forward_hook(lambda module, args, y: setattr(model, "seen", y.shape))
    assert model(tl.randn(5, 3)).shape == (5, 2)
    assert model.seen == (5, 4)


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
