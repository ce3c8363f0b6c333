"""Captured calls on CUDA: one graph launch per step, and the bits of eager steps."""

from __future__ import annotations

import json

import numpy as np
import pytest

import tensorlite as tl
import tensorlite.nn.functional as F
from tensorlite import nn, optim
from tensorlite.bench.counts import emulator
from tensorlite.recording import CaptureError

pytestmark = pytest.mark.usefixtures("compiled")


@pytest.fixture
def compiled():
    if tl.backend.backend_for("cuda").kernels is None:
        pytest.skip("graphs are made of compiled kernels")


class Text(nn.Module):
    def __init__(self, recurrent):
        super().__init__()
        self.words = nn.Embedding(11, 8)
        self.inner = (
            nn.LSTM(8, 8, batch_first=True)
            if recurrent
            else nn.TransformerEncoderLayer(8, 2, 16, dropout=0.1, batch_first=True)
        )
        self.head = nn.Linear(8, 11)

    def forward(self, x):
        y = self.inner(self.words(x))
        return self.head(y[0] if isinstance(y, tuple) else y)


MODELS = {
    "mlp": lambda: nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Dropout(0.2), nn.Linear(16, 11)),
    "cnn": lambda: nn.Sequential(
        *(nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Flatten(), nn.Linear(36, 11)),
    ),
    "gpt": lambda: Text(False),
    "lstm": lambda: Text(True),
}
SHAPES = {"mlp": (8, 6), "cnn": (8, 1, 6, 6)}


def _batches(kind, count):
    rng = np.random.default_rng(2)
    for _ in range(count):
        if kind in SHAPES:
            yield rng.standard_normal(SHAPES[kind]).astype("f"), rng.integers(0, 11, 8)
        else:
            yield rng.integers(0, 11, (2, 5)), rng.integers(0, 11, 10)


def _training(kind, captured, scaled=False):
    tl.manual_seed(4)
    model = MODELS[kind]().to("cuda")
    optimizer = optim.AdamW(model.parameters(), lr=1e-2)
    schedule = optim.lr_scheduler.StepLR(optimizer, 5, 0.5)
    scaler = tl.amp.GradScaler("cuda", init_scale=2.0**24, growth_interval=3, enabled=scaled)

    def step(x, y):
        with tl.autocast("cuda", dtype=tl.float16, enabled=scaled):
            out = model(x)
        loss = F.cross_entropy(out.reshape(-1, 11).float(), y)
        optimizer.zero_grad()
        scaler.scale(loss).backward()
        scaler.unscale_(optimizer)
        norm = nn.utils.clip_grad_norm_(model.parameters(), 0.5)
        scaler.step(optimizer)
        scaler.update()
        schedule.step()
        return loss, norm

    return model, optimizer, scaler, tl.capture(step) if captured else step


def _on_gpu(*arrays):
    return [tl.tensor(x, device="cuda") for x in arrays]


def _run(kind, captured, scaled=False, count=100):
    model, optimizer, scaler, step = _training(kind, captured, scaled)
    found = [[x.item() for x in step(*_on_gpu(*batch))] for batch in _batches(kind, count)]
    values = {name: x.cpu().numpy() for name, x in model.state_dict().items()}
    steps = [each["step"] for each in optimizer.state_dict()["state"].values()]
    return found, values, [float(n) for n in steps], scaler.get_scale(), step


@pytest.mark.parametrize("kind", MODELS)
@pytest.mark.parametrize("scaled", [False, True])
def test_a_hundred_captured_steps_have_the_bits_of_eager_ones(kind, scaled):
    eager, captured = (_run(kind, how, scaled) for how in (False, True))
    assert str(eager[0]) == str(captured[0])  # NaN, too
    for name, value in eager[1].items():
        np.testing.assert_array_equal(value, captured[1][name], err_msg=name)
    assert eager[2:4] == captured[2:4]
    assert captured[4].recordings[0].replays >= 97
    assert not scaled or max(eager[2]) < 100  # some steps were left out


