"""The Trainer: what it does to a model, what it reports, when it stops."""

import json
import signal

import numpy as np
import pytest

import tensorlite as tl
from tensorlite import nn
from tensorlite.data import DataLoader, TensorDataset
from tensorlite.optim.lr_scheduler import ExponentialLR, ReduceLROnPlateau
from tensorlite.training import Callback, Report, Trainer, load_checkpoint


def blobs(n=60, seed=0):
    """Two classes that a line separates."""
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % 2
    features = rng.normal(size=(n, 3)) + 3 * labels[:, None]
    return features.astype(np.float32), labels


@pytest.fixture
def make(device):
    """Build the same trainer and loader every time."""

    def build(lr=0.05, dropout=0.2, batch_size=8, schedule=None, data=None, **options):
        tl.manual_seed(3)
        model = nn.Sequential(nn.Linear(3, 8), nn.ReLU(), nn.Dropout(dropout), nn.Linear(8, 2))
        optimizer = tl.optim.Adam(model.named_parameters(), lr=lr)
        options = {"metrics": ["accuracy"], "callbacks": (), "device": device, **options}
        if schedule is not None:
            options["schedule"] = schedule(optimizer)
        trainer = Trainer(model, optimizer, nn.functional.cross_entropy, **options)
        dataset = TensorDataset(*(data or blobs()))
        return trainer, DataLoader(dataset, batch_size, shuffle=True)

    return build


VAL = DataLoader(TensorDataset(*blobs(20, seed=1)), 20)


def test_it_learns_and_reports(make, capsys):
    trainer, loader = make(callbacks=(Report(),))
    history = trainer.fit(loader, VAL, epochs=5)
    assert [record["epoch"] for record in history] == [1, 2, 3, 4, 5]
    assert list(history[0]) == [
        *("epoch", "lr", "train_loss", "val_loss", "val_accuracy"),
        *("seconds", "samples_per_second"),
    ]
    assert history[-1]["val_accuracy"] >= 0.95
    assert history[-1]["train_loss"] < history[0]["train_loss"] / 2
    assert trainer.stopped_by == "epochs"
    assert "epoch 5/5  train_loss" in capsys.readouterr().out


def test_train_loss_is_the_mean_over_samples(make):
    """Also where the last batch is smaller."""
    trainer, loader = make(lr=0.0, dropout=0.0, batch_size=16)
    (record,) = trainer.fit(loader, epochs=1)
    assert record["train_loss"] == pytest.approx(trainer.evaluate(loader)["loss"], rel=1e-6)
    assert "val_loss" not in record


def test_predict_takes_arrays_and_loaders(make):
    trainer, _ = make()
    features, labels = blobs(20, seed=1)
    outputs = trainer.predict(features, batch_size=7)
    assert outputs.shape == (20, 2)
    np.testing.assert_allclose(trainer.predict(VAL), outputs, rtol=1e-5)
    accuracy = (outputs.argmax(1) == labels).mean()
    assert trainer.evaluate(VAL)["accuracy"] == accuracy
    with pytest.raises(ValueError, match="there are no samples"):
        trainer.predict(features[:0])


def test_evaluation_leaves_no_trace(make):
    trainer, _ = make()
    trainer.model.train()
    trainer.model[2].eval()
    before = tl.random.default_generator.state_dict()
    results = [trainer.evaluate(VAL)["loss"] for _ in range(2)]
    assert results[0] == results[1]
    assert trainer.model.training
    assert not trainer.model[2].training
    assert tl.random.default_generator.state_dict() == before


def test_callbacks_see_everything_and_can_stop(make):
    class Watch(Callback):
        seen = ()

        def on_fit_begin(self, trainer):
            self.seen += ("fit",)

        def on_epoch_begin(self, trainer):
            self.seen += ("epoch",)

        def on_batch_end(self, trainer):
            self.seen += (len(trainer.progress.sizes),)

        def on_epoch_end(self, trainer, record):
            self.seen += (record["epoch"],)
            trainer.stop("enough")

        def on_fit_end(self, trainer):
            self.seen += (trainer.stopped_by,)

    watch = Watch()
    trainer, loader = make(batch_size=30, callbacks=[watch])
    trainer.fit(loader, epochs=9)
    assert watch.seen == ("fit", "epoch", 1, 2, 1, "enough")


