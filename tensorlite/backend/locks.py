"""Locks between processes: a file that one process holds, and that says who it is.

The operating system releases such a lock when the process ends, however it ends; a file that is
left over means nothing. On systems without such locks the file itself is the lock, and it is
removed if it names a process of this machine that no longer runs.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import platform
import stat
import sys
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import Self

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]  # not on Windows

__all__ = ["FileLock", "InUse"]

_PAUSE = 0.05  # seconds between two attempts
_PATIENT = 1.0  # seconds of waiting without a word
_NO_LOCKS = (errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOLCK, errno.ENOSYS)


class InUse(BlockingIOError):
    """Another process, or another thread of this one, holds the lock."""


class FileLock:
    """A lock that one thread of one process on one machine holds; a ``with`` statement takes it.

    The thread that holds it may take it again, through this object or another of the same path.

    Parameters
    ----------
    path
        The file. It is made; a link is not followed; it is gone when the lock is free again.
    busy
        How messages begin if the lock is taken: "runs/digits-mlp is in use".
    wait
        Seconds to wait for it; by default none.
    keep
        Leave the file in place on release, for locks that many processes wait for.

    Raises
    ------
    InUse
        If it is still taken after `wait` seconds; names the process that holds it.
    OSError
        If the file cannot be made.
    """

    def __init__(
        self, path: str | os.PathLike, busy: str, wait: float = 0.0, *, keep: bool = False
    ) -> None:
        self.path = Path(path)
        self.busy = busy
        self.wait = wait
        self.keep = keep

    def __enter__(self) -> Self:
        key = os.path.realpath(self.path)
        mine = _held.get(key)
        if mine is not None and mine.thread == threading.get_ident():
            mine.count += 1
            return self
        held = _Held(self._taken_in_time(), threading.get_ident())
        _held[key] = held
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        key = os.path.realpath(self.path)
        held = _held.get(key)
        if held is None:  # in a child, which never had it
            return
        held.count -= 1
        if held.count:
            return
        del _held[key]
        with contextlib.suppress(OSError):
            if not self.keep and self._is(held.file):
                self.path.unlink()
        os.close(held.file)

    def _taken_in_time(self) -> int:
        began, said = time.monotonic(), False
        while True:
            file = self._taken()
            if file is not None:
                return file
            waited = time.monotonic() - began
            if waited >= self.wait:
                tried = f" after {waited:.0f} s of waiting" if self.wait else ""
                raise InUse(errno.EWOULDBLOCK, f"{self.busy}{tried}, by {self.holder()}")
            if not said and waited >= _PATIENT:
                said = True
                print(
                    f"tensorlite: {self.busy}, by {self.holder()}; waiting up to {self.wait:.0f} s",
                    file=sys.stderr,
                )
            time.sleep(_PAUSE)

    def _taken(self) -> int | None:
        """Take the lock, if it is free: the open file that holds it."""
        flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0)
        try:
            file = os.open(self.path, flags, 0o600)
        except OSError as error:
            if error.errno == errno.ELOOP:
                raise OSError(error.errno, f"{self.path} is a link: a lock is none") from None
            raise
        try:
            if not stat.S_ISREG(os.fstat(file).st_mode):
                raise OSError(errno.EINVAL, f"{self.path} is no ordinary file: a lock is one")
            if self._locked(file) and self._is(file):
                self._sign(file)
                return file
        except BaseException:
            os.close(file)
            raise
        os.close(file)
        return None

    def _locked(self, file: int) -> bool:
        if fcntl is not None:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return True
            except BlockingIOError:
                return False
            except OSError as error:
                if error.errno not in _NO_LOCKS:
                    raise
        host, process = self._signed()
        return process is None or (host == platform.node() and not _runs(process))

    def _is(self, file: int) -> bool:
        """Whether an open file is still the one of this path."""
        try:
            now, held = self.path.lstat(), os.fstat(file)
        except OSError:
            return False
        return (now.st_dev, now.st_ino) == (held.st_dev, held.st_ino)

    def _sign(self, file: int) -> None:
        text = json.dumps({"host": platform.node(), "process": os.getpid()}).encode()
        with contextlib.suppress(OSError):  # on a full disk it holds without a name
            os.lseek(file, 0, os.SEEK_SET)
            os.write(file, text)
            os.ftruncate(file, len(text))

    def _signed(self) -> tuple[str | None, int | None]:
        """Host and process that the file names."""
        try:
            said = json.loads(self.path.read_bytes()[:4096])
            return str(said["host"]), int(said["process"])
        except (OSError, ValueError, TypeError, KeyError):
            return None, None

    def holder(self) -> str:
        """Who has it, as messages say it."""
        host, process = self._signed()
        for _ in range(10):  # who has just taken it is about to sign
            if process is not None:
                break
            time.sleep(_PAUSE / 5)
            host, process = self._signed()
        if process is None:
            return "another process"
        if (host, process) == (platform.node(), os.getpid()):
            return "another thread of this process"
        return f"process {process} on {host}"


class _Held:
    """A lock of this process."""

    def __init__(self, file: int, thread: int) -> None:
        self.file = file
        self.thread = thread
        self.count = 1


_held: dict[str, _Held] = {}


def _runs(process: int | None) -> bool:
    """Whether there is such a process on this machine."""
    try:
        os.kill(process or 0, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):
        pass
    return True


def _in_child() -> None:
    """A forked process has none of its parent's locks, and must not keep them when it is gone."""
    for held in _held.values():
        with contextlib.suppress(OSError):
            os.close(held.file)
    _held.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_in_child)
