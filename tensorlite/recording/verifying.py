"""Whether what was noted of a unit gives the same bits when it is run again.

What this needs beside the unit's own memory is one copy of what was given to it, and one of what it
made: a call is often recorded where not much memory is left.
"""

from __future__ import annotations

from typing import Any

import numpy as np

_PART = 1 << 18  # bytes that are compared at once
_SMALL = 1 << 12  # bytes, of which a copy is quicker


class Unit:
    """A unit that has run: what it was given, with copies from before, and what it made.

    Parameters
    ----------
    kernels, log
        The extension, and where the calls were noted.
    given, before
        Arrays that the unit got, and copies of them from before it ran, without gaps.
    outputs
        The arrays of its result.
    calls, blocks
        How many calls and blocks had been noted before.
    """

    def __init__(
        self,
        kernels: Any,
        log: Any,
        given: list[np.ndarray],
        before: list[np.ndarray],
        outputs: list[np.ndarray],
        calls: int,
        blocks: int,
    ) -> None:
        self.k, self.log, self.given, self.before = kernels, log, given, before
        self.outputs, self.calls = outputs, calls
        self.end, self.last = kernels.log_size(log)
        found = [kernels.log_block(log, i) for i in range(blocks, self.last)]
        self.own = [kernels.bytes_at(address, size) for address, size, _ in found]
        self.live = [not released for _, _, released in found]

    def is_reproduced(self) -> bool:
        """Whether the calls, run again over what was given, have the same results.

        All memory is then as it was when the unit had run.
        """
        changed = [i for i, x in enumerate(self.given) if not same_bits(x, self.before[i])]
        if self.calls == self.end:
            if self.given and not self.outputs:  # it writes in place, if only what was there
                return False
            return not changed and not any(_shows(x, b) for x in self.outputs for b in self.own)
        noted = [arrays for _, arrays, _, _ in self.k.log_calls(self.log, self.calls, self.end)]
        if self._reads_unwritten(noted):
            return False
        writes = [(at, at + size) for arrays in noted for at, size, written in arrays if written]
        contents = [
            block.copy() if live else None for block, live in zip(self.own, self.live, strict=True)
        ]
        after = [self._copy(x, contents) for x in self.outputs]
        for i in changed:
            _swap(self.given[i], self.before[i])
        for block in self.own:
            block.fill(0xFF)
        self.k.log_replay(self.log, self.calls, self.end)
        touched = [i for i, x in enumerate(self.given) if i in changed or _meets(x, writes)]
        same = all(same_bits(self.given[i], self.before[i]) for i in touched)
        same = same and all(map(same_bits, self.outputs, after))
        for block, content in zip(self.own, contents, strict=True):
            if content is not None:
                block[...] = content
        for i in [] if same else changed:
            self.given[i][...] = self.before[i]
        return same

    def _copy(self, x: np.ndarray, contents: list[np.ndarray | None]) -> np.ndarray:
        """The values of a result as they are now: in the copy of its block, if it has one."""
        for block, content in zip(self.own, contents, strict=True):
            start = block.__array_interface__["data"][0]
            at = x.__array_interface__["data"][0] - start
            if content is not None and 0 <= at < block.size:
                return np.ndarray(x.shape, x.dtype, content, at, x.strides)
        return x.copy()

    def _reads_unwritten(self, noted: list[list[tuple[int, int, bool]]]) -> bool:
        """Whether a call reads memory of the unit's own that none wrote: NumPy filled it."""
        spans = [(b.__array_interface__["data"][0], b.size) for b in self.own]
        written: set[int] = set()
        for arrays in noted:
            for wanted in (False, True):
                for address, size, writes in arrays:
                    if not size or writes is not wanted:
                        continue
                    for i, (start, length) in enumerate(spans):
                        if start <= address < start + length:
                            if writes:
                                written.add(i)
                            elif i not in written:
                                return True
        return False


def same_bits(x: np.ndarray, y: np.ndarray) -> bool:
    """Whether two arrays of one shape and dtype hold the same bytes."""
    size = x.itemsize
    if x.nbytes < _SMALL or size not in (1, 2, 4, 8):
        return x.tobytes() == y.tobytes()
    if not (x.flags.c_contiguous and y.flags.c_contiguous):
        return np.array_equal(x.view(f"u{size}"), y.view(f"u{size}"))
    a, b = x.reshape(-1).view(np.uint8), y.reshape(-1).view(np.uint8)
    whole = a.size - a.size % 8
    v, w = a[:whole].view(np.uint64), b[:whole].view(np.uint64)
    step = _PART // 8
    same = all(np.array_equal(v[i : i + step], w[i : i + step]) for i in range(0, v.size, step))
    return same and np.array_equal(a[whole:], b[whole:])


def _swap(x: np.ndarray, y: np.ndarray) -> None:
    """Exchange the values of an array and those of one without gaps."""
    if not x.flags.c_contiguous:
        y[...], x[...] = x.copy(), y.copy()
        return
    a, b = x.reshape(-1), y.reshape(-1)
    step = max(_PART // x.itemsize, 1)
    for at in range(0, a.size, step):
        held = a[at : at + step].copy()
        a[at : at + step] = b[at : at + step]
        b[at : at + step] = held


def _meets(x: np.ndarray, spans: list[tuple[int, int]]) -> bool:
    """Whether an array has memory in one of these spans."""
    low, high = np.lib.array_utils.byte_bounds(x)
    return any(a < high and low < b for a, b in spans)


def _shows(x: np.ndarray, block: np.ndarray) -> bool:
    low, high = np.lib.array_utils.byte_bounds(x)
    start = block.__array_interface__["data"][0]
    return start < high and low < start + block.size
