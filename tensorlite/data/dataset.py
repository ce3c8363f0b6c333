"""Datasets: samples by index or as a stream, alone or a batch at a time."""

from __future__ import annotations

import bisect
import itertools
import math
import warnings
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Generic, TypeVar

import numpy as np

from tensorlite.data.checks import check_same_length
from tensorlite.data.collate import default_collate
from tensorlite.random import Generator, default_generator
from tensorlite.tensor import Tensor, tensor_of

__all__ = [
    "ChainDataset",
    "ConcatDataset",
    "Dataset",
    "IterableDataset",
    "StackDataset",
    "Subset",
    "TensorDataset",
    "fetches_batches",
    "random_split",
    "samples_at",
    "windows",
]

T = TypeVar("T", covariant=True)


class Dataset(Generic[T]):
    """Samples that are fetched by index.

    Subclasses define ``__getitem__`` and, for all but the rarest uses, ``__len__``. Two more
    methods, where there is a faster way than one sample at a time:

    * ``__getitems__(indices)`` takes a list of indices and returns a list of samples, as in torch;
    * ``__getbatch__(indices)`` takes an array of indices and returns the samples already joined:
      what `default_collate` would make of them.

    Examples
    --------
    >>> class Squares(tl.data.Dataset):
    ...     def __len__(self):
    ...         return 5
    ...
    ...     def __getitem__(self, i):
    ...         return tl.tensor(i), tl.tensor(i * i)
    >>> Squares()[3]
    (tensor(3), tensor(9))
    """

    def __getitem__(self, index: Any) -> T:
        raise NotImplementedError(f"{type(self).__name__} must define __getitem__")

    def __iter__(self) -> Iterator[T]:
        indices = range(len(self)) if hasattr(self, "__len__") else itertools.count()
        for i in indices:
            try:
                sample = self[i]
            except IndexError:
                return
            yield sample

    def __add__(self, other: Dataset) -> ConcatDataset:
        return ConcatDataset([self, other])


class IterableDataset(Dataset[T]):
    """Samples that come as a stream: subclasses define ``__iter__``.

    With ``num_workers`` each worker iterates over its own copy: ask `get_worker_info` which part
    of the stream is this worker's, or every sample comes once from each.

    Examples
    --------
    >>> class Numbers(tl.data.IterableDataset):
    ...     def __iter__(self):
    ...         yield from range(3)
    >>> list(Numbers())
    [0, 1, 2]
    """

    def __iter__(self) -> Iterator[T]:
        raise NotImplementedError(f"{type(self).__name__} must define __iter__")

    def __add__(self, other: Dataset) -> ChainDataset:  # type: ignore[override]  # of iterable ones: another class, as torch's
        return ChainDataset([self, other])


def fetches_batches(dataset: Any) -> bool:
    """Whether ``__getbatch__`` speaks for the dataset: no subclass changed ``__getitem__`` since.

    A dataset made of others speaks for itself where they do.
    """
    kinds = type(dataset).__mro__
    where = {
        name: next((i for i, kind in enumerate(kinds) if name in vars(kind)), len(kinds))
        for name in ("__getbatch__", "__getitem__")
    }
    if where["__getbatch__"] > where["__getitem__"] or where["__getbatch__"] == len(kinds):
        return False
    return not isinstance(dataset, Subset) or fetches_batches(dataset.dataset)


class TensorDataset(Dataset[tuple[Tensor, ...]]):
    """Samples along axis 0 of Tensors, or arrays, of one length.

    Parameters
    ----------
    *tensors : Tensor or array_like
        Kept without a copy, on the device where they are.

    Attributes
    ----------
    tensors : tuple of Tensor

    Raises
    ------
    ValueError
        If there are none or their lengths differ; names the shapes.

    Examples
    --------
    >>> tl.data.TensorDataset(tl.tensor([[1.0], [2.0]]), tl.tensor([0, 1]))[1]
    (tensor([2.]), tensor(1))
    """

    def __init__(self, *tensors: Any) -> None:
        if not tensors:
            raise ValueError("TensorDataset needs at least one Tensor")
        self.tensors = tuple(_tensor(values) for values in tensors)
        check_same_length(self.tensors, "TensorDataset")

    def __len__(self) -> int:
        return len(self.tensors[0])

    def __getitem__(self, index: Any) -> tuple[Tensor, ...]:
        return tuple([tensor[index] for tensor in self.tensors])

    def __getbatch__(self, indices: np.ndarray) -> list[Tensor]:
        """Fetch the samples at `indices` with one gather a Tensor."""
        return [
            tensor[indices] if tensor.requires_grad else tensor_of(tensor.array[indices])
            for tensor in self.tensors
        ]


