"""Batches from process to process: what is large goes through memory that both can see.

A batch is pickled with its arrays left out (PEP 574). They are laid into a block of anonymous
shared memory, whose descriptor travels with the first message that uses it; the receiver's arrays
are views of that memory. A block is used again when none of the receiver's arrays lives any more.
Blocks have no names, so nothing is left behind whatever happens to a process.
"""

from __future__ import annotations

import mmap
import os
import pickle
import weakref
from multiprocessing import reduction
from multiprocessing.connection import Connection
from typing import Any, NamedTuple

import numpy as np

from tensorlite.tensor import Tensor, tensor_of

__all__ = ["Receiver", "Sender"]

_ALIGNMENT = 64
_LARGE = 1 << 15  # bytes of arrays in a batch from which on shared memory pays
_MOST_BLOCKS = 16  # that one sender may have in use: each costs the receiver a file descriptor
AVAILABLE = hasattr(os, "memfd_create")  # elsewhere everything goes through the pipe


class Packet(NamedTuple):
    """A batch on its way."""

    pickled: bytes
    places: list[tuple[int, int]]  # start and end of each array that was left out
    block: int | None  # where the arrays are; None: in `inline`
    is_new: bool  # the descriptor of the block follows
    size: int
    dropped: list[int]  # blocks that the sender has given up
    inline: bytearray | None


class _Pickler(pickle.Pickler):
    """Leaves out the memory of arrays that NumPy would not: those of bfloat16 and its kin."""

    def reducer_override(self, value: Any) -> Any:
        if type(value) is np.ndarray and value.dtype.kind == "V" and value.dtype.names is None:
            bits = np.ascontiguousarray(value).view(f"V{value.itemsize}").view(np.uint8)
            return _with_dtype, (bits, value.dtype, value.shape)
        if type(value) is Tensor and value.node is None and type(value.array) is np.ndarray:
            return tensor_of, (np.asarray(value.array, order="C"), None, value.requires_grad)
        return NotImplemented


def _with_dtype(bits: np.ndarray, dtype: np.dtype, shape: tuple) -> np.ndarray:
    return bits.view(dtype).reshape(shape)


class Sender:
    """Packs batches, in the worker."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.blocks: dict[int, mmap.mmap] = {}
        self.free: list[int] = []
        self.made = 0

    def pack(self, batch: Any) -> tuple[Packet, int | None]:
        """Return the packet and, of a new block, the descriptor to send after it."""
        import io

        buffers: list[pickle.PickleBuffer] = []
        stream = io.BytesIO()
        _Pickler(stream, 5, buffer_callback=buffers.append).dump(batch)
        pickled = stream.getvalue()
        parts = [buffer.raw() for buffer in buffers]
        places, size = [], 0
        for part in parts:
            places.append((size, size + part.nbytes))
            size += -(-part.nbytes // _ALIGNMENT) * _ALIGNMENT
        dropped: list[int] = []
        block = descriptor = None
        if AVAILABLE and size >= _LARGE:
            block, descriptor = self._block(size, dropped)
        memory: Any = bytearray(size) if block is None else self.blocks[block]
        target = np.frombuffer(memory, np.uint8) if size else np.empty(0, np.uint8)
        for (start, end), part in zip(places, parts, strict=True):
            if end > start:
                target[start:end] = np.frombuffer(part, np.uint8)
        capacity = 0 if block is None else len(self.blocks[block])
        inline = memory if block is None else None
        is_new = descriptor is not None
        return Packet(pickled, places, block, is_new, capacity, dropped, inline), descriptor

    def _block(self, size: int, dropped: list[int]) -> tuple[int | None, int | None]:
        """Take a free block of at least `size` bytes, or make one in the place of the others."""
        for block in self.free:
            if len(self.blocks[block]) >= size:
                self.free.remove(block)
                return block, None
        for block in self.free:
            del self.blocks[block]
            dropped.append(block)
        self.free.clear()
        if len(self.blocks) >= _MOST_BLOCKS:
            return None, None
        size = -(-size // mmap.PAGESIZE) * mmap.PAGESIZE
        descriptor = os.memfd_create("tensorlite-batch")
        os.ftruncate(descriptor, size)
        self.made += 1
        self.blocks[self.made] = mmap.mmap(descriptor, size)
        return self.made, descriptor


class Receiver:
    """Unpacks one worker's batches, in the process that consumes them."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.blocks: dict[int, mmap.mmap] = {}
        self.in_use: dict[int, weakref.ref] = {}
        self.free: list[int] = []  # to be told to the sender

    def unpack(self, packet: Packet) -> Any:
        """Return the batch; its arrays are views of shared memory, and may be written to."""
        for block in packet.dropped:
            self.blocks.pop(block, None)
        if packet.block is None:
            memory: Any = packet.inline
        else:
            if packet.is_new:
                descriptor = reduction.recv_handle(self.connection)
                try:
                    self.blocks[packet.block] = mmap.mmap(descriptor, packet.size)
                finally:
                    os.close(descriptor)
            memory = self.blocks[packet.block]
        if not packet.places:
            self._release(packet.block)
            return pickle.loads(packet.pickled)
        whole = np.frombuffer(memory, np.uint8)
        if packet.block is not None:
            self.in_use[packet.block] = weakref.ref(whole, _Freed(packet.block, self))
        return pickle.loads(packet.pickled, buffers=[whole[a:b] for a, b in packet.places])

    def discard(self, packet: Packet) -> None:
        """Take a packet that is not needed any more."""
        self.unpack(packet._replace(pickled=pickle.dumps(None), places=[]))

    def _release(self, block: int | None) -> None:
        if block is not None:
            self.free.append(block)

    def freed(self) -> list[int]:
        """Blocks that no array shows any more; each is returned once."""
        free, self.free = self.free, []
        return free


class _Freed:
    """Notes that the last view of a block is gone; called while any code runs, so it only notes."""

    def __init__(self, block: int, owner: Receiver) -> None:
        self.block = block
        self.owner = owner

    def __call__(self, _: weakref.ref) -> None:
        self.owner.free.append(self.block)
