"""Averaged weights: what they are, that they are judged and saved, and what is refused."""

import numpy as np
import pytest

import tensorlite as tl
from tensorlite import nn
from tensorlite.data import DataLoader, TensorDataset
from tensorlite.training import Callback, Trainer, load_checkpoint

rng = np.random.default_rng(4)
FEATURES = rng.normal(size=(40, 3)).astype(np.float32)
LABELS = (FEATURES.sum(1) > 0).astype(np.int64)
DATA = TensorDataset(FEATURES, LABELS)


class Weights(Callback):
    """The weights after each batch."""

    def __init__(self):
        self.seen = []

    def on_batch_end(self, trainer):
        self.seen.append({k: v.numpy().copy() for k, v in trainer.model.state_dict().items()})


@pytest.fixture
def make(device):
    def build(**options):
        tl.manual_seed(1)
        model = nn.Sequential(nn.Linear(3, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 2))
        optimizer = tl.optim.AdamW(model.named_parameters(), lr=0.05)
        options = {"metrics": ["accuracy"], "callbacks": (), "device": device, **options}
        return Trainer(model, optimizer, nn.functional.cross_entropy, **options)

    return build


@pytest.mark.parametrize("options", [{"capture": "off"}, {}, {"accumulate": 2}])
def test_the_average_is_the_recursion(make, options):
    weights = Weights()
    trainer = make(ema=0.8, callbacks=(weights,), **options)
    trainer.fit(DataLoader(DATA, 8, shuffle=True), epochs=2)
    steps = weights.seen
    if "accumulate" in options:  # five batches in an epoch: steps after 2, 4 and 5
        steps = [steps[i] for i in (1, 3, 4, 6, 8, 9)]
    expected = dict(steps[0])
    for seen in steps[1:]:
        for name, value in seen.items():
            if name.endswith(("weight", "bias")):
                expected[name] = 0.8 * expected[name] + 0.2 * value
            else:  # what batch norm keeps is an average already
                expected[name] = value
    for name, value in trainer.averaged.model.state_dict().items():
        np.testing.assert_allclose(value.cpu().numpy(), expected[name], rtol=1e-5, atol=1e-7)
    present = trainer.model.state_dict()["0.weight"].cpu().numpy()
    np.testing.assert_allclose(present, steps[-1]["0.weight"])  # training goes on from these


def test_it_is_judged_and_saved(make, tmp_path):
    trainer = make(ema=0.9, out=tmp_path / "run")
    val = DataLoader(DATA, 40)
    history = trainer.fit(DataLoader(DATA, 8, shuffle=True), val, epochs=3)
    averaged = trainer.averaged.model
    averaged.eval()
    x, y = tl.tensor(FEATURES, device=trainer.device), tl.tensor(LABELS, device=trainer.device)
    loss = nn.functional.cross_entropy(averaged(x), y).item()
    assert history[-1]["val_loss"] == pytest.approx(loss, rel=1e-5)
    np.testing.assert_allclose(trainer.predict(FEATURES), averaged(x).detach().cpu().numpy())
    best = min(history, key=lambda record: record["val_loss"])["val_loss"]
    trainer.load_best()
    assert trainer.evaluate(val)["loss"] == pytest.approx(best)
    trainer.model.eval()  # the model has them, too
    assert nn.functional.cross_entropy(trainer.model(x), y).item() == pytest.approx(best, rel=1e-5)


def test_going_on_needs_the_same(make, tmp_path):
    loader = DataLoader(DATA, 8)
    make(ema=0.9, out=tmp_path / "run").fit(loader, epochs=1)
    saved = load_checkpoint(tmp_path / "run/last.safetensors")["averaged"]
    assert (saved["decay"], saved["steps"]) == (0.9, 5)
    with pytest.raises(ValueError, match="begun with ema, and here it is without"):
        make(out=tmp_path / "run").fit(loader, epochs=2, resume=True)
    with pytest.raises(ValueError, match=r"ema=0.9; here it is 0.8"):
        make(ema=0.8, out=tmp_path / "run").fit(loader, epochs=2, resume=True)
    make(out=tmp_path / "plain").fit(loader, epochs=1)
    with pytest.raises(ValueError, match="begun without ema, and here it is with"):
        make(ema=0.9, out=tmp_path / "plain").fit(loader, epochs=2, resume=True)


@pytest.mark.parametrize("decay", [1, -0.1, 1.5, float("nan"), "0.9", True])
def test_a_decay_that_is_none(make, decay):
    with pytest.raises(ValueError, match="ema is a decay from 0 to below 1"):
        make(ema=decay)
