"""How the tables write arguments and results down, and how they are read back.

Everything but arrays is JSON. An array is a string ``@float64:2,3:120``: its dtype, its shape, and
where it starts in the table's long row of numbers of that dtype; ``g`` at the end marks arguments
that want gradients.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).parent
KEPT_BITS = 30  # of a stored result's mantissa: a relative error of 5e-10

DTYPES = (
    *("bool", "uint8", "int8", "int16", "int32", "int64"),
    *("float16", "bfloat16", "float32", "float64"),
)


def read_json(name: str) -> Any:
    """One of the tables beside this file."""
    return json.loads((HERE / name).read_text(encoding="utf-8"))


# --- arrays -------------------------------------------------------------------------------------


def rounded(array: np.ndarray, bits: int) -> np.ndarray:
    """Float64 numbers with so many bits of their mantissa."""
    if array.dtype != np.float64:
        return array
    drop = 52 - bits
    raw = array.reshape(-1).view(np.uint64)
    half = np.uint64(1 << (drop - 1))
    kept = (raw + half) & ~np.uint64((1 << drop) - 1)
    return np.where(np.isfinite(array), kept.view(np.float64).reshape(array.shape), array)


def place(text: str) -> tuple[str, tuple[int, ...], int, bool]:
    """What an array's string says: dtype, shape, start, and whether it wants a gradient."""
    dtype, lengths, start, *wants = text[1:].split(":")
    shape = tuple(map(int, lengths.split(","))) if lengths else ()
    return dtype, shape, int(start), bool(wants)


class Store:
    """Rows of numbers, one per dtype, that arrays are put in one after another."""

    def __init__(self) -> None:
        self.rows: dict[str, list[np.ndarray]] = {}
        self.lengths: dict[str, int] = {}
        self.known: dict[tuple, int] = {}

    def put(self, array: np.ndarray, dtype: str) -> str:
        """Remember an array; bfloat16 comes as float32. Returns what stands for it."""
        flat = array.reshape(-1)
        key = (dtype, flat.tobytes())
        if key not in self.known:
            self.known[key] = self.lengths.get(dtype, 0)
            self.rows.setdefault(dtype, []).append(flat)
            self.lengths[dtype] = self.known[key] + flat.size
        return f"@{dtype}:{','.join(map(str, array.shape))}:{self.known[key]}"

    def get(self, text: str) -> tuple[np.ndarray, str, bool]:
        """An array, its dtype, and whether it wants a gradient."""
        dtype, shape, start, wants = place(text)
        row = np.concatenate(self.rows[dtype])
        self.rows[dtype] = [row]
        return row[start : start + math.prod(shape)].reshape(shape), dtype, wants

    def adopt(self, value: Any, other: Store) -> Any:
        """The same JSON, with arrays of another store put in this one."""
        if isinstance(value, str) and value.startswith("@"):
            array, dtype, wants = other.get(value)
            return self.put(array, dtype) + (":g" if wants else "")
        if isinstance(value, list):
            return [self.adopt(v, other) for v in value]
        if isinstance(value, dict):
            return {k: self.adopt(v, other) for k, v in value.items()}
        return value

    def arrays(self) -> dict[str, np.ndarray]:
        """The rows as bytes, the first of all numbers first: so they compress best."""
        rows = {name: np.concatenate(parts) for name, parts in sorted(self.rows.items())}
        return {
            name: row.view(np.uint8).reshape(row.size, row.itemsize).T.copy()
            for name, row in rows.items()
        }


class Numbers:
    """The arrays of a table."""

    def __init__(self, arrays: Mapping[str, np.ndarray]) -> None:
        self.rows = {}
        for name, stored in arrays.items():
            kind = "float32" if name == "bfloat16" else name
            self.rows[name] = np.ascontiguousarray(stored.T).reshape(-1).view(kind)

    @classmethod
    def read(cls, path: Path) -> Numbers:
        """The arrays of a file."""
        with np.load(path) as file:
            return cls(file)

    def __getitem__(self, text: str) -> tuple[np.ndarray, str, bool]:
        """An array, its dtype, and whether it wants a gradient."""
        dtype, shape, start, wants = place(text)
        return self.rows[dtype][start : start + math.prod(shape)].reshape(shape), dtype, wants


