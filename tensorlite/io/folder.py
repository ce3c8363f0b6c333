"""Checkpoints in folders, as Hugging Face's libraries write them: a file, or several and an index.

The index is a JSON file; its ``weight_map`` says which file holds each tensor.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tensorlite.io.files import shortened

__all__ = ["is_index", "read_folder", "read_index"]

_FILES = (
    "model.safetensors.index.json",
    "model.safetensors",
    "pytorch_model.bin.index.json",
    "pytorch_model.bin",
    "diffusion_pytorch_model.safetensors.index.json",
    "diffusion_pytorch_model.safetensors",
    "adapter_model.safetensors",
)


def is_index(path: Any) -> bool:
    """Whether a path names an index."""
    return str(path).endswith(".index.json")


def read_folder(folder: Path, read: Callable[[Path], Any]) -> Any:
    """Read the checkpoint in a folder, by ``read(file)``.

    Raises
    ------
    IsADirectoryError
        If there is none; names what was looked for.
    """
    for name in _FILES:
        file = folder / name
        if file.is_file():
            return read_index(file, read) if is_index(file) else read(file)
    raise IsADirectoryError(
        f"{folder} is a folder, and no checkpoint is in it: none of {', '.join(_FILES)}"
    )


def read_index(index: Path, read: Callable[[Path], Any]) -> dict[str, Any]:
    """Read the files that an index names; return their tensors in the order of the index.

    Raises
    ------
    ValueError
        If the index is damaged, or tensors are not in the files where it says.
    FileNotFoundError
        If a file is missing.
    """
    try:
        places = json.loads(index.read_text(encoding="utf-8"))["weight_map"]
        files = sorted(set(places.values()))
        if not all(isinstance(f, str) and Path(f).name == f for f in files):
            raise ValueError("it names files outside its folder")
    except FileNotFoundError:
        raise FileNotFoundError(f"{index}: there is no such file") from None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(
            f"{index} cannot be read: it is no index of a checkpoint ({shortened(repr(error))})"
        ) from error
    found: dict[str, Any] = {}
    for file in files:
        part = read(index.parent / file)
        wanted = [name for name, place in places.items() if place == file]
        missing = [name for name in wanted if name not in part]
        if missing:
            raise ValueError(f"{index} says that {file} holds {missing[0]!r}, which it does not")
        found.update({name: part[name] for name in wanted})
    return {name: found[name] for name in places}
