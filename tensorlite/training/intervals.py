"""How often a checkpoint is written: after batches, or after minutes."""

from __future__ import annotations

import re
import time

__all__ = ["Interval"]

_UNITS = {"s": 1.0, "sec": 1.0, "min": 60.0, "m": 60.0, "h": 3600.0}
_TEXT = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([a-z]+)\s*")


class Interval:
    """A number of batches, or a time.

    Parameters
    ----------
    every : int, str or None
        Batches; or a time, "10min", "90s", "1.5h"; None: never.

    Raises
    ------
    ValueError
        If it is something else, or nothing above 0.
    """

    def __init__(self, every: int | str | None) -> None:
        self.batches: int | None = None
        self.seconds: float | None = None
        if isinstance(every, str) and not every.strip().isdigit():
            found = _TEXT.fullmatch(every)
            if found is None or found[2] not in _UNITS or not float(found[1]):
                raise ValueError(
                    f"save_every must be a number of batches or a time such as '10min', '90s' or "
                    f"'1.5h', not {every!r}"
                )
            self.seconds = float(found[1]) * _UNITS[found[2]]
        elif every is not None:
            self.batches = int(every)
            if self.batches < 1:
                raise ValueError(f"save_every must be at least 1 batch, not {every}")
        self.start()

    def start(self) -> None:
        """Begin to count the time anew."""
        self._began = time.monotonic()
        self._missed = False

    def due(self, batches: int) -> bool:
        """Whether it is time, after so many batches of an epoch; it stays so until `start`."""
        if self.seconds is not None:
            return time.monotonic() - self._began >= self.seconds
        self._missed |= self.batches is not None and batches % self.batches == 0
        return self._missed
