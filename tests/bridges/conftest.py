"""Bridges run on the CPU alone: the other side's memory is there."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def _on_the_cpu(device):
    if device.type != "cpu":
        pytest.skip("bridges to other software are tested on the CPU")
