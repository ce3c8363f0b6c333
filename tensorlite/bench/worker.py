"""One framework in a process of its own: builds a workload, then times it when told to.

Run as ``python -m tensorlite.bench.worker FRAMEWORK KIND NAME DEVICE DTYPE``. Every line on its
standard input is a number of calls, and is answered by a line of JSON with the seconds that a call
took. Between the lines it sleeps, so that it does not disturb the process that is being measured.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

CHECKED = 5  # losses to compare before anything is timed


def main() -> None:
    """Answer until the input ends."""
    framework, kind, name, device, dtype = sys.argv[1:]
    phases, synchronize, value = build(framework, kind, name, device, dtype)
    last = list(phases)[-1]
    values = [value(phases[last]()) for _ in range(CHECKED)]
    _say({"values": values})
    for line in sys.stdin:
        calls = int(line)
        seconds = {phase: _time(run, calls, synchronize) for phase, run in phases.items()}
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        _say({"seconds": seconds, "peak_bytes": peak})


def _time(run: Callable[[], Any], calls: int, synchronize: Callable[[], None]) -> float:
    """Seconds of one call, on average."""
    run()
    synchronize()
    start = time.perf_counter()
    for _ in range(calls):
        run()
    synchronize()
    return (time.perf_counter() - start) / calls


def build(
    framework: str, kind: str, name: str, device: str, dtype: str
) -> tuple[dict[str, Callable[[], Any]], Callable[[], None], Callable[[Any], float]]:
    """What to time, how to wait for the device, and how to make a number of a result."""
    if framework == "jax":
        from tensorlite.bench import in_jax

        return in_jax.build(kind, name, device, dtype)
    from tensorlite.bench.frameworks import Framework
    from tensorlite.bench.ops import both_ways
    from tensorlite.bench.steps import STEPS

    chosen = Framework(framework, device, dtype)
    phases = both_ways(chosen, name) if kind == "ops" else {"step": STEPS[name](chosen)}
    return phases, chosen.synchronize, lambda y: _mean(y.detach().to("cpu").tolist())


def _mean(values: Any) -> float:
    """The mean absolute value: a number that shows a difference wherever it is."""
    return float(np.abs(np.asarray(values, dtype=np.float64)).mean())


def _say(answer: dict[str, Any]) -> None:
    print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
