"""Memory that all processes of a machine see: MPI's shared windows, in the place of messages.

Where all processes are on one machine, gradients need not travel: each process has its own in a
window of MPI (`MPI_Win_allocate_shared`), and who owns a piece reads that of all others where it
lies. Its parameters are there, too: the others copy those that it has updated. A counter in the
window says how far its owner has come; the bits are those of messages.

Nobody overwrites what another may still read: gradients of a step are read before the parameters
of that step are up to date, and no step returns before all have copied these. What is neither the
parameters nor the gradients in their place is put up in a third part of the window.
"""

from __future__ import annotations

import os
import weakref
from typing import TYPE_CHECKING, Any

import numpy as np

from tensorlite.backend import Array
from tensorlite.distributed.tree import Node, total

if TYPE_CHECKING:
    from tensorlite.distributed.divide import Bucket, Divided

_PAGE = 4096
_SHARE = 0.5  # of the free shared memory that windows may take
_CHUNK = 1 << 16  # elements that are added at a time: they stay in the second cache
_REDUCED, _READ, _FIRST = 0, 1, 2  # what a process has read, and where the buckets' counters begin


def window_of(link: Any, size: int) -> tuple[Any, list[np.ndarray]] | None:
    """A window, and its `size` bytes of each rank; None where there can be none; all call it.

    A window that nobody has an array of any more is used again.
    """
    if link.neighbours is None:
        link.neighbours = link.comm.Split_type(link.mpi.COMM_TYPE_SHARED, link.rank)
    if link.neighbours.size < link.size:
        return None  # some are on other machines, though not the same ones for each
    free = [i for i, (whole, held) in enumerate(link.windows) if held() is None and whole >= size]
    of_all = link.gather((free, _room() >= size * link.size))
    common = set(of_all[0][0]).intersection(*[set(each) for each, _ in of_all])
    if common:
        number = min(common)
    elif all(room for _, room in of_all):
        number = len(link.windows)
        window = link.mpi.Win.Allocate_shared(size, 1, link.mpi.INFO_NULL, link.neighbours)
        window.Lock_all(link.mpi.MODE_NOCHECK)  # until the end of the program
        link.kept.append(window)
        link.windows.append((size, lambda: None))
    else:
        return None
    parts = [
        np.frombuffer(link.kept[number].Shared_query(r)[0], np.uint8) for r in range(link.size)
    ]
    held = weakref.ref(parts[link.rank])
    link.windows[number] = (link.windows[number][0], held)
    return window, parts


def _room() -> int:
    """Bytes of shared memory that may be taken."""
    try:
        room = os.statvfs("/dev/shm")
    except OSError:
        return 0
    return int(room.f_bavail * room.f_frsize * _SHARE)


