"""Several processes in one run's folder and in one cache, and signals to one of them."""

import hashlib
import http.server
import json
import os
import signal
import subprocess
import sys
import threading
import time

import pytest
from runs import JUDGED, LEFT, ROOT, finished, kill, left_in, started, state_of, wait_for

from tensorlite.backend.locks import FileLock, InUse
from tensorlite.training import RunFolder


@pytest.fixture
def kernels(pytestconfig):
    return pytestconfig.getoption("--kernels")


def python(code, *args, **options):
    env = {**os.environ, "PYTHONPATH": str(ROOT), **options.pop("env", {})}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen([sys.executable, "-c", code, *args], env=env, **pipes, **options)


# --- one folder -----------------------------------------------------------------------------------


@pytest.mark.slow_faults
@pytest.mark.parametrize("resume", [False, True])
def test_only_one_of_four_processes_trains_in_a_folder(resume, tmp_path, kernels):
    out = tmp_path / "run"
    if resume:
        process = started("diabetes", out, kernels=kernels)
        wait_for(lambda: (out / "best.safetensors").exists())
        kill(process)
    began = [started("diabetes", out, resume, kernels) for _ in range(4)]
    ends = [finished(process) for process in began]
    statuses = [status for status, _ in ends]
    assert statuses.count(0) >= 1, ends
    others = [said for status, said in ends if status]
    for said in others:
        # Who comes when the run is done already is told that.
        assert "is in use, by process " in said or "holds a run already" in said, said
        assert said.count("\n") <= 1
    assert left_in(out) <= JUDGED
    history, _ = state_of(out)
    assert [record["epoch"] for record in history] == list(range(1, len(history) + 1))


def test_the_second_is_told_who_is_there(tmp_path, kernels):
    out = tmp_path / "run"
    first = started("program", out, kernels=kernels)
    wait_for(lambda: (out / "last.safetensors").exists())
    os.kill(first.pid, signal.SIGSTOP)  # else it may be through before the second one looks
    status, said = finished(started("program", out, True, kernels))
    os.kill(first.pid, signal.SIGCONT)
    assert status == 1
    assert f"is in use, by process {first.pid} on {os.uname().nodename}" in said
    assert finished(first)[0] == 0
    assert left_in(out) == LEFT


def test_a_lock_goes_with_its_process_and_not_to_its_children(tmp_path):
    code = (
        "import os, sys, time\n"
        "from tensorlite.backend.locks import FileLock\n"
        "with FileLock(sys.argv[1], 'it is in use'):\n"
        "    read, write = os.pipe()\n"
        "    if os.fork() == 0:\n"
        "        os.write(write, b'!')\n"
        "        time.sleep(60)\n"
        "    os.read(read, 1)\n"  # the child runs
        "    print('held', flush=True)\n"
        "    time.sleep(60)\n"
    )
    path = tmp_path / "lock"
    process = python(code, str(path), start_new_session=True)
    try:
        assert process.stdout.readline() == "held\n"
        with pytest.raises(InUse, match=f"it is in use, by process {process.pid} on"):
            FileLock(path, "it is in use").__enter__()
        process.kill()
        process.wait()
        assert path.exists()  # left over; its child lives on
        with FileLock(path, "it is in use"):
            assert json.loads(path.read_text())["process"] == os.getpid()
    finally:
        kill(process)
        process.stdout.close()
    assert not path.exists()


def test_a_lock_is_taken_again_by_its_own_thread_alone(tmp_path):
    lock = FileLock(tmp_path / "lock", "it is in use")
    said = []

    def other():
        try:
            with FileLock(tmp_path / "lock", "it is in use"):
                said.append("taken")
        except InUse as error:
            said.append(str(error))

    with lock, FileLock(tmp_path / "lock", "it is in use"):
        thread = threading.Thread(target=other)
        thread.start()
        thread.join()
    assert len(said) == 1 and "by another thread of this process" in said[0]
    assert not (tmp_path / "lock").exists()


def test_a_lock_without_the_systems_help(tmp_path, monkeypatch):
    """Where there is no flock, a lock of a process that is gone is stale."""
    monkeypatch.setattr("tensorlite.backend.locks.fcntl", None)
    path = tmp_path / "lock"
    gone = python("pass")
    gone.communicate()
    path.write_text(json.dumps({"host": os.uname().nodename, "process": gone.pid}))
    with FileLock(path, "busy"):
        pass
    for host, process in ((os.uname().nodename, os.getppid()), ("elsewhere", gone.pid)):
        path.write_text(json.dumps({"host": host, "process": process}))
        with pytest.raises(InUse, match=f"busy, by process {process} on {host}"):
            FileLock(path, "busy").__enter__()


def test_waiting_is_said_and_has_an_end(tmp_path, monkeypatch, capfd):
    monkeypatch.setattr("tensorlite.backend.locks._PATIENT", 0.0)
    held = python(
        "import sys, time\nfrom tensorlite.backend.locks import FileLock\n"
        "with FileLock(sys.argv[1], 'x'):\n    print('held', flush=True)\n    time.sleep(60)",
        str(tmp_path / "lock"),
        start_new_session=True,
    )
    try:
        assert held.stdout.readline() == "held\n"
        with pytest.raises(InUse, match=f"busy after 0 s of waiting, by process {held.pid}"):
            FileLock(tmp_path / "lock", "busy", wait=0.2).__enter__()
        assert f"busy, by process {held.pid}" in capfd.readouterr().err
    finally:
        kill(held)
        held.stdout.close()


