"""A shared table of the processes of one machine, readable even if one hangs or is gone.

MPI does not report a process that was stopped or killed. So each process writes into its row of a
file, which all of them map: how many steps it has taken, which line it is at, what it waits for. A
process that waits too long reads there which one it waits for; `watch`, a process of its own, reads
which of them is dead.

Nothing but the standard library is imported here: `watch` begins in some milliseconds.
"""

from __future__ import annotations

import contextlib
import json
import mmap
import os
from typing import Any

ROW = 2048  # bytes of a process


class Table:
    """Rows of short facts, one row per process of this machine.

    Parameters
    ----------
    file
        A path, or a descriptor of a file that is open.
    rows
        How many, to make the file.
    """

    def __init__(self, file: str | int, rows: int | None = None) -> None:
        flags = os.O_RDWR | (os.O_CREAT | os.O_EXCL if rows else 0)
        self.file = file if isinstance(file, int) else os.open(file, flags, 0o600)
        if rows:
            os.ftruncate(self.file, rows * ROW)
        self.rows = os.fstat(self.file).st_size // ROW
        self._map = mmap.mmap(self.file, self.rows * ROW)

    def write(self, row: int, facts: dict[str, Any]) -> None:
        """Write the row of a process."""
        text = json.dumps(facts).encode()
        if len(text) <= ROW:
            self._map[row * ROW : (row + 1) * ROW] = text.ljust(ROW, b"\0")

    def read(self, row: int) -> dict[str, Any]:
        """The row of a process; empty if it has not been written, or is being written just now."""
        for _ in range(3):
            text = self._map[row * ROW : (row + 1) * ROW].rstrip(b"\0")
            with contextlib.suppress(ValueError):
                return json.loads(text) if text else {}
        return {}

    def all(self) -> list[dict[str, Any]]:
        """The rows of all processes."""
        return [self.read(row) for row in range(self.rows)]


def described(facts: dict[str, Any]) -> str:
    """Where a process is, in words."""
    place = f" at {facts['at']}" if facts.get("at") else ""
    return f"after {facts.get('steps', 0)} steps{place}"


def saved(facts: dict[str, Any]) -> str:
    """The checkpoint to resume from, in words."""
    checkpoint = facts.get("checkpoint")
    return f"; the last checkpoint is {checkpoint}" if checkpoint else ""


def state_of(pid: int) -> str:
    """What a process does: "T": it is stopped; "Z", "X": it has ended; else it lives."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return chr(file.read().rpartition(b")")[2].split()[0][0])
    except OSError:
        if os.path.isdir("/proc/self"):
            return "X"
    try:
        os.kill(pid, 0)
    except OSError:
        return "X"
    return "R"


def segments_of(pid: int | str) -> set[str]:
    """The files of shared memory that MPICH has made for a process, and leaves if it is ended."""
    found: set[str] = set()
    with contextlib.suppress(OSError), open(f"/proc/{pid}/maps") as maps:
        names = [line.split(maxsplit=5)[-1].strip() for line in maps]
        found |= {name for name in names if name.startswith("/dev/shm/mpich_shm")}
    return found
