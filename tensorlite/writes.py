"""The write log: when each address was last overwritten.

Only the last write to an address matters, so the log is a map from disjoint, sorted ranges of
addresses to times. It holds one entry for each piece of memory that was ever written in place,
however often it was, and both noting a write and asking for one cost a binary search.
"""

from __future__ import annotations

import threading
from bisect import bisect_left, bisect_right


class WriteLog:
    """Ranges of addresses, and when each was last written.

    Examples
    --------
    >>> log = WriteLog()
    >>> log.note(0, 100, 1)
    >>> log.note(40, 60, 2)
    >>> log.last(0, 40), log.last(50, 51), log.last(60, 200), log.last(100, 200)
    (1, 2, 1, -1)
    """

    def __init__(self) -> None:
        self._lows: list[int] = []  # sorted; range i reaches from lows[i] up to highs[i]
        self._highs: list[int] = []
        self._times: list[int] = []
        self._latest = 0  # the range that was noted last
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._lows)

    def note(self, low: int, high: int, when: int) -> None:
        """Say that the addresses from `low` up to `high` were written at the time `when`."""
        if low >= high:
            return
        with self._lock:
            lows, highs, times = self._lows, self._highs, self._times
            i = self._latest
            if i < len(lows) and lows[i] == low and highs[i] == high:
                times[i] = when  # the same memory again, as in most programs
                return
            first, last = bisect_right(highs, low), bisect_left(lows, high)  # those that overlap
            self._latest = first
            if last - first == 1 and lows[first] == low and highs[first] == high:
                times[first] = when
                return
            pieces = [(low, high, when)]
            if first < last:  # what is left of the outermost ranges stays
                if lows[first] < low:
                    pieces.insert(0, (lows[first], low, times[first]))
                if highs[last - 1] > high:
                    pieces.append((high, highs[last - 1], times[last - 1]))
            lows[first:last], highs[first:last], times[first:last] = zip(*pieces, strict=True)

    def last(self, low: int, high: int) -> int:
        """When some address from `low` up to `high` was last written; −1 if none was."""
        with self._lock:
            first = bisect_right(self._highs, low)
            if first == len(self._lows) or self._lows[first] >= high:
                return -1
            return max(self._times[first : bisect_left(self._lows, high)])
