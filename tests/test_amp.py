"""autocast and GradScaler."""

import copy
import math

import numpy as np
import pytest

import tensorlite as tl
from tensorlite import amp, nn
from tensorlite.amp.autocast_mode import FLOAT32, LOWER
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
    assert tl.var and tl.std  # whose module is imported when they are wanted
    names = {primitive.name for primitive in PRIMITIVES.values()}
    assert names >= LOWER
    assert names >= FLOAT32
    assert not LOWER & FLOAT32


@pytest.mark.parametrize("half", HALVES)
def test_products_are_short_and_losses_are_not(half, problem, device):
    model, x, y = problem
    with tl.autocast(device.type, dtype=half):
        scores = model(x)
        loss = F.cross_entropy(scores, y)
    assert str(scores.dtype) == half
    assert loss.dtype == np.float32
    loss.backward()
    assert all(p.grad.dtype == np.float32 for p in model.parameters())
    expected = F.cross_entropy(model(x), y)
    assert loss.item() == pytest.approx(expected.item(), rel=2e-2)


def test_autocast_ends_with_its_block_and_can_be_off(problem, device):
    model, x, _ = problem
    with tl.autocast(device.type, dtype=tl.float16, enabled=False):
        assert model(x).dtype == np.float32
    with tl.autocast(device.type, dtype=tl.float16):
        pass
    assert model(x).dtype == np.float32


def test_float64_stays(device):
    x = tl.ones((2, 2), dtype=np.float64, device=device)
    with tl.autocast(device.type, dtype=tl.float16):
        assert (x @ x).dtype == np.float64


def test_a_parameter_is_cast_once_a_block(problem, device):
    model, x, _ = problem
    weight = model[0].weight
    with tl.autocast(device.type, dtype=tl.float16) as policy:
        F.linear(x, weight)
        first = policy.leaves[id(weight)][1]
        F.linear(x, weight)
        assert policy.leaves[id(weight)][1] is first


def test_a_pair_of_layers_computed_as_one_is_cast_too(device):
    model = nn.Sequential(nn.Linear(3, 4), nn.ReLU()).to(device)
    with tl.autocast(device.type, dtype=tl.float16):
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


def test_other_dtypes_and_first_arguments(device):
    x = tl.ones((2, 2), device=device)
    with pytest.warns(UserWarning, match="nothing is cast"):
        policy = tl.autocast(device.type, dtype=tl.float32)
    with policy:
        assert (x @ x).dtype == np.float32
    with pytest.raises(ValueError, match=r"autocast\('cuda', dtype=tl.float16\)"):
        tl.autocast("float16")


def step(model, optimizer, scaler, x, y):
    with tl.autocast(x.device.type, dtype=tl.float16):
        loss = F.cross_entropy(model(x), y)
    optimizer.zero_grad()
    scaler.scale(loss).backward()
    scaler.step(optimizer)
    scaler.update()
    return loss


def test_training_with_a_scaler_follows_float32(problem, device):
    model, x, y = problem
    start = {name: host(value).copy() for name, value in model.state_dict().items()}
    losses = []
    for scaled in (True, False):
        model.load_state_dict(start)
        optimizer = tl.optim.AdamW(model.parameters(), lr=1e-2)
        scaler = amp.GradScaler(device.type)
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
def test_an_overflow_changes_nothing_and_lowers_the_scale(make, problem, device):
    model, x, y = problem
    optimizer = make(model.parameters(), lr=1e-2)
    scaler = amp.GradScaler(device.type, init_scale=2.0**10)
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


def test_a_skipped_step_does_not_count_for_adams_correction(problem, device):
    model, x, y = problem
    start = {name: host(value).copy() for name, value in model.state_dict().items()}
    weights = []
    for spoiled in ((True, False, False), (False, False)):
        model.load_state_dict(start)
        optimizer = tl.optim.Adam(model.parameters(), lr=1e-2)
        scaler = amp.GradScaler(device.type, init_scale=4.0)
        for bad in spoiled:
            optimizer.zero_grad()
            scaler.scale(F.cross_entropy(model(x), y)).backward()
            if bad:
                model[0].bias.grad.array[0] = math.nan
            scaler.step(optimizer)
            scaler.update()
        weights.append(host(model[0].weight).copy())
    np.testing.assert_allclose(*weights, rtol=1e-4, atol=1e-6)


