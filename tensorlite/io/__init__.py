"""Saving and loading: safetensors for tensors and whatever surrounds them, and torch's files.

A flat dictionary of Tensors becomes an ordinary safetensors file that other libraries read. Nested
states (``{"model": …, "optimizer": …, "epoch": 3}``) become tensors named by their path,
"model.0.weight", and JSON in the file's metadata that says how they were nested (see
`tensorlite.io.structure`). A digest in the metadata tells later whether the file is what was
written (see `tensorlite.io.digest`). Nothing that is read is ever run.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np

from tensorlite import ranks
from tensorlite.backend import CPU, Device, backend_for
from tensorlite.backend import device as parse_device
from tensorlite.backend.dtypes import as_dtype
from tensorlite.io import safetensors
from tensorlite.io.digest import STRUCTURE
from tensorlite.io.elements import MissingPackage
from tensorlite.io.files import (
    PARTIAL,
    is_path,
    name_of,
    opened,
    shortened,
    sweep,
    write_atomically,
    write_to,
)
from tensorlite.io.folder import is_index, read_folder, read_index
from tensorlite.io.structure import joined, separated
from tensorlite.tensor import Tensor, tensor_of

__all__ = ["PARTIAL", "load", "save", "sweep", "write_atomically"]

_OF_TORCH = (".pt", ".pth", ".bin")

Place = str | Device | Mapping[str, Any] | Callable[[Tensor, str], Any] | None


def save(obj: Any, f: Any, pickle_module: Any = None, pickle_protocol: int = 2) -> None:
    """Write an object to a file, all of it or nothing.

    Parameters
    ----------
    obj
        A state dictionary, or a Tensor, or Tensors and arrays (of any device), numbers, strings,
        bytes, booleans, None, dtypes and devices in dictionaries, lists, tuples and sets.
    f : path or file
        A path; a file that is there is replaced at the moment the new one is complete. Or a file
        opened for writing. Paths that end in ``.pt``, ``.pth`` or ``.bin`` are written as torch
        does, so that ``torch.load`` reads them; all others in the safetensors format.
    pickle_module, pickle_protocol
        Accepted for torch's sake; nothing is pickled.

    Raises
    ------
    TypeError
        If something else is in it; names where.
    OSError
        If the file cannot be written: no such folder, no permission, a full disk. What was there
        stays as it is.

    Examples
    --------
    >>> tl.save(model.state_dict(), "model.safetensors")
    >>> model.load_state_dict(tl.load("model.safetensors"))
    """
    if is_path(obj) and not is_path(f):
        raise TypeError("save(obj, f): the object comes first, then the file")
    if is_path(f) and str(f).lower().endswith(_OF_TORCH):
        from tensorlite.io import torch_write

        write_to(f, lambda file: torch_write.write(file, obj))
        ranks.world().checkpoint = str(f)
        return
    arrays, structure = separated(obj)
    metadata = {"format": "pt"}  # what Hugging Face's libraries ask for
    if structure is not None:
        metadata[STRUCTURE] = json.dumps(structure)
    size = sum(array.nbytes for array in arrays.values())
    write_to(f, lambda file: safetensors.write(file, arrays, metadata), size)
    if is_path(f):
        ranks.world().checkpoint = str(f)


def load(
    f: Any,
    map_location: Place = None,
    pickle_module: Any = None,
    *,
    weights_only: bool | None = None,
    mmap: bool | None = None,
    dtype: Any = None,
) -> Any:
    """Read what `save` wrote, any safetensors file, a file of torch, or a folder of them.

    Parameters
    ----------
    f : path or file
        A file's path, a file opened for reading, a folder as Hugging Face's libraries write it
        (``model.safetensors``, or several files with ``model.safetensors.index.json``), or such an
        index.
    map_location : str, Device, dict or callable, optional
        Where Tensors go. A dictionary maps places to places, a callable gets a Tensor and its
        place and returns a place, or a Tensor that is there. By default Tensors of torch's files
        go where they were, if this machine has that device, and all others to the CPU.
    pickle_module, weights_only, mmap
        Accepted for torch's sake. Code in a file is never run, whatever they say.
    dtype : dtype, optional
        What floats are turned into while they are read: ``dtype="float32"`` of a bfloat16
        checkpoint.

    Returns
    -------
    object
        The state as it was nested, its arrays as Tensors.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the file is truncated, damaged or of another format. What `save` wrote has a digest in
        it, so that every damage is found; files from elsewhere are read without.
    pickle.UnpicklingError
        If a file of torch holds more than tensors and plain containers; names what.

    Examples
    --------
    >>> tl.save({"step": 3}, "state.tl")
    >>> tl.load("state.tl")
    {'step': 3}
    """
    wanted = None if dtype is None else as_dtype(dtype)
    if is_path(f):
        path = Path(os.fspath(f))
        if path.is_dir():
            return read_folder(path, lambda file: load(file, map_location, dtype=dtype))
        if is_index(path):
            return read_index(path, lambda file: load(file, map_location, dtype=dtype))
    with opened(f) as file:
        return _read(file, name_of(f), map_location, wanted)


def _read(file: IO[bytes], name: str, location: Place, wanted: np.dtype | None) -> Any:
    from tensorlite.io import torch_read
    from tensorlite.io.torch_unpickler import Refused

    start = file.tell()
    beginning = file.read(4)
    file.seek(start)
    of_torch = None
    if torch_read.is_zip(beginning):
        of_torch = torch_read.read_zip
    elif torch_read.is_legacy(beginning):
        of_torch = torch_read.read_legacy
    if of_torch is not None:
        try:
            value, places = of_torch(file, wanted)
        except Refused as error:
            raise Refused(f"{name} cannot be loaded: {shortened(str(error))}") from None
        except (MissingPackage, MemoryError):
            raise
        except ValueError as error:
            raise ValueError(f"{name} cannot be read: {shortened(str(error))}") from error
        except Exception as error:  # a damaged pickle may raise anything
            said = shortened(repr(error))
            raise ValueError(f"{name} cannot be read: it is damaged ({said})") from error
        return _placed(value, location, places, wanted)
    try:
        arrays, metadata = safetensors.read(file, wanted)
    except (MissingPackage, MemoryError):
        raise
    except (ValueError, OverflowError) as error:  # shapes that no array can have, too
        raise ValueError(
            f"{name} cannot be read: it is truncated, damaged or not a safetensors file "
            f"({shortened(str(error), 400)})"
        ) from error
    structure = metadata.get(STRUCTURE)
    if structure is None:
        value = {key: tensor_of(array) for key, array in arrays.items()}
    else:
        try:
            value = joined(json.loads(structure), arrays)
        except (MissingPackage, MemoryError):
            raise
        except Exception as error:  # what is in it may be anything, nested however deep
            raise ValueError(
                f"{name}: what its tensors belong to is damaged ({shortened(repr(error))})"
            ) from error
    return _placed(value, location, {}, None)


# --- where tensors go ---------------------------------------------------------------------------


def _placed(value: Any, location: Place, places: Mapping[int, str], wanted: np.dtype | None) -> Any:
    """Put the Tensors of a nested value, in place, where `location` says; see `load`."""
    return _Placing(location, places, wanted).of(value)


class _Placing:
    """Puts Tensors in their places.

    A function within `_placed` that calls itself would be a cycle, which keeps what was loaded in
    memory until Python looks for cycles.
    """

    def __init__(self, location: Place, places: Mapping[int, str], wanted: np.dtype | None) -> None:
        self.location, self.places, self.wanted = location, places, wanted
        self.done: dict[int, Any] = {}

    def of(self, item: Any) -> Any:
        """The item, its Tensors in their places."""
        done = self.done
        if id(item) in done:
            return done[id(item)]
        if isinstance(item, Tensor):
            self._put(item)
        elif isinstance(item, dict):
            done[id(item)] = item
            for key, part in item.items():
                item[key] = self.of(part)
        elif isinstance(item, list):
            done[id(item)] = item
            item[:] = [self.of(part) for part in item]
        elif type(item) is tuple:
            item = tuple([self.of(part) for part in item])
        done[id(item)] = item
        return item

    def _put(self, tensor: Tensor) -> None:
        where = _where(tensor, self.location, self.places.get(id(tensor), "cpu"))
        wanted, dtype = self.wanted, tensor.dtype
        if wanted is not None and dtype.kind in "fV" and dtype != wanted:
            tensor.array = tensor.array.astype(wanted)
        if where.type != "cpu":
            tensor.array = backend_for(where).asarray(tensor.array, device=where)


def _where(tensor: Tensor, location: Place, was: str) -> Device:
    if location is None:
        return _if_there(was)
    if callable(location):
        found = location(tensor, was)
        if isinstance(found, Tensor):
            return found.device
        return _if_there(was) if found is None else parse_device(found)
    if isinstance(location, Mapping):
        return parse_device(location[was]) if was in location else _if_there(was)
    return parse_device(location)


def _if_there(place: str) -> Device:
    """A device, or the CPU where this machine has no such device."""
    try:
        return parse_device(place)
    except (RuntimeError, ValueError, ImportError):
        return CPU
