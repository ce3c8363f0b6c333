"""DataLoader: batches of a dataset as Tensors, in an order that can be resumed exactly."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from functools import cached_property, partial
from typing import Any

import numpy as np

from tensorlite.backend import Array, Device, array_backend, backend_for, is_array
from tensorlite.backend import device as parse_device
from tensorlite.data.dataset import Dataset, collate
from tensorlite.data.prefetch import prefetched
from tensorlite.random import Generator, default_generator
from tensorlite.tensor import Tensor, tensor_of

__all__ = ["DataLoader"]


class DataLoader:
    """Iterate over a dataset in batches of Tensors.

    Each ``for`` loop over the loader is one epoch. The order of an epoch depends only on the
    loader's seed and the epoch's number, so a loader restored in mid-epoch yields exactly the
    batches that were still to come.

    Parameters
    ----------
    dataset : Dataset
        A `Dataset`, or anything with ``__len__`` and ``__getitem__``.
    batch_size : int
        Samples in a batch; the last one may be smaller.
    shuffle : bool
        Draw a new order every epoch; otherwise the dataset's own.
    drop_last : bool
        Leave out the last batch if it is smaller.
    collate_fn : callable, optional
        Joins a list of samples into a batch. By default the dataset does: `Dataset.batch`.
    generator : Generator, optional
        Gives the seed of the shuffling; the global one by default, so that `manual_seed`
        fixes the order.
    device : str or Device
        Where the batches are put.
    prefetch : int
        Batches that a background thread prepares ahead; 0 prepares them in the loop. It pays
        where samples are slow to make, not for arrays in memory: a hand-over takes about 0.1 ms.

    Raises
    ------
    ValueError
        If the dataset is empty, or holds less than one batch with `drop_last`.

    Examples
    --------
    >>> loader = DataLoader(TensorDataset(*digits().train), batch_size=64, shuffle=True)
    >>> for images, labels in loader:  # (64, 1, 8, 8), (64,)
    ...     ...
    """

    def __init__(
        self,
        dataset: Any,
        batch_size: int = 1,
        shuffle: bool = False,
        *,
        drop_last: bool = False,
        collate_fn: Callable[[list[Any]], Any] | None = None,
        generator: Generator | None = None,
        device: str | Device = "cpu",
        prefetch: int = 0,
    ):
        samples = len(dataset)
        if samples == 0:
            raise ValueError("DataLoader: the dataset is empty")
        if batch_size < 1 or prefetch < 0:
            raise ValueError(
                "DataLoader: batch_size must be at least 1 and prefetch at least 0, got "
                f"batch_size={batch_size}, prefetch={prefetch}"
            )
        if drop_last and batch_size > samples:
            raise ValueError(
                f"DataLoader: batch_size={batch_size} is larger than the dataset ({samples} "
                "samples), and drop_last=True leaves no batch: use a smaller batch_size"
            )
        self.dataset = dataset
        self.batch_size = batch_size
        self.shuffle = shuffle
        self.drop_last = drop_last
        self.device = parse_device(device)
        self.prefetch = prefetch
        self._fetch = _fetcher(dataset, collate_fn)
        self._seed = int((generator or default_generator).integers(0, 1 << 32)) if shuffle else 0
        self._epoch = 0
        self._position = 0  # batches of this epoch that the consumer has received
        self._restored = False

    def __len__(self) -> int:
        """Batches in an epoch."""
        samples = len(self.dataset)
        return samples // self.batch_size if self.drop_last else -(-samples // self.batch_size)

    def __iter__(self) -> Iterator[Any]:
        if self._position and not self._restored:  # the last epoch was left early
            self._next_epoch()
        self._restored = False
        indices = self._batches(self._position)
        batches = (self._fetch(index) for index in indices)
        with closing(prefetched(batches, self.prefetch) if self.prefetch else batches) as fetched:
            for batch in self._on_device(fetched):
                self._position += 1
                yield batch
        self._next_epoch()

    def _on_device(self, batches: Iterable[Any]) -> Iterator[Any]:
        """Put the arrays of nested batches on the device, as Tensors; leave the rest as it is."""
        if self.device.type == "cpu":
            for batch in batches:
                yield _mapped(batch, lambda a: tensor_of(array_backend((a,)).to_host(a)))
            return
        waiting: deque[Any] = deque()

        def host_arrays() -> Iterator[list[np.ndarray]]:
            for batch in batches:
                waiting.append(batch)
                arrays: list[np.ndarray] = []
                _mapped(batch, lambda a, to=arrays: to.append(a) if _on_host(a) else None)
                yield arrays

        def placed(array: Array, arrived: Iterator[Array]) -> Tensor:
            if _on_host(array):
                return tensor_of(next(arrived))
            return tensor_of(backend_for(self.device).asarray(array, device=self.device))

        for arrays in self._prefetcher(host_arrays()):
            yield _mapped(waiting.popleft(), partial(placed, arrived=iter(arrays)))

    @cached_property
    def _prefetcher(self) -> Any:
        """Copies batches ahead of their use, into buffers that all epochs share."""
        from tensorlite.backend.upload import Prefetcher

        return Prefetcher(self.device)

    def state_dict(self) -> dict[str, int]:
        """Where the loader is: its seed, the epoch, and the batches of it already yielded."""
        return {
            "seed": self._seed,
            "epoch": self._epoch,
            "position": self._position,
            **self._identity(),
        }

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Go on where `state` was taken: the next loop yields the rest of that epoch.

        Raises
        ------
        ValueError
            If it is no loader's state, or one of a dataset of another length, another batch
            size or order, so that the remaining batches would be different ones.
        """
        missing = sorted(self.state_dict().keys() - state.keys())
        if missing:
            raise ValueError(f"DataLoader: this is not the state of a loader, it lacks {missing}")
        for key, own in self._identity().items():
            if state[key] != own:
                raise ValueError(
                    f"DataLoader: the state was saved with {key}={state[key]}, this loader has "
                    f"{key}={own}: the epoch cannot be continued"
                )
        self._seed = state["seed"]
        self._epoch = state["epoch"]
        self._position = state["position"]
        self._restored = True

    def _identity(self) -> dict[str, int]:
        """Return what must agree for two loaders to yield the same batches from one seed."""
        return {
            "samples": len(self.dataset),
            "batch_size": self.batch_size,
            "shuffle": int(self.shuffle),
            "drop_last": int(self.drop_last),
        }

    def _next_epoch(self) -> None:
        self._epoch += 1
        self._position = 0

    def _batches(self, first: int) -> list[np.ndarray]:
        """Return the indices of this epoch's batches, from batch `first` on."""
        samples = len(self.dataset)
        if self.shuffle:
            order = Generator(self._epoch << 32 | self._seed).permutation(samples)
        else:
            order = np.arange(samples)
        size = self.batch_size
        return [order[i * size : (i + 1) * size] for i in range(first, len(self))]


def _fetcher(dataset: Any, collate_fn: Callable | None) -> Callable[[np.ndarray], Any]:
    if collate_fn is None and isinstance(dataset, Dataset):
        return dataset.batch
    join = collate_fn or collate
    return lambda indices: join([dataset[i] for i in indices.tolist()])


def _on_host(array: Array) -> bool:
    return isinstance(array, np.ndarray | np.generic)


def _mapped(batch: Any, change: Callable[[Array], Any]) -> Any:
    """Apply `change` to every array of a nested batch."""
    if isinstance(batch, dict):
        return {key: _mapped(value, change) for key, value in batch.items()}
    if isinstance(batch, tuple | list):
        kind = list if isinstance(batch, list) else tuple
        return kind(_mapped(value, change) for value in batch)
    array = batch.array if isinstance(batch, Tensor) else batch
    return change(array) if is_array(array) else batch
