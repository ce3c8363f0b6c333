"""Recording on CUDA: a call becomes one CUDA graph, which later calls launch.

Stream capture records everything queued on the stream: tensorlite's kernels, CuPy's, products and
copies. So units need not be checked by running them again, as on the CPU. Two things remain.
Numbers that change from call to call would be frozen in a graph, so they lie in a `Mailbox`, which
a replay fills and sends before the launch. And the first call, which runs normally, is compared
with the second, of which the graph is made.
"""

from __future__ import annotations

import functools
import struct
import sys
from bisect import bisect_right
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from typing import Any

import cupy
import numpy as np

from tensorlite.backend import BACKENDS, backend_for
from tensorlite.debug import users_line
from tensorlite.recording.graph_chains import GraphChains
from tensorlite.recording.mailbox import Mailbox, common_memory
from tensorlite.recording.nodes import Offset
from tensorlite.recording.recorder import Recorder
from tensorlite.recording.trees import leaves
from tensorlite.tape import mode
from tensorlite.tensor import Tensor

_UNIT = 512  # bytes: CuPy's pool gives out multiples of it
_SMALL = 1 << 12  # bytes up to which what comes from the host is sent again at each replay


class Refused(BaseException):
    """Leaves a call whose graph is being made, past any ``except Exception`` of the user's."""


class Overtaken(BaseException):
    """Leaves a call whose graph would be wrong: something ran ahead of links that waited."""