class StackDataset(Dataset):
    """Datasets side by side: sample `i` is a tuple, or a dictionary, of their samples `i`.

    Parameters
    ----------
    *args, **kwargs : Dataset
        Positional for tuples, by name for dictionaries; all of one length.

    Raises
    ------
    ValueError
        If there are none, or lengths differ.

    Examples
    --------
    >>> tl.data.StackDataset(range(3), "abc")[1]
    (1, 'b')
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        if bool(args) == bool(kwargs):
            raise ValueError(
                "StackDataset takes datasets either by position (samples are tuples) or by name "
                "(samples are dictionaries), at least one"
            )
        self.datasets = args or kwargs
        lengths = [len(dataset) for dataset in self._parts()]
        if len(set(lengths)) > 1:
            raise ValueError(f"StackDataset: the datasets have different lengths, {lengths}")
        self._length = lengths[0]

    def _parts(self) -> list[Any]:
        datasets = self.datasets
        return list(datasets.values() if isinstance(datasets, dict) else datasets)

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, index: Any) -> Any:
        if isinstance(self.datasets, dict):
            return {name: dataset[index] for name, dataset in self.datasets.items()}
        return tuple([dataset[index] for dataset in self.datasets])

    def __getitems__(self, indices: list) -> list:
        """Fetch several samples, by ``__getitems__`` of the datasets that have it."""
        columns = [samples_at(dataset, indices) for dataset in self._parts()]
        rows = zip(*columns, strict=True)
        if isinstance(self.datasets, dict):
            return [dict(zip(self.datasets, row, strict=True)) for row in rows]
        return list(rows)


class ConcatDataset(Dataset[T]):
    """Datasets one after another.

    Attributes
    ----------
    datasets : list
    cumulative_sizes : list of int
        Where each of them ends.

    Raises
    ------
    ValueError
        If there are none.
    TypeError
        If one is a stream.

    Examples
    --------
    >>> both = tl.data.ConcatDataset([range(3), range(10, 12)])
    >>> len(both), both[3], both.cumulative_sizes
    (5, 10, [3, 5])
    """

    def __init__(self, datasets: Iterable[Any]) -> None:
        self.datasets = list(datasets)
        if not self.datasets:
            raise ValueError("ConcatDataset needs at least one dataset")
        if any(isinstance(dataset, IterableDataset) for dataset in self.datasets):
            raise TypeError("ConcatDataset: an IterableDataset has no indices: use ChainDataset")
        self.cumulative_sizes = list(itertools.accumulate(len(d) for d in self.datasets))

    def __len__(self) -> int:
        return self.cumulative_sizes[-1]

    def __getitem__(self, index: int) -> T:
        index = int(index)
        if not -len(self) <= index < len(self):
            raise IndexError(f"ConcatDataset: index {index} of {len(self)} samples")
        index %= len(self)
        which = bisect.bisect_right(self.cumulative_sizes, index)
        return self.datasets[which][index - ([0, *self.cumulative_sizes][which])]


class ChainDataset(IterableDataset[T]):
    """Streams one after another.

    Parameters
    ----------
    datasets : iterable of IterableDataset

    Examples
    --------
    >>> class Numbers(tl.data.IterableDataset):
    ...     def __iter__(self):
    ...         yield from range(2)
    >>> list(tl.data.ChainDataset([Numbers(), Numbers()]))
    [0, 1, 0, 1]
    """

    def __init__(self, datasets: Iterable[Any]) -> None:
        super().__init__()
        self.datasets = datasets

    def __iter__(self) -> Iterator[T]:
        for dataset in self.datasets:
            if not isinstance(dataset, IterableDataset):
                raise TypeError(
                    f"ChainDataset chains IterableDatasets, got a {type(dataset).__name__}"
                )
            yield from dataset

    def __len__(self) -> int:
        return sum(len(dataset) for dataset in self.datasets)


class Subset(Dataset[T]):
    """The samples of `dataset` at `indices`, in that order.

    Raises
    ------
    IndexError
        If an index is outside the dataset.

    Examples
    --------
    >>> list(tl.data.Subset("abcd", [3, 0]))
    ['d', 'a']
    """

    def __init__(self, dataset: Any, indices: Sequence[Any] | np.ndarray) -> None:
        self.dataset = dataset
        self.indices = indices
        self._places = np.asarray(indices)  # keys of a dictionary will do, too
        if self._places.size == 0:
            self._places = self._places.astype(np.int64)
        if self._places.dtype.kind in "iu" and hasattr(dataset, "__len__"):
            samples = len(dataset)
            outside = self._places[(self._places < -samples) | (self._places >= samples)]
            if outside.size:
                raise IndexError(
                    f"Subset: index {outside[0]} is outside the dataset of {samples} samples"
                )

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, index: Any) -> T:
        if isinstance(index, list):
            return self.dataset[[self.indices[i] for i in index]]
        place = self.indices[index]
        return self.dataset[place.item() if isinstance(place, np.generic) else place]

    def __getitems__(self, indices: list) -> list[T]:
        """Fetch several samples, by ``__getitems__`` of the dataset where it has that."""
        return samples_at(self.dataset, [self.indices[i] for i in indices])

    def __getbatch__(self, indices: np.ndarray) -> Any:
        """Fetch the samples at `indices` of the subset, joined."""
        places = self._places[indices]
        if fetches_batches(self.dataset):
            return self.dataset.__getbatch__(places)
        return default_collate(samples_at(self.dataset, places.tolist()))


def samples_at(dataset: Any, indices: list) -> list[Any]:
    """List the samples at `indices`, by ``__getitems__`` where the dataset has it."""
    together = getattr(dataset, "__getitems__", None)
    if together is None:
        return [dataset[i] for i in indices]
    samples = together(indices)
    if len(samples) != len(indices):
        raise ValueError(
            f"{type(dataset).__name__}.__getitems__ returned {len(samples)} samples for "
            f"{len(indices)} indices"
        )
    return samples


def random_split(
    dataset: Any, lengths: Sequence[float], generator: Generator | None = None
) -> list[Subset]:
    """Split a dataset at random into parts that do not overlap.

    Parameters
    ----------
    dataset : sized
        What to split: a `Dataset`, or anything with ``__len__`` and ``__getitem__``.
    lengths : sequence of int or float
        Sizes that sum to ``len(dataset)``, or fractions that sum to 1; samples that rounding
        down leaves over go to the first parts, one each. An empty part is warned of.
    generator : Generator, optional
        Source of the permutation; the global one by default.

    Raises
    ------
    ValueError
        If the lengths do not add up, or one is negative.

    Examples
    --------
    >>> [len(part) for part in tl.data.random_split(range(10), [0.8, 0.2])]
    [8, 2]
    """
    total = len(dataset)
    sizes = list(lengths)
    if any(isinstance(size, float | np.floating) for size in sizes):
        if not math.isclose(sum(sizes), 1, abs_tol=1e-6) or not all(0 <= f <= 1 for f in sizes):
            raise ValueError(
                f"random_split: fractions must lie in [0, 1] and sum to 1, got {sizes}"
            )
        whole = [math.floor(total * fraction) for fraction in sizes]
        for i in range(total - sum(whole)):
            whole[i % len(whole)] += 1
        sizes = list(whole)
    if sum(sizes) != total:
        raise ValueError(
            f"random_split: lengths {sizes} sum to {sum(sizes)}, the dataset has {total} samples"
        )
    if min(sizes, default=0) < 0:
        raise ValueError(f"random_split: a length is negative: {sizes}")
    if 0 in sizes:
        warnings.warn(
            f"random_split: {list(lengths)} of {total} samples leaves an empty part ({sizes})",
            stacklevel=2,
        )
    order = (generator or default_generator).permutation(total).tolist()
    ends = itertools.accumulate(sizes)
    return [Subset(dataset, order[end - size : end]) for end, size in zip(ends, sizes, strict=True)]


def windows(values: np.ndarray, length: int, stride: int | None = None) -> np.ndarray:
    """Cut a sequence into windows: the samples of a language model.

    Parameters
    ----------
    values : numpy.ndarray, shape (T, ...)
        The sequence along axis 0.
    length : int
        Elements in a window.
    stride : int, optional
        Distance between the starts of windows; `length` by default, so that none overlap.

    Returns
    -------
    numpy.ndarray, shape (N, length, ...)
        A view of `values`: memory is used only for the batches taken from it.

    Raises
    ------
    ValueError
        If no window fits.

    Examples
    --------
    >>> import numpy as np
    >>> tl.data.windows(np.arange(5), 2)
    array([[0, 1],
           [2, 3]])
    """
    stride = length if stride is None else stride
    if not 1 <= length <= len(values) or stride < 1:
        raise ValueError(
            f"windows: cannot cut windows of length {length} every {stride} elements from a "
            f"sequence of {len(values)}"
        )
    view = np.lib.stride_tricks.sliding_window_view(values, length, axis=0)[::stride]
    return np.moveaxis(view, -1, 1)


def _tensor(values: Any) -> Tensor:
    if isinstance(values, Tensor):
        return values
    return tensor_of(values if hasattr(values, "__cuda_array_interface__") else np.asarray(values))
