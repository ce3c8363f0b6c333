"""Faults from outside: what the system, other processes and damaged files do to a run."""

from __future__ import annotations

import pytest


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave the long ones out, unless they are asked for with ``-m slow_faults``."""
    if "slow_faults" in config.getoption("markexpr", ""):
        return
    left_out = [item for item in items if item.get_closest_marker("slow_faults")]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]
