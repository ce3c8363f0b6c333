"""Fusion on CUDA: in the call that becomes a graph, links wait until their chain is complete.

The first call of a captured function runs normally. There each unit is looked at: whether it is a
link, what its result is like; and each chain is compiled and tried out when it is complete. In the
second call, which is taken down by a stream, a link allocates its result and returns; a chain's
kernel is queued before anything else uses the stream. Both calls go through the same steps, so the
kernels of the second have been tried out in the first.

Not everything that uses the stream can be seen beforehand: CuPy, called by the user's own code on
arrays that are there, just queues. But it leaves nodes in the graph. Where these are more than they
were when the last unit had ended, and links wait, that graph is given up. The call is then
made as a first one, and from there on no link waits beyond that unit.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection
from typing import Any, NamedTuple

import cupy

from tensorlite.backend.driver import captured_nodes
from tensorlite.recording.chains import Chain, advanced
from tensorlite.recording.graph_kernels import GraphKernels, is_held, label
from tensorlite.recording.graph_units import HERE, Seen, done_later, forms, same_bits
from tensorlite.recording.kernel_links import dropout_link, link_of_call
from tensorlite.recording.kernel_text import written
from tensorlite.recording.links import Link, link_of_unit
from tensorlite.recording.primitives_of import in_parts, in_primitives
from tensorlite.recording.trees import leaves, mapped
from tensorlite.recording.views import view_of

_IN_PLACE = frozenset({"_add_to", "put", "_overwrite"})
_POSSIBLE = frozenset({"computed", "copy", "plus", *_IN_PLACE})


class Member(NamedTuple):
    """A link that waits: how it is done by itself, and what a picture says of it."""

    run: Callable[[], None]
    line: str


class GraphChains:
    """The links of a call that wait.

    Parameters
    ----------
    recorder
        What takes the call down.
    first
        What was seen of the first call, if this is the second.
    early
        After which units nothing may wait, by their numbers.

    Attributes
    ----------
    overtaken : set of int
        Units after which something was queued before links that waited: the graph is wrong.
    """

    def __init__(
        self, recorder: Any, first: GraphChains | None, early: Collection[int] = ()
    ) -> None:
        self._recorder, self._first, self._early = recorder, first, early
        self.overtaken: set[int] = set()
        self._nodes: int | None = None  # of the graph, when the last unit had ended
        self.kernels: GraphKernels = first.kernels if first else GraphKernels(recorder.device)
        self.units: list[Seen] = []
        self._next = 0
        self._opened: list[Chain] = []
        self._members: dict[int, Member] = {}
        # The memory that open chains have to do with, each in a list, of which copies are kept.
        self._owners: dict[int, list[Any]] = {}
        self._before: dict[int, Any] = {}  # of the first call: what a link in place wrote over
        self._launches: list[tuple[str, tuple]] = []
        self._zero: Any = None
        self.unproven: list[str] = []  # chains of the second call whose links run one by one

    def unit(self, name: str, function: Callable, arguments: tuple, given: list[Any]) -> Any:
        """Call a function; or, in the second call, let it wait."""
        self._look()
        if self._first is None:
            result = self._seen(name, function, arguments, given)
        else:
            result = self._waiting(name, function, arguments, given)
        self._nodes = self._count()
        if self._number() in self._early:
            self.flush()
        return result

    def launched(self, name: str, arguments: tuple) -> None:
        """Take note of a kernel that will be launched now."""
        if not self._recorder.inside:
            self.flush()
        elif self._first is None:
            self._launches.append((name, arguments))

    def allocated(self) -> None:
        """Take note of new memory, to which something outside of units may write."""
        if not self._recorder.inside:
            self.flush()

    def _number(self) -> int:
        """How many units there have been: the same in both calls."""
        return self._next if self._first else len(self.units)

    @property
    def unfused(self) -> str:
        """Which chains are not one kernel, and why."""
        alone = [f"{names}, which run one by one" for names in self.unproven]
        return "; ".join([*self.kernels.refused, *alone])

    # --- the first call -----------------------------------------------------------------------

    def _seen(self, name: str, function: Callable, arguments: tuple, given: list[Any]) -> Any:
        run = in_primitives(function)
        if run is None:
            return self._whole(name, function, arguments, given)
        recorder = self._recorder
        drawn = recorder.drawn_so_far()
        with recorder.busy():
            result = function(*arguments)
        self._launches = []  # which refers to arrays
        before, count = self._state(), len(self.units)
        self.units.append(Seen(name, "parts"))
        parts, refused = in_parts(recorder, run, arguments)
        kinds = {unit.kind for unit in self.units[count:]}
        pays = "link" in kinds or "other" not in kinds
        with recorder.busy():
            same = refused is None and pays and same_bits(parts, result)
        if same:
            return parts
        self._back_to(before)
        self.flush()
        self.units.append(Seen(name, "other"))
        recorder.took_down(name, given, result, drawn)
        return result

    def _lists(self) -> list[list]:
        recorder = self._recorder
        return [self.units, recorder.units, recorder.lines, recorder.kept]

    def _state(self) -> tuple:
        chains = [chain.copy() for chain in self._opened]
        lengths = [len(each) for each in self._lists()]
        return lengths, chains, dict(self._owners), dict(self._before)

    def _back_to(self, state: tuple) -> None:
        lengths, self._opened, self._owners, self._before = state
        for each, length in zip(self._lists(), lengths, strict=True):
            del each[length:]

    def _whole(self, name: str, function: Callable, arguments: tuple, given: list[Any]) -> Any:
        kind = getattr(function, "__name__", "")
        if kind not in _POSSIBLE:
            self.flush()
        if kind in _IN_PLACE and isinstance(arguments[0], cupy.ndarray):
            x = arguments[0]
            with self._recorder.busy():
                self._before.setdefault(x.data.ptr, x.copy())
        self._launches = []
        result = self._recorder.noted(name, function, arguments, given)
        seen = self._unit_of(name, function, arguments, given, result)
        self._launches = []  # which refers to arrays
        self.units.append(seen)
        if seen.kind == "other":
            self.flush()
        elif seen.kind == "link":
            link = self._link(seen, function, arguments, given, self._made(seen, arguments, result))
            assert link is not None
            self._join(link, [*given, *leaves(result)])
        return result

    def _made(self, seen: Seen, arguments: tuple, result: Any) -> Any:
        """The array that a unit has computed."""
        if seen.form:
            return next(x for x in leaves(result) if isinstance(x, cupy.ndarray))
        return arguments[0]

    def _unit_of(
        self, name: str, function: Callable, arguments: tuple, given: list[Any], result: Any
    ) -> Seen:
        """What the second call must know of a unit."""
        other = Seen(name, "other")
        kind = getattr(function, "__name__", "")
        made = [x for x in leaves(result) if isinstance(x, cupy.ndarray)]
        arrays = [x for x in given if isinstance(x, cupy.ndarray)]
        if kind not in _POSSIBLE or self._recorder.reason is not None:
            return other
        form: tuple = ()
        if kind in _IN_PLACE:
            target = arguments[0]
        elif len(made) != 1:
            return other
        else:
            (target,) = made
            form = (target.shape, target.dtype)
            if any(x.data.mem is target.data.mem for x in arrays):
                view = getattr(getattr(function, "__self__", None), "view", False)
                plain = view and not self._launches
                return Seen(name, "view", forms(given)) if plain else other
        tree = mapped(result, lambda x: HERE if x is target else x)
        seen = Seen(name, "link", forms(given), None, (), (), tree, form)
        for each in (self._by_kernel(seen, arrays, target), seen):
            if each is not None and self._link(each, function, arguments, given, target):
                return each
        return other

    def _by_kernel(self, seen: Seen, arrays: list[Any], target: Any) -> Seen | None:
        """The same with the one kernel that was launched, if it reads the unit's own arrays."""
        if len(self._launches) != 1:
            return None
        kernel, passed = self._launches[0]
        addresses = [x.data.ptr for x in arrays]
        places = []
        for x in passed:
            if not isinstance(x, cupy.ndarray):
                continue
            if x.data.ptr == target.data.ptr and seen.form:
                places.append(-1)
            elif x.data.ptr in addresses:
                places.append(addresses.index(x.data.ptr))
            else:
                return None
        numbers = tuple(x for x in passed if isinstance(x, (bool, int, float)))
        return seen._replace(kernel=kernel, places=tuple(places), numbers=numbers)

    # --- links --------------------------------------------------------------------------------

    def _link(
        self, seen: Seen, function: Callable, arguments: tuple, given: list[Any], made: Any
    ) -> Link | None:
        """The link that a unit is, if it is one."""
        if seen.kernel is None:
            link = link_of_unit(seen.name, function, arguments, made)
        elif seen.kernel == "dropout":
            link = self._dropout(arguments, made)
        else:
            own = [x for x in given if isinstance(x, cupy.ndarray)]
            arrays = [made if i < 0 else own[i] for i in seen.places]
            views = [view_of(x) for x in arrays]
            if any(view is None or not view.dense for view in views):
                return None
            spans = [(x.data.ptr, x.nbytes, x is made) for x in arrays]
            types = "".join(view.type for view in views if view is not None)
            link = link_of_call(seen.kernel, spans, list(seen.numbers), types)
        return link if link is not None and is_held(link) else None

    def _dropout(self, arguments: tuple, made: Any) -> Link | None:
        raw, static, _ = arguments
        given, own = view_of(raw[0]), view_of(made)
        key = static["key"]
        base = self._recorder.base_of(key)
        if base is None:  # of the first call
            with self._recorder.busy():
                self._zero = cupy.zeros(1, cupy.int64) if self._zero is None else self._zero
            base = self._zero
        moved = view_of(base)
        if given is None or own is None:
            return None
        seed = key[0] | key[1] << 32
        return dropout_link(given, own, static["p"], seed, int(static["offset"]), moved)

    # --- the second call ----------------------------------------------------------------------

    def _count(self) -> int | None:
        """Nodes of the graph, if links wait."""
        waiting = self._opened and self._first is not None
        return captured_nodes(self._recorder.stream) if waiting else None

    def _look(self) -> None:
        """Notice what was queued since the last unit while links waited."""
        now = self._count()
        if now != self._nodes:
            self.overtaken.add(self._next)
            self._nodes = now

    def _waiting(self, name: str, function: Callable, arguments: tuple, given: list[Any]) -> Any:
        known = self._first.units if self._first else []
        seen = known[self._next] if self._next < len(known) else Seen(name, "other")
        self._next += 1
        recorder = self._recorder
        if seen.name != name:  # another call than the first: it is compared in the end
            self._next = sys.maxsize
            seen = Seen(name, "other")
        if seen.kind == "parts":
            run = in_primitives(function)
            return in_parts(recorder, run, arguments)[0] if run else None
        if seen.kind == "link" and seen.given == forms(given):
            with recorder.busy():
                made = cupy.ndarray(*seen.form) if seen.form else arguments[0]
            link = self._link(seen, function, arguments, given, made)
            if link is not None:
                result = mapped(seen.result, lambda x: made if x is HERE else x)
                line = recorder.noted_later(name, given, list(leaves(result)))
                self._members[self._next] = Member(
                    done_later(function, arguments, link, recorder), line
                )
                self._join(link, [*given, made])
                return result
        if seen.kind != "view":
            self.flush()
        return recorder.noted(name, function, arguments, given)

    # --- chains -------------------------------------------------------------------------------

    def _join(self, link: Link, arrays: list[Any]) -> None:
        at = self._number()
        for x in arrays:
            if isinstance(x, cupy.ndarray):
                self._owners.setdefault(id(x.data.mem), [x.data.mem])
        reads = [view.span for view in link.inputs]
        self._opened, closed = advanced(self._opened, at, link, reads, [link.output.span])
        for chain in closed:
            self._close(chain)

    def flush(self) -> None:
        """Complete all chains."""
        self._look()
        opened, self._opened, self._nodes = self._opened, [], None
        for chain in opened:
            self._close(chain)
        self._owners.clear()
        self._before.clear()
        self._members.clear()

    def _close(self, chain: Chain) -> None:
        wanted = {at for at in chain.made if self._is_wanted(at)}
        made = written(chain, wanted) if wanted else None
        if self._first is None:
            if made is not None:
                with self._recorder.busy():
                    self.kernels.try_out(made, self._before)
            return
        members = [self._members[at] for at, _ in chain.members]
        if made is not None and self.kernels.is_proven(made):
            self.kernels.run(made)
            arrays = [(low, high - low) for low, high in (v.span for v in made.arrays)]
            first = len(arrays) - len(made.outputs)
            self._recorder.lines.append(
                (label(made), members[0].line, arrays[:first], arrays[first:])
            )
        elif wanted:
            self.unproven.append(" ".join(link.name for _, link in chain.members))
            with self._recorder.busy():
                for member in members:
                    member.run()

    def _is_wanted(self, address: int) -> bool:
        """Whether anything but this object refers to the memory of a result."""
        for cell in self._owners.values():
            start, size = cell[0].ptr, cell[0].size
            if start <= address < start + max(size, 1):
                return sys.getrefcount(cell[0]) > _ALONE
        return True


def _counts_alone() -> int:
    """The count of references to memory in a list that nothing else refers to."""
    cell = [cupy.cuda.UnownedMemory(1, 1, None, 0)]
    return sys.getrefcount(cell[0])


_ALONE = _counts_alone()