@pytest.mark.skipif(emulator() is None, reason="counted by the emulator only")
@pytest.mark.parametrize("kind", MODELS)
def test_a_step_is_one_graph_launch_and_copies_of_its_inputs(kind):
    *_, step = _training(kind, True)
    batches = [_on_gpu(*batch) for batch in _batches(kind, 8)]
    for batch in batches[:6]:
        results = step(*batch)
    driver = emulator()
    tl.cuda.synchronize()
    driver.cuda_emulator_profile_reset()
    results = step(*batches[6])  # what was returned before is held meanwhile
    tl.cuda.synchronize()
    profile = json.loads(driver.cuda_emulator_profile_json())
    counts = {name: each["count"] for name, each in profile["counts"].items() if each["count"]}
    assert counts.pop("graph_launches") == 1
    assert counts.pop("memcpyH2D") == 1  # the numbers of the step
    ran = counts.pop("graph_nodes_run")
    copies = counts.pop("memcpyD2D")
    assert copies - 4 <= ran  # two inputs, two results, and those inside of the graph
    for waiting in ("event_synchronize", "device_synchronize", "memset"):
        counts.pop(waiting, None)
    assert counts == {}
    launches = sum(each["launches"] for each in profile["kernels"].values())
    products = sum(each["calls"] for each in profile["library_calls"].values())
    assert launches + products <= ran
    assert results[0].item() > 0


