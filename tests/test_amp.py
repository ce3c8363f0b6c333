"""autocast and GradScaler."""

import math

import numpy as np
import pytest

import tensorlite as tl
from tensorlite import amp, nn
from tensorlite.nn import functional as F
from tensorlite.ops.recurrent import gru, lstm
from tensorlite.primitive import PRIMITIVES

HALVES = ["float16", "bfloat16"]


def host(tensor):
    return tensor.detach().to("cpu").numpy()


@pytest.fixture
def problem(device):
    tl.manual_seed(0)
    model = nn.Sequential(nn.Linear(16, 32), nn.ReLU(), nn.LayerNorm(32), nn.Linear(32, 4))
    rng = np.random.default_rng(0)
    x = tl.tensor(rng.normal(size=(64, 16)).astype(np.float32), device=device)
    y = tl.tensor(rng.integers(0, 4, 64), device=device)
    return model.to(device), x, y


def test_the_lists_name_primitives():
    names = {primitive.name for primitive in PRIMITIVES.values()}
    assert names >= amp.LOWER
    assert names >= amp.FLOAT32
    assert not amp.LOWER & amp.FLOAT32


@pytest.mark.parametrize("half", HALVES)
def test_products_are_short_and_losses_are_not(half, problem):
    model, x, y = problem
    with tl.autocast(half):
        scores = model(x)
        loss = F.cross_entropy(scores, y)
    assert str(scores.dtype) == half
    assert loss.dtype == np.float32
    loss.backward()
    assert all(p.grad.dtype == np.float32 for p in model.parameters())
    expected = F.cross_entropy(model(x), y)
    assert loss.item() == pytest.approx(expected.item(), rel=2e-2)


def test_autocast_ends_with_its_block_and_can_be_off(problem):
    model, x, _ = problem
    with tl.autocast("float16", enabled=False):
        assert model(x).dtype == np.float32
    with tl.autocast("float16"):
        pass
    assert model(x).dtype == np.float32


def test_float64_stays(device):
    x = tl.ones((2, 2), dtype=np.float64, device=device)
    with tl.autocast("float16"):
        assert (x @ x).dtype == np.float64


def test_a_parameter_is_cast_once_a_block(problem):
    model, x, _ = problem
    weight = model[0].weight
    with tl.autocast("float16") as policy:
        F.linear(x, weight)
        first = policy.leaves[id(weight)][1]
        F.linear(x, weight)
        assert policy.leaves[id(weight)][1] is first


def test_a_pair_of_layers_computed_as_one_is_cast_too(device):
    model = nn.Sequential(nn.Linear(3, 4), nn.ReLU()).to(device)
    with tl.autocast("float16"):
        assert model(tl.ones((2, 3), device=device)).dtype == np.float16


def conv(x, weight):
    return F.conv2d(x, weight, padding=1)


def attention(query, key, value):
    return F.scaled_dot_product_attention(query, key, value, is_causal=True)


def lstm_states(*inputs):
    return lstm(*inputs)[0]


def gru_states(*inputs):
    return gru(*inputs)[0]


@pytest.mark.parametrize("half", HALVES)
@pytest.mark.parametrize(
    ("function", "shapes"),
    [
        (F.linear, [(7, 33), (5, 33), (5,)]),
        (conv, [(2, 3, 9, 7), (5, 3, 3, 3)]),
        (attention, [(2, 3, 17, 8)] * 3),
        (lstm_states, [(6, 5, 28), (5, 7), (5, 7), (28, 7)]),
        (gru_states, [(6, 5, 21), (5, 7), (21, 7), (21,)]),
    ],
)
def test_what_has_many_terms_is_rounded_once(half, function, shapes, device):
    rng = np.random.default_rng(0)
    short = [tl.tensor(rng.normal(size=s).astype("f"), device=device).to(half) for s in shapes]
    results = []
    for dtype in (half, "float32"):
        inputs = [x.to(dtype).detach().requires_grad_() for x in short]
        y = function(*inputs)
        y.backward(tl.ones_like(y))
        results.append([y, *(x.grad for x in inputs)])
    eps = {"float16": 2.0**-10, "bfloat16": 2.0**-7}[half]
    for ours, exact in zip(*results, strict=True):
        assert str(ours.dtype) == half
        error = abs(host(ours.float()) - host(exact))
        assert error.max() <= 2 * eps * abs(host(exact)).max()


def test_only_half_precision_is_accepted():
    with pytest.raises(ValueError, match="choose 'float16' or 'bfloat16'"):
        tl.autocast("float32")


