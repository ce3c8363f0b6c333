"""Faults from outside: what the system, other processes and damaged files do to a run."""

from __future__ import annotations

import signal

import pytest


def pytest_configure(config: pytest.Config) -> None:
    """Let the processes that are started take SIGHUP as usual, also below ``nohup``."""
    if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
        signal.signal(signal.SIGHUP, signal.SIG_DFL)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave the long ones out, unless they are asked for with ``-m slow_faults``."""
    if "slow_faults" in config.getoption("markexpr", ""):
        return
    left_out = [item for item in items if item.get_closest_marker("slow_faults")]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]
