"""How long a table takes to load beside polars, which reads it: ``tables.py [ROWS] [ROUNDS]``.

Of polars it is reading all columns and making float32 arrays of them. `read_table` of tensorlite
looks for gaps and words, too; `from_path` also chooses test rows, and standardises the others.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars

from tensorlite.data import from_path
from tensorlite.data.read_table import read_table

COLUMNS = 20


def written(folder: Path, rows: int) -> Path:
    """A table of random numbers with six digits."""
    values = np.random.default_rng(0).standard_normal((rows, COLUMNS))
    path = folder / "table.csv"
    table = polars.DataFrame(values, schema=[f"c{i}" for i in range(COLUMNS)], orient="row")
    table.write_csv(path, float_precision=6)
    return path


def main() -> None:
    """Load in turn; print medians and the ratio, of the clock and of processor time."""
    rows, rounds = map(int, [*sys.argv[1:], *(1_000_000, 5)[len(sys.argv) - 1 :]])
    with tempfile.TemporaryDirectory() as folder:
        path = written(Path(folder), rows)
        loaders: dict[str, Callable[[], object]] = {
            "polars": lambda: polars.read_csv(path).cast(polars.Float32).to_numpy(),
            "read_table": lambda: read_table(path),
            "from_path": lambda: from_path(path, "c0"),
        }
        for name, clock in (("clock", time.perf_counter), ("processor", time.process_time)):
            times: dict[str, list[float]] = {name: [] for name in loaders}
            for _ in range(rounds):
                for loader, load in loaders.items():
                    start = clock()
                    load()
                    times[loader].append(clock() - start)
            told = [f"{loader} {statistics.median(t):.2f} s" for loader, t in times.items()]
            ratios = [f"{median_ratio(times, loader):.2f}" for loader in list(loaders)[1:]]
            print(f"{name}: {', '.join(told)}; ratios to polars {', '.join(ratios)}")


def median_ratio(times: dict[str, list[float]], loader: str) -> float:
    """Of loads that came one after the other."""
    pairs = zip(times[loader], times["polars"], strict=True)
    return statistics.median(ours / theirs for ours, theirs in pairs)


if __name__ == "__main__":
    main()
