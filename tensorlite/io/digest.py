"""A digest of what a file holds, taken by threads beside the reading or writing of it.

It covers names, dtypes, shapes, elements and metadata, and not where in the file they lie: a file
that another program has written anew, with the same content, has the same digest. It finds damage,
and is no protection against somebody who changes a file on purpose.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self

import numpy as np

__all__ = ["KEY", "LENGTH", "PIECE", "Digest"]

KEY = "tensorlite.digest"  # of a file's metadata
LENGTH = 64
PIECE = 1 << 21  # bytes that have a checksum of their own: part of what the digest is


class Digest:
    """Collects what a file holds; use it in a ``with`` statement, which ends its threads.

    The elements go through CRC-32, 2 MiB at a time, since no other checksum of the standard library
    keeps up with a disk; all checksums, the names and the rest go through SHA-256.

    Examples
    --------
    >>> with Digest() as digest:
    ...     digest.begin("weight", "F32", (2, 3))
    ...     digest.add(np.zeros(24, np.uint8))
    ...     digest.result({"format": "pt"})
    """

    def __init__(self) -> None:
        self._entries: dict[str, tuple[str, list[int], list[Any]]] = {}
        self._sums: list[Any] = []
        self._pool: Any = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)

    def begin(self, name: str, code: str, shape: Any) -> None:
        """Begin a tensor; `code` is the format's name of its dtype."""
        self._sums = []
        self._entries[name] = (code, list(shape), self._sums)

    def add(self, memory: np.ndarray) -> None:
        """Take bytes of the tensor begun: all of them, or the next whole pieces.

        They are an array of uint8 with one axis, and must not change before the result is taken.
        """
        from zlib import crc32

        if memory.size <= PIECE // 16:  # a hand-over takes longer
            self._sums.append(crc32(memory))
            return
        for start in range(0, memory.size, PIECE):
            self._sums.append(self._later(crc32, memory[start : start + PIECE]))

    def _later(self, function: Any, piece: np.ndarray) -> Any:
        if self._pool is None and (spare := min((os.cpu_count() or 1) // 2, 4)):
            from concurrent.futures import ThreadPoolExecutor

            self._pool = ThreadPoolExecutor(spare)
        if self._pool is not None:
            with contextlib.suppress(RuntimeError):  # no more threads may be started
                return self._pool.submit(function, piece)
        return function(piece)

    def result(self, metadata: Mapping[str, str]) -> str:
        """The digest of all tensors and the metadata, but for that of an earlier digest."""
        entries = {
            name: [code, shape, [s if isinstance(s, int) else s.result() for s in sums]]
            for name, (code, shape, sums) in self._entries.items()
        }
        rest = {key: value for key, value in metadata.items() if key != KEY}
        text = json.dumps([entries, rest], sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()
