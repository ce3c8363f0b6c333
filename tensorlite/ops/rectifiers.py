"""Activation functions that are made of straight pieces, as the rectifier is."""

from __future__ import annotations

import math
from types import ModuleType
from typing import Any

import numpy as np

from tensorlite.backend import Array
from tensorlite.ops.compare import or_zero, select, where
from tensorlite.ops.compiled.arrays import host_number, kernel_sum_dtype, packed
from tensorlite.ops.fused import float32_inside, fused, widened
from tensorlite.ops.limits import clamp
from tensorlite.ops.promotion import floats
from tensorlite.ops.random import rand_like
from tensorlite.primitive import primitive
from tensorlite.random import Generator, default_generator
from tensorlite.tensor import Tensor

__all__ = [
    "hardshrink",
    "hardsigmoid",
    "hardswish",
    "hardtanh",
    "leaky_relu",
    "prelu",
    "relu",
    "relu6",
    "rrelu",
    "softshrink",
    "threshold",
]


@primitive
def relu(xp: ModuleType, x: Array) -> Array:
    """``max(input, 0)``; its derivative at 0 is 0.

    Raises
    ------
    TypeError
        If `input` holds booleans.

    Examples
    --------
    >>> tl.relu(tl.tensor([-1.5, 0.0, 2.0]))
    tensor([0., 0., 2.])
    """
    if x.dtype.kind == "b":
        raise TypeError("booleans have no rectified form: make them numbers first")
    return xp.maximum(x, 0)


@primitive
def relu_backward(xp: ModuleType, dy: Array, out: Array) -> Array:
    """Cotangent of `relu`'s input from that of its output `out`."""
    return or_zero(dy, out > 0) if xp is np else xp.where(out > 0, dy, dy.dtype.type(0))


relu.defvjp(x=lambda g, y: relu_backward(g, y))
relu_backward.defvjp(dy=lambda g, out: relu_backward(g, out))
relu.kernel("relu")
relu_backward.kernel("relu_backward")


@primitive(operands=floats)
@float32_inside
def leaky_relu(xp: ModuleType, x: Array, *, negative_slope: float = 0.01) -> Array:
    """Scale what is below 0 by `negative_slope`, which is also the derivative at 0.

    Parameters
    ----------
    negative_slope : float
        The factor below 0.

    Examples
    --------
    >>> tl.leaky_relu(tl.tensor([-1.5, 0.0, 2.0]), 0.1)
    tensor([-0.15,  0.  ,  2.  ])
    """
    return xp.where(x > 0, x, negative_slope * x)


@fused
def leaky_relu_backward(dy: Any, x: Any, *, negative_slope: float) -> Any:
    """Cotangent of `leaky_relu`'s input."""
    return where(x > 0, dy, dy * negative_slope)


leaky_relu.defvjp(
    x=lambda g, x, negative_slope: leaky_relu_backward(g, x, negative_slope=negative_slope)
)
leaky_relu.kernel("leaky_relu", "negative_slope")
leaky_relu_backward.kernel("leaky_relu_backward", "negative_slope")


@primitive
@float32_inside
def hardtanh(xp: ModuleType, x: Array, *, min_val: float = -1.0, max_val: float = 1.0) -> Array:
    """Clip `input` to [`min_val`, `max_val`]; the derivative at the bounds is 0.

    Parameters
    ----------
    min_val, max_val : float
        The bounds.

    Raises
    ------
    ValueError
        If `min_val` is above `max_val`.
    TypeError
        If `input` is of booleans, or of unsigned integers and a bound is below 0.

    Examples
    --------
    >>> tl.nn.functional.hardtanh(tl.tensor([-1.5, 0.0, 2.0]))
    tensor([-1.,  0.,  1.])
    """
    if min_val > max_val:
        raise ValueError(f"min_val {min_val} is above max_val {max_val}")
    if x.dtype.kind == "b" or (x.dtype.kind == "u" and min_val < 0):
        raise TypeError(f"{x.dtype} does not reach from {min_val} to {max_val}: use t.float()")
    if x.dtype.kind in "iu":
        min_val, max_val = int(min_val), int(max_val)
    return xp.clip(x, min_val, max_val)


hardtanh.defvjp(x=lambda g, x, min_val, max_val: where((x <= min_val) | (x >= max_val), 0, g))


