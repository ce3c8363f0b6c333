"""Two processes beside one, beside PyTorch's DistributedDataParallel, and beside no communication.

    python benchmarks/parallel.py [--rounds 7] [mlp-large cnn gpt]

Every process computes on one thread. All take their turns in one run, so that a busy machine
disturbs them alike; what is printed are medians over the turns, of ratios within a turn. It needs
two idle cores, ``pip install "tensorlite[mpi]"``, and for the comparison torch with gloo.

    one     one process, on twice the batch
    two     two processes, each on the batch
    apart   the same without communication: two trainings that have nothing to do with each other
    alone   one of these, while the other core is idle
    ddp     PyTorch's

"machine" is apart beside alone: how much slower two cores are at once, where nothing is exchanged.
"limit" is what two processes could give without communication, in samples per second against one.
Where other programs run, "cpu" still holds: processor time of a step, two beside apart.

The first line is the machine itself, by NumPy, in two processes that know nothing of each other:
how much longer a product of matrices that fit a core's own cache takes while the other core does
the same, and a sum of arrays that fit no cache. No training can lose less on two such cores.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from tensorlite.bench import steps
from tensorlite.bench.frameworks import Framework

BATCHES = {"mlp-large": 256, "cnn": 64, "gpt": 8}  # of a process
KINDS = ("one", "two", "apart", "alone", "ddp")
TURN = 1.5  # seconds


def build(
    framework: Framework, name: str, batch: int, wrap: Callable, share: Callable
) -> tuple[Callable[[], Any], Any]:
    """A training step, and its optimizer."""
    rng = np.random.default_rng(1)
    if name == "mlp-large":
        model, update = steps.make_mlp(framework, (784, 1024, 1024, 10)), "Adam"
        x, labels = rng.normal(size=(batch, 784)), rng.integers(0, 10, batch)
    elif name == "cnn":
        model, update = steps.make_cnn(framework), "Adam"
        x, labels = rng.normal(size=(batch, 3, 32, 32)), rng.integers(0, 10, batch)
    else:
        model, update = steps.make_gpt(framework, 4, steps.WIDTH, steps.LENGTH), "AdamW"
        tokens = rng.integers(0, steps.VOCABULARY, (batch, steps.LENGTH + 1))
        x, labels = tokens[:, :-1], tokens[:, 1:].reshape(-1)
    x, labels = framework.tensor(x), framework.tensor(labels)
    model = wrap(framework.load(model))
    optimizer = share(getattr(framework.optim, update)(model.parameters(), lr=1e-3))

    def step() -> None:
        logits = model(x)
        loss = framework.functional.cross_entropy(logits.reshape(-1, logits.shape[-1]), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    return step, optimizer


def ours(kind: str, name: str) -> tuple[Callable, Callable, int, int]:
    """A step, what makes all begin together, this process's rank, and bytes of its state."""
    import tensorlite as tl

    world = tl.distributed.init()
    tl.set_num_threads(1)
    batch = BATCHES[name] * (2 if kind == "one" else 1)
    share = tl.distributed.Sharded if kind == "two" else lambda optimizer: optimizer
    step, optimizer = build(Framework("tensorlite"), name, batch, lambda model: model, share)
    step()
    arenas = [arena for flat in optimizer._flats for arena in flat.arenas]
    state = sum(array.nbytes for arena in arenas for array in arena.state.values())
    return step, world.gather, world.rank, state


def torchs(rank: int, name: str, folder: str) -> tuple[Callable, Callable, int, int]:
    """The same of PyTorch."""
    import torch

    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{folder}/{name}", rank=rank, world_size=2
    )
    wrap = torch.nn.parallel.DistributedDataParallel
    framework = Framework("torch", threads=1)
    step, optimizer = build(framework, name, BATCHES[name], wrap, lambda optimizer: optimizer)
    step()
    state = sum(value.numel() * 4 for own in optimizer.state.values() for value in own.values())

    def gather(value: Any) -> list[Any]:
        found: list[Any] = [None, None]
        torch.distributed.all_gather_object(found, value)
        return found

    return step, gather, rank, state


def work(kind: str, name: str, rank: int, folder: str) -> None:
    """Be one process: rank 0 is told when to measure, and says what all took."""
    made = torchs(rank, name, folder) if kind == "ddp" else ours(kind, name)
    step, gather, rank, state = made
    begun = time.perf_counter()
    for _ in range(3):
        step()
    count = max(2, round(TURN / max(gather((time.perf_counter() - begun) / 3))))
    if rank == 0:
        print(json.dumps({"state": state}), flush=True)
    while gather(rank == 0 and sys.stdin.readline() != "")[0]:
        step()
        gather(None)
        begun, used = time.perf_counter(), time.process_time()
        for _ in range(count):
            step()
        seconds = max(gather((time.perf_counter() - begun) / count))
        cpu = max(gather((time.process_time() - used) / count))
        if rank == 0:
            print(json.dumps({"seconds": seconds, "cpu": cpu}), flush=True)


