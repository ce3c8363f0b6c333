"""A rank is killed at any time; on another number of ranks the run goes on to the same bits."""

from __future__ import annotations

import contextlib
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from tensorlite.training import load_checkpoint

mpi4py = pytest.importorskip("mpi4py", reason='needs pip install "tensorlite[mpi]"')
ROOT = str(Path(__file__).parents[2])
BESIDE = shutil.which("mpiexec", path=str(Path(sys.executable).parent))
TRAIN = ["train", "digits", "--model", "cnn", "--epochs", "3", "--batch-size", "100"]
TRAIN += ["--shards", "4", "--save-every", "2", "--patience", "9"]
pytestmark = pytest.mark.slow_faults


def start(ranks: int, *arguments: str) -> subprocess.Popen:
    command = [BESIDE or "mpiexec", "-n", str(ranks), sys.executable, "-m", "tensorlite"]
    return subprocess.Popen(
        [*command, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": ROOT},
    )


def finished(ranks: int, *arguments: str) -> None:
    process = start(ranks, *arguments)
    _, err = process.communicate(timeout=200)
    assert process.returncode == 0, err


def ranks_of(mpiexec: int) -> list[int]:
    """The processes of the ranks: those below mpiexec's own."""
    below: dict[int, list[int]] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            is_rank = b"tensorlite" in (folder / "cmdline").read_bytes()
        except OSError:
            continue
        below.setdefault(parent, []).append(int(folder.name) if is_rank else -int(folder.name))
    proxies = [abs(pid) for pid in below.get(mpiexec, [])]
    return sorted(pid for proxy in proxies for pid in below.get(proxy, []) if pid > 0)


def bits(folder: Path) -> dict:
    checkpoint = load_checkpoint(folder / "last.safetensors")
    for record in checkpoint["history"]:
        del record["seconds"], record["samples_per_second"]
    found = {key: checkpoint[key] for key in ("history", "rng", "stopping", "schedule", "loader")}
    found |= {name: value.numpy().tobytes() for name, value in checkpoint["model"].items()}
    for number, state in checkpoint["optimizer"]["state"].items():
        found |= {f"{number} {k}": np.asarray(v.array).tobytes() for k, v in state.items()}
    return found


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """What a run comes to that nobody kills, and how long it trains."""
    folder = tmp_path_factory.mktemp("whole") / "run"
    process = start(2, *TRAIN, "--out", str(folder))
    while not (folder / "last.safetensors").exists():
        time.sleep(0.01)
    begun = time.monotonic()
    _, err = process.communicate(timeout=200)
    assert process.returncode == 0, err
    return bits(folder), time.monotonic() - begun


def watcher_of(rank: int) -> int:
    """The process that watches the ranks of a run."""
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            words = (folder / "cmdline").read_bytes().decode().split("\0")
            watched = [word.partition(":")[0] for word in words[5:]]
            if len(words) > 5 and words[3].endswith("watch.py") and str(rank) in watched:
                return int(folder.name)
    raise AssertionError("nobody watches the ranks")


@pytest.mark.parametrize("seed", range(20))
def test_a_rank_is_killed(seed, whole, tmp_path):
    draw = random.Random(seed)
    before, after = draw.choice([(4, 2), (2, 4), (4, 1), (2, 1)])
    expected, seconds = whole
    folder = tmp_path / "run"
    process = start(before, *TRAIN, "--out", str(folder))
    while not (folder / "last.safetensors").exists():
        assert process.poll() is None, process.communicate()
        time.sleep(0.01)
    time.sleep(draw.uniform(0, 0.6 * seconds))
    pids = ranks_of(process.pid)
    assert len(pids) == before
    victim, watcher = draw.choice(pids), watcher_of(pids[0])
    late = draw.choice([0.0, 0.0, 0.5, 2.0])  # as on a busy machine, where others run first
    if late:
        os.kill(watcher, signal.SIGSTOP)
    os.kill(victim, signal.SIGKILL)
    killed = time.monotonic()
    if late:
        time.sleep(late)
        os.kill(watcher, signal.SIGCONT)
    out, err = process.communicate(timeout=60)
    assert time.monotonic() - killed < 10
    assert process.returncode != 0
    assert "written to" not in out, "the run had come to its end already: kill it earlier"
    said = rf"tensorlite: rank \d of {before} \(process {victim}\) was killed after \d+ steps .*"
    assert re.search(said + "the last checkpoint is .*last.safetensors", err), err
    assert err.count("tensorlite: ") == 1, err
    finished(after, "train", "--resume", str(folder))
    assert bits(folder) == expected
