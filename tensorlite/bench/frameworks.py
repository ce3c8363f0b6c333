"""The few names in which tensorlite and PyTorch differ, so that a workload is written once."""

from __future__ import annotations

import importlib
from importlib.util import find_spec
from typing import Any

import numpy as np

PEERS = ("torch", "jax")
"""What tensorlite can be compared with: names of modules, and of what to ``pip install``."""


def check_installed(peer: str) -> None:
    """Raise RuntimeError, with what to do, where a peer cannot be imported."""
    if find_spec(peer) is None:
        raise RuntimeError(f"{peer} is not installed: pip install {peer}, or leave it out")


class Framework:
    """tensorlite or PyTorch, on one device, in one dtype; PyTorch on so many threads.

    Attributes
    ----------
    nn, optim
        Its modules of these names.
    functional
        ``nn.functional``.
    """

    def __init__(
        self, name: str, device: str = "cpu", dtype: str = "float32", threads: int | None = None
    ) -> None:
        self.device, self.dtype = device, dtype
        self.library = importlib.import_module(name)
        if name == "torch":
            if threads is not None:
                self.library.set_num_threads(threads)
            # As ours: float32 is float32, also in convolutions, which torch rounds by default.
            self.library.backends.cudnn.allow_tf32 = False
            self.library.backends.cuda.matmul.allow_tf32 = False
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
