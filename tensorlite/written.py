"""Functions that are written out as text when first needed: tracebacks show their lines."""

from __future__ import annotations

import linecache
from types import CodeType
from typing import Any

FILES = "<tensorlite: "  # begins what stands in the place of their files' names


def compiled(text: str, what: str, mode: str = "exec") -> CodeType:
    """Compile text that this process has written; `what` it is stands in tracebacks as its file."""
    file = f"{FILES}{what}>"
    # Without a time of last change the entry is kept when the cache is checked against the disk.
    linecache.cache[file] = (len(text), None, text.splitlines(keepends=True), file)
    return compile(text, file, mode)


def expression(text: str, what: str, names: dict[str, Any] | None = None) -> Any:
    """The value of an expression that this process has written."""
    return eval(compiled(text, what, "eval"), {} if names is None else names)
