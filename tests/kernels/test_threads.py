"""The number of threads that the CPU computes on."""

from __future__ import annotations

import numpy as np
import pytest

import tensorlite as tl
from tensorlite.backend import HOST


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


def test_it_belongs_to_the_compiled_kernels(monkeypatch):
    monkeypatch.setitem(vars(HOST), "kernels", None)
    assert tl.get_num_threads() == 1
    with pytest.raises(RuntimeError, match="OPENBLAS_NUM_THREADS"):
        tl.set_num_threads(2)
