"""Which of several processes this one is, and which part of a batch it computes.

Layers, loaders and the optimizers' arenas ask here; `tensorlite.distributed` fills it in. A batch
is cut into *shards*, which are computed one by one and added in a fixed tree, so that what comes
out depends on how many shards there are and not on how many processes compute them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from tensorlite.backend import array_backend
from tensorlite.random import default_generator, philox_bits

#: What a process may ask all others for with a step; see `World.wishes`.
STOP, SAVE = 1, 2


class World:
    """The processes that train together, of which this is one.

    Attributes
    ----------
    rank, size : int
        This process's number, and how many there are.
    local_rank, local_size : int
        The same among those on this machine.
    shards : int
        Parts that a batch is cut into; each process computes `own` of them.
    link : object or None
        Carries arrays between the processes; None where there is one.
    """

    def __init__(
        self,
        rank: int = 0,
        size: int = 1,
        shards: int = 1,
        link: Any = None,
        local_rank: int = 0,
        local_size: int = 1,
    ) -> None:
        self.rank, self.size, self.shards, self.link = rank, size, shards, link
        self.local_rank, self.local_size = local_rank, local_size
        self.batch: Any = None  # the `Batch` that is being computed
        self.wishes = 0  # what this process asks for with its next step: STOP, SAVE
        self.agreed = 0  # the wishes of all processes with the last one
        self.busy = ""  # what this process does that may take long, and others not
        self.is_ending = False  # because of an error here
        self.beat: Any = None  # reports it to the others on this machine
        self.checkpoint: str | None = None  # the last that was written, with what it holds
        self.normalizing: list[Any] = []  # modules with running statistics, in an order of all
        self.listeners: list[Any] = []  # divided optimizers, called at each batch and shard

    def span(self, rank: int) -> tuple[int, int]:
        """The shards of a process: first, and one past the last."""
        return rank * self.shards // self.size, (rank + 1) * self.shards // self.size

    @property
    def own(self) -> range:
        """The shards of this process."""
        return range(*self.span(self.rank))

    def know(self, modules: Iterable[Any]) -> None:
        """Take note of modules with running statistics; all processes in one order."""
        for module in modules:
            if not any(module is known for known in self.normalizing):
                self.normalizing.append(module)

    @property
    def is_cut(self) -> bool:
        """Whether batches are cut into shards."""
        return self.shards > 1

    def gather(self, value: Any) -> list[Any]:
        """What every process says, in the order of their ranks; all must call it."""
        return [value] if self.link is None else self.link.gather(value)


_world = World()


def world() -> World:
    """The processes that train together; one, until `tensorlite.distributed.init` was called."""
    return _world


def set_world(new: World) -> None:
    """Be one of these processes from now on."""
    global _world
    _world = new


class Batch:
    """One batch: how it is cut into shards, and what each is keyed by.

    Random numbers of a shard follow from the generator's state at the beginning of the batch, which
    is the same in all processes, and the shard's number.

    Parameters
    ----------
    world
        Who computes it.
    sizes
        Samples of each of all shards; some may have none.
    """

    def __init__(self, world: World, sizes: Sequence[int]) -> None:
        self.world, self.sizes = world, list(sizes)
        total = sum(self.sizes)
        self.weights = [size / total for size in self.sizes]
        self.counted: float = total  # what the weights are parts of
        self.key, self.block = default_generator.reserve(4)
        self.shard: int | None = None  # the one that is being computed
        self.meeting: Any = None  # how a shard asks the others here, where they go side by side
        self._outside: tuple[int, int] | None = None  # the generator's state
        self._running: dict[int, Any] = {}  # of modules with running statistics

    @property
    def samples(self) -> int:
        """Of all shards."""
        return sum(self.sizes)

    def weigh(self, weights: Sequence[float]) -> None:
        """Let shards count in these proportions."""
        total = sum(weights)
        if not (total > 0 and min(weights) >= 0):
            raise ValueError(f"weights of shards are at least 0, and not all 0: {list(weights)}")
        self.weights = [weight / total for weight in weights]
        self.counted = total

    @property
    def is_even(self) -> bool:
        """Whether all shards weigh the same."""
        return len(set(self.weights)) == 1

    def enter(self, shard: int) -> None:
        """Compute a shard from now on: random numbers are its own."""
        self.leave()
        self.shard = shard
        if self.world.is_cut:
            self._outside = default_generator._seed, default_generator.offset
            # A stream of its own: the same seed, which a captured call wants, and a place in it
            # that is drawn for this batch and this shard.
            low, high = self.key
            words = philox_bits(
                np, 4, (low, high ^ (0x9E3779B9 * (shard + 1) & 0xFFFFFFFF)), self.block
            )
            default_generator.offset = (int(words[0]) | int(words[1]) << 32) >> 2

    def leave(self) -> None:
        """Compute no shard: random numbers go on as they would in one process."""
        if self._outside is not None:
            default_generator._seed, default_generator.offset = self._outside
            self._outside = None
        for running in self._running.values():
            running.put_aside(self.shard)

    def pause(self) -> tuple[int, int]:
        """Leave a shard in the middle; return where its random numbers are, for `resume`."""
        state = default_generator._seed, default_generator.offset
        self.leave()
        return state

    def resume(self, shard: int, state: tuple[int, int]) -> None:
        """Go on with a shard that was left by `pause`."""
        self.enter(shard)
        if self._outside is not None:
            default_generator._seed, default_generator.offset = state
        for running in self._running.values():
            running.take_up(shard)

    # --- running statistics -------------------------------------------------------------------

    def track(self, module: Any, buffers: Sequence[Any], counter: Any) -> None:
        """A module is about to change running statistics, and what counts batches, in this shard.

        Every shard starts from what there was before the batch; afterwards there is the mean of
        what they came to.
        """
        if self._outside is None:
            return
        running = self._running.get(id(module))
        if running is None:
            self.world.know([module])
            running = self._running[id(module)] = _Running(buffers, counter)
        running.touched = True

    def finish_running(self) -> None:
        """Give the modules the mean of all shards' statistics; for all processes."""
        tracked, self._running = self._running, {}
        if self._is_idle_somewhere:
            tracked = self._known_to_all(tracked)
        if tracked:
            self._put_together(list(tracked.values()))

    @property
    def _is_idle_somewhere(self) -> bool:
        """Whether a process has no sample of this batch."""
        spans = map(self.world.span, range(self.world.size))
        return not all(any(self.sizes[first:last]) for first, last in spans)

    def _known_to_all(self, tracked: dict[int, Any]) -> dict[int, Any]:
        """What those track that have samples, also where there are none."""
        modules = self.world.normalizing
        mine = [i for i, module in enumerate(modules) if id(module) in tracked]
        theirs = max(self.world.gather(mine), key=len)
        if theirs and max(theirs) >= len(modules):
            raise RuntimeError(
                f"a batch of {self.samples} samples leaves this process none, before it has met "
                "the model's running statistics: begin with a batch of a sample a process at least"
            )
        # All in one order; elsewhere it is that in which they were called.
        return {
            id(m): tracked.get(id(m))
            or _Running((m.running_mean, m.running_var), m.num_batches_tracked)
            for m in (modules[i] for i in theirs)
        }

    def _put_together(self, tracked: list[Any]) -> None:
        world, xp = self.world, tracked[0].backend.xp
        length = max(len(range(*world.span(rank))) for rank in range(world.size))
        width = sum(running.width for running in tracked)
        dtype = np.result_type(*[running.before.dtype for running in tracked])
        mine = xp.zeros((length, width), dtype)
        start = 0
        for running in tracked:
            for shard, values in running.shards.items():
                mine[shard - world.own[0], start : start + running.width] = values
            start += running.width
        of_all = [mine] if world.size == 1 else world.link.gather_array(mine, "statistics")
        rows: list[Any] = []
        for rank, part in enumerate(of_all):
            rows += list(part[: len(range(*world.span(rank)))])
        rows = [row * dtype.type(w) for row, w in zip(rows, self.weights, strict=True)]
        while len(rows) > 1:  # the tree: neighbours, then neighbours of neighbours
            pairs = [rows[i : i + 2] for i in range(0, len(rows), 2)]
            rows = [pair[0] + pair[1] if len(pair) == 2 else pair[0] for pair in pairs]
        start = 0
        for running in tracked:
            running.set(rows[0][start : start + running.width])
            if running.counter is not None:
                running.counter.array[...] = running.count + 1
            start += running.width


