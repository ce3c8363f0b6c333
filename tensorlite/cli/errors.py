"""Errors that the command line reports in one message instead of a traceback."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


class UsageError(Exception):
    """The command was given wrongly: exit status 2."""


@contextmanager
def usage() -> Iterator[None]:
    """Report a `ValueError` raised inside as wrong usage."""
    try:
        yield
    except ValueError as error:
        raise UsageError(str(error)) from error
