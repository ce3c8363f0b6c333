"""Host time of training steps on CUDA: what Python, CuPy and the launches take before the GPU.

A small model's step cannot be faster than this. On the CUDA emulator it is measured by a dry run,
in which launches, products and copies within the device are counted and not done.
"""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable
from typing import Any, NamedTuple

from tensorlite import cuda
from tensorlite.bench.counts import emulator
from tensorlite.bench.frameworks import Framework
from tensorlite.bench.steps import STEPS, resnet18

HOST_STEPS: dict[str, Callable[[Framework], Callable[[], Any]]] = {**STEPS, "resnet18": resnet18}
WARM_UP = 5


class HostTime(NamedTuple):
    """Milliseconds of the calling thread per step, and the device calls that a step makes.

    Attributes
    ----------
    median, best
        Of all rounds.
    calls
        Launches, library calls and copies; None on a GPU, which does not count them.
    """

    median: float
    best: float
    calls: int | None


def host_time(step: Callable[[], Any], rounds: int) -> HostTime:
    """Time a step once everything it needs is compiled; the device is idle when a round begins."""
    for _ in range(WARM_UP):
        step()
    driver = emulator()
    calls = None if driver is None else _calls(driver, step)
    times = []
    for _ in range(rounds):
        cuda.synchronize()
        start = time.thread_time()
        step()
        times.append(1e3 * (time.thread_time() - start))
    return HostTime(statistics.median(times), min(times), calls)


def _calls(driver: Any, step: Callable[[], Any]) -> int:
    driver.cuda_emulator_profile_reset()
    step()
    runs = json.loads(driver.cuda_emulator_profile_json())["counts"].get("dry_runs", 0)
    calls = int(runs["count"] if isinstance(runs, dict) else runs)
    if not calls:
        raise RuntimeError(
            "on the CUDA emulator host time is that of a dry run: set CUDA_EMULATOR_DRYRUN=1 "
            "before the program starts"
        )
    return calls
