"""Curves of the losses: one line of characters in the terminal, and a picture."""

from __future__ import annotations

import math
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from tensorlite import io

BARS = "▁▂▃▄▅▆▇█"
WIDTH = 60


def sparkline(values: Sequence[float]) -> str:
    """Draw values as bars of eight heights, logarithmically if they are positive.

    Losses fall by orders of magnitude: on a linear scale all but the first epochs would look alike.
    """
    if len(values) > WIDTH:
        values = [values[i * len(values) // WIDTH] for i in range(WIDTH)]
    if min(values) > 0:
        values = [math.log(value) for value in values]
    low, high = min(values), max(values)
    scale = (len(BARS) - 1) / (high - low) if high > low else 0.0
    return "".join(BARS[round((value - low) * scale)] for value in values)


def summary(history: Sequence[dict[str, Any]]) -> str:
    """Sparklines of the training and validation losses."""
    lines = []
    for name in ("train_loss", "val_loss"):
        if name in history[0]:
            losses = [record[name] for record in history]
            title = name.replace("_", " ")
            lines.append(f"{title:10}  {sparkline(losses)}  {losses[0]:.4f} → {losses[-1]:.4f}")
    return "\n".join(lines)


def plot(history: Sequence[dict[str, Any]], path: Path, title: str) -> bool:
    """Write the losses as a PNG; return whether matplotlib is there to do it."""
    if find_spec("matplotlib") is None:
        return False
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.add_subplot()
    epochs = [record["epoch"] for record in history]
    for name in ("train_loss", "val_loss"):
        if name in history[0]:
            losses = [record[name] for record in history]
            axes.plot(epochs, losses, marker=".", label=name.replace("_", " "))
    axes.set(title=title, xlabel="epoch", ylabel="loss", yscale="log")
    axes.grid(alpha=0.3)
    axes.legend()
    io.write_atomically(path, lambda name: figure.savefig(name, format="png", dpi=150))
    return True
