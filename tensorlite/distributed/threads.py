"""Several CUDA devices in one process: a thread each, which do as processes do.

The threads take turns: Python runs one of them at a time anyway. With the turn goes what a process
has one of: who it is (`ranks.world`), its random numbers, the device that "cuda" means. So each
thread finds what it left, and a training has the bits that it has on as many processes. A thread
gives up its turn where it waits for the others, and in every call of NCCL, which waits for them,
too.
"""

from __future__ import annotations

import pickle
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

import numpy as np

from tensorlite import ranks
from tensorlite.backend import Array, Device, backend_for, base, parse_device
from tensorlite.cuda import device_count
from tensorlite.distributed import nccl
from tensorlite.distributed.guard import where
from tensorlite.random import default_generator
from tensorlite.ranks import World

T = TypeVar("T")


def on_devices(work: Callable[[], T], devices: int | Sequence[int | str | Device]) -> list[T]:
    """Call a function on several CUDA devices of this process at once, in a thread for each.

    In it, all is as in a program that mpiexec has started on as many processes, without MPI: call
    `tl.distributed.init`, and make the model, the loader and the optimizer. "cuda" is the thread's
    own device. Rank 0 runs in the thread of the caller. Arrays go from device to device by NCCL.

    Python computes for one device at a time, so this suits few devices and large steps; a process
    for each device is faster.

    Parameters
    ----------
    work
        Called without arguments, once per device.
    devices
        How many, or which.

    Returns
    -------
    list
        What the calls returned, by rank.

    Raises
    ------
    RuntimeError
        If NCCL is missing, or this process is one of several already. What `work` raises on one
        device ends all calls, and is raised here.
    ValueError
        If there are not so many devices, or one is named twice.

    Examples
    --------
    >>> def train():
    ...     tl.distributed.init(shards=4)
    ...     model = make_model().to("cuda")
    ...     loader = tl.distributed.cut(DataLoader(data, 64, shuffle=True, device="cuda"))
    ...     optimizer = tl.distributed.Sharded(tl.optim.AdamW(model.parameters()))
    ...     ...
    >>> tl.distributed.on_devices(train, 4)
    """
    if ranks.world().link is not None:
        raise RuntimeError("on_devices: this process is one of several already")
    chosen = _numbers(devices)
    backend_for("cuda")
    nccl.library()
    board, identity = Board(len(chosen)), nccl.unique_id()
    found: list[Any] = [None] * len(chosen)

    def run(rank: int) -> None:
        try:
            with board.turn(chosen[rank]), nccl.load_cupy().cuda.Device(chosen[rank]):
                link = ThreadLink(board, rank, identity, chosen[rank])
                size = len(chosen)
                ranks.set_world(World(rank, size, size, link, rank, size))
                found[rank] = work()
        except BaseException as error:
            board.fail(rank, error)

    threads = [
        threading.Thread(target=run, args=(rank,), name=f"tensorlite rank {rank}", daemon=True)
        for rank in range(1, len(chosen))
    ]
    for thread in threads:
        thread.start()
    run(0)
    for thread in threads:
        thread.join()
    board.outside.set()
    if board.error is not None:
        raise board.error
    return found


def _numbers(devices: int | Sequence[int | str | Device]) -> list[int]:
    """The numbers of the devices that are asked for."""
    if isinstance(devices, int):
        numbers = list(range(devices))
    else:
        each = [Device("cuda", d) if isinstance(d, int) else parse_device(d) for d in devices]
        numbers = [device.index for device in each if device.type == "cuda"]
        if len(set(numbers)) < len(each):
            named = list(map(str, each))
            raise ValueError(f"on_devices: {named} are not CUDA devices, each once")
    if not numbers or max(numbers) >= device_count() or min(numbers) < 0:
        raise ValueError(
            f"on_devices: devices={devices!r}; {device_count()} CUDA devices are there"
        )
    return numbers


class Ended(RuntimeError):
    """Another rank has raised."""


