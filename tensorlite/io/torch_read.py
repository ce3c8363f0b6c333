"""Files of torch, ``.pt``, ``.pth`` and ``.bin``, read without torch.

Since version 1.6 such a file is a zip archive: ``data.pkl`` is a pickle of everything but the
elements, which lie in ``data/0``, ``data/1`` …, one file for each storage. Before that it was a row
of pickles, with the storages behind them.
"""

from __future__ import annotations

import io
import sys
import zipfile
from collections.abc import Callable
from typing import IO, Any

import numpy as np

from tensorlite.io.elements import array_of, itemsize_of
from tensorlite.io.torch_unpickler import Storage, TorchUnpickler, finished

__all__ = ["is_legacy", "is_zip", "read_legacy", "read_zip"]

_MAGIC = 0x1950A86A20F9469CFC6C
_PROTOCOL = 1001
_LARGE = 1 << 24  # bytes that anything may unpack to
_RATIO = 50  # times its size in the archive that it may have


def is_zip(beginning: bytes) -> bool:
    """Whether a file that begins so is a zip archive."""
    return beginning.startswith(b"PK\x03\x04")


def is_legacy(beginning: bytes) -> bool:
    """Whether a file that begins so is a pickle: of the form before torch 1.6, it may be."""
    return beginning[:1] == b"\x80" and beginning[1:2] in b"\x02\x03\x04\x05"


def read_zip(file: IO[bytes], wanted: np.dtype | None = None) -> tuple[Any, dict[int, str]]:
    """Read an archive; return what it holds, and where tensors were, by their ids.

    Raises
    ------
    pickle.UnpicklingError
        If it holds something that is not data.
    ValueError
        If it is damaged or an archive of something else.
    """
    try:
        archive = zipfile.ZipFile(file)
    except zipfile.BadZipFile as error:
        raise ValueError(f"it is an incomplete or damaged archive ({error})") from error
    with archive:
        names = archive.namelist()
        pickles = [name for name in names if name.split("/", 1)[-1] == "data.pkl"]
        if len(pickles) != 1:
            raise ValueError("it is a zip archive, but not one of torch: it has no data.pkl")
        folder = pickles[0][: -len("data.pkl")]
        if f"{folder}constants.pkl" in names:
            raise ValueError(
                "it is a TorchScript program. In torch: "
                "torch.save(torch.jit.load(path).state_dict(), …)"
            )
        _check_sizes(archive)
        swapped = _is_swapped(archive, f"{folder}byteorder")
        storages: dict[str, Storage] = {}

        def storage(dtype: str, key: str, numel: int, view: Any) -> Storage:
            if key not in storages:
                memory = _contents(archive, f"{folder}data/{key}")
                if memory.size < numel * itemsize_of(dtype):
                    raise ValueError(f"the storage {key} has {memory.size} bytes, too few")
                storages[key] = Storage(memory, dtype)
            return storages[key]

        def view(memory: np.ndarray, dtype: str) -> np.ndarray:
            if swapped:
                memory = memory.reshape(-1, _scalar_size(dtype))[:, ::-1].reshape(-1)
            return array_of(memory, dtype, wanted)

        # Read whole first: an archive tells damage at the end of what is in it.
        with io.BytesIO(archive.read(pickles[0])) as program:
            reader = TorchUnpickler(program, storage, view)
            return finished(reader.load()), reader.locations


def _check_sizes(archive: zipfile.ZipFile) -> None:
    """Refuse what unpacks to a multiple of what it is; torch does not pack at all."""
    for info in archive.infolist():
        if info.file_size > max(_LARGE, _RATIO * info.compress_size):
            raise ValueError(
                f"{info.filename} in it unpacks from {info.compress_size:,} bytes to "
                f"{info.file_size:,}, and torch does not pack its files: write it anew in torch"
            )


