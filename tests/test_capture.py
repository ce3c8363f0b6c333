"""Captured calls: the same bits as eager ones, and nothing that goes stale."""

import numpy as np
import pytest

import tensorlite as tl
import tensorlite.nn.functional as F
from tensorlite import nn, optim
from tensorlite.backend import HOST

needs_kernels = pytest.mark.skipif(HOST.kernels is None, reason="capture needs compiled kernels")
pytestmark = needs_kernels

STEPS = 30


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


def _training(kind, how="plain", captured=False):
    """A model, its step, and everything that a step changes."""
    make, data, make_optimizer = CASES[kind]
    tl.manual_seed(3)
    model = make()
    optimizer = make_optimizer(model.parameters())
    schedule = optim.lr_scheduler.CosineAnnealingLR(optimizer, 50)
    scaler = tl.amp.GradScaler("cpu", init_scale=2.0**10, growth_interval=7)

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
        with tl.autocast("cpu", dtype=tl.float16):
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


def _run(kind, how="plain", captured=False, steps=STEPS):
    model, optimizer, step, data = _training(kind, how, captured)
    rng = np.random.default_rng(0)
    losses = []
    for _ in range(steps):
        x, y = data(rng)
        losses.append(step(tl.tensor(x), tl.tensor(y))["loss"].item())
    state = {name: value.numpy().copy() for name, value in model.state_dict().items()}
    return losses, state, optimizer.state_dict(), step


def _assert_same(one, other):
    assert one[0] == other[0]
    for name, value in one[1].items():
        np.testing.assert_array_equal(value, other[1][name], err_msg=name)
    for key, value in one[2]["state"].items():
        for name, x in value.items():
            np.testing.assert_array_equal(np.asarray(x), np.asarray(other[2]["state"][key][name]))
    assert one[2]["param_groups"] == other[2]["param_groups"]


@pytest.mark.parametrize("kind", CASES)
def test_captured_training_has_the_bits_of_eager_training(kind):
    eager, captured = _run(kind), _run(kind, captured=True)
    _assert_same(eager, captured)
    assert captured[3].recordings[0].replays >= STEPS - 4


@pytest.mark.parametrize("how", ["scaled", "accumulated"])
@pytest.mark.parametrize("kind", ["mlp", "cnn", "gpt"])
def test_scaled_and_accumulated_training_too(kind, how):
    eager, captured = _run(kind, how), _run(kind, how, captured=True)
    _assert_same(eager, captured)
    assert captured[3].recordings[0].replays >= STEPS - 4
