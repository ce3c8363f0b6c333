"""Captured and eager steps beside torch, torch with fused optimizers, torch.compile and JAX.

    python benchmarks/captured.py [NAME …] [--rounds N] [--cpu-time] [--peers torch jax]

Each variant is a process of its own, and they take turns. It prints the medians, ours over the best
peer's, what the first calls took (recording and compiling in them: the medians are without it), and
the most memory that steps needed above what the process had when everything was imported. Who takes
longer than `--limit` seconds for the first calls is ended, and a line says so. Names are those of
`tensorlite bench steps` and `tensorlite bench ops`, and the larger ones below. With `--cpu-time`
one thread runs, and its time on the processor is counted, which other processes disturb less.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import json
import os
import select
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

SLOW_BLAS = ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE")
PEERS = ("torch", "torch fused", "torch.compile", "jax")
OURS = ("eager", "captured")
NAMES = (
    *("mlp", "mlp-large", "cnn", "gpt", "lstm", "adam10m"),
    *("gelu", "cross-entropy", "layer-norm", "dropout", "bias-relu"),
)
LARGER: dict[str, tuple] = {"gpt-192": (4, 192), "gpt-384": (6, 384), "gpt-768": (4, 768)}
# And mlp-4096, bert and bert-forward.
ROUND = 0.4  # seconds


# --- one variant ----------------------------------------------------------------------------------


def build(variant: str, name: str, threads: int) -> Callable[[], Any]:
    """What to time."""
    from tensorlite.bench.frameworks import Framework
    from tensorlite.bench.ops import OPS, both_ways
    from tensorlite.bench.steps import STEPS, gpt

    if variant == "jax":
        from tensorlite.bench import in_jax

        kind = "ops" if name in OPS else "steps"
        phases, _ = in_jax.build(kind, name, "cpu", "float32")
        return phases["both" if kind == "ops" else "step"]
    ours = variant in OURS
    framework = Framework("tensorlite" if ours else "torch", "cpu", "float32", threads)
    if ours:
        framework.library.set_num_threads(threads)
    if variant in ("torch fused", "torch.compile"):
        framework.optim = _Fused(framework.optim)
    if variant == "torch.compile":
        load = framework.load
        framework.load = lambda model: framework.library.compile(load(model))  # type: ignore
    if name in OPS:
        made = framework.library.compile if variant == "torch.compile" else None
        step = both_ways(framework, name, made)["both"]
    elif name in LARGER:
        step = gpt(framework, *LARGER[name], 256)
    elif name == "mlp-4096":
        step = _wide(framework)
    elif name in ("bert", "bert-forward"):
        step = _bert(framework, name == "bert")
    else:
        step = STEPS[name](framework)
        if variant == "torch.compile" and name.startswith("adam"):  # which has no model
            step = framework.library.compile(step)
    return framework.library.capture(step) if variant == "captured" else step


def _wide(framework: Any) -> Callable[[], Any]:
    from tensorlite.bench import steps

    model = steps.make_mlp(framework, (4096, 4096, 4096))
    return steps._train(framework, model, "Adam", *steps._batch(framework, (256, 4096), 10))


def _bert(framework: Any, training: bool) -> Callable[[], Any]:
    """A model of BERT's shape: 6 layers 384 wide, 8 sequences of 128 out of 8,000 words, AdamW."""
    from tensorlite.bench import steps

    nn: Any = framework.nn

    class Bert(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.words = nn.Embedding(8000, 384)
            self.positions = nn.Parameter(framework.library.zeros(128, 384))
            layer = nn.TransformerEncoderLayer(384, 6, 1536, activation="gelu", batch_first=True)
            self.encoder = nn.TransformerEncoder(layer, 6)
            self.out = nn.Linear(384, 8000)

        def forward(self, x: Any) -> Any:
            return self.out(self.encoder(self.words(x) + self.positions))

    rng = np.random.default_rng(1)
    words, labels = (framework.tensor(rng.integers(0, 8000, (8, 128))) for _ in range(2))
    if training:
        return steps._train(framework, Bert(), "AdamW", words, labels.reshape(-1))
    model = framework.load(Bert()).eval()
    return framework.library.no_grad()(lambda: model(words))


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


def processor_time(step: Callable[[], Any], budget: float) -> float:
    """Seconds of the processor that a call takes."""
    calls, start = 0, time.process_time()
    while calls == 0 or time.process_time() - start < budget:
        step()
        calls += 1
    return (time.process_time() - start) / calls


def _import_all(variant: str) -> None:
    """Import what a step uses: code is no memory of a step."""
    modules = {"jax": ["jax"], "captured": ["tensorlite.nn", "tensorlite.recording.capture"]}
    modules |= {"eager": ["tensorlite.nn"], "torch.compile": ["torch", "torch._dynamo"]}
    for module in modules.get(variant, ["torch"]):
        importlib.import_module(module)


def work(variant: str, name: str, threads: int, cpu_time: bool) -> None:
    """Say what the first calls took; then, for every line that comes, the seconds of a call."""
    from tensorlite.bench.worker import _time

    _import_all(variant)
    base = _status("VmRSS")
    step = build(variant, name, threads)
    start = time.perf_counter()
    for _ in range(3):
        step()
    first = time.perf_counter() - start
    recording = _status("VmHWM") - base
    if variant == "captured":
        step.wait()  # type: ignore[attr-defined]
        step()
    if variant in OURS:
        import tensorlite

        tensorlite.empty_cache()
    with contextlib.suppress(OSError), open("/proc/self/clear_refs", "w") as file:
        file.write("5")  # from here on the most is counted anew
    print(json.dumps({"first": first, "recording": recording}), flush=True)
    framework = "jax" if variant == "jax" else "ours"
    for _ in sys.stdin:
        wall = None if cpu_time else _time(step, ROUND, "cpu", framework)
        seconds = processor_time(step, ROUND) if wall is None else wall
        print(json.dumps({"seconds": seconds, "memory": _status("VmHWM") - base}), flush=True)


# --- all of them ----------------------------------------------------------------------------------


class Process:
    """A variant, which waits for its turn."""

    def __init__(
        self, variant: str, name: str, python: str, limit: float, threads: int, cpu_time: bool
    ) -> None:
        env = {k: v for k, v in os.environ.items() if k not in SLOW_BLAS}
        env |= {f"{what}_NUM_THREADS": str(threads) for what in ("OPENBLAS", "OMP", "MKL")}
        env["NPROC"] = str(threads)
        if variant == "jax":
            env["TENSORLITE_KERNELS"] = "reference"  # of which only the initial weights are used
        options = ["--threads", str(threads), *(["--cpu-time"] if cpu_time else [])]
        self.process = subprocess.Popen(
            [python, __file__, *options, "--worker", variant, name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=env,
            start_new_session=True,  # with the compilers that it may start
        )
        ready = select.select([self.process.stdout], [], [], limit)[0]
        self.told = self.read() if ready else {}
        if not self.told:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.communicate()
            why = f"not ready in {limit:.0f} s" if not ready else "ended with an error"
            print(f"  {variant:14} {why}")
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
        self.process.stdin.write(b"go\n")
        self.process.stdin.flush()
        found = self.read()
        self.seconds.append(found["seconds"])
        self.memory = found["memory"]


def compare(name: str, rounds: int, wanted: list[str], jax_python: str, *how: Any) -> None:
    """Print the lines of one workload."""
    pythons = {"jax": jax_python}
    print(f"{name}:")
    running = {v: Process(v, name, pythons.get(v, sys.executable), *how) for v in (*OURS, *wanted)}
    running = {variant: process for variant, process in running.items() if process.told}
    for i in range(rounds):
        for process in list(running.values())[:: 1 if i % 2 else -1]:
            process.measure()
    peers = [variant for variant in wanted if variant in running]
    median = {v: statistics.median(process.seconds) for v, process in running.items()}
    best = min(peers, key=lambda v: median[v], default=None)
    print(f"  best peer {best}")
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
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--limit", type=float, default=300, help="seconds for the first calls")
    parser.add_argument("--cpu-time", action="store_true", help="of one thread")
    parser.add_argument("--peers", nargs="+", choices=PEERS, default=list(PEERS))
    parser.add_argument("--jax-python", default=sys.executable, help="a Python that has JAX")
    parser.add_argument("--worker", nargs=2, help=argparse.SUPPRESS)
    args = parser.parse_args()
    how = (1 if args.cpu_time else args.threads, args.cpu_time)
    if args.worker:
        work(*args.worker, *how)
        return
    for name in args.names:
        compare(name, args.rounds, args.peers, args.jax_python, args.limit, *how)


if __name__ == "__main__":
    main()
