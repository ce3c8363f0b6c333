"""Primitives of gather and scatter: places along an axis are read, written, and added to.

``index[i, j]`` stands for the place ``[index[i, j], j]`` for axis 0, and so on. An index may be
shorter than the array along every axis.
"""

from __future__ import annotations

import math
from types import ModuleType
from typing import Any

import numpy as np

from tensorlite.backend import Array, array_backend
from tensorlite.backend.dtypes import is_floating, numpy_sum_dtype
from tensorlite.ops.compare import eq, where
from tensorlite.ops.gathering import raw
from tensorlite.ops.index import running, segment_sum
from tensorlite.primitive import primitive


def _flat(xp: ModuleType, index: Array, shape: tuple[int, ...], axis: int) -> Array:
    """Places of elements in row order: ``index`` along `axis`, their own place along the others."""
    place = index * math.prod(shape[axis + 1 :])
    for i, n in enumerate(index.shape):
        if i != axis:
            ones = (1,) * (index.ndim - 1 - i)
            place = place + (xp.arange(n) * math.prod(shape[i + 1 :])).reshape(-1, *ones)
    return place.reshape(-1)


@primitive(name="scatter")
def scattered(xp: ModuleType, x: Array, index: Array, src: Array, *, axis: int) -> Array:
    """Write ``src[i, j]`` at ``[index[i, j], j]`` of a copy of `x`, for axis 0."""
    y = array_backend((x,)).copy(x)
    y.reshape(-1)[_flat(xp, index, x.shape, axis)] = src.reshape(-1).astype(x.dtype, copy=False)
    return y


@scattered.defvjp_joint
def _scattered_vjp(g: Any, needs: tuple[bool, ...], index: Any, axis: int) -> tuple:
    of_x = of_src = None
    if needs[0]:
        of_x = scattered(g, index, zeros_of(g, raw(index).shape), axis)
    if needs[2]:
        of_src = where(last_scattered(raw(index), raw(g).shape, axis), picked(g, index, axis), 0.0)
    return of_x, None, of_src


@primitive
def last_scattered(xp: ModuleType, index: Array, *, shape: tuple[int, ...], axis: int) -> Array:
    """Tell which values remain after `scattered` wrote into an array of `shape`."""
    places = _flat(xp, index, shape, axis)
    marks = xp.zeros(math.prod(shape), np.int64)
    order = xp.arange(places.size)
    marks[places] = order
    return (marks[places] == order).reshape(index.shape)


@primitive(name="gather")
def picked(xp: ModuleType, x: Array, index: Array, *, axis: int) -> Array:
    """Pick ``x[index[i, j], j]`` for axis 0; `index` may be shorter than `x` along all axes."""
    return x.reshape(-1)[_flat(xp, index, x.shape, axis)].reshape(index.shape)


picked.defvjp(
    x=lambda g, x_shape, index, axis: reduced_into(zeros_of(g, x_shape), index, g, axis, "sum")
)


def zeros_of(g: Any, shape: tuple[int, ...]) -> Array:
    """Zeros of the dtype and device of `g`."""
    array = raw(g)
    return array_backend((array,)).xp.zeros(shape, array.dtype)


@primitive(name="scatter_reduce")
def reduced_into(
    xp: ModuleType,
    x: Array,
    index: Array,
    src: Array,
    *,
    axis: int,
    reduce: str,
    include_self: bool = True,
) -> Array:
    """Combine the numbers of `src` for each place, with or without the number that is there.

    Numbers for one place are combined in a fixed order on every device, and rounded once.
    """
    dtype = x.dtype
    wide = numpy_sum_dtype(dtype) or dtype
    places = _flat(xp, index, x.shape, axis)
    values = src.reshape(-1).astype(wide, copy=False)
    own = array_backend((x,)).copy(x).reshape(-1).astype(wide, copy=False)
    total = _combined(xp, own, places, values, reduce, include_self)
    return total.astype(dtype, copy=False).reshape(x.shape)


