"""The Trainer and the command line on real processes: the same bits as on one."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from launching import HAS_MPI, WITHOUT, mpiexec, run

import tensorlite as tl
from tensorlite import nn, ranks
from tensorlite.cli import main
from tensorlite.data import DataLoader, TensorDataset
from tensorlite.training import Trainer, load_checkpoint

with_mpi = pytest.mark.skipif(not HAS_MPI, reason=WITHOUT)
ROOT = str(Path(__file__).parents[2])
TRAIN = ["train", "digits", "--epochs", "1", "--batch-size", "160", "--save-every", "3"]


def tensorlite(*arguments: object, launcher: tuple = ()) -> subprocess.CompletedProcess:
    command = [*launcher, sys.executable, "-m", "tensorlite", *map(str, arguments)]
    environment = {**os.environ, "PYTHONPATH": ROOT}
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, env=environment)
    assert done.returncode == 0, done.stderr
    return done


def bits(folder: Path) -> dict:
    """All that a run's last checkpoint says, but for times."""
    checkpoint = load_checkpoint(folder / "last.safetensors")
    for record in checkpoint["history"]:
        del record["seconds"], record["samples_per_second"]
    found = {key: checkpoint[key] for key in ("history", "rng", "stopping", "schedule")}
    for name, value in checkpoint["model"].items():
        found[name] = value.numpy().tobytes()
    for number, state in checkpoint["optimizer"]["state"].items():
        found |= {f"{number} {k}": np.asarray(v.array).tobytes() for k, v in state.items()}
    return found


@with_mpi
def test_a_trainer_with_everything():
    digests = set()
    for processes in (0, 2, 4):
        done = run(processes, "trainer.py")
        assert done.returncode == 0, done.stderr
        found = re.findall(r"digest (\w+)", done.stdout)
        assert len(found) == max(processes, 1)
        digests |= set(found)
    assert len(digests) == 1


@with_mpi
def test_what_lies_between_two_exchanges_is_captured():
    done = run(2, "captured.py")
    assert done.returncode == 0, done.stderr
    found = re.findall(r"digest (\w+)", done.stdout)
    assert len(found) == 8 and len(set(found)) == 1


@with_mpi
def test_the_command_line(device, tmp_path, capsys):
    if device.type != "cpu":
        pytest.skip(
            "four processes, more than there need be GPUs; NCCL's tests have what CUDA does"
        )
    assert main([*TRAIN, "--model", "cnn", "--shards", "4", "--out", str(tmp_path / "1")]) == 0
    four = tensorlite(
        *TRAIN, "--model", "cnn", "--shards", 4, "--processes", 4, "--out", tmp_path / "4"
    )
    assert four.stdout.count("written to") == four.stdout.count("test accuracy") == 1
    assert "4 processes, batches in 4 shards; no capture: 4 processes exchange" in four.stdout
    assert bits(tmp_path / "1") == bits(tmp_path / "4")
    summaries = [json.loads((tmp_path / n / "summary.json").read_text()) for n in "14"]
    assert [one.pop("processes") for one in summaries] == [1, 4]
    assert summaries[0]["test_loss"] == summaries[1]["test_loss"]
    two = (mpiexec(), "-n", "2")
    capsys.readouterr()
    assert main(["evaluate", str(tmp_path / "4")]) == 0
    alone = capsys.readouterr().out
    assert tensorlite("evaluate", tmp_path / "4", launcher=two).stdout == alone
    # To be continued, on two processes, with more epochs than it was begun with.
    more = ["--epochs", "2", "--resume"]
    assert main(["train", *more, str(tmp_path / "1")]) == 0
    tensorlite("train", *more, tmp_path / "4", launcher=two)
    assert bits(tmp_path / "1") == bits(tmp_path / "4")


@with_mpi
def test_more_processes_than_shards_are_refused_once(tmp_path):
    done = subprocess.run(
        [mpiexec(), "-n", "3", sys.executable, "-m", "tensorlite", *TRAIN, "--shards", "2"],
        capture_output=True,
        text=True,
        timeout=120,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": ROOT},
    )
    assert done.returncode != 0 and not list(tmp_path.iterdir())
    assert done.stderr.count("3 processes and 2 shards: each process computes at least one") == 1


