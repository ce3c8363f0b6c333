"""Recording on CUDA: a call becomes one CUDA graph, which later calls launch.

Stream capture records everything queued on the stream: tensorlite's kernels, CuPy's, products and
copies. So units need not be checked by running them again, as on the CPU. Two things remain.
Numbers that change from call to call would be frozen in a graph, so they lie in a `Mailbox`, which
a replay fills and sends before the launch. And the first call, which runs normally, is compared
with the second, of which the graph is made.
"""

from __future__ import annotations

import contextlib
import functools
import struct
import sys
from bisect import bisect_right
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import cupy
import numpy as np

from tensorlite.backend import BACKENDS, HOST, backend_for
from tensorlite.debug import users_line
from tensorlite.recording.recorder import Offset, Recorder
from tensorlite.recording.recording import Line, Output, Recording
from tensorlite.recording.trees import leaves, mapped
from tensorlite.tape import mode, note_write_at
from tensorlite.tensor import Tensor, tensor_of

_UNIT = 512  # bytes: CuPy's pool gives out multiples of it
_LETTER = 256  # bytes that a number in a mailbox is aligned to, which is enough for any kernel
_SMALL = 1 << 12  # bytes up to which what comes from the host is sent again at each replay
_RING = 4  # replays that may be under way before the host waits for the first


class Refused(BaseException):
    """Leaves a call whose graph is being made, past any ``except Exception`` of the user's."""


