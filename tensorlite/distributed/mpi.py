"""Arrays between processes over MPI: what is on the CPU, and everything small."""

from __future__ import annotations

import os
import pickle
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tensorlite.backend import Array

_SPIN = 0.002  # seconds of asking without a pause; then the core is left to others
_PAUSE = 0.0001
_TAGS = 30000  # MPI grants 32767

_AMONG = 32500  # the tag of `gather_among`


class Behind(RuntimeError):
    """Another process did not come in time."""


class Pending:
    """A transfer under way."""

    def __init__(self, link: MPILink, requests: list[Any], what: str, keep: Any) -> None:
        self.link, self.requests, self.what, self.keep = link, requests, what, keep

    def wait(self) -> None:
        """Return when everything has arrived and been sent."""
        if self.requests:
            mpi = self.link.mpi
            self.link.until(lambda: mpi.Request.Testall(self.requests), self.what)
        self.requests, self.keep = [], None

    def poke(self) -> None:
        """Let MPI go on with it; without that a large message stands still."""
        if self.requests and self.link.mpi.Request.Testall(self.requests):
            self.requests, self.keep = [], None


class MPILink:
    """Carries arrays and small objects between the processes of a communicator.

    Parameters
    ----------
    comm
        Of mpi4py; it is duplicated.
    timeout
        Seconds to wait for the others before they are given up.

    Attributes
    ----------
    sent : int
        Bytes of arrays that this process has sent so far.
    seconds : float
        Time spent waiting for others.
    """

    device = "cpu"

    def __init__(self, comm: Any, timeout: float = 300.0) -> None:
        from mpi4py import MPI

        self.mpi, self.comm, self.timeout = MPI, comm.Dup(), timeout
        self.rank, self.size = comm.rank, comm.size
        self.sent = self.steps = 0
        self.seconds = 0.0
        self._tag = 0
        self.on_wait: Callable[[str], None] | None = None

    def until(self, done: Callable[[], bool], what: str) -> None:
        """Ask until it is done; signals are served meanwhile."""
        if done():
            return
        begun = time.perf_counter()
        while not done():
            waited = time.perf_counter() - begun
            if waited < _SPIN:
                os.sched_yield()
                continue
            time.sleep(_PAUSE)
            if waited > self.timeout:
                raise Behind(
                    f"rank {self.rank} waited {self.timeout:g} s for {what}: another rank is "
                    "behind, or took another way through the program (timeout= of init)"
                )
        self.seconds += time.perf_counter() - begun

    def exchange(
        self,
        sends: Sequence[tuple[int, Array]],
        receives: Sequence[tuple[int, Array]],
        what: str,
    ) -> Pending:
        """Begin to send arrays to ranks and to receive others; all ranks in the same order."""
        self._tag = (self._tag + 1) % _TAGS
        comm, byte = self.comm, self.mpi.BYTE
        requests = [comm.Irecv([_bytes(a), byte], rank, self._tag) for rank, a in receives]
        for rank, array in sends:
            requests.append(comm.Isend([_bytes(array), byte], rank, self._tag))
            self.sent += array.nbytes
        return Pending(self, requests, what, (sends, receives))

    def gather_array(self, array: Array, what: str = "numbers") -> list[Array]:
        """The arrays of all ranks, which are of one shape and dtype."""
        found = np.empty((self.size, *array.shape), array.dtype)
        mine = np.ascontiguousarray(array)
        byte = self.mpi.BYTE
        request = self.comm.Iallgather([_bytes(mine), byte], [_bytes(found), byte])
        self.until(request.Test, what)
        self.sent += mine.nbytes * (self.size - 1)
        return list(found)

    def gather_words(self, array: np.ndarray) -> list[np.ndarray]:
        """`gather_array` of what lies in host memory, whatever this link carries."""
        return self.gather_array(array, "the others' step")

    def gather_among(self, array: np.ndarray, ranks: Sequence[int], what: str) -> list[np.ndarray]:
        """The arrays of some ranks, in their order: of those that call it, and no other has to.

        For host memory. What two ranks say to one another arrives in the order of the calls.
        """
        byte, mine = self.mpi.BYTE, np.ascontiguousarray(array)
        found = {rank: np.empty_like(mine) for rank in ranks if rank != self.rank}
        comm = self.comm
        requests = [comm.Irecv([_bytes(a), byte], r, _AMONG) for r, a in found.items()]
        requests += [comm.Isend([_bytes(mine), byte], r, _AMONG) for r in found]
        self.sent += mine.nbytes * len(found)
        Pending(self, requests, what, (mine, found)).wait()
        return [mine if rank == self.rank else found[rank] for rank in ranks]

    def step_done(self) -> None:
        """Count a step."""
        self.steps += 1

    def abort(self) -> None:
        """End all processes now."""
        self.comm.Abort(1)

    def gather(self, value: Any) -> list[Any]:
        """What every rank says: anything that can be pickled."""
        mine = np.frombuffer(pickle.dumps(value), np.uint8)
        counts = [int(n[0]) for n in self.gather_array(np.array([mine.size]), "word of the others")]
        found = np.empty(sum(counts), np.uint8)
        byte = self.mpi.BYTE
        request = self.comm.Iallgatherv([mine, byte], [found, counts, None, byte])
        self.until(request.Test, "word of the others")
        ends = np.cumsum(counts).tolist()
        return [
            pickle.loads(found[end - n : end].tobytes())
            for n, end in zip(counts, ends, strict=True)
        ]


def _bytes(array: Array) -> Any:
    """Memory of a contiguous array, of any dtype: MPI does not know them all."""
    return array.reshape(-1).view(np.uint8)
