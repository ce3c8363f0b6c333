"""A rank that fails ends all ranks, and prints its number and the line."""

from __future__ import annotations

import contextlib
import os
import sys
import sysconfig
import time
import traceback
from types import TracebackType
from typing import Any

from tensorlite.distributed.table import segments_of
from tensorlite.ranks import World

_TURN, _LAST = 0.2, 3.0  # seconds
_HERE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
_OWN = _HERE + os.sep, _HERE + "_command.py"  # the package, and what lies beside it
_PATHS = ("stdlib", "purelib", "platlib", "scripts")
_LIBRARIES = tuple({sysconfig.get_path(name) + os.sep for name in _PATHS})


def joined(world: World) -> None:
    """From now on an uncaught exception in this process ends all processes.

    Otherwise the others would wait for this one for ever: MPI does not end with a rank.
    """
    before = sys.excepthook

    def hook(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        _await_turn(world, error)
        before(kind, error, trace)
        if issubclass(kind, KeyboardInterrupt):
            _abort(world, 130)
        else:
            end_all(world, error)

    sys.excepthook = hook


def end_all(world: World, error: BaseException, said: str | None = None) -> None:
    """Say what happened on this rank, and end all of them.

    An error that all ranks have is printed by the first one only: it ends the others before they
    print it.

    Parameters
    ----------
    world, error
        Where, and what.
    said
        What is printed before it.
    """
    _await_turn(world, error)
    place = where(error)
    print(
        f"{said + chr(10) if said else ''}"
        f"tensorlite: rank {world.rank} of {world.size} raised {type(error).__name__}{place} after "
        f"{world.link.steps} steps{'' if said else f': {error}'}{saved(world)}",
        file=sys.stderr,
        flush=True,
    )
    _abort(world, 1)


def _abort(world: World, status: int) -> None:
    sys.stdout.flush()
    sys.stderr.flush()
    if world.beat is not None:
        world.beat.said = True
        world.beat.tell()
    for segment in segments_of("self"):  # all have it open, and MPICH would leave it
        with contextlib.suppress(OSError):
            os.unlink(segment)
    world.link.abort(status)


def _await_turn(world: World, error: BaseException) -> None:
    """Wait a moment for lower ranks, or for `watch` if a process is gone, to print first."""
    if world.is_ending:
        return
    world.is_ending = True
    if type(error).__module__.startswith("mpi4py") and world.beat is not None:
        for _ in range(20):
            if world.beat.has_lost():
                time.sleep(_LAST)  # this process is ended meanwhile
                break
            time.sleep(0.05)
    time.sleep(min(_TURN * world.rank, _LAST))


def saved(world: World) -> str:
    """The end of a message, which names the checkpoint to resume from; "" if there is none."""
    if world.checkpoint is None:
        return ""
    return f"; the last checkpoint is {world.checkpoint}"


def where(error: BaseException) -> str:
    """The line of the user's program that led to an error."""
    frames: list[Any] = traceback.extract_tb(error.__traceback__)
    own = [f for f in frames if is_users(f.filename)] or frames
    return f" at {own[-1].filename}:{own[-1].lineno}" if own else ""


def is_users(name: str) -> bool:
    """Whether a file of code is of the user's program: not of tensorlite, nor of a library."""
    file = os.path.abspath(name)
    return not (name.startswith("<") or file.startswith((*_OWN, *_LIBRARIES)))
