"""Captured calls: the same bits as eager ones, and nothing that goes stale."""

import threading

import numpy as np
import pytest

import tensorlite as tl
import tensorlite.nn.functional as F
from tensorlite import nn, optim
from tensorlite.backend import HOST
from tensorlite.recording import CaptureError

needs_kernels = pytest.mark.skipif(HOST.kernels is None, reason="capture needs compiled kernels")
pytestmark = needs_kernels

STEPS = 100


@pytest.fixture
def host(device):
    """For what a graph has no part in: it holds what was queued, and CUDA looks at no index."""
    if device.type != "cpu":
        pytest.skip("of the CPU alone")


@pytest.fixture(autouse=True)
def on_device(device):
    """All Tensors here are made on the device under test."""
    with device:
        yield


def _images(rng):
    x = rng.standard_normal((8, 3, 12, 12)).astype(np.float32)
    return x, rng.integers(0, 5, 8)


def _vectors(rng):
    return rng.standard_normal((16, 20)).astype(np.float32), rng.integers(0, 5, 16)


def _words(rng):
    ids = rng.integers(0, 30, (3, 13))
    return ids[:, :-1].copy(), ids[:, 1:].copy()


class Perceptron(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(20, 32), nn.ReLU(), nn.Dropout(0.2), nn.Linear(32, 32), nn.GELU()
        )
        self.last = nn.Linear(32, 5)

    def forward(self, x):
        return self.last(self.layers(x))


