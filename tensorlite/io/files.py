"""Files: written all or not at all, read from paths and from open files alike."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

__all__ = ["PARTIAL", "is_path", "name_of", "opened", "write_atomically", "write_to"]

PARTIAL = ".partial"  # ends the names of files not yet complete


def is_path(f: Any) -> bool:
    """Whether `f` names a file, rather than being one."""
    return isinstance(f, str | os.PathLike)


def name_of(f: Any) -> str:
    """What messages call a file."""
    return str(f) if is_path(f) else str(getattr(f, "name", "the file given"))


@contextlib.contextmanager
def opened(f: Any) -> Iterator[IO[bytes]]:
    """Open a path for reading; take an open file as it is, from where it stands.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    TypeError
        If an open file cannot be read from, or not at any place.
    """
    if is_path(f):
        if not os.path.exists(f):
            raise FileNotFoundError(f"{f}: there is no such file")
        with open(f, "rb") as file:
            yield file
        return
    missing = [name for name in ("read", "seek", "tell") if not hasattr(f, name)]
    if missing:
        raise TypeError(
            f"load: a path, or a file opened for reading in binary mode, is needed; a "
            f"{type(f).__name__} has no {missing[0]}()"
        )
    yield f


def write_to(f: Any, write: Callable[[IO[bytes]], Any]) -> None:
    """Let `write` fill `f`: a path, atomically, or an open file from where it stands."""
    if is_path(f):

        def fill(name: str) -> None:
            with open(name, "wb") as file:
                write(file)

        write_atomically(f, fill)
    elif hasattr(f, "write"):
        write(f)
    else:
        raise TypeError(
            f"save(obj, f): f is a {type(f).__name__}, and neither a path nor a file opened for "
            "writing: the object comes first, then the file"
        )


def write_atomically(path: str | os.PathLike, write: Callable[[str], Any]) -> None:
    """Let `write` fill a temporary file beside `path`, then put it in the place of `path`.

    Whatever happens in between, a power failure included, `path` is the old file or the new one.
    The new file has the old one's permissions, or those of any new file; a link stays a link. What
    is no ordinary file (``/dev/stdout``) is written to as it is.
    """
    path = Path(os.path.realpath(path))
    mode = path.stat().st_mode if path.exists() else None
    if mode is not None and not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
        write(str(path))
        return
    partial = path.with_name(f".{path.name}.{os.getpid()}{PARTIAL}")
    try:
        write(str(partial))
        if mode is not None:
            os.chmod(partial, stat.S_IMODE(mode))
        with open(partial, "rb+") as file:
            os.fsync(file.fileno())
        os.replace(partial, path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
