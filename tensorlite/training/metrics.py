"""Metrics: how good a model is, gathered batch by batch on the device and read once at the end."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np

from tensorlite.backend import Array, array_backend
from tensorlite.suggest import choose

__all__ = [
    "R2",
    "Accuracy",
    "ConfusionMatrix",
    "MeanAbsoluteError",
    "MeanSquaredError",
    "Metric",
    "named_metrics",
]


class Metric:
    """Base of the metrics: `reset`, then `update` with every batch, then `compute`.

    On several processes each sees some of the batches. What `of` makes of a batch is then sent to
    all, and `add` takes it in, in the order of the batches, so the result is to the bit that of one
    process. By default that is the whole output; a metric that overrides both sends less.

    Attributes
    ----------
    name : str
        Key of the result; in histories it is preceded by "val_".

    Examples
    --------
    >>> class Largest(tl.training.Metric):
    ...     name = "largest"
    ...
    ...     def reset(self):
    ...         self.seen = []
    ...
    ...     def update(self, output, target):
    ...         self.add(*self.of(output, target))
    ...
    ...     def of(self, output, target):
    ...         return (output.max(),)
    ...
    ...     def add(self, *part):
    ...         self.seen += part
    ...
    ...     def compute(self):
    ...         return float(max(self.seen))
    >>> metric = Largest()
    >>> metric.reset()
    >>> metric.update(tl.ones(2).numpy(), tl.zeros(2).numpy())
    >>> metric.compute()
    1.0
    """

    name: str

    def reset(self) -> None:
        """Forget what was gathered."""
        raise NotImplementedError

    def update(self, output: Array, target: Array) -> None:
        """Take in a batch, as raw arrays of one device; nothing is to be read from it here.

        Parameters
        ----------
        output, target : array
            Of shapes (N, …).
        """
        raise NotImplementedError

    def of(self, output: Array, target: Array) -> tuple[Any, ...]:
        """What `add` needs of a batch: arrays and numbers.

        Parameters
        ----------
        output, target : array
            Of shapes (N, …).
        """
        return output, target

    def add(self, *part: Any) -> None:
        """Take in what `of` made of a batch.

        Parameters
        ----------
        *part
            What `of` returned.
        """
        self.update(*part)

    def compute(self) -> Any:
        """The metric of all batches since `reset`; NaN if there were none."""
        raise NotImplementedError


class _Sums(Metric):
    """A metric of what is added up over batches."""

    def update(self, output: Array, target: Array) -> None:
        """Take in a batch."""
        self.add(*self.of(output, target))


class Accuracy(_Sums):
    """Part of the samples whose highest score, along the last axis, is that of their label.

    Examples
    --------
    >>> import numpy as np
    >>> metric = tl.training.Accuracy()
    >>> metric.reset()
    >>> metric.update(np.array([[0.0, 1.0], [1.0, 0.0]], "f4"), np.array([1, 1]))
    >>> round(float(metric.compute()), 3)
    0.5
    """

    name = "accuracy"

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forget what was gathered."""
        self._correct: Any = 0
        self._count = 0

    def of(self, output: Array, target: Array) -> tuple[Any, int]:
        """How many scores (..., classes) are highest at their label (...), and of how many."""
        if output.shape[:-1] != target.shape:
            raise ValueError(
                f"accuracy: scores of shape {output.shape} need labels of shape "
                f"{output.shape[:-1]}, got {target.shape}"
            )
        return (output.argmax(axis=-1) == target).sum(), target.size

    def add(self, correct: Any, count: int) -> None:
        """Take in what `of` counted."""
        self._correct = self._correct + correct
        self._count += count

    def compute(self) -> float:
        """The accuracy, 0 to 1."""
        return int(self._correct) / self._count if self._count else math.nan


class ConfusionMatrix(_Sums):
    """Counts of samples by label (rows) and by highest score (columns).

    Parameters
    ----------
    classes
        Number of classes.

    Examples
    --------
    >>> import numpy as np
    >>> metric = tl.training.ConfusionMatrix(2)
    >>> metric.reset()
    >>> metric.update(np.array([[0.0, 1.0], [1.0, 0.0]], "f4"), np.array([1, 1]))
    >>> metric.compute()
    array([[0, 0],
           [1, 1]])
    """

    name = "confusion"

    def __init__(self, classes: int) -> None:
        self.classes = classes
        self.reset()

    def reset(self) -> None:
        """Forget what was gathered."""
        self._counts: Any = 0

    def of(self, output: Array, target: Array) -> tuple[Any]:
        """The counts of scores (..., classes) and labels (...)."""
        xp = array_backend((output,)).xp
        pairs = target.reshape(-1) * self.classes + output.argmax(axis=-1).reshape(-1)
        return (xp.bincount(pairs, minlength=self.classes**2),)

    def add(self, counts: Any) -> None:
        """Take in what `of` counted."""
        self._counts = self._counts + counts

    def compute(self) -> np.ndarray:
        """The counts, int64 of shape (classes, classes)."""
        counts = array_backend((self._counts,)).to_host(self._counts)
        return np.broadcast_to(counts, self.classes**2).reshape(self.classes, self.classes)


