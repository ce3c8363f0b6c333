"""``tensorlite train`` and what it leaves behind, on runs of seconds."""

import contextlib
import json
import math
import os
import pty
import threading
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from commands import content

from tensorlite import data
from tensorlite.cli import curves, predict
from tensorlite.cli.console import bar_line
from tensorlite.training import load_checkpoint

KEYS = [
    *("dataset", "model", "device", "epochs", "best_epoch", "stopped_by", "val_loss", "test_loss"),
    *("test_accuracy", "seconds", "samples_per_second", "parameters", "seed", "shards"),
    "processes",
]


def history(out):
    return [json.loads(line) for line in Path(out, "history.jsonl").read_text().splitlines()]


def summary(out):
    return json.loads((Path(out) / "summary.json").read_text())


def test_two_epochs_on_digits(tl, device):
    status, out, err = tl("train", "--epochs", 2, "--out", "run", "--device", device)
    assert (status, err) == (0, "")
    names = sorted(path.name for path in Path("run").iterdir())
    assert names == [
        *("best.safetensors", "history.jsonl", "last.safetensors", "loss.png", "summary.json"),
    ]
    result = summary("run")
    assert list(result) == KEYS
    assert (result["dataset"], result["model"], result["epochs"]) == ("digits", "mlp", 2)
    assert result["device"] == str(device)
    assert (result["stopped_by"], result["seed"]) == ("epochs", 0)
    assert result["test_accuracy"] > 0.8
    assert result["parameters"] == 64 * 256 + 256 + 256 * 128 + 128 + 128 * 10 + 10
    history = [json.loads(line) for line in Path("run/history.jsonl").read_text().splitlines()]
    assert list(history[0]) == [
        *("epoch", "lr", "train_loss", "val_loss", "val_accuracy"),
        *("seconds", "samples_per_second"),
    ]
    assert [record["epoch"] for record in history] == [1, 2]
    assert result["val_loss"] == min(record["val_loss"] for record in history)
    assert Path("run/loss.png").read_bytes().startswith(b"\x89PNG")
    for shown in (
        "1,295 training, 143 validation samples of shape 1×8×8, 10 classes",
        "Linear(in_features=64, out_features=256, bias=True)",
        f"device {device} (",
        "compiled kernels), seed 0, writing to run",
        "2/2",
        "train loss  █▁",
        f"test accuracy {result['test_accuracy']:.4f}",
        "written to run: best.safetensors",
    ):
        assert shown in out


def test_without_matplotlib_there_is_no_picture(tl, monkeypatch):
    monkeypatch.setattr(curves, "find_spec", lambda name: None)
    _, out, _ = tl("train", "diabetes", "--epochs", 1, "--out", "run")
    assert 'loss.png: pip install "tensorlite[plot]"' in out
    assert not Path("run/loss.png").exists()


def test_the_same_seed_gives_the_same_bits(tl):
    for out, seed in (("a", 1), ("b", 1), ("c", 2)):
        tl("train", "diabetes", "--epochs", 1, "--seed", seed, "--out", out)
    a, b, c = (load_checkpoint(f"{out}/last.safetensors")["model"] for out in "abc")
    for name in a:
        np.testing.assert_array_equal(a[name].numpy(), b[name].numpy())
    assert not np.array_equal(a["1.weight"].numpy(), c["1.weight"].numpy())


def test_diabetes_comes_near_ridge_regression(tl):
    tl("train", "diabetes", "--out", "run")
    splits = data.diabetes()
    (x, y), (x_test, y_test) = splits.train, splits.test
    w = np.linalg.solve(x.T @ x + np.eye(10), x.T @ (y - y.mean()))
    residual = y_test - x_test @ w - y.mean()
    ridge = 1 - (residual**2).sum() / ((y_test - y_test.mean()) ** 2).sum()
    result = summary("run")
    assert list(result) == [*KEYS, "test_r2"]
    assert result["test_accuracy"] is None
    assert result["test_r2"] > ridge - 0.03
    variance = y_test.var()
    assert result["test_r2"] == pytest.approx(1 - result["test_loss"] / variance, rel=1e-4)


