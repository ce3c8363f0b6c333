"""A digest of what a file holds, taken while it is read or written.

It covers names, dtypes, shapes, elements and metadata, and not where in the file they lie: a file
that another program has written anew, with the same content, has the same digest. It finds damage,
and is no protection against somebody who changes a file on purpose.

The elements of a tensor are cut into blocks of 256 KiB, and a block into rows of 16 lines of 8
words of 64 bits, little end first; the last line is filled up with zeros. Each of the 8 columns has
two sums modulo 2⁶⁴: of its words w, and of ``(x mod 2³²) · ⌊x / 2³²⌋`` where x = w xor key. The key
of row r, line s, column c is k[8 s + c] + r g, with g = 0x9E3779B97F4A7C15, and k[i] the number i
of SplitMix64 (Steele, Lea and Flood, 2014) from 0 on. The first sum changes with every change
within one word, for certain; the second is of the class of NH (Black et al., *UMAC*, 1999), and
tells one place from another. These sums, or the bytes of a small tensor, go through SHA-256, and so
does all the rest. Vectors do that about as fast as memory is read.
"""

from __future__ import annotations

import errno
import hashlib
import io
import json
import os
from collections.abc import Mapping
from functools import cache
from typing import IO, Any

import numpy as np

from tensorlite.backend import HOST

__all__ = ["KEY", "LENGTH", "STRUCTURE", "Digest", "digest_like", "digest_of"]

STRUCTURE = "tensorlite"  # keys of a file's metadata
KEY = "tensorlite.digest"
_NAME = "sums1:"  # begins the value: what the digest is made of
LENGTH = len(_NAME) + 64
BLOCK = 1 << 18  # bytes that have sums of their own
SUMS = 16
_SMALL = 1 << 15  # bytes that SHA-256 reads sooner
_PIECE = 1 << 26  # bytes that are read or written without a look at signals
_GOLDEN = 0x9E3779B97F4A7C15


class Digest:
    """Collects what a file holds.

    Examples
    --------
    >>> digest = Digest()
    >>> digest.begin("weight", "F32", (2, 3))
    >>> digest.add(np.zeros(24, np.uint8))
    >>> digest.result({"format": "pt"})
    """

    name = _NAME

    def __init__(self) -> None:
        self._entries: dict[str, list[Any]] = {}
        self._entry: list[Any] = []

    def begin(self, name: str, code: str, shape: Any) -> None:
        """Begin a tensor; `code` is the format's name of its dtype."""
        self._entry = self._entries[name] = [code, list(shape), None]

    def add(self, memory: np.ndarray) -> None:
        """Take the bytes of the tensor begun, an array of uint8 with one axis."""
        if memory.size < _SMALL:
            self._entry[2] = hashlib.sha256(memory).hexdigest()
            return
        sums = _room(memory)
        block_sums(memory, sums)
        self._keep(sums)

    def write(self, file: IO[bytes], memory: np.ndarray) -> None:
        """Write the bytes of the tensor begun, and take them."""
        if memory.size < _SMALL or HOST.kernels is None or not _is_plain(file, io.BufferedWriter):
            self.add(memory)
            file.write(memoryview(memory))
            return
        file.flush()
        sums = _room(memory)
        for piece, its_sums in _pieces(memory, sums):
            done, error = HOST.kernels.write_summed(file.fileno(), piece, its_sums)
            if error or done < piece.size:
                raise OSError(error or errno.EIO, os.strerror(error or errno.EIO))
        self._keep(sums)

    def read(self, file: IO[bytes], at: int, memory: np.ndarray) -> int:
        """Read the bytes of the tensor begun from a place of the file; return how many."""
        if memory.size < _SMALL or HOST.kernels is None or not _is_plain(file, io.BufferedReader):
            done = filled(file, at, memory)
            if done == memory.size:
                self.add(memory)
            return done
        sums, whole = _room(memory), 0
        for piece, its_sums in _pieces(memory, sums):
            done, error = HOST.kernels.read_summed(file.fileno(), at + whole, piece, its_sums)
            if error:
                raise OSError(error, os.strerror(error))
            whole += done
            if done < piece.size:
                break
        self._keep(sums)
        return whole

    def _keep(self, sums: np.ndarray) -> None:
        self._entry[2] = hashlib.sha256(sums.astype("<u8", copy=False)).hexdigest()

    def result(self, metadata: Mapping[str, str]) -> str:
        """The digest of all tensors and the metadata, but for that of an earlier digest."""
        rest = {key: value for key, value in metadata.items() if key != KEY}
        text = json.dumps([self._entries, rest], sort_keys=True, separators=(",", ":"))
        return self.name + hashlib.sha256(text.encode()).hexdigest()


