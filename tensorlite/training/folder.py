"""The folder of a run: its checkpoints, its history, and the lock of the process that writes it."""

from __future__ import annotations

import errno
import json
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from tensorlite import io, ranks
from tensorlite.backend.locks import FileLock, InUse
from tensorlite.training.checked import check_checkpoint

FORMAT = "tensorlite checkpoint 1"
LOCK = ".lock"


class RunFolder:
    """Names and files of a run's folder.

    Parameters
    ----------
    path : path
        Of the folder.

    Attributes
    ----------
    best, last : Path
        The checkpoint of the lowest loss, and the latest.
    history : Path
        One JSON object per line, one line per epoch.

    Examples
    --------
    >>> folder = tl.training.RunFolder("runs")
    >>> folder.check_free()
    >>> with folder.lock(make=True):
    ...     folder.save({"history": []}, best=True)
    ...     folder.tidy([])
    >>> folder.best.name
    'best.safetensors'
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.best = self.path / "best.safetensors"
        self.last = self.path / "last.safetensors"
        self.history = self.path / "history.jsonl"
        self._lines = 0  # of the history that are written

    @contextmanager
    def lock(self, *, make: bool = False) -> Iterator[None]:
        """Hold a lock on the folder in a ``with`` statement: one process at a time writes a run.

        With `make` the folder is made, if it is free. The system lets go of the lock when the
        process ends, whatever ends it. The thread that holds it may take it again.

        Raises
        ------
        tensorlite.backend.locks.InUse
            If another process, or another thread, has it; names the process and its machine. It is
            a `BlockingIOError`.
        FileExistsError, NotADirectoryError, PermissionError
            As in `check_free`, with `make`.
        FileNotFoundError
            If there is no such folder, without.
        """
        lock = self.path / LOCK
        made: list[Path] = []
        if make and not lock.exists():  # else who holds it comes first
            self.check_free()
            made = [folder for folder in (self.path, *self.path.parents) if not folder.exists()]
            self.path.mkdir(parents=True, exist_ok=True)
        elif not self.path.is_dir():
            raise FileNotFoundError(f"{self.path} is not a folder: name one that train wrote")
        try:
            with FileLock(lock, f"{self.path} is in use"):
                if make:
                    self.check_free()
                yield
        finally:
            with suppress(OSError):  # where nothing came of it, no folder is left
                for folder in made:
                    folder.rmdir()

    def check_free(self) -> None:
        """Raise unless a new run can be written here.

        A run that was killed before its first checkpoint may have left a lock file, which no
        process holds, and temporary files: these do not count.

        Raises
        ------
        FileExistsError
            If the folder holds anything already: nothing is overwritten.
        NotADirectoryError, PermissionError
            If it cannot be made, or not be written to.
        """
        if self.last.exists():
            raise FileExistsError(
                f"{self.path} holds a run already: resume it, or choose another folder"
            )
        if self.path.is_dir() and any(not _is_left_over(p.name) for p in self.path.iterdir()):
            raise FileExistsError(f"{self.path} is not empty: choose another folder")
        nearest = next(folder for folder in (self.path, *self.path.parents) if folder.exists())
        if not nearest.is_dir():
            raise NotADirectoryError(f"{self.path} cannot be made: {nearest} is a file")
        if not os.access(nearest, os.W_OK):
            raise PermissionError(f"{self.path}: no permission to write to {nearest}")

    def save(self, checkpoint: dict[str, Any], *, best: bool) -> None:
        """Write the latest checkpoint, the same as the best, and what the history lacks.

        The best first: if the run is killed in between, it resumes from the older one and comes
        to the same best again. If the folder was removed meanwhile, it is made again.

        Raises
        ------
        OSError
            If that cannot be written; the checkpoints that were there are whole.
        """
        checkpoint = {"format": FORMAT, **checkpoint}
        self._make_again(checkpoint["history"])
        if best:
            resumable = ranks.world().checkpoint
            io.save(checkpoint, self.best)
            ranks.world().checkpoint = resumable  # a run goes on from the last one
        io.save(checkpoint, self.last)
        for record in checkpoint["history"][self._lines :]:
            self._append(record)
            self._lines += 1

    def _append(self, record: dict[str, Any]) -> None:
        """Add a line to the history, in one write."""
        line = (json.dumps(record) + "\n").encode()
        try:
            with self.history.open("ab", buffering=0) as file:
                written = file.write(line)
        except OSError as error:
            raise type(error)(
                error.errno, f"{self.history} cannot be written: {error.strerror}"
            ) from error
        if written != len(line):
            raise OSError(
                errno.ENOSPC, f"{self.history} cannot be written: there was room for a part of it"
            )

    def tidy(self, history: Sequence[dict[str, Any]]) -> None:
        """Bring the folder to the state of the latest checkpoint, whose history is given.

        Epochs that were run after it are taken out of the history, since they are run again.
        """
        io.sweep(self.path)
        text = "".join(json.dumps(record) + "\n" for record in history)
        # An empty one is not made: before the first checkpoint a folder holds nothing.
        here = self.history.read_bytes() if self.history.exists() else b""
        if here != text.encode():
            io.write_atomically(self.history, lambda name: Path(name).write_text(text))
        self._lines = len(history)

    def _make_again(self, history: Sequence[dict[str, Any]]) -> None:
        if self.path.is_dir():
            return
        print(
            f"tensorlite: {self.path} was removed while the run went on; it is made again, "
            f"{'with the best weights from now on' if history else 'with all of the run'}",
            file=sys.stderr,
        )
        self.path.mkdir(parents=True)
        self.tidy(history)


def _is_left_over(name: str) -> bool:
    """Whether a file in a run's folder is of use only to a running process."""
    return name == LOCK or (name.startswith(".") and name.endswith(io.PARTIAL))


def load_checkpoint(path: str | Path) -> dict[str, Any]:
    """Read a checkpoint that a `Trainer` wrote.

    Parameters
    ----------
    path : path
        Of the file.

    Returns
    -------
    dict
        "kinds" (of optimizer and schedule), "model" (a state dict), "averaged" (None, or what
        `ema` averages), "optimizer", "schedule", "rng", "loader", "progress", "history",
        "stopping", "machine" (what its bits depend on) and "metadata".

    Raises
    ------
    FileNotFoundError, ValueError
        If the file is not there, truncated, damaged, or no checkpoint; names what is wrong in it.

    Examples
    --------
    >>> trainer = Trainer(model, optimizer, F.cross_entropy, callbacks=[], out="run")
    >>> trainer.fit(loader, epochs=1)
    >>> tl.training.load_checkpoint("run/last.safetensors")["history"][0]["epoch"]
    1
    """
    checkpoint = io.load(path)
    if not isinstance(checkpoint, dict) or checkpoint.get("format") != FORMAT:
        raise ValueError(f"{path} is a safetensors file, but not a checkpoint of tensorlite")
    check_checkpoint(checkpoint, str(path))
    return checkpoint


__all__ = ["InUse", "RunFolder", "load_checkpoint"]
