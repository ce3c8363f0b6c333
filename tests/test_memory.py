"""Memory goes by reference count: no cycles, whatever a training step uses."""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable, Iterator

import numpy as np
import pytest

import tensorlite as tl
from tensorlite import nn
from tensorlite.backend import Device
from tensorlite.nn import functional as F


@pytest.fixture
def no_collector() -> Iterator[None]:
    """Without the cycle collector, what is in a cycle stays for ever."""
    gc.collect()
    gc.disable()
    yield
    gc.unfreeze()
    gc.enable()


def allocated_blocks() -> int:
    """Blocks of memory that Python objects hold, cycles included."""
    gc.freeze()  # cycles are kept from the collector,
    gc.collect()  # which is called to empty the interpreter's free lists
    # Names of attributes stay in the interpreter's cache of 4,096 look-ups, and steps make some.
    clear = getattr(sys, "_clear_internal_caches", None) or sys._clear_type_cache
    clear()
    return sys.getallocatedblocks()


class Everything(nn.Module):
    """A little of all that a layer may keep between calls."""

    def __init__(self) -> None:
        self.embedding = nn.Embedding(11, 8)
        self.encoder = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.1, batch_first=True)
        self.norm = nn.BatchNorm1d(5)
        self.recurrent = nn.GRU(8, 6, batch_first=True)
        self.head = nn.Linear(6, 3)

    def forward(self, tokens: tl.Tensor) -> tl.Tensor:
        x = self.norm(self.encoder(self.embedding(tokens)))  # (N, 5, 8)
        return self.head(self.recurrent(x)[0][:, -1])


def perceptron() -> nn.Module:
    return nn.Sequential(
        nn.Embedding(11, 8), nn.Flatten(), nn.Linear(40, 16), nn.ReLU(), nn.Linear(16, 3)
    )


class Training:
    """A model, its optimizer and a batch."""

    def __init__(self, model: nn.Module, device: Device) -> None:
        rng = np.random.default_rng(0)
        self.tokens = tl.tensor(rng.integers(0, 11, (4, 5)), device=device)
        self.labels = tl.tensor(rng.integers(0, 3, 4), device=device)
        self.model = model.to(device)
        self.optimizer = tl.optim.Adam(self.model.named_parameters(), lr=1e-3)

    def step(self) -> None:
        loss = F.cross_entropy(self.model(self.tokens), self.labels)
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()


@pytest.mark.parametrize(("build", "steps"), [(perceptron, 1000), (Everything, 150)])
def test_training_steps_hold_memory_flat(
    no_collector: None, device: Device, build: Callable[[], nn.Module], steps: int
) -> None:
    training = Training(build(), device)
    for _ in range(300):  # up to 256 Python has one object for each number of steps
        training.step()
    gc.collect()
    before = allocated_blocks()
    for _ in range(steps):
        training.step()
    assert allocated_blocks() - before < steps / 2  # less than one object in two steps
    gc.unfreeze()
    assert gc.collect() == 0


def test_an_error_in_a_step_leaves_nothing_behind(no_collector: None, device: Device) -> None:
    model = perceptron().to(device)
    wide = tl.zeros((2, 9), dtype=np.int64, device=device)

    def fail() -> None:
        try:  # pytest.raises would keep a cycle of its own
            model(wide)
        except ValueError:
            return
        raise AssertionError("a wrong shape went through")

    fail()
    before = allocated_blocks()
    for _ in range(100):
        fail()
    assert allocated_blocks() - before < 50


def test_the_graph_goes_with_its_last_tensor(no_collector: None, device: Device) -> None:
    training = Training(Everything(), device)
    for _ in range(10):
        training.step()
    before = allocated_blocks()
    outputs = training.model(training.tokens)
    held = allocated_blocks() - before
    assert held > 100
    del outputs
    assert allocated_blocks() - before < held / 5
