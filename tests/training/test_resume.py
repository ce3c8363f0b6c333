"""A run that ended anywhere goes on to the same bits as one that never ended."""

import json

import numpy as np
import pytest

import tensorlite as tl
from tensorlite import nn
from tensorlite.data import DataLoader, TensorDataset, random_split
from tensorlite.io import save
from tensorlite.optim.lr_scheduler import CosineAnnealingLR, ReduceLROnPlateau
from tensorlite.training import Callback, Trainer, load_checkpoint

EPOCHS, BATCHES = 3, 8


def lines(out):
    return [json.loads(line) for line in (out / "history.jsonl").read_text().splitlines()]


class Crash(Exception):
    pass


class CrashAt(Callback):
    """Ends the program after a number of batches."""

    def __init__(self, batches):
        self.left = batches

    def on_batch_end(self, trainer):
        self.left -= 1
        if self.left == 0:
            raise Crash


def cosine(optimizer):
    return CosineAnnealingLR(optimizer, EPOCHS * BATCHES)


def plateau(optimizer):
    return ReduceLROnPlateau(optimizer, patience=0, threshold=0.9)


CASES = {
    "adam, dropout, cosine by batch": (tl.optim.Adam, {}, cosine, "batch"),
    "momentum, plateau": (tl.optim.SGD, {"momentum": 0.9, "nesterov": True}, plateau, "epoch"),
    "lion, averaged": (tl.optim.Lion, {}, None, "epoch"),
}


def run(out, device, case, resume=False, crash_at=None, width=8):
    optimizer_class, options, schedule, per = CASES[case]
    tl.manual_seed(11)
    rng = np.random.default_rng(0)
    features = rng.normal(size=(90, 4)).astype(np.float32)
    labels = (features.sum(1) > 0).astype(np.int64)
    train, val = random_split(TensorDataset(features, labels), [62, 28])
    model = nn.Sequential(
        nn.Linear(4, width), nn.BatchNorm1d(width), nn.ReLU(), nn.Dropout(0.5), nn.Linear(width, 2)
    )
    optimizer = optimizer_class(model.named_parameters(), lr=0.01, **options)
    trainer = Trainer(
        model,
        optimizer,
        nn.functional.cross_entropy,
        schedule=schedule and schedule(optimizer),
        schedule_per=per,
        metrics=["accuracy"],
        callbacks=[] if crash_at is None else [CrashAt(crash_at)],
        device=device,
        clip_norm=1.0,
        ema=0.9 if "averaged" in case else None,
        patience=20,
        out=out,
        save_every=3,
    )
    trainer.fit(DataLoader(train, 8, shuffle=True), DataLoader(val, 28), EPOCHS, resume=resume)
    return trainer


def final(out):
    """Everything in the last checkpoint but the time it took."""
    checkpoint = load_checkpoint(out / "last.safetensors")
    history = lines(out)
    assert history == checkpoint["history"]
    for record in history:
        del record["seconds"], record["samples_per_second"]
    del checkpoint["history"], checkpoint["progress"]
    return history, json.loads(json.dumps(checkpoint, default=lambda t: t.numpy().tobytes().hex()))


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("crash_at", [1, 5, 8, 12])  # before a checkpoint, after, at epochs' ends
def test_resumed_run_ends_with_the_same_bits(tmp_path, device, case, crash_at):
    run(tmp_path / "whole", device, case)
    with pytest.raises(Crash):
        run(tmp_path / "cut", device, case, crash_at=crash_at)
    run(tmp_path / "cut", device, case, resume=True)
    assert final(tmp_path / "cut") == final(tmp_path / "whole")


def test_a_run_cut_twice(tmp_path, device):
    case = "adam, dropout, cosine by batch"
    run(tmp_path / "whole", device, case)
    for i, crash_at in enumerate((4, 2, 9)):
        with pytest.raises(Crash):
            run(tmp_path / "cut", device, case, resume=i > 0, crash_at=crash_at)
    run(tmp_path / "cut", device, case, resume=True)
    assert final(tmp_path / "cut") == final(tmp_path / "whole")