class _Running:
    """The running statistics of a module while a batch is computed."""

    def __init__(self, buffers: Sequence[Any], counter: Any) -> None:
        self.buffers, self.counter = buffers, counter
        self.backend = array_backend([buffer.array for buffer in buffers])
        self.before = self._values()
        self.count = None if counter is None else counter.array.copy()
        self.width = self.before.size
        self.shards: dict[int, Any] = {}
        self.counts: dict[int, Any] = {}
        self.touched = False

    def _values(self) -> Any:
        return self.backend.xp.concatenate([b.array.reshape(-1) for b in self.buffers])

    def put_aside(self, shard: int | None) -> None:
        """Keep what a shard came to, and go back to what there was before the batch."""
        if self.touched and shard is not None:
            self.shards[shard] = self._values()
            self.set(self.before)
            if self.counter is not None:
                self.counts[shard] = self.counter.array.copy()
                self.counter.array[...] = self.count
            self.touched = False

    def take_up(self, shard: int) -> None:
        """Go on from what a shard has come to, if it has changed anything."""
        if shard in self.shards:
            self.set(self.shards[shard])
            if self.counter is not None:
                self.counter.array[...] = self.counts[shard]
            self.touched = True

    def set(self, values: Any) -> None:
        """Write values into the buffers."""
        start = 0
        for buffer in self.buffers:
            array = buffer.array
            array[...] = values[start : start + array.size].reshape(array.shape)
            start += array.size