def test_patience(make):
    trainer, loader = make(lr=0.0, patience=2)
    trainer.fit(loader, VAL, epochs=9)
    assert (trainer.stopped_by, trainer.epoch) == ("patience", 3)
    assert trainer.stopping.best_epoch == 1


def test_target_loss(make):
    trainer, loader = make(lr=0.005, target_loss=0.3)
    history = trainer.fit(loader, VAL, epochs=50)
    assert trainer.stopped_by == "target_loss"
    assert history[-1]["val_loss"] <= 0.3 < history[-2]["val_loss"]


def test_schedules_step_once_an_epoch_or_once_a_batch(make):
    for per, rates in (("epoch", [1, 0.5, 0.25]), ("batch", [1, 0.25, 0.0625])):
        trainer, loader = make(
            lr=1.0, batch_size=30, schedule=lambda o: ExponentialLR(o, 0.5), schedule_per=per
        )
        history = trainer.fit(loader, epochs=3)
        assert [record["lr"] for record in history] == rates
    trainer, loader = make(lr=0.0, schedule=lambda o: ReduceLROnPlateau(o, patience=0, eps=0))
    trainer.optimizer.param_groups[0]["lr"] = 1e-12
    trainer.fit(loader, epochs=3)
    assert trainer.optimizer.param_groups[0]["lr"] < 1e-12


def test_clipping_bounds_the_step(make):
    moved = []
    for clip in (None, 1e-12):
        trainer, loader = make(clip_norm=clip)
        before = trainer.model[0].weight.detach().clone().cpu().numpy()
        trainer.fit(loader, epochs=1)
        moved.append(abs(trainer.model[0].weight.detach().cpu().numpy() - before).max())
    assert moved[1] < moved[0] / 10  # Adam divides the clipped gradient by its eps


def test_a_second_fit_goes_on(make):
    whole, loader = make()
    whole.fit(loader, VAL, epochs=4)
    parts, loader = make()
    parts.fit(loader, VAL, epochs=2)
    parts.fit(loader, VAL, epochs=4)
    for name, value in whole.model.state_dict().items():
        np.testing.assert_array_equal(
            value.cpu().numpy(), parts.model.state_dict()[name].cpu().numpy()
        )


def test_moving_keeps_the_optimizers_state(device):
    """A model on the CPU, half trained, goes on where the trainer's device is."""
    results = []
    for first in ("cpu", device):
        tl.manual_seed(0)
        model = nn.Sequential(nn.Linear(3, 2))
        optimizer = tl.optim.Adam(
            [{"params": list(model[0].named_parameters()), "lr": 0.1}], weight_decay=0.01
        )
        schedule = ExponentialLR(optimizer, 0.5)
        for where in (first, device):
            trainer = Trainer(
                model, optimizer, nn.functional.cross_entropy, schedule=schedule,
                callbacks=(), device=where,
            )  # fmt: skip
            trainer.fit(DataLoader(TensorDataset(*blobs()), 20), epochs=1)
        assert optimizer.param_groups[0]["lr"] == 0.025
        assert model[0].weight.device == tl.device(device)
        results.append(model[0].weight.detach().cpu().numpy())
    np.testing.assert_allclose(*results, rtol=1e-5)


# --- the folder -----------------------------------------------------------------------------------


def test_checkpoints_hold_everything(make, tmp_path):
    out = tmp_path / "a" / "run"
    trainer, loader = make(
        out=out, patience=9, metadata={"why": "test"}, schedule=lambda o: ExponentialLR(o, 0.9)
    )
    history = trainer.fit(loader, VAL, epochs=3)
    assert sorted(path.name for path in out.iterdir()) == [
        *("best.safetensors", "history.jsonl", "last.safetensors"),
    ]
    assert list(map(json.loads, (out / "history.jsonl").read_text().splitlines())) == history
    last = load_checkpoint(out / "last.safetensors")
    assert last["history"] == history
    assert last["metadata"] == {"why": "test"}
    (group,) = last["optimizer"]["param_groups"]
    assert sorted(last["optimizer"]["state"]) == group["params"] == [0, 1, 2, 3]
    assert group["param_names"] == ["0.weight", "0.bias", "3.weight", "3.bias"]
    best = load_checkpoint(out / "best.safetensors")
    losses = [record["val_loss"] for record in history]
    assert len(best["history"]) == losses.index(min(losses)) + 1
    trainer.load_best()
    assert trainer.evaluate(VAL)["loss"] == pytest.approx(min(losses))


