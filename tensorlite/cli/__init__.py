"""The ``tensorlite`` command."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from tensorlite.cli.errors import UsageError
from tensorlite.cli.parser import parse

__all__ = ["main"]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Parameters
    ----------
    argv
        The arguments; those of the process by default.

    Returns
    -------
    int
        Exit status: 0, 1 for an error, 2 for wrong usage, 130 after Ctrl-C.
    """
    for stream in (sys.stdout, sys.stderr):  # where a terminal lacks a character, show "?"
        stream.reconfigure(errors="replace")
    args = parse(argv)
    try:
        return args.run(args)
    except KeyboardInterrupt:
        print("\ninterrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:  # `tensorlite data | head`: the reader has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except Exception as error:
        if args.debug:
            raise
        print(f"tensorlite {args.command}: {_message(error)}", file=sys.stderr)
        return 2 if isinstance(error, UsageError) else 1


def _message(error: Exception) -> str:
    """What an error says; its kind too where that is not meant for users."""
    expected = (UsageError, ValueError, TypeError, RuntimeError, OSError, ArithmeticError)
    if isinstance(error, expected) and str(error):
        return str(error)
    return f"{type(error).__name__}: {error} (--debug shows the traceback)"