def test_text(tl, monkeypatch):
    monkeypatch.setattr(predict, "CHARACTERS", 30)
    Path("song.txt").write_text("la la lalala, lo lo lololo! " * 150)
    assert tl("train", "song.txt", "--epochs", 6, "--batch-size", 8, "--out", "run")[0] == 0
    assert summary("run")["model"] == "gpt"
    assert summary("run")["test_loss"] < math.log(8)  # better than chance: it has 8 characters
    Path("start.txt").write_text("la la")
    status, out, _ = tl("predict", "run", "start.txt")
    assert status == 0
    assert out.startswith("la la")
    assert len(out) == len("la la") + 30 + 1
    status, out, _ = tl("evaluate", "run")
    assert status == 0
    assert "accuracy" in out


@pytest.mark.parametrize("optimizer", ["sgd", "adam", "rmsprop", "adagrad", "lion"])
def test_every_optimizer_learns_with_its_default_rate(tl, optimizer):
    args = ["--model", "linear", "--epochs", 3, "--batch-size", 64]
    tl("train", "digits", *args, "--optimizer", optimizer, "--out", "run")
    assert summary("run")["test_accuracy"] > 0.8


@pytest.mark.parametrize("schedule", ["constant", "one-cycle", "plateau"])
def test_every_schedule(tl, schedule):
    tl("train", "diabetes", "--schedule", schedule, "--epochs", 3, "--out", "run")
    rates = [json.loads(line)["lr"] for line in Path("run/history.jsonl").read_text().splitlines()]
    assert (len(set(rates)) == 1) == (schedule != "one-cycle")


def test_stopping(tl):
    args = ["diabetes", "--val-fraction", 0, "--epochs", 9]
    tl("train", *args, "--target-loss", 100, "--out", "target")
    result = summary("target")
    assert (result["stopped_by"], result["epochs"]) == ("target_loss", 1)
    assert result["val_loss"] is None
    tl("train", "diabetes", "--lr", 1e-30, "--patience", 2, "--epochs", 9, "--out", "patience")
    assert summary("patience")["stopped_by"] == "patience"


def test_a_word_when_it_overfits(tl):
    args = ["--lr", 0.02, "--weight-decay", 0, "--epochs", 30, "--patience", 30]
    _, out, _ = tl("train", "diabetes", *args, "--val-fraction", 0.8, "--out", "run")
    assert "The network overfits: since epoch" in out


def test_default_folders_are_numbered(tl):
    for expected in ("runs/diabetes-linear", "runs/diabetes-linear-2"):
        _, out, _ = tl("train", "diabetes", "--model", "linear", "--epochs", 1)
        assert f"writing to {expected}\n" in out
        assert Path(expected, "summary.json").exists()


def test_an_empty_folder_is_taken(tl):
    Path("there").mkdir()
    status, _, _ = tl("train", "diabetes", "--epochs", 1, "--out", "there")
    assert status == 0


# --- resuming -------------------------------------------------------------------------------------


def without_times(out):
    checkpoint = load_checkpoint(f"{out}/last.safetensors")
    text = Path(out, "history.jsonl").read_text()
    history = [json.loads(line) for line in text.splitlines()]
    for record in (*history, *checkpoint["history"]):
        del record["seconds"], record["samples_per_second"]
    del checkpoint["progress"], checkpoint["machine"]
    plain = json.dumps([history, checkpoint], default=lambda tensor: tensor.numpy().tobytes().hex())
    outcome = {k: v for k, v in summary(out).items() if "second" not in k}
    return json.loads(plain), outcome


KILL = """
import os, signal
from tensorlite.training import Trainer
update, left = Trainer._update, {batches}
def counting(self, batch):
    global left
    left -= 1
    if left < 0:
        os.kill(os.getpid(), signal.{signal})
    return update(self, batch)
Trainer._update = counting
"""
TRAIN = ["train", "--epochs", 3, "--batch-size", 128, "--save-every", 4]
BATCHES = math.ceil(1295 / 128)  # in an epoch


