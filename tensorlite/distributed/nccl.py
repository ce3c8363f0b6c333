"""Arrays between CUDA devices over NCCL: a stream of its own, ordered by events.

Nothing here makes the host wait. The stream of the communication waits for what has computed an
array, and the stream that computes waits for what has arrived.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from tensorlite.backend import Array
from tensorlite.backend.driver import load_cupy

INSTALL = "pip install nvidia-nccl-cu13 (or nvidia-nccl-cu12, with CuPy for CUDA 12)"


class Queued:
    """A transfer in the queue of the device."""

    def __init__(self, link: NCCLLink, keep: Any) -> None:
        self.link, self.keep = link, keep
        self.done: Any = link.event()
        self.done.record(link.stream)

    def wait(self) -> None:
        """Let the current stream go on once everything has arrived and been sent; returns at once.

        Until then memory that travels must not go back to the pool.
        """
        if self.done is not None:
            self.link.cupy.cuda.get_current_stream().wait_event(self.done)
            self.link.events.append(self.done)  # a later record does not change what waits now
            self.done = self.keep = None

    def poke(self) -> None:
        """NCCL goes on by itself."""


class NCCLLink:
    """Carries arrays between the devices of a group of processes, one each.

    Parameters
    ----------
    rank, size
        Of this process.
    identity
        What rank 0 got from `unique_id`, the same everywhere.
    device
        The number of the CUDA device, on which all arrays are.

    Attributes
    ----------
    sent : int
        Bytes of arrays that this process has sent so far.
    """

    def __init__(self, rank: int, size: int, identity: tuple, device: int) -> None:
        self.cupy, self.nccl = load_cupy(), library()
        self.rank, self.size, self.device = rank, size, device
        self.sent = 0
        self.events: list[Any] = []  # to be used again
        with self.cupy.cuda.Device(device):
            self.communicator = self.nccl.NcclCommunicator(size, identity, rank)
            self.stream = self.cupy.cuda.Stream(non_blocking=True)
            self.ready = self.cupy.cuda.Event(disable_timing=True)

    def event(self) -> Any:
        """A CUDA event that is free to use."""
        return self.events.pop() if self.events else self.cupy.cuda.Event(disable_timing=True)

    def _follow(self) -> None:
        """Let the communication's stream wait for all work queued on the current stream."""
        self.ready.record(self.cupy.cuda.get_current_stream())
        self.stream.wait_event(self.ready)

    @contextmanager
    def group(self, sends: Sequence[int], receives: Sequence[int]) -> Iterator[None]:
        """Queue calls of NCCL that send to and receive from these ranks, as one."""
        self.nccl.groupStart()
        try:
            yield
        finally:
            self.nccl.groupEnd()

    def exchange(
        self,
        sends: Sequence[tuple[int, Array]],
        receives: Sequence[tuple[int, Array]],
        what: str,
    ) -> Queued:
        """Begin to send arrays to ranks and to receive others; all ranks in the same order.

        They are contiguous, of any dtype: bytes travel.
        """
        byte, stream = self.nccl.NCCL_INT8, self.stream.ptr
        self._follow()
        with self.group([rank for rank, _ in sends], [rank for rank, _ in receives]):
            for rank, array in receives:
                self.communicator.recv(array.data.ptr, array.nbytes, byte, rank, stream)
            for rank, array in sends:
                self.communicator.send(array.data.ptr, array.nbytes, byte, rank, stream)
                self.sent += array.nbytes
        return Queued(self, (sends, receives))

    def gather_array(self, array: Array, what: str = "numbers") -> list[Array]:
        """The arrays of all ranks, which are of one shape and dtype."""
        mine = self.cupy.ascontiguousarray(array)
        found = self.cupy.empty((self.size, *mine.shape), mine.dtype)
        if mine.size:
            self._follow()
            pointers = mine.data.ptr, found.data.ptr
            others = [rank for rank in range(self.size) if rank != self.rank]
            with self.group(others, others):
                self.communicator.allGather(
                    *pointers, mine.nbytes, self.nccl.NCCL_INT8, self.stream.ptr
                )
            self.sent += mine.nbytes * (self.size - 1)
            Queued(self, (mine, found)).wait()
        return list(found)


def library() -> Any:
    """NCCL as CuPy has it.

    Raises
    ------
    RuntimeError
        If it is missing; the message says what to install.
    """
    load_cupy()
    from cupy.cuda import nccl

    if not nccl.available:
        raise RuntimeError(f"several processes on CUDA need NCCL, which is not there: {INSTALL}")
    return nccl


def unique_id() -> tuple:
    """What all members of a new group must be given."""
    return library().get_unique_id()


def where(device: int) -> str:
    """The name of a device on its machine."""
    return load_cupy().cuda.runtime.deviceGetPCIBusId(device)
