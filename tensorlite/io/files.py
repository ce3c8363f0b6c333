"""Files: written all or not at all, read from paths and from open files alike."""

from __future__ import annotations

import contextlib
import errno
import itertools
import os
import shutil
import stat
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]  # not on Windows

__all__ = [
    "PARTIAL",
    "is_path",
    "name_of",
    "opened",
    "shortened",
    "sweep",
    "write_atomically",
    "write_to",
]

PARTIAL = ".partial"  # ends the names of files not yet complete
_numbers = itertools.count()


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


def write_to(f: Any, write: Callable[[IO[bytes]], Any], size: int | None = None) -> None:
    """Let `write` fill `f`: a path, atomically, or an open file from where it stands.

    `size` is how many bytes that will be, about, for the message about a full disk.
    """
    if is_path(f):

        def fill(name: str) -> None:
            with open(name, "wb") as file:
                write(file)

        write_atomically(f, fill, size)
    elif hasattr(f, "write"):
        write(f)
    else:
        raise TypeError(
            f"save(obj, f): f is a {type(f).__name__}, and neither a path nor a file opened for "
            "writing: the object comes first, then the file"
        )


def write_atomically(
    path: str | os.PathLike, write: Callable[[str], Any], size: int | None = None
) -> None:
    """Let `write` fill a temporary file beside `path`, then put it in the place of `path`.

    Whatever happens in between, a power failure included, `path` is the old file or the new one.
    The new file has the old one's permissions, or those of any new file; a link stays a link. What
    is no ordinary file (``/dev/stdout``) is written to as it is. Temporary files of processes that
    were killed are taken away.

    Raises
    ------
    OSError
        If that fails; says what, where and why, and `size` beside the room there is.

    Examples
    --------
    >>> from pathlib import Path
    >>> tl.io.write_atomically("notes.txt", lambda path: Path(path).write_text("done"))
    >>> Path("notes.txt").read_text()
    'done'
    """
    path = Path(os.path.realpath(path))
    handled = sys.exception()
    try:
        mode = path.stat().st_mode if path.exists() else None
        if mode is not None and not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
            write(str(path))
            return
        if not path.parent.is_dir():
            raise FileNotFoundError(errno.ENOENT, f"there is no folder {path.parent}")
        if mode is not None and stat.S_ISDIR(mode):
            raise IsADirectoryError(errno.EISDIR, "it is a folder")
        sweep(path.parent, path.name)
        _replace(path, write, mode)
    except Exception as error:
        cause = _os_error(error, handled)
        if cause is None:
            raise
        raise type(cause)(cause.errno, _explained(path, cause, size)) from error


def _replace(path: Path, write: Callable[[str], Any], mode: int | None) -> None:
    partial, held = _begun(path)
    try:
        write(str(partial))
        if mode is not None:
            os.chmod(partial, stat.S_IMODE(mode))
        with open(partial, "rb+") as file:
            os.fsync(file.fileno())
        if fcntl is None:  # Windows moves no open file
            os.close(held)
            held = -1
        os.replace(partial, path)
        _sync_folder(path.parent)
    except BaseException:
        with contextlib.suppress(OSError):
            partial.unlink()
        raise
    finally:
        if held >= 0:
            os.close(held)


def _begun(path: Path) -> tuple[Path, int]:
    """Make a temporary file, open and locked, so that others know that it is not left over."""
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_CLOEXEC", 0)
    while True:
        partial = path.with_name(f".{path.name}.{os.getpid()}-{next(_numbers)}{PARTIAL}")
        try:
            held = os.open(partial, flags, 0o666)
        except FileExistsError:  # of a process that is gone, and had the same number
            continue
        if _lock(held) and os.fstat(held).st_nlink:  # else somebody was faster and swept it
            return partial, held
        os.close(held)


def _sync_folder(folder: Path) -> None:
    """Let the new name, too, outlast a power failure, where folders can be synchronised."""
    with contextlib.suppress(OSError):
        file = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(file)
        finally:
            os.close(file)


def sweep(folder: Path, name: str = "") -> None:
    """Take away the temporary files for `name`, or for all names, of processes that are gone.

    Parameters
    ----------
    folder : Path
        Where they are.

    Examples
    --------
    >>> from pathlib import Path
    >>> tl.io.sweep(Path("."))
    """
    try:
        with os.scandir(folder) as entries:
            found = [
                entry.path
                for entry in entries
                if entry.name.endswith(PARTIAL) and entry.name.startswith(f".{name}")
            ]
    except OSError:
        return
    for path in found:
        with contextlib.suppress(OSError):
            if not _is_being_written(path):
                os.unlink(path)


def _is_being_written(path: str) -> bool:
    if fcntl is None:  # nobody can tell: an open file cannot be removed there
        return False
    file = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        return not _lock(file)
    finally:
        os.close(file)


def _lock(file: int) -> bool:
    """Mark a file as being written; False if somebody else has."""
    if fcntl is not None:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError:  # a file system without locks
            pass
    return True


# --- what went wrong ------------------------------------------------------------------------------


def _os_error(error: BaseException | None, handled: BaseException | None) -> OSError | None:
    """What the system said, where libraries say something else about it later on.

    `handled` is an exception that was there before, and has nothing to do with it.
    """
    while error is not None and error is not handled:
        if isinstance(error, OSError) and error.errno is not None:
            return error
        error = error.__cause__ or error.__context__
    return None


def _explained(path: Path, error: OSError, size: int | None) -> str:
    """What could not be written, where, and why."""
    why = error.strerror or str(error)
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        why = (
            "the disk is full" if error.errno == errno.ENOSPC else "your share of the disk is full"
        )
    elif error.errno == errno.EFBIG:
        why = "the file would be larger than the system allows (see ulimit -f)"
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        needed = "" if size is None else f"; it needs {_bytes(size)}"
        with contextlib.suppress(OSError):
            free = shutil.disk_usage(path.parent).free
            needed += f"{', and' if needed else ';'} {_bytes(free)} are free in {path.parent}"
        why += needed
    return f"{path} cannot be written: {why}"


def shortened(text: str, longest: int = 300) -> str:
    """A text that may quote a whole file, without its middle."""
    if len(text) <= longest:
        return text
    return f"{text[: longest // 2]} … {text[-longest // 2 :]}"


def _bytes(count: int) -> str:
    for unit, size in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= size:
            return f"{count / size:.1f} {unit}"
    return f"{count} bytes"
