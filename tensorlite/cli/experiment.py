"""From settings to data, model, optimizer and trainer."""

from __future__ import annotations

import zlib
from collections.abc import Iterable
from dataclasses import asdict
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np

from tensorlite import backend, data, optim
from tensorlite.cli import precision
from tensorlite.cli.errors import UsageError, usage
from tensorlite.cli.own_model import build
from tensorlite.cli.problem import Problem
from tensorlite.cli.settings import Settings
from tensorlite.data import DataLoader, Splits, Subset, TensorDataset, random_split, windows
from tensorlite.data.own import is_own
from tensorlite.optim import Optimizer, lr_scheduler
from tensorlite.random import Generator, manual_seed
from tensorlite.training import Callback, Trainer

Switch = Literal["auto", "on", "off"]
CONTEXT = 64  # characters in a sample of text
EVAL_BATCH = 256
MAX_NORM = 1.0  # of a language model's gradients

OPTIMIZERS = {
    "adamw": optim.AdamW,
    "adam": optim.Adam,
    "sgd": optim.SGD,
    "rmsprop": optim.RMSprop,
    "adagrad": optim.Adagrad,
    "lion": optim.Lion,
}


def load_data(settings: Settings) -> Splits:
    """Load a dataset by name or the user's own by its path; check that it can be learnt from."""
    dataset, drop = settings.dataset, settings.drop
    own: dict[str, Any] = {
        "target": settings.target,
        "task": settings.task,
        "size": settings.size,
    }
    named = dataset in data.names()
    if not named and is_own(dataset):
        chosen = [name for name in (drop or "").split(",") if name]
        with usage():
            splits = data.from_path(dataset, drop=chosen, **own)
    else:
        for name, value in (*own.items(), ("drop", drop)):
            if value is not None:
                raise UsageError(f"--{name} is for tables, arrays and images of your own")
        splits = data.load(dataset) if named else data.load("text", path=dataset)
    classes = None if splits.task == "regression" else len(splits.classes)
    for part, name in ((splits.train, "training data"), (splits.test, "test data")):
        data.check_split(part.features, part.targets, classes, f"{splits.name}: {name}")
    return splits


def samples(splits: Splits, part: str) -> TensorDataset:
    """The samples of "train" or "test"; a text is cut into windows."""
    split = getattr(splits, part)
    if splits.task != "language":
        return TensorDataset(*split)
    if len(split.features) < CONTEXT:
        raise ValueError(
            f"{splits.location}: the {part} part has {len(split.features)} characters; "
            f"a sample needs {CONTEXT}: use a longer text"
        )
    return TensorDataset(*(windows(values, CONTEXT) for values in split))


def test_loader(splits: Splits) -> DataLoader:
    """The data that training does not see."""
    return DataLoader(samples(splits, "test"), EVAL_BATCH)


