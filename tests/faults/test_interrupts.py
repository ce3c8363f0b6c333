"""Ctrl-C at any instant from the start of the command on: one line, and no traceback."""

import collections
import os
import random
import signal
import subprocess
import sys
import time

import pytest
from runs import ROOT

SCRIPT = "import sys; from tensorlite_command import main; sys.exit(main())"  # as pip writes it
COMMANDS = {"tensorlite": ["-c", SCRIPT], "python -m tensorlite": ["-m", "tensorlite"]}


def interrupted(command, seconds, folder):
    """Start to train, interrupt, and return the status and what was said."""
    train = ["train", "--device", "cpu", "--out", str(folder)]
    process = subprocess.Popen(
        [sys.executable, *COMMANDS[command], *train],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    time.sleep(seconds)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=120)
    return process.returncode, said


@pytest.mark.parametrize("tries", [4, pytest.param(100, marks=pytest.mark.slow_faults)])
@pytest.mark.parametrize("command", COMMANDS)
def test_an_interrupt_at_the_start_is_one_line(command, tries, tmp_path, record_property):
    """What Python says of its own start, before any line of ours runs, is Python's affair."""
    draw = random.Random(5)
    found = collections.Counter()
    for number in range(tries):
        status, said = interrupted(command, draw.uniform(0, 1.5), tmp_path / str(number))
        if "Traceback" in said and "tensorlite" not in said:
            found["Python's own start"] += 1
            continue
        assert "Traceback" not in said and "Exception ignored" not in said, said
        if status == -signal.SIGINT:
            found["before Python's start"] += 1
            continue
        assert status == 130, said
        lines = said.strip().splitlines()
        assert lines[-1] == "interrupted" or lines[-1].startswith("stopped; continue with: "), said
        found["told in a line"] += 1
    record_property(f"SIGINT, {command}", f"{dict(found)} of {tries}, 0 tracebacks of ours")


def test_an_interrupt_that_is_ignored_stays_so(tmp_path):
    """As under nohup, or in the background of a shell that is no terminal's."""
    code = (
        "import signal; signal.signal(signal.SIGINT, signal.SIG_IGN)\n"
        "import tensorlite_command\n"
        "tensorlite_command.ready(); print(signal.getsignal(signal.SIGINT) is signal.SIG_IGN)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "True\n"


def test_the_package_alone_leaves_interrupts_as_they_are():
    code = (
        "import signal, tensorlite\n"
        "print(signal.getsignal(signal.SIGINT) is signal.default_int_handler)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, "-m", "tensorlite"],
        capture_output=True,
        text=True,
        check=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    assert done.stdout == "True\n"
