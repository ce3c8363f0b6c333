"""A process that watches those of a training on its machine: ``watch.py FILE SIZE PID:PIPE …``.

It prints which of them was killed or stopped, after how many steps and where, and ends the others.
A thread in one of them could not do this: mpiexec ends all of them when one is gone.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from table import (  # type: ignore[import-not-found]  # beside this file, which runs by itself
    Table,
    described,
    saved,
    segments_of,
    state_of,
)

PAUSE = 0.25  # seconds between two looks
STOPPED = 4.0  # seconds that a process may be stopped while others are not
GRACE = 1.0  # seconds that mpiexec has to end the others


def main() -> None:
    """Watch until all have ended."""
    file, size, *numbers = sys.argv[1:]
    table, pairs = Table(int(file)), [number.split(":") for number in numbers]
    pids = [int(pid) for pid, _ in pairs]
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):
        signal.signal(getattr(signal, name), signal.SIG_IGN)
    poll, handles = _handles(pids, [int(pipe) for _, pipe in pairs])
    segments = set().union(*map(segments_of, pids))
    print("ready", flush=True)
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # its end is not waited for
    since: dict[int, float] = {}  # when each of those that are stopped was seen to be
    order: list[int] = []  # of their ends
    while True:
        ended = _rest(poll, handles, PAUSE)
        facts = table.all()
        states = [state_of(pid) for pid in pids]
        if any(state in "ZX" for state in states):
            # This process may have been kept waiting, and what it waited for run out of time.
            ended += _rest(poll, handles, 0)
        order += [row for row in dict.fromkeys(ended) if row not in order]
        if any(each.get("said") for each in facts):
            return  # the process that raised has printed it
        dead = {row: state for row, state in enumerate(states) if state in "ZX"}
        lost = {row: state for row, state in dead.items() if not facts[row].get("left")}
        if lost:
            # The one that ended first, though mpiexec may have been quicker with the others.
            gone = [row for row in order if not facts[row].get("left")]
            first = (gone or list(lost))[0]
            _tell(facts, first, size, "was killed")
            _end(pids, GRACE)
            _remove(segments, pids)
            return
        if len(dead) == len(pids):
            return
        if len(order) > len(dead):
            time.sleep(0.001)  # its files are closed, and it is there still
        for handle in [handle for handle, row in handles.items() if row in dead]:
            assert poll is not None  # else there were no handles
            poll.unregister(handle)
            del handles[handle]
        stopped = [row for row, state in enumerate(states) if state == "T"]
        if len(stopped) + len(dead) == len(pids):
            stopped = []  # by Ctrl-Z, all of them
        now = time.monotonic()
        since = {row: since.get(row, now) for row in stopped}
        for row, begun in since.items():
            if now - begun > STOPPED:
                _tell(facts, row, size, f"has been stopped for {STOPPED:g} s")
                _end(pids, 0.0)
                _remove(segments, pids)
                return


def _rest(poll: select.epoll | None, rows: dict[int, int], pause: float) -> list[int]:
    """Wait a little, or until a process ends; return those that have, in the order of their ends.

    epoll reports them in that order; poll does not.
    """
    if poll is None:
        time.sleep(pause)
        return []
    return [rows[handle] for handle, _ in poll.poll(pause)]


def _handles(pids: list[int], pipes: list[int]) -> tuple[select.epoll | None, dict[int, int]]:
    """What wakes this process when one of them ends, where the system has that; and whose it is.

    Of a process that is killed the files are closed first, its pipe among them, which mpiexec
    notices, too, and then kills the others. Where a child has the pipe, its end is awaited itself.
    """
    if not hasattr(select, "epoll"):
        return None, {}
    poll, rows = select.epoll(), {}
    for row, (pid, pipe) in enumerate(zip(pids, pipes, strict=True)):
        rows[pipe] = row
        poll.register(pipe, select.EPOLLHUP)
        with contextlib.suppress(OSError, AttributeError):
            handle = os.pidfd_open(pid)
            rows[handle] = row
            poll.register(handle, select.EPOLLIN)
    return poll, rows


def _tell(all_facts: list[dict], row: int, size: str, what: str) -> None:
    """Say it where the ranks do; mpiexec goes on forwarding until this process has ended, too."""
    facts = all_facts[row]
    known = next((each for each in all_facts if each.get("checkpoint")), {})
    with contextlib.suppress(OSError):
        print(
            f"tensorlite: rank {facts.get('rank')} of {size} (process {facts.get('pid')}) {what} "
            f"{described(facts)}{saved(known)}",
            file=sys.stderr,
            flush=True,
        )


def _end(pids: list[int], grace: float) -> None:
    """End the processes, once mpiexec has had time to do it."""
    until = time.monotonic() + grace
    while time.monotonic() < until and any(state_of(pid) not in "ZX" for pid in pids):
        time.sleep(0.02)
    for pid in pids:
        with contextlib.suppress(OSError):
            os.kill(pid, signal.SIGKILL)


def _remove(segments: set[str], pids: list[int]) -> None:
    """Remove shared memory that MPICH leaves behind where a process was killed."""
    until = time.monotonic() + GRACE
    while time.monotonic() < until and any(state_of(pid) not in "ZX" for pid in pids):
        time.sleep(0.02)
    for segment in segments:
        with contextlib.suppress(OSError):
            os.unlink(segment)


if __name__ == "__main__":
    main()