class Shared:
    """An arena's gradients and parameters in a window.

    Parameters
    ----------
    part
        The divided arena, whose gradients and parameters are in the window from now on.
    window, memory
        From `window_of`, for `bytes_for(part)`.
    """

    def __init__(self, part: Divided, window: Any, memory: list[np.ndarray]) -> None:
        self.part, self.link, self.window = part, part.world.link, window
        arena, count = part.arena, part.size
        nbytes = count * arena.dtype.itemsize
        counters = _counters(part)
        self.flags = [each[: 8 * counters].view(np.int64) for each in memory]
        self.mine = self.flags[part.world.rank]
        self.mine[:] = 0
        # The place in a page matters: see `lane` of the NumPy backend.
        wanted = [a.__array_interface__["data"][0] for a in (arena.grad, arena.data, arena.data)]
        lanes: list[list[np.ndarray]] = [[], [], []]
        for each in memory:
            base, end = each.__array_interface__["data"][0], 8 * counters
            for lane, at in zip(lanes, wanted, strict=True):
                start = end + (at - base - end) % _PAGE
                end = start + nbytes
                lane.append(each[start:end].view(arena.dtype))
        self.grads, self.parameters, self.staged = lanes
        own = self.grads[part.world.rank]
        own[:] = arena.grad
        arena.lay_gradients(own)
        arena.lay_parameters(self.parameters[part.world.rank])
        self.sent = [0] * len(part.buckets)  # how often
        self.put = [0] * len(part.buckets)
        self.settled = self.puts = 0
        self.elsewhere = False  # this process's gradients are not in their place in the window
        self.others = [
            (part.world.rank + step) % part.world.size for step in range(1, part.world.size)
        ]
        self.link.gather(None)  # all counters are 0

    def send(self, bucket: Bucket) -> Sent:
        """Let the others read this process's gradients of a bucket."""
        world, number = self.part.world, bucket.number
        grad, own = self.part.arena.grad, self.grads[world.rank]
        self.elsewhere = not np.may_share_memory(grad, own)
        if self.elsewhere:  # somebody holds earlier ones, and those in the window are theirs
            self._await(_READ, self.puts, "parameters of the last step")
            staged = self.staged[world.rank]
            staged[bucket.start : bucket.stop] = grad[bucket.start : bucket.stop]
        self.sent[number] += 1
        self._tell(_FIRST + number, 2 * self.sent[number] + self.elsewhere)
        length = bucket.stop - bucket.start - (bucket.own.stop - bucket.own.start)
        self.link.sent += length * own.itemsize
        return Sent(self, _FIRST + number, 2 * self.sent[number], f"gradients of bucket {number}")

    def add(self, bucket: Bucket, scale: float) -> None:
        """Add all shards' gradients of this process's piece, in the tree."""
        part, own, mean = self.part, bucket.own, self.part.arena.grad
        nodes = {part.covers[part.world.rank][0]: mean}
        for rank in self.others:
            elsewhere = self.flags[rank][_FIRST + bucket.number] & 1
            nodes[part.covers[rank][0]] = (self.staged if elsewhere else self.grads)[rank]
        shards, factor = part.world.shards, np.asarray(scale, mean.dtype)[()]
        for start in range(own.start, own.stop, _CHUNK):
            at = slice(start, min(start + _CHUNK, own.stop))
            values = {node: each[at] for node, each in nodes.items()}
            if part.arena.short:
                sum_ = total(values, shards, self._wide_sum)
                mean[at] = part.arena.backend.cast(sum_ * np.float32(scale), mean.dtype)
                continue
            sum_ = _sum(values, part.covers[part.world.rank][0], shards)
            np.multiply(sum_, factor, out=mean[at])

    def _wide_sum(self, left: Array, right: Array) -> Array:
        return np.add(self.part.wide(left), self.part.wide(right))

    def done(self) -> None:
        """All buckets have been added here."""
        self.settled += 1
        self._tell(_REDUCED, self.settled)

    def await_readers(self) -> None:
        """Wait until all have read this process's gradients."""
        self._await(_REDUCED, self.settled, "the others' sums of gradients")

    def spread(self, array: Array, what: str) -> list[Put]:
        """Let the others copy this process's pieces of an array, and copy theirs.

        If they are the parameters, `await_copies` must be called then: they lie where they are.
        """
        staged, in_place = self.staged[self.part.world.rank], array is self.part.arena.data
        self._await(_READ, self.puts, what)  # of the last time
        if self.elsewhere:
            self.await_readers()  # the gradients are in the same place
        for bucket in self.part.buckets:
            if bucket.own.start < bucket.own.stop:
                if not in_place:
                    staged[bucket.own] = array[bucket.own]
                length = bucket.own.stop - bucket.own.start
                self.link.sent += length * staged.itemsize * len(self.others)
            self.put[bucket.number] += 1
            self._tell(_FIRST + len(self.put) + bucket.number, self.put[bucket.number])
        self.puts += 1
        lanes, puts = self.parameters if in_place else self.staged, []
        for bucket in self.part.buckets:
            for source in self.others:
                last = bucket is self.part.buckets[-1] and source == self.others[-1]
                puts.append(Put(self, bucket, source, (lanes[source], array), what, last))
        return puts

    def await_copies(self) -> None:
        """Wait until all have copied this process's parameters, which may change then."""
        self._await(_READ, self.puts, "the others' copies of parameters")

    def _tell(self, counter: int, value: int) -> None:
        """Say how far this process has come, after what it has written."""
        self.window.Sync()
        self.mine[counter] = value

    def _await(self, counter: int, value: int, what: str, who: list[int] | None = None) -> None:
        """Wait until others have come so far; what they wrote before can be read then."""
        flags = [self.flags[rank] for rank in who or self.others]
        self.link.until(lambda: all(each[counter] >= value for each in flags), what)
        self.window.Sync()


def _sum(values: dict[Node, Array], mine: Node, shards: int) -> Array:
    """The sum over all shards, in the memory of `mine`, or of its own: the others' is only read."""
    free = {id(values[mine])}

    def add(left: Array, right: Array) -> Array:
        out = next((each for each in (left, right) if id(each) in free), None)
        sum_ = np.add(left, right, out=out)
        free.add(id(sum_))
        return sum_

    return total(values, shards, add)


class Sent:
    """A bucket whose gradients the others write, too."""

    def __init__(self, shared: Shared, counter: int, value: int, what: str) -> None:
        self.shared, self.counter, self.value, self.what = shared, counter, value, what

    def wait(self) -> None:
        """Return when those of all others can be read."""
        self.shared._await(self.counter, self.value, self.what)

    def poke(self) -> None:
        """Nothing need be done for it to go on."""


class Put:
    """A piece that another process puts up."""

    def __init__(
        self,
        shared: Shared,
        bucket: Bucket,
        source: int,
        arrays: tuple[Array, Array],
        what: str,
        last: bool,
    ) -> None:
        self.shared, self.bucket, self.source = shared, bucket, source
        self.arrays, self.what, self.last = arrays, what, last

    def wait(self) -> None:
        """Copy it, once it is there."""
        shared, number = self.shared, self.bucket.number
        piece = self.bucket.pieces[self.source]
        if piece.start < piece.stop:
            counter = _FIRST + len(shared.put) + number
            shared._await(counter, shared.put[number], self.what, [self.source])
            theirs, array = self.arrays
            array[piece] = theirs[piece]
        if self.last:
            shared._tell(_READ, shared.puts)


def bytes_for(part: Divided) -> int:
    """The size of a rank's part of a window for a divided arena."""
    return 8 * _counters(part) + 4 * _PAGE + 3 * part.size * part.arena.dtype.itemsize


def _counters(part: Divided) -> int:
    return _FIRST + 2 * len(part.buckets)
