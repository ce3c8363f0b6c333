"""Normalization over the last axes: layer norm and RMS norm."""

from __future__ import annotations

import math
from collections.abc import Sequence
from types import ModuleType
from typing import Any

import numpy as np

from tensorlite.backend import Array
from tensorlite.backend.base import rows_of
from tensorlite.backend.dtypes import is_short
from tensorlite.ops.channels import channel_sum
from tensorlite.ops.compiled.norms import backward_on_cuda, like_input
from tensorlite.ops.elementwise import rsqrt, square
from tensorlite.ops.fused import float32_inside, widened
from tensorlite.ops.reduce import mean
from tensorlite.primitive import primitive
from tensorlite.tensor import Tensor

__all__ = ["layer_norm", "rms_norm"]

# The backward formulas are written with primitives: on arrays, with the statistics that the forward
# pass saved, they are the references; on Tensors, with the statistics computed again so that
# these are differentiated too, they give the second order.


def _layer_statistics(x: Any, eps: float) -> tuple[Any, Any]:
    """Mean of each row, and 1 / its standard deviation; shape (…, 1)."""
    center = mean(x, axis=-1, keepdims=True)
    variance = mean(square(x - center), axis=-1, keepdims=True)
    return center, rsqrt(variance + eps)


@primitive(aux=("center", "rstd"), name="layer_norm", any_float=True)
@float32_inside
def layer_norm_rows(
    xp: ModuleType,
    x: Array,
    weight: Array | None = None,
    bias: Array | None = None,
    *,
    eps: float,
    save: bool,
) -> tuple[Array, Array, Array]:
    """Normalize each row of `x` (…, D); scale and shift it by `weight` and `bias` (D,)."""
    center, rstd = _layer_statistics(x, eps)
    y = (x - center) * rstd
    if weight is not None:
        y *= weight
    if bias is not None:
        y += bias
    return y, center, rstd


def _layer_norm_gradients(
    dy: Any, x: Any, weight: Any, center: Any, rstd: Any, affine: bool
) -> Any:
    z = (x - center) * rstd
    h = dy if weight is None else dy * weight
    along_z = mean(h * z, axis=-1, keepdims=True)
    dx = rstd * (h - mean(h, axis=-1, keepdims=True) - z * along_z)
    return (dx, channel_sum(rows_of(dy * z)), channel_sum(rows_of(dy))) if affine else dx


@primitive
def layer_norm_backward(
    xp: ModuleType,
    dy: Array,
    x: Array,
    weight: Array | None,
    center: Array,
    rstd: Array,
    *,
    eps: float,
    affine: bool,
    places: tuple | None = None,
) -> Any:
    """Cotangent of `layer_norm_rows`'s x and, if `affine`, those of weight and bias behind it.

    `places` are what the latter may be written to (``into`` of a rule).
    """
    dy, wide, weight = widened(dy), widened(x), widened(weight)
    return like_input(x, _layer_norm_gradients(dy, wide, weight, center, rstd, affine))


@layer_norm_backward.defvjp_composite
def _layer_norm_backward(
    dy: Any, x: Any, weight: Any, center: Any, rstd: Any, *, eps: float, affine: bool, places: None
) -> Any:
    return _layer_norm_gradients(dy, x, weight, *_layer_statistics(x, eps), affine)


layer_norm_rows.kernel("layer_norm", "eps")


@layer_norm_backward.kernel
def _layer_norm_backward_kernel(
    k: Any,
    dy: Array,
    x: Array,
    weight: Array | None,
    center: Array,
    rstd: Array,
    *,
    eps: float,
    affine: bool,
    places: tuple | None,
) -> Any:
    found: Any = NotImplemented
    if weight is not None and is_short(weight.dtype):
        places = None  # which are short, too
    if places is None and x.dtype == dy.dtype:
        found = k.new_layer_norm_backward(dy, x, center, rstd, weight)
    if found is NotImplemented and not k.on_host:
        found = backward_on_cuda("layer_norm", k, dy, x, (center, rstd), weight, places)
    return found if affine or found is NotImplemented else found[0]


def _all_places(into: tuple | None) -> tuple | None:
    """Where the parameters' gradients may be written to, if each has a place."""
    places = into[1:] if into else (None,)
    return None if any(place is None for place in places) else places


@layer_norm_rows.defvjp_joint
def layer_norm_vjp(
    g: Any,
    needs: tuple,
    x: Any,
    weight: Any,
    center: Any,
    rstd: Any,
    eps: float,
    *,
    into: tuple | None = None,
) -> tuple:
    affine = needs[1] or needs[2]
    places = _all_places(into) if affine else None
    d = layer_norm_backward(g, x, weight, center, rstd, eps=eps, affine=affine, places=places)
    return d if affine else (d, None, None)


def _rms_statistics(x: Any, eps: float) -> Any:
    """1 / the root of the mean square of each row; shape (…, 1)."""
    return rsqrt(mean(square(x), axis=-1, keepdims=True) + eps)


@primitive(aux=("rstd",), name="rms_norm", any_float=True)
@float32_inside
def rms_norm_rows(
    xp: ModuleType, x: Array, weight: Array | None = None, *, eps: float, save: bool
) -> tuple[Array, Array]:
    """Divide each row of `x` (…, D) by its root mean square; scale it by `weight` (D,)."""
    rstd = _rms_statistics(x, eps)
    y = x * rstd
    if weight is not None:
        y *= weight
    return y, rstd


