"""Random Tensors, drawn from a `tensorlite.random.Generator`: the same bits on every device."""

from __future__ import annotations

from typing import Any

import numpy as np

from tensorlite import backend
from tensorlite.backend import Device
from tensorlite.ops.creation import as_shape, leaf
from tensorlite.ops.dtypes import as_dtype
from tensorlite.random import Generator, default_generator
from tensorlite.tensor import Tensor, tensor_of

__all__ = ["bernoulli", "rand", "rand_like", "randint", "randn", "randn_like", "randperm"]


def _place(device: str | Device | None) -> Device:
    return backend.device(device)


def rand(
    *shape: Any,
    dtype: Any = np.float32,
    device: str | Device | None = None,
    requires_grad: bool = False,
    generator: Generator = default_generator,
) -> Tensor:
    """Draw numbers uniform in [0, 1)."""
    return leaf(generator.uniform(as_shape(shape), as_dtype(dtype), _place(device)), requires_grad)


def randn(
    *shape: Any,
    dtype: Any = np.float32,
    device: str | Device | None = None,
    requires_grad: bool = False,
    generator: Generator = default_generator,
) -> Tensor:
    """Draw numbers from the standard normal distribution."""
    return leaf(generator.normal(as_shape(shape), as_dtype(dtype), _place(device)), requires_grad)


def rand_like(x: Tensor, generator: Generator = default_generator) -> Tensor:
    """Draw numbers uniform in [0, 1), of `x`'s shape, dtype and device."""
    return rand(x.shape, dtype=x.dtype, device=x.device, generator=generator)


def randn_like(x: Tensor, generator: Generator = default_generator) -> Tensor:
    """Draw standard normal numbers, of `x`'s shape, dtype and device."""
    return randn(x.shape, dtype=x.dtype, device=x.device, generator=generator)


def randint(
    low: int,
    high: int | None = None,
    shape: Any = (),
    dtype: Any = np.int64,
    device: str | Device | None = None,
    generator: Generator = default_generator,
) -> Tensor:
    """Draw integers in [low, high); with one bound, in [0, low)."""
    if high is None:
        low, high = 0, low
    return tensor_of(generator.integers(low, high, as_shape((shape,)), dtype, _place(device)))


def randperm(
    n: int, device: str | Device | None = None, generator: Generator = default_generator
) -> Tensor:
    """Return the numbers 0 … n−1 in random order, as int64."""
    return tensor_of(generator.permutation(n)).to(_place(device))


def bernoulli(p: Tensor, generator: Generator = default_generator) -> Tensor:
    """Draw 1 with probability `p` and 0 otherwise, for each element; of `p`'s dtype.

    Raises
    ------
    ValueError
        On the CPU, if a probability is not in [0, 1].
    """
    if p.device == backend.CPU and not np.all((p.array >= 0) & (p.array <= 1)):
        raise ValueError("bernoulli: a probability is not in [0, 1]")
    drawn = generator.uniform(p.shape, np.float32, p.device)
    return tensor_of((drawn < p.array).astype(p.dtype))
