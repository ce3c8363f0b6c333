"""Captured and eager steps beside torch, torch with fused optimizers, torch.compile and JAX.

    python benchmarks/captured.py [--rounds N] [--jax-python PYTHON] [NAME …]

Each variant is a process of its own, and they take turns. It prints the medians, ours over the best
peer's, what the first calls took (recording and compiling in them), and the most memory that steps
needed above what the process had when everything was imported. Names are those of `tensorlite bench
steps` and `tensorlite bench ops`, and the larger ones below.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

THREADS = 2
SLOW_BLAS = ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE")
PEERS = ("torch", "torch fused", "torch.compile", "jax")
VARIANTS = ("eager", "captured", *PEERS)
NAMES = (
    *("mlp", "mlp-large", "cnn", "gpt", "lstm", "adam10m"),
    *("gelu", "cross-entropy", "layer-norm", "dropout", "bias-relu"),
)
LARGER: dict[str, tuple] = {"gpt-192": (4, 192), "gpt-384": (6, 384), "gpt-768": (4, 768)}
ROUND = 0.4  # seconds


# --- one variant ----------------------------------------------------------------------------------


def build(variant: str, name: str) -> Callable[[], Any]:
    """What to time."""
    from tensorlite.bench.frameworks import Framework
    from tensorlite.bench.ops import OPS, both_ways
    from tensorlite.bench.steps import STEPS, gpt

    if variant == "jax":
        from tensorlite.bench import in_jax

        kind = "ops" if name in OPS else "steps"
        phases, _ = in_jax.build(kind, name, "cpu", "float32")
        return phases["both" if kind == "ops" else "step"]
    ours = variant in ("eager", "captured")
    framework = Framework("tensorlite" if ours else "torch", "cpu", "float32", THREADS)
    if variant in ("torch fused", "torch.compile"):
        framework.optim = _Fused(framework.optim)
    if variant == "torch.compile":
        load = framework.load
        framework.load = lambda model: framework.library.compile(load(model))  # type: ignore
    if name in OPS:
        step = both_ways(framework, name)["both"]
    elif name in LARGER:
        step = gpt(framework, *LARGER[name], 256)
    elif name == "mlp-4096":
        step = _wide(framework)
    else:
        step = STEPS[name](framework)
    return framework.library.capture(step) if variant == "captured" else step


def _wide(framework: Any) -> Callable[[], Any]:
    from tensorlite.bench import steps

    model = steps.make_mlp(framework, (4096, 4096, 4096))
    return steps._train(framework, model, "Adam", *steps._batch(framework, (256, 4096), 10))


class _Fused:
    """torch.optim, whose optimizers update all parameters in one call."""

    def __init__(self, optim: Any) -> None:
        self._optim = optim

    def __getattr__(self, name: str) -> Any:
        return lambda *args, **settings: getattr(self._optim, name)(*args, fused=True, **settings)


def _status(key: str) -> float:
    """A line of what the kernel says about this process, in MB."""
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) / 1024 for line in file if line.startswith(key))


def work(variant: str, name: str) -> None:
    """Say what the first calls took; then, for every line that comes, the seconds of a call."""
    from tensorlite.bench.worker import _time

    if variant not in ("eager", "captured", "jax"):
        import torch  # noqa: F401  # what is imported is no memory of a step
    if variant == "jax":
        import jax  # noqa: F401
    base = _status("VmRSS")
    step = build(variant, name)
    start = time.perf_counter()
    for _ in range(3):
        step()
    first = time.perf_counter() - start
    recording = _status("VmHWM") - base
    if variant in ("eager", "captured"):
        import tensorlite

        tensorlite.empty_cache()
    with contextlib.suppress(OSError), open("/proc/self/clear_refs", "w") as file:
        file.write("5")  # from here on the most is counted anew
    print(json.dumps({"first": first, "recording": recording}), flush=True)
    framework = "jax" if variant == "jax" else "ours"
    for _ in sys.stdin:
        seconds = _time(step, ROUND, "cpu", framework)
        print(json.dumps({"seconds": seconds, "memory": _status("VmHWM") - base}), flush=True)


# --- all of them ----------------------------------------------------------------------------------


class Process:
    """A variant, which waits for its turn."""

    def __init__(self, variant: str, name: str, python: str) -> None:
        env = {k: v for k, v in os.environ.items() if k not in SLOW_BLAS}
        env |= {f"{what}_NUM_THREADS": str(THREADS) for what in ("OPENBLAS", "OMP", "MKL")}
        env["NPROC"] = str(THREADS)
        if variant == "jax":
            env["TENSORLITE_KERNELS"] = "reference"  # of which only the initial weights are used
        self.process = subprocess.Popen(
            [python, __file__, "--worker", variant, name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env=env,
        )
        self.told = self.read()
        self.seconds: list[float] = []
        self.memory = 0.0

    def read(self) -> dict:
        """The next answer; empty where there is none."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        return json.loads(line) if line else {}

    def measure(self) -> None:
        """Take a turn."""
        assert self.process.stdin is not None
        self.process.stdin.write("go\n")
        self.process.stdin.flush()
        found = self.read()
        self.seconds.append(found["seconds"])
        self.memory = found["memory"]


def compare(name: str, rounds: int, jax_python: str) -> None:
    """Print the lines of one workload."""
    pythons = {"jax": jax_python}
    running = {v: Process(v, name, pythons.get(v, sys.executable)) for v in VARIANTS}
    running = {variant: process for variant, process in running.items() if process.told}
    for i in range(rounds):
        for process in list(running.values())[:: 1 if i % 2 else -1]:
            process.measure()
    peers = [variant for variant in PEERS if variant in running]
    median = {v: statistics.median(process.seconds) for v, process in running.items()}
    best = min(peers, key=lambda v: median[v], default=None)
    print(f"{name}: best peer {best}")
    for variant, process in running.items():
        ratio = ""
        if best is not None and variant not in PEERS:
            pairs = zip(process.seconds, running[best].seconds, strict=True)
            ratio = f"{statistics.median(a / b for a, b in pairs):.2f} of the best peer's"
        first, recording = process.told["first"], process.told["recording"]
        print(
            f"  {variant:14}{1e3 * median[variant]:10.3f} ms  first calls {first:7.2f} s  "
            f"memory {process.memory:7.1f} MB (first calls {recording:7.1f})  {ratio}",
            flush=True,
        )
    for process in running.values():
        process.process.communicate()


def main() -> None:
    """Compare the workloads that are named, or all."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", default=NAMES)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--jax-python", default=sys.executable, help="a Python that has JAX")
    parser.add_argument("--worker", nargs=2, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.worker:
        work(*args.worker)
        return
    for name in args.names:
        compare(name, args.rounds, args.jax_python)


if __name__ == "__main__":
    main()
