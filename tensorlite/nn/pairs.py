"""Pairs of layers that `Sequential` computes as one: the same result with less memory traffic."""

from __future__ import annotations

from collections.abc import Callable

from tensorlite.nn.activation import ReLU
from tensorlite.nn.linear import Linear
from tensorlite.nn.module import Module, note_where
from tensorlite.nn.pooling import MaxPool2d
from tensorlite.ops.linear import linear_relu
from tensorlite.tensor import Tensor

Run = Callable[[Module, Module, Tensor], Tensor]


def _linear_relu(linear: Linear, relu: ReLU, x: Tensor) -> Tensor:
    try:
        return linear_relu(x, linear.weight, linear.bias)
    except Exception as error:
        note_where(error, linear)
        raise


def _relu_max_pool(relu: ReLU, pool: MaxPool2d, x: Tensor) -> Tensor:
    """The largest element first: it is the same one, and leaves fewer to ReLU."""
    # A dilated window may lie in the padding alone, and is then minus infinity; and the places of
    # the maxima are not those behind ReLU.
    if pool.dilation in (1, (1, 1)) and not pool.return_indices:
        return relu(pool(x))
    return pool(relu(x))


_TOGETHER: dict[tuple[type, type], Callable] = {
    (Linear, ReLU): _linear_relu,
    (ReLU, MaxPool2d): _relu_max_pool,
}


def together(first: Module, second: Module) -> Run | None:
    """How to compute `second` of `first` as one; None if there is no way, or somebody listens."""
    run = _TOGETHER.get((first.__class__, second.__class__))
    if run is None:
        return None
    # What a module has of its own where calling it does or did something else than its class says.
    for own in (first.__dict__, second.__dict__):
        if "_hooks" in own or "forward" in own:
            return None
    return run
