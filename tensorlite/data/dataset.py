"""Datasets: samples by index, alone or a batch at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from tensorlite.data.checks import check_same_length
from tensorlite.random import Generator, default_generator
from tensorlite.tensor import Tensor

__all__ = ["Dataset", "Subset", "TensorDataset", "collate", "random_split", "windows"]


class Dataset:
    """Samples that can be counted and fetched by index.

    Subclasses define ``__len__`` and ``__getitem__``. Those that can fetch many samples at once
    faster than one by one override `batch` too.
    """

    def __len__(self) -> int:
        raise NotImplementedError(f"{type(self).__name__} must define __len__")

    def __getitem__(self, index: int) -> Any:
        raise NotImplementedError(f"{type(self).__name__} must define __getitem__")

    def __iter__(self) -> Iterator[Any]:
        return (self[i] for i in range(len(self)))

    def batch(self, indices: np.ndarray) -> Any:
        """Fetch the samples at `indices`, joined along a new axis 0."""
        return collate([self[i] for i in indices.tolist()])


class TensorDataset(Dataset):
    """Samples along axis 0 of arrays or Tensors of one length.

    Parameters
    ----------
    *arrays : array_like or Tensor
        Kept without a copy, on the device where they are.

    Raises
    ------
    ValueError
        If there are none or their lengths differ; names the shapes.
    """

    def __init__(self, *arrays: Any):
        if not arrays:
            raise ValueError("TensorDataset needs at least one array")
        self.arrays = tuple(_raw(array) for array in arrays)
        check_same_length(self.arrays, "TensorDataset")

    def __len__(self) -> int:
        return len(self.arrays[0])

    def __getitem__(self, index: Any) -> tuple[Any, ...]:
        return tuple(array[index] for array in self.arrays)

    def batch(self, indices: np.ndarray) -> tuple[Any, ...]:
        """Fetch the samples at `indices` with one gather an array."""
        return tuple(array[indices] for array in self.arrays)


class Subset(Dataset):
    """The samples of `dataset` at `indices`, in that order.

    Raises
    ------
    IndexError
        If an index is outside the dataset.
    """

    def __init__(self, dataset: Dataset, indices: Sequence[int] | np.ndarray):
        self.dataset = dataset
        self.indices = np.asarray(indices, dtype=np.int64)
        outside = self.indices[(self.indices < 0) | (self.indices >= len(dataset))]
        if outside.size:
            raise IndexError(
                f"Subset: index {outside[0]} is outside the dataset of {len(dataset)} samples"
            )

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, index: int) -> Any:
        return self.dataset[int(self.indices[index])]

    def batch(self, indices: np.ndarray) -> Any:
        """Fetch the samples at `indices` of the subset."""
        return self.dataset.batch(self.indices[indices])


def random_split(
    dataset: Dataset, lengths: Sequence[float], generator: Generator | None = None
) -> list[Subset]:
    """Split a dataset at random into parts that do not overlap.

    Parameters
    ----------
    dataset : Dataset
        What to split.
    lengths : sequence of int or float
        Sizes that sum to ``len(dataset)``, or fractions that sum to 1; samples that rounding
        down leaves over go to the first parts, one each.
    generator : Generator, optional
        Source of the permutation; the global one by default.

    Raises
    ------
    ValueError
        If the lengths do not add up or a part would be empty.
    """
    total = len(dataset)
    sizes = list(lengths)
    if any(isinstance(size, float) for size in sizes):
        if abs(sum(sizes) - 1) > 1e-6 or min(sizes) < 0:
            raise ValueError(f"random_split: fractions must sum to 1, got {sizes}")
        sizes = [int(total * fraction) for fraction in sizes]
        for i in range(total - sum(sizes)):
            sizes[i % len(sizes)] += 1
    if sum(sizes) != total:
        raise ValueError(
            f"random_split: lengths {sizes} sum to {sum(sizes)}, the dataset has {total} samples"
        )
    if min(sizes) < 1:
        raise ValueError(
            f"random_split: {list(lengths)} of {total} samples leaves an empty part ({sizes})"
        )
    order = (generator or default_generator).permutation(total)
    return [Subset(dataset, part) for part in np.split(order, np.cumsum(sizes)[:-1])]


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
    """
    stride = length if stride is None else stride
    if not 1 <= length <= len(values) or stride < 1:
        raise ValueError(
            f"windows: cannot cut windows of length {length} every {stride} elements from a "
            f"sequence of {len(values)}"
        )
    view = np.lib.stride_tricks.sliding_window_view(values, length, axis=0)[::stride]
    return np.moveaxis(view, -1, 1)


def collate(samples: Sequence[Any]) -> Any:
    """Join samples into a batch: the default `collate_fn` of the loader.

    Arrays, Tensors and numbers are stacked along a new axis 0 (Python floats become float32),
    tuples and dictionaries are joined entry by entry, anything else is listed.
    """
    first = samples[0]
    if isinstance(first, dict):
        return {key: collate([sample[key] for sample in samples]) for key in first}
    if isinstance(first, tuple | list):
        return tuple(collate(column) for column in zip(*samples, strict=True))
    if isinstance(first, float):
        return np.asarray(samples, dtype=np.float32)
    if isinstance(first, bool | int | np.generic):
        return np.asarray(samples)
    if not isinstance(first, Tensor | np.ndarray):
        return list(samples)
    arrays = [_raw(sample) for sample in samples]
    shapes = sorted({array.shape for array in arrays})
    if len(shapes) > 1:
        raise ValueError(
            f"collate: samples of different shapes {shapes} cannot be stacked: pad them in the "
            "dataset or pass a collate_fn that does"
        )
    return np.stack(arrays)


def _raw(array: Any) -> Any:
    if isinstance(array, Tensor):
        return array.array
    return array if hasattr(array, "__cuda_array_interface__") else np.asarray(array)