class Experiment:
    """One run: all that its settings determine.

    Parameters
    ----------
    settings
        Of the run.
    device
        Where it computes.
    out
        Its folder.
    capture
        Whether steps are recorded; see `Trainer`.
    """

    def __init__(
        self, settings: Settings, device: str, out: Path, capture: Switch = "auto"
    ) -> None:
        self.settings, self.device, self.out = settings, device, out
        self.capture = capture
        self.splits = load_data(settings)
        self.problem = Problem.of(self.splits, CONTEXT)
        self.train, self.val = self._divide(samples(self.splits, "train"))
        if settings.batch_size > len(self.train):
            raise UsageError(
                f"--batch-size {settings.batch_size} is larger than the training data, "
                f"{len(self.train)} samples"
            )
        manual_seed(settings.seed)
        with usage():
            model = build(settings.model, self.problem)
        self.model = precision.cast(model, settings.autocast, backend.device(device))
        self.train_loader = DataLoader(self.train, settings.batch_size, shuffle=True)
        self.val_loader = None if self.val is None else DataLoader(self.val, EVAL_BATCH)

    def _divide(self, dataset: TensorDataset) -> tuple[TensorDataset | Subset, Subset | None]:
        """Set samples aside for validation."""
        fraction = self.settings.val_fraction
        if fraction == 0:
            return dataset, None
        held = int(fraction * len(dataset))
        if held == 0:
            raise UsageError(
                f"--val-fraction {fraction} of {len(dataset)} samples leaves none for validation"
            )
        train, val = random_split(
            dataset, [len(dataset) - held, held], Generator(self.settings.seed)
        )
        return train, val

    def trainer(self, callbacks: Iterable[Callback], *, out: bool = True) -> Trainer:
        """The trainer of this run, which writes to its folder unless `out` is False."""
        optimizer = self._optimizer()
        schedule, per = schedule_of(self.settings, optimizer, len(self.train_loader))
        short = self.settings.autocast
        return Trainer(
            self.model,
            optimizer,
            self.problem.loss,
            schedule=schedule,
            schedule_per=per,
            metrics=self.problem.metrics,
            device=self.device,
            callbacks=callbacks,
            clip_norm=MAX_NORM if self.problem.task == "language" else None,
            patience=self.settings.patience,
            target_loss=self.settings.target_loss,
            out=self.out if out else None,
            save_every=self.settings.save_every,
            capture=self.capture,
            accumulate=self.settings.accumulate,
            ema=self.settings.ema,
            scaler=precision.scaler(short, backend.device(self.device)),
            metadata=self.metadata,
        )

    @cached_property
    def metadata(self) -> dict[str, Any]:
        """What is needed to use the checkpoints."""
        return {
            "settings": asdict(self.settings),
            "problem": self.problem.state_dict(),
            "data": self._checksum,
        }

    @cached_property
    def _checksum(self) -> int | None:
        """Of the user's own files: computed values may differ in the last bit elsewhere."""
        if self.problem.task == "language":
            return zlib.crc32(np.ascontiguousarray(self.splits.train.features))
        if not self.splits.files:  # of a dataset whose checksum is known
            return None
        checksum = 0
        for file in self.splits.files:
            checksum = zlib.crc32(file.name.encode(), checksum)
            with file.open("rb") as content:
                while piece := content.read(1 << 20):
                    checksum = zlib.crc32(piece, checksum)
        return checksum

    def check_same(self, problem: Problem, checksum: int | None) -> None:
        """Refuse to resume a run with other data than it was begun with.

        Raises
        ------
        ValueError
            If they are others.
        """
        names = ("task", "shape", "classes")
        same = all(getattr(problem, name) == getattr(self.problem, name) for name in names)
        if not same or (checksum is not None and checksum != self._checksum):
            raise ValueError(
                f"{self.splits.location} holds other data than when the run in {self.out} was "
                "begun: a resumed run needs the same; put them back, or start a new run"
            )

    def _optimizer(self) -> Optimizer:
        settings = self.settings
        options = {"lr": settings.lr, "weight_decay": settings.weight_decay}
        if settings.momentum is not None:
            options["momentum"] = settings.momentum
        return OPTIMIZERS[settings.optimizer](self.model.named_parameters(), **options)


def schedule_of(
    settings: Settings, optimizer: Optimizer, batches: int
) -> tuple[Any, Literal["epoch", "batch"]]:
    """The schedule of a run whose epochs have so many batches, and what it counts."""
    steps = settings.epochs * -(-batches // settings.accumulate)
    if settings.schedule == "cosine":
        return lr_scheduler.CosineAnnealingLR(optimizer, steps), "batch"
    if settings.schedule == "one-cycle":
        length = max(2, steps)
        schedule = lr_scheduler.OneCycleLR(optimizer, settings.lr, length, cycle_momentum=False)
        return schedule, "batch"
    if settings.schedule == "plateau":
        return lr_scheduler.ReduceLROnPlateau(optimizer, factor=0.3, patience=3), "epoch"
    return None, "epoch"
