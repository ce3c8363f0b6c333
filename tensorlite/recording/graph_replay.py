"""The recording that a CUDA graph is: later calls fill its inputs, launch it, and copy results."""

from __future__ import annotations

import contextlib
import sys
from typing import Any, NamedTuple

import cupy
import numpy as np

from tensorlite.backend import HOST, backend_for
from tensorlite.recording.graph import GraphRecorder
from tensorlite.recording.mailbox import RING
from tensorlite.recording.recording import Output, Recording
from tensorlite.recording.shown import Line
from tensorlite.recording.trees import mapped
from tensorlite.tape import mode, note_write_at
from tensorlite.tensor import tensor_of


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

    def _finish(self) -> None:
        """Find the Tensors it depends on; call this when the call's own objects are gone."""
        super()._finish()
        self._rooms = [[] for _ in self._outputs]
        self.memory = self._recorder.k.asked, self._made.pool.total_bytes()
        chains = self._recorder.chains
        self.unfused = chains.unfused if chains is not None else ""

    def _replay(self, inputs: list[Any]) -> Any:
        """Launch again over other inputs; return what the function returned, with new values."""
        if cupy.cuda.runtime.getDevice() != self._index:
            with cupy.cuda.Device(self._index):
                return self._replay(inputs)
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
        if len(rooms) < RING:
            rooms.append(room)
        return room

    def __del__(self) -> None:
        with contextlib.suppress(Exception):  # at Python's end
            if self._last is not None:
                self._last.synchronize()  # the graph may be running

    def _plan(self) -> None:
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