PROBE = """
import sys, time
import numpy as np
x, y, z = (np.ones((n, n), np.float32) for n in [256] * 3)
a, b, c = (np.ones(1 << 24, np.float32) for _ in range(3))
print(flush=True)
for line in sys.stdin:
    if line.strip() == "sum":
        work, count = lambda: np.add(a, b, out=c), 20
    else:
        work, count = lambda: np.matmul(x, y, out=z), 500
    begun = time.perf_counter()
    for _ in range(count):
        work()
    print(time.perf_counter() - begun, flush=True)
"""


def probe(rounds: int) -> dict[str, float]:
    """How much slower NumPy alone is while the other core does the same."""
    threads = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True, "bufsize": 1}
    command = [sys.executable, "-c", PROBE]
    both = [subprocess.Popen(command, env={**os.environ, **threads}, **pipes) for _ in range(2)]
    for process in both:
        process.stdout.readline()

    def seconds(what: str, processes: list[subprocess.Popen]) -> float:
        for process in processes:
            process.stdin.write(f"{what}\n")
        return max(float(process.stdout.readline()) for process in processes)

    found = {
        what: statistics.median(
            seconds(what, both) / seconds(what, both[:1]) for _ in range(rounds)
        )
        for what in ("product", "sum")
    }
    for process in both:
        process.communicate()
    return found


class Group:
    """The processes of one kind."""

    def __init__(self, kind: str, name: str, folder: str) -> None:
        def command(rank: int) -> list[str]:
            return [sys.executable, __file__, "--work", kind, str(rank), folder, name]

        beside = shutil.which("mpiexec", path=str(Path(sys.executable).parent))
        launcher = [beside or "mpiexec", "-n", "1" if kind in ("one", "alone") else "2"]
        first = command(0) if kind == "ddp" else launcher + command(0)
        threads = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
        environment = {**os.environ, **threads}
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        self.processes = [subprocess.Popen(first, env=environment, **pipes)]
        if kind == "ddp":
            self.processes.append(subprocess.Popen(command(1), env=environment))
        self.state = self._answer()["state"]

    def _answer(self) -> dict[str, Any]:
        line = self.processes[0].stdout.readline()
        if not line:
            raise SystemExit("a process has ended; what it said is above")
        return json.loads(line)

    def measure(self) -> dict[str, float]:
        """Seconds of a step, and those of the processor."""
        self.processes[0].stdin.write("\n")
        self.processes[0].stdin.flush()
        return self._answer()

    def stop(self) -> None:
        """End the processes."""
        self.processes[0].communicate()
        for process in self.processes:
            process.wait()


def measure(name: str, kinds: list[str], rounds: int) -> None:
    """Print a row of the table."""
    with tempfile.TemporaryDirectory() as folder:
        groups = {kind: Group(kind, name, folder) for kind in kinds}
        times = [{kind: group.measure() for kind, group in groups.items()} for _ in range(rounds)]
        for group in groups.values():
            group.stop()

    def ratio(a: str, b: str, what: str = "seconds") -> float:
        return statistics.median(turn[a][what] / turn[b][what] for turn in times)

    ms = [f"{1000 * statistics.median(t[k]['seconds'] for t in times):8.1f}" for k in kinds]
    state = groups["two"].state / groups["one"].state
    ddp = f"{ratio('two', 'ddp'):.2f}" if "ddp" in kinds else "-"
    print(
        f"{name:10} {' '.join(ms)}   samples/s {ratio('one', 'two'):.2f} (limit "
        f"{ratio('one', 'apart'):.2f}, machine {ratio('apart', 'alone'):.2f})   beside ddp {ddp}   "
        f"beside apart {ratio('two', 'apart'):.3f} (cpu {ratio('two', 'apart', 'cpu'):.3f})   "
        f"state {state:.3f}",
        flush=True,
    )


def main() -> None:
    """Measure what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", default=list(BATCHES))
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--without-torch", action="store_true")
    parser.add_argument("--work", nargs=3, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.work:
        kind, rank, folder = args.work
        work(kind, args.names[0], int(rank), folder)
        return
    kinds = [kind for kind in KINDS if not (args.without_torch and kind == "ddp")]
    numpys = ", ".join(f"{what} {slower:.2f}" for what, slower in probe(args.rounds).items())
    print(f"NumPy on both cores at once, beside one: {numpys}", flush=True)
    print(f"load {os.getloadavg()[0]:.1f}; median ms of a step: {', '.join(kinds)}", flush=True)
    for name in args.names:
        measure(name, kinds, args.rounds)


if __name__ == "__main__":
    main()