def relu6(input: Tensor) -> Tensor:
    """Clip `input` to [0, 6]; the derivative at the bounds is 0.

    Examples
    --------
    >>> tl.relu6(tl.tensor([-1.5, 0.0, 2.0]))
    tensor([0., 0., 2.])
    """
    return hardtanh(input, min_val=0.0, max_val=6.0)


@primitive(operands=floats)
@float32_inside
def hardsigmoid(xp: ModuleType, x: Array) -> Array:
    """`input` / 6 + 1/2, clipped to [0, 1]; the derivative at ±3 is 0.

    Examples
    --------
    >>> tl.hardsigmoid(tl.tensor([-1.5, 0.0, 2.0]))
    tensor([0.25     , 0.5      , 0.8333334])
    """
    return xp.clip(x / 6 + 0.5, 0, 1)


hardsigmoid.defvjp(x=lambda g, x: where((x > -3) & (x < 3), g / 6, 0))


@primitive(operands=floats)
@float32_inside
def hardswish(xp: ModuleType, x: Array) -> Array:
    """``input * hardsigmoid(input)`` (Howard et al. 2019, "Searching for MobileNetV3").

    Examples
    --------
    >>> tl.hardswish(tl.tensor([-1.5, 0.0, 2.0]))
    tensor([-0.375    ,  0.       ,  1.6666667])
    """
    return xp.maximum(x, -3) * hardsigmoid(x)


hardswish.defvjp(
    x=lambda g, x: where(x >= 3, g, where(x <= -3, 0, g * (clamp(x, -3, 3) / 3 + 0.5)))
)


def threshold(input: Tensor, threshold: float, value: float) -> Tensor:
    """`input` where it is above `threshold`, `value` elsewhere.

    Parameters
    ----------
    input : Tensor
        Of any shape.
    threshold, value : float
        What `input` has to be above, and what takes its place elsewhere.

    Examples
    --------
    >>> tl.threshold(tl.tensor([-1.5, 0.0, 2.0]), 0.5, -1.0)
    tensor([-1., -1.,  2.])
    """
    return select(input <= threshold, value, input)


def hardshrink(input: Tensor, lambd: float = 0.5) -> Tensor:
    """`input`, and 0 where it is in [-`lambd`, `lambd`].

    Parameters
    ----------
    lambd : float
        Half the width of the gap around 0.

    Examples
    --------
    >>> tl.hardshrink(tl.tensor([-1.5, 0.0, 2.0]))
    tensor([-1.5,  0. ,  2. ])
    """
    return select((input >= -lambd) & (input <= lambd), 0, input)


def softshrink(input: Tensor, lambd: float = 0.5) -> Tensor:
    """`input`, moved towards 0 by `lambd`; 0 where that would cross it.

    Parameters
    ----------
    lambd : float
        How far; not negative.

    Raises
    ------
    ValueError
        If `lambd` is negative.

    Examples
    --------
    >>> tl.softshrink(tl.tensor([-1.5, 0.0, 2.0]))
    tensor([-1. ,  0. ,  1.5])
    """
    if lambd < 0:
        raise ValueError(f"softshrink: lambd is {lambd}; it must not be negative")
    return input - clamp(input, -lambd, lambd)


def rrelu(
    input: Tensor,
    lower: float = 1.0 / 8,
    upper: float = 1.0 / 3,
    training: bool = False,
    generator: Generator = default_generator,
) -> Tensor:
    """`leaky_relu` with a slope drawn for each element (Xu et al. 2015).

    Parameters
    ----------
    input
        Any shape.
    lower, upper
        Between which the slopes are drawn evenly; when not training all are their mean.
    training
        Whether to draw.
    generator
        Where the slopes come from.

    Returns
    -------
    Tensor
        Of `input`'s shape and float dtype.

    Raises
    ------
    ValueError
        If `lower` is above `upper`.

    Examples
    --------
    >>> tl.rrelu(tl.tensor([-1.5, 0.0, 2.0]))
    tensor([-0.34375,  0.     ,  2.     ])
    """
    if lower > upper:
        raise ValueError(f"rrelu: lower {lower} is above upper {upper}")
    if not training:
        return leaky_relu(input, (lower + upper) / 2)
    slope = lower + (upper - lower) * rand_like(input, generator=generator)
    return select(input <= 0, input * slope, input)


