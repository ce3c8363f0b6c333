"""Rounds of several frameworks in turn, each in a process of its own."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from typing import Any

OURS = "tensorlite"
ROUND_SECONDS = 0.15  # one framework's share of a round
SLOW_BLAS = ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE")
TOLERANCE = {"float32": 1e-3, "float64": 1e-6, "float16": 3e-2, "bfloat16": 1e-1}
RANDOM = ("dropout",)  # each framework draws its own numbers


class Disagreement(RuntimeError):
    """Two frameworks computed different results, so their times mean nothing."""


class Worker:
    """A framework's process; see `tensorlite.bench.worker`."""

    def __init__(self, framework: str, kind: str, name: str, device: str, dtype: str) -> None:
        self.framework, self.name = framework, name
        environment = {k: v for k, v in os.environ.items() if k not in SLOW_BLAS}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tensorlite.bench.worker", framework, kind, name, device, dtype],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment,
        )
        self.values: list[float] = self._answer()["values"]

    def measure(self, calls: int) -> dict[str, Any]:
        """Time so many calls of each phase."""
        self._process.stdin.write(f"{calls}\n")
        self._process.stdin.flush()
        return self._answer()

    def stop(self) -> None:
        """End the process."""
        self._process.communicate()

    def _answer(self) -> dict[str, Any]:
        line = self._process.stdout.readline()
        if not line:
            _, errors = self._process.communicate()
            reason = (errors.strip().splitlines() or ["it ended without a word"])[-1]
            raise RuntimeError(f"{self.framework} could not run {self.name}: {reason}")
        return json.loads(line)


def compare(
    kind: str, name: str, frameworks: list[str], device: str, dtype: str, rounds: int
) -> dict[str, dict[str, Any]]:
    """Time one workload in each framework.

    Parameters
    ----------
    kind : {"ops", "steps"}
        Which family `name` belongs to.
    frameworks
        Ours first.
    rounds
        How often each framework gets its turn.

    Returns
    -------
    dict
        By framework: median seconds of each phase and their quartiles, and peak memory in bytes.

    Raises
    ------
    Disagreement
        If losses or gradients differ.
    RuntimeError
        If a process fails; with the reason it gave.
    """
    workers: list[Worker] = []
    try:
        for framework in frameworks:
            workers.append(Worker(framework, kind, name, device, dtype))
        if name not in RANDOM:
            _check_agreement(workers, TOLERANCE[dtype])
        calls = {worker.framework: _calls(worker) for worker in workers}
        answers: dict[str, list[dict]] = {worker.framework: [] for worker in workers}
        for _ in range(rounds):
            for worker in workers:
                answers[worker.framework].append(worker.measure(calls[worker.framework]))
    finally:
        for worker in workers:
            worker.stop()
    return {framework: _summary(found) for framework, found in answers.items()}


def _calls(worker: Worker) -> int:
    """How many calls fill a framework's share of a round."""
    start = time.perf_counter()
    worker.measure(1)  # warms up, too
    once = sum(worker.measure(1)["seconds"].values()) or time.perf_counter() - start
    return max(1, int(ROUND_SECONDS / once))


def _check_agreement(workers: list[Worker], tolerance: float) -> None:
    ours = workers[0]
    for peer in workers[1:]:
        for i, (a, b) in enumerate(zip(ours.values, peer.values, strict=True)):
            if not abs(a - b) <= tolerance * max(abs(a), abs(b)):
                raise Disagreement(
                    f"{ours.name}: call {i} gives {a:.8g} in {ours.framework} and {b:.8g} in "
                    f"{peer.framework}; the times would not be of the same work"
                )


def _summary(answers: list[dict[str, Any]]) -> dict[str, Any]:
    result: dict[str, Any] = {"peak_bytes": answers[-1]["peak_bytes"]}
    for phase in answers[0]["seconds"]:
        times = sorted(answer["seconds"][phase] for answer in answers)
        low, _, high = statistics.quantiles(times, n=4) if len(times) > 1 else times * 3
        result[phase] = {"median": statistics.median(times), "quartiles": [low, high]}
    return result