def test_unscale_shows_true_gradients_and_happens_once(problem, device):
    model, x, y = problem
    optimizer = tl.optim.SGD(model.parameters(), lr=1.0)
    F.cross_entropy(model(x), y).backward()
    expected = [host(p.grad).copy() for p in model.parameters()]
    before = [host(p).copy() for p in model.parameters()]
    optimizer.zero_grad()
    scaler = amp.GradScaler(device.type, init_scale=2.0**8)
    scaler.scale(F.cross_entropy(model(x), y)).backward()
    scaler.unscale_(optimizer)
    for grad, parameter in zip(expected, model.parameters(), strict=True):
        np.testing.assert_allclose(host(parameter.grad), grad, rtol=1e-4, atol=1e-7)
    scaler.step(optimizer)
    for old, grad, parameter in zip(before, expected, model.parameters(), strict=True):
        np.testing.assert_allclose(host(parameter), old - grad, rtol=1e-4, atol=1e-6)


def test_the_scale_grows_after_good_steps_and_its_state_continues(problem, device):
    model, x, y = problem
    optimizer = tl.optim.SGD(model.parameters(), lr=1e-3)
    scaler = amp.GradScaler(device.type, init_scale=4.0, growth_interval=3)
    for _ in range(4):
        step(model, optimizer, scaler, x, y)
    assert scaler.get_scale() == 8.0
    again = amp.GradScaler(device.type, growth_interval=3)
    again.load_state_dict(scaler.state_dict())
    for _ in range(2):
        step(model, optimizer, again, x, y)
    assert again.get_scale() == 16.0


def test_misuse(problem, device):
    model, x, y = problem
    optimizer = tl.optim.SGD(model.parameters(), lr=1e-3)
    with pytest.raises(RuntimeError, match=r"call scaler.scale\(loss\)"):
        amp.GradScaler(device.type).step(optimizer)
    with pytest.raises(RuntimeError, match="nothing to adapt"):
        amp.GradScaler(device.type).update()
    with pytest.raises(ValueError, match="growth_factor > 1"):
        amp.GradScaler(device.type, growth_factor=1.0)
    scaler = amp.GradScaler(device.type)
    loss = scaler.scale(F.cross_entropy(model(x), y))
    with pytest.raises(RuntimeError, match="nothing to adapt"):
        scaler.update()
    with pytest.raises(RuntimeError, match="no gradients"):
        scaler.step(optimizer)
    loss.backward()
    scaler.unscale_(optimizer)
    with pytest.raises(RuntimeError, match="unscale_"):
        scaler.unscale_(optimizer)
    with pytest.raises(RuntimeError, match="closure"):
        scaler.step(optimizer, closure=lambda: 0)
    scaler.step(optimizer)
    with pytest.raises(RuntimeError, match=r"step\(\) was called"):
        scaler.step(optimizer)
    scaler.update()
    with pytest.raises(ValueError, match="list"):
        scaler.scale("loss")
    with pytest.raises(RuntimeError, match="disabled"):
        scaler.load_state_dict({})


def test_the_scale_stays_finite_and_steps_go_on(device):
    """Doubling at each step would reach infinity, after which no gradient is finite."""
    weight = tl.ones(2, device=device, requires_grad=True)
    optimizer = tl.optim.SGD([weight], lr=1e-3)
    scaler = amp.GradScaler(device.type, init_scale=2.0**120, growth_interval=1)
    for _ in range(20):
        optimizer.zero_grad()
        (weight * tl.tensor([0.0, 0.0], device=device)).sum().backward()
        scaler.scale(weight.sum() * 0).backward()
        scaler.step(optimizer)
        scaler.update()
    assert scaler.get_scale() == 2.0**127
    optimizer.zero_grad()
    scaler.scale(weight.sum() * 2.0**-30).backward()
    scaler.step(optimizer)
    np.testing.assert_allclose(host(weight.grad), 2.0**-30)


