"""Dropout by counter-based random numbers: nothing is stored."""

from __future__ import annotations

import math
from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np

from tensorlite import tape
from tensorlite.backend import Array, Device, array_backend
from tensorlite.backend.dtypes import is_floating, is_short
from tensorlite.ops.compare import where
from tensorlite.ops.compiled.arrays import packed
from tensorlite.ops.fused import float32_inside, widened
from tensorlite.ops.inplace import in_place
from tensorlite.primitive import primitive
from tensorlite.random import Generator, base_of, default_generator, philox_uniform
from tensorlite.tensor import Tensor

__all__ = [
    "alpha_dropout",
    "dropout",
    "dropout1d",
    "dropout2d",
    "dropout3d",
    "feature_alpha_dropout",
]


@primitive(name="dropout", any_float=True)
@float32_inside
def philox_dropout(
    xp: ModuleType, x: Array, *, p: float, key: tuple[int, int], offset: int
) -> Array:
    """`x` / (1 - `p`) where the uniform number of that place is at least `p`, 0 elsewhere.

    Its gradient is the same operation: the mask is drawn again from key and offset.
    """
    kept = philox_uniform(xp, x.size, key, offset).reshape(x.shape) >= p
    return xp.where(kept, x * (1 / (1 - p)), 0)


def _philox_dropout_vjp(
    g: Any, x_dtype: np.dtype, p: float, key: tuple[int, int], offset: int
) -> Any:
    if isinstance(g, Tensor) or g.dtype == x_dtype:
        return philox_dropout(g, p, key, offset)
    if g.dtype == np.float32 and is_short(x_dtype):
        kernels, arrays = array_backend((g,)).kernels, packed(g)
        if kernels is not None and not kernels.on_host and arrays is not None:
            dx = kernels.empty(g.shape, x_dtype)
            words = (base_of(key), g.size, p, key[0] | key[1] << 32, offset)
            kernels.dropout_to_short(*arrays, dx, *words)
            return dx
    return philox_dropout(widened(g), p, key, offset)


philox_dropout.defvjp(x=_philox_dropout_vjp)


@philox_dropout.kernel
def _by_kernel(k: Any, x: Array, *, p: float, key: tuple[int, int], offset: int) -> Any:
    arrays = packed(x)
    if arrays is None:
        return NotImplemented
    y = k.empty(x.shape, x.dtype)
    k.dropout(*arrays, y, base_of(key), x.size, p, key[0] | key[1] << 32, offset)
    return y


def dropout(
    input: Tensor,
    p: float = 0.5,
    training: bool = True,
    inplace: bool = False,
    *,
    generator: Generator = default_generator,
) -> Tensor:
    """Set elements to 0 with probability `p`, and scale the others by 1 / (1 - p).

    Parameters
    ----------
    input
        Any shape.
    p
        Probability in [0, 1], compared in float32.
    training
        If not, `input` is returned as it is.
    inplace
        Whether to write into `input`, and return it.
    generator
        Where the mask comes from: the same one on every device.

    Returns
    -------
    Tensor
        Of `input`'s shape and dtype.

    Raises
    ------
    ValueError
        If `p` is not in [0, 1].
    TypeError
        If `input` is not of floats.

    Examples
    --------
    >>> tl.dropout(tl.tensor([1.0, 2.0]), p=0.0)
    tensor([1., 2.])
    """
    check_probability("dropout", p)
    if not is_floating(input.dtype):
        raise TypeError(f"dropout: input is {input.dtype}, floats are scaled: use input.float()")
    return _dropped(_dropout, input, p, training, inplace, generator)


def _dropped(
    drop: Callable, x: Tensor, p: float, training: bool, inplace: bool, generator: Generator
) -> Tensor:
    if not training or p == 0:
        return x
    return (in_place(drop) if inplace else drop)(x, p, generator)


def check_probability(op: str, p: float) -> None:
    """Complain where `p` is none."""
    if not 0 <= p <= 1:
        raise ValueError(f"{op}: p is a probability in [0, 1], not {p}")


