"""Samplers: in which order a loader takes the samples."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Generic, TypeVar

import numpy as np

from tensorlite.random import Generator, default_generator
from tensorlite.tensor import Tensor

__all__ = [
    "BatchSampler",
    "DistributedSampler",
    "RandomOrder",
    "RandomSampler",
    "Sampler",
    "SequentialSampler",
    "SubsetRandomSampler",
    "WeightedRandomSampler",
]

T = TypeVar("T", covariant=True)


class Sampler(Generic[T]):
    """An order of samples: subclasses define ``__iter__`` and mostly ``__len__``.

    A sampler with ``state_dict`` and ``load_state_dict`` is resumed exactly in mid-epoch: the
    loader keeps the state from the beginning of the epoch and goes on from the batch it was at.

    Parameters
    ----------
    data_source : sized, optional
        Taken as torch takes it.

    Examples
    --------
    >>> class Backwards(tl.data.Sampler):
    ...     def __init__(self, n):
    ...         self.n = n
    ...
    ...     def __iter__(self):
    ...         return iter(range(self.n - 1, -1, -1))
    >>> list(Backwards(3))
    [2, 1, 0]
    """

    def __init__(self, data_source: Any = None) -> None:
        """Take nothing: subclasses say what they need."""

    def __iter__(self) -> Iterator[T]:
        raise NotImplementedError(f"{type(self).__name__} must define __iter__")


class SequentialSampler(Sampler[int]):
    """The samples of `data_source` in their own order.

    Examples
    --------
    >>> list(tl.data.SequentialSampler("abc"))
    [0, 1, 2]
    """

    def __init__(self, data_source: Any) -> None:
        self.data_source = data_source

    def __iter__(self) -> Iterator[int]:
        return iter(range(len(self.data_source)))

    def __len__(self) -> int:
        return len(self.data_source)


class RandomOrder(Sampler[int]):
    """A random order, drawn anew from a seed at every iteration: what a loader can resume.

    Subclasses define ``order(generator)``, an array of indices.
    """

    generator: Generator | None = None

    def order(self, generator: Generator) -> np.ndarray:
        """Draw the indices of one pass."""
        raise NotImplementedError

    def drawn_seed(self) -> int:
        """Draw the seed of the next pass, from `generator` or the global one."""
        return int((self.generator or default_generator).integers(0, 1 << 32))

    def __iter__(self) -> Iterator[int]:
        return iter(self.order(Generator(self.drawn_seed())).tolist())


class RandomSampler(RandomOrder):
    """Samples of `data_source` at random.

    Parameters
    ----------
    data_source : sized
        The dataset.
    replacement : bool
        Draw each sample from all of them; otherwise none comes twice before all came once.
    num_samples : int, optional
        How many to draw; as many as there are by default.
    generator : Generator, optional
        Gives the seed; the global one by default.

    Raises
    ------
    ValueError
        If `num_samples` is not positive.
    TypeError
        If `replacement` is no bool.

    Examples
    --------
    >>> sorted(tl.data.RandomSampler(range(4)))
    [0, 1, 2, 3]

    >>> tl.data.RandomSampler(range(4)).num_samples
    4
    """

    def __init__(
        self,
        data_source: Any,
        replacement: bool = False,
        num_samples: int | None = None,
        generator: Generator | None = None,
    ) -> None:
        self.data_source = data_source
        self.replacement = _flag(replacement, "RandomSampler", "replacement")
        self._num_samples = num_samples
        self.generator = generator
        if self.num_samples.__class__ is not int or self.num_samples < 1:
            raise ValueError(
                f"RandomSampler: num_samples must be a positive integer, got {self.num_samples!r}"
            )

    @property
    def num_samples(self) -> int:
        """How many samples one pass draws."""
        return len(self.data_source) if self._num_samples is None else self._num_samples

    def order(self, generator: Generator) -> np.ndarray:
        """Draw the indices of one pass."""
        samples, wanted = len(self.data_source), self.num_samples
        if self.replacement:
            return generator.integers(0, samples, (wanted,))
        passes = [generator.permutation(samples) for _ in range(math.ceil(wanted / samples))]
        return np.concatenate(passes)[:wanted] if len(passes) > 1 else passes[0][:wanted]

    def __len__(self) -> int:
        return self.num_samples


class SubsetRandomSampler(RandomOrder):
    """The given indices in random order.

    Examples
    --------
    >>> sorted(tl.data.SubsetRandomSampler([2, 5, 7]))
    [2, 5, 7]
    """

    def __init__(self, indices: Sequence[int], generator: Generator | None = None) -> None:
        self.indices = indices
        self.generator = generator

    def order(self, generator: Generator) -> np.ndarray:
        """Shuffle the indices."""
        return np.asarray(self.indices)[generator.permutation(len(self.indices))]

    def __len__(self) -> int:
        return len(self.indices)


class WeightedRandomSampler(RandomOrder):
    """Indices ``0 … len(weights) - 1`` with probabilities in proportion to weights.

    Parameters
    ----------
    weights : sequence of float
        Not negative, not all zero; they need not sum to 1.
    num_samples : int
        How many to draw.
    replacement : bool
        Without it an index is drawn once at most, so that `num_samples` positive weights are
        needed.
    generator : Generator, optional
        Gives the seed; the global one by default.

    Raises
    ------
    ValueError
        If weights or `num_samples` are out of range.
    TypeError
        If `replacement` is no bool.

    Notes
    -----
    Without replacement: Efraimidis and Spirakis, "Weighted random sampling with a reservoir",
    2006.

    Examples
    --------
    >>> list(tl.data.WeightedRandomSampler([0.0, 1.0], 3))
    [1, 1, 1]
    """

    def __init__(
        self,
        weights: Sequence[float],
        num_samples: int,
        replacement: bool = True,
        generator: Generator | None = None,
    ) -> None:
        if isinstance(num_samples, bool) or not isinstance(num_samples, int) or num_samples < 1:
            raise ValueError(
                "WeightedRandomSampler: num_samples must be a positive integer, got "
                f"{num_samples!r}"
            )
        self.replacement = _flag(replacement, "WeightedRandomSampler", "replacement")
        values = weights.detach().to("cpu") if isinstance(weights, Tensor) else weights
        self.weights = np.array(values, dtype=np.float64)
        if self.weights.ndim != 1:
            raise ValueError(
                f"WeightedRandomSampler: weights must have one axis, got {self.weights.shape}"
            )
        if not (np.isfinite(self.weights).all() and (self.weights >= 0).all()):
            raise ValueError("WeightedRandomSampler: weights must be finite and not negative")
        positive = np.count_nonzero(self.weights)
        if positive < (1 if replacement else num_samples):
            raise ValueError(
                f"WeightedRandomSampler: {positive} weights are positive, too few to draw "
                f"{num_samples} samples {'with' if replacement else 'without'} replacement"
            )
        self.num_samples = num_samples
        self.generator = generator

    def order(self, generator: Generator) -> np.ndarray:
        """Draw the indices of one pass."""
        if self.replacement:
            ends = np.cumsum(self.weights)
            points = generator.uniform((self.num_samples,), np.float64) * ends[-1]
            found = np.searchsorted(ends, points, side="right")
            return np.minimum(found, np.flatnonzero(self.weights)[-1])  # a point rounded to the end
        times = -np.log1p(-generator.uniform(self.weights.shape, np.float64))
        with np.errstate(divide="ignore", invalid="ignore"):
            times = np.where(self.weights > 0, times / self.weights, np.inf)
        return np.argsort(times, kind="stable")[: self.num_samples]

    def __len__(self) -> int:
        return self.num_samples


class BatchSampler(Sampler[list[int]]):
    """Lists of `batch_size` indices from another sampler; the last may be shorter.

    Parameters
    ----------
    sampler : Sampler or iterable
        Yields indices.
    batch_size : int
        Indices in a list.
    drop_last : bool
        Leave out the last list if it is shorter.

    Raises
    ------
    ValueError
        If `batch_size` is not positive.
    TypeError
        If `drop_last` is no bool.

    Examples
    --------
    >>> list(tl.data.BatchSampler(range(5), 2, drop_last=False))
    [[0, 1], [2, 3], [4]]
    """

    def __init__(self, sampler: Any, batch_size: int, drop_last: bool) -> None:
        if isinstance(batch_size, bool) or not isinstance(batch_size, int) or batch_size < 1:
            raise ValueError(
                f"BatchSampler: batch_size must be a positive integer, got batch_size={batch_size}"
            )
        self.sampler = sampler
        self.batch_size = batch_size
        self.drop_last = _flag(drop_last, "BatchSampler", "drop_last")

    def __iter__(self) -> Iterator[list[int]]:
        return in_batches(self.sampler, self.batch_size, self.drop_last)

    def __len__(self) -> int:
        samples = len(self.sampler)
        return samples // self.batch_size if self.drop_last else -(-samples // self.batch_size)


def in_batches(indices: Iterable[Any], size: int, drop_last: bool) -> Iterator[list[Any]]:
    """Cut an iterable into lists of `size`."""
    iterator = iter(indices)
    while batch := list(itertools.islice(iterator, size)):
        if len(batch) == size or not drop_last:
            yield batch


class DistributedSampler(Sampler[int]):
    """One process's share of the samples, where several train together.

    Parameters
    ----------
    dataset : sized
        The dataset.
    num_replicas, rank : int
        How many processes there are, and which this is. tensorlite has no process groups, so both
        must be given.
    shuffle : bool
        Draw an order from `seed` and the number given to `set_epoch`, the same in all processes.
    seed : int
        Of the shuffling; the same in all processes.
    drop_last : bool
        Drop samples so that all shares are of one length; otherwise some come twice.

    Raises
    ------
    RuntimeError
        If `num_replicas` or `rank` is missing.
    ValueError
        If there is no such rank.

    Examples
    --------
    >>> sampler = tl.data.DistributedSampler(range(5), num_replicas=2, rank=0, shuffle=False)
    >>> list(sampler), sampler.num_samples, sampler.total_size
    ([0, 2, 4], 3, 6)
    >>> sampler.set_epoch(1)

    >>> sampler = tl.data.DistributedSampler(range(5), num_replicas=2, rank=0)
    >>> sampler.load_state_dict(sampler.state_dict())
    """

    def __init__(
        self,
        dataset: Any,
        num_replicas: int | None = None,
        rank: int | None = None,
        shuffle: bool = True,
        seed: int = 0,
        drop_last: bool = False,
    ) -> None:
        if num_replicas is None or rank is None:
            raise RuntimeError(
                "DistributedSampler: give num_replicas and rank: tensorlite has no process group "
                "to ask for them"
            )
        if not 0 <= rank < num_replicas:
            raise ValueError(
                f"DistributedSampler: rank {rank} is outside 0..{num_replicas - 1}, the "
                f"num_replicas={num_replicas} processes"
            )
        self.dataset = dataset
        self.num_replicas = num_replicas
        self.rank = rank
        self.epoch = 0
        self.shuffle = shuffle
        self.seed = seed
        self.drop_last = drop_last

    @property
    def num_samples(self) -> int:
        """Samples in one share."""
        samples = len(self.dataset)
        return samples // self.num_replicas if self.drop_last else -(-samples // self.num_replicas)

    @property
    def total_size(self) -> int:
        """Samples in all shares."""
        return self.num_samples * self.num_replicas

    def __iter__(self) -> Iterator[int]:
        samples = len(self.dataset)
        order = np.arange(samples)
        if self.shuffle:
            order = Generator(self.seed + self.epoch).permutation(samples)
        share = np.resize(order, self.total_size)[self.rank :: self.num_replicas]
        return iter(share.tolist())

    def __len__(self) -> int:
        return self.num_samples

    def set_epoch(self, epoch: int) -> None:
        """Give the next pass an order of its own.

        Parameters
        ----------
        epoch : int
        """
        self.epoch = epoch

    def state_dict(self) -> dict[str, int]:
        """What decides the order."""
        return {"epoch": self.epoch, "seed": self.seed}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Restore what `state_dict` gave.

        Parameters
        ----------
        state : dict
        """
        self.epoch, self.seed = int(state["epoch"]), int(state["seed"])


def _flag(value: Any, owner: str, name: str) -> bool:
    if not isinstance(value, bool):
        raise TypeError(f"{owner}: {name} must be True or False, got {name}={value!r}")
    return value
