"""Operations beside PyTorch's, one thread each, in turn: ``against_torch.py [ROUNDS] [NAME …]``.

It prints the medians in microseconds, forward and with backward, and tensorlite's over PyTorch's.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

import tensorlite as tl

BUDGET = 0.02  # seconds for one measurement
# What each computes from x, a float32 array of the shape.
CASES: dict[str, tuple[tuple[int, ...], Callable[[Any, Any], Any]]] = {
    "x**3": ((512, 1024), lambda t, x: x**3),
    "pow(x, 2)": ((512, 1024), lambda t, x: t.pow(x, 2)),
    "pow(x, 4)": ((512, 1024), lambda t, x: t.pow(x, 4)),
    "pad reflect": (
        (16, 16, 64, 64),
        lambda t, x: t.nn.functional.pad(x, (2, 2, 2, 2), mode="reflect"),
    ),
    "pad constant": ((16, 16, 64, 64), lambda t, x: t.nn.functional.pad(x, (1, 1, 1, 1))),
    "upsample nearest": (
        (16, 16, 32, 32),
        lambda t, x: t.nn.functional.interpolate(x, scale_factor=2, mode="nearest"),
    ),
    "cumsum(0)": ((512, 1024), lambda t, x: x.cumsum(0)),
    "cumsum(1)": ((512, 1024), lambda t, x: x.cumsum(1)),
    "where": ((512, 1024), lambda t, x: t.where(x > 0, x, 0.0)),
    "masked_fill": ((512, 1024), lambda t, x: x.masked_fill(x > 0, 0.0)),
    "maximum(x, 0)": ((512, 1024), lambda t, x: t.maximum(x, t.zeros(()))),
    "permute, reshape": ((8, 128, 8, 64), lambda t, x: x.permute(0, 2, 1, 3).reshape(64, -1)),
    "prelu": (
        (16, 16, 64, 64),
        lambda t, x: t.nn.functional.prelu(x, t.full((16,), 0.25)),
    ),
}


def main() -> None:
    """Time each case in both libraries, one after the other, many times."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 15
    torch.set_num_threads(1)
    tl.set_num_threads(1)
    print(f"{'':18}{'torch':>9}{'here':>9}{'ratio':>7}   with backward")
    for name in sys.argv[2:] or CASES:
        shape, function = CASES[name]
        values = np.random.default_rng(0).normal(size=shape).astype(np.float32)
        columns = []
        for backward in (False, True):
            runs = [prepared(library, function, values, backward) for library in (torch, tl)]
            theirs, ours = medians(runs, rounds)
            columns.append(f"{1e6 * theirs:9.0f}{1e6 * ours:9.0f}{ours / theirs:7.2f}")
        print(f"{name:18}{'  '.join(columns)}", flush=True)


def prepared(
    library: Any, function: Callable, values: np.ndarray, backward: bool
) -> Callable[[], Any]:
    """A call without arguments that computes a case, and its gradient if that is wanted."""
    x = library.tensor(values)
    if not backward:
        return lambda: function(library, x)
    x.requires_grad_()
    g = library.ones(tuple(function(library, x).shape))

    def run() -> None:
        x.grad = None
        function(library, x).backward(g)

    return run


def medians(runs: list[Callable[[], Any]], rounds: int) -> list[float]:
    """Seconds a call of each, which take turns."""
    calls = [max(1, int(BUDGET / seconds(run, 2))) for run in runs]
    found: list[list[float]] = [[] for _ in runs]
    for _ in range(rounds):
        for run, n, times in zip(runs, calls, found, strict=True):
            times.append(seconds(run, n))
    return [statistics.median(times) for times in found]


def seconds(run: Callable[[], Any], calls: int) -> float:
    """The time of a call, of so many."""
    start = time.perf_counter()
    for _ in range(calls):
        run()
    return (time.perf_counter() - start) / calls


if __name__ == "__main__":
    main()
