"""Threads: how many there are, what they leave alone, and the end of the process beside them."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

import tensorlite as tl
from tensorlite.backend import HOST
from tensorlite.backend.kernels.openblas import blas_threads
from tensorlite.backend.machine import usable_cores, usable_memory


def run(code, *, before=(), **options):
    """Run it in a process of its own."""
    command = [*before, sys.executable, "-W", "ignore::DeprecationWarning", "-c", code]
    return subprocess.run(command, capture_output=True, text=True, timeout=250, **options)


def group(root, files, cgroup):
    (root / "proc/self").mkdir(parents=True)
    (root / "proc/self/cgroup").write_text(cgroup)
    for name, text in files.items():
        path = root / "sys/fs/cgroup" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


@pytest.mark.parametrize(
    ("files", "cgroup", "cores"),
    [
        ({}, "", None),
        ({"a/b/cpu.max": "max 100000\n"}, "0::/a/b\n", None),
        ({"a/b/cpu.max": "100000 100000\n"}, "0::/a/b\n", 1),
        ({"a/cpu.max": "150000 100000\n", "a/b/cpu.max": "max 100000"}, "0::/a/b\n", 1),
        ({"cpu.max": "50000 100000\n"}, "0::/\n", 1),
        (
            {"cpu/x/cpu.cfs_quota_us": "100000", "cpu/x/cpu.cfs_period_us": "100000"},
            "4:memory:/y\n1:cpu:/x\n0::/\n",
            1,
        ),
        ({"cpu/x/cpu.cfs_quota_us": "-1", "cpu/x/cpu.cfs_period_us": "100000"}, "1:cpu:/x\n", None),
        ({"a/cpu.max": "nonsense\n"}, "0::/a\n", None),
    ],
)
def test_cores_follow_the_groups_quota(tmp_path, files, cgroup, cores):
    assert usable_cores(group(tmp_path, files, cgroup)) == (
        cores or usable_cores(tmp_path / "none")
    )


@pytest.mark.parametrize(
    ("files", "cgroup"),
    [
        ({"a/memory.max": "1000000"}, "0::/a/b\n"),
        ({"memory/a/memory.limit_in_bytes": "1000000"}, "3:memory:/a\n"),
    ],
)
def test_memory_follows_the_groups_limit(tmp_path, files, cgroup):
    assert usable_memory(group(tmp_path, files, cgroup)) == 1000000
    assert usable_memory(tmp_path / "none") > 1000000


@pytest.fixture
def pool():
    if HOST.kernels is None:
        pytest.skip("the pool belongs to the compiled kernels")
    yield HOST.kernels
    tl.set_num_threads(None)


@pytest.mark.skipif(sys.platform != "linux", reason="affinity as Linux has it")
def test_threads_follow_affinity_at_import_and_when_asked(pool):
    code = "import os, tensorlite as tl; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})\n"
    at_import = run(code + "print(tl.get_num_threads())")
    assert at_import.stdout == "1\n", at_import.stderr
    asked = run(
        "import tensorlite as tl; before = tl.get_num_threads(); tl.set_num_threads(1)\n"
        "tl.set_num_threads(None); assert tl.get_num_threads() == before\n"
        + code
        + "tl.set_num_threads(None); print(tl.get_num_threads())"
    )
    assert asked.stdout == "1\n", asked.stderr


@pytest.mark.parametrize("count", [257, 2**31, 2**40, 2**70])
def test_more_threads_than_there_can_be_are_refused(pool, count):
    before = tl.get_num_threads()
    with pytest.raises(ValueError, match=f"at most 256 threads, not {count}"):
        tl.set_num_threads(count)
    assert tl.get_num_threads() == before


def test_many_threads_on_few_cores_compute_the_same(pool):
    x = tl.randn(500, 300)
    wanted = (x @ x.mT).numpy()
    tl.set_num_threads(64)
    assert tl.get_num_threads() == 64
    np.testing.assert_array_equal((x @ x.mT).numpy(), wanted)


def test_numpys_own_products_keep_their_threads(pool):
    code = (
        "from tensorlite.backend.kernels.openblas import blas_threads; import tensorlite as tl\n"
        "before = blas_threads(); x = tl.randn(64, 64); x @ x; tl.set_num_threads(1)\n"
        "print(before == blas_threads())"
    )
    done = run(code)
    assert done.stdout == "True\n", done.stderr
    assert blas_threads() is None or blas_threads() >= 1


DAEMONS = """
import sys, threading, time, tensorlite as tl
from tensorlite import nn
model = nn.Sequential(nn.Linear(300, 300), nn.ReLU(), nn.Linear(300, 300))
started = [threading.Event() for _ in range(3)]
def work(event, rows):
    x = tl.randn(rows, 300)
    while True:
        model(x).sum().backward()
        event.set()
for event, rows in zip(started, (2, 64, 400)):
    threading.Thread(target=work, args=(event, rows), daemon=True).start()
for event in started: event.wait(60)
time.sleep(float(sys.argv[1]))
"""


@pytest.mark.parametrize("delay", [0, 0.003, 0.011])
def test_the_process_ends_while_daemon_threads_compute(pool, delay):
    command = [sys.executable, "-c", DAEMONS, str(delay)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=250)
    assert (done.returncode, done.stderr) == (0, "")


FORKS = """
import os, threading, tensorlite as tl
from tensorlite import nn
tl.manual_seed(0)
model, x = nn.Linear(400, 400), tl.randn(300, 400)
wanted = model(x).detach().numpy().tobytes()
stop = []
def work():
    while not stop:
        assert model(x).detach().numpy().tobytes() == wanted
threads = [threading.Thread(target=work) for _ in range(2)]
[t.start() for t in threads]
for _ in range(12):
    child = os.fork()
    if not child:
        for _ in range(3): assert model(x).detach().numpy().tobytes() == wanted
        tl.empty_cache()
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
stop.append(1)
[t.join() for t in threads]
print("done")
"""


def test_forks_beside_threads_that_compute(pool):
    done = run(FORKS)
    assert done.stdout == "done\n", done.stderr
