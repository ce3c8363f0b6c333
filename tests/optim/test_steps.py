"""Optimizers against torch 2.13: steps, state dictionaries, and what may be changed meanwhile."""

import copy
import pickle
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest
from optimizer_cases import CASES, IDS, gradients, start

import tensorlite as tl
from tensorlite import nn, optim
from tensorlite.backend import backend_for

REFERENCE = np.load(Path(__file__).with_name("reference.npz"))


def on_host(tensor):
    return tensor.detach().to("cpu").numpy()


def wanted(case):
    """Torch's parameters and state dictionary after the steps."""
    parts = {k.split("/")[1]: v for k, v in REFERENCE.items() if k.startswith(f"{case}/")}
    parameters = [parts.pop(f"p.{i}") for i in range(len(start()))]
    state = defaultdict(dict)
    for key, value in parts.items():
        _, i, name = key.split(".")
        state[int(i)][name] = value
    return parameters, dict(state)


def parameters(device, dtype):
    return [tl.tensor(p.astype(dtype), device=device, requires_grad=True) for p in start()]


def step(optimizer, tensors, grads, device, dtype):
    optimizer.zero_grad()
    for p, g in zip(tensors, grads, strict=True):
        if g is not None:
            (p * tl.tensor(g.astype(dtype), device=device)).sum().backward()
    return optimizer.step()


def run(optimizer, tensors, device, dtype, steps=slice(None)):
    for grads in list(gradients())[steps]:
        step(optimizer, tensors, grads, device, dtype)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("case", IDS)
def test_steps_and_state_are_torchs(case, dtype, device):
    name, settings = CASES[IDS.index(case)]
    tensors = parameters(device, dtype)
    optimizer = getattr(optim, name)(tensors, **settings)
    run(optimizer, tensors, device, dtype)
    expected, state = wanted(case)
    tolerance = {"float32": 2e-5, "float64": 1e-12}[dtype]
    if name in ("NAdam", "ASGD"):  # of which torch keeps numbers in float32
        tolerance = max(tolerance, 1e-7)
    for p, value in zip(tensors, expected, strict=True):
        np.testing.assert_allclose(on_host(p), value, rtol=tolerance, atol=tolerance)
    saved = optimizer.state_dict()["state"]
    assert list(saved) == list(state)
    for i, entry in state.items():
        assert set(saved[i]) == set(entry)
        for key, value in entry.items():
            assert saved[i][key].shape == value.shape
            rough = tolerance if value.dtype == np.float64 else 1e-6  # torch's own counts
            np.testing.assert_allclose(on_host(saved[i][key]), value, rtol=rough, atol=tolerance)


