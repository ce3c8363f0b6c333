"""Runs in processes of their own, to be ended from outside, and what they left."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from tensorlite.training import load_checkpoint

ROOT = Path(__file__).parents[2]
LEFT = {"best.safetensors", "last.safetensors", "history.jsonl"}
JUDGED = LEFT | {"summary.json", "loss.png"}

# A model of 12 MB with its optimizer, saved after every batch: most of the time a file is written.
PROGRAM = """
import sys
import numpy as np
import tensorlite as tl
from tensorlite import nn
from tensorlite.data import DataLoader, TensorDataset
from tensorlite.training import Trainer

out, resume = sys.argv[1], sys.argv[2] == "resume"
tl.manual_seed(5)
rng = np.random.default_rng(0)
features = rng.normal(size=(120, 40)).astype(np.float32)
labels = (features.sum(1) > 0).astype(np.int64)
data = TensorDataset(features, labels)
model = nn.Sequential(
    nn.Linear(40, 1000), nn.BatchNorm1d(1000), nn.ReLU(), nn.Dropout(0.5), nn.Linear(1000, 1000),
    nn.ReLU(), nn.Linear(1000, 2),
)
optimizer = tl.optim.Adam(model.named_parameters(), lr=1e-3)
trainer = Trainer(
    model, optimizer, nn.functional.cross_entropy, callbacks=(), device="cpu", out=out,
    save_every=1, patience=20, capture="on",
)
loader = DataLoader(data, 8, shuffle=True, num_workers=1)
trainer.fit(loader, DataLoader(data, 60), epochs=3, resume=resume)
"""

SETUPS = {
    "digits": ["digits", "--epochs", "3", "--batch-size", "128", "--save-every", "4"],
    "diabetes": [
        *("diabetes", "--epochs", "20", "--save-every", "1", "--optimizer", "sgd"),
        *("--schedule", "one-cycle"),
    ],
    "text": ["song.txt", "--epochs", "2", "--batch-size", "8", "--save-every", "0.02s"],
    "program": None,
}


def started(setup, out, resume=False, kernels="auto", **options):
    """Begin a run of a set-up, or go on with it."""
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    if kernels == "reference":
        env["TENSORLITE_KERNELS"] = "reference"
    if SETUPS[setup] is None:
        command = [sys.executable, "-c", PROGRAM, str(out), "resume" if resume else "begin"]
    else:
        Path(out.parent, "song.txt").write_text("la la lalala, lo lo lololo! " * 60)
        train = ["--resume", str(out)] if resume else [*SETUPS[setup], "--out", str(out)]
        command = [sys.executable, "-m", "tensorlite", "train", "--device", "cpu", *train]
    pipes = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE, "text": True, **options}
    # Its own session: workers and compilers are ended with it, as a shell or container does.
    return subprocess.Popen(command, env=env, cwd=out.parent, start_new_session=True, **pipes)


def finished(process, limit=240):
    """Wait for the end; return the status and what it said."""
    _, said = process.communicate(timeout=limit)
    return process.returncode, said


def kill(process):
    """End a process and its children with SIGKILL, and wait until it is gone."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    process.stderr.close()


def resumable(out):
    return (out / "last.safetensors").exists()


def wait_for(condition, limit=60):
    """Wait until something is so."""
    end = time.monotonic() + limit
    while not condition():
        assert time.monotonic() < end, "it did not come about"
        time.sleep(0.002)


def state_of(out):
    """Everything that a finished run left but the time it took; and its history."""
    checkpoint = load_checkpoint(out / "last.safetensors")
    history = [json.loads(line) for line in (out / "history.jsonl").read_text().splitlines()]
    assert history == checkpoint["history"]
    for record in history:
        del record["seconds"], record["samples_per_second"]
    del checkpoint["history"], checkpoint["progress"]
    if "settings" in checkpoint["metadata"]:
        del checkpoint["metadata"]["settings"]["dataset"]  # a path, in a folder of each test
    best = load_checkpoint(out / "best.safetensors")["model"]
    plain = json.dumps([checkpoint, best], default=lambda tensor: tensor.numpy().tobytes().hex())
    return history, plain


def left_in(out):
    return {path.name for path in out.iterdir()}
