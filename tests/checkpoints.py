"""The tiny checkpoints of `bridges/hugging_face`, as a folder that Hugging Face writes.

What is stored are the numbers, bfloat16 as its bits; the files are made by the library of the
format, each tensor in the file that the index names.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np

STORED = Path(__file__).parent / "bridges" / "hugging_face"


def unpacked(name: str, to: Path) -> Path:
    """Write a checkpoint into a folder of its own in `to`; return that."""
    import ml_dtypes
    from safetensors.numpy import save_file

    folder = to / name
    shutil.copytree(STORED / name, folder, ignore=shutil.ignore_patterns("*.npz"))
    files: dict[str, dict[str, np.ndarray]] = {}
    places = json.loads((folder / "model.safetensors.index.json").read_text())["weight_map"]
    with np.load(STORED / name / "weights.npz") as weights:
        for tensor, file in places.items():
            files.setdefault(file, {})[tensor] = weights[tensor].view(ml_dtypes.bfloat16)
    for file, tensors in files.items():
        save_file(tensors, folder / file, {"format": "pt"})
    return folder
