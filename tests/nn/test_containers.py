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
        (nn.Sequential(nn.BatchNorm1d(6), nn.ReLU(), nn.BatchNorm1d(6), nn.ReLU()), (7, 6)),
        (nn.Sequential(nn.Conv1d(3, 4, 3), nn.BatchNorm1d(4), nn.ReLU()), (2, 3, 9)),
        (nn.Sequential(nn.BatchNorm2d(3, affine=False), nn.ReLU(), nn.MaxPool2d(2)), (2, 3, 6, 6)),
        (nn.Sequential(nn.BatchNorm3d(3), nn.ReLU()).eval(), (2, 3, 2, 3, 4)),
        (nn.Sequential(nn.BatchNorm1d(6, affine=False), nn.ReLU()).eval(), (7, 6)),
    ],
    ids=["linear", "leading axes", *POOLED, "rows", "signals", "images", "volumes", "evaluation"],
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


def second_order(model, x, parameters):
    y = model(x)
    (slope,) = tl.grad((y * y).sum(), [x], create_graph=True)
    return y, slope, *tl.grad((slope**3).sum(), [x, *parameters])


def under_autocast(model, x, parameters):
    with tl.autocast(x.device.type, dtype=tl.bfloat16):
        y = model(x)
    return y, *tl.grad((y.float() ** 2).sum(), [x, *parameters])


def without_gradients(model, x, parameters):
    with tl.no_grad():
        return (model(x),)


def captured(model, x, parameters):
    @tl.capture
    def step(x):
        y = model(x)
        return y, *tl.grad((y * y).sum(), [x, *parameters])

    return [step(x) for _ in range(3)][-1]


