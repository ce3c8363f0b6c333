"""What every named dataset is returned as."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from tensorlite.data.table import Table

__all__ = ["Scaling", "Split", "Splits", "Task"]

Task = Literal["classification", "regression", "language"]


class Split(NamedTuple):
    """Samples along axis 0; unpacks into `TensorDataset`.

    Features are float32 (token indices, int64, for language); targets are int64 labels, float32
    values, or, for language, the token that follows each feature.

    Attributes
    ----------
    features, targets : numpy.ndarray, shapes (N, …) and (N, …)

    Examples
    --------
    >>> tl.data.digits().train.features.shape
    (1438, 1, 8, 8)
    """

    features: np.ndarray
    targets: np.ndarray


class Scaling(NamedTuple):
    """How raw values became those in a split: ``(raw - offset) / scale``, by column.

    Examples
    --------
    >>> tl.data.diabetes().target_scaling.scale > 1
    np.True_

    >>> import numpy as np
    >>> scaling = tl.data.Scaling(offset=10.0, scale=2.0)
    >>> scaling.invert(scaling.apply(np.array([12.0])))
    array([12.], dtype=float32)
    """

    offset: np.ndarray | np.floating | float = 0.0
    scale: np.ndarray | np.floating | float = 1.0

    def apply(self, raw: Any) -> np.ndarray:
        """Scale raw values; float32."""
        values = np.array(raw, dtype=np.float32)
        values -= self.offset
        values /= self.scale
        return values

    def invert(self, values: Any) -> np.ndarray:
        """Bring scaled values, such as predictions, back to the raw unit."""
        return np.add(np.multiply(values, self.scale), self.offset)


UNSCALED = Scaling()


@dataclass(frozen=True)
class Splits:
    """A dataset, divided into training and test samples.

    Attributes
    ----------
    name : str
        Its name in the registry.
    task : {"classification", "regression", "language"}
        What there is to learn.
    train, test : Split
        Samples that do not overlap; the division is the same on every machine.
    source, licence : str
        Who made the data, and the terms under which it is used.
    location : str
        File or folder the values were read from, or what generated them.
    classes : tuple of str
        Names of the classes by label; the characters by index, for language.
    feature_scaling, target_scaling : Scaling
        What was done to the raw values; to be done to new samples as well.
    table : Table, optional
        How rows of the user's own table become inputs.
    notes : tuple of str
        What was decided about the user's own data, in sentences.
    files : tuple of Path
        The user's own files, all that the values come from.

    Examples
    --------
    >>> splits = tl.data.digits()
    >>> splits.task, len(splits.classes), splits.test.targets.shape
    ('classification', 10, (359,))
    """

    name: str
    task: Task
    train: Split
    test: Split
    source: str
    licence: str
    location: str
    classes: tuple[str, ...] = ()
    feature_scaling: Scaling = UNSCALED
    target_scaling: Scaling = UNSCALED
    table: Table | None = None
    notes: tuple[str, ...] = ()
    files: tuple[Path, ...] = ()