def _rms_norm_gradients(dy: Any, x: Any, weight: Any, rstd: Any, affine: bool) -> Any:
    z = x * rstd
    h = dy if weight is None else dy * weight
    dx = rstd * (h - z * mean(h * z, axis=-1, keepdims=True))
    return (dx, channel_sum(rows_of(dy * z))) if affine else dx


@primitive
def rms_norm_backward(
    xp: ModuleType,
    dy: Array,
    x: Array,
    weight: Array | None,
    rstd: Array,
    *,
    eps: float,
    affine: bool,
    places: tuple | None = None,
) -> Any:
    """Cotangent of `rms_norm_rows`'s x and, if `affine`, that of weight behind it."""
    dy, wide, weight = widened(dy), widened(x), widened(weight)
    return like_input(x, _rms_norm_gradients(dy, wide, weight, rstd, affine))


@rms_norm_backward.defvjp_composite
def _rms_norm_backward(
    dy: Any, x: Any, weight: Any, rstd: Any, *, eps: float, affine: bool, places: None
) -> Any:
    return _rms_norm_gradients(dy, x, weight, _rms_statistics(x, eps), affine)


rms_norm_rows.kernel("rms_norm", "eps")


@rms_norm_backward.kernel
def _rms_norm_backward_kernel(
    k: Any,
    dy: Array,
    x: Array,
    weight: Array | None,
    rstd: Array,
    *,
    eps: float,
    affine: bool,
    places: tuple | None,
) -> Any:
    found: Any = NotImplemented
    if weight is not None and is_short(weight.dtype):
        places = None  # which are short, too
    if places is None and x.dtype == dy.dtype:
        found = k.new_rms_norm_backward(dy, x, rstd, weight)
    if found is NotImplemented and not k.on_host:
        found = backward_on_cuda("rms_norm", k, dy, x, (rstd,), weight, places)
    return found if affine or found is NotImplemented else found[0]


@rms_norm_rows.defvjp_joint
def rms_norm_vjp(
    g: Any, needs: tuple, x: Any, weight: Any, rstd: Any, eps: float, *, into: tuple | None = None
) -> tuple:
    affine = needs[1]
    places = _all_places(into) if affine else None
    d = rms_norm_backward(g, x, weight, rstd, eps=eps, affine=affine, places=places)
    return d if affine else (d, None)


# --- functions ----------------------------------------------------------------------------------


def layer_norm(
    input: Tensor,
    normalized_shape: int | Sequence[int],
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
) -> Tensor:
    """Give the trailing axes of `input` mean 0 and variance 1 (Ba et al. 2016).

    Parameters
    ----------
    input
        Shape (…, *normalized_shape).
    normalized_shape
        Lengths of the axes to normalize over.
    weight, bias
        Scale and shift of that shape, or None.
    eps
        Added to the variance.

    Returns
    -------
    Tensor
        Of `input`'s shape and dtype.

    Raises
    ------
    ValueError
        If shapes do not fit.

    Examples
    --------
    >>> tl.layer_norm(tl.tensor([[1.0, 3.0]]), 2).shape
    (1, 2)
    """
    x, shape, (weight, bias) = _flat_rows("layer_norm", input, normalized_shape, weight, bias)
    y = layer_norm_rows(x, weight, bias, eps=eps)
    return y if shape is None else y.reshape(shape)


def rms_norm(
    input: Tensor,
    normalized_shape: int | Sequence[int],
    weight: Tensor | None = None,
    eps: float | None = None,
) -> Tensor:
    """Divide the trailing axes of `input` by their root mean square (Zhang and Sennrich 2019).

    As `layer_norm` without mean and bias; `eps` is by default the dtype's spacing at 1 (float32's
    for shorter ones, which are computed in float32).

    Parameters
    ----------
    input : Tensor, shape (..., *normalized_shape)
    normalized_shape : int or sequence of int
    weight : Tensor, shape `normalized_shape`, optional
    eps : float, optional

    Returns
    -------
    Tensor
        Of `input`'s shape and dtype.

    Raises
    ------
    ValueError
        If shapes do not fit.

    Examples
    --------
    >>> tl.rms_norm(tl.tensor([[3.0, 4.0]]), 2)
    tensor([[0.84852815, 1.1313709 ]])
    """
    if eps is None:
        eps = float(np.finfo(np.float32 if is_short(input.dtype) else input.dtype).eps)
    x, shape, (weight,) = _flat_rows("rms_norm", input, normalized_shape, weight)
    y = rms_norm_rows(x, weight, eps=eps)
    return y if shape is None else y.reshape(shape)


def _flat_rows(
    op: str, x: Tensor, normalized_shape: int | Sequence[int], *parameters: Tensor | None
) -> tuple[Tensor, tuple[int, ...] | None, Sequence[Tensor | None]]:
    """`x` with the axes to normalize as one, its own shape if that differs, and the parameters."""
    one = isinstance(normalized_shape, int)
    given: Any = normalized_shape
    wanted = (given,) if one else tuple(given)
    shape = x.array.shape
    if not wanted or shape[-len(wanted) :] != wanted:
        raise ValueError(
            f"{op}: input of shape {shape} does not end with normalized_shape {wanted}"
        )
    for name, parameter in zip(("weight", "bias"), parameters, strict=False):
        if parameter is not None and parameter.array.shape != wanted:
            raise ValueError(
                f"{op}: {name} of shape {parameter.array.shape} is not of normalized_shape {wanted}"
            )
    if len(wanted) == 1:
        return x, None, parameters
    columns = math.prod(wanted)
    flat = x.reshape(*shape[: -len(wanted)], columns)
    return flat, shape, [p if p is None else p.reshape(columns) for p in parameters]
