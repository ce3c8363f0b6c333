"""Host batches to the device while the previous ones are being used."""

from __future__ import annotations

import math
import sys
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import cupy
import numpy as np

from tensorlite.backend.base import Array, Device

_ALIGNMENT = 256  # of each array in a batch: that of cudaMalloc, enough for the widest loads


class _Slot:
    """Room for one batch: pinned memory on the host, as much on the device, and its arrival."""

    def __init__(self) -> None:
        self.pinned = np.empty(0, np.uint8)
        self.memory = cupy.empty(0, np.uint8)
        self.arrived: Any = None
        self.held_alone = 0

    def reserve(self, size: int) -> None:
        """Make room for `size` bytes that no array shows any more.

        The arrays of a batch are views of `memory`. While one of them lives, its memory is not
        used again: this slot takes new memory.
        """
        if size > self.pinned.size:
            self.pinned = np.frombuffer(cupy.cuda.alloc_pinned_memory(size), np.uint8, size)
        if size > self.memory.size or sys.getrefcount(self.memory.data.mem) > self.held_alone:
            self.memory = cupy.empty(size, np.uint8)
            self.held_alone = sys.getrefcount(self.memory.data.mem)


class Prefetcher:
    """Copy batches to a device ahead of their use, on a stream of its own.

    Calling it with an iterable of batches (sequences of NumPy arrays) gives an iterator over the
    same batches on the device. The arrays of a batch travel together, in one copy from pinned
    memory, `depth` - 1 batches ahead of the one in use; buffers are used again as soon as nothing
    refers to the arrays in them.

    Parameters
    ----------
    device : Device
        Where the batches go.
    depth : int
        Batches on the device at a time, the one in use among them; 2 or 3 hide the copies.
    """

    def __init__(self, device: Device, depth: int = 3) -> None:
        if depth < 2:
            raise ValueError(f"Prefetcher: depth is {depth}, with less than 2 nothing is ahead")
        self.device = cupy.cuda.Device(device.index)
        with self.device:
            self.stream = cupy.cuda.Stream(non_blocking=True)
            # One more: while the next batch is fetched, the caller's variables still hold the last.
            self.slots = deque(_Slot() for _ in range(depth + 1))

    def __call__(self, batches: Iterable[Sequence[np.ndarray]]) -> Iterator[list[Array]]:
        """Iterate over the batches on the device."""
        under_way: deque[tuple[_Slot, list[Array]]] = deque()
        try:
            for batch in batches:
                under_way.append(self._send(batch))
                if len(under_way) == len(self.slots) - 1:
                    yield self._received(*under_way.popleft())
            while under_way:
                yield self._received(*under_way.popleft())
        finally:
            # Where the loop was left early, copies may still be under way. Their memory goes back
            # to the pool of the current stream, which must not write to it before they arrived.
            while under_way:
                self._received(*under_way.popleft())

    def _send(self, batch: Sequence[np.ndarray]) -> tuple[_Slot, list[Array]]:
        """Start the copy of one batch into the slot that was filled the longest ago."""
        slot = self.slots[0]
        self.slots.rotate(-1)
        offsets, size = [], 0
        for array in batch:
            offsets.append(size)
            size += math.ceil(array.nbytes / _ALIGNMENT) * _ALIGNMENT
        with self.device:
            if slot.arrived is not None:
                slot.arrived.synchronize()  # the copy may still be reading the pinned memory
            slot.reserve(size)
            # All work that used the old content, or that memory before, is queued by now.
            self.stream.wait_event(cupy.cuda.get_current_stream().record())
            arrays = []
            for array, start in zip(batch, offsets, strict=True):
                end = start + array.nbytes
                flat = slot.pinned[start:end].view(array.dtype)
                flat.reshape(array.shape)[...] = array
                arrays.append(slot.memory[start:end].view(array.dtype).reshape(array.shape))
            if size:
                source = slot.pinned.ctypes.data
                slot.memory.data.copy_from_host_async(source, size, self.stream)
            slot.arrived = self.stream.record()
        return slot, arrays

    def _received(self, slot: _Slot, arrays: list[Array]) -> list[Array]:
        """Let the current stream wait for a batch, then hand it out."""
        with self.device:
            cupy.cuda.get_current_stream().wait_event(slot.arrived)
        return arrays
