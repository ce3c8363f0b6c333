"""Reductions and scans along axes.

`axis` is an int, a tuple of ints, or None for all axes; negative ones count from the end.
``keepdims=True`` leaves the reduced axes with length 1. float16 and bfloat16 are added up in
float32. An axis that is not there raises `numpy.exceptions.AxisError`, a ValueError and an
IndexError.
"""

from __future__ import annotations

import math
from types import ModuleType
from typing import Any

import numpy as np
from numpy.lib.array_utils import normalize_axis_tuple

from tensorlite.backend import Array
from tensorlite.ops.arithmetic import maximum, share
from tensorlite.ops.compare import where
from tensorlite.ops.dtypes import accumulator
from tensorlite.ops.elementwise import abs, cast, sign, sqrt
from tensorlite.ops.fused import float32_inside
from tensorlite.ops.scan import cumprod, neighbour
from tensorlite.ops.shape import broadcast_to, flip, transpose
from tensorlite.ops.slopes import infinite_at_zero
from tensorlite.primitive import primitive

__all__ = [
    "all",
    "amax",
    "amin",
    "any",
    "argmax",
    "argmin",
    "logsumexp",
    "max",
    "mean",
    "min",
    "norm",
    "prod",
    "std",
    "sum",
    "var",
]

Axis = int | tuple[int, ...] | None


def kept_shape(shape: tuple[int, ...], axis: Axis) -> tuple[int, ...]:
    """`shape` with length 1 at the reduced axes."""
    if axis is None:
        return (1,) * len(shape)
    axes = normalize_axis_tuple(axis, len(shape))
    return tuple([1 if i in axes else n for i, n in enumerate(shape)])


def kept(r: Any, shape: tuple[int, ...], axis: Axis, keepdims: bool) -> Any:
    """A result of reducing an array of `shape`, so that it broadcasts against that."""
    return r if keepdims or axis is None else r.reshape(kept_shape(shape, axis))


def reduced_count(shape: tuple[int, ...], axis: Axis) -> int:
    """How many elements go into one result."""
    axes = range(len(shape)) if axis is None else normalize_axis_tuple(axis, len(shape))
    return math.prod([shape[i] for i in axes])


# --- sums ---------------------------------------------------------------------------------------


@primitive
def sum(xp: ModuleType, x: Array, *, axis: Axis = None, keepdims: bool = False) -> Array:
    """Sum of the elements; of booleans and integers an integer."""
    dtype = accumulator(x.dtype)
    total = x.sum(axis=axis, dtype=dtype, keepdims=keepdims)
    return total if dtype is None else total.astype(x.dtype)


sum.defvjp(
    x=lambda g, x_shape, axis, keepdims: broadcast_to(kept(g, x_shape, axis, keepdims), x_shape)
)


@primitive
def mean(xp: ModuleType, x: Array, *, axis: Axis = None, keepdims: bool = False) -> Array:
    """Arithmetic mean; of booleans and integers a float64."""
    dtype = accumulator(x.dtype)
    result = x.mean(axis=axis, dtype=dtype, keepdims=keepdims)
    return result if dtype is None else result.astype(x.dtype)


def _mean_vjp(g: Any, x_shape: tuple, axis: Axis, keepdims: bool) -> Any:
    g = kept(g / reduced_count(x_shape, axis), x_shape, axis, keepdims)
    return broadcast_to(g, x_shape)


mean.defvjp(x=_mean_vjp)


@primitive
@float32_inside
def prod(xp: ModuleType, x: Array, *, axis: Axis = None, keepdims: bool = False) -> Array:
    """Product of the elements; its gradient is right where factors are 0, too."""
    return x.prod(axis=axis, keepdims=keepdims)


def _prod_vjp(g: Any, x: Any, axis: Axis, keepdims: bool) -> Any:
    """Each factor's slope is the product of those before it and those after it: no division."""
    ndim = len(x.shape)
    axes = tuple(range(ndim)) if axis is None else normalize_axis_tuple(axis, ndim)
    order = tuple([i for i in range(ndim) if i not in axes]) + axes
    ordered = transpose(x, order)
    rows = ordered.reshape((*ordered.shape[: ndim - len(axes)], reduced_count(x.shape, axis)))
    before = neighbour(cumprod(rows, -1), -1, -1, edge=1)
    after = neighbour(flip(cumprod(flip(rows, -1), -1), -1), -1, 1, edge=1)
    others = transpose(
        (before * after).reshape(ordered.shape), tuple(map(order.index, range(ndim)))
    )
    return kept(g, x.shape, axis, keepdims) * others


prod.defvjp(x=_prod_vjp)


@primitive
@float32_inside
def var(
    xp: ModuleType, x: Array, *, axis: Axis = None, ddof: int = 0, keepdims: bool = False
) -> Array:
    """Variance: the sum of squared distances from the mean, divided by ``n - ddof``.

    As in NumPy `ddof` is 0 by default; torch's default corresponds to ``ddof=1``.

    Raises
    ------
    ValueError
        If there are not more than `ddof` elements.
    """
    n = reduced_count(x.shape, axis)
    if n <= ddof:
        raise ValueError(f"var: {n} elements with ddof={ddof}: the variance is undefined")
    return x.var(axis=axis, ddof=ddof, keepdims=keepdims)


def _var_vjp(g: Any, x: Any, axis: Axis, ddof: int, keepdims: bool) -> Any:
    scale = 2 / (reduced_count(x.shape, axis) - ddof)
    return kept(g * scale, x.shape, axis, keepdims) * (x - mean(x, axis=axis, keepdims=True))


