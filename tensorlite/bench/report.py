"""Tables of what was measured or counted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tensorlite.bench.comparison import OURS
from tensorlite.bench.counts import Counts
from tensorlite.bench.limits import Limits
from tensorlite.bench.ops import OPS
from tensorlite.bench.roofline import Point

Results = dict[str, dict[str, dict[str, Any]]]  # workload -> framework -> phase -> times


def steps_table(results: Results, peers: Sequence[str]) -> str:
    """Milliseconds a step, the ratio to each peer (below 1 is faster), and peak memory."""
    titles = ["step", "ms", "quartiles"]
    titles += [title for peer in peers for title in (f"{peer} ms", "ratio", "memory")]
    rows = []
    for name, found in results.items():
        ours = found[OURS]
        row = [name, _ms(ours["step"]["median"]), _spread(ours["step"])]
        for peer in peers:
            theirs = found[peer]
            row += [
                _ms(theirs["step"]["median"]),
                f"{ours['step']['median'] / theirs['step']['median']:.2f}",
                f"{ours['peak_bytes'] >> 20}/{theirs['peak_bytes'] >> 20} MB",
            ]
        rows.append(row if peers else [*row, f"{ours['peak_bytes'] >> 20} MB"])
    return _aligned([titles if peers else [*titles, "memory"], *rows])


def ops_table(results: Results, peers: Sequence[str], limits: Limits, itemsize: int) -> str:
    """Forward and backward milliseconds, rates, the part of the limit, ratios for both passes."""
    titles = ["operation", "pass", "ms", "GB/s", "GFLOP/s", "of limit"]
    rows = [titles + [f"of {peer}" for peer in peers]]
    for name, found in results.items():
        for point in points_of(name, found[OURS], itemsize):
            row = [
                name,
                point.label.rsplit(" ", 1)[1],
                _ms(point.seconds),
                f"{point.moved / point.seconds / 1e9:.1f}",
                f"{point.flops / point.seconds / 1e9:.1f}",
                f"{100 * point.part_of(limits):.0f} %",
            ]
            ratios = [found[OURS]["both"]["median"] / found[p]["both"]["median"] for p in peers]
            rows.append(row + ([f"{r:.2f}" for r in ratios] if row[1] == "backward" else []))
    head = (
        f"limits measured now: {limits.bandwidth / 1e9:.1f} GB/s (triad), "
        f"{limits.flops / 1e9:.0f} GFLOP/s (large matrix product)"
    )
    return f"{head}\n{_aligned(rows)}"


def points_of(name: str, times: dict[str, Any], itemsize: int) -> list[Point]:
    """The forward and the backward pass of an operation; the second is what both take but one."""
    operation = OPS[name]
    forward = times["forward"]["median"]
    seconds = forward, max(times["both"]["median"] - forward, 1e-9)
    return [
        Point(f"{name} {label}", operation.flops[i], operation.moved[i] * itemsize, seconds[i])
        for i, label in enumerate(("forward", "backward"))
    ]


def counts_table(counted: dict[str, Counts], least: dict[str, float]) -> str:
    """Launches, calls, bytes, copies and waits; no speeds."""
    rows = [["counts, not speeds", "launches", "calls", "bytes", "of least", "to host", "waits"]]
    for name, c in counted.items():
        of_least = f"{c.moved / least[name]:.2f}" if name in least else ""
        numbers = [c.launches, c.library_calls, f"{c.moved:,}", of_least, c.to_host, c.waits]
        rows.append([name, *map(str, numbers)])
    return _aligned(rows)


def _ms(seconds: float) -> str:
    return f"{seconds * 1e3:.3f}"


def _spread(phase: dict[str, Any]) -> str:
    low, high = phase["quartiles"]
    return f"{_ms(low)}–{_ms(high)}"


def _aligned(rows: list[list[str]]) -> str:
    """Columns as wide as they must be: the first to the left, the others to the right."""
    count = max(map(len, rows))
    rows = [row + [""] * (count - len(row)) for row in rows]
    widths = [max(len(row[i]) for row in rows) for i in range(count)]
    return "\n".join(
        "  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]).rstrip()
        for row in rows
    )