# --- what is no array ---------------------------------------------------------------------------


def plain(value: Any) -> Any:
    """Numbers that JSON does not know get a name."""
    if isinstance(value, float) and not math.isfinite(value):
        return {"float": str(value)}
    return value


def decoded(value: Any, array: Callable[[str], Any], names: Any) -> Any:
    """Read an argument: `array` makes the Tensors, `names` has the dtypes and the device."""
    if isinstance(value, str):
        return array(value) if value.startswith("@") else value
    if isinstance(value, list):
        return [decoded(v, array, names) for v in value]
    if isinstance(value, dict):
        ((kind, inner),) = value.items()
        if kind == "tuple":
            return tuple(decoded(v, array, names) for v in inner)
        if kind == "float":
            return float(inner)
        if kind == "slice":
            return slice(*(decoded(v, array, names) for v in inner))
        if kind == "ellipsis":
            return ...
        if kind == "Size":
            return names.size(inner)
        if kind == "dtype":
            return names.dtype(inner)
        if kind == "device":
            return names.device
        raise ValueError(f"the table has a value of an unknown kind {kind!r}")
    return value


def resolved(library: Any, form: str) -> Any:
    """What ``torch.nn.functional.relu`` is in a library; raises AttributeError where nothing is."""
    found = library
    for part in form.split(".")[1:]:
        found = getattr(found, part)
    return found


def call(library: Any, tensor: type, form: str, args: list, kwargs: dict) -> Any:
    """Call a function ``torch.x``, a method ``Tensor.x`` or ``in place x_``, or read a property."""
    if form.startswith("in place "):
        x = args[0].clone()
        if getattr(x, form[9:])(*args[1:], **kwargs) is not x:
            raise TypeError(f"{form[9:]} returns another Tensor")
        return x
    if form.startswith("property "):
        return getattr(args[0], form[9:])
    if form.startswith("Tensor."):
        getattr(tensor, form[7:])
        return getattr(args[0], form[7:])(*args[1:], **kwargs)
    return resolved(library, form)(*args, **kwargs)


def read_through(entry: dict, args: list) -> None:
    """Differentiate by what an operation reads: a triangle, or logarithms of probabilities.

    What it ignores, or takes for granted, has a gradient by convention only.
    """
    if "through" in entry:
        i, part = entry["through"]
        x = args[i]
        if part == "symmetric":
            args[i] = (x + x.mT) / 2
        else:
            args[i] = x.log_softmax(-1) if part == "log_softmax" else getattr(x, part)()


# --- results ------------------------------------------------------------------------------------


def leaves(value: Any, tensor: type) -> Iterator[Any]:
    """The Tensors in nested tuples, lists and dictionaries, in order."""
    if isinstance(value, tensor):
        yield value
    elif isinstance(value, (list, tuple)):
        for inner in value:
            yield from leaves(inner, tensor)
    elif isinstance(value, dict):
        for inner in value.values():
            yield from leaves(inner, tensor)


def cotangent(shape: tuple[int, ...], turn: int) -> np.ndarray:
    """Fixed numbers to weigh a result with, before the sum that is differentiated."""
    n = math.prod(shape)
    return (np.cos(np.arange(n) * 0.73 + turn * 0.31 + 0.4) + 0.2).reshape(shape)


def sign_free(name: str, outputs: list, absolute: Callable) -> list:
    """Results that are determined: of singular and eigenvectors the absolute values."""
    if name in ("svd", "linalg.svd", "linalg.eigh"):
        return [absolute(x) for x in outputs]
    return outputs
