"""Write reference.npz: parameters and state after the steps in torch_cases.py, by torch in float64.

Run with torch 2.13: ``python tests/optim/make_reference.py``.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch_cases import CASES, IDS, gradients, start


def results(name: str, settings: dict) -> dict[str, np.ndarray]:
    """Final parameters, and the state dictionary, by path."""
    parameters = [torch.tensor(p, dtype=torch.float64, requires_grad=True) for p in start()]
    optimizer = getattr(torch.optim, name)(parameters, **settings)
    for grads in gradients():
        for p, g in zip(parameters, grads, strict=True):
            p.grad = None if g is None else torch.tensor(g, dtype=torch.float64)
        optimizer.step()
    found = {f"p.{i}": p.detach().numpy() for i, p in enumerate(parameters)}
    for i, state in optimizer.state_dict()["state"].items():
        found |= {f"state.{i}.{k}": np.asarray(v) for k, v in state.items() if v is not None}
    return found


def main() -> None:
    """Write the file."""
    torch.set_num_threads(1)
    everything = {
        f"{case}/{key}": value
        for case, (name, settings) in zip(IDS, CASES, strict=True)
        for key, value in results(name, settings).items()
    }
    np.savez_compressed(Path(__file__).with_name("reference.npz"), **everything)


if __name__ == "__main__":
    main()
