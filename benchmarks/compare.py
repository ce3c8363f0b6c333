"""tensorlite beside PyTorch: rounds interleaved in one process, medians and their ratio.

    env -u OPENBLAS_CORETYPE -u OPENBLAS_L2_SIZE python benchmarks/compare.py

Needs PyTorch (pip install torch==2.13.0), which is no dependency of the project. Losses of the two
are checked to agree before anything is timed.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time

from workloads import WORKLOADS, Framework, Step

TOLERANCE = 1e-4


def seconds(step: Step, calls: int) -> float:
    """Time of one call, averaged over a few."""
    start = time.perf_counter()
    for _ in range(calls):
        step()
    return (time.perf_counter() - start) / calls


def compare(name: str, rounds: int) -> None:
    """Time one workload in both frameworks, in turn, and print a line."""
    build = WORKLOADS[name]
    steps = {framework: build(Framework(framework)) for framework in ("tensorlite", "torch")}
    losses = {framework: [step() for _ in range(10)] for framework, step in steps.items()}
    for ours, theirs in zip(*losses.values(), strict=True):
        if ours is not None and abs(ours.item() - theirs.item()) > TOLERANCE:
            raise SystemExit(f"{name}: losses differ, {ours.item()} and {theirs.item()}")
    calls = max(1, int(0.01 / seconds(steps["torch"], 5)))
    times: dict[str, list[float]] = {framework: [] for framework in steps}
    for _ in range(rounds):
        for framework, step in steps.items():
            times[framework].append(seconds(step, calls))
    ours, theirs = (statistics.median(times[framework]) for framework in steps)
    print(f"{name:8} {ours * 1e6:10.1f} µs {theirs * 1e6:10.1f} µs {ours / theirs:8.2f}")


def import_time(module: str, rounds: int) -> float:
    """Median seconds of a fresh interpreter that imports `module`, less those of an empty one."""
    times: dict[str, list[float]] = {"pass": [], f"import {module}": []}
    for _ in range(rounds):
        for command, found in times.items():
            start = time.perf_counter()
            subprocess.run([sys.executable, "-c", command], check=True)
            found.append(time.perf_counter() - start)
    empty, full = (statistics.median(found) for found in times.values())
    return full - empty


def main() -> None:
    """Compare what the command line names."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("workloads", nargs="*", default=list(WORKLOADS))
    parser.add_argument("--rounds", type=int, default=60)
    args = parser.parse_args()
    print(f"{'':8} {'tensorlite':>13} {'torch':>13} {'ratio':>8}")
    for name in args.workloads:
        compare(name, args.rounds)
    ours, theirs = import_time("tensorlite", 10), import_time("numpy", 10)
    print(f"import   {ours * 1e3:10.0f} ms, numpy {theirs * 1e3:5.0f} ms {ours / theirs:10.2f}")


if __name__ == "__main__":
    main()
