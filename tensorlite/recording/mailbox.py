"""Numbers that the kernels of a CUDA graph read, and the host writes before each replay."""

from __future__ import annotations

from typing import Any

import cupy
import numpy as np

_LETTER = 256  # bytes that a number in a mailbox is aligned to, which is enough for any kernel
RING = 4  # replays that may be under way before the host waits for the first


class Mailbox:
    """Host memory that is written before a replay, and its copy on the device, read by kernels.

    It is sent through one of several pieces of pinned memory, so the host need not wait until the
    device has read the previous one.
    """

    def __init__(self, size: int) -> None:
        self.host = np.zeros(size, np.uint8)
        self.device = cupy.empty(size, np.uint8)
        self.used = 0
        self._pinned: list[Any] = [None] * RING
        self._read: list[Any] = [None] * RING
        self._next = 0
        self._sent: bytes | None = None

    def place(self, array: np.ndarray) -> tuple[np.ndarray, Any] | None:
        """Room for an array, with its values, on the host and on the device; None: it is full."""
        start = -(-self.used // _LETTER) * _LETTER
        end = start + array.nbytes
        if end > self.host.size:
            return None
        self.used = end
        host = self.host[start:end].view(array.dtype).reshape(array.shape)
        host[...] = array
        return host, cupy.ndarray(array.shape, array.dtype, self.device.data + start)

    def send_news(self, stream: Any) -> None:
        """Queue the copy to the device, if anything has changed since the last."""
        content = self.host[: self.used].tobytes()
        if content != self._sent:
            self.send(stream)
            self._sent = content

    def send(self, stream: Any) -> None:
        """Queue the copy to the device."""
        i = self._next
        self._next = (i + 1) % RING
        if self._pinned[i] is None:
            self._pinned[i] = cupy.cuda.alloc_pinned_memory(self.host.size)
            self._read[i] = cupy.cuda.Event(disable_timing=True)
        else:
            self._read[i].synchronize()
        pinned = self._pinned[i]
        np.frombuffer(pinned, np.uint8, self.used)[...] = self.host[: self.used]
        self.device.data.copy_from_host_async(pinned.ptr, self.used, stream)
        self._read[i].record(stream)


def common_memory() -> Any:
    """Context manager: no memory of the graph's own, of which what is freed is used again."""
    return cupy.cuda.using_allocator(cupy.get_default_memory_pool().malloc)
