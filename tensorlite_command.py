"""What ``tensorlite`` and ``python -m tensorlite`` begin with: Ctrl-C, before a large import.

It lies beside the package, whose own import takes most of the time until the command begins. What
it imports itself, Python has loaded before.
"""

import _signal as signal  # the module `signal` takes longer than all of this
import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import FrameType
    from typing import NoReturn

__all__ = ["main", "ready"]

_running = False  # whether the command has begun, and tells of Ctrl-C itself


def ready() -> None:
    """End the process in one line at Ctrl-C, unless it is ignored, as under ``nohup``."""
    if signal.getsignal(signal.SIGINT) in (signal.default_int_handler, signal.SIG_DFL):
        signal.signal(signal.SIGINT, interrupted)


def interrupted(number: int, frame: "FrameType | None") -> None:
    """What Ctrl-C does: as usual, but for the beginning, the end, and an import in between.

    There an exception would be shown with its traceback, or get lost: Python imports modules with
    functions whose exceptions it ignores.
    """
    if _running and not _imports(frame):
        raise KeyboardInterrupt
    _end()


interrupted.is_usual = True  # see tensorlite.training.interruption


def _end() -> "NoReturn":
    try:
        os.write(2, b"\ninterrupted\n")
    finally:
        os._exit(130)


def _imports(frame: "FrameType | None") -> bool:
    while frame is not None:
        if frame.f_code.co_filename == "<frozen importlib._bootstrap>":
            return True
        frame = frame.f_back
    return False


def main() -> int:
    """Run the command line; return the status to exit with."""
    global _running
    ready()
    from tensorlite.cli import main as run

    try:
        _running = True
        return run()
    except KeyboardInterrupt:  # while the arguments are read
        _end()
    finally:
        _running = False


if __name__ == "__main__":
    sys.exit(main())
