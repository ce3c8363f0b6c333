"""No memory: a MemoryError that says how much was asked for, and everything else as it was."""

import re
import subprocess
import sys
import textwrap

import numpy as np
import pytest

from tensorlite.backend import HOST
from tensorlite.backend.kernels.declarations import families

SIZE = re.compile(r"[\d.]+ (bytes|[KMGT]iB)")

KINDS = {
    "matmul": "a = r(900, 900); f = lambda: a @ a",
    "attention": "q = r(1, 2, 2048, 64); f = lambda: F.scaled_dot_product_attention(q, q, q)",
    "conv": "c = nn.Conv2d(64, 64, 3, padding=1); x = r(4, 64, 32, 32); f = lambda: c(x)",
    "strided conv": "c = nn.Conv2d(16, 64, 5, 2); x = r(4, 16, 64, 64); f = lambda: c(x)",
    "lstm": "l = nn.LSTM(700, 700); x = r(2, 2, 700); f = lambda: l(x)[0]",
    "softmax": "x = r(2, 1_000_000); f = lambda: F.softmax(x, -1)",
    "pad": "x = r(900_000); f = lambda: F.pad(x[None], (3, 3), mode='reflect')",
    "float16": "x = r(2, 900_000).half(); f = lambda: F.log_softmax(x, -1)",
}

LEAN = """
import resource, tensorlite as tl
from tensorlite import nn
import tensorlite.nn.functional as F

def used():
    return int(open("/proc/self/statm").read().split()[0]) * 4096

def within(extra, f):  # how f fares where `extra` bytes are left
    hard = resource.getrlimit(resource.RLIMIT_AS)[1]
    tl.empty_cache()
    resource.setrlimit(resource.RLIMIT_AS, (used() + extra, hard))
    try:
        return f()
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (hard, hard))

tl.manual_seed(0)
r = tl.randn
"""


def run(code, *arguments):
    """Run it in a process of its own, and return what it printed."""
    done = subprocess.run(
        [sys.executable, "-c", LEAN + textwrap.dedent(code), *arguments],
        capture_output=True,
        text=True,
        timeout=250,
    )
    assert done.returncode == 0, done.stderr[-2000:] or done.returncode
    return done.stdout


@pytest.fixture
def host_kernels():
    if HOST.kernels is None:
        pytest.skip("memory is kept by the compiled kernels")
    return HOST.kernels


linux = pytest.mark.skipif(sys.platform != "linux", reason="RLIMIT_AS is Linux'")


@linux
@pytest.mark.parametrize("kind", KINDS)
def test_a_kernel_without_memory_raises_and_works_again(kind, host_kernels):
    out = run(
        """
small = nn.Linear(64, 64)(r(64, 64)).sum().backward()  # the pool's threads are there
# The kernels are loaded: an error of Python's while they are would name no size.
q, x = r(1, 1, 8, 8), r(2, 8)
F.scaled_dot_product_attention(q, q, q), nn.Conv2d(1, 1, 3)(q), nn.LSTM(8, 8)(q[0])
F.softmax(x, -1), F.pad(x, (3, 3), mode="reflect"), F.log_softmax(x.half(), -1)
"""
        + KINDS[kind]
        + """
step, failed = 1 << 19, []
for extra in range(0, 200 * step, step):
    try:
        first = within(extra, f).detach().float().numpy().tobytes()
        break
    except MemoryError as error:
        failed.append(str(error))
assert f().detach().float().numpy().tobytes() == first
print(len(failed), *sorted(set(failed)), sep="\\n")
"""
    )
    count, *messages = out.splitlines()
    assert int(count) > 2
    assert all(SIZE.search(message) for message in messages), messages


@linux
def test_a_unit_that_cannot_be_loaded_says_so_and_is_loaded_later(host_kernels):
    if not host_kernels.elsewhere:
        pytest.skip("a wheel's extension has all units in it")
    assert host_kernels.prelu  # compiled now, if it was not
    out = run(
        """
x, w = r(4, 8), r(8)
y = tl.where(x > 0, x, x * w)
failed = []
for extra in range(0, 64 << 16, 1 << 16):
    try:
        z = within(extra, lambda: F.prelu(x, w))
        break
    except MemoryError as error:
        failed.append(str(error))
assert (z == y).all()
print(*sorted(set(failed)), sep="\\n")
"""
    )
    assert any("memory to load the kernels of" in line for line in out.splitlines()), out
    assert all("nable to allocate" in line for line in out.splitlines()), out


def test_sizes_that_overflow_are_refused(host_kernels):
    x = np.ones((4, 4), np.float32)
    for rows, columns in [(4, 4 + 2**62), (2**62, 4), (-4, -4), (-1, 16), (2**32, 2**32)]:
        y = np.zeros_like(x)
        with pytest.raises(ValueError, match="elements"):
            host_kernels.softmax(x, y, rows, columns)
        assert not y.any()


def test_rows_without_columns_end(host_kernels):
    x = np.ones((2**60, 0), np.float32)
    host_kernels.softmax(x, x.copy(), 2**60, 0)


def test_an_int_of_more_than_32_bits_is_refused(host_kernels):
    kernels = [k for family in families("cpu").values() for k in family]
    with_int = [k for k in kernels if any(p.type == "int" for p in k.parameters)]
    assert with_int
    for kernel in with_int:
        at = next(i for i, p in enumerate(kernel.parameters) if p.type == "int")
        given = [None] * len(kernel.parameters)
        given[at] = 2**40
        with pytest.raises((ValueError, TypeError)):
            getattr(host_kernels, kernel.name)(*given)


def test_the_cache_can_be_emptied(host_kernels):
    np.empty(1 << 22, np.float32).fill(1)
    assert host_kernels.empty_cache() >= 1 << 24
    assert host_kernels.empty_cache() == 0


BACK = """
tl.set_num_threads(2)
def resident():
    return int(open("/proc/self/statm").read().split()[1]) * 4096
model = nn.Sequential(nn.Linear(100, 2000), nn.ReLU(), nn.Linear(2000, 10))
def step(rows):
    model(r(rows, 100)).sum().backward()
step(20)
before = resident()
step(10000)
kept = resident() - before
tl.empty_cache()
print(kept, resident() - before)
"""


@linux
def test_memory_of_a_large_batch_goes_back(host_kernels):
    kept, left = map(int, run(BACK).split())
    assert left < 20e6 < kept


WATCHED = """
import time
x = r(40_000_000); del x
def resident():
    return int(open("/proc/self/statm").read().split()[1]) * 4096
before = resident()
for _ in range(60):  # 25 seconds on an idle machine
    time.sleep(1)
    if resident() < before - 120e6: break
print(before - resident())
"""


@linux
@pytest.mark.slow_faults
def test_memory_goes_back_by_itself(host_kernels):
    assert int(run(WATCHED)) > 120e6