def cut_sizes(samples: int, shards: int) -> list[int]:
    """How many samples each shard of a batch has: as even as can be, the larger ones first."""
    least, more = divmod(samples, shards)
    return [least + (i < more) for i in range(shards)]


class Shards:
    """Those shards of a batch that are computed here, where they are not exactly one."""

    def __init__(self, batch: Batch, parts: list[tuple[int, Any]]) -> None:
        self.batch, self.parts = batch, parts

    def _refuse(self, *args: Any) -> Any:
        count = len(self.parts)
        raise TypeError(
            f"this process has {count} shards of the batch: write\n"
            "    for x, y in tl.distributed.shards(batch):\n"
            "        loss_of(model(x), y).backward()\n"
            "between zero_grad() and step()"
        )

    __iter__ = __getitem__ = __len__ = _refuse


def begin(batch: Batch, parts: list[tuple[int, Any]]) -> Any:
    """Begin a batch whose shards here are given with their numbers; return what a loop is given."""
    world = batch.world
    for listener in tuple(world.listeners):
        listener.begin_batch()
    if world.batch is not None:
        world.batch.leave()
        world.batch.finish_running()
    world.batch = batch
    if len(parts) == 1 and len(world.own) == 1:
        batch.enter(parts[0][0])
        return parts[0][1]
    return Shards(batch, parts)


def end() -> None:
    """Compute no shard of the present batch any more."""
    if _world.batch is not None:
        _world.batch.leave()


def shards(batch: Any) -> Iterator[Any]:
    """Go through the shards of a batch that are computed here, one by one.

    Between two of them gradients are put aside, and everything random is keyed by the shard. A
    loop without it is right where every process has one shard.
    """
    if not isinstance(batch, Shards):
        yield batch
        return
    for number, part in batch.parts:
        batch.batch.enter(number)
        yield part
        last = number == batch.parts[-1][0]
        batch.batch.leave()
        if not last:
            for listener in tuple(batch.batch.world.listeners):
                listener.end_shard(number)
