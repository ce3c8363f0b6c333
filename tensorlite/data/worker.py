"""What runs in a loader's worker process."""

from __future__ import annotations

import contextlib
import os
import pickle
import queue
import random
import signal
import threading
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing import reduction
from multiprocessing.connection import Connection
from typing import Any

import numpy as np

from tensorlite.backend.threads import set_num_threads
from tensorlite.data.collate import default_collate
from tensorlite.data.dataset import fetches_batches, samples_at
from tensorlite.data.shared import Sender
from tensorlite.random import manual_seed

__all__ = ["Fetch", "WorkerInfo", "get_worker_info", "work"]

_GRACE = 5.0  # seconds that a sample may still take when it is no longer waited for


@dataclass
class WorkerInfo:
    """Facts about a worker process; see `get_worker_info`.

    Attributes
    ----------
    id : int
        Its number, from 0.
    num_workers : int
        How many there are.
    seed : int
        What its random generators were seeded with at the beginning of the epoch.
    dataset : Dataset
        This process's copy.
    """

    id: int
    num_workers: int
    seed: int
    dataset: Any


_info: WorkerInfo | None = None


def get_worker_info() -> WorkerInfo | None:
    """What this worker process is, or None in the process that has the loader.

    Examples
    --------
    >>> tl.data.get_worker_info() is None
    True
    """
    return _info


class Stopped(Exception):
    """Nobody waits for the batch any more."""


class Fetch:
    """Makes batches of a dataset's samples.

    Parameters
    ----------
    dataset : Dataset or iterable
        Where the samples come from.
    collate_fn : callable
        Joins a list of samples, or converts one.
    batch_size : int or None
        Of a stream: samples in a batch; None: they come alone.
    joins : bool
        Whether `collate_fn` takes lists; otherwise a sample is fetched alone.
    drop_last : bool
        Of a stream: whether a shorter last batch is left out.
    """

    def __init__(
        self,
        dataset: Any,
        collate_fn: Callable,
        *,
        joins: bool,
        batch_size: int | None = None,
        drop_last: bool = False,
    ) -> None:
        self.dataset = dataset
        self.collate_fn = collate_fn
        self.joins = joins
        self.batch_size = batch_size
        self.drop_last = drop_last
        self.whole_batches = joins and collate_fn is default_collate and fetches_batches(dataset)

    def __call__(self, index: Any, is_stopped: Callable[[], bool] | None = None) -> Any:
        """Fetch the sample, or the samples, at `index`."""
        if self.whole_batches:
            return self.dataset.__getbatch__(np.asarray(index))
        if isinstance(index, np.ndarray):
            index = index.tolist()
        if not self.joins:
            return self.collate_fn(self.dataset[index])
        if is_stopped is None or hasattr(self.dataset, "__getitems__"):
            return self.collate_fn(samples_at(self.dataset, index))
        samples = []
        for i in index:
            if is_stopped():
                raise Stopped
            samples.append(self.dataset[i])
        return self.collate_fn(samples)

    def stream(self) -> Any:
        """Iterate over the batches of a stream."""
        samples = iter(self.dataset)
        if not self.joins:
            yield from map(self.collate_fn, samples)
            return
        batch: list[Any] = []
        for sample in samples:
            batch.append(sample)
            if len(batch) == self.batch_size:
                yield self.collate_fn(batch)
                batch = []
        if batch and not self.drop_last:
            yield self.collate_fn(batch)


def work(
    connection: Connection,
    inherited: list[Connection],
    fetch: Fetch,
    info: WorkerInfo,
    worker_init_fn: Callable[[int], Any] | None,
    streams: bool,
) -> None:
    """Answer tasks until the connection is closed: the main function of a worker process."""
    global _info
    for other in inherited:  # a fork has the ends of the other workers, too
        other.close()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the process that has the loader
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    with contextlib.suppress(RuntimeError):  # without kernels, NumPy may have threads of its own
        set_num_threads(1)
    _info = info
    inbox = _Inbox(connection)
    sender = Sender(connection)
    batches: Any = None
    epoch, failure = -1, None
    while (task := inbox.get()) is not None:
        number, task_epoch, seed, index, freed = task
        sender.free += freed
        if task_epoch != epoch:
            epoch, failure, batches = task_epoch, None, None
            info.seed = seed + info.id
            _seed(info.seed, everything=True)
            try:
                if worker_init_fn is not None and not inbox.began:
                    worker_init_fn(info.id)
                inbox.began = True
                batches = fetch.stream() if streams else None
            except Exception as error:
                failure = _described(error, info.id)
        try:
            if failure is not None:
                answer = ("failure", failure)
            elif streams:
                answer = _next_of_stream(batches)
            else:
                _seed(_mixed(seed, number), everything=worker_init_fn is None)
                answer = ("batch", fetch(index, inbox.is_stopped))
            answer, descriptor = _packed(sender, answer)
        except Stopped:
            return
        except Exception as error:
            answer, descriptor = ("failure", _described(error, info.id)), None
        try:
            connection.send((number, task_epoch, *answer))
            if descriptor is not None:
                reduction.send_handle(connection, descriptor, None)
        except OSError:  # nobody is there any more
            return
        finally:
            if descriptor is not None:
                os.close(descriptor)


def _next_of_stream(batches: Any) -> tuple:
    for batch in batches:
        return "batch", batch
    return ("end", None)


def _packed(sender: Sender, answer: tuple) -> tuple[tuple, int | None]:
    what, content = answer
    if what != "batch":
        return answer, None
    packet, descriptor = sender.pack(content)
    return (what, packet), descriptor


class _Inbox:
    """Reads the tasks in a thread, so that the sender never waits for this worker."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.tasks: queue.SimpleQueue = queue.SimpleQueue()
        self.stopped = False
        self.began = False
        self.get = self.tasks.get
        threading.Thread(target=self._read, daemon=True).start()

    def is_stopped(self) -> bool:
        """Whether batches are no longer waited for."""
        return self.stopped

    def _read(self) -> None:
        try:
            while True:
                self.tasks.put(self.connection.recv())
        except (EOFError, OSError):
            self.stopped = True
            self.tasks.put(None)
        threading.Event().wait(_GRACE)  # the process ends before, unless a sample takes very long
        os._exit(1)


def _mixed(seed: int, number: int) -> int:
    """A seed for each batch: whichever worker makes it, and whatever was made before."""
    words = np.random.SeedSequence([seed, number]).generate_state(2)
    return int(words[0]) << 32 | int(words[1])


def _seed(seed: int, *, everything: bool) -> None:
    manual_seed(seed % (1 << 64))
    if everything:
        random.seed(seed)
        np.random.seed(seed % (1 << 32))


def _described(error: Exception, worker: int) -> tuple[bytes | None, str]:
    """The type of an exception, if it can be sent, and its text with the traceback."""
    text = (
        f"Caught {type(error).__name__} in DataLoader worker process {worker}.\n"
        f"Original {traceback.format_exc()}"
    )
    try:
        return pickle.dumps(type(error)), text
    except Exception:
        return None, text