class _NoLog:
    """An empty log in place of the CPU recorder's: stream capture records everything."""

    def __init__(self) -> None:
        self._spans: list[tuple[int, int]] = []
        self.asked = 0  # bytes

    def log_open(self) -> None:
        """No log."""

    def log_size(self, log: None) -> tuple[int, int]:
        """Nothing is in it."""
        return 0, 0

    def bare(self, array: Any) -> Any:
        """The array itself: nothing is moved later."""
        return array

    def made(self, start: int, size: int) -> None:
        """Note memory that was allocated during the call."""
        self._spans.append((start, start + size))
        self.asked += -(-size // _UNIT) * _UNIT

    def log_owns(self, log: None, array: Any) -> bool:
        """Whether an array lies in memory that was allocated during the call."""
        if isinstance(array, np.ndarray):
            return False
        self._spans.sort()
        at = bisect_right(self._spans, (array.data.ptr, sys.maxsize)) - 1
        return at >= 0 and array.data.ptr < self._spans[at][1]


class GraphRecorder(Recorder):
    """Records what a graph lacks: what it depends on, and what changes between replays.

    Parameters
    ----------
    inputs
        Arrays that stand for the call's arguments.
    device
        The number of the one device that takes part.
    capturing
        Whether the graph is being made; else the call runs as always.
    fuse, first, early
        Whether chains become kernels, what was seen of them in the first call, and after which
        units links do not wait.
    """

    graph = True

    def __init__(
        self,
        inputs: list[Any],
        device: int,
        capturing: bool,
        fuse: bool = False,
        first: Any = None,
        early: Collection[int] = (),
    ) -> None:
        super().__init__(_NoLog(), fuse)
        self.device, self.capturing = device, capturing
        self.stream = 0  # that is captured
        self.units: list[tuple] = []
        self.lines: list[tuple[str, str, list, list]] = []  # operation, line, what it reads, makes
        self.boxes: list[Mailbox] = []
        self.sent: list[tuple[np.ndarray, Mailbox]] = []  # inputs in the host's memory
        self.undo: list[Callable[[], None]] = []
        self._inputs = {x.__array_interface__["data"][0]: x for x in inputs if _is_host(x)}
        self._uploads: dict[int, tuple] = {}  # of arrays from the host: what they are, bytes
        self._mirrors: dict[int, np.ndarray] = {}
        self._alone = 0
        self.chains = GraphChains(self, first, early) if fuse and (first or not capturing) else None

    # --- what the CPU's log is for ------------------------------------------------------------

    def open(self) -> None:
        """The stream notes everything."""

    def close(self) -> None:
        """The stream notes everything."""

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Leave out what happens inside: it has been seen to."""
        self._alone += 1
        try:
            with super().alone():
                yield
        finally:
            self._alone -= 1

    def refuse(self, what: str) -> None:
        """Give up: a call that runs normally goes on, a graph in the making is abandoned."""
        if self._alone:
            return
        if self.reason is None:
            self.reason = f"{what} at {users_line()}"
            self.inside = True
        if self.capturing:
            raise Refused

    # --- units --------------------------------------------------------------------------------

    def unit(self, name: str, function: Callable, *arguments: Any) -> Any:
        """Call ``function(*arguments)``; note what of it must be the same at a replay."""
        if self.inside:
            return function(*arguments)
        given = [_raw(x) for x in leaves(arguments)]
        for x in given:
            if _is_cuda(x) and x.data.device_id != self.device:
                self.refuse(f"{name} on a second device")
                with x.device:
                    return function(*arguments)
        if self.chains is not None:
            return self.chains.unit(name, function, arguments, given)
        return self.noted(name, function, arguments, given)

    def noted(self, name: str, function: Callable, arguments: tuple, given: list[Any]) -> Any:
        """Call a function, and take note of it as of a unit."""
        drawn = self.drawn_so_far()
        result = self._inside(name, function, arguments)
        if self.reason is None:
            self.took_down(name, given, result, drawn)
        return result

    def took_down(self, name: str, given: list[Any], result: Any, drawn: int) -> None:
        """Note what of a unit must be the same at a replay."""
        made = [_raw(x) for x in leaves(result)]
        changing = drawn != self.drawn_so_far() or any(_is_host(x) for x in given)
        if changing and any(_is_host(x) for x in made):
            self.refuse(f"{name} on the CPU")
        line = self.noted_later(name, given, made)
        reads, writes = ([_span(x) for x in some if _is_cuda(x)] for some in (given, made))
        self.lines.append((name, line, reads, writes))

    def noted_later(self, name: str, given: list[Any], made: list[Any]) -> str:
        """Take note of a unit that is done later; the user's line."""
        self.units.append((name, *_constants([*given, *made])))
        return users_line()

    @contextmanager
    def busy(self) -> Iterator[None]:
        """What happens inside is the recorder's own."""
        before, self.inside = self.inside, True
        try:
            yield
        finally:
            self.inside = before

    def launched(self, name: str, arguments: tuple) -> None:
        """Take note of a kernel that will be launched now."""
        if self.chains is not None and mode.switches.recorder is self:
            self.chains.launched(name, arguments)

    def allocated(self, start: int, size: int) -> None:
        """Take note of memory that the call gets."""
        self.k.made(start, size)
        if self.chains is not None:
            self.chains.allocated()

    def settle(self) -> None:
        """Queue what waits: something else uses the stream."""
        if self.chains is not None and not self.inside:
            self.chains.flush()

    def drawn_so_far(self) -> int:
        """How many blocks of random numbers the call has drawn."""
        return sum(stream.drawn for stream in self.streams.values())

    def _inside(self, name: str, function: Callable, arguments: tuple) -> Any:
        self.inside = True
        try:
            return function(*arguments)
        except RuntimeError as error:
            if not self.capturing or "captur" not in str(error):
                raise
            self.refuse(f"{name} waits for the device, or for the host ({error})")
        finally:
            self.inside = self.reason is not None
        return None

    def node(self, name: str, function: Callable, *arguments: Any) -> Any:
        """The same of what on the CPU Python does again: here the device can."""
        return self.unit(name, function, *arguments)

    def check(self, function: Callable, arguments: tuple) -> None:
        """CUDA does not look at values, which would wait for it."""

    def mark(self, name: str) -> None:
        """Name what is queued outside of units."""
        self.settle()
        self.lines.append((name, users_line(), [], []))

    # --- what changes from call to call -------------------------------------------------------

    def on_host(self, name: str, action: Callable[[], None]) -> None:
        """Do something at every replay that touches nothing but what the host keeps."""
        self.settle()
        if not self._alone:
            self.undo.append(_undoing(action))
            self.host.append(action)

    def reserved(self, generator: Any, offset: int, blocks: int) -> int:
        """Take note that `generator` set numbers aside; the offset, known to change."""
        known = generator in self.streams
        marked = super().reserved(generator, offset, blocks)
        if self.capturing and not known and generator in self.streams:
            stream = self.streams[generator]
            stream.base, stream.on_device = self.letter(stream.base)
        return marked

    def base_of(self, key: tuple[int, int]) -> Any:
        """The number that kernels add to offsets in the stream of this key."""
        seed = key[0] | key[1] << 32
        for stream in self.streams.values():
            if stream.seed == seed:
                return getattr(stream, "on_device", None)
        return None

    def letter(self, array: np.ndarray) -> tuple[np.ndarray, Any]:
        """Room in a mailbox, on the host and on the device."""
        found = self.boxes[-1].place(array) if self.boxes else None
        while found is None:
            with common_memory():
                self.boxes.append(Mailbox(1 << 16))
            found = self.boxes[-1].place(array)
        return found

    def upload(self, value: Any, dtype: Any, device: int) -> Any:
        """What comes from the host: an input, or what must be the same in every call."""
        self.settle()
        if device != self.device:
            self.refuse("a copy to a second device")
        if isinstance(value, np.ndarray) and value.size:
            given = self._inputs.get(value.__array_interface__["data"][0])
            if given is not None and (given.shape, given.strides) == (value.shape, value.strides):
                return self._input(given, dtype)
            if any(np.may_share_memory(value, x) for x in self._inputs.values()):
                self.refuse("a part of an input is copied to the device")
        value = np.array(value, dtype, order="C")
        if not self.capturing:
            array = cupy.asarray(value)
        elif value.nbytes <= _SMALL:
            host, array = self.letter(value)
            self._mirrors[array.data.ptr] = host
        else:
            array = self._sent_now(value)
        self.keep(array)
        if not self._alone:
            form = f"{value.shape} {value.dtype.str}".encode()
            self._uploads[array.data.ptr] = ("copies from the host", form + value.tobytes())
        return array

    def _input(self, given: np.ndarray, dtype: Any) -> Any:
        if not self.capturing:
            return cupy.asarray(given, dtype)
        boxes = [box for x, box in self.sent if x is given]
        if not boxes:
            with common_memory():
                boxes = [Mailbox(given.nbytes)]
            self.sent.append((given, boxes[0]))
            boxes[0].place(given)
        array = cupy.ndarray(given.shape, given.dtype, boxes[0].device.data)
        return array if dtype is None else array.astype(dtype, copy=False)

    def _sent_now(self, value: np.ndarray) -> Any:
        """A constant, which is on the device before the graph is."""
        with common_memory(), cupy.cuda.Stream(non_blocking=True) as aside:
            array = cupy.asarray(value)
            aside.synchronize()
        return array

    def live(self, array: Any) -> Any:
        """An array that the host writes before every replay; where it does."""
        if not _is_cuda(array):
            return array
        self._uploads.pop(array.data.ptr, None)
        return self._mirrors.get(array.data.ptr)

    def number(self, value: float) -> tuple[Any, np.ndarray | None]:
        """A number that the host writes anew before every replay; and the address it writes to."""
        if not self.capturing:
            return value, None
        host, array = self.letter(np.array(value, np.float64))
        return array, host

    # --- what the recording depends on --------------------------------------------------------

    def keep(self, array: Any) -> None:
        """Keep memory that was there before alive as long as the recording."""
        self.kept.append(array)

    def summary(self) -> list[tuple]:
        """What two recordings of the same call have in common."""
        return [*self.units, ("constants", *self._uploads.values())]


def _raw(x: Any) -> Any:
    return x.array if isinstance(x, Tensor) else x


def _is_host(x: Any) -> bool:
    return isinstance(x, np.ndarray) and x.ndim > 0


def _is_cuda(x: Any) -> bool:
    return isinstance(x, cupy.ndarray)


def _span(x: Any) -> tuple[int, int]:
    low, high = backend_for("cuda").byte_bounds(x) if x.size else (x.data.ptr, x.data.ptr)
    return low, high - low


def _constants(values: list[Any]) -> tuple[tuple, tuple]:
    """What must be the same in every call: the form of each array, and the numbers themselves."""
    forms: list[Any] = []
    numbers: list[Any] = []
    for x in values:
        if x.__class__ in BACKENDS:
            forms.append((x.shape, x.dtype.str))
        elif isinstance(x, float):
            numbers.append(struct.pack("d", x))
        elif isinstance(x, (bool, int, str)) and not isinstance(x, Offset):
            numbers.append(x)
        else:
            forms.append(type(x))
    return tuple(forms), tuple(numbers)


def _undoing(action: Callable) -> Callable[[], None]:
    """What brings the host's side of an action back to where it is now, before it."""
    if isinstance(action, functools.partial):  # a schedule's step
        owner = action.args[0]
    else:
        owner = getattr(action, "__self__", None) or getattr(action, "optimizer", None)
    was, groups = dict(owner.__dict__), []
    optimizer = was.get("optimizer", owner)
    groups = [(group, dict(group)) for group in getattr(optimizer, "param_groups", ())]
    arenas = [a for flat in getattr(optimizer, "_flats", ()) for a in flat.arenas]
    counted = [(a, a.steps, a.scalars, a.skipped, a.hyper) for a in arenas]

    def undo() -> None:
        owner.__dict__.update(was)
        for group, before in groups:
            group.update(before)
        for arena, *counts in counted:
            arena.steps, arena.scalars, arena.skipped, arena.hyper = counts

    return undo
