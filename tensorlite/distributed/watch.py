"""A process that watches those of a training on its machine: ``watch.py FILE SIZE PIDS``.

It says which of them was killed or stopped, after how many steps and where, and ends the others. A
thread of theirs could not: mpiexec ends all of them when it sees that one is gone.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from table import Table, described, saved, state_of

PAUSE = 0.25  # seconds between two looks
STOPPED = 4.0  # seconds that a process may be stopped while others are not
GRACE = 1.0  # seconds that mpiexec has to end the others


def main() -> None:
    """Watch until all have ended."""
    file, size, *numbers = sys.argv[1:]
    table, pids = Table(int(file)), [int(number) for number in numbers]
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):
        signal.signal(getattr(signal, name), signal.SIG_IGN)
    poll, handles = _handles(pids)
    print("ready", flush=True)
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # nobody waits for its end
    since: dict[int, float] = {}  # when each of those that are stopped was seen to be
    while True:
        ended = _rest(poll, handles)
        facts = table.all()
        states = [state_of(pid) for pid in pids]
        if any(each.get("said") for each in facts):
            return  # who raised has told of it
        dead = {row: state for row, state in enumerate(states) if state in "ZX"}
        lost = {row: state for row, state in dead.items() if not facts[row].get("left")}
        if lost:
            # mpiexec may have been quicker with the others: the one that died first.
            first = min(lost, key=lambda row: ended.index(row) if row in ended else len(pids))
            _tell(facts, first, size, "was killed")
            _end(pids, GRACE)
            return
        if len(dead) == len(pids):
            return
        for row in dead:
            if row in handles:
                poll.unregister(handles.pop(row))
        stopped = [row for row, state in enumerate(states) if state == "T"]
        if len(stopped) + len(dead) == len(pids):
            stopped = []  # by Ctrl-Z, all of them
        now = time.monotonic()
        since = {row: since.get(row, now) for row in stopped}
        for row, begun in since.items():
            if now - begun > STOPPED:
                _tell(facts, row, size, f"has been stopped for {STOPPED:g} s")
                _end(pids, 0.0)
                return


def _rest(poll: select.epoll | None, handles: dict[int, int]) -> list[int]:
    """Wait a little, or until a process ends; return those that have, in the order of their ends.

    That is the order in which epoll tells of them, unlike poll.
    """
    if poll is None:
        time.sleep(PAUSE)
        return []
    rows = {handle: row for row, handle in handles.items()}
    return [rows[handle] for handle, _ in poll.poll(PAUSE) if handle in rows]


def _handles(pids: list[int]) -> tuple[select.epoll | None, dict[int, int]]:
    """What wakes this process when one of them ends, where the system has that."""
    if not (hasattr(os, "pidfd_open") and hasattr(select, "epoll")):
        return None, {}
    poll, handles = select.epoll(), {}
    for row, pid in enumerate(pids):
        with contextlib.suppress(OSError):
            handles[row] = os.pidfd_open(pid)
            poll.register(handles[row], select.EPOLLIN)
    return poll, handles


def _tell(all_facts: list[dict], row: int, size: str, what: str) -> None:
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


if __name__ == "__main__":
    main()
