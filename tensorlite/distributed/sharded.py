"""Sharded: an optimizer whose gradients, state and updates several processes share."""

from __future__ import annotations

import itertools
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import numpy as np

from tensorlite import backward as engine
from tensorlite import ranks
from tensorlite.arrivals import Arrivals, merged
from tensorlite.backend import Array, Device
from tensorlite.distributed.agreement import Presence, check_same, description
from tensorlite.distributed.divide import Divided
from tensorlite.optim.arena import Arena
from tensorlite.optim.flat import FlatOptimizer
from tensorlite.optim.optimizer import Optimizer
from tensorlite.ranks import World
from tensorlite.tape import Node, mode, on_device_of, recorders
from tensorlite.tensor import Tensor

T = TypeVar("T")
O = TypeVar("O", bound=Optimizer)  # noqa: E741

BUCKET_BYTES = {"cpu": 4 << 20, "cuda": 8 << 20}


def Sharded(
    optimizer: O,
    *,
    overlap: bool = True,
    bucket_bytes: int | None = None,
    find_unused_parameters: bool | None = None,
) -> O:
    """Divide an optimizer's work and state among all processes.

    From now on a step reduces the gradients of all shards to their mean, every process updates its
    part of the parameters, with the state of that part alone, and the parameters are sent to all.
    The additions run in a fixed tree over the shards, so the bits depend on the number of shards
    and not on the number of processes. `clip_grad_norm_`, `GradScaler`, schedules and state
    dictionaries work as they do in one process; all processes must call them.

    Parameters
    ----------
    optimizer
        Any of `tensorlite.optim` but LBFGS; its model is on its device already.
    overlap
        Send gradients while backward goes on. False: when the step begins.
    bucket_bytes
        How much is sent at a time; by default 4 MiB over MPI, and 8 MiB over NCCL.
    find_unused_parameters
        Let a step wait on the host until all have said which parameters have gradients. Without
        it, a step waits only if its parameters with gradients differ from those of the step before,
        and a model whose processes use different parameters in every step raises an error. By
        default True on the CPU, and False on CUDA, where no step waits then.

    Returns
    -------
    Optimizer
        The same one.

    Raises
    ------
    TypeError
        For an optimizer whose update of an element depends on others.
    RuntimeError
        If it is divided already, or if another process has another model, other settings, other
        initial values, another dtype or another code: the difference is named.

    Notes
    -----
    Between backward and step ``.grad`` holds this process's shard alone; `clip_grad_norm_`, called
    on all of the optimizer's parameters, leaves the mean in this process's part. The division of
    the state is that of Rajbhandari, Rasley, Ruwase and He, "ZeRO: memory optimizations toward
    training trillion parameter models", SC 2020.

    Examples
    --------
    >>> tl.distributed.init()
    >>> loader = tl.distributed.cut(DataLoader(data, 64, shuffle=True))
    >>> optimizer = tl.distributed.Sharded(tl.optim.AdamW(model.parameters()))
    """
    world = ranks.world()
    if not isinstance(optimizer, FlatOptimizer):
        raise TypeError(
            f"Sharded: {type(optimizer).__name__} cannot be divided: its update of one parameter "
            "may depend on others; the optimizers of tensorlite.optim but LBFGS can"
        )
    if optimizer.sharing is not None:
        raise RuntimeError("Sharded: this optimizer is divided already")
    check_same("Sharded", description(optimizer, world))
    if world.is_cut:
        optimizer.gather()
        device = _one_device(optimizer)
        if world.link is not None and device.type == "cuda":
            world.link.use_cuda(device.index)
        size = bucket_bytes or BUCKET_BYTES[device.type]
        waits = device.type == "cpu" if find_unused_parameters is None else find_unused_parameters
        optimizer.sharing = Sharing(optimizer, world, overlap, size, waits)
    return optimizer


