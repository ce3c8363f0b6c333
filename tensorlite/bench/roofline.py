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


def draw(points: list[Point], limits: Limits, path: Path, title: str) -> bool:
    """Write the picture as a PNG; return whether matplotlib is there to do it."""
    if find_spec("matplotlib") is None:
        return False
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 5), layout="constrained")
    axes = figure.add_subplot()
    intensity = np.geomspace(0.02, 400, 200)
    roof = np.minimum(intensity * limits.bandwidth, limits.flops)
    label = f"{limits.bandwidth / 1e9:.0f} GB/s, {limits.flops / 1e9:.0f} GFLOP/s, measured"
    axes.plot(intensity, roof / 1e9, color="black", label=label)
    for point in points:
        x, y = point.flops / point.moved, point.flops / point.seconds / 1e9
        axes.plot(x, y, "o" if point.label.endswith("forward") else "s", markersize=5)
        axes.annotate(point.label, (x, y), (4, 4), textcoords="offset points", fontsize=7)
    axes.set(
        xscale="log",
        yscale="log",
        xlabel="floating-point operations a byte of least traffic",
        ylabel="GFLOP/s",
        title=title,
    )
    axes.grid(alpha=0.3)
    axes.legend()
    io.write_atomically(path, lambda name: figure.savefig(name, format="png", dpi=150))
    return True
