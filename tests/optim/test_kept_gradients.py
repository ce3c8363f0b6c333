"""A gradient that somebody holds is never written to by the next backward pass."""

import gc

import numpy as np
import pytest

import tensorlite as tl
from tensorlite import nn, optim

HOLDS = {
    "the Tensor": lambda p: p.grad,
    "a detached Tensor": lambda p: p.grad.detach(),
    "data": lambda p: p.grad.data,
    "the array": lambda p: p.grad.array,
    "a view": lambda p: p.grad.reshape(-1),
    "a row": lambda p: p.grad[0],
    "a view of the array": lambda p: p.grad.array[..., ::-1],
    "a transposed view": lambda p: p.grad.T,
}


def values(held):
    array = held.array if isinstance(held, tl.Tensor) else held
    return np.array(
        tl.tensor(array).to("cpu").numpy() if not isinstance(array, np.ndarray) else array
    )


@pytest.fixture(params=["linear", "plain", "hook"])
def problem(request, device):
    """A parameter, and how its gradient is computed: into the arena, copied there, or by a hook."""
    weight = nn.Parameter(tl.tensor(np.ones((4, 3), np.float32), device=device))
    optimizer = optim.SGD([weight, nn.Parameter(tl.ones(5, device=device))], lr=0.1)
    if request.param == "hook":
        weight.register_hook(lambda g: g * 1)

    def backward(factor):
        x = tl.full((2, 3), factor, dtype="float32", device=device)
        y = nn.functional.linear(x, weight) if request.param == "linear" else x @ weight.T
        y.sum().backward()

    return weight, optimizer, backward


@pytest.mark.parametrize("clear", ["optimizer", "parameter"])
@pytest.mark.parametrize("kind", HOLDS)
def test_it_stays(kind, clear, problem):
    weight, optimizer, backward = problem
    backward(3.0)
    held = HOLDS[kind](weight)
    before = values(held)
    for factor in (5.0, 7.0):
        if clear == "optimizer":
            optimizer.zero_grad()
        else:
            weight.grad = None
        backward(factor)
        np.testing.assert_array_equal(values(weight.grad), np.full((4, 3), 2 * factor))
        np.testing.assert_array_equal(values(held), before)
        optimizer.step()
        np.testing.assert_array_equal(values(held), before)


def test_numpy_of_it_stays():
    weight = tl.ones((4, 3), requires_grad=True)
    optimizer = optim.SGD([weight], lr=0.1)
    (weight * 3).sum().backward()
    kept, view = weight.grad.numpy(), memoryview(weight.grad.numpy()[1:])
    optimizer.zero_grad()
    (weight * 5).sum().backward()
    assert (kept == 3).all()
    assert view[0, 0] == 3
    assert (weight.grad.numpy() == 5).all()


def test_what_nobody_holds_is_written_again(problem):
    weight, optimizer, backward = problem
    backward(3.0)
    optimizer.step()
    flat = optimizer._flats[0].arenas[0].grad
    for _ in range(3):
        optimizer.zero_grad()
        backward(5.0)
        optim.clip_grad_norm_(weight, 1e9)
        assert weight.grad.sum().item() == 120
        optimizer.step()
    assert optimizer._flats[0].arenas[0].grad is flat


def test_a_gradient_set_by_hand_does_not_overwrite_the_one_that_is_held(problem):
    weight, optimizer, backward = problem
    backward(3.0)
    held = weight.grad
    weight.grad = held * 2
    optimizer.step()
    np.testing.assert_array_equal(values(held), np.full((4, 3), 6.0))
    np.testing.assert_allclose(values(weight), np.full((4, 3), 1 - 0.1 * 12), rtol=1e-6)


def test_others_are_stepped_right_when_one_gets_new_memory(device):
    """Half of the gradients are there already when a held one moves all of them."""
    layers = [nn.Linear(3, 3).to(device) for _ in range(3)]
    parameters = [p for layer in layers for p in layer.parameters()]
    optimizer = optim.SGD(parameters, lr=0.01)
    x = tl.ones((2, 3), device=device)

    def backward():
        y = x
        for layer in layers:
            y = layer(y)
        y.sum().backward()

    for held_one in range(len(parameters)):
        optimizer.zero_grad()
        backward()
        held = parameters[held_one].grad
        before = values(held)
        start = [values(p) for p in parameters]
        optimizer.zero_grad()
        backward()
        grads = [values(p.grad) for p in parameters]
        optimizer.step()
        np.testing.assert_array_equal(values(held), before)
        for p, old, g in zip(parameters, start, grads, strict=True):
            np.testing.assert_allclose(values(p), old - 0.01 * g, rtol=1e-6, atol=1e-6)


def test_data_of_a_gradient_may_be_replaced(device):
    weight = tl.ones(3, device=device, requires_grad=True)
    optimizer = optim.SGD([weight], lr=1.0)
    (weight * 3).sum().backward()
    mine = tl.full((3,), 0.5, device=device)
    weight.grad.data = mine
    optimizer.step()
    assert weight.tolist() == [0.5] * 3
    optimizer.zero_grad()
    (weight * 3).sum().backward()
    optimizer.step()
    assert mine.tolist() == [0.5] * 3
    assert weight.tolist() == [-2.5] * 3


def test_a_dropped_optimizer_leaves_gradients_alone(device):
    weight = tl.ones(3, device=device, requires_grad=True)
    optimizer = optim.SGD([weight], lr=1.0)
    (weight * 3).sum().backward()
    held = weight.grad
    del optimizer
    gc.collect()
    weight.grad = None
    (weight * 5).sum().backward()
    assert held.tolist() == [3] * 3
    assert weight.grad.tolist() == [5] * 3


def test_a_leaf_that_is_input_twice(device):
    weight = nn.Parameter(tl.tensor(np.diag([1.0, 2.0, 3.0]).astype("f"), device=device))
    optimizer = optim.SGD([weight], lr=1.0)
    for _ in range(2):
        optimizer.zero_grad()
        nn.functional.linear(weight, weight).sum().backward()
        expected = 2 * np.array([[1, 2, 3]] * 3)
        np.testing.assert_allclose(values(weight.grad), expected)


def test_sharpness_aware_minimization(device):
    """SAM: the step from w uses the gradient at w + rho g / |g|; both passes' gradients matter."""
    weight = tl.tensor(np.array([1.0, 2.0]), device=device, requires_grad=True)
    optimizer = optim.SGD([weight], lr=0.1)
    w = np.array([1.0, 2.0])
    for _ in range(3):
        optimizer.zero_grad()
        (weight**3).sum().backward()
        first = weight.grad
        with tl.no_grad():
            weight += 0.05 * first / (first * first).sum().sqrt()
        optimizer.zero_grad()
        (weight**3).sum().backward()
        with tl.no_grad():
            weight -= 0.05 * first / (first * first).sum().sqrt()
        optimizer.step()
        g = 3 * w**2
        w = w - 0.1 * 3 * (w + 0.05 * g / np.linalg.norm(g)) ** 2
        np.testing.assert_allclose(values(weight), w, rtol=1e-12)


def test_projected_gradients_of_two_tasks(device):
    """PCGrad: dot products between the gradients of one loss after another."""
    weight = tl.tensor(np.array([1.0, 2.0]), device=device, requires_grad=True)
    optimizer = optim.Adam([weight], lr=0.1)
    found = []
    for factors in ([3.0, -1.0], [-1.0, 2.0]):
        optimizer.zero_grad()
        (weight * tl.tensor(np.array(factors), device=device)).sum().backward()
        found.append(weight.grad)
    assert (found[0] * found[1]).sum().item() == -5