def _one_device(optimizer: FlatOptimizer) -> Device:
    """The device that all parameters are on."""
    devices = {p.device for group in optimizer.param_groups for p in group["params"]}
    if len(devices) != 1:
        raise RuntimeError(
            "Sharded: the parameters of a process are on one device, not on "
            + " and ".join(sorted(map(str, devices)))
        )
    return devices.pop()


class Sharing:
    """The exchange of gradients and parameters for all arenas of an optimizer.

    Attributes
    ----------
    is_settled : bool
        Whether this process's parts of the gradients are the mean of all shards.
    """

    def __init__(
        self,
        optimizer: FlatOptimizer,
        world: World,
        overlap: bool,
        bucket_bytes: int,
        waits: bool,
    ) -> None:
        self.world, self.overlap = world, overlap
        arenas = [arena for flat in optimizer._flats for arena in flat.arenas]
        self.parts: list[Divided] = []
        for arena in arenas:
            with on_device_of(arena.data):
                part = Divided(arena, world, bucket_bytes)
            arena.sharing = self
            self.parts.append(part)
        self.buckets = [(part, bucket) for part in self.parts for bucket in part.buckets]
        #: Numbers of buckets in the order in which all send them: mostly the last parameters'
        #: gradients come first, and after a first step it is known.
        self.queue = list(reversed(range(len(self.buckets))))
        self.order: list[int] | None = []  # in which they were filled; None: the queue follows it
        self.full = [False] * len(self.buckets)
        self.sent = 0  # of the queue
        self.arrivals = self._arrivals()
        names = [place.name for part in self.parts for place in part.arena.places]
        self.presence = Presence(world, names, waits)
        self.is_settled = False
        self.shard = world.own[0]  # whose gradients come next
        self.backwards = 0  # in this shard
        self.usual: int | None = None  # how many there were in the last step's
        self.late = self.sends = False
        self.apart = False  # shards of this process go side by side: nothing is sent on the way
        self.was_apart = False
        world.listeners.append(_Weak(self, world.listeners))
        _watch(self)

    # --- calls from the loader and from backward ----------------------------------------------

    def begin_batch(self) -> None:
        """The loader yields the next batch: gradients that no step has used are kept."""
        if not self.is_settled and self._has_gradients():
            self.settle()
        self.backwards = 0

    def end_shard(self, number: int) -> None:
        """A shard is done, and this process has more of them."""
        self._on_device(self._end_shard, number)

    def _end_shard(self, number: int) -> None:
        for part in self.parts:
            part.put_aside(number, self._weight(number))
        self.shard = number + 1
        self.usual = self.usual or self.backwards
        self.backwards = 0

    def parameters(self) -> list[Tensor]:
        """All that are divided."""
        return [place.parameter for part in self.parts for place in part.arena.places]

    def before_backward(self, root: Node) -> Arrivals | None:
        """A backward pass begins; return the leaves to watch, or None."""
        if recorders and (recorder := mode.switches.recorder) is not None:
            self._record_backward(recorder, root)
            return None
        if self.is_settled:
            for part in self.parts:
                self._on_device(part.keep)
                for place in part.arena.places:
                    place.parameter.grad = None
            self._begin()
        if self.apart:
            self.was_apart = True
            return None
        self.backwards += 1
        last = self.shard == self.world.own[-1]
        if self.sent:
            self.late = True
        if not (self.overlap and last) or self.world.size == 1:
            return None
        sends = self.backwards == self.usual
        if self.order is not None:
            self.order = []
        elif not sends:
            return None
        self.sends = sends
        return self.arrivals

    def _record_backward(self, recorder: Any, root: Node) -> None:
        """A backward pass is captured: the step, which is not, sends what its replays leave."""
        own = set(map(id, self.parameters()))
        if not any(id(leaf) in own for node in engine.reachable([root]) for leaf in node.parents):
            return  # it is about another model
        if self.is_settled or self.apart:
            recorder.refuse("gradients are added to those of an earlier step, or of several shards")
            return
        self._count_backward()
        recorder.on_host("backward of all processes", _weakly(self, Sharing._count_backward))

    def _count_backward(self) -> None:
        self.backwards += 1

    def _arrivals(self) -> Arrivals:
        """The buckets that each parameter has elements in; `_filled` is called for full ones."""
        buckets: dict[Tensor, tuple[int, ...]] = {}
        members: list[int] = []
        for part in self.parts:
            for place, numbers in zip(part.arena.places, part.of_place, strict=True):
                buckets[place.parameter] = tuple(n + len(members) for n in numbers)
            members += part.members
        return Arrivals(buckets, tuple(members), _weakly(self, Sharing._filled))

    def _filled(self, number: int) -> None:
        """Send a bucket whose gradients have come, and those after it in the queue."""
        if self.order is not None:
            self.order.append(number)
        if not self.sends:
            return
        self.full[number] = True
        while self.sent < len(self.queue) and self.full[self.queue[self.sent]]:
            self._send_next()
        for number in self.queue[: self.sent]:
            pending = self.buckets[number][1].pending
            if pending is not None:
                pending.poke()

    def _follow_order(self) -> None:
        """Send buckets as rank 0's backward pass filled them, from now on; for all ranks."""
        known = self.backwards or self.was_apart
        order = self.world.gather(self.order if known else None)[0]
        if order is not None:
            self.queue = order + [number for number in self.queue if number not in order]
            self.order = None

    # --- a step -------------------------------------------------------------------------------

    def settle(self) -> None:
        """Make this process's parts of the gradients the mean of all shards; for all ranks."""
        if not self.is_settled:
            self._on_device(self._settle)

    def _settle(self) -> None:
        if self.late:
            raise RuntimeError(
                "a second backward pass came after gradients had been sent, and no earlier step "
                "had two: give Sharded overlap=False"
            )
        batch = self.world.batch
        self.usual = self.backwards or self.usual
        self._catch_up()
        has = self._bring()
        while self.sent < len(self.queue):
            self._send_next()
        self._bind(has)
        even = batch is None or batch.is_even
        for number in self.queue:
            part, bucket = self.buckets[number]
            part.finish(bucket, even)
        for part in self.parts:
            if part.shared is not None:
                part.shared.done()
        if self.order is not None and self.overlap and self.world.size > 1:
            self._follow_order()
        for part in self.parts:
            part.add_kept()
            part.stack = []
        ranks.end()
        if batch is not None:
            batch.finish_running()
        self.is_settled = True

    def _catch_up(self) -> None:
        """Count shards without samples as zeros; raise if a shard with samples was left out."""
        batch, own = self.world.batch, self.world.own
        if batch is None and len(own) > 1:
            raise RuntimeError(
                f"{self.world.shards} shards and {self.world.size} processes: take batches from a "
                "loader that was given to tl.distributed.cut, and their parts from "
                "tl.distributed.shards(batch)"
            )
        sizes = [1] * self.world.shards if batch is None else batch.sizes
        left = [s for s in own if s > self.shard and sizes[s] > 0]
        if left:
            raise RuntimeError(
                f"step() after {self.shard - own[0] + 1} of this process's {len(own)} shards: "
                "write `for x, y in tl.distributed.shards(batch):` around forward and backward"
            )
        while self.shard != own[-1]:
            for part in self.parts:
                if sizes[self.shard] > 0:
                    part.put_aside(self.shard, self._weight(self.shard))
                else:
                    part.put_zeros_aside(self.shard)
            self.shard += 1
        if sizes[self.shard] == 0:
            for part in self.parts:
                part.arena.grad[...] = 0

    def _bring(self) -> list[list[bool]]:
        """Bring all gradients to their places; say which there are."""
        has = [part.take_in() for part in self.parts]
        if self.world.size > 1:
            self.presence.ask(list(itertools.chain(*has)))
        return has

    def _bind(self, has: list[list[bool]]) -> None:
        """Give gradients, zeros here, to parameters that have one anywhere; pass on wishes."""
        self.world.agreed = self.world.wishes
        if self.world.size > 1:
            flags = iter(self.presence.anywhere())
            has = [[next(flags) for _ in part.arena.places] for part in self.parts]
        for part, its in zip(self.parts, has, strict=True):
            for place, there in zip(part.arena.places, its, strict=True):
                if there:
                    part.bind(place)

    def _send_next(self) -> None:
        part, bucket = self.buckets[self.queue[self.sent]]
        self.sent += 1
        part.send(bucket, self.shard, self._weight(self.shard))

    def _weight(self, shard: int) -> float | None:
        batch = self.world.batch
        return None if batch is None or batch.is_even else batch.weights[shard]

    def spread(self) -> None:
        """Send the parameters that were updated here to all, and receive the others."""
        self._on_device(self._spread)

    def _spread(self) -> None:
        pending = [p for part in self.parts for p in part.spread(part.arena.data, "parameters")]
        for transfer in pending:
            transfer.wait()
        for part in self.parts:
            if part.shared is not None:
                part.shared.await_copies()
        if self.world.link is not None:
            self.world.link.step_done()

    def forget(self) -> None:
        """Forget the gradients, and transfers in progress; again in every replay of a capture."""
        if recorders and (recorder := mode.switches.recorder) is not None:
            recorder.on_host("zero_grad of all processes", _weakly(self, Sharing._forget))
        self._forget()

    def _forget(self) -> None:
        for part in self.parts:
            self._on_device(part.forget)
        self._begin()
        self.backwards = 0

    def _begin(self) -> None:
        self.sent, self.shard, self.is_settled, self.late = 0, self.world.own[0], False, False
        self.full = [False] * len(self.buckets)
        self.sends = False  # what is full, at once
        for part in self.parts:
            part.has = [False] * len(part.arena.places)
            if part.shared is not None:
                part.shared.await_readers()

    def _has_gradients(self) -> bool:
        """Whether this batch gave any: an optimizer that nobody uses any more takes no part."""
        places = [place for part in self.parts for place in part.arena.places]
        earlier = any(any(part.has) for part in self.parts)
        return earlier or any(place.parameter.grad is not None for place in places)

    # --- for clipping and scaling -----------------------------------------------------------------

    def has_all(self, parameters: list[Tensor]) -> bool:
        """Whether these are all parameters that have a gradient, and gradients in their places.

        Where there is none, zeros are: they change no norm.
        """
        places = [place for part in self.parts for place in part.arena.places]
        found = [(place, grad) for place in places if (grad := place.parameter.grad) is not None]
        at_home = all(grad.array is place.grad for place, grad in found)
        own = {id(place.parameter) for place, _ in found}
        return at_home and own == {id(p) for p in parameters if p.grad is not None}

    def own_gradients(self, arenas: list[Arena]) -> list[Array]:
        """The parts of the gradients that are updated here."""
        return [a.grad[b.own] for p in self.parts for a in (p.arena,) for b in p.buckets]

    def norm(self, arenas: list[Arena], p: float) -> Array:
        """The p-norm of all gradients, from sums over blocks that no division changes."""
        return self._on_device(self._norm, p)

    def _norm(self, p: float) -> Array:
        first = self.parts[0].arena
        xp = first.backend.xp
        with np.errstate(all="ignore"):
            sums = [part.sums(p) for part in self.parts]
            whole = sums[0] if len(sums) == 1 else xp.concatenate(sums)
            norm = whole.max() if p == np.inf else whole.sum() ** (1 / p)
        dtype = np.float64 if first.dtype == np.float64 else np.float32
        return first.backend.asarray(xp.asarray(norm).astype(dtype))

    def gather_gradients(self, arenas: list[Arena]) -> None:
        """Gather the mean gradients in all processes."""
        for part in self.parts:
            for transfer in self._on_device(part.spread, part.arena.grad, "gradients"):
                transfer.wait()

    def greatest(self, flag: Array) -> Array:
        """The greatest of the numbers that all processes have."""
        if self.world.size == 1:
            return flag
        xp = self.parts[0].arena.backend.xp
        return xp.concatenate(self.world.link.gather_array(flag.reshape(1), "the scaler")).max()

    # --- state --------------------------------------------------------------------------------

    def on_main(self, describe: Callable[[], T]) -> T | None:
        """What `describe` makes on rank 0, where all of the state is meanwhile; all call it."""
        self.presence.check()
        own = [(part.arena, part.arena.own, part.arena.state) for part in self.parts]
        found = [
            {name: self._on_device(part.collect, mine, 0, "state") for name, mine in state.items()}
            for part, (_, _, state) in zip(self.parts, own, strict=True)
        ]
        if self.world.rank != 0:
            return None
        try:
            for (arena, _, _), whole in zip(own, found, strict=True):
                arena.own, arena.state = None, whole
                arena.forget_parts()
            return describe()
        finally:
            for arena, parts, state in own:
                arena.own, arena.state = parts, state
                arena.forget_parts()

    @contextmanager
    def whole(self, *, read: bool) -> Iterator[None]:
        """All of the state here for a while: gathered if it is to be read, else to be written."""
        if read:
            self.presence.check()
        before: list[tuple[Any, dict]] = [(p.arena.own, p.arena.state) for p in self.parts]
        for part, (own, state) in zip(self.parts, before, strict=True):
            arena = part.arena
            arena.own, arena.state = None, {}
            for name, mine in state.items():
                whole = arena.backend.xp.zeros(arena.data.size, mine.dtype)
                for start, stop, offset in own:
                    whole[start:stop] = mine[offset : offset + stop - start]
                for transfer in part.spread(whole, "state") if read else ():
                    transfer.wait()
                arena.state[name] = whole
            arena.forget_parts()
        try:
            yield
        finally:
            for part, (own, state) in zip(self.parts, before, strict=True):
                if read and state.keys() == part.arena.state.keys():
                    part.arena.own, part.arena.state = own, state
                else:
                    part.arena.divide([(start, stop) for start, stop, _ in own])
                part.arena.forget_parts()

    def _on_device(self, work: Callable, *args: Any) -> Any:
        with on_device_of(self.parts[0].arena.data):
            return work(*args)


