"""The folder of a run: its checkpoints and its history."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tensorlite import io

FORMAT = "tensorlite checkpoint 1"
PARTS = {"kinds", "model", "optimizer", "schedule", "rng", "loader", "progress", "history"}
PARTS |= {"stopping", "metadata"}


class RunFolder:
    """Names and files of a run's folder.

    Attributes
    ----------
    best, last : Path
        The checkpoint of the lowest loss, and the latest.
    history : Path
        One JSON object a line, one line an epoch.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.best = self.path / "best.safetensors"
        self.last = self.path / "last.safetensors"
        self.history = self.path / "history.jsonl"

    def check_free(self) -> None:
        """Raise unless a new run can be written here.

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
        if self.path.is_dir() and any(self.path.iterdir()):
            raise FileExistsError(f"{self.path} is not empty: choose another folder")
        nearest = next(folder for folder in (self.path, *self.path.parents) if folder.exists())
        if not nearest.is_dir():
            raise NotADirectoryError(f"{self.path} cannot be made: {nearest} is a file")
        if not os.access(nearest, os.W_OK):
            raise PermissionError(f"{self.path}: no permission to write to {nearest}")

    def create(self) -> None:
        """Make the folder; errors as in `check_free`."""
        self.check_free()
        self.path.mkdir(parents=True, exist_ok=True)

    def save(self, checkpoint: dict[str, Any], *, best: bool) -> None:
        """Write the latest checkpoint, and the same as the best.

        The best first: if the run is killed in between, it resumes from the older one and comes
        to the same best again.
        """
        checkpoint = {"format": FORMAT, **checkpoint}
        if best:
            io.save(checkpoint, self.best)
        io.save(checkpoint, self.last)

    def append(self, record: dict[str, Any]) -> None:
        """Add a line to the history, in one write."""
        with self.history.open("ab", buffering=0) as file:
            file.write((json.dumps(record) + "\n").encode())

    def tidy(self, history: Sequence[dict[str, Any]]) -> None:
        """Bring the folder to the state of the latest checkpoint, whose history is given.

        Epochs that were run after it are taken out of the history, since they are run again.
        """
        for leftover in self.path.glob(f".*{io.PARTIAL}"):  # of a write that was killed
            leftover.unlink()
        text = "".join(json.dumps(record) + "\n" for record in history)
        io.write_atomically(self.history, lambda name: Path(name).write_text(text))


def load_checkpoint(path: str | Path) -> dict[str, Any]:
    """Read a checkpoint that a `Trainer` wrote.

    Returns
    -------
    dict
        "kinds" (of optimizer and schedule), "model" (a state dict), "optimizer", "schedule",
        "rng", "loader", "progress", "history", "stopping" and "metadata".

    Raises
    ------
    FileNotFoundError, ValueError
        If the file is not there, truncated, or no checkpoint.
    """
    checkpoint = io.load(path)
    if (
        not isinstance(checkpoint, dict)
        or checkpoint.get("format") != FORMAT
        or not checkpoint.keys() >= PARTS
    ):
        raise ValueError(f"{path} is a safetensors file, but not a checkpoint of tensorlite")
    return checkpoint
