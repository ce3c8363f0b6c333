"""Norms, softmax, losses, sums and dropout between products under autocast, on both devices.

On CUDA they read 16-bit floats as they come, on the CPU those are cast; what a user sees is the
same.
"""

from __future__ import annotations

import numpy as np
import pytest

import tensorlite as tl
from tensorlite import nn
from tensorlite.nn import functional as F

HALVES = {"float16": 2.0**-11, "bfloat16": 2.0**-8}  # half a unit in the last place of 1
FLOAT = np.dtype(np.float32)


def host(tensor):
    return tensor.detach().to("cpu").double().numpy()


def normal(seed, *shape):
    return np.random.default_rng(seed).standard_normal(shape)


WEIGHT, BIAS = normal(7, 24), normal(8, 24)
CLASS_WEIGHT = np.abs(WEIGHT) + 0.1
LABELS = np.array([3, 0, 23, -100, 5, 5])


def parameter(values, x):
    dtype = tl.float64 if x.dtype == np.float64 else tl.float32
    return tl.tensor(values, dtype=dtype).to(x.device)


def entropy(**options):
    def run(x):
        weight = parameter(CLASS_WEIGHT, x) if options.get("weighted") else None
        rest = {name: value for name, value in options.items() if name != "weighted"}
        return F.cross_entropy(x, tl.tensor(LABELS).to(x.device), weight, **rest)

    return run


OPERATIONS = {
    "layer_norm": lambda x: F.layer_norm(x, (24,), parameter(WEIGHT, x), parameter(BIAS, x)),
    "layer_norm, plain": lambda x: F.layer_norm(x, (24,)),
    "rms_norm": lambda x: F.rms_norm(x, (24,), parameter(WEIGHT, x)),
    "softmax": lambda x: F.softmax(x, -1),
    "softmax of columns": lambda x: F.softmax(x, 0),
    "log_softmax": lambda x: F.log_softmax(x, -1),
    "cross_entropy": entropy(),
    "cross_entropy, summed": entropy(reduction="sum", weighted=True),
    "cross_entropy, smoothed": entropy(label_smoothing=0.1, weighted=True),
    "cross_entropy, each row": entropy(reduction="none"),
}


def gradient(run, values, dtype, device, half, scale=1.0):
    """The result of an operation and the gradient of its input, under autocast if `half`."""
    x = tl.tensor(values).to(dtype).to(device).requires_grad_()
    with tl.autocast(device.type, dtype=half or tl.bfloat16, enabled=half is not None):
        y = run(x * 1)
    cotangent = tl.tensor(np.random.default_rng(3).integers(-8, 9, y.shape) / 8 * scale)
    y.backward(cotangent.to(y.dtype).to(device))
    return y, x.grad


@pytest.mark.parametrize("half", HALVES)
@pytest.mark.parametrize("short", [False, True], ids=["float32", "short"])
@pytest.mark.parametrize("name", OPERATIONS)
def test_values_and_gradients_are_those_of_float64(name, short, half, device):
    half = getattr(tl, half)
    own = half if short else tl.float32
    values = host(tl.tensor(3 * normal(0, 6, 24)).to(own))
    y, dx = gradient(OPERATIONS[name], values, own, device, half)
    exact_y, exact_dx = gradient(OPERATIONS[name], values, tl.float64, device, None)
    assert (y.dtype, dx.dtype) == (FLOAT, np.dtype(own))
    assert abs(host(y) - host(exact_y)).max() <= 1e-5 * abs(host(exact_y)).max()
    tolerance = 4 * HALVES[str(np.dtype(half))] if short else 1e-5
    assert abs(host(dx) - host(exact_dx)).max() <= tolerance * max(1e-3, abs(host(exact_dx)).max())


def test_a_gradient_that_float16_does_not_hold_survives_until_it_is_scaled(device):
    values = normal(0, 6, 24)
    values[0] = 0
    values[0, 3] = 20  # the other classes' gradients are about 4e-10
    _, dx = gradient(entropy(reduction="sum"), values, tl.float16, device, tl.float16, 2.0**20)
    _, exact = gradient(entropy(reduction="sum"), values, tl.float64, device, None, 2.0**20)
    smallest = np.arange(24) != 3
    np.testing.assert_allclose(host(dx)[0, smallest], host(exact)[0, smallest], rtol=2e-3)


@pytest.mark.parametrize("half", HALVES)
@pytest.mark.parametrize("shapes", [((6, 24), (6, 24)), ((6, 24), (24,)), ((24,), (6, 24))])
@pytest.mark.parametrize("order", [0, 1])
@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("alpha", [1, 0.5])
def test_sums_of_float32_and_short_floats_are_float32(half, shapes, order, sign, alpha, device):
    half = getattr(tl, half)
    dtypes = (tl.float32, half)[:: 1 - 2 * order]
    x, y = (
        tl.tensor(normal(i, *shape)).to(dtype).to(device).requires_grad_()
        for i, (shape, dtype) in enumerate(zip(shapes, dtypes, strict=True))
    )
    run = tl.add if sign == 1 else tl.sub
    z = run(x, y, alpha=alpha)
    assert z.dtype == FLOAT
    np.testing.assert_allclose(host(z), host(x) + sign * alpha * host(y), rtol=1e-6, atol=1e-6)
    z.backward(tl.tensor(normal(5, 6, 24)).float().to(device))
    g = normal(5, 6, 24).astype(np.float32)
    for operand, factor in ((x, 1), (y, sign * alpha)):
        right = factor * (g if operand.ndim == 2 else g.sum(0))
        assert operand.grad.dtype == operand.dtype
        unit = 1e-6 if operand.dtype == FLOAT else HALVES[str(np.dtype(half))]
        assert abs(host(operand.grad) - right).max() <= 2 * unit * abs(right).max()


