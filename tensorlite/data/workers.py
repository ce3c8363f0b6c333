"""A loader's worker processes, seen from the process that consumes the batches."""

from __future__ import annotations

import atexit
import contextlib
import multiprocessing
import multiprocessing.connection
import pickle
import signal
import time
import weakref
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

from tensorlite.data.shared import Receiver
from tensorlite.data.worker import Fetch, WorkerInfo, work

__all__ = ["Workers"]

_END = object()
_open: set[Any] = set()  # our ends of all connections: a fork has them, too, and closes them
_PATIENCE = 2.0  # seconds that workers have to end by themselves


_alive: weakref.WeakSet[Workers] = weakref.WeakSet()


@atexit.register
def _close_all() -> None:
    """End all workers while the interpreter is still whole."""
    for workers in list(_alive):
        workers.close()


class _Worker:
    """One process, and what it was asked."""

    def __init__(self, process: Any, connection: Any) -> None:
        self.process = process
        self.connection = connection
        self.receiver = Receiver(connection)
        self.asked = 0


class Workers:
    """Processes that make batches.

    Parameters
    ----------
    fetch : Fetch
        What each of them does.
    count : int
        How many there are.
    streams : bool
        Whether each iterates over its own copy of a stream.
    ahead : int
        Batches that each may be asked for before they are wanted.
    timeout : float
        Seconds to wait for a batch; 0: as long as it takes.
    in_order : bool
        Whether batches come in the order they were asked for.
    worker_init_fn : callable, optional
        Called in each process with its number.
    context : str or multiprocessing context, optional
        How processes are started.
    """

    def __init__(
        self,
        fetch: Fetch,
        count: int,
        *,
        streams: bool,
        ahead: int,
        timeout: float,
        in_order: bool,
        worker_init_fn: Callable[[int], Any] | None,
        context: Any,
    ) -> None:
        if context is None or isinstance(context, str):
            context = multiprocessing.get_context(context)
        self.streams = streams
        self.window = count * ahead
        self.timeout = timeout
        self.in_order = in_order
        self.epoch = 0
        self.workers: list[_Worker] = []
        _alive.add(self)
        try:
            for i in range(count):
                ours, theirs = context.Pipe()
                _open.add(ours)
                forked = context.get_start_method() == "fork"
                inherited = list(_open) if forked else []
                info = WorkerInfo(i, count, 0, fetch.dataset)
                process = context.Process(
                    target=work,
                    args=(theirs, inherited, fetch, info, worker_init_fn, streams),
                    daemon=True,
                    name=f"tensorlite-worker-{i}",
                )
                self.workers.append(_Worker(process, ours))
                try:
                    process.start()
                finally:
                    theirs.close()
        except BaseException:
            self.close()
            raise

    def batches(self, tasks: Iterator[Any], numbers: Iterator[int], seed: int) -> Iterator[Any]:
        """Iterate over the batches of one epoch.

        Parameters
        ----------
        tasks
            What to fetch for each batch, or anything endless for streams.
        numbers
            Of the batches in their epoch: what random numbers are keyed by.
        seed
            Of the random numbers drawn in the workers.
        """
        self.epoch += 1
        mine = self.epoch
        turns = deque(self.workers)
        expected: deque[tuple[int, _Worker]] = deque()
        arrived: dict[int, tuple[str, Any]] = {}

        def ask() -> None:
            while len(expected) < self.window and turns:
                task = next(tasks, _END)
                if task is _END:
                    return
                if self.streams:
                    worker = turns[0]
                    turns.rotate(-1)
                else:
                    worker = min(turns, key=lambda w: w.asked)
                number = next(numbers)
                self._send(worker, (number, mine, seed, task, worker.receiver.freed()))
                expected.append((number, worker))

        ask()
        while expected:
            if self.epoch != mine:
                raise RuntimeError(
                    "DataLoader: a newer loop over this loader has taken its persistent workers"
                )
            place = 0
            if not self.in_order:
                place = next((i for i, (n, _) in enumerate(expected) if n in arrived), 0)
            number, worker = expected[place]
            if number not in arrived:
                self._receive(mine, arrived)
                continue
            del expected[place]
            what, content = arrived.pop(number)
            if what == "failure":
                _raise(*content)
            if what == "end" and worker in turns:
                turns.remove(worker)
            ask()
            if what == "batch":
                yield content
                del content

    def _send(self, worker: _Worker, message: tuple) -> None:
        try:
            worker.connection.send(message)
        except OSError:
            self._died(worker)
        worker.asked += 1

    def _receive(self, epoch: int, arrived: dict[int, tuple[str, Any]]) -> None:
        """Wait for something to arrive; drop batches of an epoch that was left early."""
        places = {worker.connection: worker for worker in self.workers}
        ends = {worker.process.sentinel: worker for worker in self.workers}
        wait = multiprocessing.connection.wait
        ready = wait([*places, *ends], self.timeout or None)
        if not ready:
            self.close()
            raise RuntimeError(
                f"DataLoader timed out after {self.timeout} seconds: no batch came from its "
                f"{len(self.workers)} workers"
            )
        for place in ready:
            worker = places.get(place)
            if worker is None:
                if ends[place].connection not in ready:
                    self._died(ends[place])
                continue
            try:
                number, its_epoch, what, content = worker.connection.recv()
                worker.asked -= 1
                if what == "batch":
                    if its_epoch == epoch:
                        content = worker.receiver.unpack(content)
                    else:
                        worker.receiver.discard(content)
            except (EOFError, OSError):
                self._died(worker)
            if its_epoch == epoch:
                arrived[number] = what, content

    def _died(self, worker: _Worker) -> None:
        worker.process.join(_PATIENCE)
        code, pid = worker.process.exitcode, worker.process.pid
        self.close()
        how = f"exited unexpectedly with exit code {code}"
        if code is not None and code < 0:
            how = f"was killed by signal {signal.Signals(-code).name}"
            if -code == signal.SIGKILL:
                how += " (where memory runs out, the system does that)"
        raise RuntimeError(f"DataLoader worker (pid {pid}) {how}")

    def close(self) -> None:
        """End the processes: by closing their connections, and where that does not help, by force.

        Safe to call twice, and in a process that inherited this object by a fork.
        """
        workers, self.workers = self.workers, []
        for worker in workers:
            _open.discard(worker.connection)
            worker.connection.close()
        # Asserted by multiprocessing: that they were started, and by this process.
        with contextlib.suppress(AssertionError):
            deadline = time.monotonic() + _PATIENCE
            for end in ("terminate", "kill", None):
                for worker in workers:
                    worker.process.join(max(0.0, deadline - time.monotonic()))
                alive = [worker for worker in workers if worker.process.is_alive()]
                if not alive or end is None:
                    break
                for worker in alive:
                    getattr(worker.process, end)()
                deadline = time.monotonic() + _PATIENCE


def _raise(kind: bytes | None, text: str) -> None:
    """Raise a worker's exception here: of the same type, where that can be made from a text."""
    error: BaseException | None = None
    if kind is not None:
        with contextlib.suppress(Exception):
            made = pickle.loads(kind)(text)
            error = made if isinstance(made, Exception) else None
    if isinstance(error, KeyError):
        error = type(error)(_Text(text))
    raise error or RuntimeError(text)


class _Text(str):
    """A text that a KeyError shows with its line breaks."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)
