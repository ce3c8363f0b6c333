"""pytest-benchmark: ``pytest benchmarks`` (times are reported, never asserted)."""

import pytest
from workloads import WORKLOADS, Framework


@pytest.mark.parametrize("name", WORKLOADS)
def test_workload(name, benchmark):
    step = WORKLOADS[name](Framework("tensorlite"))
    step()
    benchmark(step)