var.defvjp(x=_var_vjp)


def std(x: Any, axis: Axis = None, ddof: int = 0, keepdims: bool = False) -> Any:
    """Standard deviation, the square root of `var`; gradient 0 where all elements are equal."""
    return sqrt(var(x, axis=axis, ddof=ddof, keepdims=keepdims))


@primitive
@float32_inside
def logsumexp(xp: ModuleType, x: Array, *, axis: Axis = None, keepdims: bool = False) -> Array:
    """``log(sum(exp(x)))`` without overflow; -inf where all elements are -inf."""
    largest = x.max(axis=axis, keepdims=True)
    shift = xp.where(xp.isfinite(largest), largest, 0)
    total = xp.exp(x - shift).sum(axis=axis, keepdims=True)
    with np.errstate(divide="ignore"):  # log(0) is the -inf we want
        result = xp.log(total) + shift
    return result if keepdims else result.reshape(_dropped_shape(x.shape, axis))


def _logsumexp_vjp(g: Any, x: Any, y: Any, axis: Axis, keepdims: bool) -> Any:
    g, y = (kept(r, x.shape, axis, keepdims) for r in (g, y))
    return g * share(x, y)


logsumexp.defvjp(x=_logsumexp_vjp)


def _dropped_shape(shape: tuple[int, ...], axis: Axis) -> tuple[int, ...]:
    if axis is None:
        return ()
    axes = normalize_axis_tuple(axis, len(shape))
    return tuple([n for i, n in enumerate(shape) if i not in axes])


@primitive
@float32_inside
def norm(
    xp: ModuleType,
    x: Array,
    *,
    ord: float = 2,
    axis: Axis = None,
    keepdims: bool = False,
) -> Array:
    """Length of vectors: ``sum(abs(x)**ord)**(1 / ord)``; over several axes, of all their elements.

    Gradient 0 where the norm is 0; with ``ord=inf`` equal largest elements share it.

    Parameters
    ----------
    x
        Any shape.
    ord
        At least 1; infinity gives the largest absolute value.
    axis, keepdims
        As in `sum`.

    Raises
    ------
    ValueError
        If ``ord < 1``, where it would be no norm.
    """
    if not ord >= 1:
        raise ValueError(f"norm: ord={ord} is less than 1")
    size = xp.abs(x)
    if ord == math.inf:
        return size.max(axis=axis, keepdims=keepdims)
    if ord == 1:
        return size.sum(axis=axis, keepdims=keepdims)
    if ord == 2:
        return xp.sqrt((x * x).sum(axis=axis, keepdims=keepdims))
    return (size**ord).sum(axis=axis, keepdims=keepdims) ** (1 / ord)


def _norm_vjp(g: Any, x: Any, y: Any, ord: float, axis: Axis, keepdims: bool) -> Any:
    g, y = (kept(r, x.shape, axis, keepdims) for r in (g, y))
    if ord == math.inf:
        return _to_equal(g * sign(x), abs(x), y, axis)
    unit = x / infinite_at_zero(y)
    return g * (unit if ord == 2 else sign(unit) * abs(unit) ** (ord - 1))


norm.defvjp(x=_norm_vjp)

# --- extremes -----------------------------------------------------------------------------------


@primitive
def max(xp: ModuleType, x: Array, *, axis: Axis = None, keepdims: bool = False) -> Array:
    """Largest element; NaN if one is. Equal largest elements share the gradient equally."""
    return x.max(axis=axis, keepdims=keepdims)


@primitive
def min(xp: ModuleType, x: Array, *, axis: Axis = None, keepdims: bool = False) -> Array:
    """Smallest element; NaN if one is. Equal smallest elements share the gradient equally."""
    return x.min(axis=axis, keepdims=keepdims)


def _extreme_vjp(g: Any, x: Any, y: Any, axis: Axis, keepdims: bool) -> Any:
    g, y = (kept(r, x.shape, axis, keepdims) for r in (g, y))
    return _to_equal(g, x, y, axis)


def _to_equal(g: Any, x: Any, y: Any, axis: Axis) -> Any:
    """Hand `g` to the elements of `x` that equal `y`, in equal shares."""
    equal = x == y
    count = sum(cast(equal, g.dtype), axis=axis, keepdims=True)
    return where(equal, g / maximum(count, 1), 0)  # none is equal to NaN


max.defvjp(x=_extreme_vjp)
min.defvjp(x=_extreme_vjp)
amax, amin = max, min


@primitive
def argmax(xp: ModuleType, x: Array, *, axis: int | None = None, keepdims: bool = False) -> Array:
    """Index (int64) of the first largest element: along `axis`, or (None) in the flattened `x`."""
    return x.argmax(axis=axis, keepdims=keepdims)


@primitive
def argmin(xp: ModuleType, x: Array, *, axis: int | None = None, keepdims: bool = False) -> Array:
    """Index (int64) of the first smallest element: along `axis`, or (None) in the flattened `x`."""
    return x.argmin(axis=axis, keepdims=keepdims)


@primitive
def any(xp: ModuleType, x: Array, *, axis: Axis = None, keepdims: bool = False) -> Array:
    """Whether at least one element is nonzero."""
    return x.any(axis=axis, keepdims=keepdims)


@primitive
def all(xp: ModuleType, x: Array, *, axis: Axis = None, keepdims: bool = False) -> Array:
    """Whether every element is nonzero."""
    return x.all(axis=axis, keepdims=keepdims)
