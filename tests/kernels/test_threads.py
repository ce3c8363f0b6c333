"""The number of threads that the CPU computes on."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
import pytest

import tensorlite as tl
from tensorlite.backend import HOST
from tensorlite.backend.kernels import openblas
from tensorlite.backend.kernels.cache import place
from tensorlite.backend.kernels.declarations import kernels_folder


@pytest.fixture(autouse=True)
def as_before():
    if HOST.kernels is None:
        pytest.skip("the pool belongs to the compiled kernels")
    count = tl.get_num_threads()
    yield
    tl.set_num_threads(count)


def test_results_do_not_depend_on_it():
    x, w = tl.randn(300, 500), tl.randn(400, 500)
    results = []
    for count in (1, 2, 3):
        tl.set_num_threads(count)
        assert tl.get_num_threads() == count
        results.append(tl.softmax(tl.nn.functional.linear(x, w), axis=-1).numpy())
    np.testing.assert_array_equal(results[0], results[1])
    np.testing.assert_array_equal(results[0], results[2])


@pytest.mark.parametrize("count", [0, -1, 1.5, True, "2"])
def test_what_is_no_number_of_threads_is_refused(count):
    before = tl.get_num_threads()
    with pytest.raises(ValueError, match="set_num_threads: a whole number"):
        tl.set_num_threads(count)
    assert tl.get_num_threads() == before


def test_without_kernels_it_is_numpys(monkeypatch):
    monkeypatch.setitem(vars(HOST), "kernels", None)
    before = tl.get_num_threads()
    try:
        for count in (1, 2):
            tl.set_num_threads(count)
            assert tl.get_num_threads() == count
    finally:
        tl.set_num_threads(before)
    monkeypatch.setattr(openblas, "blas_threads", lambda count=None: None)
    assert tl.get_num_threads() == 1
    with pytest.raises(RuntimeError, match="not compute with OpenBLAS"):
        tl.set_num_threads(2)


def test_every_task_runs_once(tmp_path):
    host = kernels_folder() / "host"
    sources = [Path(__file__).with_name("every_task_once.cpp"), host / "pool.cpp"]
    includes = ["-iquote", kernels_folder(), "-iquote", host]
    program = tmp_path / "every_task_once"
    compiler, _ = place()
    subprocess.run(
        [*compiler, "-std=c++17", "-O2", "-pthread", *includes, *sources, "-o", program], check=True
    )
    run = subprocess.run([program, "50000"], capture_output=True, text=True)
    assert run.returncode == 0, run.stdout