class Board:
    """What the threads share: whose turn it is, what they say, what they have queued.

    Attributes
    ----------
    error : BaseException or None
        The first that a rank raised.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self.error: BaseException | None = None
        self.culprit = ""
        self.outside = _State.now()
        self.communicators: list[Any] = []  # of NCCL, which waits for all ranks, too
        self._turn = threading.Lock()
        self._news = threading.Condition()
        self._said: dict[Any, dict[int, Any]] = defaultdict(dict)
        self._taken: dict[Any, int] = defaultdict(int)
        self._queued: dict[Any, int] = defaultdict(int)

    # --- turns ----------------------------------------------------------------------------------

    @contextmanager
    def turn(self, device: int) -> Iterator[None]:
        """Be a rank, in a ``with`` statement; all else is as it is for the caller of all."""
        outside = self.outside
        with self._turn:
            _State(World(), outside.random, device, outside.defaults).set()
            yield

    @contextmanager
    def aside(self) -> Iterator[None]:
        """Let the others have their turns, in a ``with`` statement."""
        state = _State.now()
        self._turn.release()
        try:
            yield
        finally:
            self._turn.acquire()
            state.set()

    # --- words ----------------------------------------------------------------------------------

    def say(self, key: Any, rank: int, value: Any) -> None:
        """Leave something for the others."""
        with self._news:
            self._said[key][rank] = value
            self._news.notify_all()

    def hear(self, key: Any, count: int) -> dict[int, Any]:
        """What `count` ranks say, once they have; each of them calls it."""
        with self.aside(), self._news:
            self._wait(lambda: len(self._said[key]) == count)
            found = self._said[key]
            self._taken[key] += 1
            if self._taken[key] == count:
                del self._said[key], self._taken[key]
            return found

    def count(self, *keys: Any) -> None:
        """Count something that was queued on a device."""
        with self._news:
            for key in keys:
                self._queued[key] += 1
            self._news.notify_all()

    def await_counts(self, counts: dict[Any, int]) -> None:
        """Wait until so many have been queued; `aside`."""
        with self._news:
            self._wait(lambda: all(self._queued[key] >= n for key, n in counts.items()))

    def _wait(self, done: Callable[[], bool]) -> None:
        self._news.wait_for(lambda: self.error is not None or done())
        if self.error is not None:
            raise Ended(self.culprit)

    def fail(self, rank: int, error: BaseException) -> None:
        """A rank has raised: nobody waits any more."""
        with self._news:
            if self.error is None:
                self.error = error
                self.culprit = f"rank {rank} raised {type(error).__name__}{where(error)}: {error}"
                if self.size > 1:
                    error.add_note(f"raised on rank {rank} of {self.size}{where(error)}")
            self._news.notify_all()
            # Each once, whoever comes first: the second would abort what is freed.
            communicators, self.communicators = self.communicators, []
        for communicator in communicators:
            communicator.abort()


class _State:
    """What a process has one of, and each of the threads its own."""

    def __init__(
        self, world: World, random: dict[str, int], home: int, defaults: list[Device]
    ) -> None:
        self.world, self.random, self.home, self.defaults = world, random, home, defaults

    @classmethod
    def now(cls) -> _State:
        """What there is."""
        return cls(ranks.world(), default_generator.state_dict(), base.home(), base.defaults())

    def set(self) -> None:
        """Let it be so."""
        ranks.set_world(self.world)
        default_generator.load_state_dict(self.random)
        base.set_home(self.home)
        base.set_defaults(self.defaults)


class Said:
    """Words of the others that are on their way."""

    def __init__(self, link: ThreadLink, key: Any, found: np.ndarray) -> None:
        self.link, self.key, self.found = link, key, found
        self._is_there = False

    def wait(self) -> None:
        """Return when they are there; again at once."""
        if not self._is_there:
            self._is_there = True
            for rank, row in self.link.board.hear(self.key, self.link.size).items():
                self.found[rank] = row


class ThreadLink:
    """Carries arrays and small objects between the threads of a process; see `MPILink`."""

    def __init__(self, board: Board, rank: int, identity: tuple, device: int) -> None:
        self.board, self.rank, self.size = board, rank, board.size
        self.steps, self._begun = 0, False
        self.seconds = self.longest = self.alone = 0.0
        self.timeout = float("inf")
        self.waiting, self.check = "", None
        self._calls: dict[Any, int] = defaultdict(int)
        self._stepped = time.perf_counter()
        with board.aside():  # it waits until all have come here
            self.nccl = ThreadNCCL(board, self.rank, identity, device)

    @property
    def sent(self) -> int:
        """Bytes of arrays that this thread has sent."""
        return self.nccl.sent

    def begin(self) -> bool:
        """Whether this is the first call: `init` then sets the number of shards."""
        first, self._begun = not self._begun, True
        return first

    def use_cuda(self, device: int) -> None:
        """Check that arrays are on this thread's own device."""
        if self.nccl.device != device:
            raise RuntimeError(
                f"rank {self.rank} trains on its own device, cuda:{self.nccl.device}, and these "
                f'arrays are on cuda:{device}: "cuda" without a number is a thread\'s own'
            )

    def exchange(
        self,
        sends: Sequence[tuple[int, Array]],
        receives: Sequence[tuple[int, Array]],
        what: str,
    ) -> Any:
        """Begin to send arrays to ranks and to receive others; all ranks in the same order."""
        if any(isinstance(array, np.ndarray) for _, array in (*sends, *receives)):
            raise RuntimeError(
                "the threads of on_devices train on CUDA devices: move the model there, or start "
                "processes, with mpiexec, to train on the CPU"
            )
        return self.nccl.exchange(sends, receives, what)

    def gather_array(self, array: Array, what: str = "numbers") -> list[Array]:
        """The arrays of all ranks, which are of one shape and dtype."""
        if not isinstance(array, np.ndarray):
            return self.nccl.gather_array(array, what)
        return self._all("array", np.array(array))

    def begin_gather(self, array: np.ndarray, what: str) -> tuple[Any, np.ndarray]:
        """Begin to gather short host arrays; return the transfer, and the array they arrive in."""
        found = np.empty((self.size, *array.shape), array.dtype)
        return Said(self, self._say("word", np.array(array)), found), found

    def gather_among(self, array: np.ndarray, ranks: Sequence[int], what: str) -> list[np.ndarray]:
        """The host arrays of some ranks, in the order of `ranks`; only these ranks call it."""
        key = self._say(tuple(ranks), np.array(array))
        found = self.board.hear(key, len(ranks))
        return [found[rank] for rank in ranks]

    def gather(self, value: Any) -> list[Any]:
        """The objects of all ranks, by rank: copies, as between processes."""
        return [pickle.loads(each) for each in self._all("object", pickle.dumps(value))]

    def _say(self, kind: Any, value: Any) -> Any:
        self._calls[kind] += 1
        key = kind, self._calls[kind]
        self.board.say(key, self.rank, value)
        return key

    def _all(self, kind: str, value: Any) -> list[Any]:
        found = self.board.hear(self._say(kind, value), self.size)
        return [found[rank] for rank in range(self.size)]

    def step_done(self) -> None:
        """Count a step."""
        self.steps += 1


class ThreadNCCL(nccl.NCCLLink):
    """NCCL between the devices of one process.

    A call returns when the others have queued their part of it: who then waits for the device, in
    its turn, does not wait for a thread that has no turn.
    """

    def __init__(self, board: Board, rank: int, identity: tuple, device: int) -> None:
        super().__init__(rank, board.size, identity, device)
        self.board = board
        self._counts: dict[Any, int] = defaultdict(int)
        board.communicators.append(self.communicator)

    @contextmanager
    def group(self, sends: Sequence[int], receives: Sequence[int]) -> Iterator[None]:
        """Queue calls of NCCL, which may wait for those of the others."""
        me = self.rank
        mine = [("send", me, to) for to in sends] + [("receive", source, me) for source in receives]
        theirs: dict[Any, int] = {}
        for kind, source, to in mine:
            self._counts[kind, source, to] += 1
            other = "receive" if kind == "send" else "send"
            theirs[other, source, to] = self._counts[kind, source, to]
        with self.board.aside():
            with super().group(sends, receives):
                yield
            self.board.count(*mine)
            self.board.await_counts(theirs)
