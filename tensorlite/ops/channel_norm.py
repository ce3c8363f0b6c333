"""Normalization over channels: batch, group and instance norm."""

from __future__ import annotations

import math
from types import ModuleType
from typing import Any

import numpy as np

from tensorlite import tape
from tensorlite.backend import Array, array_backend
from tensorlite.ops.channels import (
    by_channel,
    channel_affine,
    channel_affine_relu,
    channel_sum,
    gradient_sums,
    normalize_channels,
    per_channel,
)
from tensorlite.ops.compiled.arrays import kernel_sum_dtype, packed, plain, plane_sizes
from tensorlite.ops.elementwise import rsqrt, square
from tensorlite.ops.fused import float32_inside, widened
from tensorlite.ops.rectifiers import relu_backward
from tensorlite.ops.reduce import mean
from tensorlite.ops.row_norm import layer_norm_rows
from tensorlite.primitive import primitive
from tensorlite.tensor import Tensor

__all__ = ["batch_norm", "group_norm", "instance_norm"]

# As in `row_norm`, one backward formula is the reference and, with the statistics computed again,
# what is differentiated for the second order.


def _channel_statistics(x: Any, eps: float) -> tuple[Any, Any, Any]:
    """Mean, variance, and 1 / standard deviation of each channel of `x` (N, C, …); shape (C,)."""
    axes = (0, *range(2, len(x.shape)))
    center = mean(x, axis=axes)
    variance = mean(square(x - per_channel(center, len(x.shape))), axis=axes)
    return center, variance, rsqrt(variance + eps)


@primitive(aux=("center", "rstd"), name="batch_norm")
@float32_inside
def batch_norm_channels(
    xp: ModuleType,
    x: Array,
    weight: Array | None = None,
    bias: Array | None = None,
    *,
    eps: float,
    relu: bool,
    save: bool,
) -> tuple[tuple[Array, Array, Array], Array, Array]:
    """Normalize each channel of `x` (N, C, …); the output, and each channel's mean and variance.

    The output is the `relu` of that, if it is asked for. Its gradient computes again where that
    cuts off, so that nothing more is saved.
    """
    center, variance, rstd = _channel_statistics(x, eps)
    scale = rstd if weight is None else weight * rstd
    y = _normalized(x, center, scale, bias)
    return (xp.maximum(y, 0) if relu else y, center, variance), center, rstd


def _normalized(x: Any, center: Any, scale: Any, bias: Any) -> Any:
    ndim = len(x.shape)
    y = (x - per_channel(center, ndim)) * per_channel(scale, ndim)
    return y if bias is None else y + per_channel(bias, ndim)


def _values_per_channel(x: Any) -> int:
    shape = x.shape
    return shape[0] * math.prod(shape[2:])


def _batch_norm_gradients(
    dy: Any, x: Any, weight: Any, bias: Any, center: Any, rstd: Any, relu: bool
) -> tuple:
    ndim = len(x.shape)
    scale = rstd if weight is None else weight * rstd
    if relu:
        dy = relu_backward(dy, _normalized(x, center, scale, bias))
    count = _values_per_channel(x)
    z = (x - per_channel(center, ndim)) * per_channel(rstd, ndim)
    along_z, total = channel_sum(dy * z), channel_sum(dy)
    inner = dy - per_channel(total / count, ndim) - z * per_channel(along_z / count, ndim)
    return per_channel(scale, ndim) * inner, along_z, total


@primitive
@float32_inside
def batch_norm_backward(
    xp: ModuleType,
    dy: Array,
    x: Array,
    weight: Array | None,
    bias: Array | None,
    center: Array,
    rstd: Array,
    *,
    eps: float,
    relu: bool,
) -> tuple[Array, Array, Array]:
    """Cotangents of `batch_norm_channels`'s x, weight and bias from its output's."""
    return _batch_norm_gradients(dy, x, weight, bias, center, rstd, relu)


@batch_norm_backward.defvjp_composite
def _batch_norm_backward(
    dy: Any, x: Any, weight: Any, bias: Any, center: Any, rstd: Any, *, eps: float, relu: bool
) -> tuple:
    center, _, rstd = _channel_statistics(x, eps)
    return _batch_norm_gradients(dy, x, weight, bias, center, rstd, relu)


@batch_norm_channels.defvjp_joint
def _batch_norm_vjp(
    g: tuple,
    needs: tuple,
    x: Any,
    weight: Any,
    bias: Any,
    center: Any,
    rstd: Any,
    eps: float,
    relu: bool,
) -> tuple:
    dy, dmean, dvariance = g
    dx, dweight, dbias = 0, None, None
    if dy is not None:
        dx, dweight, dbias = batch_norm_backward(
            dy, x, weight, bias, center, rstd, eps=eps, relu=relu
        )
    ndim = len(x.shape)
    count = _values_per_channel(x)
    if dmean is not None:
        dx = dx + per_channel(dmean / count, ndim)
    if dvariance is not None:
        shifted = x - mean(x, axis=(0, *range(2, ndim)), keepdims=True)
        dx = dx + shifted * per_channel(dvariance * (2 / count), ndim)
    return dx, dweight, dbias