@pytest.mark.parametrize("batches", [BATCHES + 6, 3])  # in the second epoch; before any checkpoint
def test_a_killed_run_resumes_to_the_same_bits(tl, process, device, batches):
    train = [*TRAIN, "--device", device]
    tl(*train, "--out", "whole")
    killed = process(*train, "--out", "cut", before=KILL.format(batches=batches, signal="SIGKILL"))
    assert killed.returncode == -9
    # Where its last checkpoint is depends on the thread that writes.
    assert not Path("cut/summary.json").exists()
    resumed = process("train", "--resume", "cut", "--device", device)
    assert resumed.returncode == 0, resumed.stderr
    assert without_times("cut") == without_times("whole")


def test_ctrl_c_saves_and_says_how_to_go_on(tl, process):
    tl(*TRAIN, "--out", "whole")
    stopped = process(
        *TRAIN, "--out", "cut", before=KILL.format(batches=BATCHES + 1, signal="SIGINT")
    )
    assert stopped.returncode == 130
    assert "stopped; continue with: tensorlite train --resume cut" in stopped.stderr
    assert "Traceback" not in stopped.stderr
    assert load_checkpoint("cut/last.safetensors")["loader"]["position"] == 2
    assert tl("train", "--resume", "cut")[0] == 0
    assert without_times("cut") == without_times("whole")


def test_resume_finds_the_newest_run(tl):
    tl("train", "diabetes", "--epochs", 1)
    status, out, _ = tl("train", "--resume", "--epochs", 2)
    assert status == 0
    assert "writing to runs/diabetes-mlp\n" in out
    assert "stopped by epochs after epoch 2" in out


@pytest.mark.parametrize("more", [[], ["--epochs", 2]])
def test_resuming_a_finished_run_changes_nothing(tl, more):
    tl("train", "diabetes", "--epochs", 2, "--out", "run")
    before, times = content("run"), {p: p.stat().st_mtime_ns for p in Path("run").iterdir()}
    status, out, err = tl("train", "--resume", "run", *more)
    assert (status, err) == (0, "")
    assert out == (
        "run is finished: stopped by epochs after epoch 2; "
        "more: tensorlite train --resume run --epochs N\n"
    )
    assert content("run") == before
    assert {p: p.stat().st_mtime_ns for p in Path("run").iterdir()} == times


def test_a_run_that_ended_early_stays_ended(tl):
    tl("train", "diabetes", "--epochs", 9, "--target-loss", 1e9, "--out", "run")
    before = content("run")
    status, out, _ = tl("train", "--resume", "run", "--epochs", 20)
    assert status == 0
    assert out == "run is finished: stopped by target_loss after epoch 1\n"
    assert content("run") == before


def test_a_run_that_was_killed_before_its_summary_is_judged(tl):
    tl("train", "diabetes", "--epochs", 1, "--out", "run")
    Path("run/summary.json").unlink()
    status, out, _ = tl("train", "--resume", "run")
    assert status == 0 and "stopped by epochs after epoch 1" in out
    assert summary("run")["epochs"] == 1


def test_fewer_epochs_than_the_run_has(tl):
    tl("train", "diabetes", "--epochs", 2, "--out", "run")
    status, _, err = tl("train", "--resume", "run", "--epochs", 1)
    assert status == 2 and "--epochs 1 is less than the run's 2" in err


def rates(out):
    return [record["lr"] for record in history(out)]


@pytest.mark.parametrize("schedule", ["cosine", "one-cycle", "plateau", "constant"])
def test_more_epochs(tl, schedule):
    """The epochs of before stay; the rates of the others are those of a run of that length."""
    train = ["train", "diabetes", "--schedule", schedule]
    tl(*train, "--epochs", 4, "--out", "whole")
    tl(*train, "--epochs", 2, "--out", "run")
    first = [record["train_loss"] for record in history("run")]
    status, out, _ = tl("train", "--resume", "run", "--epochs", 4)
    assert status == 0 and "stopped by epochs after epoch 4" in out
    assert [record["train_loss"] for record in history("run")][:2] == first
    assert [record["epoch"] for record in history("run")] == [1, 2, 3, 4]
    np.testing.assert_allclose(rates("run")[2:], rates("whole")[2:], rtol=1e-9)
    assert summary("run")["epochs"] == 4
    assert "is finished" in tl("train", "--resume", "run")[1]  # 4 are its own epochs now


