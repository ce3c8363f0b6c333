"""What a run shows while it trains: a header, a line per epoch, a progress bar on a terminal."""

from __future__ import annotations

import os
import shutil
import sys
import time
from typing import Any

from tensorlite.backend import backend_for
from tensorlite.cli.experiment import Experiment
from tensorlite.cli.settings import Settings
from tensorlite.training import Callback, Trainer

REFRESH = 0.1  # seconds between changes of the bar
CLEAR = "\r\x1b[K"  # to the front of the line, and rub it out
HIDDEN = ("epoch", "lr", "seconds", "samples_per_second")


class Console(Callback):
    """Prints the epochs as a table, and a progress bar below it where there is a terminal."""

    def __init__(self) -> None:
        shown = sys.stdout.isatty() and os.environ.get("TERM") != "dumb"
        self._bar = _Bar() if shown else None
        self._headed = False

    def on_epoch_begin(self, trainer: Trainer) -> None:
        """Start a bar."""
        if self._bar is not None:
            self._bar.start(trainer)

    def on_batch_end(self, trainer: Trainer) -> None:
        """Move the bar."""
        if self._bar is not None:
            self._bar.move(trainer)

    def on_epoch_end(self, trainer: Trainer, record: dict[str, Any]) -> None:
        """Put a line in the place of the bar."""
        self.close()
        shown = {name: value for name, value in record.items() if name not in HIDDEN}
        if not self._headed:
            titles = "".join(f"{name.replace('_', ' '):>14}" for name in shown)
            print(f"{'epoch':>9}{titles}{'samples/s':>14}")
            self._headed = True
        epoch = f"{record['epoch']}/{trainer.epochs}"
        values = "".join(f"{value:14.4f}" for value in shown.values())
        best = "  best" if trainer.stopping.best_epoch == record["epoch"] else ""
        print(f"{epoch:>9}{values}{record['samples_per_second']:14,.0f}{best}", flush=True)

    def close(self) -> None:
        """Take the bar away."""
        if self._bar is not None:
            self._bar.stop()


class _Bar:
    """A progress bar of one epoch, in the line below what has been printed."""

    def start(self, trainer: Trainer) -> None:
        self._moved = time.perf_counter()
        self._show(trainer)

    def move(self, trainer: Trainer) -> None:
        now = time.perf_counter()
        if now - self._moved >= REFRESH:
            self._moved = now
            self._show(trainer)

    def stop(self) -> None:
        self._write(CLEAR)

    def _show(self, trainer: Trainer) -> None:
        # The cursor stays at the front: what others print begins there, and covers the bar.
        line = bar_line(trainer, shutil.get_terminal_size().columns - 1, sys.stdout.encoding)
        self._write(f"{CLEAR}{line}\r")

    def _write(self, text: str) -> None:
        sys.stdout.write(text)
        sys.stdout.flush()


def bar_line(trainer: Trainer, columns: int, encoding: str | None) -> str:
    """The bar of the epoch under way: how many batches, how fast, how long it will take."""
    done, of = len(trainer.progress.sizes), max(trainer.batches, 1)
    seconds, samples = trainer.progress.seconds, trainer.progress.samples
    left = f"epoch {trainer.epoch + 1}/{trainer.epochs} "
    right = f" {done}/{of}"
    if seconds and samples:
        remaining = round(seconds * (of - done) / done)
        minutes = f"{remaining // 60}:{remaining % 60:02}"
        right += f"  {samples / seconds:,.0f} samples/s  {minutes}"
    try:
        "━─".encode(encoding or "ascii")
        full, empty = "━─"
    except UnicodeEncodeError:
        full, empty = "#-"
    width = min(40, columns - len(left) - len(right))
    filled = width * done // of
    bar = full * filled + empty * (width - filled) if width >= 4 else ""
    return f"{left}{bar}{right}"[:columns]


def header(experiment: Experiment, trainer: Trainer) -> str:
    """What is trained on what."""
    settings, splits = experiment.settings, experiment.splits
    what = "windows" if splits.task == "language" else "samples"
    sizes = f"{len(experiment.train):,} training"
    if experiment.val is not None:
        sizes += f", {len(experiment.val):,} validation"
    shape = "×".join(map(str, experiment.problem.shape))
    kinds = {"classification": "classes", "language": "characters"}
    classes = f", {len(splits.classes)} {kinds[splits.task]}" if splits.classes else ""
    # Compiled now, if they have to be: the time of the first epoch is its own.
    compiled = backend_for(trainer.device).kernels is not None
    kernels = "compiled kernels" if compiled else "no compiled kernels"
    momentum = "" if settings.momentum is None else f", momentum {settings.momentum:g}"
    return (
        f"{settings.dataset}: {sizes} {what} of shape {shape}{classes} (from {splits.location})\n"
        f"{''.join(f'  {note}' + chr(10) for note in splits.notes)}"
        f"{experiment.model}\n"
        f"{settings.optimizer}, learning rate {settings.lr:g} ({settings.schedule}){momentum}, "
        f"weight decay {settings.weight_decay:g}, batches of {settings.batch_size}"
        f"{_steps(settings)}\n"
        f"device {trainer.device} ({kernels}), seed {settings.seed}, writing to {experiment.out}\n"
        f"{_parts(trainer)}"
    )


def _steps(settings: Settings) -> str:
    """What a step is, where it is not one batch in float32."""
    several = f", {settings.accumulate} of them a step" if settings.accumulate > 1 else ""
    several += f", in {settings.autocast}" if settings.autocast else ""
    return several + ("" if settings.ema is None else f", weights averaged by {settings.ema:g}")


def _parts(trainer: Trainer) -> str:
    """Who computes a batch, where it is cut."""
    world = trainer.world
    if not world.is_cut:
        return ""
    processes = "1 process" if world.size == 1 else f"{world.size} processes"
    return f"{processes}, batches in {world.shards} shards; no capture: {trainer.not_captured}\n"