# --- kernels ------------------------------------------------------------------------------------


@batch_norm_channels.kernel
def _batch_norm_kernel(
    k: Any,
    x: Array,
    weight: Array | None = None,
    bias: Array | None = None,
    *,
    eps: float,
    relu: bool,
    save: bool,
) -> Any:
    arrays, affine = packed(x), by_channel(x, weight, bias)
    if arrays is None or affine is None:
        return NotImplemented
    (x,) = arrays
    n, channels, size = plane_sizes(x)
    wide = kernel_sum_dtype(x.dtype)
    planes, means, squares = n, x, None  # where a plane is a number, that is its mean
    if size > 1:
        means, squares = (k.empty((n, channels), wide) for _ in range(2))
        k.plane_moments(x, means, squares, n * channels, size)
    elif not k.on_host:
        planes = k.parts(n)
        means, squares = (k.empty((planes, channels), wide) for _ in range(2))
        k.column_moments(x, means, squares, n, channels, planes)
    center, variance, rstd = (k.empty((channels,), wide) for _ in range(3))
    found = (center, variance, rstd)
    k.channel_moments(means, squares, *found, planes, channels, n * size, eps)
    y = normalize_channels(k, x, [center, rstd, *affine], relu)
    return (y, center, variance), center, rstd


@batch_norm_backward.kernel
def _batch_norm_backward_kernel(
    k: Any,
    dy: Array,
    x: Array,
    weight: Array | None,
    bias: Array | None,
    center: Array,
    rstd: Array,
    *,
    eps: float,
    relu: bool,
) -> Any:
    arrays, numbers = packed(dy, x), by_channel(x, center, rstd, weight, bias if relu else None)
    if arrays is None or numbers is None or dy.shape != x.shape:
        return NotImplemented
    dy, x = arrays
    n, channels, size = plane_sizes(x)
    dbias, dweight = gradient_sums(k, dy, x, numbers, relu)
    dx = k.empty(x.shape, x.dtype)
    every = (dy, x, *numbers, relu, dweight, dbias, dx)
    if size == 1 and not k.on_host:
        k.batch_norm_rows_backward(*every, n, channels, k.parts(n))
    else:
        k.batch_norm_backward(*every, n, channels, size)
    return dx, dweight, dbias


# --- functions ----------------------------------------------------------------------------------


