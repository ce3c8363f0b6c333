"""Commands on several processes: ``mpiexec -n 4 tensorlite train``, or ``--processes 4``."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from argparse import Namespace
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

from tensorlite import distributed, ranks
from tensorlite.cli.errors import UsageError
from tensorlite.distributed import guard
from tensorlite.distributed.start import check_tasks, is_launched, recut

__all__ = ["cut", "end_all", "join", "launch"]

INTERRUPTED = (129, 130, 143)  # statuses after SIGHUP, SIGINT and SIGTERM
TIMEOUT = 8.0  # seconds that one may be late, where nothing of the user's own keeps it


def launch(count: int, args: Namespace) -> int:
    """Have mpiexec start this command `count` times.

    The process becomes mpiexec, and does not return; unless it runs `main` with arguments of its
    own, which then gets the status.

    Raises
    ------
    UsageError
        If MPI is missing, or has started this process already.
    RuntimeError
        If the processes failed, or srun has started several that know nothing of one another.
    """
    if is_launched():
        raise UsageError("--processes is not for a command that mpiexec has started")
    check_tasks()
    program = mpiexec()
    if program is None or find_spec("mpi4py") is None:
        missing = "mpiexec" if program is None else "mpi4py"
        raise UsageError(f'--processes needs {missing}: pip install "tensorlite[mpi]"')
    sys.stdout.flush()
    command = [program, "-n", str(count), sys.executable, "-m", "tensorlite", *args.typed]
    if args.is_process:
        os.execv(program, command)
    status = subprocess.call(command)
    if status not in (0, *INTERRUPTED):
        raise RuntimeError(f"the processes that mpiexec started ended with status {status}")
    return status


def mpiexec() -> str | None:
    """The mpiexec that belongs to this Python, else the one in PATH."""
    beside = shutil.which("mpiexec", path=str(Path(sys.executable).parent))
    return beside or shutil.which("mpiexec")


@contextmanager
def join() -> Iterator[None]:
    """Join the processes that mpiexec has started, in a ``with`` statement; only rank 0 prints.

    Without mpiexec there is one process, and nothing happens.
    """
    before = ranks.world()
    if not is_launched():
        check_tasks()
        try:
            yield
        finally:
            ranks.set_world(before)
        return
    world = distributed.init(timeout=TIMEOUT)
    if world.rank != 0:
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115
    yield
    distributed.finish()


def cut(shards: int | None) -> int:
    """Let batches be cut into shards: as many as there are processes by default; return how many.

    Raises
    ------
    UsageError
        If there are more processes than shards.
    """
    world = ranks.world()
    count = world.size if shards is None else shards
    if count < world.size:
        raise UsageError(
            f"{world.size} processes and {count} shards: each process computes at least one shard "
            f"of a batch; start at most {count} processes"
        )
    if world.link is not None:
        recut(count)
    else:
        ranks.set_world(ranks.World(shards=count))
    return count


def end_all(error: BaseException, said: str) -> None:
    """End all processes because of an error in this one, if there are others."""
    world = ranks.world()
    if world.size > 1:
        guard.end_all(world, error, said)
