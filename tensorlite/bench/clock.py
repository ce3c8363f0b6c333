"""Seconds that calls take: by the host's clock, on CUDA by events in the device's own queue."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any


def seconds(run: Callable[[], Any], calls: int, device: str, framework: str) -> float:
    """Seconds of one of so many calls.

    JAX has no events: its workloads wait for the device, so that the host's clock serves there.
    """
    if device == "cpu" or framework == "jax":
        start = time.perf_counter()
        for _ in range(calls):
            run()
        return (time.perf_counter() - start) / calls
    event, elapsed = _events(framework)
    first, last = event(), event()
    first.record()
    for _ in range(calls):
        run()
    last.record()
    last.synchronize()
    return elapsed(first, last) / 1000 / calls


def _events(framework: str) -> tuple[Callable[[], Any], Callable[[Any, Any], float]]:
    """How to make an event, and the milliseconds between two."""
    if framework == "torch":
        import torch

        return (lambda: torch.cuda.Event(enable_timing=True)), torch.cuda.Event.elapsed_time
    import cupy

    return cupy.cuda.Event, cupy.cuda.get_elapsed_time
