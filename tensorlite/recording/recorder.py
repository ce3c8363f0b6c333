"""Recording a call on the CPU, so that it can be replayed without Python.

The extension logs every kernel, product and copy that runs (`kernels/host/record.h`), but not what
NumPy computes. So the work is cut into *units*: each primitive and each gradient rule is one. Right
after a unit has run, its logged calls are run again over its inputs, with all memory that it
allocated filled with NaN. If that gives the same bits, the logged calls stand for the unit. If not,
NumPy took part in it, and the unit becomes a *node*: a replay calls its function again, and copies
what it returns to where the first results were.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from sys import getrefcount
from typing import Any

import numpy as np

from tensorlite.backend import Array, is_array
from tensorlite.debug import users_line
from tensorlite.recording.nodes import Node, Offset, Stream, raw
from tensorlite.recording.primitives_of import taken_apart
from tensorlite.recording.trees import arrays_in, leaves, mapped
from tensorlite.recording.verifying import Unit
from tensorlite.tensor import Tensor, tensor_of


def _is_elsewhere(x: Any) -> bool:
    array = raw(x)
    return is_array(array) and not isinstance(array, (np.ndarray, np.generic))


class Recorder:
    """The recording in progress; `mode.switches.recorder` while a call is recorded.

    Attributes
    ----------
    inside : bool
        A unit is running: what happens now belongs to it. Also once recording was given up.
    reason : str or None
        Why the call cannot be captured.
    nodes : list of (int, Node)
        With the number of noted calls before each.
    host : list of callables
        What only the host does, such as counting an optimizer's steps: run before a replay.
    guards : list of callables
        Each says whether the recording may still be used.
    """

    graph = False  # whether a stream of CUDA takes everything down; see `recording.graph`

    def __init__(self, kernels: Any, fuse: bool = False) -> None:
        self.k = kernels
        self.fuse = fuse
        self.elsewhere = False  # arrays of another device took part
        self.log = kernels.log_open()
        self.inputs: list[np.ndarray] = []  # the call's own copies
        self.inside = False
        self.reason: str | None = None
        self.nodes: list[tuple[int, Node]] = []
        self.marks: list[tuple[int, str, str]] = []  # calls noted before, operation, line
        self.host: list[Callable[[], None]] = []
        self.checks: list[Callable[[], None]] = []
        self.guards: list[Callable[[], bool]] = []
        self.streams: dict[Any, Stream] = {}
        self.leaves: dict[int, tuple[Tensor, Array]] = {}
        self.entry: dict[int, int] = {}  # ids of the gradients that leaves had before the call
        self.read: set[int] = set()  # leaves whose gradients from before the call count
        self.arrived: set[int] = set()
        self.modules: dict[int, tuple[Any, bool]] = {}
        self.written: list[tuple[int, int]] = []
        self.movable: list[int] = []  # blocks whose contents no unit needs from outside
        self.kept: list[Any] = []
        self.made: list[int] = []  # addresses that units of Python alone fill
        self._drawn: list[tuple[Stream, int]] = []
        self._ordered = False  # a node is there that the host's part must not overtake

    # --- the log ------------------------------------------------------------------------------

    def open(self) -> None:
        """Note what runs in this thread from here on."""
        self.k.log_enter(self.log)

    def keeps_memory(self) -> bool:
        """See to it that arrays made in this thread are kept for the recording; False if not so.

        NumPy has an allocator for each context, and a new thread begins with NumPy's own.
        """
        self.k.use_allocator()
        before = self.k.log_size(self.log)[1]
        self.open()
        try:
            np.empty(8)
        finally:
            self.close()
        return self.k.log_size(self.log)[1] > before

    def close(self) -> None:
        """Note nothing more."""
        self.k.log_enter(None)

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Note nothing inside, and keep no memory for the recording."""
        self.close()
        try:
            yield
        finally:
            if self.reason is None:
                self.open()

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Leave out what happens inside: it has been seen to."""
        before, self.inside = self.inside, True
        try:
            yield
        finally:
            self.inside = before or self.reason is not None

    def refuse(self, what: str) -> None:
        """Give up: the call runs to its end as if nothing was recorded."""
        if self.reason is None and not self.inside:
            self.reason = f"{what} at {users_line()}"
            self.inside = True
            self.close()

    def sizes(self, name: str, inputs: tuple, static: dict) -> None:
        """Refuse a primitive whose number of results depends on values."""
        masks = inputs[1:] if name == "getitem" else ()
        masked = any(is_array(x) and x.dtype == bool and self._varies(x) for x in masks)
        counts = name == "bincount" and not static.get("minlength")
        if masked or counts or name in ("nonzero", "unique"):
            self.refuse(f"{name}, the shape of whose result depends on values,")

    def _varies(self, x: Array) -> bool:
        """Whether an array may hold other values at a replay."""
        return self.k.log_owns(self.log, x) or any(np.may_share_memory(x, y) for y in self.inputs)

    # --- units --------------------------------------------------------------------------------

    def unit(self, name: str, function: Callable, *arguments: Any) -> Any:
        """Call ``function(*arguments)``, and see to it that a replay has the same results."""
        if not self.inside and any(_is_elsewhere(x) for x in leaves(arguments)):
            self.elsewhere = True
            self.refuse(f"{name} of arrays on a GPU")
        if self.inside:
            return function(*arguments)
        with self.paused():
            line = users_line()
            given = arrays_in(arguments)
            before = [np.array(x, order="C") for x in given]
            calls, blocks = self.k.log_size(self.log)
        self._drawn = []
        self.inside = True
        try:
            result = function(*arguments)
        finally:
            self.inside = self.reason is not None
        if self.reason is not None:
            return result
        if any(isinstance(x, np.generic) for x in leaves(result)):  # NumPy's sum of 0-d arrays
            result = mapped(result, lambda x: np.array(x) if isinstance(x, np.generic) else x)
        with self.paused():
            outputs = arrays_in(mapped(result, raw))
            if Unit(self.k, self.log, given, before, outputs, calls, blocks).is_reproduced():
                self.marks.append((calls, name, line))
                for x in given:
                    if not self.k.log_owns(self.log, x):
                        self.keep(x)
            else:
                self.k.log_cut(self.log, calls)
                apart = taken_apart(self, function, arguments, outputs, calls)
                if apart is None:
                    self._add(name, line, function, arguments, outputs)
                else:
                    result = apart
            # Arrays of a node are held by it, and stay where they are as long as it does.
            last = self.k.log_size(self.log)[1]
            self.movable += range(blocks, last)
            self.k.log_spend(self.log, blocks, last)
        return result

    def _add(
        self, name: str, line: str, function: Callable, arguments: Any, outputs: list[np.ndarray]
    ) -> Node:
        bare = self.k.bare
        seen: dict[int, Any] = {}
        kept = []

        def without_owner(x: Any) -> Any:
            if isinstance(x, np.ndarray):
                if id(x) not in seen:
                    seen[id(x)] = bare(x)
                    kept.append(owner_of(x))
                return seen[id(x)]
            return x

        kept += map(owner_of, outputs)
        node = Node(
            name, line, function, mapped(arguments, without_owner), [bare(x) for x in outputs]
        )
        node.streams, node.kept, node.listed = self._drawn, kept, True
        self.nodes.append((self.k.log_size(self.log)[0], node))
        self.marks.append((self.k.log_size(self.log)[0], name, line))
        return node

    def node(self, name: str, function: Callable, *arguments: Any) -> Any:
        """Call a function that Python calls again at every replay, at this place.

        Tensors it returns are copied into memory of the recording.
        """
        if self.inside:
            return function(*arguments)
        line = users_line()
        with self.paused():
            self.inside = True
            try:
                result = function(*arguments)
            finally:
                self.inside = self.reason is not None
        if self.reason is not None:
            return result
        outputs: list[np.ndarray] = []

        def own(x: Any) -> Any:
            if not isinstance(raw(x), np.ndarray):
                return x
            copy = np.array(raw(x))
            if copy.size:
                outputs.append(copy)
            return tensor_of(copy) if isinstance(x, Tensor) else copy

        result = mapped(result, own)
        with self.paused():
            self._drawn = []
            added = Node(name, line, function, arguments, [self.k.bare(x) for x in outputs])
            self.nodes.append((self.k.log_size(self.log)[0], added))
            self.marks.append((self.k.log_size(self.log)[0], name, line))
        self._ordered = True
        return result

    def check(self, function: Callable, arguments: tuple) -> None:
        """Look at values at every replay: at the inputs before anything is changed."""
        if self.inside:
            return
        arrays = arrays_in(arguments)
        with self.paused():
            bare = mapped(arguments, lambda x: self.k.bare(x) if isinstance(x, np.ndarray) else x)
            for x in arrays:
                self.keep(x)
            if any(self.k.log_owns(self.log, x) for x in arrays):
                position = self.k.log_size(self.log)[0]
                self.nodes.append((position, Node("check", users_line(), function, bare, [])))
                self.marks.append((position, "check", users_line()))
            else:
                self.checks.append(functools.partial(function, *bare))

    def mark(self, name: str) -> None:
        """Say what the calls belong to that are noted from here on."""
        with self.paused():
            self.marks.append((self.k.log_size(self.log)[0], name, users_line()))

    # --- what changes from call to call -------------------------------------------------------

    def on_host(self, name: str, action: Callable[[], None]) -> None:
        """Do something at every replay that touches nothing but what the host keeps."""
        if self.inside:
            return
        if self._ordered:  # something before it must be done first
            with self.paused():
                position = self.k.log_size(self.log)[0]
                self.nodes.append((position, Node(name, users_line(), action, (), [])))
                self.marks.append((position, name, users_line()))
        else:
            self.host.append(action)

    def reserved(self, generator: Any, offset: int, blocks: int) -> int:
        """Take note that `generator` set numbers aside; the offset, known to change."""
        if self.reason is not None:
            return offset
        stream = self.streams.get(generator)
        if stream is None:
            with self.paused():
                stream = Stream(generator)
            stream.start, stream.drawn = offset, 0
            if any(s.seed == stream.seed and s is not stream for s in self.streams.values()):
                self.inside = False
                self.refuse("two generators of one seed")
                return offset
            self.streams[generator] = stream
        stream.drawn += blocks
        self._drawn = [*self._drawn, (stream, offset)] if self.inside else self._drawn
        marked = Offset(offset)
        marked.generator = generator
        return marked

    def base_of(self, key: tuple[int, int]) -> np.ndarray | None:
        """The number that kernels add to offsets in the stream of this key."""
        seed = key[0] | key[1] << 32
        for stream in self.streams.values():
            if stream.seed == seed:
                return stream.base
        return None

    # --- what the recording depends on --------------------------------------------------------

    def keep(self, array: np.ndarray) -> None:
        """Keep memory that was there before alive as long as the recording."""
        self.kept.append(owner_of(array))

    def seen(self, x: Tensor) -> None:
        """Take note of a Tensor from before: with another array it needs a new recording."""
        on_host = x.array.__class__ is np.ndarray  # CUDA's are seen before a graph records them
        made_here = on_host and self.log and self.k.log_owns(self.log, x.array)
        if id(x) not in self.leaves and not made_here:
            self.leaves[id(x)] = (x, x.array)

    def outer_leaves(self) -> list[tuple[Tensor, Array]]:
        """The Tensors from before the call: those with references from outside the recording."""
        own = [leaf for leaf in self.leaves.values() if not self.k.log_owns(self.log, leaf[1])]
        return _held_elsewhere(own)

    def arrives(self, leaf: Tensor) -> None:
        """Note that a gradient arrives at a leaf, and whether it is added to one from before."""
        if id(leaf) not in self.arrived:
            self.arrived.add(id(leaf))
            if leaf.grad is not None and id(leaf.grad) == self.entry.get(id(leaf)):
                self.read.add(id(leaf))

    def module(self, module: Any) -> None:
        """Take note of a module's mode."""
        if not self.inside:
            if module._hooks is not None:
                self.refuse(f"{type(module).__name__} has hooks, which are Python's, called")
            self.modules.setdefault(id(module), (module, module.training))

    def live(self, array: Array) -> Array:
        """An array that the host writes to before every replay; where it does."""
        if not self.inside and isinstance(array, np.ndarray):
            self.made.append(array.__array_interface__["data"][0])
            self.keep(array)
        return array

    def number(self, value: float) -> tuple[Any, Array | None]:
        """A number that changes between replays, as operations get it; and where it is written."""
        return value, None

    def wrote(self, bounds: tuple[int, int]) -> None:
        """Take note of a write in place, outside of units that were seen to."""
        if self.reason is None and bounds not in self.written:
            self.written.append(bounds)


def _held_elsewhere(leaves: list[tuple[Any, Any]]) -> list[tuple[Any, Any]]:
    """Those to which something refers besides the list and the dictionary it comes from."""
    return [leaf for leaf in leaves if getrefcount(leaf[0]) > _ONE]


_ONE = 0
_ONE = next(getrefcount(leaf[0]) for leaf in [(object(), None)])


def owner_of(array: Any) -> Any:
    """What owns the memory that an array shows."""
    owner = array
    while getattr(owner, "base", None) is not None:
        owner = owner.base
    return owner