def test_resuming_a_finished_run_changes_nothing(tmp_path, device):
    trainer = run(tmp_path / "run", device, "lion, averaged")
    again = run(tmp_path / "run", device, "lion, averaged", resume=True)
    assert again.history == trainer.history
    assert again.stopped_by == "epochs"


def test_epochs_after_the_checkpoint_are_taken_out_of_the_history(tmp_path, device):
    """The line was written, the power failed: the epoch is run again and counted once."""
    out = tmp_path / "cut"
    with pytest.raises(Crash):
        run(out, device, "lion, averaged", crash_at=12)
    with open(out / "history.jsonl", "a") as file:
        file.write('{"epoch": 2, "train_loss": 0.5}\n{"epoch": 3, "tra')
    (out / ".last.safetensors.123.partial").write_text("half")
    run(out, device, "lion, averaged", resume=True)
    assert [record["epoch"] for record in lines(out)] == [1, 2, 3]
    assert not list(out.glob("*.partial")) + list(out.glob(".*"))


# --- checkpoints that do not fit ------------------------------------------------------------------


def content(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture
def cut(tmp_path, device):
    with pytest.raises(Crash):
        run(tmp_path / "cut", device, "lion, averaged", crash_at=12)
    return tmp_path / "cut"


def test_another_model_is_refused(cut, device):
    before = content(cut)
    with pytest.raises(
        ValueError, match=r"0\.weight: shape \(8, 4\), but the module has \(16, 4\)"
    ):
        run(cut, device, "lion, averaged", resume=True, width=16)
    assert content(cut) == before


def test_another_optimizer_or_schedule_is_refused(cut, device):
    before = content(cut)
    message = "made with Lion and no schedule; here are SGD and ReduceLROnPlateau"
    with pytest.raises(ValueError, match=message):
        run(cut, device, "momentum, plateau", resume=True)
    assert content(cut) == before


@pytest.mark.parametrize("damage", ["truncated", "foreign", "gone"])
def test_a_damaged_checkpoint_is_named(cut, device, damage):
    last = cut / "last.safetensors"
    if damage == "truncated":
        last.write_bytes(last.read_bytes()[:-10])
    elif damage == "foreign":
        save({"weight": np.ones(3)}, last)
    else:
        last.unlink()
    before = content(cut)
    message = {
        "truncated": r"last\.safetensors cannot be read: it is truncated",
        "foreign": r"last\.safetensors is a safetensors file, but not a checkpoint",
        "gone": r"last\.safetensors: there is no such file",
    }[damage]
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        run(cut, device, "lion, averaged", resume=True)
    assert content(cut) == before


def test_another_machine_is_told_in_one_line(tmp_path, device, capfd):
    """The bits depend on it; the run goes on."""
    out = tmp_path / "run"
    run(out, device, "lion, averaged")
    checkpoint = load_checkpoint(out / "last.safetensors")
    capfd.readouterr()
    run(out, device, "lion, averaged", resume=True)
    assert capfd.readouterr().err == ""
    there = {**checkpoint["machine"], "numpy": "1.0", "kernels": "none", "threads": 3}
    save({**checkpoint, "machine": there}, out / "last.safetensors")
    run(out, device, "lion, averaged", resume=True)
    said = capfd.readouterr().err
    assert said.startswith("tensorlite: the run goes on, but not to the same bits as before: ")
    assert said.count("\n") == 1
    assert f"NumPy {np.__version__} in place of 1.0" in said


def test_a_time_is_a_time_to_save(tmp_path, device):
    """Also in mid-epoch, and to the same bits."""
    saved = []

    class Watch(Callback):
        def on_batch_end(self, trainer):
            trainer._saver.finish()
            saved.append(load_checkpoint(tmp_path / "run/last.safetensors")["loader"]["position"])

    model = nn.Linear(4, 2)
    trainer = Trainer(
        model, tl.optim.SGD(model.named_parameters(), lr=0.1), nn.functional.cross_entropy,
        callbacks=[Watch()], device=device, out=tmp_path / "run", save_every="0.000001s",
    )  # fmt: skip
    data = TensorDataset(np.ones((16, 4), np.float32), np.arange(16) % 2)
    trainer.fit(DataLoader(data, 4), epochs=1)
    assert saved == [0, 1, 2, 3]