class _Weak:
    """Forwards calls to a `Sharing` without keeping it alive; removed from the list with it."""

    def __init__(self, sharing: Sharing, listeners: list[Any]) -> None:
        self.sharing = weakref.ref(sharing, lambda _: listeners.remove(self))

    def begin_batch(self) -> None:
        """Forward the call."""
        if (sharing := self.sharing()) is not None:
            sharing.begin_batch()

    def end_shard(self, number: int) -> None:
        """Forward the call."""
        if (sharing := self.sharing()) is not None:
            sharing.end_shard(number)


def _weakly(sharing: Sharing, method: Callable) -> Callable:
    """A method that does not keep its object alive."""
    known = weakref.ref(sharing)

    def call(*args: Any) -> None:
        method(known(), *args)

    return call


_watched: weakref.WeakSet[Sharing] = weakref.WeakSet()


def _watch(sharing: Sharing) -> None:
    _watched.add(sharing)
    engine.listener = _listener


def _listener(root: Node) -> Arrivals | None:
    """The leaves that a backward pass is to watch, for all divided optimizers; or None."""
    world = ranks.world()  # of this thread
    own = [sharing for sharing in list(_watched) if sharing.world is world]
    return merged([leaves for s in own if (leaves := s.before_backward(root)) is not None])