@pytest.mark.parametrize("first", [0, 1])
def test_each_optimizer_steps_by_its_own_gradients(first, device):
    """torch.amp.GradScaler: of two, the one whose gradients are finite steps, in either order."""
    sound, bad = (tl.ones(2, device=device, requires_grad=True) for _ in range(2))
    optimizers = [tl.optim.Adam([sound], lr=0.5), tl.optim.SGD([bad], lr=0.5)]
    scaler = amp.GradScaler(device.type, init_scale=2.0)
    scaler.scale(sound.sum() + (bad * math.inf).sum()).backward()
    for optimizer in (optimizers[first], optimizers[1 - first]):
        scaler.step(optimizer)
    scaler.update()
    np.testing.assert_allclose(host(sound), 0.5, rtol=1e-6)
    assert bad.tolist() == [1, 1]
    assert scaler.get_scale() == 1.0


def test_an_optimizer_of_ones_own_and_its_gradients_are_unscaled(device):
    class Own(tl.optim.Optimizer):
        def __init__(self, params):
            super().__init__(params, {"lr": 0.5})

        def step(self, closure=None):
            with tl.no_grad():
                for p in self.param_groups[0]["params"]:
                    p -= 0.5 * p.grad
            return "stepped"

    weight = tl.ones(2, device=device, requires_grad=True)
    optimizer, scaler = Own([weight]), amp.GradScaler(device.type, init_scale=8.0)
    scaler.scale(weight.sum()).backward()
    assert scaler.step(optimizer) == "stepped"
    scaler.update()
    assert weight.tolist() == [0.5, 0.5]
    assert weight.grad.tolist() == [1, 1]
    weight.grad = tl.tensor([math.nan, 1.0], device=device)
    assert scaler.step(optimizer) is None
    assert weight.tolist() == [0.5, 0.5]


def test_float16_gradients_are_not_unscaled(device):
    weight = tl.ones(2, dtype=tl.float16, device=device, requires_grad=True)
    optimizer, scaler = tl.optim.SGD([weight]), amp.GradScaler(device.type, init_scale=8.0)
    scaler.scale(weight.sum()).backward()
    with pytest.raises(ValueError, match="float16"):
        scaler.step(optimizer)


def test_a_disabled_scaler_does_nothing(device):
    weight = tl.ones(2, device=device, requires_grad=True)
    optimizer, scaler = tl.optim.SGD([weight], lr=0.5), amp.GradScaler("cpu", enabled=False)
    loss = weight.sum()
    assert scaler.scale(loss) is loss
    loss.backward()
    scaler.unscale_(optimizer)
    scaler.step(optimizer)
    scaler.update()
    assert weight.tolist() == [0.5, 0.5]
    assert (scaler.get_scale(), scaler.state_dict(), scaler.is_enabled()) == (1.0, {}, False)


def test_state_and_settings_are_torchs(device):
    scaler = amp.GradScaler(device.type, 4.0, 3.0, 0.25, 7)
    state = {
        "scale": 4.0,
        "growth_factor": 3.0,
        "backoff_factor": 0.25,
        "growth_interval": 7,
        "_growth_tracker": 0,
    }
    assert scaler.state_dict() == state
    other = amp.GradScaler(device.type)
    other.load_state_dict({**state, "_growth_tracker": 6})
    assert other.get_growth_factor() == 3.0
    weight = tl.ones(2, device=device, requires_grad=True)
    optimizer = tl.optim.SGD([weight], lr=0.5)
    losses = other.scale([weight.sum(), (weight.sum(),)])
    assert [losses[0].item(), losses[1][0].item()] == [8, 8]
    losses[0].backward()
    other.step(optimizer)
    other.update()
    assert other.state_dict() == {**state, "scale": 12.0}
    other.update(2.0)
    assert other.get_scale() == 2.0


