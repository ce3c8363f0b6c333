"""The stored results of torch, as one flat array for each case: many small ones take more room."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

FILE = Path(__file__).with_name("reference.npz")


def save(results: dict[str, dict[str, np.ndarray]]) -> None:
    """Write the arrays of all cases."""
    index = {
        case: [(name, str(array.dtype), array.shape) for name, array in arrays.items()]
        for case, arrays in results.items()
    }
    flat = {
        case: np.concatenate([array.ravel().astype(np.float32) for array in arrays.values()])
        for case, arrays in results.items()
    }
    np.savez_compressed(FILE, index=json.dumps(index), **flat)


def load() -> dict[str, dict[str, np.ndarray]]:
    """Read them."""
    with np.load(FILE) as file:
        index = json.loads(str(file["index"]))
        return {case: _cut(file[case], entries) for case, entries in index.items()}


def _cut(flat: np.ndarray, entries: list) -> dict[str, np.ndarray]:
    sizes = [int(np.prod(shape)) for _, _, shape in entries]
    parts = np.split(flat, np.cumsum(sizes)[:-1])
    return {
        name: part.astype(dtype).reshape(shape)
        for part, (name, dtype, shape) in zip(parts, entries, strict=True)
    }
