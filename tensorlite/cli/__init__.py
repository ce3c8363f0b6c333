"""The ``tensorlite`` command."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Sequence

from tensorlite.cli.errors import UsageError
from tensorlite.cli.parser import parse

__all__ = ["main"]

LONGEST = 1500  # characters of a message


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Parameters
    ----------
    argv
        The arguments; those of the process by default.

    Returns
    -------
    int
        Exit status: 0, 1 for an error, 2 for wrong usage, 130 after Ctrl-C, 143 after SIGTERM.
    """
    _open_streams()
    try:
        return _run(argv)
    finally:
        _flush()


def _run(argv: Sequence[str] | None) -> int:
    args = parse(argv)
    try:
        status = args.run(args)
        sys.stdout.flush()
        return status
    except KeyboardInterrupt:
        if not int(os.environ.get("PMI_RANK") or os.environ.get("OMPI_COMM_WORLD_RANK") or 0):
            print("\ninterrupted", file=sys.stderr)  # by one process of many
        return 130
    except BrokenPipeError:  # `tensorlite data | head`: the reader has seen enough
        return 1
    except Exception as error:
        said = f"tensorlite {args.command}: {_message(error)}"
        if "tensorlite.cli.processes" in sys.modules:
            sys.modules["tensorlite.cli.processes"].end_all(error, said)
        if args.debug:
            raise
        print(said, file=sys.stderr)
        return 2 if isinstance(error, UsageError) else 1


def _open_streams() -> None:
    """Open stdin, stdout and stderr anew if a shell closed them, as with ``>&-``.

    What is printed to such a stream is lost, and no file that is opened takes its place.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest number that is free
        if getattr(sys, name) is None:
            opened = open(os.devnull, "w" if number else "r", encoding="utf-8")  # noqa: SIM115
            setattr(sys, name, opened)
    for stream in (sys.stdout, sys.stderr):  # where a terminal lacks a character, show "?"
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")


def _flush() -> None:
    """Flush the streams; if that fails, close them so that Python prints no error at its exit."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            with contextlib.suppress(OSError, ValueError):  # a stream that is no file
                os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _is_about_extras(error: Exception) -> bool:
    """Whether what is missing is a package that a user may install, and the error says so."""
    return isinstance(error, ImportError) and "pip install" in str(error)


def _message(error: Exception) -> str:
    """The text of an error, cut to a screen; with its type, if it is an internal error."""
    expected = (UsageError, ValueError, TypeError, RuntimeError, OSError, ArithmeticError)
    if isinstance(error, OSError) and error.errno is not None and error.filename is None:
        said = str(error.strerror)  # without "[Errno 28]"
    elif (isinstance(error, (*expected, MemoryError)) and str(error)) or _is_about_extras(error):
        said = str(error)
    else:
        said = f"{type(error).__name__}: {error} (--debug shows the traceback)"
    if len(said) > LONGEST:
        said = f"{said[: LONGEST // 2]} … {said[-LONGEST // 2 :]} (--debug shows all of it)"
    return said
