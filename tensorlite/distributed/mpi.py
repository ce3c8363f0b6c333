"""Communication over MPI: arrays on the CPU, and small objects.

What is on a CUDA device is handed to `nccl`.
"""

from __future__ import annotations

import os
import pickle
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tensorlite.backend import Array
from tensorlite.distributed.beat import Behind

_SPIN = 0.002  # seconds of asking without a pause; then the core is left to others
_PAUSE = 0.0001
_TAGS = 16000  # for arrays, and as many for words of the others: MPI grants 32767

_AMONG = 32500  # the tag of `gather_among`


class Pending:
    """A transfer in progress."""

    def __init__(self, link: MPILink, requests: list[Any], what: str, keep: Any) -> None:
        self.link, self.requests, self.what, self.keep = link, requests, what, keep

    def wait(self) -> None:
        """Return when everything has arrived and been sent."""
        if self.requests:
            mpi = self.link.mpi
            self.link.until(lambda: mpi.Request.Testall(self.requests), self.what)
        self.requests, self.keep = [], None

    def poke(self) -> None:
        """Let MPI make progress; a large message needs that."""
        if self.requests and self.link.mpi.Request.Testall(self.requests):
            self.requests, self.keep = [], None


class MPILink:
    """Carries arrays and small objects between the processes of a communicator.

    Parameters
    ----------
    comm
        Of mpi4py; it is duplicated.
    timeout
        Seconds to wait for the others before an error is raised.

    Attributes
    ----------
    sent : int
        Bytes of arrays that this process has sent so far over MPI.
    seconds : float
        Time spent waiting for others.
    waiting : str
        What this process is waiting for; "" if it is not waiting.
    longest, alone : float
        Seconds of the longest step so far, and between the last two times that it waited.
    check : callable or None
        ``check(waited, what)`` is called while it waits, and raises if waiting is pointless.
    nccl : NCCLLink or None
        What carries CUDA arrays, once `use_cuda` was called.
    """

    def __init__(self, comm: Any, timeout: float = 300.0) -> None:
        from mpi4py import MPI

        self.mpi, self.comm, self.timeout = MPI, comm.Dup(), timeout
        self.rank, self.size = comm.rank, comm.size
        self.sent = self.steps = 0
        self.seconds = self.longest = self.alone = 0.0
        self.waiting = ""
        self.check: Callable[[float, str], None] | None = None
        self._stepped = self._heard = time.perf_counter()
        self._tag = self._word = 0
        self.nccl: Any = None
        self.neighbours: Any = None  # a communicator of those on this machine
        self.kept: list[Any] = []  # windows of MPI, and who uses them: see `windows`
        self.windows: list[tuple[int, Callable[[], Any]]] = []

    def use_cuda(self, device: int) -> None:
        """Carry arrays of this CUDA device, too; for all ranks, each with a device of its own.

        Raises
        ------
        RuntimeError
            If NCCL is missing or fails to start on a rank, or if another device was named before.
        """
        if self.nccl is not None:
            if self.nccl.device != device:
                raise RuntimeError(
                    f"a process trains on one CUDA device: cuda:{self.nccl.device} carries its "
                    f"arrays already, and these are on cuda:{device}"
                )
            return
        from tensorlite.distributed import nccl

        identity = problem = None
        try:
            nccl.library()
            identity = nccl.unique_id() if self.rank == 0 else None
        except RuntimeError as error:
            problem = str(error)
        said = self.gather((identity, problem, f"{os.uname().nodename} {nccl.where(device)}"))
        problems = [f"rank {rank}: {what}" for rank, (_, what, _) in enumerate(said) if what]
        if problems:
            raise RuntimeError("; ".join(problems))
        try:
            self.nccl = nccl.NCCLLink(self.rank, self.size, said[0][0], device)
        except nccl.library().NcclError as error:
            devices = ", ".join(f"rank {rank}: {at}" for rank, (_, _, at) in enumerate(said))
            raise RuntimeError(
                f"NCCL does not come about ({error}). Every process needs a device of its own; "
                f"they are on {devices}. NCCL_DEBUG=INFO tells more"
            ) from error

    def until(self, done: Callable[[], bool], what: str) -> None:
        """Ask until it is done; signals are served meanwhile."""
        if done():
            return
        begun = time.perf_counter()
        self.alone = begun - self._heard
        while not done():
            waited = time.perf_counter() - begun
            if waited < _SPIN:
                os.sched_yield()
                continue
            self.waiting = what
            time.sleep(_PAUSE)
            if self.check is not None:
                self.check(waited, what)
            elif waited > self.timeout:
                raise Behind(f"rank {self.rank} waited {self.timeout:g} s for {what}")
        self.waiting = ""
        self._heard = time.perf_counter()
        self.seconds += self._heard - begun

    def exchange(
        self,
        sends: Sequence[tuple[int, Array]],
        receives: Sequence[tuple[int, Array]],
        what: str,
    ) -> Any:
        """Begin to send arrays to ranks and to receive others; all ranks in the same order."""
        if not _on_host(sends or receives):
            return self.nccl.exchange(sends, receives, what)
        self._tag = (self._tag + 1) % _TAGS
        return self._begin(sends, receives, what, self._tag)

    def _begin(self, sends: Any, receives: Any, what: str, tag: int) -> Pending:
        comm, byte = self.comm, self.mpi.BYTE
        requests = [comm.Irecv([_bytes(a), byte], rank, tag) for rank, a in receives]
        for rank, array in sends:
            requests.append(comm.Isend([_bytes(array), byte], rank, tag))
            self.sent += array.nbytes
        return Pending(self, requests, what, (sends, receives))

    def gather_array(self, array: Array, what: str = "numbers") -> list[Array]:
        """The arrays of all ranks, which are of one shape and dtype."""
        if not isinstance(array, np.ndarray):
            return self.nccl.gather_array(array, what)
        found = np.empty((self.size, *array.shape), array.dtype)
        mine = np.ascontiguousarray(array)
        byte = self.mpi.BYTE
        request = self.comm.Iallgather([_bytes(mine), byte], [_bytes(found), byte])
        self.until(request.Test, what)
        self.sent += mine.nbytes * (self.size - 1)
        return list(found)

    def begin_gather(self, array: np.ndarray, what: str) -> tuple[Any, np.ndarray]:
        """Begin to gather short host arrays; return the transfer, and the array they arrive in.

        Unlike in a collective call of MPI, they arrive even if no process waits. The order relative
        to calls of `exchange` may differ between processes.
        """
        self._word = (self._word + 1) % _TAGS
        found = np.empty((self.size, *array.shape), array.dtype)
        found[self.rank] = array
        others = [rank for rank in range(self.size) if rank != self.rank]
        sends, receives = [(r, array) for r in others], [(r, found[r]) for r in others]
        return self._begin(sends, receives, what, _TAGS + self._word), found

    def gather_among(self, array: np.ndarray, ranks: Sequence[int], what: str) -> list[np.ndarray]:
        """The host arrays of some ranks, in the order of `ranks`; only these ranks call it.

        Between two ranks, arrays arrive in the order of the calls.
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
        now = time.perf_counter()
        if self.steps > 1:  # the first one may compile
            self.longest = max(self.longest, now - self._stepped)
        self._stepped = now

    def abort(self, status: int = 1) -> None:
        """End all processes now."""
        self.comm.Abort(status)

    def gather(self, value: Any) -> list[Any]:
        """The objects of all ranks, by rank: anything that can be pickled."""
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


def _on_host(arrays: Sequence[tuple[int, Array]]) -> bool:
    return not arrays or isinstance(arrays[0][1], np.ndarray)


def _bytes(array: Array) -> Any:
    """Memory of a contiguous array, of any dtype: MPI does not know them all."""
    return array.reshape(-1).view(np.uint8)
