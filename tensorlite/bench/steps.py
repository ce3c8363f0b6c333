"""Whole training steps: forward, loss, backward, update.

Each is ``build(framework) -> step``; a step returns its loss, or what it updated.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np

from tensorlite.bench.frameworks import Framework

Step = Callable[[], Any]
VOCABULARY, HEADS, WIDTH, LENGTH = 96, 6, 192, 128  # of the GPT


def _train(framework: Framework, model: Any, optimizer: str, x: Any, labels: Any) -> Step:
    """The classical step of a classifier."""
    model = framework.load(model)
    update = getattr(framework.optim, optimizer)(model.parameters(), lr=1e-3)
    cross_entropy = framework.functional.cross_entropy

    def step() -> Any:
        logits = model(x)
        loss = cross_entropy(logits.reshape(-1, logits.shape[-1]), labels)
        update.zero_grad()
        loss.backward()
        update.step()
        return loss

    return step


def _batch(framework: Framework, shape: tuple[int, ...], classes: int) -> tuple[Any, Any]:
    rng = np.random.default_rng(1)
    x = framework.tensor(rng.normal(size=shape))
    return x, framework.tensor(rng.integers(0, classes, shape[0]))


def mlp(framework: Framework) -> Step:
    """MLP 64-64-64-10, batch 32, SGD."""
    model = make_mlp(framework, (64, 64, 64, 10))
    return _train(framework, model, "SGD", *_batch(framework, (32, 64), 10))


def mlp_large(framework: Framework) -> Step:
    """MLP 784-1024-1024-10, batch 256, Adam."""
    model = make_mlp(framework, (784, 1024, 1024, 10))
    return _train(framework, model, "Adam", *_batch(framework, (256, 784), 10))


def make_mlp(framework: Framework, sizes: tuple[int, ...]) -> Any:
    """Linear layers with ReLU between them."""
    nn = framework.nn
    layers: list[Any] = []
    for before, after in pairwise(sizes):
        layers += [nn.Linear(before, after), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


def cnn(framework: Framework) -> Step:
    """Three convolutions 3×3 (32, 64, 128) with ReLU and pooling on 3×32×32, batch 64, Adam."""
    model = make_cnn(framework)
    return _train(framework, model, "Adam", *_batch(framework, (64, 3, 32, 32), 10))


def make_cnn(framework: Framework) -> Any:
    """Convolutions and pooling down to 4×4, and a linear layer."""
    nn = framework.nn
    layers: list[Any] = []
    for before, after in pairwise((3, 32, 64, 128)):
        layers += [nn.Conv2d(before, after, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)]
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(128 * 16, 10))


def resnet18(framework: Framework) -> Step:
    """ResNet-18 for 32×32 images (He et al. 2015), batch 128, SGD; of many launches."""
    model = make_resnet18(framework)
    return _train(framework, model, "SGD", *_batch(framework, (128, 3, 32, 32), 10))


def make_resnet18(framework: Framework) -> Any:
    """Four stages of two residual blocks each, 64 to 512 channels, and a linear layer."""
    nn, functional = framework.nn, framework.functional
    Module: Any = nn.Module

    class Block(Module):
        def __init__(self, before: int, after: int, stride: int) -> None:
            super().__init__()
            self.long = nn.Sequential(
                *(nn.Conv2d(before, after, 3, stride, 1, bias=False), nn.BatchNorm2d(after)),
                *(nn.ReLU(), nn.Conv2d(after, after, 3, 1, 1, bias=False), nn.BatchNorm2d(after)),
            )
            self.short = nn.Sequential()
            if stride > 1:
                self.short = nn.Sequential(
                    nn.Conv2d(before, after, 1, stride, bias=False), nn.BatchNorm2d(after)
                )

        def forward(self, x: Any) -> Any:
            return functional.relu(self.long(x) + self.short(x))

    layers = [nn.Conv2d(3, 64, 3, 1, 1, bias=False), nn.BatchNorm2d(64), nn.ReLU()]
    for before, after, stride in ((64, 64, 1), (64, 128, 2), (128, 256, 2), (256, 512, 2)):
        layers += [Block(before, after, stride), Block(after, after, 1)]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(512, 10))


def gpt(framework: Framework, layers: int = 4, width: int = WIDTH, length: int = LENGTH) -> Step:
    """GPT: 4 layers, width 192, 6 heads, 128 tokens, batch 8, AdamW."""
    rng = np.random.default_rng(1)
    tokens = rng.integers(0, VOCABULARY, (8, length + 1))
    model = make_gpt(framework, layers, width, length)
    x, labels = framework.tensor(tokens[:, :-1]), framework.tensor(tokens[:, 1:].reshape(-1))
    return _train(framework, model, "AdamW", x, labels)


def make_gpt(framework: Framework, layers: int, width: int, length: int) -> Any:
    """A decoder of pre-norm blocks with learned positions (Radford et al. 2019, GPT-2)."""
    nn: Any = framework.nn
    functional: Any = framework.functional

    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
            self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
            self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

        def forward(self, x: Any) -> Any:
            batch = x.shape[0]
            qkv = self.qkv(self.norm1(x)).reshape(batch, length, 3, HEADS, width // HEADS)
            query, key, value = (part.swapaxes(1, 2) for part in qkv.unbind(2))
            attended = functional.scaled_dot_product_attention(query, key, value, is_causal=True)
            x = x + self.out(attended.swapaxes(1, 2).reshape(batch, length, width))
            return x + self.down(functional.gelu(self.up(self.norm2(x)), approximate="tanh"))

    class GPT(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.tokens = nn.Embedding(VOCABULARY, width)
            self.positions = nn.Parameter(framework.library.zeros(length, width))
            self.blocks = nn.Sequential(*[Block() for _ in range(layers)])
            self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, VOCABULARY)

        def forward(self, tokens: Any) -> Any:
            return self.head(self.norm(self.blocks(self.tokens(tokens) + self.positions)))

    return GPT()


def lstm(framework: Framework) -> Step:
    """LSTM 64→256 over 64 steps, batch 32, last state classified, Adam."""
    return _train(framework, make_lstm(framework), "Adam", *_batch(framework, (32, 64, 64), 10))


def make_lstm(framework: Framework) -> Any:
    """An LSTM and a linear layer on its last state."""
    nn = framework.nn
    Module: Any = nn.Module

    class Classifier(Module):
        def __init__(self) -> None:
            super().__init__()
            self.lstm = nn.LSTM(64, 256, batch_first=True)
            self.head = nn.Linear(256, 10)

        def forward(self, x: Any) -> Any:
            return self.head(self.lstm(x)[0][:, -1])

    return Classifier()


def _adam(framework: Framework, shapes: list[tuple[int, ...]]) -> Step:
    rng = np.random.default_rng(0)
    parameters = [framework.tensor(rng.normal(size=s), requires_grad=True) for s in shapes]
    update = framework.optim.Adam(parameters, lr=1e-3)
    for parameter in parameters:
        (parameter * 0.5).sum().backward()

    def step() -> Any:
        update.step()
        return parameters[0]

    return step


def adam148(framework: Framework) -> Step:
    """Adam's update alone: 148 parameters, 308 thousand elements in all."""
    return _adam(framework, [(64, 64), (64,)] * 70 + [(256, 8)] * 7 + [(1000,)])


def adam10m(framework: Framework) -> Step:
    """Adam's update alone: 10 million elements in 10 parameters."""
    return _adam(framework, [(1000, 1000)] * 10)


STEPS: dict[str, Callable[[Framework], Step]] = {
    "mlp": mlp,
    "mlp-large": mlp_large,
    "cnn": cnn,
    "gpt": gpt,
    "lstm": lstm,
    "adam148": adam148,
    "adam10m": adam10m,
}
