"""The error and the note for machines without compiled kernels."""

from __future__ import annotations

import sys


class KernelsUnavailable(RuntimeError):
    """No kernels can be compiled or loaded on this machine; the message says what is missing."""


class NotCompiled(KernelsUnavailable, AttributeError):
    """A function of the extension whose unit does not compile; what wants it uses its reference."""


class SourceRefused(KernelsUnavailable):
    """The compiler found a mistake in a source."""


def say(message: str) -> None:
    """Tell the user something once, apart from the program's own output."""
    print(f"tensorlite: {message}", file=sys.stderr, flush=True)


_said: set[str] = set()


def say_once(message: str) -> None:
    """Tell the user something, unless that was told before."""
    if message not in _said:
        _said.add(message)
        say(message)