def test_more_epochs_for_a_run_that_was_cut(tl, process):
    """In mid-epoch, too; and what goes on can be cut again."""
    train = ["train", "diabetes", "--save-every", 2]
    process(*train, "--epochs", 2, "--out", "run", before=KILL.format(batches=13, signal="SIGKILL"))
    tl("train", "--resume", "run", "--epochs", 3)
    tl(*train, "--epochs", 3, "--out", "whole")
    assert len(rates("run")) == 3
    np.testing.assert_allclose(rates("run")[-1], rates("whole")[-1], rtol=1e-9)
    assert load_checkpoint("run/last.safetensors")["metadata"]["settings"]["epochs"] == 3


def test_a_terminal_shows_a_progress_bar(process):
    """The bar counts batches, and leaves the table when its epoch is done."""
    screen, terminal = pty.openpty()
    parts = []

    def read():
        with contextlib.suppress(OSError):  # raised when nobody writes any more
            while part := os.read(screen, 4096):
                parts.append(part)

    reader = threading.Thread(target=read)
    reader.start()
    result = process("train", "--epochs", 2, "--out", "run", stdout=terminal)
    os.close(terminal)
    reader.join()
    os.close(screen)
    assert result.returncode == 0, result.stderr
    shown = b"".join(parts).decode()
    assert "epoch 1/2" in shown
    assert " 0/41\r" in shown  # what others print begins at the front of the line
    assert "\r\x1b[K      2/2" in shown  # the bar's line is rubbed out
    assert "test accuracy" in shown


def test_a_bar_fits_the_line():
    done = SimpleNamespace(sizes=[32] * 10, seconds=2.0, samples=320)
    trainer = SimpleNamespace(epoch=1, epochs=20, batches=41, progress=done)
    wide = bar_line(trainer, 79, "utf-8")
    assert wide == f"epoch 2/20 {'━' * 9}{'─' * 31} 10/41  160 samples/s  0:06"
    assert bar_line(trainer, 79, "ascii") == wide.replace("━", "#").replace("─", "-")
    assert bar_line(trainer, 200, "utf-8").count("━") == 9  # of 40
    assert bar_line(trainer, 41, "utf-8") == "epoch 2/20  10/41  160 samples/s  0:06"
    assert bar_line(trainer, 10, "utf-8") == "epoch 2/20"
    done.sizes, done.seconds, done.samples, trainer.batches = [], 0.0, 0, 0
    assert bar_line(trainer, 79, "utf-8") == f"epoch 2/20 {'─' * 40} 0/1"


def test_averaged_weights(tl):
    flags = ["--model", "linear", "--epochs", "2", "--ema", "0.95"]
    status, out, err = tl("train", "digits", *flags, "--out", "run")
    assert status == 0, err
    assert "batches of 32, weights averaged by 0.95" in out
    status, evaluated, err = tl("evaluate", "run")
    assert status == 0, err
    test_loss = json.loads(Path("run/summary.json").read_text())["test_loss"]
    assert f"{test_loss:.4f}" in evaluated  # of the averaged weights
    assert tl("train", "--resume", "run", "--epochs", "3")[0] == 0
    averaged = load_checkpoint("run/last.safetensors")["averaged"]
    assert (averaged["decay"], averaged["steps"]) == (0.95, 3 * 41)
    for wrong in ("1", "-0.5", "nan", "much"):
        status, out, err = tl("train", "digits", f"--ema={wrong}")
        assert status == 2 and f"'{wrong}' is not a number from 0 to below 1" in err
    status, out, err = tl("train", "--resume", "run", "--ema", "0.9")
    assert status == 2 and "--ema 0.9 differs from the run's 0.95" in err


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_steps_of_several_batches_in_short_floats(tl, dtype):
    if dtype == "bfloat16":
        pytest.importorskip("ml_dtypes")
    flags = ["--epochs", "2", "--accumulate", "3", "--autocast", dtype, "--out", "run"]
    status, out, err = tl("train", "digits", "--model", "linear", *flags)
    assert status == 0, err
    assert f"batches of 32, 3 of them a step, in {dtype}" in out
    settings = load_checkpoint("run/last.safetensors")["metadata"]["settings"]
    assert (settings["accumulate"], settings["autocast"]) == (3, dtype)
    before = tl("evaluate", "run")
    assert before[0] == 0
    status, out, err = tl("train", "--resume", "run", "--epochs", "3")
    assert status == 0, err
