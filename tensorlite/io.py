"""Saving and loading: one safetensors file for tensors and whatever surrounds them.

Nested states (``{"model": …, "optimizer": …, "epoch": 3}``) become tensors named by their path,
"model.0.weight", and JSON in the file's metadata that says how they were nested. A flat dictionary
is an ordinary safetensors file that other libraries read; one of theirs loads as a flat dictionary.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from tensorlite.backend import array_backend, is_array
from tensorlite.tensor import Tensor, tensor_of

__all__ = ["load", "save", "write_atomically"]

PARTIAL = ".partial"  # ends the names of files not yet complete
_STRUCTURE = "tensorlite"  # key of the file's metadata
_TENSOR = "$tensor"  # in the structure: what stands in a tensor's place, with its name


def save(path: str | Path, state: Mapping[str, Any]) -> None:
    """Write a state to a safetensors file, all of it or nothing.

    Parameters
    ----------
    path
        The file; one that is there is replaced at the moment the new one is complete.
    state
        A dictionary with string keys of Tensors and arrays (of any device), numbers, strings,
        booleans, None, and lists, tuples and dictionaries of these. Tuples come back as lists.

    Raises
    ------
    TypeError
        If something else is in it; names where.
    OSError
        If the file cannot be written.

    Examples
    --------
    >>> tl.save("model.safetensors", model.state_dict())
    >>> model.load_state_dict(tl.load("model.safetensors"))
    """
    from safetensors.numpy import save_file

    arrays: dict[str, np.ndarray] = {}
    structure = json.dumps(_separate(dict(state), "", arrays))
    write_atomically(path, lambda name: save_file(arrays, name, {_STRUCTURE: structure}))


def load(path: str | Path) -> dict[str, Any]:
    """Read what `save` wrote, or any other safetensors file.

    Returns
    -------
    dict
        The state as it was nested, its arrays as Tensors on the CPU.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the file is truncated, or not a safetensors file.
    """
    from safetensors import SafetensorError, safe_open

    if Path(path).is_dir():
        raise IsADirectoryError(f"{path} is a folder, not a safetensors file")
    try:
        with safe_open(path, framework="np") as file:
            tensors = {name: tensor_of(file.get_tensor(name)) for name in file.keys()}  # noqa: SIM118
            structure = (file.metadata() or {}).get(_STRUCTURE)
    except FileNotFoundError:
        raise FileNotFoundError(f"{path}: there is no such file") from None
    except (SafetensorError, OSError) as error:
        raise ValueError(
            f"{path} cannot be read: it is truncated or not a safetensors file ({error})"
        ) from error
    if structure is None:
        return tensors
    try:
        return _join(json.loads(structure), tensors)
    except (json.JSONDecodeError, KeyError) as error:
        raise ValueError(f"{path}: what its tensors belong to is damaged ({error!r})") from error


def write_atomically(path: str | Path, write: Callable[[str], Any]) -> None:
    """Let `write` fill a temporary file beside `path`, then put it in the place of `path`.

    Whatever happens in between, a power failure included, `path` is the old file or the new one.
    """
    path = Path(path)
    partial = path.with_name(f".{path.name}.{os.getpid()}{PARTIAL}")
    try:
        write(str(partial))
        with open(partial, "rb+") as file:
            os.fsync(file.fileno())
        os.replace(partial, path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


def _separate(value: Any, path: str, arrays: dict[str, np.ndarray]) -> Any:
    """Move the arrays of a nested state into `arrays`; return the rest, fit for JSON."""
    if isinstance(value, Tensor):
        value = value.array
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if is_array(value):
        return {_TENSOR: _put(value, path, arrays)}
    if isinstance(value, Mapping):
        strange = [key for key in value if not isinstance(key, str) or key == _TENSOR]
        if strange:
            raise TypeError(f"save: {path or 'the state'} has the key {strange[0]!r}: use names")
        return {k: _separate(v, f"{path}.{k}" if path else k, arrays) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_separate(v, f"{path}.{i}", arrays) for i, v in enumerate(value)]
    raise TypeError(f"save: {path} is a {type(value).__name__}, which cannot be saved")


def _put(array: Any, name: str, arrays: dict[str, np.ndarray]) -> str:
    if name in arrays:
        raise ValueError(f"save: two tensors have the path {name!r}")
    # safetensors writes the memory of a transposed array as if it were in order (its issue 825);
    # `numpy.ascontiguousarray` would give arrays without axes one.
    arrays[name] = np.asarray(array_backend((array,)).to_host(array), order="C")
    return name


def _join(value: Any, tensors: Mapping[str, Tensor]) -> Any:
    """Undo `_separate`."""
    if isinstance(value, list):
        return [_join(v, tensors) for v in value]
    if isinstance(value, dict):
        if _TENSOR in value:
            return tensors[value[_TENSOR]]
        return {k: _join(v, tensors) for k, v in value.items()}
    return value
