"""The safetensors format: a table of contents in JSON, then the bytes of the tensors.

Eight bytes hold the length of the table, little end first. The table gives each tensor's dtype,
shape, and where its bytes begin and end after the table; ``__metadata__`` maps strings to strings.
Files written here have a digest of all the rest in it (see `tensorlite.io.digest`).
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import IO, Any

import numpy as np

from tensorlite.io.digest import KEY, LENGTH, Digest, digest_like, digest_of, filled
from tensorlite.io.elements import CODES, SHORT, array_of, code_of, itemsize_of

__all__ = ["METADATA", "FormatError", "read", "read_header", "write"]

METADATA = "__metadata__"
_LONGEST = 100_000_000  # bytes of a table that others accept


class FormatError(ValueError):
    """The file is not in the safetensors format."""


def write(file: IO[bytes], arrays: Mapping[str, np.ndarray], metadata: Mapping[str, str]) -> None:
    """Write arrays, in order in memory, and metadata with a digest of them."""
    # The widest first, so that every tensor begins at a multiple of its element's size.
    order = sorted(arrays, key=lambda name: -arrays[name].itemsize)
    # Where the file can go back, the digest is taken while the elements are written.
    goes_back = _goes_back(file)
    start = file.tell() if goes_back else 0
    digest = Digest()

    def begin(name: str) -> np.ndarray:
        array = arrays[name]
        code = code_of(array.dtype)
        assert code is not None  # else the caller has refused it
        digest.begin(name, code, array.shape)
        return array.reshape(-1).view(np.uint8)

    if not goes_back:
        for name in order:
            digest.add(begin(name))
        file.write(_table(arrays, order, {**metadata, KEY: digest.result(metadata)}))
        for name in order:
            file.write(memoryview(arrays[name].reshape(-1).view(np.uint8)))
        return
    file.write(_table(arrays, order, {**metadata, KEY: "0" * LENGTH}))
    for name in order:
        digest.write(file, begin(name))
    end = file.tell()
    file.seek(start)
    file.write(_table(arrays, order, {**metadata, KEY: digest.result(metadata)}))
    file.seek(end)


def _goes_back(file: IO[bytes]) -> bool:
    """Whether what was written can be written over; not so where all goes to a file's end."""
    try:
        return file.seekable() and "a" not in str(getattr(file, "mode", ""))
    except AttributeError:  # something that has no more than write()
        return False


def _table(
    arrays: Mapping[str, np.ndarray], order: list[str], metadata: Mapping[str, str]
) -> bytes:
    """The beginning of a file, up to the elements, which lie in the order given."""
    end = 0
    places = {}
    for name in order:
        places[name] = [end, end := end + arrays[name].nbytes]
    table: dict[str, Any] = {METADATA: dict(metadata)}
    for name, array in arrays.items():
        table[name] = {
            "dtype": code_of(array.dtype),
            "shape": list(array.shape),
            "data_offsets": places[name],
        }
    text = json.dumps(table, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text


def read_header(file: IO[bytes]) -> tuple[dict[str, Any], dict[str, str], int]:
    """Read and check the table; return it, the metadata, and where the tensors begin.

    Raises
    ------
    FormatError
        If it is damaged, or the file is not of this format.
    """
    start = file.tell()
    size = int.from_bytes(file.read(8).ljust(8, b"\xff"), "little")
    if size > _LONGEST:
        raise FormatError(f"it begins with no table, or with one of {size} bytes")
    text = file.read(size)
    if len(text) < size or not text.startswith(b"{"):
        raise FormatError("its table of contents is incomplete")
    try:
        table = json.loads(text)
    except (ValueError, RecursionError) as error:  # also of bytes that are no text
        raise FormatError(f"its table of contents is damaged ({error})") from error
    metadata = table.pop(METADATA, None) or {}
    if not isinstance(metadata, dict) or not all(isinstance(v, str) for v in metadata.values()):
        raise FormatError("its metadata are damaged: they map no names to texts")
    end = 0
    entries = table.items()
    for name, entry in sorted(entries, key=lambda item: _offsets(*item)):
        first, last = _offsets(name, entry)
        if first != end or last - first != _bytes_of(name, entry):
            raise FormatError(f"the place of tensor {name!r} is not where it should be")
        end = last
    begin = start + 8 + size
    file.seek(0, 2)
    if file.tell() - begin != end:
        raise FormatError(f"it holds {file.tell() - begin} bytes of tensors in place of {end}")
    return table, metadata, begin


def read(
    file: IO[bytes], wanted: np.dtype | None = None
) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Read all arrays, each into memory of its own, and the metadata."""
    table, metadata, begin = read_header(file)
    written = digest_of(metadata)
    digest = None if written is None else digest_like(written)
    arrays = {}
    for name, entry in table.items():
        first, last = entry["data_offsets"]
        memory = np.empty(last - first, np.uint8)
        if digest is None:
            count = filled(file, begin + first, memory)
        else:
            digest.begin(name, entry["dtype"], entry["shape"])
            count = digest.read(file, begin + first, memory)
        if count != last - first:
            raise FormatError(f"it ends within tensor {name!r}")
        element = (CODES | SHORT)[entry["dtype"]]
        arrays[name] = array_of(memory, element, wanted).reshape(entry["shape"])
    if digest is None or written is None:
        return arrays, metadata
    if written != (found := digest.result(metadata)):
        raise FormatError(
            f"its content is not what was written: the digest is {found[:16]}…, and "
            f"{written[:16]}… where it was written. A program that changes such a file on "
            f"purpose has to leave {KEY!r} out of the metadata"
        )
    return arrays, metadata


def _offsets(name: str, entry: Any) -> tuple[int, int]:
    try:
        first, last = entry["data_offsets"]
        if not (isinstance(first, int) and isinstance(last, int) and 0 <= first <= last):
            raise ValueError
    except (TypeError, KeyError, ValueError) as error:
        raise FormatError(f"the table's entry of tensor {name!r} is damaged") from error
    return first, last


def _bytes_of(name: str, entry: Any) -> int:
    """Bytes that a tensor of this dtype and shape has."""
    code = entry.get("dtype")
    element = (CODES | SHORT).get(code) if isinstance(code, str) else None
    if element is None:
        raise FormatError(f"tensor {name!r} has the dtype {entry.get('dtype')!r}, unknown here")
    shape = entry.get("shape")
    if not isinstance(shape, list) or not all(isinstance(n, int) and n >= 0 for n in shape):
        raise FormatError(f"tensor {name!r} has the shape {shape!r}")
    return math.prod(shape) * itemsize_of(element)
