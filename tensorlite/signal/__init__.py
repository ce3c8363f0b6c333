"""Signals: window functions, in `tensorlite.signal.windows`."""

from tensorlite.signal import windows

__all__ = ["windows"]
