"""The few names in which tensorlite and PyTorch differ, so that a workload is written once."""

from __future__ import annotations

from importlib.util import find_spec
from types import ModuleType
from typing import Any

import numpy as np

PEERS = {"torch": "torch", "jax": "jax"}
"""What tensorlite can be compared with, and what to ``pip install`` for it."""


def check_installed(peer: str) -> None:
    """Raise ModuleNotFoundError, with what to do, where a peer cannot be imported."""
    if find_spec(peer) is None:
        raise ModuleNotFoundError(
            f"{peer} is not installed, so there is nothing to compare with: pip install "
            f"{PEERS[peer]}"
        )


class Framework:
    """tensorlite or PyTorch, on one device, in one dtype.

    Attributes
    ----------
    nn, optim
        Its modules of these names.
    functional
        ``nn.functional``.
    """

    def __init__(self, name: str, device: str = "cpu", dtype: str = "float32") -> None:
        self.name, self.device, self.dtype = name, device, dtype
        self.library = _import(name)
        self.nn, self.optim = self.library.nn, self.library.optim
        self.functional = self.nn.functional

    def tensor(self, values: np.ndarray, requires_grad: bool = False) -> Any:
        """A tensor on the device; floats in the chosen dtype."""
        made = self.library.tensor(values, device=self.device)
        if values.dtype.kind == "f":
            made = made.to(getattr(self.library, self.dtype))
        return made.requires_grad_() if requires_grad else made

    def load(self, model: Any) -> Any:
        """Give a model the same weights in every framework, and put it on the device."""
        rng = np.random.default_rng(0)
        state = {}
        for name, value in model.state_dict().items():
            # Small enough for any depth, around one for the scales of norms.
            drawn = rng.normal(size=tuple(value.shape)) * 0.05
            scale = "norm" in name and name.endswith("weight")
            state[name] = self.library.tensor((drawn + scale).astype(np.float32))
        model.load_state_dict(state)
        return model.to(self.device).to(getattr(self.library, self.dtype))

    def synchronize(self) -> None:
        """Wait for the device."""
        if self.device != "cpu":
            self.library.cuda.synchronize()


def _import(name: str) -> ModuleType:
    """The library, on as many threads as the machine has cores."""
    if name == "tensorlite":
        import tensorlite

        return tensorlite
    import torch

    import tensorlite

    torch.set_num_threads(tensorlite.get_num_threads())
    return torch
