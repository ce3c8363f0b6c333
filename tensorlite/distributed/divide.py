"""An arena divided among processes: which part each updates, and how gradients are exchanged.

An arena is cut into buckets, and each bucket into one piece per process. In a step every process
sends its gradients of a piece to the owner of the piece. The owner adds them in the fixed tree,
updates its piece of the parameters, for which it alone has the optimizer's state, and sends it to
all. This is a reduce-scatter and an all-gather: the traffic of a ring all-reduce, but the order of
the additions does not depend on the number of processes.
"""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np

from tensorlite.backend import Array
from tensorlite.distributed.tree import Node, cover, merges, total
from tensorlite.distributed.windows import Shared, bytes_for, window_of
from tensorlite.optim.arena import Arena
from tensorlite.ranks import World
from tensorlite.tensor import tensor_of

BLOCK = 1024  # elements whose squares are summed together; pieces are whole blocks


class Bucket:
    """A part of an arena whose gradients are sent at once.

    Attributes
    ----------
    pieces : list of slice
        What each rank updates.
    pending : object or None
        The transfer in progress, to be waited for.
    """

    def __init__(self, number: int, start: int, stop: int, world: World, size: int) -> None:
        self.number, self.start, self.stop = number, start * BLOCK, min(stop * BLOCK, size)
        count, n = stop - start, world.size
        turn = number % n  # blocks that are left over go to other ranks in each bucket
        ends = [min((start + (count * r + turn) // n) * BLOCK, size) for r in range(n + 1)]
        self.pieces = [slice(a, b) for a, b in itertools.pairwise(ends)]
        self.own = self.pieces[world.rank]
        self.pending: Any = None
        self.parts: dict[Node, Array] = {}


class Divided:
    """An arena's part in the work of all processes.

    Parameters
    ----------
    arena
        Of the optimizer; from now on it keeps the state of this process's pieces alone.
    world
        The processes.
    bucket_bytes
        How much is sent at a time.
    """

    def __init__(self, arena: Arena, world: World, bucket_bytes: int) -> None:
        self.arena, self.world = arena, world
        self.size = arena.data.size
        blocks = -(-self.size // BLOCK)
        per_bucket = max(world.size, bucket_bytes // (BLOCK * arena.dtype.itemsize))
        count = max(1, round(blocks / per_bucket))
        ends = [blocks * i // count for i in range(count + 1)]
        self.buckets = [
            Bucket(i, a, b, world, self.size) for i, (a, b) in enumerate(itertools.pairwise(ends))
        ]
        #: The numbers of each parameter's buckets, and how many parameters each bucket has.
        self.of_place = [
            [b.number for b in self.buckets if b.start < place.stop and place.start < b.stop]
            for place in arena.places
        ]
        every = list(itertools.chain(*self.of_place))
        self.members = [every.count(bucket.number) for bucket in self.buckets]
        first, last = world.span(world.rank)
        self.merges = merges(first, last, world.shards)
        self.covers = [cover(*world.span(r), world.shards) for r in range(world.size)]
        self.stack: list[tuple[Node, Array]] = []  # of the shards before the present one
        self.has = [False] * len(arena.places)  # gradients in those
        self.earlier: list[Array] | None = None  # reduced gradients of batches without a step
        arena.divide([(b.own.start, b.own.stop) for b in self.buckets])
        self.shared = self._window()

    def _window(self) -> Shared | None:
        """Memory that all processes see, where that is of use; for all ranks."""
        world, arena = self.world, self.arena
        windows = getattr(world.link, "windows", None)  # MPI has them, for arrays of the host
        if windows is None or world.size == 1 or not isinstance(arena.grad, np.ndarray):
            return None
        widened = arena.short and world.shards > world.size
        if widened or any(len(nodes) > 1 for nodes in self.covers):
            return None  # what travels is not what lies in the arena
        found = window_of(world.link, bytes_for(self))
        return None if found is None else Shared(self, *found)

    # --- gradients -----------------------------------------------------------------------------

    def take_in(self) -> list[bool]:
        """Copy all gradients to their places, zeros where there is none; return which there are."""
        arena = self.arena
        renewed = False
        for i, place in enumerate(arena.places):
            grad = place.parameter.grad
            if grad is not None and grad.array is not arena.places[i].grad:
                renewed |= arena._bring_gradient(i, grad.array)
        has = []
        for place in arena.places:
            grad = place.parameter.grad
            has.append(grad is not None)
            if grad is None:
                place.grad[...] = 0
            elif renewed:
                place.grad[...] = grad.array
            if grad is not None:
                self.bind(place)
        return [a or b for a, b in zip(has, self.has, strict=True)]

    def bind(self, place: Any) -> None:
        """Let a parameter's gradient be its place in the arena."""
        parameter, grad = place.parameter, place.parameter.grad
        if grad is None or grad.array is not place.grad:
            buffer = parameter.grad_buffer
            at_home = buffer is not None and buffer.array is place.grad
            parameter.grad = buffer if at_home else tensor_of(place.grad)

    def put_aside(self, shard: int, weight: float | None) -> None:
        """Keep the gradients of a shard that is not the last one here, and begin anew."""
        self.has = self.take_in()
        for place in self.arena.places:
            place.parameter.grad = None
        grad = self.arena.grad
        self._push(shard, self._weighed(grad, weight), owned=False)

    def put_zeros_aside(self, shard: int) -> None:
        """A shard without samples adds nothing."""
        self._push(shard, self.arena.backend.xp.zeros_like(self.arena.grad), owned=True)

    def _weighed(self, grad: Array, weight: float | None) -> Array:
        if weight is not None:
            grad *= np.asarray(weight, grad.dtype)[()]
        return grad

    def _push(self, shard: int, grad: Array, owned: bool) -> None:
        node, stack = (shard, shard + 1), self.stack
        value = grad
        for _ in range(self.merges[shard]):
            before, left = stack.pop()
            value = self.add(left, value)
            node, owned = (before[0], node[1]), True
        stack.append((node, value if owned else value.copy()))

    def wide(self, array: Array) -> Array:
        """Gradients of 16 bits in float32, in which they are added."""
        short = array.dtype.itemsize == 2
        return self.arena.backend.cast(array, np.dtype(np.float32)) if short else array

    def add(self, left: Array, right: Array) -> Array:
        """The sum, in the memory of `left` where that is wide enough."""
        a = self.wide(left)
        return self.arena.backend.xp.add(a, self.wide(right), out=a)

    def nodes_of(self, bucket: Bucket, shard: int) -> dict[Node, Array]:
        """The nodes of the tree that this process sends of a bucket after its last shard."""
        value, node = self.arena.grad[bucket.start : bucket.stop], (shard, shard + 1)
        stack = list(self.stack)
        for _ in range(self.merges[shard]):
            before, left = stack.pop()
            # Addition knows no order of two operands: what is longer lived is written to.
            value = self.add(value, left[bucket.start : bucket.stop])
            node = (before[0], node[1])
        nodes = {n: array[bucket.start : bucket.stop] for n, array in stack}
        return {**nodes, node: value}

    def send(self, bucket: Bucket, shard: int, weight: float | None) -> None:
        """Send the gradients of a bucket to those whose pieces they are."""
        world, grad = self.world, self.arena.grad
        self._weighed(grad[bucket.start : bucket.stop], weight)
        nodes = self.nodes_of(bucket, shard)

        def cut(array: Array, piece: slice) -> Array:
            return array[piece.start - bucket.start : piece.stop - bucket.start]

        if self.shared is not None:
            bucket.pending = self.shared.send(bucket)
            return
        bucket.parts = {node: cut(array, bucket.own) for node, array in nodes.items()}
        if world.size == 1:
            return
        sends, receives = [], []
        for step in range(1, world.size):  # each begins with its neighbour
            to, source = (world.rank + step) % world.size, (world.rank - step) % world.size
            piece = bucket.pieces[to]
            if piece.start < piece.stop:
                sends += [(to, cut(array, piece)) for array in nodes.values()]
            length = bucket.own.stop - bucket.own.start
            for node in self.covers[source] if length else ():
                leaf = node[1] - node[0] == 1
                dtype = self.arena.dtype if leaf or not self.arena.short else np.dtype(np.float32)
                buffer = self.arena.backend.xp.empty(length, dtype)
                bucket.parts[node] = buffer
                receives.append((source, buffer))
        what = f"gradients of bucket {bucket.number}"
        bucket.pending = world.link.exchange(sends, receives, what)

    def finish(self, bucket: Bucket, even: bool) -> None:
        """Add what arrived, in the tree; the mean of all shards lies in the arena then."""
        if bucket.pending is not None:
            bucket.pending.wait()
        own = self.arena.grad[bucket.own]
        if self.shared is not None:
            self.shared.add(bucket, 1 / self.world.shards if even else 1.0)
        elif own.size:
            sum_ = total(bucket.parts, self.world.shards, self.add)
            scale = 1 / self.world.shards if even else 1.0
            xp = self.arena.backend.xp
            if self.arena.short:
                own[...] = self.arena.backend.cast(self.wide(sum_) * np.float32(scale), own.dtype)
            elif scale != 1 or sum_ is not own:
                xp.multiply(sum_, np.asarray(scale, own.dtype)[()], out=own)
        bucket.parts, bucket.pending = {}, None

    def keep(self) -> None:
        """Keep the reduced gradients of a batch without a step, to add them to the next batch's."""
        grads = [self.arena.grad[b.own] for b in self.buckets]
        if self.earlier is None:
            self.earlier = [grad.copy() for grad in grads]
        else:
            for kept, grad in zip(self.earlier, grads, strict=True):
                kept += grad

    def add_kept(self) -> None:
        """Add the gradients that were kept from earlier batches."""
        for bucket, kept in zip(self.buckets, self.earlier or (), strict=False):
            self.arena.grad[bucket.own] += kept
        self.earlier = None

    def forget(self) -> None:
        """Begin anew, and drop transfers in progress."""
        for bucket in self.buckets:
            if bucket.pending is not None:
                bucket.pending.wait()
            bucket.parts, bucket.pending = {}, None
        self.stack, self.earlier = [], None
        self.has = [False] * len(self.arena.places)

    # --- parameters and state, to all -------------------------------------------------------------

    def spread(self, array: Array, what: str) -> list[Any]:
        """Begin to send this process's pieces of an array of the arena's length to all."""
        world = self.world
        pending: list[Any] = []
        if world.size == 1:
            return pending
        if self.shared is not None and array.dtype == self.arena.dtype:
            return self.shared.spread(array, what)
        for bucket in self.buckets:
            sends, receives = [], []
            for step in range(1, world.size):
                to, source = (world.rank + step) % world.size, (world.rank - step) % world.size
                theirs = array[bucket.pieces[source]]
                if bucket.own.start < bucket.own.stop:
                    sends.append((to, array[bucket.own]))
                if theirs.size:
                    receives.append((source, theirs))
            pending.append(world.link.exchange(sends, receives, f"{what} {bucket.number}"))
        return pending

    def collect(self, mine: Array, to: int, what: str) -> Array | None:
        """Gather, on one rank, an array of which each process has its pieces."""
        world, on_host = self.world, isinstance(mine, np.ndarray)
        whole = None
        if world.rank == to:
            whole = self.arena.backend.xp.zeros(self.size, mine.dtype)
            for start, stop, offset in self.arena.own or ():
                whole[start:stop] = mine[offset : offset + stop - start]
        pending, offset = [], 0
        for bucket in self.buckets if world.size > 1 else ():
            length = bucket.own.stop - bucket.own.start
            sends, receives = [], []
            if whole is None and length:
                sends = [(to, mine[offset : offset + length])]
            elif whole is not None:
                pieces = [(r, whole[p]) for r, p in enumerate(bucket.pieces) if r != to]
                receives = [(rank, piece) for rank, piece in pieces if piece.size]
            offset += length
            if sends or receives or on_host:  # all count the exchanges of the host's arrays
                pending.append(world.link.exchange(sends, receives, f"{what} {bucket.number}"))
        for transfer in pending:
            transfer.wait()
        return whole

    def sums(self, power: float) -> Array:
        """Σ|g|ᵖ of every block of the arena, float64; the greatest |g| for p = ∞. For all ranks."""
        arena, world = self.arena, self.world
        xp = arena.backend.xp
        blocks = xp.zeros(-(-self.size // BLOCK), np.float64)
        for bucket in self.buckets:
            start, stop = bucket.own.start, bucket.own.stop
            whole = start + (stop - start) // BLOCK * BLOCK
            for a, b in ((start, whole), (whole, stop)):
                if a < b:
                    of_these = blocks[a // BLOCK : -(-b // BLOCK)]
                    _sum_blocks(arena, arena.grad[a:b], of_these, power)
        if world.size == 1:
            return blocks
        pending, kept = [], []
        for bucket in self.buckets:
            ends = [(p.start // BLOCK, -(-p.stop // BLOCK)) for p in bucket.pieces]
            own = slice(*ends[world.rank])
            sends = [(r, blocks[own]) for r in range(world.size) if r != world.rank]
            receives = [(r, blocks[slice(*ends[r])]) for r in range(world.size) if r != world.rank]
            sends = [(r, a) for r, a in sends if a.size and bucket.own.start < bucket.own.stop]
            receives = [
                (r, a) for r, a in receives if bucket.pieces[r].start < bucket.pieces[r].stop
            ]
            pending.append(world.link.exchange(sends, receives, "norms of gradients"))
            kept.append((sends, receives))
        for transfer in pending:
            transfer.wait()
        return blocks


def _sum_blocks(arena: Arena, grad: Array, sums: Array, power: float) -> None:
    """Σ|g|ᵖ of each block of some gradients, added in an order that is always the same."""
    kernels, xp = arena.backend.kernels, arena.backend.xp
    if kernels is not None and power == 2 and grad.dtype.itemsize < 8:
        kernels.square_sum(grad, sums, grad.size, sums.size)
        return
    rows = grad.reshape(sums.size, -1).astype(np.float64)
    if power == np.inf:
        sums[...] = xp.abs(rows).max(axis=1)
    else:
        sums[...] = (rows * rows if power == 2 else xp.abs(rows) ** power).sum(axis=1)
