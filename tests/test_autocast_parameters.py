"""What autocast does to parameters: cast anew, gradients in float32; on both devices."""

from __future__ import annotations

import numpy as np
import pytest

import tensorlite as tl
from tensorlite import nn
from tensorlite.nn import functional as F

HALVES = {"float16": 2.0**-11, "bfloat16": 2.0**-8}  # half a unit in the last place of 1


def host(tensor):
    return tensor.detach().to("cpu").numpy()


def layer(device, rows=24, columns=40, out=33):
    tl.manual_seed(0)
    model = nn.Linear(columns, out).to(device)
    x = tl.randn(rows, columns).to(device)
    return model, x


def write_in_place(model, optimizer):
    with tl.no_grad():
        model.weight.mul_(0.5)


def write_data(model, optimizer):
    model.weight.data = model.weight.data * 0.5


def write_to_data(model, optimizer):
    model.weight.data.mul_(0.5)


def write_array(model, optimizer):
    model.weight.array[...] *= 0.5


def load_state(model, optimizer):
    model.load_state_dict({name: value * 0.5 for name, value in model.state_dict().items()})


def initialise(model, optimizer):
    nn.init.constant_(model.weight, 0.25)


def take_a_step(model, optimizer):
    model(tl.ones_like(model.weight)).sum().backward()
    optimizer.step()


def go_and_come_back(model, optimizer):
    where = model.weight.device
    model.to("cpu").to(where)
    write_in_place(model, optimizer)


WRITES = [write_in_place, write_data, write_to_data, write_array, load_state, initialise]
WRITES += [take_a_step, go_and_come_back]


@pytest.mark.parametrize("write", WRITES, ids=lambda write: write.__name__)
@pytest.mark.parametrize("housed", [False, True], ids=["alone", "in an arena"])
def test_a_parameter_that_was_written_is_cast_anew(write, housed, device):
    model, x = layer(device)
    optimizer = tl.optim.AdamW(model.parameters(), lr=0.1)
    if not housed:
        model = nn.Linear(40, 33).to(device)
    for again in range(2):
        with tl.autocast(device.type, dtype=tl.bfloat16):
            before = host(model(x).float())
        if housed or write is not take_a_step:
            write(model, optimizer)
        with tl.autocast(device.type, dtype=tl.bfloat16):
            after = host(model(x).float())
        weight, bias = (p.detach().bfloat16() for p in model.parameters())
        expected = host(F.linear(x.bfloat16(), weight, bias).float())
        np.testing.assert_array_equal(after, expected)
        written = housed or write is not take_a_step
        assert again or (before != after).any() == written


def gradients_of(model, x, half, steps=1):
    for parameter in model.parameters():
        parameter.grad = None
    for _ in range(steps):
        with tl.autocast(x.device.type, dtype=half):
            y = model(x)
        y.backward(tl.ones_like(y) / 3)
    return [p.grad for p in model.parameters()]


@pytest.mark.parametrize("half", HALVES)
@pytest.mark.parametrize("housed", [False, True], ids=["alone", "in an arena"])
@pytest.mark.parametrize("rows", [0, 1, 31, 200])
def test_gradients_of_parameters_are_float32(half, housed, rows, device):
    model, x = layer(device, rows)
    if housed:
        optimizer = tl.optim.SGD(model.parameters(), lr=0.1)
    found = gradients_of(model, x, half)
    assert [g.dtype for g in found] == [np.float32, np.float32]
    short = host(x.to(half).double())
    each = float(np.float32(host((tl.ones(1, device=device) / 3).to(half).float())[0]))
    exact = [each * short.sum(0)[None].repeat(33, 0), np.full(33, each * rows)]
    # On CUDA in an arena no product is rounded to 16 bits.
    unit = 1e-6 if housed and device.type == "cuda" else HALVES[half]
    for ours, right in zip(found, exact, strict=True):
        scale = max(1.0, abs(right).max(initial=0))
        assert abs(host(ours) - right).max() <= 8 * unit * scale
    if housed:
        optimizer.step()


CONVOLUTIONS = [
    lambda: nn.Conv2d(3, 6, 3, padding=1),
    lambda: nn.Conv1d(3, 5, 1),
    lambda: nn.Conv3d(4, 6, 2, groups=2, stride=2),
    lambda: nn.ConvTranspose2d(3, 4, 3),
]


