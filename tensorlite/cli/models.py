"""The models of the command line, each fitted to the shape of the data."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from tensorlite import ops
from tensorlite.cli.problem import Problem
from tensorlite.nn import functional as F
from tensorlite.nn import init
from tensorlite.nn.batch_norm import BatchNorm1d, BatchNorm2d
from tensorlite.nn.containers import Sequential
from tensorlite.nn.conv import Conv1d, Conv2d
from tensorlite.nn.dropout import Dropout
from tensorlite.nn.embedding import Embedding
from tensorlite.nn.linear import Flatten, Linear
from tensorlite.nn.module import Module
from tensorlite.nn.norm import LayerNorm
from tensorlite.nn.pooling import MaxPool1d, MaxPool2d
from tensorlite.nn.rectifiers import ReLU
from tensorlite.random import Generator
from tensorlite.suggest import choose
from tensorlite.tape import no_grad
from tensorlite.tensor import Tensor
from tensorlite.training.evaluation import device_of

__all__ = ["MODELS", "build", "default_model"]


def linear(problem: Problem) -> Module:
    """Logistic or linear regression."""
    return Sequential(Flatten(), *_head(math.prod(problem.shape), problem))


def mlp(problem: Problem) -> Module:
    """Two hidden layers with ReLU and dropout; for tables of few numbers a narrow one."""
    inputs = math.prod(problem.shape)
    widths, dropout = ((256, 128), 0.2) if inputs >= 32 else ((32,), 0.3)
    layers: list[Module] = [Flatten()]
    for width in widths:
        layers += [Linear(inputs, width), ReLU(), Dropout(dropout)]
        inputs = width
    return Sequential(*layers, *_head(inputs, problem))


def cnn(problem: Problem) -> Module:
    """Blocks of two convolutions of size 3 and a pooling, for signals (C, L) and images (C, H, W).

    Simonyan and Zisserman's pattern (VGG, 2015), with batch normalization.
    """
    channels, *sides = problem.shape
    conv, norm, pool = ((Conv1d, BatchNorm1d, MaxPool1d), (Conv2d, BatchNorm2d, MaxPool2d))[
        len(sides) - 1
    ]
    layers: list[Module] = []
    for width in (32, 64, 128):
        if min(sides) < 4:
            break
        for inputs in (channels, width):
            layers += [conv(inputs, width, 3, padding=1, bias=False), norm(width), ReLU()]
        layers.append(pool(2))
        channels, sides = width, [side // 2 for side in sides]
    size = channels * math.prod(sides)
    return Sequential(*layers, Flatten(), Dropout(0.5), *_head(size, problem))


def _head(inputs: int, problem: Problem) -> list[Module]:
    """The last layer; in regression the single output loses its axis: (N,)."""
    last = Linear(inputs, problem.outputs)
    return [last, Flatten(0)] if problem.task == "regression" else [last]


class Block(Module):
    """Causal self-attention, then two layers, each normalized before and added to its input."""

    def __init__(self, width: int, heads: int) -> None:
        self.heads = heads
        self.norm1 = LayerNorm(width)
        self.qkv = Linear(width, 3 * width)
        self.out = Linear(width, width)
        self.norm2 = LayerNorm(width)
        self.up = Linear(width, 4 * width)
        self.down = Linear(4 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, T, width) to the same shape."""
        n, t, width = x.shape
        qkv = self.qkv(self.norm1(x)).reshape(n, t, 3, self.heads, width // self.heads)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)  # each (N, heads, T, width / heads)
        mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.out(mixed.swapaxes(1, 2).reshape(n, t, width))
        return x + self.down(F.gelu(self.up(self.norm2(x))))


class GPT(Module):
    """A character model: scores of the next character at every position.

    Radford et al., "Language models are unsupervised multitask learners", 2019, made small.
    """

    def __init__(self, characters: int, context: int, width: int, layers: int, heads: int) -> None:
        self.context = context
        self.token = Embedding(characters, width)
        self.position = Embedding(context, width)
        self.blocks = Sequential(*[Block(width, heads) for _ in range(layers)])
        self.norm = LayerNorm(width)
        self.head = Linear(width, characters)
        for name, parameter in self.named_parameters():
            if name.endswith("weight") and parameter.ndim == 2:
                init.normal_(parameter, std=0.02)

    def forward(self, tokens: Tensor) -> Tensor:
        """Map (N, T) indices to (N, T, characters) scores."""
        position = ops.arange(tokens.shape[1], device=tokens.device)
        x = self.token(tokens) + self.position(position)
        return self.head(self.norm(self.blocks(x)))

    def generate(
        self, tokens: np.ndarray, length: int, temperature: float, generator: Generator
    ) -> np.ndarray:
        """Continue a text.

        Parameters
        ----------
        tokens
            Indices of the beginning, at least one.
        length
            Characters to add.
        temperature
            Below 1: likelier characters; above: more surprising ones.
        generator
            Source of chance.
        """
        device = device_of(self)
        with no_grad():
            for _ in range(length):
                window = ops.tensor(tokens[-self.context :][None], device=device)
                p = F.softmax(self(window)[0, -1] / temperature, axis=-1).cpu().numpy()
                chosen = np.searchsorted(np.cumsum(p), generator.uniform() * p.sum())
                tokens = np.append(tokens, min(int(chosen), len(p) - 1))
        return tokens


def gpt(problem: Problem) -> Module:
    """A transformer of two layers for text."""
    return GPT(problem.outputs, problem.shape[0], width=96, layers=2, heads=4)


MODELS: dict[str, Callable[[Problem], Module]] = {
    "linear": linear,
    "mlp": mlp,
    "cnn": cnn,
    "gpt": gpt,
}


def default_model(problem: Problem) -> str:
    """The name of the model to begin with."""
    return "gpt" if problem.task == "language" else "mlp"


def build(name: str, problem: Problem) -> Module:
    """Make a model for a problem.

    Raises
    ------
    ValueError
        If there is no model of that name, or it does not fit the data; suggests others.
    """
    name = choose("model", name, MODELS)
    if (name == "gpt") != (problem.task == "language"):
        fitting = "gpt" if problem.task == "language" else "linear, mlp or cnn"
        raise ValueError(
            f"model {name!r} does not fit {problem.dataset}, which is a {problem.task} dataset: "
            f"use {fitting}"
        )
    if name == "cnn" and len(problem.shape) not in (2, 3):
        raise ValueError(
            f"model 'cnn' needs signals or images, samples of {problem.dataset} have shape "
            f"{problem.shape}: use linear or mlp"
        )
    return MODELS[name](problem)