@pytest.mark.parametrize("mode", [second_order, under_autocast, without_gradients, captured])
@pytest.mark.parametrize("training", [True, False])
def test_norm_and_relu_as_one_in_every_mode(mode, training, device):
    """What they give, and the running statistics that they leave."""
    results = []
    for run in (nn.Sequential.forward, apart):
        tl.manual_seed(0)
        model = nn.Sequential(nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3), nn.ReLU()).to(device)
        model[1].running_mean.fill_(0.1)
        nn.init.normal_(model[1].bias)
        model.train(training)
        x = tl.randn(4, 2, 6, 5, device=device, requires_grad=True)
        found = mode(lambda x, run=run, model=model: run(model, x), x, list(model.parameters()))
        assert (model[1].num_batches_tracked.item() > 0) == training
        results.append([t.detach().float().to("cpu").numpy() for t in (*found, *model.buffers())])
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
    with pytest.raises(ValueError, match=r"^linear: input of shape \(2, 4\)") as error:
        nn.Sequential(nn.Identity(), nn.Linear(3, 3), nn.ReLU())(tl.ones((2, 4)))
    assert error.value.__notes__ == [
        "raised in Sequential.1: Linear(in_features=3, out_features=3, bias=True)"
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
    # What is appended to a slice takes no member's place, and the whole stays as it was.
    fourth = nn.Linear(1, 1)
    assert list(tail.append(fourth)) == [second, third, fourth] and len(model) == 3
    assert list(model[2:].extend([first, fourth])) == [third, first, fourth]
    assert list(model[:1].append(first).append(second)) == [model[0], first, second]
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
    with pytest.raises(NotImplementedError, match=r"\[ModuleList\] is missing"):
        members(tl.ones(1))
    for wrong in (3, nn.Parameter(tl.zeros(1))):
        with pytest.raises(TypeError, match="is no module"):
            members.append(wrong)
    assert len(members) == 4
    members += [nn.Tanh()]
    members.insert(1, nn.Sigmoid())
    assert [type(m).__name__ for m in members] == [
        "Identity",
        "Sigmoid",
        "Linear",
        "Linear",
        "ReLU",
        "Tanh",
    ]
    assert isinstance(members.pop(1), nn.Sigmoid)
    del members[1:3]
    assert [name for name, _ in members.named_children()] == ["0", "1", "2"]
    assert [type(m).__name__ for m in members] == ["Identity", "ReLU", "Tanh"]
    assert isinstance(members + [nn.ELU()], nn.ModuleList)  # noqa: RUF005
    members.append(None)
    assert members[3] is None


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
    with pytest.raises(KeyError, match="already has an attribute 'keys'"):
        members["keys"] = nn.ReLU()
    assert isinstance(members.pop("c"), nn.Tanh)
    members.update([("d", nn.ELU())])
    assert list(members) == ["a", "d"]
    members.clear()
    assert len(members) == 0


def test_parameter_list():
    members = nn.ParameterList(nn.Parameter(tl.zeros(n)) for n in (1, 2))
    members.append(nn.Parameter(tl.zeros((3, 1))))
    assert list(members.state_dict()) == ["0", "1", "2"]
    assert len(list(members.parameters())) == 3
    assert "(2): Parameter containing: [float32 of size 3x1]" in repr(members)
    members += [tl.zeros(4)]  # a Tensor becomes a Parameter
    assert isinstance(members[-1], nn.Parameter)
    assert isinstance(members[1:], nn.ParameterList)
    assert len(members[1:]) == 3
    members.append("a note")
    assert [name for name, _ in members.named_parameters()] == ["0", "1", "2", "3"]
    members[0] = tl.ones(7)
    assert members[0].shape == (7,)
    assert members.pop() == "a note"
    assert len(members) == 4


def test_parameter_dict():
    members = nn.ParameterDict({"b": tl.zeros(1), "a": tl.zeros(2)})  # sorted, as torch does
    members["c"] = nn.Parameter(tl.zeros(3))
    assert list(members) == ["a", "b", "c"]
    assert list(members.state_dict()) == ["a", "b", "c"]
    assert members.get("x") is None
    assert members.pop("a").shape == (2,)
    assert [p.shape for p in (members | nn.ParameterDict({"z": tl.zeros(4)})).values()] == [
        (1,),
        (3,),
        (4,),
    ]
    assert members.setdefault("c") is members["c"]
    with pytest.raises(KeyError, match="has no 'a'"):
        members["a"]
    with pytest.raises(KeyError, match="already has an attribute 'values'"):
        members["values"] = tl.zeros(1)


def test_a_slice_grows_at_its_end():
    tail = nn.Sequential(*layers())[1:]
    last = tail[1]
    tail.append(nn.ReLU())
    assert [name for name, _ in tail.named_children()] == ["1", "2", "3"]
    assert tail[1] is last


def test_sequential_arithmetic():
    first, second, third = layers()
    model = nn.Sequential(first) + nn.Sequential(second)
    model += nn.Sequential(third)
    assert list(model) == [first, second, third]
    model.insert(1, nn.ReLU())
    assert isinstance(model[1], nn.ReLU)
    del model[1]
    assert list(model) == [first, second, third]
    assert list(nn.Sequential(first) * 2) == [first, first]
    with pytest.raises(TypeError, match="None is no module"):
        nn.Sequential(first, None)


def test_a_member_named_as_a_method_does_not_hide_it():
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.parameters = nn.ParameterList([nn.Parameter(tl.ones(2))])

    net = Net()
    assert [p.shape for p in net.parameters()] == [(2,)]
    assert list(net.state_dict()) == ["parameters.0"]
    assert isinstance(net._modules["parameters"], nn.ParameterList)
    net.load_state_dict({"parameters.0": np.zeros(2, np.float32)})
    assert not next(net.parameters()).detach().numpy().any()


def test_a_sequential_with_a_member_named_as_a_method():
    model = nn.Sequential(nn.ReLU())
    model.append = nn.Tanh()
    assert len(model) == 2
    assert model(tl.tensor([-1.0, 1.0])).tolist() == pytest.approx([0, np.tanh(1)], rel=1e-6)


def test_relu_in_place_of_what_a_sequential_is_given():
    """It overwrites its input; what comes from the layer before nobody else has."""
    x = tl.tensor(np.random.default_rng(0).normal(size=(1, 2, 4, 4)).astype(np.float32))
    wanted = np.maximum(x.numpy(), 0).reshape(1, 2, 2, 2, 2, 2).max((3, 5))
    model = nn.Sequential(nn.Identity(), nn.ReLU(), nn.MaxPool2d(2))
    np.testing.assert_array_equal(model(x).numpy(), wanted)


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