class _OldDigest(Digest):
    """What the first versions wrote: CRC-32 of 2 MiB at a time in the place of these sums."""

    name = ""

    def add(self, memory: np.ndarray) -> None:
        from zlib import crc32

        piece = 1 << 21
        self._entry[2] = [crc32(memory[i : i + piece]) for i in range(0, memory.size or 1, piece)]

    def read(self, file: IO[bytes], at: int, memory: np.ndarray) -> int:
        done = filled(file, at, memory)
        self.add(memory)
        return done


def digest_of(metadata: dict[str, str]) -> str | None:
    """Take the digest out of a file's metadata; None for a file of another program, which has none.

    Raises
    ------
    ValueError
        If the rest says that there was one.
    """
    written = metadata.pop(KEY, None)
    if written is not None:
        return written
    for name, value in metadata.items():
        if name == STRUCTURE or (value.startswith(_NAME) and len(value) == LENGTH):
            raise ValueError(
                f"its metadata have {name!r} and no {KEY!r}, with which it was written. A program "
                "that changes such a file on purpose has to leave out both"
            )
    return None


def digest_like(written: str) -> Digest:
    """A digest of the kind of one that a file has.

    Raises
    ------
    ValueError
        If it is of none that is known here.
    """
    if written.startswith(_NAME):
        return Digest()
    if ":" in written:
        raise ValueError(f"its digest, {written[:40]!r}, is of a kind that a newer version writes")
    return _OldDigest()


def filled(file: IO[bytes], at: int, memory: np.ndarray) -> int:
    """Read bytes from a place of any file; return how many there were."""
    file.seek(at)
    done = 0
    while done < memory.size:
        piece = memory[done : done + _PIECE]
        if hasattr(file, "readinto"):
            count = file.readinto(memoryview(piece)) or 0
        else:
            read = file.read(piece.size)
            piece[: (count := len(read))] = np.frombuffer(read, np.uint8)
        done += count
        if count < piece.size:
            break
    return done


def block_sums(memory: np.ndarray, sums: np.ndarray) -> None:
    """The sums of all blocks of some bytes, by the kernels or by NumPy: the same numbers."""
    if HOST.kernels is not None:
        HOST.kernels.block_sums(memory, sums)
        return
    sums = sums.reshape(-1, SUMS)
    for block in range(len(sums)):
        sums[block] = _sums(memory[block * BLOCK : (block + 1) * BLOCK])


def _sums(block: np.ndarray) -> np.ndarray:
    lines = -(-block.size // 64)
    if block.size % 64:
        block = np.concatenate([block, np.zeros(lines * 64 - block.size, np.uint8)])
    words = np.frombuffer(block, "<u8").astype(np.uint64, copy=False).reshape(lines, 8)
    mixed = words ^ _keys()[:lines]
    mixed = (mixed & np.uint64(0xFFFFFFFF)) * (mixed >> np.uint64(32))
    return np.concatenate([words.sum(0, np.uint64), mixed.sum(0, np.uint64)])


@cache
def _keys() -> np.ndarray:
    """The keys of a block, by line and column."""
    with np.errstate(over="ignore"):
        z = np.arange(1, 129, dtype=np.uint64) * np.uint64(_GOLDEN)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        z ^= z >> np.uint64(31)
        rows = np.arange(BLOCK // 1024, dtype=np.uint64) * np.uint64(_GOLDEN)
        return (z.reshape(1, 16, 8) + rows[:, None, None]).reshape(-1, 8)


def _room(memory: np.ndarray) -> np.ndarray:
    return np.empty(-(-memory.size // BLOCK) * SUMS, np.uint64)


def _pieces(memory: np.ndarray, sums: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    per_piece = _PIECE // BLOCK * SUMS
    return [
        (memory[start : start + _PIECE], sums[i * per_piece : (i + 1) * per_piece])
        for i, start in enumerate(range(0, memory.size, _PIECE))
    ]


def _is_plain(file: Any, kind: Any) -> bool:
    """Whether a file's bytes are those of the system's file, from where it stands."""
    return type(file) is kind and type(file.raw) is io.FileIO
