"""CUDA devices: what is there, memory, streams. Importing this does not import CuPy."""

from __future__ import annotations

from types import TracebackType
from typing import Any, Self

from tensorlite.backend import Device, backend_for, parse_device
from tensorlite.backend import cupy as _cupy
from tensorlite.backend.cupy import OutOfMemoryError, is_available

__all__ = [
    "OutOfMemoryError",
    "Stream",
    "device_count",
    "empty_cache",
    "is_available",
    "memory_stats",
    "synchronize",
]


def device_count() -> int:
    """Count the CUDA devices that can be used; 0 without CuPy or a driver."""
    return _cupy.device_count() if is_available() else 0


def synchronize(device: str | Device = "cuda") -> None:
    """Wait until all work queued on a device has finished."""
    device = _cuda(device)
    backend = backend_for(device)
    with backend.on(device):
        backend.synchronize()


def memory_stats(device: str | Device = "cuda") -> dict[str, int]:
    """Tell how a device's memory is used.

    Returns
    -------
    dict
        In bytes: ``allocated`` by arrays of this process, ``reserved`` by its pool (which keeps
        what arrays gave back, see `empty_cache`), ``free`` on the device and its ``total``; and
        ``device``, its index.
    """
    device = _cuda(device)
    backend_for(device)
    return _cupy.memory_stats(device.index)


def empty_cache() -> None:
    """Give memory that no array uses back to the driver.

    It waits for all devices. Speed never gains from it: it makes room for other processes.
    """
    backend_for("cuda").empty_cache()


class Stream:
    """A queue of work on a device; what is queued inside ``with stream:`` goes there.

    Work on different streams may run at the same time and in any order, also beside that of the
    default stream: order it by `wait` or `synchronize`. Keep arrays that another stream
    uses until it has finished with them; their memory goes back to the stream that made them.

    Parameters
    ----------
    device : str or Device
        Where the work runs.

    Examples
    --------
    >>> side = tl.cuda.Stream()
    >>> with side:
    ...     y = expensive(x)
    >>> side.synchronize()
    """

    def __init__(self, device: str | Device = "cuda") -> None:
        self.device = _cuda(device)
        self._backend = backend_for(self.device)
        with self._backend.on(self.device):
            self._stream = self._backend.xp.cuda.Stream(non_blocking=True)
        self._entered: list[Any] = []

    def __enter__(self) -> Self:
        on = self._backend.on(self.device)
        on.__enter__()
        self._entered.append(on)
        self._stream.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stream.__exit__(kind, error, traceback)
        self._entered.pop().__exit__(kind, error, traceback)

    def __repr__(self) -> str:
        return f"Stream({str(self.device)!r})"

    def wait(self, other: Stream | None = None) -> None:
        """Let later work here wait for all work queued so far on `other`.

        Without `other`: on the stream that is current on this stream's device.
        """
        device = self.device if other is None else other.device
        with self._backend.on(device):
            cuda = self._backend.xp.cuda
            stream = cuda.get_current_stream() if other is None else other._stream
            queued = stream.record()
        with self._backend.on(self.device):
            self._stream.wait_event(queued)

    def synchronize(self) -> None:
        """Wait until all work queued here has finished."""
        self._stream.synchronize()


def _cuda(device: str | Device) -> Device:
    parsed = parse_device(device)
    if parsed.type != "cuda":
        raise ValueError(f"{device!r} is not a CUDA device: use 'cuda' or 'cuda:1'")
    return parsed
