"""``tensorlite sweep``: a run for every combination of options, and a table of them in the end."""

from __future__ import annotations

import csv
import itertools
import json
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tensorlite import io
from tensorlite.cli import train
from tensorlite.cli.errors import UsageError

LISTS = ("--drop",)  # options whose commas are their own
REFUSED = ("--out", "--resume", "--config", "--find-lr")
SHOWN = ("val_loss", "test_loss", "test_accuracy", "test_r2", "best_epoch", "seconds")


def run(args: Namespace) -> int:
    """Train every combination, one after the other; a run that fails does not end the others."""
    from tensorlite.cli.parser import parse

    fixed, axes = split(args.options)
    if not axes:
        raise UsageError("give an option several values: tensorlite sweep digits --lr 1e-3,3e-3")
    combinations = list(itertools.product(*axes.values()))
    chosen = [dict(zip(axes, values, strict=True)) for values in combinations]
    out = Path(args.out) if args.out else train.new_folder("sweep")
    lines = [
        ["train", *fixed, *itertools.chain(*each.items()), "--out", str(out / name_of(each))]
        for each in chosen
    ]
    parsed = [parse(line) for line in lines]  # a wrong value raises before the first run
    if out.exists() and any(out.iterdir()):
        raise UsageError(f"--out {out} is not empty")
    rows, failed = [], 0
    for number, (each, one) in enumerate(zip(chosen, parsed, strict=True), start=1):
        print(f"--- {number} of {len(chosen)}: {name_of(each)}", flush=True)
        row: dict[str, Any] = {axis.removeprefix("--"): value for axis, value in each.items()}
        try:
            status = one.run(one)
            if status:
                return status  # it was interrupted
            row |= json.loads((out / name_of(each) / "summary.json").read_text())
        except (UsageError, ValueError, ArithmeticError, RuntimeError) as error:
            print(f"failed: {error}", flush=True)
            failed += 1
        rows.append(row)
    _finish(rows, list(axes), out)
    return 1 if failed == len(rows) else 0


def split(options: Sequence[str]) -> tuple[list[str], dict[str, list[str]]]:
    """Options with one value as they are, and those with several."""
    fixed: list[str] = []
    axes: dict[str, list[str]] = {}
    rest = [part for o in options for part in (o.split("=", 1) if o.startswith("--") else [o])]
    position = 0
    while position < len(rest):
        option = rest[position]
        position += 1
        if option in REFUSED:
            raise UsageError(f"{option} is not for the runs of a sweep")
        value = rest[position] if position < len(rest) else None
        if not option.startswith("--") or value is None or value.startswith("--"):
            fixed.append(option)
            continue
        position += 1
        values = [value] if option in LISTS else value.split(",")
        if len(values) > 1:
            axes[option] = values
        else:
            fixed += [option, value]
    return fixed, axes


def name_of(chosen: dict[str, str]) -> str:
    """The folder of a combination: ``lr=0.001,model=cnn``."""
    return ",".join(f"{a.removeprefix('--')}={Path(v).name}" for a, v in chosen.items())


def _finish(rows: list[dict[str, Any]], axes: list[str], out: Path) -> None:
    """Print the table, the best run first, and write it as CSV."""
    rows.sort(key=lambda row: row.get("val_loss", row.get("test_loss", float("inf"))))
    names = [axis.removeprefix("--") for axis in axes]
    names += [name for name in SHOWN if any(row.get(name) is not None for row in rows)]
    cells = [[_shown(row.get(name)) for name in names] for row in rows]
    widths = [max(map(len, column)) for column in zip(names, *cells, strict=True)]
    print()
    for line in [names, *cells]:
        print("  ".join(f"{cell:>{width}}" for cell, width in zip(line, widths, strict=True)))

    def write(to: str) -> None:
        with open(to, "w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerows([names, *([row.get(name) for name in names] for row in rows)])

    out.mkdir(parents=True, exist_ok=True)
    io.write_atomically(out / "sweep.csv", write)
    print(f"written to {out}: sweep.csv and a folder for each run")


def _shown(value: Any) -> str:
    if value is None:
        return "-"
    return f"{value:.4g}" if isinstance(value, float) else str(value)
