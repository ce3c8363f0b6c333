"""What a profile takes note of: the side that the engine talks to."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from time import perf_counter_ns
from typing import Any

import numpy as np

from tensorlite.backend import array_backend, is_array
from tensorlite.debug import users_line
from tensorlite.profiler.events import Event
from tensorlite.tensor import Tensor


class Watch:
    """Events that are open and those that are over, of one thread.

    Parameters
    ----------
    with_stack : bool
        Whether to remember the user's lines.
    record_shapes : bool
        Whether to remember the shapes of what operations read.
    cuda : bool
        Whether to time operations on a GPU there, too.
    """

    def __init__(self, with_stack: bool, record_shapes: bool, cuda: bool) -> None:
        self.with_stack, self.record_shapes, self.cuda = with_stack, record_shapes, cuda
        self._events: list[Event] = []
        self._open: list[Event] = []
        self._inside = False  # an operation is running: what it calls is part of it
        self._source: str | None = None  # of the node that backward is at
        self._origin: Any = None  # an event of CUDA, and when that was

    def open(self, name: str, source: str | None = None) -> Event:
        """Begin an event, inside those that are open."""
        event = Event(name, perf_counter_ns(), source, threading.get_ident())
        event.parent = self._open[-1] if self._open else None
        self._events.append(event)
        self._open.append(event)
        return event

    def close(self, event: Event) -> None:
        """End an event, and those inside that an error left open."""
        event.end = perf_counter_ns()
        while self._open and self._open.pop() is not event:
            pass
        if event.parent is not None:
            event.parent.inner += event.end - event.start

    def operation(self, name: str, arguments: Any, function: Callable, *args: Any) -> Any:
        """Call ``function(*args)``, an operation that reads `arguments`."""
        if self._inside:
            return function(*args)
        source, self._source = self._source, None
        if source is None and self.with_stack:
            source = users_line()
        self._inside = True
        arrays = list(_arrays(arguments))
        event = self.open(name, source)
        marks = self._marks(arrays)
        try:
            result = function(*args)
        finally:
            if marks is not None:
                marks[1].record()
                event.marks = marks
            self.close(event)
            self._inside = False
        event.nbytes = _nbytes([*arrays, *_arrays(result)])
        if self.record_shapes:
            event.input_shapes = [tuple(x.shape) for x in arrays]
        return result

    def rule(self, node: Any) -> str:
        """The name of a node's gradient rule, which is to be called next."""
        self._source = node.source
        return f"{node.plan.name}_backward"

    def quietly(self, function: Callable, *args: Any) -> Any:
        """Call ``function(*args)`` without looking."""
        before, self._inside = self._inside, True
        try:
            return function(*args)
        finally:
            self._inside = before

    def replayed(self, lines: list[Any], start: int, times: np.ndarray) -> None:
        """Take note of a recording's calls and of when they began, in ns after `start`."""
        parent = self._open[-1] if self._open else None
        bounds = (start + times).tolist()
        thread = threading.get_ident()
        for line, begin, end in zip(lines, bounds, bounds[1:], strict=False):
            event = Event(line.name, begin, line.source or None, thread)
            event.operation, event.end, event.parent = line.operation, end, parent
            event.nbytes = sum(size for _, size in {*line.reads, *line.writes})
            self._events.append(event)
            if parent is not None:
                parent.inner += end - begin

    # --- CUDA --------------------------------------------------------------------------------

    def _marks(self, arrays: list[Any]) -> Any:
        """Two events of CUDA, of which the first is in the stream; None without a GPU."""
        first = next((x for x in arrays if not isinstance(x, (np.ndarray, np.generic))), None)
        if not self.cuda or first is None:
            return None
        events = array_backend((first,)).xp.cuda
        if self._origin is None:
            origin = events.Event()
            origin.record()
            origin.synchronize()
            self._origin = origin, perf_counter_ns()
        pair = events.Event(), events.Event()
        pair[0].record()
        return *pair, events

    def read_marks(self) -> None:
        """Wait for the GPU, and take over the times that it has measured."""
        seen = [event for event in self._events if event.marks is not None]
        for event in seen:
            start, end, cuda = event.marks
            end.synchronize()
            origin, when = self._origin
            begin, stop = (
                when + round(1e6 * cuda.get_elapsed_time(origin, mark)) for mark in (start, end)
            )
            event.device, event.marks = (begin, stop), None
            parent = event.parent
            while parent is not None:  # a block took, on the device, what its operations took
                parent.device_inner += stop - begin
                parent = parent.parent
        self._origin = None


def _arrays(item: Any) -> Iterator[Any]:
    """The arrays in nested tuples, lists and Tensors."""
    if isinstance(item, Tensor):
        yield item.array
    elif is_array(item):
        yield item
    elif isinstance(item, (tuple, list)):
        for part in item:
            yield from _arrays(part)


def _nbytes(arrays: list[Any]) -> int:
    return sum({id(x): int(x.nbytes) for x in arrays}.values())
