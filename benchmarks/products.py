"""Matrix products beside PyTorch's, in turn: ``products.py [--threads N] [--rounds N] [MxKxN …]``.

It prints GFLOP/s of ``x @ weight.T`` and the median of the ratios of neighbouring measurements: of
wall time, or of the CPU time that a thread took, which other processes disturb less.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

import tensorlite as tl

# Layers of the steps in `tensorlite bench`, of a model 384 wide, and one that is large.
SHAPES = (
    *("256x784x1024", "256x1024x1024", "2048x256x1024"),
    *("1024x192x576", "1024x192x192", "1024x192x768", "1024x768x192"),
    *("1024x384x384", "1024x384x1536", "1024x1536x384", "1024x384x8000", "2048x2048x2048"),
)
BUDGET = 4e9  # multiply-adds and additions in one measurement


def main() -> None:
    """Compare the products that are named, or all."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("shapes", nargs="*", default=SHAPES)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--cpu-time", action="store_true", help="with one thread")
    args = parser.parse_args()
    threads, clock = (1, time.process_time) if args.cpu_time else (args.threads, time.perf_counter)
    torch.set_num_threads(threads)
    tl.set_num_threads(threads)
    print(f"{'rows, depth, columns':22}{'torch':>8}{'here':>8}{'time, here over torch':>24}")
    for shape in args.shapes:
        rows, depth, columns = (int(n) for n in shape.split("x"))
        work = 2 * rows * depth * columns
        runs = [product(library, rows, depth, columns) for library in (torch, tl)]
        theirs, ours = in_turn(runs, max(1, int(BUDGET / work)), args.rounds, clock)
        speeds = [work / statistics.median(times) / 1e9 for times in (theirs, ours)]
        ratio = statistics.median(b / a for a, b in zip(theirs, ours, strict=True))
        print(f"{shape:22}{speeds[0]:8.0f}{speeds[1]:8.0f}{ratio:24.3f}", flush=True)


def product(library: Any, rows: int, depth: int, columns: int) -> Callable[[], Any]:
    """A product of two matrices of that library."""
    rng = np.random.default_rng(0)
    x, weight = (
        library.tensor(rng.normal(size=(n, depth)).astype(np.float32)) for n in (rows, columns)
    )
    return lambda: library.nn.functional.linear(x, weight)


def in_turn(
    runs: list[Callable[[], Any]], calls: int, rounds: int, clock: Callable[[], float]
) -> list[list[float]]:
    """Seconds a call of each, which take turns; the first goes first in every other round."""
    found: list[list[float]] = [[] for _ in runs]
    for run in runs:
        run()
    for i in range(rounds):
        for k in range(len(runs))[:: 1 if i % 2 else -1]:
            start = clock()
            for _ in range(calls):
                runs[k]()
            found[k].append((clock() - start) / calls)
    return found


if __name__ == "__main__":
    main()