@pytest.mark.parametrize("half", HALVES)
def test_the_gradient_of_dropped_short_floats_comes_from_float32(half, device):
    unit, half = HALVES[half], getattr(tl, half)
    x = tl.tensor(normal(0, 33, 24)).to(half).to(device).requires_grad_()
    tl.manual_seed(3)
    y = F.dropout(x * 1, 0.25) + tl.zeros(33, 24).to(device)
    g = normal(1, 33, 24).astype(np.float32)
    y.backward(tl.tensor(g).to(device))
    kept = host(y) != 0
    assert 0.6 < kept.mean() < 0.9
    assert x.grad.dtype == np.dtype(half)
    rounded_twice = 2.1 * unit  # on the CPU
    np.testing.assert_allclose(host(x.grad), np.where(kept, g / 0.75, 0), rtol=rounded_twice)


class Block(nn.Module):
    """A norm whose result two products and a sum read."""

    def __init__(self, norm):
        super().__init__()
        self.norm, self.first, self.second = norm(24), nn.Linear(24, 24), nn.Linear(24, 24)

    def forward(self, x):
        self.seen = y = self.norm(x)
        return self.first(y) * self.second(y) + y


def block(device, norm=nn.LayerNorm):
    tl.manual_seed(0)
    return Block(norm).to(device), tl.tensor(normal(0, 6, 24)).float().to(device)


def loss_of(model, x, half, device):
    with tl.autocast(device.type, dtype=tl.bfloat16, enabled=half):
        y = model(x)
    return (y * y).mean()


def agree(found, right, tolerance=0.03):
    assert abs(host(found) - host(right)).max() <= tolerance * abs(host(right)).max()


@pytest.mark.parametrize("norm", [nn.LayerNorm, nn.RMSNorm])
@pytest.mark.parametrize("housed", [False, True], ids=["alone", "in an arena"])
@pytest.mark.parametrize("passes", [1, 3])
def test_parameters_of_norms_have_their_gradients(norm, housed, passes, device):
    model, x = block(device, norm)
    if housed:
        optimizer = tl.optim.SGD(model.parameters(), lr=0.1)
    grads = {}
    for half in (False, True):
        model.zero_grad()
        for _ in range(passes):
            loss_of(model, x, half, device).backward()
        grads[half] = [p.grad.clone() for p in model.parameters()]
    for found, right in zip(grads[True], grads[False], strict=True):
        assert found.dtype == FLOAT
        agree(found, right)
    if housed:
        optimizer.step()


def test_hooks_and_grad_see_all_of_the_gradient_of_a_norms_result(device):
    model, x = block(device)
    x.requires_grad_()
    found = {}
    for half in (False, True):
        loss = loss_of(model, x, half, device)
        found[half] = seen = []
        model.seen.register_hook(seen.append)
        model.seen.retain_grad()
        loss.backward(retain_graph=True)
        seen.append(model.seen.grad)
        seen.extend(tl.autograd.grad(loss, [model.seen]))
    for ours, right in zip(found[True], found[False], strict=True):
        assert ours.dtype == FLOAT
        agree(ours, right)


def test_a_norms_result_that_is_written_is_read_anew(device):
    model, x = block(device)
    with tl.no_grad(), tl.autocast(device.type, dtype=tl.bfloat16):
        y = model.norm(x)
        before = model.first(y)
        y.mul_(2)
        after = model.first(y)
        expected = model.first(y.clone())
    np.testing.assert_array_equal(host(after), host(expected))
    assert (host(before) != host(after)).any()


def test_a_result_that_was_cast_without_history_is_cast_again_with_it(device):
    model, x = block(device)
    x = (x * 1).requires_grad_()
    with tl.autocast(device.type, dtype=tl.bfloat16):
        y = x * 2
        with tl.no_grad():
            model.first(y)
        model.first(y).sum().backward()
    assert x.grad is not None and (host(x.grad) != 0).any()


def test_the_second_derivative_goes_through_norms_and_losses(device):
    model, x = block(device)
    found = {}
    for half in (False, True):
        x = x.detach().requires_grad_()
        with tl.autocast(device.type, dtype=tl.bfloat16, enabled=half):
            logits = model(F.softmax(model.first(x), -1))
            loss = F.cross_entropy(logits, tl.tensor([1, 2, 3, 4, 5, 6]).to(device))
        (dx,) = tl.autograd.grad(loss, [x], create_graph=True)
        model.zero_grad()
        (dx * dx).sum().backward()
        found[half] = [p.grad for p in model.parameters()]
    for ours, right in zip(found[True], found[False], strict=True):
        assert (ours is None) == (right is None)
        if right is not None and abs(host(right)).max() > 1e-6:
            agree(ours, right, 0.1)
