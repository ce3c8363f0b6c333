"""Pairs of layers that `Sequential` computes as one: the same result with less memory traffic."""

from __future__ import annotations

from collections.abc import Callable

from tensorlite.nn.batch_norm import BatchNorm1d, BatchNorm2d, BatchNorm3d, BatchNormNd
from tensorlite.nn.linear import Linear
from tensorlite.nn.module import Module, note_where
from tensorlite.nn.pooling import MaxPool2d
from tensorlite.nn.rectifiers import ReLU
from tensorlite.ops.linear import linear_relu
from tensorlite.tensor import Tensor

Run = Callable[[Module, Module, Tensor], Tensor]


def _linear_relu(linear: Linear, relu: ReLU, x: Tensor) -> Tensor:
    try:
        return linear_relu(x, linear.weight, linear.bias)
    except Exception as error:
        note_where(error, linear)
        raise


def _norm_relu(norm: BatchNormNd, relu: ReLU, x: Tensor) -> Tensor:
    try:
        return norm.normalized(x, relu=True)
    except Exception as error:
        note_where(error, norm)
        raise


def _relu_max_pool(relu: ReLU, pool: MaxPool2d, x: Tensor) -> Tensor:
    """Max pooling first: the result is the same, and ReLU has fewer elements to compute."""
    # A dilated window may lie in the padding alone, and is then minus infinity; and the places of
    # the maxima are not those behind ReLU.
    if pool.dilation in (1, (1, 1)) and not pool.return_indices:
        return relu(pool(x))
    return pool(relu(x))


_FUSED: dict[tuple[type, type], Callable] = {
    (Linear, ReLU): _linear_relu,
    **{(norm, ReLU): _norm_relu for norm in (BatchNorm1d, BatchNorm2d, BatchNorm3d)},
    (ReLU, MaxPool2d): _relu_max_pool,
}


def fused(first: Module, second: Module) -> Run | None:
    """The function that computes both modules in one pass, or None.

    There is none for most pairs, and none for modules with hooks or with a `forward` of their own.
    """
    run = _FUSED.get((first.__class__, second.__class__))
    if run is None:
        return None
    # Set on the module itself: then a call does more, or something else, than its class says.
    for own in (first.__dict__, second.__dict__):
        if "_hooks" in own or "forward" in own:
            return None
    return run