@pytest.mark.parametrize("case", IDS)
def test_torchs_state_dict_is_continued(case, device):
    """Load what torch has after 20 steps; then steps are those of an optimizer that took them."""
    name, settings = CASES[IDS.index(case)]
    straight = parameters(device, "float64")
    first = getattr(optim, name)(straight, **settings)
    run(first, straight, device, "float64")
    values, state = wanted(case)
    resumed = [tl.tensor(v, device=device, requires_grad=True) for v in values]
    again = getattr(optim, name)(resumed, **settings)
    groups = [{**settings, "params": [0, 1, 2, 3]}]
    again.load_state_dict({"state": state, "param_groups": groups})
    for optimizer, tensors in ((first, straight), (again, resumed)):
        run(optimizer, tensors, device, "float64", slice(0, 5))
    for p, q in zip(straight, resumed, strict=True):
        np.testing.assert_allclose(on_host(p), on_host(q), rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("half", ["float16", "bfloat16"])
@pytest.mark.parametrize("case", IDS)
def test_short_floats_are_computed_in_float32(case, half, device):
    """Each step is float32's, rounded once; torch rounds on the way, and loses Adam's eps."""
    name, settings = CASES[IDS.index(case)]
    short = [p.detach().to(half).requires_grad_() for p in parameters(device, "float32")]
    wide = [p.detach().float().requires_grad_() for p in short]
    optimizers = [getattr(optim, name)(tensors, **settings) for tensors in (short, wide)]
    for grads in list(gradients())[:6]:
        for p, q, g in zip(short, wide, grads, strict=True):
            p.grad = q.grad = None
            if g is not None:
                p.grad = tl.tensor(np.asarray(g * 1e-3, np.float32), device=device).to(half)
                q.grad = p.grad.float()
        for optimizer in optimizers:
            optimizer.step()
        for p, q in zip(short, wide, strict=True):
            assert on_host(p).tobytes() == on_host(q.detach().to(half)).tobytes()
            q.array[...] = p.float().array
    assert all(np.isfinite(on_host(p.float())).all() for p in short)


def test_a_constant_gradient_leaves_centered_rmsprop_finite(device):
    weight = tl.ones(3, device=device, requires_grad=True)
    optimizer = optim.RMSprop([weight], lr=1e-3, alpha=0.9, centered=True)
    exact, square, mean = 1.0, 0.0, 0.0
    for t in range(400):
        optimizer.zero_grad()
        (weight * 3).sum().backward()
        optimizer.step()
        square, mean = 0.9 * square + 0.1 * 9, 0.9 * mean + 0.1 * 3
        if t < 40:
            exact -= 1e-3 * 3 / (np.sqrt(square - mean * mean) + 1e-8)
            np.testing.assert_allclose(on_host(weight), exact, rtol=1e-3)
    assert np.isfinite(on_host(weight)).all()
    assert abs(on_host(weight)).max() < 400 * 1e-3 * 2**12.5


# --- settings ---------------------------------------------------------------------------------


def follow(made, changed, device, at=3):
    """Parameters after steps, where settings of the first group change after some."""
    tensors = parameters(device, "float64")
    optimizer = made(tensors)
    run(optimizer, tensors, device, "float64", slice(0, at))
    optimizer.param_groups[0].update(changed)
    run(optimizer, tensors, device, "float64", slice(at, None))
    return [on_host(p) for p in tensors]


@pytest.mark.parametrize(
    ("name", "before", "changed"),
    [
        ("SGD", {"lr": 0.1}, {"momentum": 0.9, "nesterov": True}),
        ("SGD", {"lr": 0.1}, {"momentum": 0.9, "weight_decay": 0.1, "lr": 0.01}),
        ("Adam", {"lr": 0.1}, {"betas": (0.5, 0.6), "eps": 1e-3}),
        ("Adam", {"lr": 0.1}, {"amsgrad": True, "maximize": True}),
        ("RMSprop", {"lr": 0.1}, {"centered": True, "momentum": 0.5}),
    ],
)
def test_settings_changed_at_the_start_are_those_of_the_constructor(name, before, changed, device):
    cls = getattr(optim, name)
    late = follow(lambda p: cls(p, **before), changed, device, at=0)
    early = follow(lambda p: cls(p, **{**before, **changed}), {}, device, at=0)
    for a, b in zip(late, early, strict=True):
        np.testing.assert_array_equal(a, b)


def test_momentum_that_begins_late_begins_with_the_gradient(device):
    """torch.optim.SGD: the buffer is the first gradient that comes with momentum."""
    weight = tl.tensor(np.zeros(2), device=device, requires_grad=True)
    optimizer = optim.SGD([weight], lr=1.0, dampening=0.5)
    seen = []
    for momentum in (0, 0.9, 0.9, 0, 0.9):
        optimizer.param_groups[0]["momentum"] = momentum
        step(optimizer, [weight], [np.ones(2)], device, "float64")
        seen.append(float(weight[0]))
    # 1; then b = 1; b = .9 + .5 = 1.4; 1 without; b = .9 * 1.4 + .5
    np.testing.assert_allclose(seen, [-1, -2, -3.4, -4.4, -6.16])


def test_settings_from_a_state_dict_count(device):
    tensors = parameters(device, "float64")
    source = optim.SGD(tensors, lr=0.1, momentum=0.9, nesterov=True)
    saved = source.state_dict()
    others = parameters(device, "float64")
    optimizer = optim.SGD(others, lr=0.5)
    optimizer.load_state_dict(saved)
    for o, t in ((source, tensors), (optimizer, others)):
        run(o, t, device, "float64", slice(0, 4))
    for a, b in zip(tensors, others, strict=True):
        np.testing.assert_array_equal(on_host(a), on_host(b))


def test_groups_keep_keys_of_their_own(device):
    tensors = parameters(device, "float32")
    group = {"params": tensors[:1], "lr_scale": 0.5, "name": "head"}
    optimizer = optim.AdamW([group, {"params": iter(tensors[1:])}], lr=0.1)
    assert optimizer.param_groups[0] is group
    assert group["lr_scale"] == 0.5
    assert group["betas"] == (0.9, 0.999)
    saved = optimizer.state_dict()["param_groups"]
    assert [g["params"] for g in saved] == [[0], [1, 2, 3]]
    assert saved[0]["name"] == "head"
    optimizer.load_state_dict(
        {"state": {}, "param_groups": [{**saved[0], "name": "tail"}, saved[1]]}
    )
    assert group["name"] == "tail"


def test_a_rate_may_be_a_tensor(device):
    for name in ("SGD", "Adam", "NAdam", "ASGD"):
        cls, found = getattr(optim, name), []
        for lr in (0.125, tl.tensor(0.125)):
            tensors = parameters(device, "float64")
            run(cls(tensors, lr=lr), tensors, device, "float64", slice(0, 3))
            found.append(on_host(tensors[0]))
        np.testing.assert_allclose(*found, rtol=1e-12)


# --- the rest of the interface ----------------------------------------------------------------


def test_step_returns_what_its_closure_does(device):
    weight = tl.ones(2, device=device, requires_grad=True)
    optimizer = optim.SGD([weight], lr=0.5)

    def closure():
        optimizer.zero_grad()
        loss = (weight * weight).sum()
        loss.backward()
        return loss

    with tl.no_grad():
        assert optimizer.step(closure).item() == 2
    assert optimizer.step(closure).item() == 0
    assert optimizer.step() is None


def test_zero_grad(device):
    weight = tl.ones(2, device=device, requires_grad=True)
    optimizer = optim.SGD([weight], lr=0.5)
    (weight * 3).sum().backward()
    optimizer.zero_grad(set_to_none=False)
    assert weight.grad.tolist() == [0, 0]
    (weight * 3).sum().backward()
    assert weight.grad.tolist() == [3, 3]
    optimizer.zero_grad()
    assert weight.grad is None


def test_state_is_by_parameter_and_may_be_written(device):
    weight = tl.zeros(2, device=device, requires_grad=True)
    other = tl.zeros(2, device=device, requires_grad=True)
    optimizer = optim.Adam([weight, other], lr=0.1)
    assert len(optimizer.state) == 0
    assert weight not in optimizer.state
    assert len(optimizer.state[weight]) == 0
    (weight * 3).sum().backward()
    optimizer.step()
    assert weight in optimizer.state
    assert other not in optimizer.state
    state = optimizer.state[weight]
    assert set(state) == {"step", "exp_avg", "exp_avg_sq"}
    assert state["step"].item() == 1
    np.testing.assert_allclose(on_host(state["exp_avg"]), [0.3, 0.3], rtol=1e-6)
    state["exp_avg"][:] = 5
    state["exp_avg_sq"] = state["exp_avg_sq"] * 0 + 4
    state["note"] = "mine"
    again = optimizer.state[weight]
    assert again["exp_avg"].tolist() == [5, 5]
    assert again["exp_avg_sq"].tolist() == [4, 4]
    assert again["note"] == "mine"
    optimizer.state = defaultdict(dict)  # begin anew
    assert len(optimizer.state) == 0
    assert optimizer.state_dict()["state"] == {}


@pytest.mark.parametrize("case", IDS)
def test_copies_go_on_like_the_original(case, device):
    name, settings = CASES[IDS.index(case)]
    tensors = parameters(device, "float32")
    optimizer = getattr(optim, name)(tensors, **settings)
    run(optimizer, tensors, device, "float32", slice(0, 4))
    optimizer.zero_grad()
    copies = [copy.deepcopy((tensors, optimizer)), pickle.loads(pickle.dumps((tensors, optimizer)))]
    run(optimizer, tensors, device, "float32", slice(4, 8))
    for others, second in copies:
        assert second.param_groups[0]["params"][0] is others[0]
        run(second, others, device, "float32", slice(4, 8))
        for a, b in zip(tensors, others, strict=True):
            assert on_host(a).tobytes() == on_host(b).tobytes()


def test_names_lead_where_the_order_is_another(device):
    a, b = (tl.ones(n, device=device, requires_grad=True) for n in (2, 3))
    first = optim.Adam([("a", a), ("b", b)])
    (a.sum() + (2 * b).sum()).backward()
    first.step()
    saved = first.state_dict()
    assert saved["param_groups"][0]["param_names"] == ["a", "b"]
    second = optim.Adam([("b", b), ("a", a)])
    second.load_state_dict(saved)
    np.testing.assert_array_equal(
        on_host(second.state[b]["exp_avg"]), on_host(first.state[b]["exp_avg"])
    )
    assert second.state_dict()["param_groups"][0]["param_names"] == ["b", "a"]


def test_without_names_the_order_leads_and_sizes_must_fit(device):
    a, b = (tl.ones(n, device=device, requires_grad=True) for n in (2, 3))
    first = optim.Adam([a, b])
    (a.sum() + b.sum()).backward()
    first.step()
    with pytest.raises(ValueError, match=r"0: exp_avg has shape \(2,\), not \(3,\)"):
        optim.Adam([b, a]).load_state_dict(first.state_dict())
    with pytest.raises(ValueError, match="2 parameters saved, 1 here"):
        optim.Adam([a]).load_state_dict(first.state_dict())
    with pytest.raises(ValueError, match="1 parameter groups saved, 2 here"):
        optim.Adam([{"params": [a]}, {"params": [b]}]).load_state_dict(first.state_dict())
    with pytest.raises(ValueError, match="0: square_avg is not saved"):
        optim.RMSprop([a, b]).load_state_dict(first.state_dict())


def test_a_group_added_later_is_stepped_and_parameters_may_be_replaced(device):
    a, b, c = (tl.ones(2, device=device, requires_grad=True) for _ in range(3))
    optimizer = optim.SGD([a], lr=0.5)
    optimizer.add_param_group({"params": b, "lr": 0.25})
    (a.sum() + b.sum() + c.sum()).backward()
    optimizer.step()
    assert (a.tolist(), b.tolist(), c.tolist()) == ([0.5] * 2, [0.75] * 2, [1] * 2)
    optimizer.param_groups[0]["params"].append(c)
    optimizer.step()
    assert (a.tolist(), b.tolist(), c.tolist()) == ([0] * 2, [0.5] * 2, [0.5] * 2)
    optimizer.param_groups[0]["params"] = [b]
    optimizer.param_groups[1]["params"] = [a]
    optimizer.step()
    assert (a.tolist(), b.tolist(), c.tolist()) == ([-0.25] * 2, [0] * 2, [0.5] * 2)


def test_a_model_that_is_cast_later_takes_its_state_along(device):
    layer = nn.Linear(3, 2).to(device)
    optimizer = optim.Adam(layer.parameters(), lr=0.1)
    x = tl.ones((4, 3), device=device)
    layer(x).sum().backward()
    optimizer.step()
    before = on_host(optimizer.state[layer.weight]["exp_avg"]).copy()
    layer.double()
    optimizer.zero_grad()
    layer(x.double()).sum().backward()
    optimizer.step()
    state = optimizer.state[layer.weight]
    assert state["exp_avg"].dtype == np.float64
    assert state["step"].item() == 2
    np.testing.assert_allclose(on_host(state["exp_avg"]), before * 1.9, rtol=1e-6)


class SignDescent(optim.Optimizer):
    """An optimizer of a user's own, as one writes it for torch."""

    def __init__(self, params, lr=0.1, decay=0.5):
        super().__init__(params, {"lr": lr, "decay": decay})

    @tl.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is None:
                    continue
                state = self.state[p]
                if len(state) == 0:
                    state["step"] = 0
                    state["mean"] = tl.zeros_like(p)
                state["step"] += 1
                state["mean"] = state["mean"] * group["decay"] + p.grad
                p -= group["lr"] * state["mean"].sign()


def test_an_optimizer_of_ones_own(device):
    tensors = parameters(device, "float64")
    optimizer = SignDescent(tensors)
    calls = []
    hook = optimizer.register_step_pre_hook(lambda o, args, kwargs: calls.append("before"))
    optimizer.register_step_post_hook(lambda o, args, kwargs: calls.append("after"))
    run(optimizer, tensors, device, "float64", slice(0, 3))
    hook.remove()
    run(optimizer, tensors, device, "float64", slice(3, 4))
    assert calls == ["before", "after"] * 3 + ["after"]
    saved = optimizer.state_dict()
    assert saved["state"][1]["step"] == 3
    others = [p.detach().clone().requires_grad_() for p in tensors]
    second = SignDescent(others)
    second.load_state_dict(saved)
    third_tensors, third = pickle.loads(pickle.dumps((tensors, optimizer)))
    for o, t in ((optimizer, tensors), (second, others), (third, third_tensors)):
        run(o, t, device, "float64", slice(4, 8))
    for a, b, c in zip(tensors, others, third_tensors, strict=True):
        np.testing.assert_array_equal(on_host(a), on_host(b))
        np.testing.assert_array_equal(on_host(a), on_host(c))


def test_tensors_of_other_libraries_are_taken(device):
    """A Tensor of torch has `detach`, `cpu` and DLPack; no torch is needed to say so."""

    class Foreign:
        dtype = "torch.bfloat16"

        def __init__(self, values):
            self.values = values

        def detach(self):
            return self

        def cpu(self):
            return self

        def float(self):
            return self.values

        def __dlpack__(self):
            raise AssertionError("bfloat16 is not taken this way")

    weight = tl.ones(2, device=device, requires_grad=True)
    optimizer = optim.SGD([weight], momentum=0.9)
    state = {0: {"momentum_buffer": Foreign(np.array([1.0, 2.0], np.float32))}}
    optimizer.load_state_dict({"state": state, "param_groups": [{"params": [0], "lr": 0.5}]})
    assert optimizer.state[weight]["momentum_buffer"].tolist() == [1, 2]
    assert backend_for(device) is not None