def _is_swapped(archive: zipfile.ZipFile, name: str) -> bool:
    """Whether the elements were written by a machine of the other byte order."""
    written = archive.read(name).decode() if name in archive.namelist() else "little"
    return written != "little"


def _scalar_size(dtype: str) -> int:
    size = itemsize_of(dtype)
    return size // 2 if dtype.startswith("complex") else size


def _contents(archive: zipfile.ZipFile, name: str) -> np.ndarray:
    """The bytes of a file in the archive, in memory that may be written to."""
    info = archive.getinfo(name)
    memory = np.empty(info.file_size, np.uint8)
    with archive.open(info) as opened:
        file: Any = opened
        view, at = memoryview(memory), 0
        while at < memory.size and (read := file.readinto(view[at:])):
            at += read
    if at < memory.size:
        raise ValueError(f"it ends within {name}")
    return memory


def read_legacy(file: IO[bytes], wanted: np.dtype | None = None) -> tuple[Any, dict[int, str]]:
    """Read the older form; as `read_zip`."""
    if sys.byteorder != "little":
        raise ValueError("it has torch's form of before 1.6, which needs a little-endian machine")
    storages: dict[str, Storage] = {}
    start = file.tell()
    total = file.seek(0, 2)
    file.seek(start)

    def storage(dtype: str, key: str, numel: int, view: Any) -> Storage:
        if view is not None:
            raise ValueError("it has views of storages, as only versions before torch 0.4 wrote")
        if key not in storages:
            if numel * itemsize_of(dtype) > total:
                raise ValueError(f"the storage {key} would be longer than the file")
            storages[key] = Storage(np.zeros(numel * itemsize_of(dtype), np.uint8), dtype)
        return storages[key]

    def plain() -> Any:
        return reader_of(array_of).load()

    def reader_of(view: Callable[[np.ndarray, str], np.ndarray]) -> TorchUnpickler:
        _check_pickle(file, total)
        bounded: Any = _Bounded(file, total)
        return TorchUnpickler(bounded, storage, view)

    if plain() != _MAGIC:
        raise ValueError("it is a pickle, but not one that torch wrote")
    if plain() != _PROTOCOL or not plain().get("little_endian", True):
        raise ValueError("it has a form of torch's that is not known here")
    # The elements come last, so the tensors are read twice: at first for their storages.
    begin = file.tell()
    reader_of(array_of).load()
    for key in plain():
        found = storages[key]
        size = int.from_bytes(file.read(8), "little") * itemsize_of(found.dtype)
        if size != found.memory.size:
            raise ValueError(f"the storage {key} has not the size it should have")
        data = file.read(size)
        if len(data) < size:
            raise ValueError("it ends within a storage")
        storages[key] = Storage(np.frombuffer(data, np.uint8).copy(), found.dtype)
    file.seek(begin)
    reader = reader_of(lambda memory, dtype: array_of(memory, dtype, wanted))
    return finished(reader.load()), reader.locations


class _Bounded:
    """A file for an unpickler, which asks for as many bytes as a damaged file tells it to."""

    def __init__(self, file: IO[bytes], total: int) -> None:
        self._file = file
        self._total = total

    def read(self, count: int) -> bytes:
        return self._file.read(min(count, self._total))

    def readline(self) -> bytes:
        return self._file.readline()


def _check_pickle(file: IO[bytes], total: int) -> None:
    """Refuse a pickle that numbers its objects beyond what a file of `total` bytes can hold.

    The unpickler makes room for as many objects as the greatest number says: one wrong byte, and
    that is 30 GB. The old form has no checksums that would tell.
    """
    import pickletools  # for this alone

    start = file.tell()
    bounded: Any = _Bounded(file, total)
    for code, argument, _ in pickletools.genops(bounded):
        if code.name == "LONG_BINPUT" and int(argument or 0) > total:
            raise ValueError(f"its pickle is damaged: object {argument} of a file of {total} bytes")
    file.seek(start)
