"""What a sample is: inputs for one operation, and the truth about its result."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Input:
    """An array of a shape, drawn when a test needs it."""

    shape: tuple[int, ...]
    draw: Callable[[np.random.Generator, tuple[int, ...]], np.ndarray]

    def of_shape(self, shape: tuple[int, ...]) -> Input:
        """The same kind of numbers in another shape."""
        return Input(shape, self.draw)


def normal(*shape: int) -> Input:
    """Standard normal numbers."""
    return Input(shape, lambda generator, shape: generator.standard_normal(shape))


def uniform(*shape: int, low: float, high: float) -> Input:
    """Numbers between `low` and `high`."""
    return Input(shape, lambda generator, shape: generator.uniform(low, high, shape))


def positive(*shape: int) -> Input:
    """Numbers well away from 0: between 0.5 and 2."""
    return uniform(*shape, low=0.5, high=2.0)


def distinct(*shape: int) -> Input:
    """Numbers of which no two are close: a shuffled arithmetic progression around 0."""

    def draw(generator: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
        n = int(np.prod(shape))
        return (generator.permutation(n) - n / 2 + 0.25).reshape(shape) / max(n, 1) * 4

    return Input(shape, draw)


def integers(*shape: int, low: int = 0, high: int) -> Input:
    """Integers from `low` up to, but not including, `high` (int64)."""
    return Input(shape, lambda generator, shape: generator.integers(low, high, shape))


def booleans(*shape: int) -> Input:
    """True or False, each half the time."""
    return Input(shape, lambda generator, shape: generator.integers(0, 2, shape).astype(bool))


ALL_FLOATS = ("float16", "bfloat16", "float32", "float64")


@dataclass
class Sample:
    """One call of an operation.

    Attributes
    ----------
    op
        A primitive, or a function of Tensors.
    inputs
        `Input`s are drawn; anything else (numbers, None, NumPy arrays) is passed as it is.
    static
        Keyword arguments.
    reference
        The same function on float64 NumPy arrays, computed independently.
    broadcasts
        Whether the inputs broadcast against each other.
    grad
        Positions of the inputs to differentiate; None means all floats.
    zero, zero_static
        Inputs and keyword arguments with a length of 0 somewhere. By default the inputs with most
        axes have their first one emptied.
    no_zero
        Why there is nothing of the kind.
    dtypes
        Float dtypes to run in. A float result has that dtype, unless `keeps_dtype` is False.
    saves
        Names of what is saved when all inputs need gradients; None leaves it unchecked.
    devices
        Where it exists.
    tolerance
        Factor on the allowed error, for sums of many terms and the like.
    """

    op: Callable
    inputs: Sequence[Any]
    static: dict[str, Any] = field(default_factory=dict)
    reference: Callable = field(kw_only=True)
    broadcasts: bool = field(default=False, kw_only=True)
    grad: tuple[int, ...] | None = field(default=None, kw_only=True)
    zero: Sequence[Any] | None = field(default=None, kw_only=True)
    zero_static: dict[str, Any] | None = field(default=None, kw_only=True)
    no_zero: str = field(default="", kw_only=True)
    dtypes: tuple[str, ...] = field(default=ALL_FLOATS, kw_only=True)
    keeps_dtype: bool = field(default=True, kw_only=True)
    saves: tuple[str, ...] | None = field(default=None, kw_only=True)
    devices: tuple[str, ...] = field(default=("cpu", "cuda"), kw_only=True)
    tolerance: float = field(default=1.0, kw_only=True)

    def __str__(self) -> str:
        inputs = [f"{i.shape}" if isinstance(i, Input) else repr(i) for i in self.inputs]
        static = [f"{name}={value!r}" for name, value in self.static.items()]
        return f"{self.name}({', '.join(inputs + static)})"

    @property
    def name(self) -> str:
        """The operation's name, with its module: two modules may use one name."""
        return f"{self.op.__module__.rpartition('.')[2]}.{self.op.__name__.rstrip('_')}"

    def draw(self, inputs: Sequence[Any] | None = None) -> list[Any]:
        """Arguments with NumPy arrays drawn for the `Input`s, the same at every call."""
        generator = np.random.default_rng(7)
        return [
            np.asarray(i.draw(generator, i.shape)) if isinstance(i, Input) else i
            for i in (self.inputs if inputs is None else inputs)
        ]

    def differentiated(self, arguments: Sequence[Any]) -> tuple[int, ...]:
        """Positions of the arguments that need gradients."""
        if self.grad is not None:
            return self.grad
        return tuple(
            i for i, a in enumerate(arguments) if isinstance(a, np.ndarray) and a.dtype.kind == "f"
        )

    def zero_inputs(self) -> list[Any]:
        """The inputs with a length of 0."""
        if self.zero is not None:
            return list(self.zero)
        most = max(len(i.shape) for i in self.inputs if isinstance(i, Input))
        return [
            i.of_shape((0, *i.shape[1:])) if isinstance(i, Input) and len(i.shape) == most else i
            for i in self.inputs
        ]

    def broadcast_inputs(self) -> list[list[Any]]:
        """The inputs in shapes that need broadcasting, each shape at each input once."""
        shapes = [(2, 3, 4), (3, 1), (4,), (), (1, 1, 1)]
        drawn = [i for i, x in enumerate(self.inputs) if isinstance(x, Input)]
        cases = []
        for turn in range(len(shapes)):
            case = list(self.inputs)
            for k, i in enumerate(drawn):
                case[i] = self.inputs[i].of_shape(shapes[(turn + k) % len(shapes)])
            cases.append(case)
        return cases