@primitive(name="prelu")
@float32_inside
def prelu_of_channels(xp: ModuleType, x: Array, weight: Array) -> Array:
    """`prelu` of x (n, channels, …) by weights (channels,), or of any x by one weight."""
    return xp.where(x > 0, x, _beside(weight, x) * x)


@fused
def prelu_backward(dy: Any, x: Any, weight: Any) -> tuple[Any, Any]:
    """Cotangents of both inputs of `prelu_of_channels`."""
    below = where(x > 0, 0, dy * where(x > 0, 0, x))
    axes = tuple(i for i in range(x.ndim) if i != 1 or weight.shape == (1,))
    return where(x > 0, dy, dy * _beside(weight, x)), below.sum(axis=axes).reshape(weight.shape)


def _beside(weight: Any, x: Any) -> Any:
    """The weights in a shape that broadcasts along the channels."""
    return weight if weight.shape == (1,) else weight.reshape(-1, *[1] * (x.ndim - 2))


prelu_of_channels.defvjp_joint(lambda g, needs, x, weight: prelu_backward(g, x, weight))


@prelu_of_channels.kernel
def _prelu(k: Any, x: Array, weight: Array) -> Any:
    arrays = packed(x, weight)
    if arrays is None:
        return NotImplemented
    if weight.size == 1:
        number = host_number(k, weight.reshape(()))
        return NotImplemented if number is None else k.new_leaky_relu(arrays[0], number)
    n, channels = x.shape[:2]
    y = k.empty(x.shape, x.dtype)
    if x.ndim == 2:
        k.prelu_columns(*arrays, y, n, channels)
    else:
        k.prelu(*arrays, y, n * channels, x.size // (n * channels), channels)
    return y


@prelu_backward.kernel
def _prelu_backward(k: Any, dy: Array, x: Array, weight: Array) -> Any:
    arrays = packed(dy, x, weight)
    if arrays is None or dy.shape != x.shape:
        return NotImplemented
    if weight.size == 1:
        number = host_number(k, weight.reshape(()))
        if number is None:
            return NotImplemented
        below = widened(k.new_clamp(arrays[1], -math.inf, 0.0)) * widened(arrays[0])
        dx = k.new_leaky_relu_backward(*arrays[:2], number)
        return dx, below.sum().reshape(1)
    n, channels = x.shape[:2]
    dx = k.empty(x.shape, x.dtype)
    if x.ndim == 2:
        partial = k.empty((k.parts(n), channels), kernel_sum_dtype(x.dtype))
        k.prelu_columns_backward(*arrays, dx, partial, n, channels, len(partial))
    else:
        rows = n * channels
        partial = k.empty((n, channels), kernel_sum_dtype(x.dtype))
        k.prelu_backward(*arrays, dx, partial.reshape(-1), rows, x.size // rows, channels)
    return dx, partial.sum(axis=0)


def prelu(input: Tensor, weight: Tensor) -> Tensor:
    """`input` where it is positive, else `weight` times it (He et al. 2015).

    Parameters
    ----------
    input
        Of any shape; the channels are its axis 1, if there is one.
    weight
        One number, shape () or (1,), or one for each channel, shape (C,).

    Returns
    -------
    Tensor
        Of `input`'s shape and dtype.

    Raises
    ------
    ValueError
        If there are neither one nor C weights, or `weight` has several axes.

    Examples
    --------
    >>> tl.prelu(tl.tensor([-1.5, 0.0, 2.0]), tl.tensor(0.25))
    tensor([-0.375,  0.   ,  2.   ])
    """
    count = weight.numel() if isinstance(weight, Tensor) else weight.size
    if weight.ndim > 1:
        raise ValueError(f"prelu: weight of shape {tuple(weight.shape)}: one axis at most")
    if not input.ndim and count != 1:
        raise ValueError(f"prelu: {count} weights for one number")
    channels = input.shape[1] if input.ndim > 1 else 1
    if count not in (1, channels):
        raise ValueError(
            f"prelu: {count} weights for an input of shape {tuple(input.shape)}, which has "
            f"{channels} channels: give one weight, or one a channel"
        )
    if not weight.ndim:
        weight = weight.reshape(1)
    if not input.ndim:
        return prelu_of_channels(input.reshape(1), weight).reshape(())
    return prelu_of_channels(input, weight)