def batch_norm(
    input: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """Give each channel mean 0 and variance 1 over the batch (Ioffe and Szegedy 2015).

    Parameters
    ----------
    input
        Shape (N, C, …).
    running_mean, running_var
        Averages over batches, (C,): moved by `momentum` towards this batch's mean and unbiased
        variance when `training`, used instead of them when not. May be None when `training`.
    weight, bias
        Scale and shift (C,), or None.
    training
        Whether to use the statistics of this batch.
    momentum
        Share of this batch in the running averages.
    eps
        Added to the variance.

    Returns
    -------
    Tensor
        Of `input`'s shape and dtype.

    Raises
    ------
    ValueError
        If a parameter is not (C,), a channel has only one value to take statistics of, or
        statistics are neither to be taken nor given.

    Examples
    --------
    >>> tl.batch_norm(tl.tensor([[1.0], [3.0]]), None, None, training=True).shape
    (2, 1)
    """
    averages = running_mean, running_var
    return normalized(input, *averages, weight, bias, training, momentum, eps, relu=False)


def normalized(
    x: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None,
    bias: Tensor | None,
    training: bool,
    momentum: float,
    eps: float,
    *,
    relu: bool,
) -> Tensor:
    """`batch_norm`, or the `relu` of it in one pass."""
    if x.array.shape == (0,):  # torch takes an empty batch that has lost its channels, too
        x = x.reshape(0, 0)
        averages = running_mean, running_var
        return normalized(x, *averages, weight, bias, False, 0.0, eps, relu=relu).reshape(0)
    _check_channels("batch_norm", x, running_mean, running_var, weight, bias)
    if not training:
        if running_mean is None or running_var is None:
            raise ValueError(
                "batch_norm: running_mean and running_var must be given, or training=True"
            )
        scale = rsqrt(running_var + eps)
        scale = scale if weight is None else weight * scale
        shift = -running_mean * scale
        affine = channel_affine_relu if relu else channel_affine
        return affine(x, scale, shift if bias is None else bias + shift)
    count = _values_per_channel(x)
    if count < 2:
        raise ValueError(
            f"batch_norm: {count} values per channel in input {x.shape} have no variance; use a "
            "larger batch, or eval()"
        )
    y, center, variance = batch_norm_channels(x, weight, bias, eps=eps, relu=relu)
    if running_mean is not None:
        _move(running_mean, center.array, momentum)
    if running_var is not None:
        _move(running_var, variance.array, momentum, count / (count - 1))
    return y


def _move(average: Tensor, value: Array, momentum: float, scale: float = 1.0) -> None:
    """Move a running average in place, unless a checkpoint runs its batch for a second time."""
    if tape.mode.switches.recomputes:
        return
    tape.unit("running average", _moved, average.array, value, momentum, scale)
    tape.note_write(average.array)


def _moved(average: Array, value: Array, momentum: float, scale: float) -> None:
    kernels = array_backend((average,)).kernels
    fits = kernels is not None and average.dtype == value.dtype and average.dtype.char in "fd"
    if fits and average.size and plain(average) and plain(value):
        kernels.moving_average(value, average, average.size, momentum, scale)
        return
    average *= 1 - momentum
    value = value if scale == 1 else value * scale
    average += (momentum * value).astype(average.dtype, copy=False)


def count_batch(batches: Tensor) -> None:
    """Add 1 to a counter of batches, in place."""
    kernels = array_backend((batches.array,)).kernels
    if kernels is None or batches.array.dtype != np.int64 or not plain(batches.array):
        batches.add_(1)
        return
    tape.unit("count of batches", kernels.count_batch, batches.array, batches.array.size)
    tape.note_write(batches.array)


def group_norm(
    input: Tensor,
    num_groups: int,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
) -> Tensor:
    """Give each group of channels of each image mean 0 and variance 1 (Wu and He 2018).

    `input` is (N, C, …), C divides by `num_groups`; `weight` and `bias` are (C,) or None.

    Parameters
    ----------
    input : Tensor
    num_groups : int
    weight, bias : Tensor or None
    eps : float
        Added to the variance.

    Returns
    -------
    Tensor
        Of `input`'s shape and dtype.

    Raises
    ------
    ValueError
        If `num_groups` does not divide C, or shapes do not fit.

    Examples
    --------
    >>> tl.group_norm(tl.ones(1, 4, 2), 2).shape
    (1, 4, 2)
    """
    x = input
    _check_channels("group_norm", x, weight, bias)
    shape = x.array.shape
    if num_groups < 1 or shape[1] % num_groups:
        raise ValueError(f"group_norm: {shape[1]} channels do not divide into {num_groups} groups")
    rows = x.reshape(shape[0], num_groups, math.prod(shape[1:]) // num_groups)
    previous = tape.mode.switches.set(autocast=None)  # short floats are computed in float32 anyway
    try:
        y = layer_norm_rows(rows, eps=eps).reshape(shape)
    finally:
        tape.mode.switches.set(**previous)
    return y if weight is None and bias is None else channel_affine(y, weight, bias)


def instance_norm(
    input: Tensor,
    running_mean: Tensor | None = None,
    running_var: Tensor | None = None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    use_input_stats: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """Give each channel of each image mean 0 and variance 1 (Ulyanov et al. 2016).

    Parameters
    ----------
    input
        Shape (N, C, …) with at least one spatial axis.
    running_mean, running_var
        Averages over images, (C,), or None: moved by `momentum` towards the mean over this batch
        of each image's mean and unbiased variance.
    weight, bias
        Scale and shift (C,), or None.
    use_input_stats
        If not, the running averages are used instead of each image's own.
    momentum : float
        Share of this batch in the running averages.
    eps : float
        Added to the variance.

    Returns
    -------
    Tensor
        Of `input`'s shape and dtype.

    Raises
    ------
    ValueError
        If shapes do not fit, a channel has one value, or there are no statistics to use.

    Examples
    --------
    >>> tl.instance_norm(tl.tensor([[[1.0, 3.0]]])).shape
    (1, 1, 2)
    """
    x = input
    _check_channels("instance_norm", x, running_mean, running_var, weight, bias)
    if not use_input_stats:
        if running_mean is None or running_var is None:
            raise ValueError(
                "instance_norm: running_mean and running_var must be given, or use_input_stats=True"
            )
        return batch_norm(x, running_mean, running_var, weight, bias, eps=eps)
    count = math.prod(x.shape[2:])
    if count == 1:
        raise ValueError(f"instance_norm: input {x.shape} has one value a channel: no variance")
    for average, correction in ((running_mean, None), (running_var, 1)):
        if average is not None and x.numel():
            mean = tape.unit("statistics of images", _over_images, x.array, correction)
            _move(average, mean, momentum)
    return group_norm(x, x.shape[1], weight, bias, eps)


def _over_images(x: Array, correction: int | None) -> Array:
    """Mean over the images of each channel's mean, or of its variance with a `correction`."""
    x = widened(x).reshape(*x.shape[:2], math.prod(x.shape[2:]))
    if correction is None:
        return x.mean(axis=(0, 2))
    return x.var(axis=2, ddof=correction).mean(axis=0)


def _check_channels(op: str, x: Tensor, *parameters: Tensor | None) -> None:
    shape = x.array.shape
    if len(shape) < 2:
        raise ValueError(f"{op}: input of shape {shape} has no channels; it must be (N, C, …)")
    for parameter in parameters:
        if parameter is not None and parameter.array.shape != shape[1:2]:
            raise ValueError(
                f"{op}: a parameter of shape {parameter.array.shape} for input of shape {shape}; "
                f"it must be (channels,) = {shape[1:2]}"
            )
