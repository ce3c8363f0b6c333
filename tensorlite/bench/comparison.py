"""Rounds of several frameworks in turn, each in a process of its own."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from typing import Any

import numpy as np

import tensorlite
from tensorlite.bench.ops import OPS

OURS = "tensorlite"
# For a pass of one framework in a round. After its pause the first steps are slow.
ROUND_SECONDS = {"ops": 0.15, "steps": 0.6}
SLOW_BLAS = ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE")
# Of the largest number compared. After some steps of Adam rounding shows in the losses.
TOLERANCE = {"float32": 3e-4, "float64": 1e-7, "float16": 3e-2, "bfloat16": 1e-1}
RANDOM_TOLERANCE = 1e-2  # of the mean of millions of random numbers


class Disagreement(RuntimeError):
    """Two frameworks computed different results, so their times mean nothing."""


class Worker:
    """A framework's process; see `tensorlite.bench.worker`.

    Attributes
    ----------
    results
        By name, some of the numbers it computed.
    """

    def __init__(self, framework: str, kind: str, name: str, device: str, dtype: str) -> None:
        self.framework, self.kind, self.name = framework, kind, name
        threads = str(tensorlite.get_num_threads())
        # Not a pipe: warnings would fill it, and stop the process.
        self._errors = tempfile.TemporaryFile("w+")  # noqa: SIM115
        arguments = [framework, kind, name, device, dtype, threads]
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tensorlite.bench.worker", *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
            env=_environment(threads),
        )
        self.results: dict[str, list[float]] = self._answer()["results"]

    def measure(self) -> dict[str, Any]:
        """Take part in a round."""
        assert self._process.stdin is not None  # it is a pipe
        self._process.stdin.write(f"{ROUND_SECONDS[self.kind]}\n")
        self._process.stdin.flush()
        return self._answer()

    def stop(self) -> None:
        """End the process."""
        self._process.communicate()
        self._errors.close()

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None  # it is a pipe
        line = self._process.stdout.readline()
        if line:
            return json.loads(line)
        status = self._process.wait()
        self._errors.seek(0)
        lines = self._errors.read().strip().splitlines()
        self.stop()
        reason = lines[-1] if lines else f"its process ended with status {status}"
        raise RuntimeError(f"{self.framework} could not run {self.name}: {reason}")


def _environment(threads: str) -> dict[str, str]:
    """Ours, without what slows NumPy's BLAS; as many threads for XLA and for NumPy as for us.

    JAX leaves the other workers their part of a GPU's memory.
    """
    kept = {k: v for k, v in os.environ.items() if k not in SLOW_BLAS}
    threads_of = {"NPROC": threads, "OPENBLAS_NUM_THREADS": threads}
    return kept | threads_of | {"XLA_PYTHON_CLIENT_PREALLOCATE": "false"}


def compare(
    kind: str, name: str, frameworks: Sequence[str], device: str, dtype: str, rounds: int
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
        By framework: of each phase the median seconds and their quartiles, and peak memory in
        bytes. The backward pass of an operation is what both passes take but the forward pass.

    Raises
    ------
    Disagreement
        If losses, outputs or gradients differ.
    RuntimeError
        If a process fails; with the reason it gave.
    """
    workers: list[Worker] = []
    try:
        for framework in frameworks:
            workers.append(Worker(framework, kind, name, device, dtype))
        random = kind == "ops" and OPS[name].random
        for peer in workers[1:]:
            check_agreement(workers[0], peer, RANDOM_TOLERANCE if random else TOLERANCE[dtype])
        answers: list[list[dict]] = [[] for _ in workers]
        for _ in range(rounds):
            for worker, found in zip(workers, answers, strict=True):
                found.append(worker.measure())
    finally:
        for worker in workers:
            worker.stop()
    return {framework: _summary(a) for framework, a in zip(frameworks, answers, strict=True)}


def compare_all(
    kind: str, names: Sequence[str], peers: Sequence[str], device: str, dtype: str, rounds: int
) -> tuple[dict[str, dict[str, dict[str, Any]]], list[str]]:
    """Time workload after workload; return the times by name, and what went wrong."""
    results = {}
    failures = []
    for name in names:
        print(f"measuring {name} …", flush=True)
        try:
            results[name] = compare(kind, name, [OURS, *peers], device, dtype, rounds)
        except RuntimeError as error:
            failures.append(str(error))
    return results, failures


def check_agreement(ours: Worker, peer: Worker, tolerance: float) -> None:
    """Raise `Disagreement` where a number differs, as a part of the largest beside it."""
    for what, values in ours.results.items():
        a, b = np.array(values), np.array(peer.results[what])
        difference = np.abs(a - b)
        agree = difference <= tolerance * max(np.abs(a).max(), np.abs(b).max())
        if not (agree & np.isfinite(difference)).all():
            worst = int(difference.argmax())  # NaN counts as the largest
            raise Disagreement(
                f"{ours.name}: {what} is {a[worst]:.8g} in {ours.framework} and {b[worst]:.8g} in "
                f"{peer.framework}: they do not do the same, and were not timed"
            )


def _summary(answers: list[dict[str, Any]]) -> dict[str, Any]:
    times = {phase: [a["seconds"][phase] for a in answers] for phase in answers[0]["seconds"]}
    if "both" in times:
        pairs = zip(times["both"], times["forward"], strict=True)
        times["backward"] = [both - forward for both, forward in pairs]
    found = {phase: _spread(values) for phase, values in times.items()}
    return {**found, "peak_bytes": answers[-1]["peak_bytes"]}


def _spread(times: list[float]) -> dict[str, Any]:
    low, median, high = statistics.quantiles(times, n=4) if len(times) > 1 else times * 3
    return {"median": median, "quartiles": [low, high]}
