"""One framework in a process of its own: builds a workload, then times it on request.

Run as ``python -m tensorlite.bench.worker FRAMEWORK KIND NAME DEVICE DTYPE THREADS``. It first says
what it computed, for comparison, in a line of JSON. Then every line on its standard input tells
how long to measure, and is answered by the seconds that a call took. Between the lines it sleeps,
so that it does not disturb the process that is being measured.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from tensorlite.bench.clock import seconds
from tensorlite.bench.ops import OPS

STEPS_CHECKED, SAMPLES = 5, 16

Phases = dict[str, Callable[[], Any]]
Results = dict[str, list[float]]


def main() -> None:
    """Answer until the input ends."""
    framework, kind, name, device, dtype, threads = sys.argv[1:]
    phases, to_numpy = build(framework, kind, name, device, dtype, int(threads))
    _say({"results": results(kind, name, phases, to_numpy)})
    for line in sys.stdin:
        times = {p: _time(run, float(line), device, framework) for p, run in phases.items()}
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        _say({"seconds": times, "peak_bytes": peak})


def _time(run: Callable[[], Any], budget: float, device: str, framework: str) -> float:
    """Seconds of a call. In the first third threads wake, caches fill, and calls are counted."""
    calls, start = 0, time.perf_counter()
    while calls == 0 or time.perf_counter() - start < budget / 3:
        seconds(run, 1, device, framework)
        calls += 1
    return seconds(run, 2 * calls, device, framework)


def build(
    framework: str, kind: str, name: str, device: str, dtype: str, threads: int
) -> tuple[Phases, Callable[[Any], np.ndarray]]:
    """What to time, and how to bring a result to NumPy."""
    if framework == "jax":
        from tensorlite.bench import in_jax

        return in_jax.build(kind, name, device, dtype)
    from tensorlite.bench.frameworks import Framework
    from tensorlite.bench.ops import both_ways
    from tensorlite.bench.steps import STEPS

    chosen = Framework(framework, device, dtype, threads)
    phases = both_ways(chosen, name) if kind == "ops" else {"step": STEPS[name](chosen)}
    return phases, lambda y: np.asarray(y.detach().to("cpu").tolist())


def results(kind: str, name: str, phases: Phases, to_numpy: Callable[[Any], np.ndarray]) -> Results:
    """What the workload computes: the first losses, or an output and the gradients."""
    if kind == "steps":
        return {f"step {i + 1}": _sample(to_numpy(phases["step"]())) for i in range(STEPS_CHECKED)}
    output, *gradients = phases["both"]()
    found = {"output": output} | {f"gradient {i + 1}": g for i, g in enumerate(gradients)}
    if OPS[name].random:  # each framework draws its own numbers
        return {key: [float(np.abs(to_numpy(value)).mean())] for key, value in found.items()}
    return {key: _sample(to_numpy(value)) for key, value in found.items()}


def _sample(values: np.ndarray) -> list[float]:
    """A few elements from all over an array."""
    flat = values.astype(np.float64).ravel()
    places = np.linspace(0, flat.size - 1, min(flat.size, SAMPLES)).astype(int)
    return flat[places].tolist()


def _say(answer: dict[str, Any]) -> None:
    print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