def test_a_folder_in_use_is_refused(make, tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    trainer, loader = make(out=tmp_path)
    with pytest.raises(FileExistsError, match="is not empty"):
        trainer.fit(loader)
    run = tmp_path / "run"
    trainer, loader = make(out=run)
    trainer.fit(loader)
    content = {path.name: path.read_bytes() for path in run.iterdir()}
    trainer, loader = make(out=run)
    with pytest.raises(FileExistsError, match="holds a run already"):
        trainer.fit(loader)
    assert {path.name: path.read_bytes() for path in run.iterdir()} == content
    trainer, loader = make(out=tmp_path / "notes.txt" / "run")
    with pytest.raises(NotADirectoryError, match=r"notes\.txt is a file"):
        trainer.fit(loader)


def test_interruption_comes_after_the_batch_and_saves(make, tmp_path, capsys):
    class PressCtrlC(Callback):
        def on_batch_end(self, trainer):
            if len(trainer.progress.sizes) == 3:
                signal.raise_signal(signal.SIGINT)

    trainer, loader = make(out=tmp_path / "run", callbacks=[PressCtrlC()])
    with pytest.raises(KeyboardInterrupt):
        trainer.fit(loader, epochs=2)
    assert "stopping after this batch" in capsys.readouterr().err
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    checkpoint = load_checkpoint(tmp_path / "run" / "last.safetensors")
    assert checkpoint["loader"]["position"] == 3
    assert len(checkpoint["progress"]["sizes"]) == 3


# --- what goes wrong ------------------------------------------------------------------------------


def test_a_loss_that_is_not_finite_stops_the_run(make, tmp_path):
    class Spoil(Callback):
        def on_batch_end(self, trainer):
            if trainer.epoch == 1 and len(trainer.progress.sizes) == 2:
                trainer.model[0].weight.array[...] = np.nan

    trainer, loader = make(out=tmp_path / "run", callbacks=[Spoil()])
    with pytest.raises(FloatingPointError, match=r"loss became nan in batch 3 of epoch 2.*0\.05"):
        trainer.fit(loader, VAL, epochs=4)
    saved = load_checkpoint(tmp_path / "run" / "last.safetensors")
    assert len(saved["history"]) == 1
    assert np.isfinite(saved["model"]["0.weight"].numpy()).all()


def test_nan_in_the_data_is_found_before_training(make):
    features, labels = blobs()
    features[7, 1] = np.nan
    trainer, loader = make(data=(features, labels))
    with pytest.raises(ValueError, match=r"array 0 of the dataset.* index \(7, 1\)"):
        trainer.fit(loader)


def test_a_label_out_of_range_is_named(make, device):
    if device.type != "cpu":
        pytest.skip("labels are not read back from the device")
    features, labels = blobs()
    labels[5] = 2
    trainer, loader = make(data=(features, labels))
    with pytest.raises(IndexError, match="2"):
        trainer.fit(loader)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"patience": 0}, "patience must be at least 1 epoch"),
        ({"save_every": 0}, "save_every must be at least 1 batch"),
        ({"save_every": "soon"}, "a number of batches or a time such as '10min'"),
        ({"save_every": "0min"}, "a number of batches or a time"),
        ({"target_loss": float("nan")}, "target_loss must be a number"),
        ({"schedule_per": "year"}, "'epoch' or 'batch'"),
        ({"metrics": ["f1"]}, "unknown metric 'f1'"),
    ],
)
def test_wrong_options(make, options, message):
    with pytest.raises(ValueError, match=message):
        make(**options)


def test_wrong_calls(make):
    trainer, loader = make()
    with pytest.raises(ValueError, match="epochs must be at least 1"):
        trainer.fit(loader, epochs=0)
    with pytest.raises(ValueError, match="give the trainer out"):
        trainer.fit(loader, resume=True)
    with pytest.raises(ValueError, match="give it a folder"):
        trainer.load_best()
