"""What a run shows while it trains: a header, a line per epoch, a progress bar on a terminal."""

from __future__ import annotations

import sys
import time
from typing import Any

from tensorlite.backend import backend_for
from tensorlite.cli.experiment import Experiment
from tensorlite.cli.settings import Settings
from tensorlite.training import Callback, Trainer

REFRESH = 0.1  # seconds between changes of the bar
HIDDEN = ("epoch", "lr", "seconds", "samples_per_second")


class Console(Callback):
    """Prints the epochs as a table, and a progress bar below it where there is a terminal."""

    def __init__(self) -> None:
        self._bar = _Bar() if sys.stdout.isatty() else None
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
    """A progress bar of one epoch; rich is imported with the first."""

    def __init__(self) -> None:
        self._progress: Any = None

    def start(self, trainer: Trainer) -> None:
        from rich import progress

        self._progress = progress.Progress(
            progress.TextColumn("{task.description}"),
            progress.BarColumn(),
            progress.MofNCompleteColumn(),
            progress.TextColumn("{task.fields[speed]:,.0f} samples/s"),
            progress.TimeRemainingColumn(),
            transient=True,
        )
        self._task = self._progress.add_task(
            f"epoch {trainer.epoch + 1}/{trainer.epochs}",
            total=trainer.batches,
            completed=len(trainer.progress.sizes),
            speed=0.0,
        )
        self._progress.start()
        self._moved = time.perf_counter()

    def move(self, trainer: Trainer) -> None:
        now = time.perf_counter()
        if now - self._moved >= REFRESH:
            self._moved = now
            done = trainer.progress
            speed = done.samples / done.seconds
            self._progress.update(self._task, completed=len(done.sizes), speed=speed)

    def stop(self) -> None:
        if self._progress is not None:
            self._progress.stop()
            self._progress = None


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
