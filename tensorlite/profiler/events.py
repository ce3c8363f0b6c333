"""What a profile has seen: events, their averages, a table, a trace file."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable
from typing import Any


class Event:
    """One thing that took time; times are in nanoseconds.

    Attributes
    ----------
    name, operation
        What ran; of a captured step's kernel the operation that it belongs to, too.
    start, end
        By ``time.perf_counter_ns``.
    source : str or None
        The user's line, as ``file:line``.
    input_shapes : list of tuple
        Of the arrays that it read.
    nbytes : int
        Bytes of the arrays that it read and wrote, each counted once.
    device : tuple of int or None
        When it began and ended on the CUDA device, on the host's clock.
    annotation : bool
        Whether it was named by `record_function`, not by an operation.
    thread : int
        The thread it ran in.

    Examples
    --------
    >>> with tl.profiler.profile() as prof:
    ...     y = model(x)
    >>> event = prof.events()[0]
    >>> event.cpu_time_total >= event.self_cpu_time_total > 0
    True
    >>> event.device_time_total, event.self_device_time_total
    (0.0, 0.0)
    """

    def __init__(self, name: str, start: int, source: str | None, thread: int) -> None:
        self.name = self.operation = name
        self.start = self.end = start
        self.source, self.thread = source, thread
        self.input_shapes: list[tuple[int, ...]] = []
        self.nbytes, self.inner, self.device_inner = 0, 0, 0  # inner: what children took
        self.device: tuple[int, int] | None = None
        self.marks: Any = None  # of CUDA, until the profile ends
        self.annotation = False
        self.parent: Event | None = None

    @property
    def cpu_time_total(self) -> float:
        """Microseconds on the host."""
        return (self.end - self.start) / 1e3

    @property
    def self_cpu_time_total(self) -> float:
        """Microseconds on the host without those of events inside."""
        return (self.end - self.start - self.inner) / 1e3

    @property
    def device_time_total(self) -> float:
        """Microseconds on the CUDA device; 0 without one."""
        return self.self_device_time_total + self.device_inner / 1e3

    @property
    def self_device_time_total(self) -> float:
        """Microseconds on the CUDA device without those of events inside."""
        return 0.0 if self.device is None else (self.device[1] - self.device[0]) / 1e3

    def __repr__(self) -> str:
        return f"<Event {self.name}: {_time(self.cpu_time_total)}>"


class Average:
    """Events of one kind, added up.

    Parameters
    ----------
    shapes : list
        Of the inputs, where they were told apart by them.

    Attributes
    ----------
    key : str
        Their name.
    count : int
        How many there were.
    cpu_time_total, self_cpu_time_total, device_time_total, self_device_time_total : float
        Microseconds of all; `cpu_time` and `device_time` are those of one.
    nbytes : int
        Bytes that they read and wrote.
    input_shapes, stack : list
        Where they were told apart by them.

    Examples
    --------
    >>> with tl.profiler.profile() as prof:
    ...     y = model(x)
    >>> average = prof.key_averages()[0]
    >>> average.add(average)
    >>> average.cpu_time > 0, average.device_time
    (True, 0.0)
    """

    def __init__(self, key: str, shapes: list, stack: list[str]) -> None:
        self.key, self.input_shapes, self.stack = key, shapes, stack
        self.count, self.nbytes = 0, 0
        self.cpu_time_total = self.self_cpu_time_total = 0.0
        self.device_time_total = self.self_device_time_total = 0.0
        self.is_user_annotation = False

    def add(self, event: Any) -> None:
        """Count an event, or another average's.

        Parameters
        ----------
        event : Event or Average
        """
        self.count += getattr(event, "count", 1)
        self.nbytes += event.nbytes
        self.is_user_annotation |= getattr(event, "annotation", False)
        for name in _TIMES:
            setattr(self, name, getattr(self, name) + getattr(event, name))

    @property
    def cpu_time(self) -> float:
        """Microseconds of one on the host."""
        return self.cpu_time_total / max(self.count, 1)

    @property
    def device_time(self) -> float:
        """Microseconds of one on the CUDA device."""
        return self.device_time_total / max(self.count, 1)

    def __repr__(self) -> str:
        return f"<{self.key}: {self.count} calls, {_time(self.self_cpu_time_total)}>"


_TIMES = ("cpu_time_total", "self_cpu_time_total", "device_time_total", "self_device_time_total")
_SORTABLE = (*_TIMES, "cpu_time", "device_time", "count", "nbytes")


class EventList(list):
    """Events or averages of them.

    Parameters
    ----------
    iterable : iterable of Event or Average

    Examples
    --------
    >>> with tl.profiler.profile() as prof:
    ...     y = model(x)
    >>> events = prof.events()
    >>> events.key_averages().total_average().count == len(events)
    True
    >>> events.self_cpu_time_total > 0, "Name" in events.table() or len(events.table()) > 0
    (True, True)
    >>> events.export_chrome_trace("trace.json")
    """

    def key_averages(
        self, group_by_input_shapes: bool = False, group_by_stack_n: int = 0
    ) -> EventList:
        """Events of one name added up; told apart by shapes and by the user's line, if asked.

        Parameters
        ----------
        group_by_input_shapes : bool
        group_by_stack_n : int
            Above 0 for the line.
        """
        found: dict[Any, Average] = {}
        for event in self:
            shapes = event.input_shapes if group_by_input_shapes else []
            stack = [event.source] if group_by_stack_n and event.source else []
            key = (event.name, *map(tuple, shapes), *stack)
            if key not in found:
                found[key] = Average(event.name, shapes, stack)
            found[key].add(event)
        return EventList(found.values())

    def total_average(self) -> Average:
        """All added up, as one."""
        total = Average("Total", [], [])
        for event in self:
            total.add(event)
        return total

    @property
    def self_cpu_time_total(self) -> float:
        """Microseconds on the host."""
        return sum(event.self_cpu_time_total for event in self)

    def table(
        self,
        sort_by: str | None = None,
        row_limit: int = 100,
        max_src_column_width: int = 75,
        max_name_column_width: int = 55,
        max_shapes_column_width: int = 80,
        header: str | None = None,
    ) -> str:
        """Averages as a table.

        Parameters
        ----------
        sort_by : str, optional
            ``"cpu_time_total"``, ``"self_cpu_time_total"``, ``"device_time_total"``,
            ``"self_device_time_total"``, ``"cpu_time"``, ``"device_time"``, ``"count"`` or
            ``"nbytes"``, the largest first. By default as they first came.
        row_limit : int
            The most rows; -1 for all.
        max_src_column_width, max_name_column_width, max_shapes_column_width : int
            Longer texts are cut.
        header : str, optional
            A line above.

        Raises
        ------
        ValueError
            If `sort_by` is none of these.
        """
        averages = self if all(isinstance(a, Average) for a in self) else self.key_averages()
        total_host = averages.self_cpu_time_total
        total_device = sum(average.self_device_time_total for average in averages)
        rows = list(averages)
        if sort_by is not None:
            name = sort_by.replace("cuda", "device")
            if name not in _SORTABLE:
                raise ValueError(f"table(): sort_by={sort_by!r} is none of {', '.join(_SORTABLE)}")
            rows.sort(key=lambda average: getattr(average, name), reverse=True)
        columns = _columns(rows, total_host, total_device)
        limits = {
            "Name": max_name_column_width,
            "Input Shapes": max_shapes_column_width,
            "Source Location": max_src_column_width,
        }
        cells = [
            [_cut(show(row), limits.get(title)) for title, show in columns]
            for row in rows[: None if row_limit < 0 else row_limit]
        ]
        text = _lined_up([title for title, _ in columns], cells, header)
        text += f"\nSelf CPU time total: {_time(total_host)}"
        if total_device:
            text += f"\nSelf CUDA time total: {_time(total_device)}"
        return text + "\n"

    def export_chrome_trace(self, path: str | os.PathLike) -> None:
        """Write events as a file for ``chrome://tracing`` or https://ui.perfetto.dev.

        Parameters
        ----------
        path : path
            Of the file.
        """
        process = os.getpid()
        rows: list[dict[str, Any]] = []
        for event in self:
            told: dict[str, Any] = {"Bytes": event.nbytes}
            if event.source:
                told["Source"] = event.source
            if event.input_shapes:
                told["Input Dims"] = event.input_shapes
            if event.operation != event.name:
                told["Operation"] = event.operation
            common = {"ph": "X", "name": event.name, "pid": process, "args": told}
            rows.append(
                {
                    **common,
                    "cat": "user_annotation" if event.annotation else "cpu_op",
                    "tid": event.thread,
                    "ts": event.start / 1e3,
                    "dur": (event.end - event.start) / 1e3,
                }
            )
            if event.device is not None:
                start, end = event.device
                on_device = {"cat": "kernel", "tid": "CUDA", "ts": start / 1e3}
                rows.append({**common, **on_device, "dur": (end - start) / 1e3})
        trace = {"schemaVersion": 1, "displayTimeUnit": "ms", "traceEvents": rows}
        with open(path, "w") as file:
            json.dump(trace, file)


# --- tables -------------------------------------------------------------------------------------


def _columns(
    rows: list[Average], host: float, device: float
) -> list[tuple[str, Callable[[Average], str]]]:
    found: list[tuple[str, Callable[[Average], str]]] = [
        ("Name", lambda row: row.key),
        ("Self CPU %", lambda row: _share(row.self_cpu_time_total, host)),
        ("Self CPU", lambda row: _time(row.self_cpu_time_total)),
        ("CPU total %", lambda row: _share(row.cpu_time_total, host)),
        ("CPU total", lambda row: _time(row.cpu_time_total)),
        ("CPU time avg", lambda row: _time(row.cpu_time)),
    ]
    if device:
        found += [
            ("Self CUDA", lambda row: _time(row.self_device_time_total)),
            ("Self CUDA %", lambda row: _share(row.self_device_time_total, device)),
            ("CUDA total", lambda row: _time(row.device_time_total)),
            ("CUDA time avg", lambda row: _time(row.device_time)),
        ]
    found += [
        ("# of Calls", lambda row: str(row.count)),
        ("Bytes", lambda row: _bytes(row.nbytes)),
    ]
    if any(row.input_shapes for row in rows):
        found.append(("Input Shapes", lambda row: str([list(s) for s in row.input_shapes])))
    if any(row.stack for row in rows):
        found.append(("Source Location", lambda row: ", ".join(row.stack)))
    return found


def _lined_up(titles: list[str], cells: list[list[str]], header: str | None) -> str:
    widths = [max(map(len, column)) for column in zip(titles, *cells, strict=True)]
    line = "  ".join("-" * width for width in widths)
    left = {"Name", "Source Location", "Input Shapes"}

    def row(parts: Iterable[str]) -> str:
        aligned = [
            part.ljust(width) if title in left else part.rjust(width)
            for part, width, title in zip(parts, widths, titles, strict=True)
        ]
        return "  ".join(aligned).rstrip()

    above = [] if header is None else ["=" * len(line), header]
    return "\n".join([*above, line, row(titles), line, *map(row, cells), line])


def _cut(text: str, width: int | None) -> str:
    return text if width is None or len(text) <= width else "..." + text[3 - width :]


def _share(part: float, whole: float) -> str:
    return f"{100 * part / whole:.2f}%" if whole else "-"


def _time(microseconds: float) -> str:
    for size, unit in ((1e6, "s"), (1e3, "ms")):
        if microseconds >= size:
            return f"{microseconds / size:.3f}{unit}"
    return f"{microseconds:.3f}us"


def _bytes(count: int) -> str:
    for size, unit in ((1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")):
        if count >= size:
            return f"{count / size:.2f} {unit}"
    return f"{count} B"