class _Mean(_Sums):
    """Mean of an error over all elements."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forget what was gathered."""
        self._sum: Any = 0.0
        self._count = 0

    def of(self, output: Array, target: Array) -> tuple[Any, int]:
        """The sum of the errors of predictions and targets of one shape, and their number."""
        return self.errors(_difference(self.name, output, target)).sum(), target.size

    def add(self, errors: Any, count: int) -> None:
        """Take in such a sum."""
        self._sum = self._sum + errors
        self._count += count

    def errors(self, difference: Array) -> Array:
        """The error of each element, from prediction − target."""
        raise NotImplementedError

    def compute(self) -> float:
        """The mean."""
        return float(self._sum) / self._count if self._count else math.nan


class MeanSquaredError(_Mean):
    """Mean of (prediction − target)².

    Examples
    --------
    >>> import numpy as np
    >>> metric = tl.training.MeanSquaredError()
    >>> metric.reset()
    >>> metric.update(np.array([[0.0, 1.0], [1.0, 0.0]], "f4"), np.array([[0.0, 1.0], [1.0, 0.5]]))
    >>> round(float(metric.compute()), 3)
    0.062
    """

    name = "mse"

    def errors(self, difference: Array) -> Array:
        """The squares."""
        return difference * difference


class MeanAbsoluteError(_Mean):
    """Mean of |prediction − target|.

    Examples
    --------
    >>> import numpy as np
    >>> metric = tl.training.MeanAbsoluteError()
    >>> metric.reset()
    >>> metric.update(np.array([[0.0, 1.0], [1.0, 0.0]], "f4"), np.array([[0.0, 1.0], [1.0, 0.5]]))
    >>> round(float(metric.compute()), 3)
    0.125
    """

    name = "mae"

    def errors(self, difference: Array) -> Array:
        """The magnitudes."""
        return abs(difference)


class R2(_Sums):
    """Part of the targets' variance that the predictions explain; 0 is as good as their mean.

    1 − Σ(prediction − target)² / Σ(target − mean)². The mean and the second sum are merged batch by
    batch (Chan, Golub and LeVeque, 1979), which is exact however large the mean is.

    Examples
    --------
    >>> import numpy as np
    >>> metric = tl.training.R2()
    >>> metric.reset()
    >>> metric.update(np.array([[0.0, 1.0], [1.0, 0.0]], "f4"), np.array([[0.0, 1.0], [1.0, 0.5]]))
    >>> round(float(metric.compute()), 3)
    0.636
    """

    name = "r2"

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forget what was gathered."""
        self._squares: Any = 0.0
        self._spread: Any = 0.0
        self._mean: Any = 0.0
        self._count = 0

    def of(self, output: Array, target: Array) -> tuple[Any, Any, Any, int]:
        """Σ(prediction − target)², the targets' mean and Σ(target − mean)², and their number."""
        difference = _difference(self.name, output, target)
        wide = target.astype(np.float64)
        mean = wide.mean()
        return (difference * difference).sum(), mean, ((wide - mean) ** 2).sum(), target.size

    def add(self, squares: Any, mean: Any, spread: Any, new: int) -> None:
        """Take in those of a batch."""
        old = self._count
        step = mean - self._mean
        self._squares = self._squares + squares
        self._spread = self._spread + spread + step * step * (old * new / (old + new))
        self._mean = self._mean + step * (new / (old + new))
        self._count = old + new

    def compute(self) -> float:
        """The coefficient of determination; NaN if all targets are equal."""
        spread = float(self._spread)
        return 1 - float(self._squares) / spread if spread else math.nan


def _difference(name: str, output: Array, target: Array) -> Array:
    """Prediction − target in float64, refusing an accidental broadcast."""
    if output.shape != target.shape:
        raise ValueError(
            f"{name}: predictions of shape {output.shape} and targets of shape {target.shape} "
            "must have one shape"
        )
    return output.astype(np.float64) - target


NAMED = {metric.name: metric for metric in (Accuracy, MeanSquaredError, MeanAbsoluteError, R2)}


def named_metrics(metrics: Iterable[Metric | str]) -> list[Metric]:
    """Replace names by metrics: "accuracy", "mse", "mae", "r2"."""
    return [NAMED[choose("metric", m, NAMED)]() if isinstance(m, str) else m for m in metrics]
