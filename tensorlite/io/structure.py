"""Nested states as tensors with names and a JSON text that says how they were nested.

What JSON has stands for itself. The rest is a dictionary with one key that begins with "$"::

    {"$tensor": "model.weight"}     a tensor, by its name in the file
    {"$tuple": [...]}               a tuple; also "$set", "$size", "$ordered" (an OrderedDict)
    {"$items": [[key, value], ...]} a dictionary whose keys are not all strings
    {"$bytes": "AQI="}              bytes, in base 64
    {"$complex": [1.0, 2.0]}, {"$dtype": "float32"}, {"$device": "cuda:0"}

Nothing in it names code, so nothing can be run by reading it.
"""

from __future__ import annotations

import base64
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

import numpy as np

from tensorlite.backend import Device, is_array
from tensorlite.backend.base import parse_device
from tensorlite.io.elements import code_of, dtype_of, host_array
from tensorlite.io.safetensors import METADATA
from tensorlite.tensor import Size, Tensor, tensor_of

__all__ = ["joined", "separated"]

_PLAIN = (type(None), bool, int, float, str)


def separated(value: Any) -> tuple[dict[str, np.ndarray], Any]:
    """Divide a state into arrays by name and the rest, fit for JSON; None: a flat dictionary.

    Raises
    ------
    TypeError
        If something in it can be neither; names where it is.
    """
    arrays: dict[str, np.ndarray] = {}
    structure = _separate(value, "", arrays)
    flat = type(value) in (dict, OrderedDict) and all(
        name in arrays and part == {"$tensor": name} for name, part in structure.items()
    )
    return arrays, None if flat else structure


def _separate(value: Any, path: str, arrays: dict[str, np.ndarray]) -> Any:
    if isinstance(value, Tensor):
        value = value.array
    if isinstance(value, np.generic):
        if value.dtype.kind not in "biuf":
            raise TypeError(f"save: {_where(path)} is a {value.dtype}, which cannot be saved")
        value = value.item()
    if type(value) in _PLAIN:
        return value
    if is_array(value):
        return {"$tensor": _put(value, path, arrays)}
    if isinstance(value, Mapping):
        return _separate_mapping(value, path, arrays)
    if isinstance(value, list | tuple | set | frozenset):
        parts = [_separate(v, _below(path, i), arrays) for i, v in enumerate(value)]
        if isinstance(value, list):
            return parts
        if isinstance(value, tuple):
            kind = "$size" if isinstance(value, Size) else "$tuple"
            if isinstance(value, Device):
                return {"$device": str(value)}
            return {kind: parts}
        return {"$set": parts}
    if isinstance(value, bytes):
        return {"$bytes": base64.b64encode(value).decode()}
    if isinstance(value, complex):
        return {"$complex": [value.real, value.imag]}
    if isinstance(value, np.dtype):
        return {"$dtype": value.name}
    if isinstance(value, bool | int | float | str):  # subclasses: an enumeration's, say
        return next(kind(value) for kind in (bool, int, float, str) if isinstance(value, kind))
    hint = "; save its state_dict()" if hasattr(value, "state_dict") else ""
    raise TypeError(
        f"save: {_where(path)} is a {type(value).__name__}, which cannot be saved{hint}"
    )


def _separate_mapping(value: Mapping, path: str, arrays: dict[str, np.ndarray]) -> Any:
    names = all(isinstance(key, str) for key in value)
    if names and not (len(value) == 1 and next(iter(value)).startswith("$")):
        parts = {k: _separate(v, _below(path, k), arrays) for k, v in value.items()}
        ordered = type(value) is OrderedDict and path  # at the top a state dictionary is plain
        return {"$ordered": parts} if ordered else parts
    for key in value:
        if not isinstance(key, str | bool | int | float | tuple | type(None)):
            raise TypeError(f"save: {_where(path)} has a key of type {type(key).__name__}")
    return {
        "$items": [
            [_separate(k, _below(path, "key"), arrays), _separate(v, _below(path, k), arrays)]
            for k, v in value.items()
        ]
    }


def _put(array: Any, path: str, arrays: dict[str, np.ndarray]) -> str:
    """Give an array a name that is still free, its path if possible."""
    host = host_array(array)
    if code_of(host.dtype) is None:
        raise TypeError(f"save: {_where(path)} has the dtype {host.dtype}, which cannot be saved")
    name = path or "tensor"
    while name in arrays or name == METADATA:
        name += "'"
    arrays[name] = host
    return name


def _below(path: str, key: Any) -> str:
    return f"{path}.{key}" if path else str(key)


def _where(path: str) -> str:
    return path or "the object"


def joined(value: Any, arrays: Mapping[str, np.ndarray]) -> Any:
    """Undo `separated`.

    Raises
    ------
    ValueError, KeyError
        If the structure is damaged.
    """
    if isinstance(value, list):
        return [joined(v, arrays) for v in value]
    if not isinstance(value, dict):
        return value
    if len(value) == 1:
        ((key, content),) = value.items()
        if key.startswith("$"):
            return _special(key, content, arrays)
    return {k: joined(v, arrays) for k, v in value.items()}


def _special(key: str, content: Any, arrays: Mapping[str, np.ndarray]) -> Any:
    match key:
        case "$tensor":
            return tensor_of(arrays[content])
        case "$items":
            return {joined(k, arrays): joined(v, arrays) for k, v in content}
        case "$ordered":
            return OrderedDict((k, joined(v, arrays)) for k, v in content.items())
        case "$tuple" | "$set" | "$size":
            kind = {"$tuple": tuple, "$set": set, "$size": Size}[key]
            return kind(joined(v, arrays) for v in content)
        case "$bytes":
            return base64.b64decode(content)
        case "$complex":
            return complex(*content)
        case "$dtype":
            return dtype_of(content)
        case "$device":
            return parse_device(content)
    raise ValueError(f"{key} means nothing here: the file is of a newer version")
