"""What there is to learn: the task, the shapes, and how outputs are judged."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from tensorlite.data import Scaling, Splits
from tensorlite.data.splits import Task
from tensorlite.data.table import Table
from tensorlite.nn import functional as F
from tensorlite.tensor import Tensor


@dataclass(frozen=True)
class Problem:
    """All that a model's input and output depend on; kept in checkpoints.

    Attributes
    ----------
    dataset : str
        Name of the data.
    task : {"classification", "regression", "language"}
        What there is to learn.
    shape : tuple of int
        Shape of a sample; the context's length for language.
    classes : tuple of str
        Names of the classes; the characters, for language.
    feature_scaling, target_scaling : Scaling
        What was done to the raw values.
    table : Table, optional
        How rows of a table become samples.
    """

    dataset: str
    task: Task
    shape: tuple[int, ...]
    classes: tuple[str, ...]
    feature_scaling: Scaling
    target_scaling: Scaling
    table: Table | None = None

    @classmethod
    def of(cls, splits: Splits, context: int) -> Problem:
        """The problem of a dataset; `context` is the length of a sample of language."""
        language = splits.task == "language"
        return cls(
            dataset=splits.name,
            task=splits.task,
            shape=(context,) if language else splits.train.features.shape[1:],
            classes=splits.classes,
            feature_scaling=splits.feature_scaling,
            target_scaling=splits.target_scaling,
            table=splits.table,
        )

    @property
    def outputs(self) -> int:
        """Numbers that a model gives for a sample (for each character of it, in language)."""
        return len(self.classes) or 1

    @property
    def loss(self) -> Callable[[Tensor, Tensor], Tensor]:
        """The loss of a task."""
        return LOSSES[self.task]

    @property
    def metrics(self) -> list[str]:
        """Names of the metrics of a task."""
        return ["r2"] if self.task == "regression" else ["accuracy"]

    def state_dict(self) -> dict[str, Any]:
        """What `from_state` needs."""
        scalings = {
            name: [np.asarray(part) for part in getattr(self, name)]
            for name in ("feature_scaling", "target_scaling")
        }
        table = None if self.table is None else self.table.state_dict()
        return asdict(self) | scalings | {"table": table}

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> Problem:
        """The problem of a checkpoint."""
        scalings = {
            name: Scaling(*[part.numpy() for part in state[name]])
            for name in ("feature_scaling", "target_scaling")
        }
        table = None if state["table"] is None else Table.from_state(state["table"])
        sequences: dict[str, Any] = {name: tuple(state[name]) for name in ("shape", "classes")}
        return cls(**state | scalings | sequences | {"table": table})


def character_loss(scores: Tensor, target: Tensor) -> Tensor:
    """Mean cross-entropy of scores (N, T, characters) and the characters that follow, (N, T)."""
    return F.cross_entropy(scores.reshape(-1, scores.shape[-1]), target.reshape(-1))


LOSSES: dict[str, Callable[..., Any]] = {
    "classification": F.cross_entropy,
    "regression": F.mse_loss,
    "language": character_loss,
}
