"""The error and the note for machines without compiled kernels."""

from __future__ import annotations

import sys


class KernelsUnavailable(RuntimeError):
    """No kernels can be compiled or loaded on this machine; the message says what is missing."""


class NotCompiled(KernelsUnavailable, AttributeError):
    """A function of the extension whose unit does not compile; what wants it uses its reference."""


def say(message: str) -> None:
    """Tell the user something once, apart from the program's own output."""
    print(f"tensorlite: {message}", file=sys.stderr, flush=True)
