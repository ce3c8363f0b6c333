"""pytest-benchmark: ``pytest benchmarks`` (times are reported, never asserted)."""

import pytest

from tensorlite.bench.frameworks import Framework
from tensorlite.bench.ops import OPS, both_ways
from tensorlite.bench.steps import STEPS


@pytest.mark.parametrize("name", STEPS)
def test_step(name, benchmark):
    step = STEPS[name](Framework("tensorlite"))
    step()
    benchmark(step)


@pytest.mark.parametrize("name", OPS)
def test_forward_and_backward(name, benchmark):
    both = both_ways(Framework("tensorlite"), name)["both"]
    both()
    benchmark(both)
