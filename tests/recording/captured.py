"""Models, their training, and comparisons that the tests of captured calls share."""

import numpy as np

import tensorlite as tl
import tensorlite.nn.functional as F
from tensorlite import nn, optim

STEPS = 100


def images(rng):
    x = rng.standard_normal((8, 3, 12, 12)).astype(np.float32)
    return x, rng.integers(0, 5, 8)


def vectors(rng):
    return rng.standard_normal((16, 20)).astype(np.float32), rng.integers(0, 5, 16)


def words(rng):
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


def device_kind():
    return tl.ones(1).device.type


def here(x):
    return tl.tensor(x, device=tl.ones(1).device)


def sgd(p):
    return optim.SGD(p, lr=0.05, momentum=0.9, weight_decay=1e-3)


def adamw(p):
    return optim.AdamW(p, lr=3e-3)


CASES = {
    "mlp": (Perceptron, vectors, adamw),
    "mlp_sgd": (Perceptron, vectors, sgd),
    "mlp_rmsprop": (Perceptron, vectors, lambda p: optim.RMSprop(p, lr=1e-3)),
    "mlp_nadam": (Perceptron, vectors, lambda p: optim.NAdam(p, lr=1e-3)),
    "cnn": (Convolutional, images, sgd),
    "gpt": (Transformer, words, adamw),
    "lstm": (Recurrent, words, adamw),
}


def training(kind, how="plain", captured=False, parts=None):
    """A model, its step, and everything that a step changes."""
    make, data, make_optimizer = CASES[kind]
    tl.manual_seed(3)
    model = make()
    optimizer = make_optimizer(model.parameters())
    schedule = optim.lr_scheduler.CosineAnnealingLR(optimizer, 50)
    scaler = tl.amp.GradScaler(device_kind(), init_scale=2.0**10, growth_interval=7)
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
        with tl.autocast(device_kind(), dtype=tl.float16):
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


def run(kind, how="plain", captured=False, steps=None):
    steps = steps or (STEPS if device_kind() == "cpu" else 20)  # test_graphs.py: 100
    model, optimizer, step, data = training(kind, how, captured)
    rng = np.random.default_rng(0)
    losses = []
    for _ in range(steps):
        x, y = data(rng)
        losses.append(step(here(x), here(y))["loss"].item())
    state = {name: value.numpy().copy() for name, value in model.state_dict().items()}
    return losses, state, optimizer.state_dict(), step


def values(x):
    return x.cpu().numpy() if isinstance(x, tl.Tensor) else np.asarray(x)


def assert_same(one, other):
    assert one[0] == other[0]
    for name, value in one[1].items():
        np.testing.assert_array_equal(value, other[1][name], err_msg=name)
    for key, value in one[2]["state"].items():
        for name, x in value.items():
            np.testing.assert_array_equal(values(x), values(other[2]["state"][key][name]))
    assert one[2]["param_groups"] == other[2]["param_groups"]


def pair():
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
    batches = [tuple(map(here, vectors(rng))) for _ in range(12)]
    return model, optimizer, step, batches


def both(change, steps=12):
    """Losses of eager and of captured steps, with a change before each."""
    found = []
    for captured in (False, True):
        model, optimizer, step, batches = pair()
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
