"""A rank that fails ends all of them, and says which it was and where."""

from __future__ import annotations

import os
import sys
import traceback
from types import TracebackType
from typing import Any

from tensorlite.ranks import World

_HERE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def joined(world: World) -> None:
    """From now on an exception that nobody catches ends all processes.

    Otherwise the others would wait for this one for ever: MPI does not end with a rank.
    """
    before = sys.excepthook

    def hook(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        before(kind, error, trace)
        end_all(world, error)

    sys.excepthook = hook


def end_all(world: World, error: BaseException) -> None:
    """Say what happened on this rank, and end all of them."""
    place = where(error)
    print(
        f"tensorlite: rank {world.rank} of {world.size} raised {type(error).__name__}{place} after "
        f"{world.link.steps} steps: {error}",
        file=sys.stderr,
        flush=True,
    )
    sys.stdout.flush()
    world.link.abort()


def where(error: BaseException) -> str:
    """The line of the user's program that led to an error."""
    frames: list[Any] = traceback.extract_tb(error.__traceback__)
    own = [f for f in frames if not os.path.abspath(f.filename).startswith(_HERE)]
    return f" at {own[-1].filename}:{own[-1].lineno}" if own else ""