def test_autocast_is_a_decorator_and_nests(device):
    x = tl.ones((2, 2), device=device)

    @tl.autocast(device.type, dtype=tl.float16)
    def product():
        with tl.autocast(device.type, enabled=False):
            inner = x @ x
        return x @ x, inner

    assert [y.dtype for y in product()] == [np.float16, np.float32]
    assert (x @ x).dtype == np.float32
    assert not amp.is_autocast_enabled(device.type)
    with tl.autocast(device.type, dtype=tl.bfloat16):
        assert amp.is_autocast_enabled(device.type)
        assert str(amp.get_autocast_dtype(device.type)) == "bfloat16"


def test_parameters_are_not_kept_where_that_is_not_wanted(problem, device):
    model, x, _ = problem
    with tl.autocast(device.type, dtype=tl.float16, cache_enabled=False) as policy:
        assert model(x).dtype == np.float16
        assert not policy.leaves


def test_names_for_cuda(device):
    from tensorlite.cuda.amp import GradScaler, autocast

    assert tl.cuda.amp.GradScaler is GradScaler
    x = tl.ones((2, 2), device=device)
    if device.type == "cuda":
        with autocast():
            assert (x @ x).dtype == np.float16
        assert GradScaler(4.0).get_scale() == 4.0
    else:
        with pytest.warns(UserWarning, match="no CUDA device"):
            policy = autocast()
        with policy:
            assert (x @ x).dtype == np.float32
        with pytest.warns(UserWarning, match="disabled"):
            assert GradScaler(4.0).get_scale() == 1.0


def test_only_tensors_of_the_device_are_cast(device):
    x = tl.ones((2, 2))
    if device.type == "cuda":
        with tl.autocast("cuda", dtype=tl.float16):
            assert (x @ x).dtype == np.float32
    with tl.autocast("cpu", dtype=tl.float16):
        assert (x @ x).dtype == np.float16


@pytest.mark.parametrize("half", HALVES)
@pytest.mark.parametrize(
    "norm",
    [
        nn.BatchNorm2d(6),
        nn.Sequential(nn.BatchNorm2d(6), nn.ReLU()),
        nn.Sequential(nn.BatchNorm2d(6), nn.ReLU()).eval(),
        nn.GroupNorm(3, 6),
        nn.InstanceNorm2d(6, affine=True, track_running_stats=True),
    ],
    ids=["batch", "with relu", "by averages", "group", "instance"],
)
def test_norms_of_channels_take_short_floats_as_they_come(norm, half, device):
    """As torch's on the CPU: short results, of sums and statistics in float32."""
    norm.to(device)
    rng = np.random.default_rng(0)
    for parameter in norm.parameters():
        parameter.data.copy_(tl.tensor(rng.normal(1, 0.5, 6), device=device))
    short = tl.tensor(rng.normal(2, 3, (8, 6, 5, 4)), device=device).to(half)
    g = tl.tensor(rng.normal(size=short.shape), device=device).to(half)
    results = []
    for x in (short, short.double()):
        wide = x.dtype == np.float64
        model = copy.deepcopy(norm)
        model.double() if wide else None
        x = x.detach().requires_grad_()
        with tl.autocast(device.type, dtype=half):
            y = model(x)
        y.backward(g.to(y.dtype))
        assert str(y.dtype) == str(x.dtype) == str(x.grad.dtype)
        statistics = [b for b in model.buffers() if b.ndim]
        parameters = [p.grad for p in model.parameters()]
        assert all(t.dtype == (np.float64 if wide else np.float32) for t in statistics + parameters)
        results.append([host(t.double()) for t in (y, x.grad, *parameters, *statistics)])
    step = 2.0**-8 if half == "bfloat16" else 2.0**-11
    # Sums have not lost what their terms have; but by groups, weights meet what was rounded once.
    of_sums = 4 if isinstance(norm, nn.GroupNorm | nn.InstanceNorm2d) else 0.5
    for i, (one, exact) in enumerate(zip(*results, strict=True)):
        most = 2 if i < 2 else of_sums
        np.testing.assert_allclose(one, exact, atol=most * step * np.abs(exact).max())