@pytest.fixture
def world():
    """Sets how many shards this one process cuts a batch into."""
    before = ranks.world()
    yield lambda shards: ranks.set_world(ranks.World(shards=shards))
    ranks.set_world(before)


def test_steps_are_those_of_the_mean_over_all_that_counts(world):
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(23, 3)), rng.normal(size=(23, 2))
    y[rng.random(y.shape) < 0.4] = np.nan  # what is unknown counts nothing
    y[:, 0] = 1.0
    data = TensorDataset(x, np.nan_to_num(y, nan=-9.0))

    def known(target):
        return (target > -8).double()

    def loss(output, target):
        return (((output - target) ** 2) * known(target)).sum() / known(target).sum()

    results = []
    for shards in (1, 4):
        world(shards)
        tl.manual_seed(0)
        model = nn.Linear(3, 2, dtype="float64")
        trainer = Trainer(
            model,
            tl.optim.SGD(model.named_parameters(), lr=0.1, momentum=0.9),
            loss,
            weight=lambda x, y: known(y).sum(),
            accumulate=3,  # batches of 4: the last of 6 has 3 samples
            clip_norm=0.5,
            callbacks=(),
            device="cpu",
        )
        trainer.fit(DataLoader(data, 4), DataLoader(data, 5), epochs=2)
        flat = np.append(model.weight.detach().numpy(), model.bias.detach().numpy())
        history = trainer.history[-1]
        results.append([*flat, history["train_loss"], history["val_loss"]])
    np.testing.assert_allclose(*results, rtol=1e-6)  # the losses of batches are kept in float32
    np.testing.assert_allclose(results[0][:8], results[1][:8], rtol=1e-12)
    weight, bias = np.zeros((2, 3)), np.zeros(2)  # the same by hand
    tl.manual_seed(0)
    start = nn.Linear(3, 2, dtype="float64")
    weight, bias = start.weight.detach().numpy().copy(), start.bias.detach().numpy().copy()
    moments = [np.zeros_like(weight), np.zeros_like(bias)]
    for _ in range(2):
        for part in (slice(0, 12), slice(12, 23)):
            counts = ~np.isnan(y[part])
            error = np.where(counts, x[part] @ weight.T + bias - np.nan_to_num(y[part]), 0.0)
            grads = [2 * error.T @ x[part] / counts.sum(), 2 * error.sum(0) / counts.sum()]
            norm = np.sqrt(sum((g**2).sum() for g in grads))
            for value, grad, moment in zip((weight, bias), grads, moments, strict=True):
                moment[...] = 0.9 * moment + grad * min(1.0, 0.5 / (norm + 1e-6))
                value -= 0.1 * moment
    np.testing.assert_allclose(results[0][:8], np.append(weight, bias), rtol=1e-7)


def test_a_loss_that_is_not_finite_names_its_shard(world):
    world(4)
    x = np.ones((32, 3), np.float32)
    model = nn.Linear(3, 1)

    def loss(output, target):
        return (output[:, 0] * target).mean() / (target.min() != 18).float()

    trainer = Trainer(
        model, tl.optim.SGD(model.named_parameters(), lr=0.1), loss, callbacks=(), device="cpu"
    )
    data = TensorDataset(x, np.arange(32, dtype=np.float32))
    with pytest.raises(FloatingPointError, match=r"in batch 2 of epoch 1 \(in shard 2 of 4\)"):
        trainer.fit(DataLoader(data, 12))  # shards of 3: the third of the second begins at 18


def test_capture_is_off_with_a_reason(world):
    world(2)
    model = nn.Linear(3, 1)
    optimizer = tl.optim.SGD(model.named_parameters(), lr=0.1)
    trainer = Trainer(model, optimizer, nn.functional.mse_loss, device="cpu")
    assert trainer.not_captured == "a step goes through 2 shards"
    loader = DataLoader(TensorDataset(np.ones((9, 3), np.float32), np.ones((9, 1), np.float32)), 4)
    trainer.fit(loader)
    assert trainer.evaluate(loader)["loss"] < 9  # one that is cut gives its batches whole here
    with pytest.raises(ValueError, match="capture='on': a step goes through 2 shards"):
        Trainer(model, optimizer, nn.functional.mse_loss, device="cpu", capture="on")
