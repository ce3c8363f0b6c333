"""Tables of what was measured or counted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tensorlite.bench.comparison import OURS
from tensorlite.bench.counts import Counts
from tensorlite.bench.host_time import HostTime
from tensorlite.bench.limits import Limits
from tensorlite.bench.ops import OPS
from tensorlite.bench.roofline import Point

Results = dict[str, dict[str, dict[str, Any]]]  # workload -> framework -> phase -> times

PASSES = ("forward", "backward")
NOTHING = 0.05  # of both passes: a difference of two times that is no larger tells nothing


def steps_table(results: Results, peers: Sequence[str]) -> str:
    """Milliseconds a step, the ratio to each peer (below 1 is faster), and peak memory."""
    return _aligned(steps_rows(results, peers))


def steps_rows(results: Results, peers: Sequence[str]) -> list[list[str]]:
    """The lines of `steps_table`, the titles first."""
    titles = ["step", "ms", "quartiles", "MB"]
    titles += [title for peer in peers for title in (f"{peer} ms", "ratio", "MB")]
    rows = []
    for name, found in results.items():
        ours = found[OURS]
        row = [name, _ms(ours["step"]["median"]), _quartiles(ours["step"]), _megabytes(ours)]
        for peer in peers:
            row += [*_beside(ours, found[peer], "step"), _megabytes(found[peer])]
        rows.append(row)
    return [titles, *rows]


def ops_table(results: Results, peers: Sequence[str], limits: Limits, itemsize: int) -> str:
    """Each pass: milliseconds, rates, the part of the limit, and the ratio to each peer."""
    return f"{limits_line(limits)}\n{_aligned(ops_rows(results, peers, limits, itemsize))}"


def limits_line(limits: Limits) -> str:
    """What the machine can do at best."""
    return (
        f"limits measured now: {limits.bandwidth / 1e9:.1f} GB/s, "
        f"{limits.flops / 1e9:.0f} GFLOP/s (large matrix product)"
    )


def ops_rows(
    results: Results, peers: Sequence[str], limits: Limits, itemsize: int
) -> list[list[str]]:
    """The lines of `ops_table`, the titles first."""
    titles = ["operation", "ms", "quartiles", "GB/s", "GFLOP/s", "of limit"]
    rows = [titles + [title for peer in peers for title in (f"{peer} ms", "ratio")]]
    for name, found in results.items():
        ours = found[OURS]
        for phase in (*PASSES, "both"):
            row = [f"{name} {phase}", _ms(ours[phase]["median"]), _quartiles(ours[phase])]
            row += _rates(_point(name, phase, ours, itemsize), limits)
            rows.append(row + [x for peer in peers for x in _beside(ours, found[peer], phase)])
    return rows


def points_of(results: Results, itemsize: int) -> list[Point]:
    """The passes of all operations, as far as they can be timed."""
    found = [
        _point(name, phase, of[OURS], itemsize) for name, of in results.items() for phase in PASSES
    ]
    return [point for point in found if point is not None]


def _point(name: str, phase: str, times: dict[str, Any], itemsize: int) -> Point | None:
    """One pass; None for both together, and for one whose work the other pass does."""
    seconds = times[phase]["median"]
    if phase not in PASSES or seconds < NOTHING * times["both"]["median"]:
        return None
    i = PASSES.index(phase)
    operation = OPS[name]
    return Point(f"{name} {phase}", operation.flops[i], operation.moved[i] * itemsize, seconds)


def _rates(point: Point | None, limits: Limits) -> list[str]:
    """GB/s, GFLOP/s, and the part of the limit."""
    if point is None:
        return ["", "", ""]
    rates = [point.moved / point.seconds / 1e9, point.flops / point.seconds / 1e9]
    return [*(f"{rate:.1f}" for rate in rates), f"{100 * point.part_of(limits):.0f} %"]


def counts_table(counted: dict[str, Counts]) -> str:
    """Launches, calls, bytes, copies and waits; no speeds."""
    titles = ["counts, not speeds", "launches", "calls", "bytes", "of least"]
    rows = [[*titles, "to host", "to device", "waits"]]
    for name, c in counted.items():
        numbers = [c.launches, c.library_calls, f"{c.moved:,}", f"{c.moved / c.least:.2f}"]
        rows.append([name, *map(str, [*numbers, c.to_host, c.to_device, c.waits])])
    return _aligned(rows)


def host_table(measured: dict[str, HostTime]) -> str:
    """Milliseconds of the host per step, and microseconds per call of the device."""
    rows = [["host time", "median ms", "best ms", "calls", "µs per call"]]
    for name, t in measured.items():
        calls = ["", ""] if not t.calls else [str(t.calls), f"{1e3 * t.median / t.calls:.1f}"]
        rows.append([name, f"{t.median:.3f}", f"{t.best:.3f}", *calls])
    return _aligned(rows)


def _beside(ours: dict[str, Any], theirs: dict[str, Any], phase: str) -> list[str]:
    """A peer's milliseconds, and what part of them we take."""
    a, b = ours[phase]["median"], theirs[phase]["median"]
    return [_ms(b), f"{max(a, 0) / b:.2f}" if b > 0 else ""]


def _ms(seconds: float) -> str:
    return f"{seconds * 1e3:.3f}"


def _quartiles(phase: dict[str, Any]) -> str:
    low, high = phase["quartiles"]
    return f"{_ms(low)}–{_ms(high)}"


def _megabytes(times: dict[str, Any]) -> str:
    return str(times["peak_bytes"] >> 20)


def _aligned(rows: list[list[str]]) -> str:
    """Columns as wide as they must be: the first to the left, the others to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]).rstrip()
        for row in rows
    )
