"""Heartbeats: each process reports its state, and reads that of the processes it waits for."""

from __future__ import annotations

import atexit
import contextlib
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tensorlite.distributed.guard import is_users
from tensorlite.distributed.table import Table, described, state_of
from tensorlite.ranks import World

PAUSE = 0.1  # seconds between two words
LEFT = 2.0  # seconds that one waits for a process that has left the program
PATIENT = 300.0  # seconds that one waits before the first step, and for one that is busy
SLOWER = 5.0  # times the longest step so far: what another may be late
_HERE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
_THERE = os.path.join(_HERE, "distributed")


class Behind(RuntimeError):
    """Another process is too late."""


class Beat:
    """Reports the state of this process to the others on this machine, ten times per second.

    Parameters
    ----------
    world
        This process's place among all.
    table
        Shared by those of this machine; its rows are in the order of their local ranks.
    """

    def __init__(self, world: World, table: Table) -> None:
        self.world, self.table = world, table
        self.left = self.said = False
        self.life = -1  # the end of a pipe: closed when this process is gone
        self._main = threading.main_thread().ident or 0  # it has been started
        self._looked = 0.0
        self.tell()
        atexit.register(self._leave)
        threading.Thread(target=self._run, name="tensorlite beat", daemon=True).start()

    def tell(self) -> None:
        """Report where this process is."""
        world = self.world
        self.table.write(
            world.local_rank,
            {
                "rank": world.rank,
                "pid": os.getpid(),
                "steps": world.link.steps,
                "at": self._place(),
                "waiting": world.link.waiting,
                "busy": world.busy,
                "checkpoint": world.checkpoint,
                "left": self.left,
                "said": self.said,
            },
        )

    def _run(self) -> None:
        pause = threading.Event()
        while not (self.left or self.said):
            pause.wait(PAUSE)
            self.tell()

    def _leave(self) -> None:
        self.left = True
        self.tell()

    def _place(self) -> str:
        """The line of the user's program that the main thread is at, else of tensorlite's."""
        frame: Any = sys._current_frames().get(self._main)
        fallback = ""
        while frame is not None:
            name, line = frame.f_code.co_filename, frame.f_lineno
            file = os.path.abspath(name)
            if is_users(name):
                return f"{file}:{line}"
            if not fallback and file.startswith(_HERE) and not file.startswith(_THERE):
                fallback = f"{file}:{line}"
            frame = frame.f_back
        return fallback

    def has_lost(self) -> bool:
        """Whether another process of this machine has ended without reporting it."""
        rows = self.table.all()
        return any(
            facts and not facts.get("left") and state_of(facts["pid"]) in "ZX" for facts in rows
        )

    # --- the processes that are waited for ----------------------------------------------------

    def check(self, waited: float, what: str) -> None:
        """Check, from time to time, whether the processes that are waited for can still come.

        Raises
        ------
        Behind
            If one has left the program or exceeds the time limit; names it and its line.
        """
        if waited < self._looked + 2 * PAUSE and waited >= self._looked:
            return
        self._looked = waited
        link, me = self.world.link, self.world.local_rank
        others = [facts for row, facts in enumerate(self.table.all()) if row != me and facts]
        for facts in others:
            if facts.get("left") and waited > LEFT:
                raise Behind(
                    f"rank {facts['rank']} has left the program {described(facts)}, and rank "
                    f"{self.world.rank} waits for it ({what})"
                )
        limit = link.timeout
        if link.steps == 0:
            limit = max(limit, PATIENT)
        limit = max(limit, SLOWER * link.longest, link.alone)
        late = [facts for facts in others if not facts.get("waiting")]
        if waited <= limit or (waited < PATIENT and any(facts.get("busy") for facts in late)):
            return
        who = [f"rank {facts['rank']} is behind: {described(facts)}" for facts in late]
        if self.world.size > self.world.local_size:
            who += [] if who else ["a rank of another machine is behind"]
        elif not who:
            who = [f"rank {facts['rank']} waits for {facts['waiting']}" for facts in others]
        raise Behind(
            f"rank {self.world.rank} waited {waited:.0f} s for {what}: {'; '.join(who)} "
            f"(longer is allowed by timeout= of init, {link.timeout:g} s here)"
        )


@contextmanager
def busy(world: World, what: str) -> Iterator[None]:
    """Let the others wait for this process as long as it takes, in a ``with`` statement."""
    before, world.busy = world.busy, what
    try:
        yield
    finally:
        world.busy = before


def begin(world: World, hosts: list[int]) -> None:
    """Start the heartbeat of each process, and one watching process per machine; all ranks call it.

    Parameters
    ----------
    world
        Just joined.
    hosts
        For each rank, the first rank on its machine.
    """
    first = hosts[world.rank]
    path, table = "", None
    ends: list[int] = []  # of pipes that the others hold open as long as they live
    if world.rank == first:
        name = f"tensorlite-{os.getpid()}-{os.urandom(6).hex()}"
        path = os.path.join(tempfile.gettempdir(), name)
        table = Table(path, world.local_size)
        for row in range(world.local_size):
            os.mkfifo(f"{path}.{row}", 0o600)
            ends.append(os.open(f"{path}.{row}", os.O_RDONLY | os.O_NONBLOCK))
    said = world.link.gather((path, os.getpid()))
    if table is None:
        table = Table(said[first][0])
    beat = Beat(world, table)
    beat.life = os.open(f"{said[first][0]}.{world.local_rank}", os.O_WRONLY)
    world.link.check, world.beat = beat.check, beat
    world.link.gather(None)  # all have it open
    if world.rank == first:
        for file in (path, *[f"{path}.{row}" for row in range(world.local_size)]):
            os.unlink(file)
        pids = [pid for rank, (_, pid) in enumerate(said) if hosts[rank] == first]
        _start_watch(table, ends, world.size, pids)
    world.link.gather(None)  # they are watched


def _start_watch(table: Table, ends: list[int], size: int, pids: list[int]) -> None:
    """Start the process that watches those of this machine; without it, ends are noticed late."""
    script = str(Path(__file__).with_name("watch.py"))
    each = [f"{pid}:{end}" for pid, end in zip(pids, ends, strict=True)]
    with contextlib.suppress(OSError):  # no more processes may be started
        watch = subprocess.Popen(
            [sys.executable, "-I", "-S", script, str(table.file), str(size), *each],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            pass_fds=[table.file, *ends],
            start_new_session=True,
            cwd="/",
        )
        assert watch.stdout is not None
        watch.stdout.readline()
        watch.stdout.close()
    for end in ends:
        os.close(end)
