"""``tensorlite data``."""

from __future__ import annotations

from argparse import Namespace

from tensorlite.data import describe


def run(args: Namespace) -> int:
    """Print a table of the datasets."""
    rows = [("dataset", "task", "size", "here", "where")]
    for dataset in describe():
        here = "yes" if dataset.present else "no"
        rows.append((dataset.name, dataset.task, dataset.size, here, dataset.where))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = (f"{cell:{width}}" for cell, width in zip(row, widths, strict=True))
        print("  ".join(cells).rstrip())
    return 0
