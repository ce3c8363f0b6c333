"""Runs a program written for torch: on torch, or on tensorlite after its imports were changed."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

PROGRAMS = Path(__file__).parent / "programs"
NAMES = sorted(path.stem for path in PROGRAMS.glob("*.py"))


def source_of(name: str, library: str) -> str:
    """The text of a program; for tensorlite with its imports changed, and nothing else."""
    text = (PROGRAMS / f"{name}.py").read_text()
    if library == "torch":
        return text
    text = re.sub(r"^import torch$", f"import {library} as torch", text, flags=re.M)
    return re.sub(r"^(import|from) torch\b", rf"\1 {library}", text, flags=re.M)


def losses_of(name: str, library: str, device: str = "cpu") -> list[float]:
    """What a program yields, from weights that depend on their names and shapes alone."""
    module = sys.modules[f"port_{name}"] = ModuleType(f"port_{name}")  # dataclasses look there
    scope = vars(module)
    exec(compile(source_of(name, library), f"{name}.py", "exec"), scope)
    torch = scope["torch"]
    built = scope["build"]()
    parts = built if isinstance(built, list) else [built]
    for number, part in enumerate(parts):
        fill(part, torch, np.random.default_rng(100 + number))
        if hasattr(part, "state_dict"):
            part.to(device)
        elif device != "cpu":
            parts[number] = part.detach().to(device).requires_grad_()
    torch.manual_seed(1)  # making the modules drew numbers, too
    return list(scope["train"](parts if isinstance(built, list) else parts[0], device))


def fill(part: Any, torch: Any, rng: np.random.Generator) -> None:
    """Give a module, or a Tensor, numbers that both libraries can be given."""
    if not hasattr(part, "state_dict"):
        if part.dim():
            part.data = torch.tensor(drawn(rng, "weight", tuple(part.shape)))
        return
    state = part.state_dict()
    for name, value in state.items():
        if value.is_floating_point() and "running" not in name and not is_fixed(part, name):
            state[name] = torch.tensor(drawn(rng, name, tuple(value.shape)))
    part.load_state_dict(state)


def is_fixed(module: Any, name: str) -> bool:
    """Whether a name is a buffer: what the program computed itself."""
    return name in dict(module.named_buffers())


def drawn(rng: np.random.Generator, name: str, shape: tuple[int, ...]) -> np.ndarray:
    """Weights of about the size that layers begin with; scales of norms near 1."""
    values = rng.standard_normal(shape)
    if len(shape) < 2:
        values = 1 + 0.1 * values if name.endswith("weight") else 0.1 * values
    else:
        values /= np.sqrt(np.prod(shape[1:]))
    return values.astype(np.float32)