@pytest.mark.parametrize("half", HALVES)
@pytest.mark.parametrize("make", CONVOLUTIONS)
@pytest.mark.parametrize("steps", [1, 2])
def test_gradients_of_filters_are_written_unrounded(half, make, steps, device):
    """On CUDA in an arena; float64 sees the same operands, which 16 bits hold."""
    tl.manual_seed(0)
    model = make().to(device)
    axes = model.weight.ndim - 2
    with tl.no_grad():
        for parameter in model.parameters():
            parameter.copy_(parameter.to(half).float())
    wide = make().double()
    wide.load_state_dict({k: v.cpu().double() for k, v in model.state_dict().items()})
    optimizer = tl.optim.SGD(model.parameters(), lr=0.1)
    x = tl.randn(7, model.in_channels, *(9,) * axes).to(half)
    for _ in range(steps):
        with tl.autocast(device.type, dtype=half):
            y = model(x.to(device))
        y.backward(tl.ones_like(y) / 4)
    for ours, right in zip(model.parameters(), wide.parameters(), strict=True):
        assert ours.grad.dtype == np.float32
        expected = wide(x.double())
        (gradient,) = tl.autograd.grad(expected, right, tl.ones_like(expected) / 4)
        scale = abs(host(gradient)).max() * steps
        unit = 1e-6 if device.type == "cuda" and steps == 1 else HALVES[half]
        assert abs(host(ours.grad.double()) - steps * host(gradient)).max() <= 8 * unit * scale
    optimizer.step()


@pytest.mark.parametrize("half", HALVES)
@pytest.mark.parametrize("housed", [False, True], ids=["alone", "in an arena"])
def test_gradients_of_several_passes_add_up(half, housed, device):
    model, x = layer(device)
    if housed:
        optimizer = tl.optim.SGD(model.parameters(), lr=0.1)
    once = [host(g).copy() for g in gradients_of(model, x, half)]
    thrice = gradients_of(model, x, half, steps=3)
    for one, three in zip(once, thrice, strict=True):
        assert abs(host(three) - 3 * one).max() <= 8 * HALVES[half] * abs(3 * one).max()
    if housed:
        optimizer.step()


class Tied(nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(11, 16)
        self.first, self.second = nn.Linear(16, 16), nn.Linear(16, 11, bias=False)
        self.second.weight = self.embedding.weight

    def forward(self, x):
        y = self.first(self.embedding(x))
        return self.second(self.first(y))


@pytest.mark.parametrize("housed", [False, True], ids=["alone", "in an arena"])
def test_a_parameter_that_is_used_twice_has_the_sum_of_its_gradients(housed, device):
    tl.manual_seed(0)
    model = Tied().to(device)
    if housed:
        optimizer = tl.optim.SGD(model.parameters(), lr=0.1)
    tokens = tl.tensor(np.arange(11).repeat(3)).to(device)
    F.cross_entropy(model(tokens), tokens).backward()
    exact = [host(p.grad).copy() for p in model.parameters()]
    model.zero_grad()
    with tl.autocast(device.type, dtype=tl.bfloat16):
        loss = F.cross_entropy(model(tokens), tokens)
    loss.backward()
    for parameter, right in zip(model.parameters(), exact, strict=True):
        assert parameter.grad.dtype == np.float32
        assert abs(host(parameter.grad) - right).max() <= 0.03 * abs(right).max()
    if housed:
        optimizer.step()


def test_the_gradient_of_a_gradient_goes_through_a_parameter_that_was_cast(device):
    model, x = layer(device)
    found = {}
    for half in (False, True):
        model.zero_grad()
        with tl.autocast(device.type, dtype=tl.bfloat16, enabled=half):
            y = model(x.detach().requires_grad_())
            loss = (y.float() ** 2).sum()
        (d,) = tl.autograd.grad(loss, [model.weight], create_graph=True)
        (d.float() ** 2).sum().backward()
        assert model.weight.grad.dtype == np.float32
        found[half] = host(model.weight.grad)
    assert abs(found[True] - found[False]).max() <= 0.05 * abs(found[False]).max()


def test_hooks_see_the_gradient_of_a_parameter_that_was_cast_in_its_own_dtype(device):
    model, x = layer(device)
    optimizer = tl.optim.SGD(model.parameters(), lr=0.1)
    seen = []
    model.weight.register_hook(lambda g: seen.append((g.dtype, g.shape)))
    gradients_of(model, x, tl.bfloat16)
    assert seen == [(np.dtype(np.float32), (33, 40))]
    optimizer.step()
