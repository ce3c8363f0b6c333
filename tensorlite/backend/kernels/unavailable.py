"""The error and the note for machines without compiled kernels."""

from __future__ import annotations

import sys


class KernelsUnavailable(RuntimeError):
    """No kernels can be compiled or loaded on this machine; the message says what is missing."""


def say(message: str) -> None:
    """Tell the user something once, apart from the program's own output."""
    print(f"tensorlite: {message}", file=sys.stderr, flush=True)