def test_links_are_not_followed(tmp_path):
    target = tmp_path / "precious"
    target.write_text("as it was")
    (tmp_path / "lock").symlink_to(target)
    with pytest.raises(OSError, match="is a link"):
        FileLock(tmp_path / "lock", "busy").__enter__()
    assert target.read_text() == "as it was"


def test_a_folder_with_nothing_but_a_killed_writers_files_is_free(tmp_path):
    out = tmp_path / "run"
    out.mkdir()
    (out / ".last.safetensors.123-0.partial").write_bytes(b"half")
    (out / ".lock").write_text('{"host": "x", "process": 1}')
    RunFolder(out).check_free()
    (out / ".notes").write_text("mine")
    with pytest.raises(FileExistsError, match="is not empty"):
        RunFolder(out).check_free()


# --- one cache ------------------------------------------------------------------------------------

LOAD = """
import hashlib, sys
from tensorlite.data import sources
from tensorlite.data.sources import FileSet
from pathlib import Path
sources.SYSTEM_FOLDER = Path("/nonexistent")
files = FileSet("toy", {"images": sys.argv[2]}, (sys.argv[1],), sizes={"images": 3000000})
print(hashlib.sha256(files.read()[0]["images"]).hexdigest())
"""


@pytest.mark.parametrize("processes", [2, pytest.param(4, marks=pytest.mark.slow_faults)])
def test_processes_that_want_the_same_data_download_it_once(processes, tmp_path):
    content = os.urandom(3_000_000)
    requests = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            requests.append(self.path)
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            for at in range(0, len(content), 300_000):
                self.wfile.write(content[at : at + 300_000])
                time.sleep(0.02)

        def log_message(self, *args):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        digest = hashlib.sha256(content).hexdigest()
        env = {"XDG_CACHE_HOME": str(tmp_path), "TENSORLITE_DATA": "", "no_proxy": "*"}
        url = f"http://127.0.0.1:{server.server_port}/"
        began = [python(LOAD, url, digest, env=env) for _ in range(processes)]
        for process in began:
            said, errors = process.communicate(timeout=120)
            assert said.strip() == digest, errors
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
    assert requests == ["/images"]
    folder = tmp_path / "tensorlite" / "data" / "toy"
    assert left_in(folder) == {"images", ".partial"} and not left_in(folder / ".partial")


# --- signals --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["SIGTERM", pytest.param("SIGHUP", marks=pytest.mark.slow_faults)])
def test_a_signal_saves_and_says_how_to_go_on(name, tmp_path, kernels):
    out = tmp_path / "run"
    process = started("text", out, kernels=kernels)
    wait_for(lambda: (out / "last.safetensors").exists())
    number = getattr(signal, name)
    process.send_signal(number)
    time.sleep(0.01)
    process.send_signal(number)  # whoever is impatient changes nothing
    status, said = finished(process)
    assert status == 128 + number, said
    assert said.count("stopping after this batch") == 1
    assert f"stopped; continue with: tensorlite train --resume {out}" in said
    assert "Traceback" not in said
    assert finished(started("text", out, True, kernels))[0] == 0
    whole = tmp_path / "whole"
    assert finished(started("text", whole, kernels=kernels))[0] == 0
    assert state_of(out) == state_of(whole)
    assert left_in(out) <= JUDGED


COMMAND = [sys.executable, "-m", "tensorlite"]


@pytest.mark.parametrize(
    ("line", "status"),
    [
        ("data >&-", 0),
        ("data | head -n 1", 1),
        ("data >/dev/full", 1),
        ("--help | head -n 1", 0),
    ],
)
def test_closed_and_full_streams(line, status, tmp_path):
    command, _, rest = line.partition(" ")
    shell = f"{sys.executable} -m tensorlite {command} {rest}"
    if "|" in rest:
        shell = f"set -o pipefail; {shell.replace('|', '| (sleep 0.5;', 1)})"
    done = subprocess.run(
        ["bash", "-c", shell],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        cwd=tmp_path,
        check=False,
    )
    assert "Traceback" not in done.stderr and "Exception ignored" not in done.stderr, done.stderr
    assert done.returncode in (0, status), done.stderr
    if "full" in line:
        assert done.returncode == 1 and done.stderr.count("\n") == 1


# --- the kernels' cache ---------------------------------------------------------------------------

COMPILE = """
from pathlib import Path
from tensorlite.backend.kernels import cache
from tensorlite.backend.kernels.unavailable import KernelsUnavailable
try:
    cache.build_native()
except KernelsUnavailable as error:
    print("none:", error)
"""


def test_a_kill_while_compiling_leaves_nothing_for_the_next(tmp_path):
    """A compiler that takes its time, and then one that fails: what is left is that it failed."""
    compiler = tmp_path / "cxx"
    compiler.write_text('#!/bin/sh\ncase "$*" in *--version*) exit 0;; esac\nsleep 60\n')
    compiler.chmod(0o755)
    env = {"XDG_CACHE_HOME": str(tmp_path / "cache"), "CXX": str(compiler)}
    folder = tmp_path / "cache" / "tensorlite" / "kernels"
    process = python(COMPILE, env=env, start_new_session=True)
    try:
        wait_for(lambda: list(folder.glob("building-*")))
    finally:
        kill(process)
        process.stdout.close()
    assert list(folder.glob("building-*"))
    compiler.write_text('#!/bin/sh\ncase "$*" in *--version*) exit 0;; esac\nexit 1\n')
    said, errors = python(COMPILE, env=env).communicate(timeout=120)
    assert said.startswith("none: cxx failed"), errors
    kinds = sorted(path.suffix or path.name for path in folder.iterdir())
    assert kinds == [".failed", "lock"]
