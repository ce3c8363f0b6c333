"""LBFGS against torch 2.13, and its own interface."""

import copy
import pickle
from pathlib import Path

import numpy as np
import pytest
from optimizer_cases import LBFGS_CASES, LBFGS_STEPS, valley

import tensorlite as tl
from tensorlite.optim import LBFGS

REFERENCE = np.load(Path(__file__).with_name("reference.npz"))


def problem(device, **settings):
    x = tl.tensor(np.array([-1.0, 0.5, 2.0]), device=device, requires_grad=True)
    y = tl.tensor(np.array(0.25), device=device, requires_grad=True)
    optimizer = LBFGS([x, y], **settings)
    return x, y, optimizer, Closure(x, y, optimizer)


class Closure:
    def __init__(self, x, y, optimizer):
        self.x, self.y, self.optimizer, self.calls = x, y, optimizer, 0

    def __call__(self):
        self.calls += 1
        self.optimizer.zero_grad()
        loss = valley(self.x, self.y)
        loss.backward()
        return loss


@pytest.mark.parametrize("case", range(len(LBFGS_CASES)))
def test_steps_are_torchs(case, device):
    x, y, optimizer, closure = problem(device, **LBFGS_CASES[case])
    for row in REFERENCE[f"LBFGS-{case}/steps"]:
        with tl.no_grad():
            loss = optimizer.step(closure).item()
        state = optimizer.state[x]
        found = [*x.tolist(), y.item(), loss]
        np.testing.assert_allclose(found, row[:5], rtol=1e-6, atol=1e-8)
        assert [closure.calls, state["func_evals"], state["n_iter"]] == [row[5], row[5], row[6]]


@pytest.mark.parametrize("how", ["state_dict", "deepcopy", "pickle"])
def test_a_copy_goes_on_alike(how, device):
    x, y, optimizer, closure = problem(device, **LBFGS_CASES[3])
    optimizer.step(closure)
    optimizer.zero_grad()
    if how == "state_dict":
        u, v, second, other = problem(device, **LBFGS_CASES[3])
        second.load_state_dict(optimizer.state_dict())
        u.data, v.data = x.detach().clone(), y.detach().clone()
    else:
        whole = (x, y, optimizer)
        u, v, second = (
            copy.deepcopy(whole) if how == "deepcopy" else pickle.loads(pickle.dumps(whole))
        )
        other = Closure(u, v, second)
    for _ in range(LBFGS_STEPS):
        optimizer.step(closure)
        second.step(other)
    np.testing.assert_array_equal(x.tolist(), u.tolist())
    assert y.item() == v.item()


def test_state_has_torchs_names(device):
    x, _, optimizer, closure = problem(device)
    optimizer.step(closure)
    names = {"func_evals", "n_iter", "d", "t", "old_dirs", "old_stps", "ro", "H_diag"}
    assert set(optimizer.state_dict()["state"][0]) == names | {"prev_flat_grad", "prev_loss"}
    assert optimizer.state[x]["old_dirs"][0].shape == (4,)


def test_float32_reaches_the_minimum(device):
    tl.manual_seed(0)
    layer = tl.nn.Linear(3, 1).to(device)
    x = tl.randn(50, 3, device=device)
    target = x @ tl.tensor([[1.0], [-2.0], [0.5]], device=device) + 3
    optimizer = LBFGS(layer.parameters(), line_search_fn="strong_wolfe")

    def closure():
        optimizer.zero_grad()
        loss = ((layer(x) - target) ** 2).mean()
        loss.backward()
        return loss

    for _ in range(3):
        optimizer.step(closure)
    assert closure().item() < 1e-10


def test_at_the_minimum_nothing_moves(device):
    x = tl.zeros(2, device=device, requires_grad=True)
    optimizer = LBFGS([x])

    def closure():
        optimizer.zero_grad()
        loss = (x * x).sum()
        loss.backward()
        return loss

    assert optimizer.step(closure).item() == 0
    assert x.tolist() == [0, 0]


def test_bad_arguments(device):
    x, y = (tl.ones(n, device=device, requires_grad=True) for n in (2, 3))
    with pytest.raises(ValueError, match="one group"):
        LBFGS([{"params": [x]}, {"params": [y]}])
    with pytest.raises(ValueError, match="'strong_wolfe', not 'armijo'"):
        LBFGS([x], line_search_fn="armijo")
    with pytest.raises(ValueError, match="of one dtype"):
        LBFGS([x, y.detach().double().requires_grad_()])
    with pytest.raises(TypeError, match="closure"):
        LBFGS([x]).step(None)
