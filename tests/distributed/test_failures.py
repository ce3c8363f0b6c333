"""Something goes wrong on one process: all end, and it is named, with its line and the file."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from launching import HAS_MPI, WITHOUT, mpiexec, run

pytestmark = pytest.mark.skipif(not HAS_MPI, reason=WITHOUT)

AT_START = {
    "seed": r"rank 1 differs from rank 0 in its (seed|initial)",
    "model": r"rank 1 differs from rank 0 in its model: 'linear.weight \(5, 3\) float32' there",
    "dtype": r"rank 1 differs .* its model: 'linear.weight \(4, 3\) float64' there",
    "code": r"rank 1 differs from rank 0 in its code of tensorlite: 'another' there and '\w+'",
    "length": r"rank 1 differs from rank 0 in its loader's samples: 30 there and 32",
    "settings": r"rank 1 differs from rank 0 in its settings of the optimizer: lr is '0.2' there",
}
LATER = {
    "forward": r"rank 1 of 2 raised ValueError at .*faults.py:54 after 0 steps: no forward here",
    "backward": r"rank 1 of 2 raised ArithmeticError at .*faults.py:44 after 0 steps: no backward",
    "loader": r"rank 1 of 2 raised OSError at .*faults.py:33 after 0 steps: the disk is gone",
    "kill": r"rank 1 of 2 \(process \d+\) was killed after \d steps at .*faults.py:\d+",
    "stop": r"rank 1 (is behind: after|of 2 \(.*\) has been stopped for 4 s after) 2 steps at",
    "leave": r"rank 1 has left the program after 2 steps.*, and rank 0 waits for it",
    "hang": r"rank 0 waited 4 s for .*: rank 1 is behind: after 2 steps at .*faults.py:74",
}


@pytest.mark.parametrize("what", [*AT_START, *LATER])
def test_a_fault_ends_all(what, tmp_path):
    file = tmp_path / "model.safetensors"
    done = run(2, "faults.py", what, file)
    assert done.returncode != 0
    assert "came to the end" not in done.stdout
    assert re.search((AT_START | LATER)[what], done.stderr), done.stderr
    if what in ("stop", "leave", "hang"):
        assert f"the last checkpoint is {file}" in done.stderr
    # MPICH leaves its shared memory there.
    segments = re.findall(r"/dev/shm/mpich\w+", done.stdout)
    assert not any(Path(segment).exists() for segment in segments)
    assert len(re.findall("^tensorlite: ", done.stderr, re.MULTILINE)) == 1  # said once


@pytest.mark.parametrize("late", [False, True])
def test_the_first_that_ended_is_named_and_the_others_are_ended(late):
    """What `watch` reads, and whom it ends: on a busy machine, too, where it comes late."""
    from tensorlite.distributed.table import Table

    file = os.memfd_create("table")
    os.ftruncate(file, 2 * 2048)
    table = Table(file)
    sleeper = [sys.executable, "-c", "import time; time.sleep(60)"]
    pipes = [os.pipe(), os.pipe()]
    first, second = (subprocess.Popen(sleeper, pass_fds=[pipe[1]]) for pipe in pipes)
    ends = [f"{p.pid}:{pipe[0]}" for p, pipe in zip((first, second), pipes, strict=True)]
    for row, process in enumerate((first, second)):
        facts = {"rank": row + 4, "pid": process.pid, "steps": 7, "at": "net.py:3"}
        table.write(row, facts | {"checkpoint": "runs/a/last.safetensors"})
    script = Path(sys.modules[Table.__module__].__file__).with_name("watch.py")
    watch = subprocess.Popen(
        [sys.executable, "-I", "-S", str(script), str(file), "6", *ends],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        pass_fds=[file, pipes[0][0], pipes[1][0]],
    )
    assert watch.stdout.readline() == "ready\n"
    if late:
        time.sleep(0.1)  # until it waits
        watch.send_signal(signal.SIGSTOP)
    second.kill()
    if late:  # it is kept waiting until all have ended, and what it waits for is out of time
        second.wait()
        first.kill()
        time.sleep(0.4)
        watch.send_signal(signal.SIGCONT)
    said = watch.communicate(timeout=30)[1]
    assert said == (
        f"tensorlite: rank 5 of 6 (process {second.pid}) was killed after 7 steps at net.py:3; "
        "the last checkpoint is runs/a/last.safetensors\n"
    )
    assert first.wait(timeout=30) == -signal.SIGKILL
    second.wait()
    for pipe in pipes:
        os.close(pipe[0]), os.close(pipe[1])


def test_ctrl_c_on_the_launcher_saves_once(tmp_path):
    command = [sys.executable, "-m", "tensorlite", "train", "digits", "--epochs", "9000"]
    command += ["--out", "run", "--batch-size", "200", "--val-fraction", "0", "--patience", "9000"]
    root = str(Path(__file__).parents[2])
    process = subprocess.Popen(
        [mpiexec(), "-n", "2", *command],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": root},
    )
    for line in process.stdout:
        if line.strip().startswith("1/9000"):
            break
    process.send_signal(signal.SIGINT)
    try:
        _, err = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 130, err
    assert err.count("stopping after this batch") == 1
    assert err.count("stopped; continue with: tensorlite train --resume run") == 1
    assert "Traceback" not in err and "raised" not in err
    assert (tmp_path / "run" / "last.safetensors").exists()
