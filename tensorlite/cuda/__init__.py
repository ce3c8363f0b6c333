"""CUDA devices: what is there, memory, streams. Importing this does not import CuPy."""

from __future__ import annotations

import importlib
import sys
from types import TracebackType
from typing import Any, Self

from tensorlite import random
from tensorlite.backend import Device, backend_for, parse_device
from tensorlite.backend import driver as _driver
from tensorlite.backend.base import default_device, home, set_default_device
from tensorlite.backend.driver import OutOfMemoryError, is_available
from tensorlite.unknown import unknown

__all__ = [
    "Event",
    "OutOfMemoryError",
    "Stream",
    "amp",
    "current_device",
    "device",
    "device_count",
    "empty_cache",
    "get_device_capability",
    "get_device_name",
    "is_available",
    "is_bf16_supported",
    "manual_seed",
    "manual_seed_all",
    "mem_get_info",
    "memory_allocated",
    "memory_reserved",
    "memory_stats",
    "set_device",
    "stream",
    "synchronize",
]

device = Device  # as a context manager: ``with tl.cuda.device("cuda:1"):``


def __getattr__(name: str) -> Any:
    if name == "amp":
        return importlib.import_module("tensorlite.cuda.amp")
    raise unknown("cuda", name, sys.modules[__name__])


def device_count() -> int:
    """Count the CUDA devices that can be used; 0 without CuPy or a driver.

    Examples
    --------
    >>> tl.accelerator.device_count() >= 0
    True
    """
    return _driver.device_count() if is_available() else 0


def current_device() -> int:
    """Return the index of the device that "cuda" without a number is made on.

    Examples
    --------
    >>> if tl.cuda.is_available():
    ...     print(tl.cuda.current_device())
    """
    here = default_device()
    return here.index if here.type == "cuda" else home()


def set_device(device: int | str | Device) -> None:
    """Make this the device of Tensors that are made without naming one.

    Parameters
    ----------
    device
        "cuda:1", or a number.

    Raises
    ------
    ValueError
        If `device` is no CUDA device.

    Examples
    --------
    >>> if tl.cuda.is_available():
    ...     tl.cuda.set_device(0)
    """
    set_default_device(_cuda(device))


def get_device_name(device: int | str | Device = "cuda") -> str:
    """Return the name that the driver has for a device.

    Examples
    --------
    >>> if tl.cuda.is_available():
    ...     print(tl.cuda.get_device_name())
    """
    return _properties(device)["name"].decode()


def get_device_capability(device: int | str | Device = "cuda") -> tuple[int, int]:
    """Return major and minor number of the device's compute capability.

    Examples
    --------
    >>> if tl.cuda.is_available():
    ...     print(tl.cuda.get_device_capability())
    """
    properties = _properties(device)
    return properties["major"], properties["minor"]


def is_bf16_supported() -> bool:
    """Tell whether tensor cores compute in bfloat16: from compute capability 8.0 on.

    Examples
    --------
    >>> if tl.cuda.is_available() and tl.cuda.is_bf16_supported():
    ...     dtype = tl.bfloat16
    """
    return is_available() and get_device_capability() >= (8, 0)


def _properties(device: int | str | Device) -> dict[str, Any]:
    device = _cuda(device)
    return backend_for(device).xp.cuda.runtime.getDeviceProperties(device.index)


def manual_seed(seed: int) -> None:
    """Seed the default generator, which serves all devices (their bits are the same).

    Parameters
    ----------
    seed : int

    Examples
    --------
    >>> tl.cuda.manual_seed(0)
    """
    random.manual_seed(seed)


manual_seed_all = manual_seed


def synchronize(device: int | str | Device = "cuda") -> None:
    """Wait until all work queued on a device has finished.

    Raises
    ------
    ValueError
        If `device` is no CUDA device.

    Examples
    --------
    >>> if tl.cuda.is_available():
    ...     tl.cuda.synchronize()
    """
    device = _cuda(device)
    backend = backend_for(device)
    with backend.on(device):
        backend.synchronize()


def memory_stats(device: int | str | Device = "cuda") -> dict[str, int]:
    """Tell how a device's memory is used.

    Returns
    -------
    dict
        In bytes: ``allocated`` by arrays of this process, ``reserved`` by its pool (which keeps
        what arrays gave back, see `empty_cache`), ``free`` on the device and its ``total``; and
        ``device``, its index.

    Raises
    ------
    ValueError
        If `device` is no CUDA device.

    Examples
    --------
    >>> if tl.cuda.is_available():
    ...     print(tl.cuda.memory_stats()["free"])
    """
    device = _cuda(device)
    backend_for(device)
    return _driver.memory_stats(device.index)