def step(model, optimizer, scaler, x, y):
    with tl.autocast("float16"):
        loss = F.cross_entropy(model(x), y)
    optimizer.zero_grad()
    scaler.scale(loss).backward()
    scaler.step(optimizer)
    scaler.update()
    return loss


def test_training_with_a_scaler_follows_float32(problem):
    model, x, y = problem
    start = {name: host(value).copy() for name, value in model.state_dict().items()}
    losses = []
    for scaled in (True, False):
        model.load_state_dict(start)
        optimizer = tl.optim.AdamW(model.parameters(), lr=1e-2)
        scaler = amp.GradScaler()
        for _ in range(20):
            if scaled:
                loss = step(model, optimizer, scaler, x, y)
            else:
                loss = F.cross_entropy(model(x), y)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
        losses.append(loss.item())
    assert losses[0] == pytest.approx(losses[1], rel=0.05)


@pytest.mark.parametrize("make", [tl.optim.SGD, tl.optim.Adam, tl.optim.RMSprop])
def test_an_overflow_changes_nothing_and_lowers_the_scale(make, problem):
    model, x, y = problem
    optimizer = make(model.parameters(), lr=1e-2)
    scaler = amp.GradScaler(init_scale=2.0**10)
    step(model, optimizer, scaler, x, y)
    before = [host(p).copy() for p in model.parameters()]
    optimizer.zero_grad()
    scaler.scale(F.cross_entropy(model(x), y)).backward()
    model[0].weight.grad.array[0, 0] = math.inf
    scaler.step(optimizer)
    scaler.update()
    for old, parameter in zip(before, model.parameters(), strict=True):
        np.testing.assert_array_equal(old, host(parameter))
    assert scaler.get_scale() == 2.0**9
    state = optimizer.state_dict()["state"]
    steps = [int(entry["step"]) for entry in state.values()]
    assert steps == [] if make is tl.optim.SGD else [1] * len(before)


def test_a_skipped_step_does_not_count_for_adams_correction(problem):
    model, x, y = problem
    start = {name: host(value).copy() for name, value in model.state_dict().items()}
    weights = []
    for spoiled in ((True, False, False), (False, False)):
        model.load_state_dict(start)
        optimizer = tl.optim.Adam(model.parameters(), lr=1e-2)
        scaler = amp.GradScaler(init_scale=4.0)
        for bad in spoiled:
            optimizer.zero_grad()
            scaler.scale(F.cross_entropy(model(x), y)).backward()
            if bad:
                model[0].bias.grad.array[0] = math.nan
            scaler.step(optimizer)
            scaler.update()
        weights.append(host(model[0].weight).copy())
    np.testing.assert_allclose(*weights, rtol=1e-4, atol=1e-6)


def test_unscale_shows_true_gradients_and_happens_once(problem):
    model, x, y = problem
    optimizer = tl.optim.SGD(model.parameters(), lr=1.0)
    F.cross_entropy(model(x), y).backward()
    expected = [host(p.grad).copy() for p in model.parameters()]
    before = [host(p).copy() for p in model.parameters()]
    optimizer.zero_grad()
    scaler = amp.GradScaler(init_scale=2.0**8)
    scaler.scale(F.cross_entropy(model(x), y)).backward()
    scaler.unscale_(optimizer)
    for grad, parameter in zip(expected, model.parameters(), strict=True):
        np.testing.assert_allclose(host(parameter.grad), grad, rtol=1e-4, atol=1e-7)
    scaler.step(optimizer)
    for old, grad, parameter in zip(before, expected, model.parameters(), strict=True):
        np.testing.assert_allclose(host(parameter), old - grad, rtol=1e-4, atol=1e-6)


def test_the_scale_grows_after_good_steps_and_its_state_continues(problem):
    model, x, y = problem
    optimizer = tl.optim.SGD(model.parameters(), lr=1e-3)
    scaler = amp.GradScaler(init_scale=4.0, growth_interval=3)
    for _ in range(4):
        step(model, optimizer, scaler, x, y)
    assert scaler.get_scale() == 8.0
    again = amp.GradScaler(growth_interval=3)
    again.load_state_dict(scaler.state_dict())
    for _ in range(2):
        step(model, optimizer, again, x, y)
    assert again.get_scale() == 16.0


def test_misuse(problem):
    model, _, _ = problem
    optimizer = tl.optim.SGD(model.parameters(), lr=1e-3)
    with pytest.raises(RuntimeError, match=r"call scaler.scale\(loss\)"):
        amp.GradScaler().step(optimizer)
    with pytest.raises(RuntimeError, match="nothing to adapt"):
        amp.GradScaler().update()
    with pytest.raises(ValueError, match="growth_factor > 1"):
        amp.GradScaler(growth_factor=1.0)
