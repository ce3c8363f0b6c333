"""Quantiles."""

from __future__ import annotations

import math
from types import ModuleType
from typing import Any

from tensorlite.backend import Array
from tensorlite.backend.dims import kept_shape, one_dim
from tensorlite.backend.dtypes import float32, float64
from tensorlite.ops.axes import moveaxis
from tensorlite.ops.compare import isnan, where
from tensorlite.ops.creation import full
from tensorlite.ops.elementwise import cast
from tensorlite.ops.faces import takes_axis
from tensorlite.ops.index import take_along_axis
from tensorlite.ops.limits import clip
from tensorlite.ops.order import order_of
from tensorlite.ops.reduce import any, sum
from tensorlite.ops.rounding import ceil, floor, round
from tensorlite.primitive import primitive

__all__ = ["nanquantile", "quantile"]

MODES = ("linear", "lower", "higher", "midpoint", "nearest")
WHOLE = {"lower": floor, "higher": ceil, "nearest": round}  # how ranks become whole numbers


@primitive
def places_of_ranks(xp: ModuleType, x: Array, ranks: Array) -> Array:
    """Where along the last axis of `x` the elements of these ranks are, whole numbers from 0 up."""
    ranks = xp.clip(ranks, 0, x.shape[-1] - 1).astype("int64")
    ranks = xp.broadcast_to(ranks, (*x.shape[:-1], ranks.shape[-1]))
    return xp.take_along_axis(order_of(x, axis=-1), ranks, -1)


@takes_axis
def quantile(
    input: Any,
    q: Any,
    dim: int | None = None,
    keepdim: bool = False,
    *,
    interpolation: str = "linear",
) -> Any:
    """Elements at given parts of the way through the sorted elements.

    Parameters
    ----------
    input : Tensor
        float32 or float64, at least one element along `dim`.
    q : float, or Tensor of `input`'s dtype with at most one axis
        Between 0 and 1; .5 is the middle.
    dim : int, optional
        The axis to sort along; by default all elements are sorted.
    keepdim : bool
        Leave that axis with length 1.
    interpolation : {"linear", "lower", "higher", "midpoint", "nearest"}
        What to take between two elements.

    Returns
    -------
    Tensor
        NaN where an element is. If `q` has an axis, it is the first.

    Raises
    ------
    TypeError, ValueError
        If a dtype, `q` or `interpolation` is not one of these.

    Examples
    --------
    >>> tl.quantile(tl.tensor([0.5, 0.2]), tl.tensor([0.9, 0.5]))
    tensor([0.47000003, 0.35000002])
    """
    return _quantile("quantile", input, q, dim, keepdim, interpolation, skip_nan=False)


@takes_axis
def nanquantile(
    input: Any,
    q: Any,
    dim: int | None = None,
    keepdim: bool = False,
    *,
    interpolation: str = "linear",
) -> Any:
    """`quantile` of the elements that are not NaN; NaN where all are.

    Parameters
    ----------
    input : Tensor
        Of any shape.
    q, dim, keepdim, interpolation
        As of `quantile`.

    Returns
    -------
    Tensor
        As of `quantile`.

    Raises
    ------
    TypeError
        If `input` is neither float32 nor float64.
    ValueError
        If there is no such `interpolation`, or there are no elements.

    Examples
    --------
    >>> tl.nanquantile(tl.tensor([0.5, 0.2]), tl.tensor([0.9, 0.5]))
    tensor([0.47000003, 0.35000002])
    """
    return _quantile("nanquantile", input, q, dim, keepdim, interpolation, skip_nan=True)


def _quantile(
    name: str, x: Any, q: Any, dim: int | None, keepdim: bool, interpolation: str, skip_nan: bool
) -> Any:
    if interpolation not in MODES:
        raise ValueError(f"{name}: interpolation={interpolation!r} is none of {', '.join(MODES)}")
    if x.dtype not in (float32, float64):
        raise TypeError(f"{name}: input is float32 or float64, not {x.dtype}")
    shape, ndim = tuple(x.shape), len(x.shape)
    flat = dim is None or ndim == 0
    axis = one_dim(0 if dim is None else dim, ndim, name)
    rows = x.reshape((math.prod(shape),)) if flat else moveaxis(x, axis, -1)
    if 0 in shape:
        raise ValueError(f"{name}: input of shape {shape} has no elements to sort")
    one = not len(getattr(q, "shape", ()))
    y = moveaxis(_at(rows, _parts_of(name, q, x), interpolation, skip_nan), -1, 0)
    if keepdim:
        y = y.reshape((y.shape[0], *kept_shape(shape, dim)))
    return y[0] if one else y


def _parts_of(name: str, q: Any, x: Any) -> Any:
    """`q` with one axis, checked."""
    if not hasattr(q, "dtype"):
        if not 0 <= q <= 1:
            raise ValueError(f"{name}: q={q} is not between 0 and 1")
        return full((1,), q, dtype=x.dtype, device=x.device)
    if q.dtype != x.dtype:
        raise TypeError(f"{name}: q is {q.dtype}, and input {x.dtype}")
    if len(q.shape) > 1:
        raise ValueError(f"{name}: q has at most one axis, not shape {tuple(q.shape)}")
    if bool(any((q < 0) | (q > 1))):
        raise ValueError(f"{name}: q has values that are not between 0 and 1")
    return q.reshape((-1,))


def _at(x: Any, q: Any, interpolation: str, skip_nan: bool) -> Any:
    """The parts `q` of the way through the last axis of `x`, in the last axis of the result."""
    n = x.shape[-1]
    if skip_nan:
        numbers = sum(cast(~isnan(x), x.dtype), axis=-1, keepdims=True)
        ranks = q * clip(numbers - 1, 0)
    else:
        ranks = where(any(isnan(x), axis=-1, keepdims=True), n - 1.0, q * (n - 1))
    if interpolation in WHOLE:
        return take_along_axis(x, places_of_ranks(x, WHOLE[interpolation](ranks)), axis=-1)
    low = floor(ranks)
    below = take_along_axis(x, places_of_ranks(x, low), axis=-1)
    above = take_along_axis(x, places_of_ranks(x, ceil(ranks)), axis=-1)
    return below + (0.5 if interpolation == "midpoint" else ranks - low) * (above - below)