def memory_allocated(device: int | str | Device = "cuda") -> int:
    """Count the bytes that arrays of this process hold on a device; 0 without CUDA.

    Examples
    --------
    >>> tl.cuda.memory_allocated() >= 0
    True
    """
    return memory_stats(device)["allocated"] if is_available() else 0


def memory_reserved(device: int | str | Device = "cuda") -> int:
    """Count the bytes that this process holds on a device, used or not; 0 without CUDA.

    Examples
    --------
    >>> tl.cuda.memory_reserved() >= 0
    True
    """
    return memory_stats(device)["reserved"] if is_available() else 0


def mem_get_info(device: int | str | Device = "cuda") -> tuple[int, int]:
    """Return the free and all bytes of a device.

    Examples
    --------
    >>> if tl.cuda.is_available():
    ...     print(tl.cuda.mem_get_info())
    """
    stats = memory_stats(device)
    return stats["free"], stats["total"]


def empty_cache() -> None:
    """Give memory that no array uses back to the driver.

    It waits for all devices. Speed never gains from it: it makes room for other processes.
    Without CUDA there is nothing to do.

    Examples
    --------
    >>> tl.cuda.empty_cache()
    """
    if is_available():
        backend: Any = backend_for("cuda")
        backend.empty_cache()


class Stream:
    """A queue of work on a device; what is queued inside ``with stream:`` goes there.

    Work on different streams may run at the same time and in any order, also beside that of the
    default stream: order it by `wait` or `synchronize`. Keep arrays that another stream
    uses until it has finished with them; their memory goes back to the stream that made them.

    Parameters
    ----------
    device : str or Device
        Where the work runs.

    Raises
    ------
    ValueError
        If `device` is no CUDA device.

    Examples
    --------
    >>> side = tl.cuda.Stream()
    >>> with side:
    ...     y = expensive(x)
    >>> side.synchronize()
    """

    def __init__(self, device: int | str | Device = "cuda") -> None:
        self.device = _cuda(device)
        self._backend: Any = backend_for(self.device)
        with self._backend.on(self.device):
            self._stream = self._backend.xp.cuda.Stream(non_blocking=True)
        self._backend.stream_made(self.device.index, self._stream.ptr)
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

        Examples
        --------
        >>> if tl.cuda.is_available():
        ...     side = tl.cuda.Stream()
        ...     side.wait()
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


def stream(stream: Stream) -> Stream:
    """Return `stream`, for ``with tl.cuda.stream(side):``.

    Examples
    --------
    >>> if tl.cuda.is_available():
    ...     with tl.cuda.stream(tl.cuda.Stream()):
    ...         y = model(x)
    """
    return stream


class Event:
    """A mark in a stream, to wait for or to measure time with.

    Parameters
    ----------
    enable_timing : bool
        Whether `elapsed_time` will be asked.

    Examples
    --------
    >>> start, end = tl.cuda.Event(enable_timing=True), tl.cuda.Event(enable_timing=True)
    >>> start.record(); y = expensive(x); end.record()
    >>> end.synchronize()
    >>> start.elapsed_time(end)  # milliseconds
    """

    def __init__(self, enable_timing: bool = False) -> None:
        xp = backend_for("cuda").xp
        self._event = xp.cuda.Event(disable_timing=not enable_timing)

    def record(self, stream: Stream | None = None) -> None:
        """Mark the place that a stream has reached; the current one by default."""
        self._event.record(None if stream is None else stream._stream)

    def synchronize(self) -> None:
        """Wait until all work before the mark has finished."""
        self._event.synchronize()

    def query(self) -> bool:
        """Tell whether all work before the mark has finished.

        Examples
        --------
        >>> if tl.cuda.is_available():
        ...     mark = tl.cuda.Event()
        ...     mark.record()
        ...     print(mark.query())
        """
        return self._event.done

    def elapsed_time(self, end: Event) -> float:
        """Milliseconds from this mark to `end`."""
        cuda = backend_for("cuda").xp.cuda
        return cuda.get_elapsed_time(self._event, end._event)


def _cuda(device: int | str | Device) -> Device:
    parsed = Device("cuda", device) if isinstance(device, int) else parse_device(device)
    if parsed.type != "cuda":
        raise ValueError(f"{device!r} is not a CUDA device: use 'cuda' or 'cuda:1'")
    return parsed
