"""Kernels of the device under test, and those of the host, which some families have alone."""

from __future__ import annotations

import pytest
from guards import Guarded
from reference import Runner

from tensorlite.backend import Device, backend_for


def _kernels(backend):
    if backend.kernels is None:
        pytest.skip("no compiled kernels in this run (--kernels reference, or no compiler)")
    return backend.kernels


@pytest.fixture
def kernels(backend):
    """The kernel library of the device under test."""
    return _kernels(backend)


@pytest.fixture
def host_kernels():
    """The kernel library of the CPU."""
    return _kernels(backend_for(Device("cpu")))


@pytest.fixture
def guarded(backend):
    """Guarded outputs on the device under test."""
    outputs = Guarded(backend)
    yield outputs
    outputs.check()


@pytest.fixture
def host_guarded():
    """Guarded outputs on the CPU."""
    outputs = Guarded(backend_for(Device("cpu")))
    yield outputs
    outputs.check()


@pytest.fixture
def run(backend, kernels, guarded):
    """Run a kernel of the device under test on NumPy arrays."""
    return Runner(backend, kernels, guarded)
