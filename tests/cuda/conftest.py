"""Tests of what only CUDA has; they are part of the suite under ``--device cuda``."""

from __future__ import annotations

import pytest


def pytest_ignore_collect(config):
    """Leave this folder out where it cannot even be imported."""
    return None if config.getoption("--device").startswith("cuda") else True


@pytest.fixture
def two_devices():
    """On the emulator, CUDA_EMULATOR_DEVICES=2 gives two.

    Afterwards operations compute on the current device again, as in programs that use one.
    """
    import tensorlite.cuda
    from tensorlite import backend, tape

    if tensorlite.cuda.device_count() < 2:
        pytest.skip("needs two CUDA devices")
    waiting = list(backend.ON_SECOND_DEVICE)
    yield
    backend.ON_SECOND_DEVICE[:] = waiting
    tape._of_new_threads["devices"] = False
    tape.mode.switches.set(devices=False)
