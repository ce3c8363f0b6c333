"""The write log: when each address was last overwritten.

Only the last write to an address matters, so the log is a map from disjoint, sorted ranges of
addresses to times. It holds one entry for each piece of memory that was ever written in place,
however often it was, and asking for one costs a binary search. Noting one costs less: most programs
write to the same few ranges again and again, so the last ones wait in a dictionary until somebody
asks, or until there are many.
"""

from __future__ import annotations

import threading
from bisect import bisect_left, bisect_right
from operator import itemgetter

MANY = 64  # ranges that wait to be sorted in


class WriteLog:
    """Ranges of addresses, and when each was last written.

    Examples
    --------
    >>> log = WriteLog()
    >>> log.note((0, 100), 1)
    >>> log.note((40, 60), 2)
    >>> log.last(0, 40), log.last(50, 51), log.last(60, 200), log.last(100, 200)
    (1, 2, 1, -1)
    """

    def __init__(self) -> None:
        # What is to be sorted in, and when it was written; its single steps need no lock.
        self.waiting: dict[tuple[int, int], int] = {}
        self._lows: list[int] = []  # sorted; range i reaches from lows[i] up to highs[i]
        self._highs: list[int] = []
        self._times: list[int] = []
        self._lock = threading.Lock()

    def __len__(self) -> int:
        with self._lock:
            self._sort_in()
            return len(self._lows)

    def note(self, bounds: tuple[int, int], when: int) -> None:
        """Say that the addresses from `bounds[0]` up to `bounds[1]` were written at `when`."""
        self.waiting[bounds] = when
        if len(self.waiting) > MANY:
            self.sort_in()

    def sort_in(self) -> None:
        """Bring what waits to its places."""
        with self._lock:
            self._sort_in()

    def _sort_in(self) -> None:
        """Bring what waits to its places, the oldest first."""
        taken = []
        while self.waiting:
            taken.append(self.waiting.popitem())
        for (low, high), when in sorted(taken, key=itemgetter(1)):
            if low < high:
                self._put(low, high, when)

    def _put(self, low: int, high: int, when: int) -> None:
        lows, highs, times = self._lows, self._highs, self._times
        first, last = bisect_right(highs, low), bisect_left(lows, high)  # those that overlap
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

    def ranges(self) -> tuple[list[int], list[int], list[int]]:
        """The lowest addresses, those one past the highest, and the times."""
        with self._lock:
            self._sort_in()
            return self._lows.copy(), self._highs.copy(), self._times.copy()

    def last(self, low: int, high: int) -> int:
        """When some address from `low` up to `high` was last written; −1 if none was."""
        with self._lock:
            self._sort_in()
            first = bisect_right(self._highs, low)
            if first == len(self._lows) or self._lows[first] >= high:
                return -1
            return max(self._times[first : bisect_left(self._lows, high)])
