"""Dropout by counter-based random numbers: nothing is stored."""

from __future__ import annotations

from types import ModuleType

from tensorlite.backend import Array
from tensorlite.ops.fused import float32_inside
from tensorlite.primitive import primitive
from tensorlite.random import Generator, default_generator, philox_uniform
from tensorlite.tensor import Tensor

__all__ = ["dropout"]


@primitive(name="dropout")
@float32_inside
def philox_dropout(
    xp: ModuleType, x: Array, *, p: float, key: tuple[int, int], offset: int
) -> Array:
    """`x` / (1 - `p`) where the uniform number of that place is at least `p`, 0 elsewhere.

    Its gradient is the same operation: the mask is drawn again from key and offset.
    """
    kept = philox_uniform(xp, x.size, key, offset).reshape(x.shape) >= p
    return x * kept * (1 / (1 - p))


philox_dropout.defvjp(x=lambda g, p, key, offset: philox_dropout(g, p, key, offset))


def dropout(
    x: Tensor, p: float = 0.5, training: bool = True, generator: Generator = default_generator
) -> Tensor:
    """Set elements to 0 with probability `p`, and scale the others by 1 / (1 - p).

    Parameters
    ----------
    x
        Any shape.
    p
        Probability in [0, 1], compared in float32.
    training
        If not, `x` is returned as it is.
    generator
        Where the mask comes from: the same one on every device.
    """
    if not 0 <= p <= 1:
        raise ValueError(f"dropout: p is a probability in [0, 1], not {p}")
    if not training or p == 0:
        return x
    if p == 1:
        return x * 0.0
    key, offset = generator.reserve(x.numel())
    return philox_dropout(x, p, key, offset)