def _dropout(x: Tensor, p: float, generator: Generator) -> Tensor:
    if p == 1:
        return where(_kept(x, x.shape, 1.0, generator), x, 0.0)
    key, offset = generator.reserve(math.prod(x.shape))
    return philox_dropout(x, p, key, offset)


def _kept(x: Tensor, shape: tuple[int, ...], p: float, generator: Generator) -> Array:
    """Booleans of `shape` where `x` is, each True with probability 1 - `p`."""
    device = array_backend((x.array,)).device_of(x.array)
    return tape.unit("mask of dropout", _drawn, generator, shape, device, p)


def _drawn(generator: Generator, shape: tuple[int, ...], device: Device, p: float) -> Array:
    return generator.uniform(shape, device=device) >= p


# --- channels -----------------------------------------------------------------------------------


def dropout1d(
    input: Tensor,
    p: float = 0.5,
    training: bool = True,
    inplace: bool = False,
    *,
    generator: Generator = default_generator,
) -> Tensor:
    """Set whole channels of (N, C, L) or (C, L) to 0 with probability `p`; see `dropout`.

    Parameters
    ----------
    input : Tensor
        Of that shape.
    p : float
        Probability, in [0, 1].
    training : bool
        If not, `input` is returned as it is.
    inplace : bool
        Whether to write into `input`, and return it.
    generator : Generator
        Where the mask comes from.

    Returns
    -------
    Tensor
        Of `input`'s shape and dtype.

    Raises
    ------
    ValueError
        If `p` is not in [0, 1], or `input` has another number of axes.

    Examples
    --------
    >>> F.dropout1d(tl.ones(1, 2, 3), p=0.0).shape
    (1, 2, 3)
    """
    if len(input.shape) not in (2, 3):
        raise ValueError(f"dropout1d: input of shape {input.shape} is neither (N, C, L) nor (C, L)")
    axes = len(input.shape) - 1
    return _channels("dropout1d", axes, input, p, training, inplace, generator)


def dropout2d(
    input: Tensor,
    p: float = 0.5,
    training: bool = True,
    inplace: bool = False,
    *,
    generator: Generator = default_generator,
) -> Tensor:
    """Set whole channels of (N, C, H, W) to 0 with probability `p`; see `dropout`.

    Of three axes the first is N, too, as torch still has it; `dropout1d` knows (C, L).

    Parameters
    ----------
    input : Tensor
        Of that shape.
    p : float
        Probability, in [0, 1].
    training : bool
        If not, `input` is returned as it is.
    inplace : bool
        Whether to write into `input`, and return it.
    generator : Generator
        Where the mask comes from.

    Returns
    -------
    Tensor
        Of `input`'s shape and dtype.

    Raises
    ------
    ValueError
        If `p` is not in [0, 1], or `input` has no channels.

    Examples
    --------
    >>> F.dropout2d(tl.ones(1, 2, 3, 3), p=0.0).shape
    (1, 2, 3, 3)
    """
    return _channels("dropout2d", 2, input, p, training, inplace, generator)


def dropout3d(
    input: Tensor,
    p: float = 0.5,
    training: bool = True,
    inplace: bool = False,
    *,
    generator: Generator = default_generator,
) -> Tensor:
    """Set whole channels of (N, C, D, H, W) or (C, D, H, W) to 0 with probability `p`.

    Parameters
    ----------
    input : Tensor
        Of that shape.
    p : float
        Probability, in [0, 1].
    training : bool
        If not, `input` is returned as it is.
    inplace : bool
        Whether to write into `input`, and return it.
    generator : Generator
        Where the mask comes from.

    Returns
    -------
    Tensor
        Of `input`'s shape and dtype.

    Raises
    ------
    ValueError
        If `p` is not in [0, 1], or `input` has no channels.

    Examples
    --------
    >>> F.dropout3d(tl.ones(1, 2, 3, 3), p=0.0).shape
    (1, 2, 3, 3)
    """
    axes = 2 if len(input.shape) == 5 else 1
    return _channels("dropout3d", axes, input, p, training, inplace, generator)