def _combined(
    xp: ModuleType, own: Array, places: Array, values: Array, reduce: str, include_self: bool
) -> Array:
    """Numbers `own`, of which those at `places` are combined with `values`; may overwrite `own`."""
    ufunc = {"prod": xp.multiply, "amax": xp.maximum, "amin": xp.minimum}.get(reduce, xp.add)
    if not include_self:
        own[places] = _neutral(reduce, own.dtype)
    if xp is np:
        ufunc.at(own, places, values)
    elif ufunc is xp.add:
        own = own + segment_sum(xp, values[:, None], places, own.size)[:, 0]
    elif places.size:
        # Sorted, so that the order is fixed, which that of atomic operations is not.
        order = xp.argsort(places, kind="stable")
        places, values = places[order], values[order]
        values = running(xp, ufunc, values, places)
        last = xp.concatenate((places[1:] != places[:-1], xp.ones(1, bool)))
        # The others go to one place more, which is dropped: counting them would wait.
        room = xp.concatenate((own, own[:1]))
        room[xp.where(last, places, own.size)] = ufunc(own[places], values)
        own = room[:-1]
    if reduce == "mean":
        ones = xp.ones((places.size, 1))
        counts = segment_sum(xp, ones, places, own.size)[:, 0].astype(np.int64)
        counts = xp.maximum(counts + 1 if include_self else counts, 1)
        return own / counts.astype(own.dtype) if is_floating(own.dtype) else own // counts
    return own


def _neutral(reduce: str, dtype: np.dtype) -> Any:
    """The neutral element: combining numbers of `dtype` with it changes nothing."""
    if reduce in ("sum", "mean"):
        return 0
    if reduce == "prod":
        return 1
    if dtype.kind == "b":
        return reduce == "amin"
    if dtype.kind in "iu":
        limits = np.iinfo(dtype)
        return limits.min if reduce == "amax" else limits.max
    return -np.inf if reduce == "amax" else np.inf


@reduced_into.defvjp_joint
def _reduced_vjp(
    g: Any,
    needs: tuple[bool, ...],
    y: Any,
    x: Any,
    index: Any,
    src: Any,
    axis: int,
    reduce: str,
    include_self: bool,
) -> tuple:
    of_x, of_src = _SLOPES[reduce](g, y, x, index, src, axis, include_self)
    if not include_self:
        of_x = scattered(of_x, index, zeros_of(g, raw(index).shape), axis)
    return of_x, None, of_src


def _sum_slopes(g: Any, y: Any, x: Any, index: Any, src: Any, axis: int, include: bool) -> tuple:
    return g, picked(g, index, axis)


def _mean_slopes(g: Any, y: Any, x: Any, index: Any, src: Any, axis: int, include: bool) -> tuple:
    array = raw(g)
    xp = array_backend((array,)).xp
    wide = numpy_sum_dtype(array.dtype) or array.dtype
    own, ones = xp.ones(array.shape, wide), xp.ones(raw(index).shape, wide)
    counts = reduced_into(own, raw(index), ones, axis, "sum", include)
    g = g / xp.maximum(counts, 1)
    return g, picked(g, index, axis)


def _prod_slopes(g: Any, y: Any, x: Any, index: Any, src: Any, axis: int, include: bool) -> tuple:
    """The gradient of each factor is the product of the others; of a single 0, of all but it."""
    x_zero, src_zero = eq(x, 0), eq(src, 0)
    x_filled, src_filled = where(x_zero, 1.0, x), where(src_zero, 1.0, src)
    array = raw(g)
    own, more = raw(x_zero).astype(np.int64), raw(src_zero).astype(np.int64)
    zeros = reduced_into(own, raw(index), more, axis, "sum", include)
    others = reduced_into(x_filled, index, src_filled, axis, "prod", include) * g
    none, one = (zeros == 0), (zeros == 1)
    zero = zeros_of(array, ())
    of_x = where(raw(x_zero), where(one, others, zero), where(none, others, zero) / x_filled)
    of_src = where(
        raw(src_zero),
        picked(where(one, others, zero), index, axis),
        picked(where(none, others, zero), index, axis) / src_filled,
    )
    return of_x, of_src


def _extreme_slopes(
    g: Any, y: Any, x: Any, index: Any, src: Any, axis: int, include: bool
) -> tuple:
    """All elements that equal the extreme share its gradient."""
    wide = numpy_sum_dtype(raw(g).dtype) or raw(g).dtype
    x_is = raw(eq(x, y)).astype(wide)
    src_is = raw(eq(src, picked(y, index, axis))).astype(wide)
    counts = reduced_into(x_is, raw(index), src_is, axis, "sum", include)
    g = g / counts.clip(1)
    return g * x_is, picked(g, index, axis) * src_is


_SLOPES = {
    "sum": _sum_slopes,
    "mean": _mean_slopes,
    "prod": _prod_slopes,
    "amax": _extreme_slopes,
    "amin": _extreme_slopes,
}
