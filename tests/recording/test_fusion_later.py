"""Captured calls while the compiler makes their kernels: the same bits before and afterwards."""

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from captured import training

import tensorlite as tl
from tensorlite.backend import background
from tensorlite.backend.kernels.unavailable import SourceRefused
from tensorlite.recording import reading


class Compiler:
    """Stands before the compiler, which waits until it is let on."""

    def __init__(self, monkeypatch):
        self.go, self.asked, self.process = threading.Event(), 0, os.getpid()
        original = reading.generated

        def generated(text, services):
            self.asked += 1
            assert os.getpid() != self.process or self.go.wait(60)
            return original(text, services)

        monkeypatch.setattr(reading, "generated", generated)


@pytest.fixture
def compiler(host, at_once, monkeypatch):
    monkeypatch.undo()  # what `at_once` did
    waits = Compiler(monkeypatch)
    yield waits
    waits.go.set()


def names(step):
    return [line.name for line in step.recordings[-1].lines()]


def is_fused(step):
    return any(name.startswith("fused[") for name in names(step))


def formula(x):
    return tl.tanh(x * 2 + 1) * x - 0.5


@pytest.mark.parametrize(("kind", "how"), [("gpt", "plain"), ("lstm", "scaled")])
def test_steps_are_eagers_before_the_swap_and_after_it(compiler, kind, how):
    found = []
    for captured in (False, True):
        model, _, step, data = training(kind, how, captured)
        rng, losses = np.random.default_rng(0), []
        for i in range(9):
            if captured and i == 5:
                assert not is_fused(step) and "not fused yet" in str(step.recordings[0])
                compiler.go.set()
                assert step.wait()
            losses.append(step(*map(tl.tensor, data(rng)))["loss"].item())
        found.append((losses, [p.detach().numpy().tobytes() for p in model.parameters()]))
        if captured:
            assert is_fused(step) and "not fused" not in str(step.recordings[0])
            assert step.recordings[0].replays >= 6
    assert found[0] == found[1]


def test_a_call_takes_what_is_ready_without_being_asked(compiler):
    step = tl.capture(formula)
    xs = [tl.randn(40) for _ in range(6)]
    expected = [formula(x).numpy().tobytes() for x in xs]
    assert [step(x).numpy().tobytes() for x in xs] == expected
    recording = step.recordings[0]
    memory = recording.memory
    compiler.go.set()
    assert recording.wait(60)
    assert not is_fused(step)
    assert [step(x).numpy().tobytes() for x in xs] == expected
    assert is_fused(step)
    assert recording.memory[0] < memory[0]  # what the log kept for it is given back


def test_a_compiler_that_takes_forever_is_not_waited_for(compiler):
    step = tl.capture(formula)
    for i in range(4):
        assert compiler.asked == 0 or i > 2  # what is never replayed needs no kernels
        step(tl.ones(30))
    assert not step.wait(0.01)
    assert step.recordings[0].replays == 2 and not is_fused(step)


def test_a_compiler_that_fails_is_told_of_once(compiler, monkeypatch, capsys):
    def refused(text, services):
        raise SourceRefused("g++ failed: no such thing")

    monkeypatch.setattr(reading, "generated", refused)
    steps = [tl.capture(formula), tl.capture(lambda x: formula(x) * 2)]
    for step in steps:
        for _ in range(3):
            step(tl.ones(30))
        assert step.wait()
        y = step(tl.ones(30))
        assert not is_fused(step)
        assert "not fused: g++ failed: no such thing" in str(step.recordings[0])
    assert y.numpy().tobytes() == (formula(tl.ones(30)) * 2).numpy().tobytes()
    assert capsys.readouterr().err.count("no such thing") == 1


def test_several_functions_wait_for_one_compiler(compiler):
    steps = [tl.capture(lambda x, i=i: formula(x) + i * 0.25) for i in range(3)]

    def calls(step, i, found):
        found[i] = [step(tl.full((20 + i,), 0.1 * n)).numpy().tobytes() for n in range(4)]

    found = [{}, {}]
    for round in range(2):
        if round:
            compiler.go.set()
            assert all(step.wait() for step in steps)
        each = [
            threading.Thread(target=calls, args=(step, i, found[round]))
            for i, step in enumerate(steps)
        ]
        [thread.start() for thread in each]
        [thread.join() for thread in each]
    assert found[0] == found[1] and len(found[0]) == 3
    # One text serves all, and one thread asks for it.
    assert all(map(is_fused, steps)) and compiler.asked == 3


def test_a_fork_waits_for_a_compiler_of_its_own(compiler):
    step = tl.capture(formula)
    x = tl.linspace(-1, 1, 50)
    for _ in range(3):
        expected = step(x).numpy().tobytes()
    child = os.fork()
    if child == 0:
        right = False
        try:
            right = step.wait(60) and is_fused(step) and step(x).numpy().tobytes() == expected
        finally:
            os._exit(0 if right else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert not is_fused(step)  # the parent's compiler waits on


def test_without_another_thread_the_call_compiles_itself(compiler, monkeypatch):
    def refused(thread):
        raise RuntimeError("can't start new thread")

    compiler.go.set()
    while background._worker.thread is not None:  # of a test before
        time.sleep(0.01)
    monkeypatch.setattr(threading.Thread, "start", refused)
    step = tl.capture(formula)
    for _ in range(4):
        y = step(tl.ones(30))
    assert is_fused(step) and y.numpy().tobytes() == formula(tl.ones(30)).numpy().tobytes()


PROGRAM = """
import sys
import tensorlite as tl
from tensorlite.backend.kernels import generated
compiler, extension = ("sh", sys.argv[1]), generated.place()[1]
generated.place = lambda: (compiler, extension)
step = tl.capture(lambda x: tl.tanh(x * 3 + 1) * x)
while not generated.Path(sys.argv[2]).exists():
    step(tl.ones(10))
print(step.recordings[0])
"""


def test_a_process_ends_in_the_middle_of_a_compilation(host, tmp_path):
    """Neither the compiler nor a file of its is left over."""
    script, pids, temporary = tmp_path / "slow.sh", tmp_path / "pids", tmp_path / "temporary"
    temporary.mkdir()
    script.write_text(
        f'[ "$1" = --version ] && exit\nsleep 60 & echo $$ $! > {pids}.new\n'
        f"mv {pids}.new {pids}; wait\n"
    )
    ran = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(script), str(pids)],
        env=os.environ | {"TMPDIR": str(temporary)},
        capture_output=True,
        text=True,
        timeout=50,
    )
    assert ran.returncode == 0, ran.stderr
    assert "not fused yet" in ran.stdout and "Error" not in ran.stderr
    for pid in pids.read_text().split():
        deadline = time.monotonic() + 10
        while _is_alive(pid) and time.monotonic() < deadline:
            time.sleep(0.02)
        assert not _is_alive(pid)
    assert not [path for path in temporary.rglob("*") if "fused" in path.name]


def _is_alive(pid: str) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
