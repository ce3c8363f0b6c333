"""Arrays in NumPy's files, .npy and .npz, from anywhere: read, or refused in one sentence."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from tensorlite.io.files import shortened

__all__ = ["read_npy", "read_npz"]

_LARGE = 1 << 28  # bytes from which on it matters how much a file says it unpacks to
_RATIO = 50  # times its size that it may be then


def read_npy(path: str | os.PathLike) -> np.ndarray:
    """Read an array; objects are refused.

    Raises
    ------
    OSError
        If there is no such file, or it cannot be read.
    ValueError
        If it is truncated, damaged or of another kind.
    MemoryError
        If there is no room for the array.
    """
    path = Path(path)
    with path.open("rb") as file:
        try:
            return np.lib.format.read_array(file, allow_pickle=False)
        except MemoryError:
            _refuse_beyond(path)
            raise
        except Exception as error:  # a damaged header may raise anything
            raise _damaged(path, error) from error


def read_npz(path: str | os.PathLike, names: Sequence[str] | None = None) -> dict[str, np.ndarray]:
    """Read the arrays of an archive, all of them or those of these names; errors as `read_npy`."""
    path = Path(path)
    with path.open("rb") as file:
        try:
            with zipfile.ZipFile(file) as archive:
                _check_sizes(path, archive)
            file.seek(0)
            with np.load(file, allow_pickle=False) as arrays:
                missing = [name for name in names or () if name not in arrays.files]
                if missing:
                    raise ValueError(f"it lacks {missing}, and holds {arrays.files}")
                return {name: arrays[name] for name in names or arrays.files}
        except MemoryError:
            raise
        except Exception as error:  # zipfile, zlib and NumPy raise a dozen kinds
            raise _damaged(path, error) from error


def _check_sizes(path: Path, archive: zipfile.ZipFile) -> None:
    """Refuse an archive that unpacks to a multiple of what it is."""
    size = sum(entry.file_size for entry in archive.infolist())
    if size > _LARGE and size > _RATIO * path.stat().st_size:
        raise ValueError(
            f"its {path.stat().st_size:,} bytes would unpack to {size:,}: unpack it yourself, "
            "if that is right"
        )


def _refuse_beyond(path: Path) -> None:
    """Refuse a file whose header speaks of more elements than the file has bytes for."""
    with path.open("rb") as file:
        try:
            version = np.lib.format.read_magic(file)
            read = np.lib.format.read_array_header_1_0
            if version != (1, 0):
                read = np.lib.format.read_array_header_2_0
            shape, _, dtype = read(file)
            count = 1
            for n in shape:
                count *= n
            fits = count * dtype.itemsize <= path.stat().st_size
        except Exception as error:
            raise _damaged(path, error) from error
    if not fits:
        raise _damaged(path, ValueError(f"it is too short for an array of shape {shape}"))


def _damaged(path: Path, error: Exception) -> ValueError:
    said = shortened(str(error) or type(error).__name__)
    return ValueError(
        f"{path} cannot be read as {path.suffix[1:] or 'an array'}: it is truncated, damaged or of "
        f"another kind ({said})"
    )
