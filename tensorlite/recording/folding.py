"""Constant folding: calls that would give the same results at every replay are left out."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from typing import Any

import numpy as np

from tensorlite.recording.nodes import Node
from tensorlite.recording.trees import arrays_in


class Blocks:
    """The memory that was allocated while a call was recorded, by address."""

    def __init__(self, k: Any, log: Any) -> None:
        found = [(i, k.log_block(log, i)) for i in range(k.log_size(log)[1])]
        self._spans = sorted((*block[:2], i) for i, block in found if block)
        self._starts = [start for start, _, _ in self._spans]

    def of(self, address: int) -> int | None:
        """The number of the block that an address lies in, or None."""
        i = bisect_right(self._starts, address) - 1
        if i < 0 or address >= self._spans[i][0] + self._spans[i][1]:
            return None
        return self._spans[i][2]


def bounds(x: np.ndarray) -> tuple[int, int]:
    """Where the memory of an array begins and ends; of one with negative strides, too."""
    low, high = np.lib.array_utils.byte_bounds(x)
    return int(low), int(high)


def start_of(x: np.ndarray) -> int:
    """Where the memory of an array begins."""
    return bounds(x)[0]


def folded(
    program: list[Any], k: Any, log: Any, host_writes: list[int], outputs: list[int]
) -> tuple[list[Any], set[int], list[int]]:
    """The program without the steps whose results are constant.

    A step is left out if everything it reads is constant: memory that no step of the program
    writes, or the result of a step that is left out. No other step may write to its results.
    Memory from before the call counts as changing.

    Parameters
    ----------
    program
        Ranges of noted calls, and nodes.
    host_writes
        Addresses that the host writes to before a replay.
    outputs
        Addresses of what is returned.

    Returns
    -------
    program, the blocks with constants that are still read, the calls that are left out
    """
    blocks = Blocks(k, log)
    steps = list(_steps(program, k, log))
    writers = Counter(blocks.of(at) for _, _, writes, _ in steps for at in writes)
    writers.update({blocks.of(at): 2 for at in host_writes})
    constant: set[int | None] = set()
    kept: list[Any] = []
    wanted: set[int | None] = {blocks.of(at) for at in outputs}
    left_out: list[int] = []
    for step, reads, writes, pure in steps:
        sources = {blocks.of(at) for at in reads}
        targets = {blocks.of(at) for at in writes}
        fixed = pure and writes and None not in sources | targets
        fixed = fixed and all(writers[b] == 0 or b in constant for b in sources)
        if fixed and all(writers[b] == 1 for b in targets):
            constant |= targets
            left_out += [step] if isinstance(step, int) else []
            continue
        wanted |= sources
        if isinstance(step, int) and kept and isinstance(kept[-1], tuple) and kept[-1][1] == step:
            kept[-1] = (kept[-1][0], step + 1)
        else:
            kept.append((step, step + 1) if isinstance(step, int) else step)
    return kept, {b for b in constant & wanted if b is not None}, left_out


def _steps(program: list[Any], k: Any, log: Any) -> Any:
    """Each call or node: itself, where it reads and writes, and whether it does nothing else."""
    for step in program:
        if isinstance(step, Node):
            given = [start_of(x) for x in arrays_in(step.arguments)]
            made = [start_of(x) for x in step.outputs]
            # Primitives write to nothing but their results; of others it is not known.
            pure = getattr(step.function, "__name__", "") == "computed"
            pure = pure and not step.streams and not step.moving
            yield step, given, made if pure else made + given, pure
            continue
        for i, (_, arrays, _, _) in enumerate(k.log_calls(log, *step), step[0]):
            reads = [at for at, size, writes in arrays if size and not writes]
            yield i, reads, [at for at, size, writes in arrays if size and writes], True
