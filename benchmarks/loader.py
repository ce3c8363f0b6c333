"""Samples a second of loaders with and without workers: ``loader.py [ROUNDS] [MS A SAMPLE]``.

A sample costs that much work in Python. torch's loader, where it is installed, runs in turn with
ours. Beside the rate stands the time of processors, which a busy machine changes little.
"""

from __future__ import annotations

import importlib
import resource
import statistics
import sys
import time
from typing import Any

import numpy as np

SAMPLES, BATCH = 512, 16


class Costly:
    """Samples that cost `loops` turns of a loop; torch and tensorlite both take such a dataset."""

    def __init__(self, loops: int) -> None:
        self.loops = loops

    def __len__(self) -> int:
        return SAMPLES

    def __getitem__(self, index: int) -> tuple[np.ndarray, int]:
        spend(self.loops)
        return np.full((3, 32, 32), index, np.float32), index


def spend(loops: int) -> int:
    """Work in Python."""
    total = 0
    for i in range(loops):
        total += i * i
    return total


def loops_for(milliseconds: float) -> int:
    """How many turns of the loop take that long here."""
    best = min(_seconds(spend, 50_000) for _ in range(20))
    return round(50_000 * milliseconds / 1e3 / best)


def _seconds(function: Any, *args: Any) -> float:
    start = time.perf_counter()
    function(*args)
    return time.perf_counter() - start


def _processor_time() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in used)


def epoch(data: Any, dataset: Costly, workers: int) -> tuple[float, float]:
    """Samples a second, and the processor time of an epoch."""
    begin, start = _processor_time(), time.perf_counter()
    seen = sum(len(y) for _, y in data.DataLoader(dataset, BATCH, num_workers=workers))
    return seen / (time.perf_counter() - start), _processor_time() - begin


def main() -> None:
    """Print medians of the rounds."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    dataset = Costly(loops_for(float(sys.argv[2]) if len(sys.argv) > 2 else 2.0))
    loaders = {"tensorlite": importlib.import_module("tensorlite.utils.data")}
    try:
        loaders["torch"] = importlib.import_module("torch.utils.data")
    except ImportError:
        print("torch is not installed: ours alone")
    found: dict[tuple[str, int], list[tuple[float, float]]] = {}
    for _ in range(rounds):
        for workers in (0, 2):
            for name, data in loaders.items():
                found.setdefault((name, workers), []).append(epoch(data, dataset, workers))
    middle = {
        key: [statistics.median(v) for v in zip(*runs, strict=True)] for key, runs in found.items()
    }
    for (name, workers), (rate, used) in middle.items():
        print(f"{name:<11} {workers} workers {rate:7.0f} samples/s  {used:.2f} s of processors")
    ratios = [f"{name} {middle[name, 2][0] / middle[name, 0][0]:.2f}" for name in loaders]
    print("2 workers by none:", ", ".join(ratios))


if __name__ == "__main__":
    main()