def test_inputs_may_come_from_the_host():
    model, optimizer, _, _ = _training("mlp", False)
    twin, other, _, _ = _training("mlp", False)

    def stepped(model, optimizer, x, y):
        x, y = tl.tensor(x, device="cuda"), tl.tensor(y, device="cuda")
        loss = F.cross_entropy(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss

    captured = tl.capture(lambda x, y: stepped(model, optimizer, x, y))
    found, wanted = [], []
    for x, y in _batches("mlp", 9):
        tl.manual_seed(3)
        found.append(captured(x, y))
        tl.manual_seed(3)
        wanted.append(stepped(twin, other, x, y))
    assert [x.item() for x in found] == [x.item() for x in wanted]
    assert captured.recordings[0].replays > 3


def test_constants_of_the_host_are_part_of_it():
    many = np.arange(2000.0, dtype="f")
    call = tl.capture(lambda x: x * tl.tensor(many, device="cuda") + tl.tensor([3.0]).to("cuda"))
    for i in range(5):
        y = call(tl.full((2000,), float(i), device="cuda"))
    np.testing.assert_array_equal(y.cpu().numpy(), 4 * many + 3)
    assert call.recordings[0].replays == 3


def test_a_step_without_arguments_is_one_graph():
    def run(captured):
        model, optimizer, _, _ = _training("mlp", False)
        x, y = (tl.tensor(each, device="cuda") for each in next(_batches("mlp", 1)))
        tl.manual_seed(3)

        def step():
            loss = F.cross_entropy(model(x), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            return loss

        step = tl.capture(step) if captured else step
        losses = [step().item() for _ in range(6)]
        weights = [p.detach().cpu().numpy().tobytes() for p in model.parameters()]
        return losses, weights, step

    captured = run(True)
    assert captured[:2] == run(False)[:2]
    (recording,) = captured[2].recordings
    assert recording.replays >= 3


def test_constants_that_change_are_refused():
    values = iter(range(20))
    call = tl.capture(lambda x: x + tl.tensor(np.full(3, float(next(values)), "f"), device="cuda"))
    with pytest.raises(CaptureError, match="differs from call to call"):
        for _ in range(9):
            call(tl.ones(3, device="cuda"))


@pytest.mark.parametrize(
    ("ask", "why"),
    [
        (lambda x: x[x > 1], "depends on values"),
        (lambda x: tl.nonzero(x), ""),
        (lambda x: x * tl.rand(3, device="cpu").to("cuda"), "on the CPU"),
        (lambda x: x * x.sum().item(), "the value of a Tensor"),
    ],
)
def test_what_a_graph_cannot_do_is_refused_and_done_all_the_same(ask, why):
    lenient = tl.capture(lambda x: x if ask is None else ask(x) * 2, strict=False)
    x = tl.tensor([1.0, 2.0, 3.0], device="cuda")
    tl.manual_seed(1)
    found = [lenient(x).cpu().numpy() for _ in range(4)]
    tl.manual_seed(1)
    for y in found:
        np.testing.assert_array_equal(y, (ask(x) * 2).cpu().numpy())
    assert why in (lenient.reason or "")


def test_a_graph_that_is_left_half_made_changes_nothing():
    model, optimizer, _, _ = _training("mlp", False)
    schedule = optim.lr_scheduler.StepLR(optimizer, 1, 0.5)
    calls = []

    @tl.capture
    def step(x, y):
        loss = F.cross_entropy(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        calls.append(1)
        if len(calls) == 2:
            raise KeyError("mine")
        return loss

    batches = [_on_gpu(*batch) for batch in _batches("mlp", 6)]
    step(*batches[0])

    def state():
        grads = [p.grad.cpu().numpy() for p in model.parameters()]
        weights = [p.detach().cpu().numpy() for p in model.parameters()]
        told = optimizer.state_dict()
        return (
            grads,
            weights,
            told["param_groups"][0]["lr"],
            tl.get_rng_state().tolist(),
            [float(each["step"]) for each in told["state"].values()],
        )

    before = state()
    with pytest.raises(KeyError, match="mine"):
        step(*batches[1])
    for a, b in zip(before, state(), strict=True):
        np.testing.assert_equal(a, b)
    for batch in batches[2:]:
        step(*batch)
    assert step.recordings[0].replays == 3


def test_results_are_the_callers_own_and_memory_is_flat(backend):
    call = tl.capture(lambda x: (x * 2, x.sum()))
    pool = backend.xp.get_default_memory_pool()
    for i in range(4):
        held = call(tl.full((300,), float(i), device="cuda"))
    used = pool.used_bytes()
    for i in range(4, 1000):
        double, _ = call(tl.full((300,), float(i), device="cuda"))
    assert held[0].tolist() == [6.0] * 300
    assert double.tolist() == [1998.0] * 300
    assert pool.used_bytes() <= used + 8 * 2048
    view = double[1:3]
    del double
    call(tl.zeros(300, device="cuda"))
    assert view.tolist() == [1998.0] * 2


def test_an_emptied_cache_leaves_graphs_their_memory():
    *_, step = _training("mlp", True)
    *_, twin = _training("mlp", False)
    found = []
    for run in (step, twin):
        tl.manual_seed(5)
        found.append([])
        for batch in _batches("mlp", 7):
            found[-1].append(run(*_on_gpu(*batch))[0].item())
            tl.cuda.empty_cache()
    assert found[0] == found[1]


def test_a_call_on_another_stream_waits_for_the_last(backend):
    call = tl.capture(lambda x: x * 3 + 1)
    for i in range(8):
        with backend.xp.cuda.Stream(non_blocking=True) as stream:
            y = call(tl.full((50,), float(i), device="cuda"))
            stream.synchronize()
        assert y.tolist() == [3.0 * i + 1] * 50


def test_arrays_on_two_devices_are_refused(two_devices):
    other = tl.ones(3, device="cuda:1")
    call = tl.capture(lambda x: (x * 2, other * 2), strict=False)
    for _ in range(3):
        call(tl.ones(3, device="cuda:0"))
    assert "a second device" in call.reason
    several = tl.capture(lambda x, y: (x * 2, y * 2), strict=False)
    several(tl.ones(3, device="cuda:0"), other)
    assert "several devices" in several.reason


def test_a_call_on_a_second_device(two_devices):
    call = tl.capture(lambda x: x @ x + tl.rand(2, 2, device="cuda:1"))
    tl.manual_seed(1)
    found = [call(tl.full((2, 2), float(i), device="cuda:1")) for i in range(5)]
    tl.manual_seed(1)
    for i, y in enumerate(found):
        wanted = 2.0 * i * i + tl.rand(2, 2, device="cuda:1")
        assert y.tolist() == wanted.tolist()
    assert call.recordings[0].replays == 3