class Convolutional(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(
            *(nn.Conv2d(3, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8), nn.ReLU()),
            *(nn.MaxPool2d(2), nn.Conv2d(8, 8, 3), nn.ReLU(), nn.Dropout2d(0.1), nn.Flatten()),
            nn.Linear(8 * 4 * 4, 5),
        )

    def forward(self, x):
        return self.layers(x)


class Transformer(nn.Module):
    def __init__(self):
        super().__init__()
        self.words = nn.Embedding(30, 16)
        self.places = nn.Embedding(12, 16)
        self.layer = nn.TransformerEncoderLayer(16, 2, 32, dropout=0.1, batch_first=True)
        self.norm = nn.LayerNorm(16)
        self.head = nn.Linear(16, 30)

    def forward(self, ids):
        x = self.words(ids) + self.places(tl.arange(ids.shape[1]))
        mask = nn.Transformer.generate_square_subsequent_mask(ids.shape[1])
        return self.head(self.norm(self.layer(x, src_mask=mask, is_causal=True)))


class Recurrent(nn.Module):
    def __init__(self):
        super().__init__()
        self.words = nn.Embedding(30, 12)
        self.lstm = nn.LSTM(12, 16, num_layers=2, dropout=0.1, batch_first=True)
        self.head = nn.Linear(16, 30)

    def forward(self, ids):
        return self.head(self.lstm(self.words(ids))[0])


def _kind():
    return tl.ones(1).device.type


def _here(x):
    return tl.tensor(x, device=tl.ones(1).device)


def _sgd(p):
    return optim.SGD(p, lr=0.05, momentum=0.9, weight_decay=1e-3)


def _adamw(p):
    return optim.AdamW(p, lr=3e-3)


CASES = {
    "mlp": (Perceptron, _vectors, _adamw),
    "mlp_sgd": (Perceptron, _vectors, _sgd),
    "mlp_rmsprop": (Perceptron, _vectors, lambda p: optim.RMSprop(p, lr=1e-3)),
    "mlp_nadam": (Perceptron, _vectors, lambda p: optim.NAdam(p, lr=1e-3)),
    "cnn": (Convolutional, _images, _sgd),
    "gpt": (Transformer, _words, _adamw),
    "lstm": (Recurrent, _words, _adamw),
}


def _training(kind, how="plain", captured=False, parts=None):
    """A model, its step, and everything that a step changes."""
    make, data, make_optimizer = CASES[kind]
    tl.manual_seed(3)
    model = make()
    optimizer = make_optimizer(model.parameters())
    schedule = optim.lr_scheduler.CosineAnnealingLR(optimizer, 50)
    scaler = tl.amp.GradScaler(_kind(), init_scale=2.0**10, growth_interval=7)
    if parts is not None:
        parts.update(model=model, optimizer=optimizer, schedule=schedule, scaler=scaler)

    def loss_of(x, y):
        out = model(x)
        return F.cross_entropy(out.reshape(-1, out.shape[-1]), y.reshape(-1))

    def plain(x, y):
        loss = loss_of(x, y)
        optimizer.zero_grad()
        loss.backward()
        norm = nn.utils.clip_grad_norm_(model.parameters(), 0.5)
        optimizer.step()
        schedule.step()
        return {"loss": loss, "more": [norm]}

    def scaled(x, y):
        with tl.autocast(_kind(), dtype=tl.float16):
            loss = loss_of(x, y)
        optimizer.zero_grad()
        scaler.scale(loss).backward()
        scaler.unscale_(optimizer)
        nn.utils.clip_grad_norm_(model.parameters(), 0.5)
        scaler.step(optimizer)
        scaler.update()
        schedule.step()
        return {"loss": loss, "more": []}

    def accumulated(x, y):
        optimizer.zero_grad()
        for i in range(2):
            part = loss_of(x[i::2], y[i::2]) / 2
            part.backward()
        optimizer.step()
        return {"loss": part, "more": []}

    step = {"plain": plain, "scaled": scaled, "accumulated": accumulated}[how]
    return model, optimizer, tl.capture(step) if captured else step, data


def _run(kind, how="plain", captured=False, steps=None):
    steps = steps or (STEPS if _kind() == "cpu" else 20)  # tests/cuda/test_graphs.py takes 100
    model, optimizer, step, data = _training(kind, how, captured)
    rng = np.random.default_rng(0)
    losses = []
    for _ in range(steps):
        x, y = data(rng)
        losses.append(step(_here(x), _here(y))["loss"].item())
    state = {name: value.numpy().copy() for name, value in model.state_dict().items()}
    return losses, state, optimizer.state_dict(), step


def _values(x):
    return x.cpu().numpy() if isinstance(x, tl.Tensor) else np.asarray(x)


def _assert_same(one, other):
    assert one[0] == other[0]
    for name, value in one[1].items():
        np.testing.assert_array_equal(value, other[1][name], err_msg=name)
    for key, value in one[2]["state"].items():
        for name, x in value.items():
            np.testing.assert_array_equal(_values(x), _values(other[2]["state"][key][name]))
    assert one[2]["param_groups"] == other[2]["param_groups"]


@pytest.mark.parametrize("kind", CASES)
def test_captured_training_has_the_bits_of_eager_training(kind, device):
    if kind == "mlp_nadam" and device.type == "cuda":  # the host computes a product of all steps
        with pytest.raises(CaptureError, match=r"NAdam\.step\(\) with numbers that the host"):
            _run(kind, captured=True)
        return
    eager, captured = _run(kind), _run(kind, captured=True)
    _assert_same(eager, captured)
    assert captured[3].recordings[0].replays >= len(captured[0]) - 4


@pytest.mark.parametrize("how", ["scaled", "accumulated"])
@pytest.mark.parametrize("kind", ["mlp", "cnn", "gpt", "lstm"])
def test_scaled_and_accumulated_training_too(kind, how):
    eager, captured = _run(kind, how), _run(kind, how, captured=True)
    _assert_same(eager, captured)
    assert captured[3].recordings[0].replays >= len(captured[0]) - 4


@pytest.mark.parametrize("how", ["plain", "scaled"])
@pytest.mark.parametrize("kind", ["mlp", "cnn", "gpt", "lstm"])
def test_training_goes_on_from_a_checkpoint_with_the_same_bits(kind, how, tmp_path):
    parts = {}
    _, _, step, data = _training(kind, how, True, parts)
    rng = np.random.default_rng(0)
    for i in range(20):
        if i == 9:
            states = {name: part.state_dict() for name, part in parts.items()}
            tl.save((states, tl.get_rng_state()), tmp_path / "state")
            later = rng.bit_generator.state
        step(*map(_here, data(rng)))
    again = {}
    _, _, step, data = _training(kind, how, True, again)
    rng.bit_generator.state = later
    for _ in range(3):  # recorded before it is loaded, and replayed after
        step(*map(_here, data(np.random.default_rng(1))))
    states, random = tl.load(tmp_path / "state")
    for name, part in again.items():
        part.load_state_dict(states[name])
    tl.set_rng_state(random)
    for _ in range(9, 20):
        step(*map(_here, data(rng)))
    resumed = again["model"].state_dict()
    for name, value in parts["model"].state_dict().items():
        np.testing.assert_array_equal(resumed[name].numpy(), value.numpy(), err_msg=name)
    assert step.recordings[-1].replays > 4


# --- nothing goes stale -------------------------------------------------------------------------


def _pair():
    """A perceptron and an optimizer whose settings change, and the data of its steps."""
    tl.manual_seed(1)
    model = Perceptron()
    optimizer = optim.SGD(model.parameters(), lr=0.1, momentum=0.5)

    def step(x, y):
        loss = F.cross_entropy(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss

    rng = np.random.default_rng(5)
    batches = [tuple(map(_here, _vectors(rng))) for _ in range(12)]
    return model, optimizer, step, batches


def _both(change, steps=12):
    """Losses of eager and of captured steps, with a change before each."""
    found = []
    for captured in (False, True):
        model, optimizer, step, batches = _pair()
        run = tl.capture(step) if captured else step
        losses = []
        for i, batch in enumerate(batches[:steps]):
            change(i, model, optimizer)
            losses.append(run(*batch).item())
        found.append((losses, [p.detach().numpy().copy() for p in model.parameters()]))
    (eager, weights), (replayed, same) = found
    assert eager == replayed
    for a, b in zip(weights, same, strict=True):
        np.testing.assert_array_equal(a, b)
    return run


def _set(name, value):
    def change(i, model, optimizer):
        if i >= 6:
            optimizer.param_groups[0][name] = value

    return change


@pytest.mark.parametrize(
    ("name", "value"), [("lr", 0.01), ("momentum", 0.9), ("weight_decay", 0.1), ("maximize", True)]
)
def test_settings_of_the_optimizer_take_effect(name, value):
    step = _both(_set(name, value))
    assert len(step.recordings) == 1


def test_a_new_seed_counts():
    def change(i, model, optimizer):
        if i == 6:
            tl.manual_seed(99)

    _both(change)


def test_evaluation_and_training_are_recorded_apart():
    def change(i, model, optimizer):
        model.train(i % 4 < 2)

    step = _both(change)
    assert len(step.recordings) == 2


def test_weights_that_are_loaded_count():
    other = {name: value.clone() for name, value in _pair()[0].state_dict().items()}

    def change(i, model, optimizer):
        if i == 6:
            model.load_state_dict(other)

    _both(change)


def test_a_frozen_parameter_needs_a_new_recording():
    def change(i, model, optimizer):
        if i == 6:
            model.last.weight.requires_grad_(False)

    _both(change)


def test_loading_an_optimizer_goes_on_from_there():
    saved = {}

    def change(i, model, optimizer):
        if i == 4:
            saved["state"] = optimizer.state_dict()
        if i == 8:
            optimizer.load_state_dict(saved["state"])

    _both(change)


def test_the_last_batch_has_another_size():
    model, _optimizer, step, batches = _pair()
    step = tl.capture(step)
    twin_model, _, twin, _ = _pair()
    tl.manual_seed(1)
    for fn in (step, twin):
        tl.manual_seed(7)
        for _ in range(3):
            for x, y in [*batches[:4], (batches[4][0][:5], batches[4][1][:5])]:
                fn(x, y)
    for p, q in zip(model.parameters(), twin_model.parameters(), strict=True):
        np.testing.assert_array_equal(p.detach().numpy(), q.detach().numpy())
    assert len(step.recordings) == 2


def test_the_least_recently_used_recording_goes():
    double = tl.capture(lambda x: x * 2 + 1, most=2)
    for n in (3, 4, 5):
        for _ in range(3):
            double(tl.ones(n))
    assert len(double.recordings) == 2


def test_two_captured_functions_share_parameters():
    results = []
    for captured in (False, True):
        model, _optimizer, step, batches = _pair()

        def predict(x, model=model):
            with tl.no_grad():
                return model(x)

        if captured:
            step, predict = tl.capture(step), tl.capture(predict)
        results.append([])
        for x, y in batches:
            step(x, y)
            results[-1].append(predict(x).numpy())
    for a, b in zip(*results, strict=True):
        np.testing.assert_array_equal(a, b)


def test_results_are_the_callers_own():
    double = tl.capture(lambda x: x * 2)
    kept = [double(tl.full((3,), float(i))) for i in range(6)]
    assert [k[0].item() for k in kept] == [0.0, 2.0, 4.0, 6.0, 8.0, 10.0]


def test_gradients_that_are_there_are_added_to():
    def grads(captured):
        tl.manual_seed(2)
        layer = nn.Linear(4, 3)

        def add(x):
            loss = layer(x).sum()
            loss.backward()
            return loss

        add = tl.capture(add) if captured else add
        seen = []
        for i in range(9):
            if i in (0, 3, 7):
                layer.weight.grad = layer.bias.grad = None
            add(tl.full((2, 4), float(i)))
            seen.append(layer.weight.grad.numpy().copy())
        return seen

    for a, b in zip(grads(False), grads(True), strict=True):
        np.testing.assert_array_equal(a, b)


def test_nested_arguments_and_results():
    @tl.capture
    def mixed(batch, *, scale):
        return {"sum": batch["a"] + batch["b"][0], "more": (batch["a"] * scale, "name", 3)}

    for i in range(5):
        batch = {"a": tl.full((2,), float(i)), "b": [tl.ones(2)]}
        found = mixed(batch, scale=3.0)
    np.testing.assert_array_equal(found["sum"].numpy(), [5, 5])
    assert found["more"][0].tolist() == [12.0, 12.0]
    assert found["more"][1:] == ("name", 3)


# --- what is refused ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "ask",
    [
        lambda t: t.sum().item(),
        lambda t: float(t.sum()),
        lambda t: bool(t.sum()),
        repr,
        lambda t: t.numpy(),
        lambda t: t.tolist(),
    ],
)
def test_asking_for_values_is_refused_with_the_line(ask):
    def call(x):
        y = x * 2
        ask(y)
        return y

    with pytest.raises(CaptureError, match=r"test_capture\.py:\d+"):
        tl.capture(call)(tl.ones(3))
    with pytest.raises(CaptureError, match="made to its end"):
        tl.capture(call)(tl.ones(3))
    lenient = tl.capture(call, strict=False)
    assert lenient(tl.ones(3)).tolist() == [2, 2, 2]
    assert "test_capture.py" in lenient.reason


def test_a_number_that_changes_is_refused():
    count = [0]

    @tl.capture
    def call(x):
        count[0] += 1
        return tl.clamp(x, max=float(count[0]))

    with pytest.raises(CaptureError, match="changes from call to call"):
        for _ in range(8):
            call(tl.ones(600))


def test_what_numpy_made_of_an_input_is_noticed_when_the_input_changes(host):
    @tl.capture
    def call(x, y):
        return x + y, tl.tensor(np.sqrt(y.array))  # of y alone, and no operation reads it

    for _ in range(5):
        call(tl.rand(3), tl.ones(3))
    assert call.recordings[0].replays
    with pytest.raises(CaptureError, match="outside of all operations"):
        for i in range(9):
            _, root = call(tl.rand(3), tl.full((3,), float(i)))
            np.testing.assert_array_equal(root.numpy(), np.full(3, i**0.5, np.float32))


def test_tensors_made_inside_may_require_grad():
    weight = tl.ones(3)

    @tl.capture
    def slope(x):
        x = x.detach().requires_grad_()
        w = weight.detach().requires_grad_()
        ((x**3) * w).sum().backward()
        return x.grad, w.grad

    for i in range(6):
        if i == 4:
            weight.data = tl.full((3,), 2.0)
        dx, dw = slope(tl.full((3,), float(i)))
        np.testing.assert_array_equal(dx.numpy(), 3.0 * i**2 * weight.numpy())
        np.testing.assert_array_equal(dw.numpy(), 3 * [i**3])
    assert [recording.replays for recording in slope.recordings] == [2, 1]


def test_a_tensor_that_is_made_and_kept_is_refused():
    kept = []

    def call(x):
        kept.append(x.detach().requires_grad_())
        return kept[-1] * 2

    with pytest.raises(CaptureError, match=r"makes a Tensor of shape \(3,\) .* and keeps it"):
        captured = tl.capture(call)
        for _ in range(6):
            captured(tl.ones(3))


def test_padding_that_no_recorded_batch_had_gets_no_gradient():
    words = nn.Embedding(6, 4, padding_idx=2)

    @tl.capture
    def step(ids):
        words.weight.grad = None
        words(ids).sum().backward()
        return words.weight.grad

    for ids in ([0, 1], [1, 3], [4, 5], [2, 2], [2, 1]):
        grad = step(_here(ids)).numpy()
        expected = np.zeros((6, 4))
        np.add.at(expected, [i for i in ids if i != 2], 1)
        np.testing.assert_array_equal(grad, expected)


def test_numbers_around_the_function_are_seen():
    factor = 2.0

    @tl.capture
    def call(x):
        return x * factor

    seen = []
    for factor in (2.0, 2.0, 2.0, 3.0, 3.0, 3.0, 2.0):  # noqa: B007
        seen.append(call(tl.ones(2))[0].item())
    assert seen == [2, 2, 2, 3, 3, 3, 2]


def test_an_error_in_the_function_leaves_everything_usable():
    model, _optimizer, step, batches = _pair()
    calls = [0]

    def failing(x, y):
        calls[0] += 1
        if calls[0] == 2:
            model(x)
            raise KeyError("in the middle")
        return step(x, y)

    captured = tl.capture(failing)
    captured(*batches[0])
    with pytest.raises(KeyError):
        captured(*batches[1])
    for batch in batches:
        captured(*batch)
    assert captured.recordings[0].replays
    assert tl.ones(3).sum().item() == 3


def test_replays_hold_memory_flat():
    import tracemalloc

    _model, _optimizer, step, batches = _pair()
    step = tl.capture(step)
    for _ in range(10):
        step(*batches[0])
    tracemalloc.start()
    step(*batches[0])
    before = tracemalloc.get_traced_memory()[0]
    for _ in range(10_000 if _kind() == "cpu" else 1000):
        step(*batches[0])
    grown = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    assert grown < 20_000


def test_a_recording_is_readable_and_plans_its_memory():
    _model, _optimizer, step, batches = _pair()
    step = tl.capture(step)
    for batch in batches[:4]:
        step(*batch)
    (recording,) = step.recordings
    assert "cross_entropy" in str(recording)
    assert "test_capture.py" in str(recording)
    assert recording.to_dot().startswith("digraph")
    before, after = recording.memory
    assert 0 < after < before


def test_calls_whose_results_nobody_reads_are_dropped(host):
    @tl.capture
    def call(x):
        tl.exp(x)
        return tl.tanh(x)

    for _ in range(3):
        y = call(tl.ones(2000))
    names = [line.name for line in call.recordings[0].lines()]
    assert names == ["tanh"]
    np.testing.assert_allclose(y.numpy(), np.tanh(1), rtol=1e-6)


def test_what_is_always_the_same_is_computed_once(host):
    weight = tl.ones(6)

    @tl.capture
    def call(x):
        mask = tl.ones(6, 6).triu() * 2  # constants alone
        changed = tl.zeros(6).exp()
        changed += x[0]  # begins as a constant, and is written to
        return x @ mask + weight.exp(), changed

    for i in range(6):
        if i == 4:
            weight += 1
        found, changed = call(tl.full((3, 6), float(i)))
        expected = np.full((3, 6), i) @ np.triu(np.full((6, 6), 2)) + np.exp(weight.numpy())
        np.testing.assert_allclose(found.numpy(), expected, rtol=1e-6)
        np.testing.assert_array_equal(changed.numpy(), np.full(6, 1 + i))
    (recording,) = call.recordings
    assert recording.replays == 4
    names = [line.name for line in recording.lines()]
    assert "triu" not in names
    assert "scale" not in names
    assert "exp" in names


def test_what_added_nothing_while_it_was_recorded_adds_later():
    offset = tl.zeros(3)

    @tl.capture
    def call(x):
        y = x * 1.0
        y += offset
        return y

    for i in range(5):
        offset.array[...] = max(i - 1, 0)
        np.testing.assert_array_equal(call(tl.full((3,), 5.0 + i)).numpy(), 5 + i + max(i - 1, 0))
    assert call.recordings[0].replays == 3


def test_embeddings_are_recorded_without_python():
    words = nn.Embedding(5, 4)
    call = tl.capture(lambda ids: words(ids))
    for ids in ([0, 1], [1, 4], [2, 2], [3, 0]):
        found = call(tl.tensor(ids))
        np.testing.assert_array_equal(found.numpy(), words.weight.detach().numpy()[ids])
    assert [line.by_python for line in call.recordings[0].lines()] == [False]


def test_recurrent_layers_run_forward_without_python(host):
    _model, _optimizer, step, data = _training("lstm", captured=True)
    rng = np.random.default_rng(0)
    for _ in range(3):
        step(*map(tl.tensor, data(rng)))
    forward = [line for line in step.recordings[0].lines() if line.name == "lstm"]
    assert not forward[0].by_python


def test_gaps_and_a_copied_input():
    call = tl.capture(lambda x: x.T @ x)
    rng = np.random.default_rng(0)
    for _ in range(5):
        x = _here(rng.standard_normal((6, 8)).astype(np.float32))[:, ::2]
        np.testing.assert_array_equal(call(x).numpy(), (x.T @ x).numpy())


def test_a_wrong_label_is_named_before_anything_changes(host):
    model, _optimizer, step, batches = _pair()
    step = tl.capture(step)
    for batch in batches[:5]:
        step(*batch)
    before = [p.detach().numpy().copy() for p in model.parameters()]
    x, y = batches[5]
    wrong = y.clone()
    wrong[3] = 77
    with pytest.raises(IndexError, match="77"):
        step(x, wrong)
    for p, q in zip(model.parameters(), before, strict=True):
        np.testing.assert_array_equal(p.detach().numpy(), q)
    step(x, y)


def test_hooks_and_attributes_of_modules_are_refused():
    class Keeps(nn.Module):
        def forward(self, x):
            self.last = x * 2
            return self.last

    with pytest.raises(CaptureError, match=r"Keeps\.last is set"):
        tl.capture(Keeps())(tl.ones(2))
    layer = nn.Linear(2, 2)
    layer.register_forward_hook(lambda *args: None)
    with pytest.raises(CaptureError, match="hooks"):
        tl.capture(lambda x: layer(x))(tl.ones(1, 2))


def test_a_trainer_captures_and_has_the_same_history(device):
    def history(capture):
        tl.manual_seed(0)
        model = Perceptron()
        optimizer = optim.Adam(model.named_parameters(), lr=1e-3)
        rng = np.random.default_rng(3)
        data = tl.data.TensorDataset(*map(_here, _vectors(rng)))
        loader = tl.data.DataLoader(data, batch_size=3, shuffle=True)
        trainer = tl.training.Trainer(
            model, optimizer, F.cross_entropy, callbacks=[], device=device, capture=capture
        )
        return trainer, [r["train_loss"] for r in trainer.fit(loader, epochs=6)]

    (on, replayed), (_, eager) = history("on"), history("off")
    assert replayed == eager
    assert len(on._captured.recordings) == 2  # the last batch is smaller


def test_a_thread_of_its_own_captures_and_replays():
    """NumPy has an allocator for each context: memory of a recording must be kept in all."""
    found = {}

    def work():
        _, _, step, batches = _pair()
        captured = tl.capture(step)
        found["losses"] = [captured(*batch).item() for batch in batches]
        found["replays"] = [recording.replays for recording in captured.recordings]

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    _, _, step, batches = _pair()
    assert found["losses"] == [step(*batch).item() for batch in batches]
    assert found["replays"] == [len(batches) - 2]


def test_a_wrong_word_is_named_before_anything_changes(host):
    _model, optimizer, step, _ = _training("gpt", captured=True)
    rng = np.random.default_rng(0)
    for _ in range(4):
        x, y = map(_here, _words(rng))
        step(x, y)
    steps = optimizer.state_dict()["state"][0]["step"]
    offset = tl.get_rng_state().tolist()
    x[1, 2] = 30
    with pytest.raises(IndexError, match="30"):
        step(x, y)
    assert optimizer.state_dict()["state"][0]["step"] == steps
    assert tl.get_rng_state().tolist() == offset
