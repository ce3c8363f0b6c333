"""What is measured: each workload built for tensorlite and, where it is installed, for PyTorch.

A workload is ``build(framework) -> step``: a function without arguments that does the same work in
either framework and returns its loss as a Python number, or None.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import tensorlite as tl

Step = Callable[[], Any]
CHAIN = 24  # operations


class Framework:
    """The few names in which the two differ."""

    def __init__(self, name: str) -> None:
        self.name = name
        if name == "tensorlite":
            self.nn, self.optim = tl.nn, tl.optim
            self.tensor = tl.tensor
            return
        import torch

        torch.set_num_threads(2)
        self.nn, self.optim, self.tensor = torch.nn, torch.optim, torch.tensor

    def leaf(self, values: np.ndarray) -> Any:
        """A parameter that has these values."""
        return self.tensor(values, requires_grad=True)

    def load(self, model: Any, seed: int = 0) -> Any:
        """Give a model the same weights in every framework."""
        rng = np.random.default_rng(seed)
        state = {
            name: self.tensor((rng.normal(size=tuple(value.shape)) * 0.1).astype(np.float32))
            for name, value in model.state_dict().items()
        }
        model.load_state_dict(state)
        return model


def chain(framework: Framework) -> Step:
    """24 elementwise operations on 1,024 numbers, forward and backward."""
    rng = np.random.default_rng(0)
    x = framework.leaf(rng.normal(size=1024).astype(np.float32))
    w = framework.tensor(rng.uniform(0.5, 1.5, 1024).astype(np.float32))

    def step() -> None:
        y = x
        for _ in range(CHAIN // 6):
            y = ((y * w + 0.1).tanh() - w).exp() / w
        y.sum().backward()
        x.grad = None

    return step


def mlp(framework: Framework) -> Step:
    """Perceptron 64-64-64-10, batch 32, SGD: a full step."""
    nn = framework.nn
    rng = np.random.default_rng(0)
    x = framework.tensor(rng.normal(size=(32, 64)).astype(np.float32))
    y = framework.tensor(rng.integers(0, 10, 32))
    layers = [nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10)]
    model = framework.load(nn.Sequential(*layers))
    optimizer = framework.optim.SGD(model.parameters(), lr=0.1)

    def step() -> Any:
        loss = nn.functional.cross_entropy(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss

    return step


def adam(framework: Framework) -> Step:
    """Adam's update of 148 parameters with 308 thousand elements in all."""
    rng = np.random.default_rng(0)
    sizes = [(64, 64), (64,)] * 70 + [(256, 8)] * 7 + [(1000,)]
    parameters = [framework.leaf(rng.normal(size=s).astype(np.float32)) for s in sizes]
    optimizer = framework.optim.Adam(parameters, lr=1e-3)
    for parameter in parameters:
        (parameter * 0.5).sum().backward()

    def step() -> None:
        optimizer.step()

    return step


WORKLOADS = {"chain": chain, "mlp": mlp, "adam": adam}
