"""Captured calls are made on the device under test, where there are compiled kernels."""

import pytest

from tensorlite.backend import HOST
from tensorlite.backend.background import Task
from tensorlite.recording import fusing


@pytest.fixture
def host(device):
    """For what a graph has no part in: it holds what was queued, and CUDA looks at no index."""
    if device.type != "cpu":
        pytest.skip("of the CPU alone")


@pytest.fixture(autouse=True)
def on_device(device):
    """All Tensors here are made on the device under test."""
    if HOST.kernels is None:
        pytest.skip("capture needs compiled kernels")
    with device:
        yield


@pytest.fixture(autouse=True)
def at_once(monkeypatch):
    """Kernels of chains are there at the first replay; `test_fusion_later` has it otherwise."""

    def done(function):
        task = Task(function)
        task.run()
        return task

    begun = fusing.Fusion.__init__

    def begins(self, *arguments):
        begun(self, *arguments)
        self.begin()

    monkeypatch.setattr(fusing, "later", done)
    monkeypatch.setattr(fusing.Fusion, "__init__", begins)
