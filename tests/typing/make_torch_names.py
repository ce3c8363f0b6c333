"""Write tensorlite/torch_names.txt, PyTorch's public names (run it where torch is installed)."""

from __future__ import annotations

import importlib
from pathlib import Path

import torch

MODULES = (
    *("nn", "nn.functional", "nn.init", "nn.utils", "nn.utils.rnn", "nn.utils.parametrize"),
    *("nn.utils.parametrizations", "optim", "optim.lr_scheduler", "optim.swa_utils", "linalg"),
    *("special", "fft", "signal.windows", "utils.data", "utils.checkpoint", "distributions"),
    *("autograd", "autograd.functional", "func", "amp", "cuda", "cuda.amp", "backends"),
)
FILE = Path(__file__).parents[2] / "tensorlite" / "torch_names.txt"


def public(module: object) -> list[str]:
    """What a module offers, without what it merely imported."""
    names = set(getattr(module, "__all__", ())) or set(dir(module))
    if module is torch:
        names |= set(dir(module))
    return sorted(name for name in names if name[0] != "_" and hasattr(module, name))


def main() -> None:
    """Write the file."""
    rows = {"": public(torch), "Tensor": [name for name in dir(torch.Tensor) if name[0] != "_"]}
    rows |= {name: public(importlib.import_module(f"torch.{name}")) for name in MODULES}
    FILE.write_text("".join(f"{where}: {' '.join(names)}\n" for where, names in rows.items()))


if __name__ == "__main__":
    main()