def _channels(
    op: str,
    axes: int,
    x: Tensor,
    p: float,
    training: bool,
    inplace: bool,
    generator: Generator,
) -> Tensor:
    """Dropout of what the first `axes` axes number."""
    check_probability(op, p)
    if len(x.shape) < 2:
        raise ValueError(f"{op}: input of shape {x.shape} has no channels; it must be (N, C, …)")
    shape = (*x.shape[:axes], *[1] * (len(x.shape) - axes))

    def drop(x: Tensor, p: float, generator: Generator) -> Tensor:
        kept = _kept(x, shape, p, generator)
        return where(kept, x * (1 / (1 - p)) if p < 1 else x, 0.0)

    return _dropped(drop, x, p, training, inplace, generator)


# --- dropout that keeps mean and variance -------------------------------------------------------

_LOWEST = -1.7580993408473766  # of selu: -scale · alpha


def alpha_dropout(
    input: Tensor,
    p: float = 0.5,
    training: bool = False,
    inplace: bool = False,
    *,
    generator: Generator = default_generator,
) -> Tensor:
    """Set elements to selu's lowest value with probability `p`, keeping mean and variance.

    For networks of `selu` (Klambauer et al. 2017): of input with mean 0 and variance 1.

    Parameters
    ----------
    input : Tensor
        Of any shape.
    p : float
        Probability, in [0, 1].
    training : bool
        If not, `input` is returned as it is.
    inplace : bool
        Whether to write into `input`, and return it.
    generator : Generator
        Where the mask comes from: the same one on every device.

    Returns
    -------
    Tensor
        Of `input`'s shape and dtype.

    Raises
    ------
    ValueError
        If `p` is not in [0, 1].

    Examples
    --------
    >>> tl.alpha_dropout(tl.ones(2), 0.5, training=False)
    tensor([1., 1.])
    """
    check_probability("alpha_dropout", p)
    shape = tuple(input.shape)
    return _dropped(_alpha_drop(shape), input, p, training, inplace, generator)


def feature_alpha_dropout(
    input: Tensor,
    p: float = 0.5,
    training: bool = False,
    inplace: bool = False,
    *,
    generator: Generator = default_generator,
) -> Tensor:
    """`alpha_dropout` of whole channels of (N, C, …).

    Parameters
    ----------
    input : Tensor, shape (N, C, ...)
    p : float
        Probability, in [0, 1].
    training : bool
        If not, `input` is returned as it is.
    inplace : bool
        Whether to write into `input`, and return it.
    generator : Generator
        Where the mask comes from: the same one on every device.

    Returns
    -------
    Tensor
        Of `input`'s shape and dtype.

    Raises
    ------
    ValueError
        If `p` is not in [0, 1], or `input` has no channels.

    Examples
    --------
    >>> tl.feature_alpha_dropout(tl.ones(1, 2), 0.5, training=False)
    tensor([[1., 1.]])
    """
    check_probability("feature_alpha_dropout", p)
    if len(input.shape) < 2:
        raise ValueError(
            f"feature_alpha_dropout: input of shape {input.shape} has no channels; it must be "
            "(N, C, …)"
        )
    shape = (*input.shape[:2], *[1] * (len(input.shape) - 2))
    return _dropped(_alpha_drop(shape), input, p, training, inplace, generator)


def _alpha_drop(shape: tuple[int, ...]) -> Callable:
    def drop(x: Tensor, p: float, generator: Generator) -> Tensor:
        kept = _kept(x, shape, p, generator)
        if p == 1:
            return where(kept, x, 0.0)
        scale = 1 / math.sqrt((1 - p) * (1 + p * _LOWEST**2))
        shift = -scale * _LOWEST * p
        return where(kept, x * scale + shift, scale * _LOWEST + shift)

    return drop