class Mailbox:
    """Host memory that is written before a replay, and its copy on the device, read by kernels.

    It is sent through one of several pieces of pinned memory, so the host need not wait until the
    device has read the previous one.
    """

    def __init__(self, size: int) -> None:
        self.host = np.zeros(size, np.uint8)
        self.device = cupy.empty(size, np.uint8)
        self.used = 0
        self._pinned: list[Any] = [None] * _RING
        self._read: list[Any] = [None] * _RING
        self._next = 0
        self._sent: bytes | None = None

    def place(self, array: np.ndarray) -> tuple[np.ndarray, Any] | None:
        """Room for an array, with its values, on the host and on the device; None: it is full."""
        start = -(-self.used // _LETTER) * _LETTER
        end = start + array.nbytes
        if end > self.host.size:
            return None
        self.used = end
        host = self.host[start:end].view(array.dtype).reshape(array.shape)
        host[...] = array
        return host, cupy.ndarray(array.shape, array.dtype, self.device.data + start)

    def send_news(self, stream: Any) -> None:
        """Queue the copy to the device, if anything has changed since the last."""
        content = self.host[: self.used].tobytes()
        if content != self._sent:
            self.send(stream)
            self._sent = content

    def send(self, stream: Any) -> None:
        """Queue the copy to the device."""
        i = self._next
        self._next = (i + 1) % _RING
        if self._pinned[i] is None:
            self._pinned[i] = cupy.cuda.alloc_pinned_memory(self.host.size)
            self._read[i] = cupy.cuda.Event(disable_timing=True)
        else:
            self._read[i].synchronize()
        pinned = self._pinned[i]
        np.frombuffer(pinned, np.uint8, self.used)[...] = self.host[: self.used]
        self.device.data.copy_from_host_async(pinned.ptr, self.used, stream)
        self._read[i].record(stream)


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
    """

    graph = True

    def __init__(self, inputs: list[Any], device: int, capturing: bool) -> None:
        super().__init__(_NoLog())
        self.device, self.capturing = device, capturing
        self.units: list[tuple] = []
        self.lines: list[tuple[str, str, list, list]] = []  # operation, line, what it reads, makes
        self.boxes: list[Mailbox] = []
        self.sent: list[tuple[np.ndarray, Mailbox]] = []  # inputs in the host's memory
        self.undo: list[Callable[[], None]] = []
        self._inputs = {x.__array_interface__["data"][0]: x for x in inputs if _is_host(x)}
        self._uploads: dict[int, tuple] = {}  # of arrays from the host: what they are, bytes
        self._mirrors: dict[int, np.ndarray] = {}
        self._alone = 0

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
        drawn = self._drawn_so_far()
        result = self._inside(name, function, arguments)
        if self.reason is None:
            made = [_raw(x) for x in leaves(result)]
            changing = drawn != self._drawn_so_far() or any(_is_host(x) for x in given)
            if changing and any(_is_host(x) for x in made):
                self.refuse(f"{name} on the CPU")
            self.units.append((name, *_constants([*given, *made])))
            reads, writes = ([_span(x) for x in some if _is_cuda(x)] for some in (given, made))
            self.lines.append((name, users_line(), reads, writes))
        return result

    def _drawn_so_far(self) -> int:
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
        self.lines.append((name, users_line(), [], []))

    # --- what changes from call to call -------------------------------------------------------

    def on_host(self, name: str, action: Callable[[], None]) -> None:
        """Do something at every replay that touches nothing but what the host keeps."""
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
            with _common_memory():
                self.boxes.append(Mailbox(1 << 16))
            found = self.boxes[-1].place(array)
        return found

    def upload(self, value: Any, dtype: Any, device: int) -> Any:
        """What comes from the host: an input, or what must be the same in every call."""
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
            with _common_memory():
                boxes = [Mailbox(given.nbytes)]
            self.sent.append((given, boxes[0]))
            boxes[0].place(given)
        array = cupy.ndarray(given.shape, given.dtype, boxes[0].device.data)
        return array if dtype is None else array.astype(dtype, copy=False)

    def _sent_now(self, value: np.ndarray) -> Any:
        """A constant, which is on the device before the graph is."""
        with _common_memory(), cupy.cuda.Stream(non_blocking=True) as aside:
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


def _common_memory() -> Any:
    """Context manager: no memory of the graph's own, of which what is freed is used again."""
    return cupy.cuda.using_allocator(cupy.get_default_memory_pool().malloc)


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


# --- recordings -----------------------------------------------------------------------------------


class Graph(NamedTuple):
    """A graph, and what it does not keep alive itself."""

    graph: Any
    stream: Any
    pool: Any
    workspace: Any


class GraphRecording(Recording):
    """What one call of a captured function did, as a CUDA graph.

    Attributes
    ----------
    memory : tuple of int
        Bytes of the temporaries, and of the memory that they share.
    """

    _recorder: GraphRecorder

    def __init__(self, recorder: GraphRecorder, inputs: list[Any], name: str, made: Graph) -> None:
        super().__init__(recorder, inputs, name)
        self._made = made
        self._index = recorder.device
        self._last: Any = None  # the stream of the last launch, and its end
        self._ended = cupy.cuda.Event(disable_timing=True)
        self._rooms: list[list[Any]] = []

    def finish(self) -> None:
        """Find the Tensors it depends on; call this when the call's own objects are gone."""
        super().finish()
        self._rooms = [[] for _ in self._outputs]
        self.memory = self._recorder.k.asked, self._made.pool.total_bytes()

    def replay(self, inputs: list[Any]) -> Any:
        """Launch again over other inputs; return what the function returned, with new values."""
        if cupy.cuda.runtime.getDevice() != self._index:
            with cupy.cuda.Device(self._index):
                return self.replay(inputs)
        recorder = self._recorder
        stream = cupy.cuda.get_current_stream()
        if self._last is not None and self._last.ptr != stream.ptr:
            self._ended.record(self._last)
            stream.wait_event(self._ended)
        backend = backend_for("cuda")
        for to, x in zip(self._inputs, inputs, strict=True):
            (HOST if isinstance(to, np.ndarray) else backend).write(to, x)
        for x, box in recorder.sent:
            box.host.view(x.dtype)[: x.size].reshape(x.shape)[...] = x
        for t, needed, grad in self._entries:
            if needed:
                grad = t.grad_buffer if grad is None else grad
                if t.grad is not grad:
                    backend.write(grad.array, t.grad.array)
                    t.grad = grad
        for each in recorder.streams.values():
            each.advance()
        for action in recorder.host:
            action()
        profile = mode.switches.profile
        if profile is not None:  # one launch: what is inside only the device knows
            return profile.operation(f"replay of {self.name}", self._inputs, self.launch, stream)
        return self.launch(stream)

    def first(self) -> Any:
        """Launch for the call that was recorded; its host's part has been done."""
        returned = self.launch(cupy.cuda.get_current_stream())
        self.replays = 0
        return returned

    def launch(self, stream: Any) -> Any:
        """Send the numbers, launch, and hand out the results."""
        recorder = self._recorder
        for box in recorder.boxes:
            box.send_news(stream)
        for _, box in recorder.sent:
            box.send(stream)
        self._made.graph.launch(stream)
        self._last = stream
        self._give_gradients()
        for bounds in recorder.written:
            note_write_at(bounds)
        self.replays += 1
        return mapped(self._result, self._returned)

    def _returned(self, x: Any) -> Any:
        if not isinstance(x, int) or type(x) in (int, bool):
            return x
        array = self._outputs[x]
        if isinstance(array, np.ndarray):
            own = array.copy()
        else:
            own = self._room(x, array)
            own.data.copy_from_device_async(array.data, array.nbytes)
        return tensor_of(own) if isinstance(x, Output) else own

    def _room(self, i: int, like: Any) -> Any:
        """An array for a result: an earlier one that nothing refers to any more, or a new one."""
        rooms = self._rooms[i]
        for room in rooms:
            if sys.getrefcount(room) == _ALONE and sys.getrefcount(room.data.mem) == _MEMORY_ALONE:
                return room
        room = cupy.ndarray(like.shape, like.dtype)
        if len(rooms) < _RING:
            rooms.append(room)
        return room

    def __del__(self) -> None:
        with contextlib.suppress(Exception):  # at Python's end
            if self._last is not None:
                self._last.synchronize()  # the graph may be running

    def plan(self) -> None:
        """CuPy's pool has planned it: what was freed in the call was used again."""

    def summary(self) -> list[tuple]:
        """What two recordings of the same call have in common."""
        return self._recorder.summary()

    def lines(self) -> list[Line]:
        """Its operations in order; each may be several launches."""
        return [
            Line(n, n, at, reads, makes, [], False) for n, at, reads, makes in self._recorder.lines
        ]


def _counts_alone() -> tuple[int, int]:
    """Reference counts of an array in a list, and of its memory, if nothing else refers to them."""
    rooms = [cupy.empty(1, np.uint8)]
    for room in rooms:
        found = sys.getrefcount(room), sys.getrefcount(room.data.mem)
    return found


_ALONE, _MEMORY_ALONE = _counts_alone()
