"""The arena: parameters, gradients and optimizer state in flat arrays.

Parameters of one group that share a device and a dtype lie one after another in one array, and so
do their gradients and each kind of state. However many parameters there are, a step is then one
kernel launch, zeroing the gradients costs nothing, a norm is one reduction, and data parallelism is
one all-reduce.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterable, Sequence
from sys import getrefcount
from typing import Any, NamedTuple

import numpy as np

from tensorlite.backend import Array, array_backend
from tensorlite.backward import is_held
from tensorlite.optim import glances
from tensorlite.tape import unit
from tensorlite.tensor import Tensor, tensor_of

_ALIGN = 16  # elements: every parameter starts on a 64-byte line, or a 32-byte one in half floats
_LARGE = 1 << 23  # bytes


class Place(NamedTuple):
    """A parameter's place in an arena."""

    name: str
    parameter: Tensor
    start: int
    stop: int
    data: Array  # view of the arena, of the parameter's shape
    grad: Array


class Moved(Exception):
    """A parameter is on another device, or of another dtype, than its arena."""


class Arena:
    """Flat storage of parameters on one device, of one dtype.

    From now on each parameter's array is a view of the arena, and its gradient will be
    accumulated there.

    Attributes
    ----------
    data, grad : array, shape (n,)
        All parameters, and their gradients. Gaps between parameters stay zero.
    state : dict of str to array
        Optimizer state by torch's names ("exp_avg" …), each of shape (n,); float32 where
        parameters are shorter. An array is made when it is first needed.
    steps : list of int
        How many updates each parameter has had.
    scalars : list of tuple of float
        State that is one number per parameter.
    skipped : array or None
        How many of the steps a gradient scaler turned into nothing; on the device, with no axes.
    hyper : tuple or None
        The numbers that the last update's kernel got, and the array that holds them.
    launch : tuple or None
        How an ordinary step of all parameters was last launched: names of the state, all kernels,
        the one that ran with its arrays.
    extra : dict of int to dict
        What users keep in a parameter's state beside the optimizer's own, by position.
    """

    def __init__(self, names: Sequence[str], parameters: Sequence[Tensor]) -> None:
        first = parameters[0].array
        self.backend = array_backend((first,))
        self.device = parameters[0].device
        self.dtype = first.dtype
        self.short = self.dtype.itemsize == 2
        starts, size = [], 0
        for parameter in parameters:
            starts.append(size)
            size += -(-parameter.numel() // _ALIGN) * _ALIGN
        large = size * self.dtype.itemsize >= _LARGE
        if large:  # what the parameters' first values came from
            self.backend.give_back()
        with self.backend.on(self.device):
            self.data = self.backend.lane(0, size, self.dtype)
            self.grad = self.backend.lane(1, size, self.dtype)
        self.state: dict[str, Array] = {}
        self.bounds = self.backend.byte_bounds(self.data)
        self.steps = [0] * len(parameters)
        self.scalars: list[tuple[float, ...]] = [()] * len(parameters)
        self.extra: dict[int, dict[str, Any]] = {}
        self.skipped: Array | None = None
        self.hyper: tuple[dict[str, Any], Array] | None = None
        self.forget_parts()
        self.own: list[tuple[int, int, int]] | None = None  # see `divide`
        self.sharing: Any = None  # what divides it among processes, if it is divided
        self._wanted_short: dict[int, int] = {}  # size of each place that autocast casts, by start
        self._index: dict[int, int] = {}  # of parameters' places, by the parameters' ids
        self.places: list[Place] = []
        for name, parameter, start in zip(names, parameters, starts, strict=True):
            stop = start + parameter.numel()
            data = self.data[start:stop].reshape(parameter.shape)
            self.places.append(Place(name, parameter, start, stop, data, data))
        self._give_gradients()
        self.gather()
        if large:  # their old memory
            self.backend.give_back()

    def __del__(self) -> None:
        for _, parameter, _, _, _, grad in getattr(self, "places", ()):
            if _is_home(parameter.grad_buffer, grad):
                parameter.grad_buffer = None

    def is_whole(self) -> bool:
        """Whether all parameters and gradients lie here, and all have had as many steps."""
        steps = self.steps
        return steps.count(steps[0]) == len(steps) and glances.in_place(self._watched)

    def gather(self) -> None:
        """Bring arrays that users replaced back into the arena, or raise `Moved`."""
        for place in self.places:
            if place.parameter.array is not place.data:
                self._adopt(place)

    def _adopt(self, place: Place) -> None:
        """Bring a parameter's values here and bind it to its place."""
        parameter = place.parameter
        array = parameter.array
        if array.__class__ is not self.data.__class__ or array.dtype != self.dtype:
            raise Moved
        if array.shape != place.data.shape:
            raise RuntimeError(
                f"parameter {place.name!r} has shape {array.shape} now and had {place.data.shape} "
                "when the optimizer was made: make the optimizer anew"
            )
        if parameter.device != self.device:
            raise Moved
        with self.backend.on(self.device):
            place.data[...] = array
        parameter.array = place.data
        self._welcome(parameter, place.grad)

    # --- 16-bit copies: see `short` -----------------------------------------------------------

    def want_short(self, parameter: Tensor) -> int | None:
        """Note that `parameter` is read in 16 bits; return where it lies, None if elsewhere."""
        if not self._index:
            self._index = {id(place.parameter): i for i, place in enumerate(self.places)}
        place = self.places[self._index[id(parameter)]]
        if parameter.array is not place.data:
            return None
        self._wanted_short[place.start] = place.stop - place.start
        return place.start

    def is_mostly_short(self) -> bool:
        """Whether at least half of the arena was wanted short, as far as is known."""
        return 2 * sum(self._wanted_short.values()) >= self.data.size

    # --- gradients ----------------------------------------------------------------------------
    #
    # `backward` puts gradients straight into the arena. What a user holds of an earlier one, or of
    # a view of it, must not change by that: if it is still referred to, all gradients get new
    # memory. Reference counts show whether it is; see `own_place` in `backward`.

    def _welcome(self, parameter: Tensor, grad: Array) -> None:
        """Let the gradient of `parameter` be put into `grad` from now on."""
        buffer: Any = tensor_of(grad)
        buffer.home = grad
        buffer.renew = _Renewal(self)
        parameter.grad_buffer = buffer

    def _give_gradients(self) -> None:
        """Cut the flat gradients into places."""
        cut = self.backend.cut(self.grad)
        for i, place in enumerate(self.places):
            grad = cut(place.start, place.data.shape)
            if self.places[i].grad is place.data or _is_home(
                place.parameter.grad_buffer, place.grad
            ):
                self._welcome(place.parameter, grad)
            self.places[i] = place._replace(grad=grad)
        self._watched = [(place.parameter, place.data, place.grad) for place in self.places]

    def renew_gradients(self) -> None:
        """Put gradients into new memory from now on; those there are keep the old one."""
        with self.backend.on(self.device):
            self.lay_gradients(self.backend.lane(1, self.grad.size, self.dtype))

    def lay_gradients(self, grad: Array) -> None:
        """Put gradients into this memory from now on."""
        self.grad = grad
        self.forget_parts()
        self._give_gradients()

    def lay_parameters(self, data: Array) -> None:
        """Put parameters into this memory from now on."""
        self.gather()
        data[...] = self.data
        self.data, self.bounds = data, self.backend.byte_bounds(data)
        for i, place in enumerate(self.places):
            own = data[place.start : place.stop].reshape(place.data.shape)
            place.parameter.array = own
            self.places[i] = place._replace(data=own)
        self.lay_gradients(self.grad)

    def _bring_gradient(self, index: int, grad: Array) -> bool:
        """Copy a gradient that lies elsewhere to its place; say if all places are new."""
        place = self.places[index]
        if _is_home(place.parameter.grad_buffer, place.grad):
            held = is_held(place.parameter)
        else:
            held = _references(place) > _ALONE
        if held:
            self.renew_gradients()
        else:
            unit("gradient", self.backend.write, place.grad, grad)
        return held

    def advance(self, count: bool, first: tuple[float, ...] = ()) -> list[tuple[int, int, Any]]:
        """Count a step; return the runs of neighbours that have gradients: (start, stop, history).

        A run's history is its number of steps; in a tuple with its `scalars` if `first` says what
        they are before the first step. It is the same for all in the run. Arrays that users
        replaced are brought back; parameters without a gradient are left out, as torch does.

        Raises
        ------
        Moved
            If a parameter cannot be put back; nothing was counted then.
        """
        steps = self.steps
        if not first and self.is_whole():
            step = steps[0]
            if count:
                step += 1
                self.steps = [step] * len(steps)
            return [(0, self.places[-1].stop, step)]
        runs: list[tuple[int, int, Any]] = []
        steps = steps.copy()
        begin = end = 0
        history = None  # of the run at hand
        renewed = False
        for i, (_, parameter, start, stop, data, own_grad) in enumerate(self.places):
            if parameter.array is not data:
                self._adopt(self.places[i])
            grad = parameter.grad
            own: Any = None
            if grad is not None:
                if grad.array is not own_grad:
                    own_grad = None  # no reference of ours
                    renewed |= self._bring_gradient(i, grad.array)
                if count:
                    steps[i] += 1
                own = steps[i]
                if first:
                    if own == 1:
                        self.scalars[i] = first
                    own = (own, *self.scalars[i])
                if own == history:
                    end = stop
                    continue
            if history is not None:
                runs.append((begin, end, history))
            begin, end, history = start, stop, own
        if history is not None:
            runs.append((begin, end, history))
        if renewed:
            for place in self.places:
                if place.parameter.grad is not None:
                    unit("gradient", self.backend.write, place.grad, place.parameter.grad.array)
        self.steps = steps
        return runs

    # --- state --------------------------------------------------------------------------------

    def need(self, name: str, value: float) -> None:
        """Make the state `name`, filled with `value`, if it is not there."""
        if name not in self.state:
            dtype = np.float32 if self.short else self.dtype
            size = self.data.size
            if self.own is not None:
                size = sum(stop - start for start, stop, _ in self.own)
            with self.backend.on(self.device):
                number = 2 + len(self.state)
                self.state[name] = self.backend.lane(number, size, dtype, value)
            self.forget_parts()

    def divide(self, own: list[tuple[int, int]]) -> None:
        """Keep state for these parts only, and update only them: other processes have the rest."""
        self.own, offset = [], 0
        for start, stop in own:
            self.own.append((start, stop, offset))
            offset += stop - start
        with self.backend.on(self.device):
            for name, whole in self.state.items():
                parts = [whole[start:stop] for start, stop, _ in self.own]
                self.state[name] = self.backend.xp.concatenate(parts)
        self.forget_parts()

    def own_parts(self, start: int, stop: int) -> list[tuple[int, int]]:
        """What of a run is updated here."""
        if self.own is None:
            return [(start, stop)]
        cut = [(max(start, first), min(stop, last)) for first, last, _ in self.own]
        return [(first, last) for first, last in cut if first < last]

    def forget_parts(self) -> None:
        """Forget the cached parts of parameters, gradients and state; `part` cuts them anew."""
        self._part_of: Any = None
        self._part: tuple = ()
        self.launch: tuple | None = None

    def part(
        self, start: int, stop: int, names: Iterable[str]
    ) -> tuple[Array, Array, dict[str, Array]]:
        """Parameters, gradients and state from `start` to `stop`; the last parts are cached."""
        asked = (start, stop, names)
        if self._part_of != asked:
            at = start
            for first, last, offset in self.own or ():
                if first <= start < last:
                    at = offset + start - first
            state = {name: self.state[name][at : at + stop - start] for name in names}
            self._part_of = asked
            self._part = (self.data[start:stop], self.grad[start:stop], state)
        return self._part

    def view(self, name: str, index: int) -> Array:
        """One parameter's part of a state, in its shape."""
        if self.own is not None:
            raise RuntimeError(
                "the optimizer's state is divided among processes: state_dict(), called by all of "
                "them, puts it together"
            )
        place = self.places[index]
        return self.state[name][place.start : place.stop].reshape(place.data.shape)

    def settle(self) -> None:
        """Take the steps that were skipped on the device off the counts (waits for it)."""
        if self.skipped is not None:
            skipped = int(self.skipped)
            self.steps = [max(step - skipped, 0) for step in self.steps]
            self.skipped = None


class _Renewal:
    """Calls `renew_gradients` of an arena without keeping it alive."""

    __slots__ = ("arena",)

    def __init__(self, arena: Arena) -> None:
        self.arena = weakref.ref(arena)

    def __call__(self) -> None:
        arena = self.arena()
        assert arena is not None  # it holds this
        arena.renew_gradients()


def _is_home(buffer: Tensor | None, grad: Array) -> bool:
    return buffer is not None and buffer.__dict__.get("home") is grad


def _references(place: Place) -> int:
    return getrefcount(place.grad)


def _references_of_the_arena() -> int:
    """What `_references` returns if only the arena refers to the array."""
    place = Place("", tensor_of(np.empty(0)), 0, 0, np.empty(0), np.empty(0))
    watched = [place.grad]
    return _references(place) if watched else 0


_ALONE = _references_of_the_arena()


def divided(parameters: Iterable[Tensor]) -> dict[Any, list[Arena]]:
    """The arenas of `parameters` that are divided among processes, by what divides them.

    When this returns, the gradients of this process's parts are those of the whole batch.
    """
    found: dict[Any, list[Arena]] = {}
    for parameter in parameters:
        renewal = None if parameter.grad_buffer is None else parameter.grad_buffer.renew
        arena = None if renewal is None else renewal.arena()
        if arena is not None and arena.sharing is not None:
            arenas = found.setdefault(arena.sharing, [])
            if arena not in arenas:
                arenas.append(arena)
    for sharing in found:
        sharing.settle()
    return found


def flat_gradients(parameters: Tensor | Iterable[Tensor]) -> list[Array]:
    """The gradients in as few arrays as can be: an arena's in one, where all of them are meant.

    Each parameter counts once, however often it is given. An arena's gaps are zero, which changes
    no norm.
    """
    if isinstance(parameters, Tensor):
        parameters = [parameters]
    result: dict[int, Array] = {}  # by the array's id, which keeps each once
    meant: dict[Any, list[int]] = {}
    for parameter in parameters:
        grad = parameter.grad
        if grad is None or id(grad.array) in result:
            continue
        result[id(grad.array)] = grad.array
        buffer = parameter.grad_buffer
        if buffer is not None and grad.array is buffer.home:
            meant.setdefault(buffer.renew.arena(), []).append(id(grad.array))
    for arena, keys in meant.items():
        if arena is not None and len(keys) == len(arena.places):
            for key in keys:
                del result[key]
            result[id(arena.grad)] = arena.grad
    return list(result.values())
