"""The roofline picture (Williams, Waterman and Patterson 2009): speed over arithmetic intensity."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import numpy as np

from tensorlite import io
from tensorlite.bench.limits import Limits


class Point(NamedTuple):
    """One pass of an operation.

    Attributes
    ----------
    flops, moved
        Floating-point operations and bytes that it cannot do without.
    seconds
        What it took.
    """

    label: str
    flops: float
    moved: float
    seconds: float

    def part_of(self, limits: Limits) -> float:
        """Which part of the speed that the nearer limit allows was reached, from 0 to 1."""
        least = max(self.flops / limits.flops, self.moved / limits.bandwidth)
        return least / self.seconds


def _operation(point: Point) -> str:
    """The operation that a point is a pass of."""
    return point.label.rpartition(" ")[0]


def draw(points: list[Point], limits: Limits, path: Path, title: str) -> bool:
    """Write the picture as a PNG; return whether matplotlib is there to do it."""
    if find_spec("matplotlib") is None:
        return False
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 5), layout="constrained")
    axes = figure.add_subplot()
    intensity = np.geomspace(0.02, 400, 200)
    roof = np.minimum(intensity * limits.bandwidth, limits.flops)
    label = f"{limits.bandwidth / 1e9:.0f} GB/s, {limits.flops / 1e9:.0f} GFLOP/s, measured"
    axes.plot(intensity, roof / 1e9, color="black", label=label)
    colours = {name: f"C{i % 10}" for i, name in enumerate(dict.fromkeys(map(_operation, points)))}
    for i, point in enumerate(points):
        x, y = point.flops / point.moved, point.flops / point.seconds / 1e9
        name, forward = _operation(point), point.label.endswith("forward")
        # Ten colours, and after them the same again, filled no more.
        empty = list(colours).index(name) >= 10
        first = all(_operation(other) != name for other in points[:i])
        axes.plot(
            x,
            y,
            "o" if forward else "s",
            color=colours[name],
            markerfacecolor="none" if empty else colours[name],
            label=name if first else None,
        )
    axes.set(
        xscale="log",
        yscale="log",
        xlabel="floating-point operations per byte of least traffic; ○ forward, □ backward",
        ylabel="GFLOP/s",
        title=title,
    )
    axes.grid(alpha=0.3)
    figure.legend(loc="outside right center", fontsize=8)
    io.write_atomically(path, lambda name: figure.savefig(name, format="png", dpi=150))
    return True
