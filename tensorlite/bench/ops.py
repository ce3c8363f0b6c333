"""Single operations, forward and backward, with the least they must compute and move.

Each is ``build(framework) -> (forward, inputs)``; `forward` returns a Tensor to go back from.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from tensorlite.bench.frameworks import Framework

CHAIN = 24  # operations
ROWS, COLUMNS = 4096, 1024


class Operation(NamedTuple):
    """A workload and its cost.

    Attributes
    ----------
    build
        Makes ``(forward, inputs)``.
    flops, moved
        Of the forward and of the backward pass: floating-point operations, and array elements
        read or written if each is touched once.
    random
        Whether results are drawn, so that frameworks agree in their mean only.
    """

    build: Callable[[Framework], tuple[Callable[[], Any], list]]
    flops: tuple[float, float]
    moved: tuple[float, float]
    random: bool = False


def _normal(framework: Framework, *shape: int, requires_grad: bool = True) -> Any:
    values = np.random.default_rng(len(shape)).normal(size=shape)
    return framework.tensor(values, requires_grad=requires_grad)


def _chain(framework: Framework) -> tuple:
    x = _normal(framework, 1024)
    w = framework.tensor(np.random.default_rng(5).uniform(0.5, 1.5, 1024))

    def forward() -> Any:
        y = x
        for _ in range(CHAIN // 6):
            y = ((y * w + 0.1).tanh() - w).exp() / w
        return y

    return forward, [x]


def _of_rows(function: Callable[[Framework, Any], Any]) -> Callable[[Framework], tuple]:
    """A function of one array of 4096 rows with 1024 columns."""

    def build(framework: Framework) -> tuple:
        x = _normal(framework, ROWS, COLUMNS)
        return (lambda: function(framework, x)), [x]

    return build


def _cross_entropy(framework: Framework) -> tuple:
    x = _normal(framework, ROWS, COLUMNS)
    labels = framework.tensor(np.random.default_rng(3).integers(0, COLUMNS, ROWS))
    return (lambda: framework.functional.cross_entropy(x, labels)), [x]


def _layer_norm(framework: Framework) -> tuple:
    x, weight, bias = _normal(framework, ROWS, COLUMNS), *_two_rows(framework, COLUMNS)
    function = framework.functional.layer_norm
    return (lambda: function(x, (COLUMNS,), weight, bias)), [x, weight, bias]


def _bias_relu(framework: Framework) -> tuple:
    x, bias = _normal(framework, ROWS, COLUMNS), _normal(framework, COLUMNS)
    return (lambda: framework.functional.relu(x + bias)), [x, bias]


def _two_rows(framework: Framework, n: int) -> tuple[Any, Any]:
    return _normal(framework, n), _normal(framework, n)


def _batch_norm(framework: Framework) -> tuple:
    x, (weight, bias) = _normal(framework, 64, 64, 32, 32), _two_rows(framework, 64)
    function = framework.functional.batch_norm
    return (lambda: function(x, None, None, weight, bias, training=True)), [x, weight, bias]


def _matmul(framework: Framework) -> tuple:
    a, b = _normal(framework, 1024, 1024), _normal(framework, 1024, 1024)
    return (lambda: a @ b), [a, b]


def _conv(framework: Framework) -> tuple:
    x, weight = _normal(framework, 32, 64, 32, 32), _normal(framework, 64, 64, 3, 3)
    return (lambda: framework.functional.conv2d(x, weight, padding=1)), [x, weight]


def _attention(framework: Framework) -> tuple:
    q, k, v = (_normal(framework, 8, 6, 128, 32) for _ in range(3))
    function = framework.functional.scaled_dot_product_attention
    return (lambda: function(q, k, v, is_causal=True)), [q, k, v]


_N = ROWS * COLUMNS
_IMAGE = 64 * 64 * 32 * 32
_HEADS = 8 * 6 * 128 * 32

OPS: dict[str, Operation] = {
    "chain": Operation(_chain, (CHAIN * 1024, CHAIN * 1024), (2 * 1024, 2 * 1024)),
    "gelu": Operation(
        _of_rows(lambda f, x: f.functional.gelu(x)), (20 * _N, 25 * _N), (2 * _N, 3 * _N)
    ),
    "gelu-tanh": Operation(  # the form of GPT-2, and JAX's default
        _of_rows(lambda f, x: f.functional.gelu(x, approximate="tanh")),
        (20 * _N, 25 * _N),
        (2 * _N, 3 * _N),
    ),
    "softmax": Operation(
        _of_rows(lambda f, x: f.functional.softmax(x, -1)), (12 * _N, 4 * _N), (2 * _N, 3 * _N)
    ),
    "cross-entropy": Operation(_cross_entropy, (15 * _N, _N), (_N, _N)),
    "layer-norm": Operation(_layer_norm, (8 * _N, 12 * _N), (2 * _N, 3 * _N)),
    "bias-relu": Operation(_bias_relu, (2 * _N, 2 * _N), (2 * _N, 3 * _N)),
    "dropout": Operation(
        _of_rows(lambda f, x: f.functional.dropout(x, 0.1)),
        (8 * _N, _N),
        (2 * _N, 2 * _N),
        random=True,
    ),
    "batch-norm": Operation(_batch_norm, (8 * _IMAGE, 12 * _IMAGE), (2 * _IMAGE, 3 * _IMAGE)),
    "matmul": Operation(_matmul, (2 * 1024.0**3, 4 * 1024.0**3), (3 * 1024**2, 5 * 1024**2)),
    "conv": Operation(_conv, (18 * _IMAGE / 2 * 64, 36 * _IMAGE / 2 * 64), (_IMAGE, 2 * _IMAGE)),
    "attention": Operation(
        _attention, (2 * 128 * _HEADS, 5 * 128 * _HEADS), (4 * _HEADS, 8 * _HEADS)
    ),
}


def both_ways(
    framework: Framework, name: str, made: Callable[[Callable], Callable] | None = None
) -> dict[str, Callable[[], Any]]:
    """The forward pass of an operation alone, and both passes: they return all they computed.

    `made` makes another function of the forward pass, such as a compiled one.
    """
    forward, inputs = OPS[name].build(framework)
    forward = forward if made is None else made(forward)
    y = forward()
    g = None  # of a loss, from which training starts
    if y.shape:
        g = framework.tensor(np.random.default_rng(9).normal(size=tuple(y.shape)))

    def both() -> list[Any]:
        for x in inputs:
            x.grad = None
        y = forward()
        y.backward(g)
        return [y, *(x.grad for x in inputs)]

    return {"forward": forward, "both": both}
