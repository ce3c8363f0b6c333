"""Ctrl-C and the system's signals between two batches, not in the middle of an update."""

from __future__ import annotations

import contextlib
import signal
import sys
import threading
from types import FrameType, TracebackType
from typing import Any, Self

from tensorlite import ranks
from tensorlite.ranks import World

__all__ = ["Interruption", "Stopped"]


class Stopped(SystemExit):
    """SIGTERM or SIGHUP ended a run after its checkpoint was written.

    It need not be caught: the process ends without a traceback, with the status that a shell gives
    a process ended by that signal.

    Parameters
    ----------
    number : int
        Of the signal.

    Examples
    --------
    >>> issubclass(tl.training.Stopped, BaseException)
    True
    """

    def __init__(self, number: int) -> None:
        super().__init__(128 + number)
        self.number = number


class Interruption:
    """Context that turns the first Ctrl-C, SIGTERM or SIGHUP into a request.

    A second Ctrl-C interrupts at once; further SIGTERM and SIGHUP change nothing. Elsewhere than in
    the main thread, and of signals for which the program has a handler of its own or which it
    ignores, as under ``nohup``, it does nothing.

    Attributes
    ----------
    requested : bool
        Whether there was a signal.
    """

    def __init__(self) -> None:
        self.requested = False
        self._number: int | None = None
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            for name in ("SIGINT", "SIGTERM", "SIGHUP"):
                number = getattr(signal, name, None)  # Windows has no SIGHUP
                if number is None:
                    continue
                before = signal.getsignal(number)
                if _is_usual(name, before):
                    self._before[number] = before
                    signal.signal(number, self._request)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for number, usual in self._before.items():
            signal.signal(number, usual)
        self._before.clear()

    def stop(self, world: World) -> None:
        """End the run as the signal requires, in all processes, also in those that got none.

        Raises
        ------
        KeyboardInterrupt
            After Ctrl-C.
        Stopped
            After another signal.
        """
        number = next((n for n in world.gather(self._number) if n is not None), signal.SIGINT)
        if number == signal.SIGINT:
            raise KeyboardInterrupt
        raise Stopped(number)

    def _request(self, number: int, frame: FrameType | None) -> None:
        alone = ranks.world().size == 1  # else mpiexec sees to the second Ctrl-C
        if alone and number == signal.SIGINT and self._number == signal.SIGINT:
            raise KeyboardInterrupt
        if self.requested and (number != signal.SIGINT or not alone):
            return
        self.requested = True
        self._number = number
        if ranks.world().rank != 0:
            return
        again = "; Ctrl-C again stops at once" if number == signal.SIGINT else ""
        with contextlib.suppress(OSError, RuntimeError, ValueError):  # the terminal may be gone
            print(f"\nstopping after this batch{again}", file=sys.stderr)


def _is_usual(name: str, handler: object) -> bool:
    """Whether a handler is Python's own, or that of the ``tensorlite`` command."""
    if name != "SIGINT":
        return handler is signal.SIG_DFL
    return handler is signal.default_int_handler or getattr(handler, "is_usual", False)
