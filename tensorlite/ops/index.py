"""Indexing: parts of a Tensor, and sums into parts of one.

An index array is an input of its primitive, not a static parameter: it is saved, checked and
replayed like any other array. Sums into repeated places run in a fixed order on every device.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Iterable
from types import ModuleType
from typing import Any

import numpy as np
from numpy.lib.array_utils import normalize_axis_index

from tensorlite.backend import HOST, Array, array_backend
from tensorlite.ops.compare import where
from tensorlite.ops.dtypes import accumulator
from tensorlite.primitive import primitive
from tensorlite.tensor import Tensor

__all__ = [
    "gather",
    "getitem",
    "index_add",
    "nonzero",
    "one_hot",
    "scatter_add",
    "setitem",
    "take",
    "take_along_axis",
]

ARRAY = type("ARRAY", (), {"__repr__": lambda self: "array"})()  # where an index array goes


def parse_index(x: Any, index: Any) -> tuple[tuple, list]:
    """Separate what stands between brackets into a static part and index arrays.

    Returns
    -------
    parts : tuple
        Integers, slices, None, ``...`` and, in place of each array, `ARRAY`. There is always one
        ``...``, so that a single element comes as an array with no axes.
    arrays : list
        Integer and boolean arrays on `x`'s device, or Tensors.
    """
    parts, arrays = [], []
    for part in index if isinstance(index, tuple) else (index,):
        if part is None or part is Ellipsis or isinstance(part, slice):
            parts.append(part)
        elif isinstance(part, (int, np.integer)) and not isinstance(part, bool):
            parts.append(operator.index(part))
        else:
            parts.append(ARRAY)
            arrays.append(_index_array(x, part))
    if Ellipsis not in parts:
        parts.append(Ellipsis)
    return tuple(parts), arrays


def _index_array(x: Any, part: Any) -> Any:
    """An index array where `x` is; a Tensor stays one, so that its device is checked."""
    raw = part.array if isinstance(part, Tensor) else part
    if not hasattr(raw, "dtype"):
        raw = np.asarray(raw)
        if raw.size == 0:  # NumPy makes [] a float array
            raw = raw.astype(np.int64)
    if raw.dtype.kind not in "biu":
        raise IndexError(
            f"an index has dtype {raw.dtype}; use integers, slices, None, ... and arrays of "
            "integers or booleans"
        )
    if isinstance(part, Tensor):
        return part
    data = x.array if isinstance(x, Tensor) else x
    backend = array_backend((data,))
    return raw if backend is HOST else backend.asarray(raw, device=backend.device_of(data))


def filled(parts: tuple, arrays: Iterable[Array]) -> tuple:
    """The index that NumPy takes."""
    arrays = iter(arrays)
    return tuple([next(arrays) if part is ARRAY else part for part in parts])


# --- x[index] -----------------------------------------------------------------------------------


def getitem(x: Tensor, index: Any) -> Tensor:
    """``x[index]`` with every index that NumPy has: basic, advanced, boolean, and mixed.

    A basic index gives a view on the CPU; others copy. Repeated places are right in the gradient.

    Raises
    ------
    IndexError
        If an integer is out of range; the message names axis, index and length. On CUDA the
        values of index arrays are not checked, which would wait for the device.
    """
    if index.__class__ is int or index.__class__ is slice:  # the commonest, made fast
        return basic_getitem(x, (index, ...))
    parts, arrays = parse_index(x, index)
    return advanced_getitem(x, *arrays, parts=parts) if arrays else basic_getitem(x, parts)


@primitive(name="getitem", view=True)
def basic_getitem(xp: ModuleType, x: Array, *, parts: tuple) -> Array:
    """``x[parts]`` without index arrays."""
    return x[parts]


@primitive
def slice_backward(xp: ModuleType, d: Array, *, shape: tuple[int, ...], parts: tuple) -> Array:
    """Put `d` at ``[parts]`` of zeros."""
    x = xp.zeros(shape, d.dtype)
    x[parts] = d
    return x


basic_getitem.defvjp(x=lambda g, x_shape, parts: slice_backward(g, x_shape, parts))
slice_backward.defvjp(d=lambda g, parts: basic_getitem(g, parts))


@primitive(name="getitem")
def advanced_getitem(xp: ModuleType, x: Array, *indices: Array, parts: tuple) -> Array:
    """``x[parts]`` with index arrays in the places that `parts` keeps for them."""
    return x[filled(parts, indices)]


@primitive
def getitem_backward(
    xp: ModuleType, d: Array, *indices: Array, shape: tuple[int, ...], parts: tuple
) -> Array:
    """Add `d` into ``[parts]`` of zeros; places that occur twice receive both."""
    if len(indices) == 1 and indices[0].dtype == bool:  # no place occurs twice
        x = xp.zeros(shape, d.dtype)
        x[filled(parts, indices)] = d
        return x
    # Axes behind the last one that is indexed move as a whole: rows, found by their number.
    leading = _axes_indexed(parts, indices) if parts[-1] is Ellipsis else len(shape)
    count = math.prod(shape[:leading])
    numbers = xp.arange(count).reshape(shape[:leading])
    rows = numbers[filled(parts, indices)].reshape(-1)
    d = d.reshape(rows.size, math.prod(shape[leading:]))
    return segment_sum(xp, d, rows, count).reshape(shape)


def _axes_indexed(parts: tuple, indices: tuple[Array, ...]) -> int:
    masks = sum(index.ndim - 1 for index in indices if index.dtype == bool)
    return sum(part is not None and part is not Ellipsis for part in parts) + masks


def segment_sum(xp: ModuleType, values: Array, rows: Array, count: int) -> Array:
    """Add row ``i`` of `values` to row ``rows[i]`` of `count` zero rows, in order of i.

    Sorting makes the order of the sums fixed on every device, which atomic additions do not.
    """
    dtype = values.dtype
    values = values.astype(accumulator(dtype) or dtype, copy=False)
    columns = values.shape[1]
    if xp is np and columns == 1:
        sums = np.zeros(count, values.dtype)
        np.add.at(sums, rows, values[:, 0])
    elif 0 in (count, columns):
        sums = xp.zeros((count, columns), values.dtype)
    else:
        order = xp.argsort(rows, kind="stable")
        bounds = xp.searchsorted(rows[order], xp.arange(count + 1))
        # A last row of zeros, for bounds that are one past the end.
        padded = xp.concatenate((values[order], xp.zeros((1, columns), values.dtype)))
        sums = xp.add.reduceat(padded, bounds[:-1], axis=0)
        # `reduceat` takes an element for an empty segment.
        sums = xp.where((bounds[:-1] < bounds[1:])[:, None], sums, 0)
    return sums.reshape(count, columns).astype(dtype, copy=False)


def _getitem_vjp(g: Any, indices: tuple, x_shape: tuple, parts: tuple) -> Any:
    return getitem_backward(g, *indices, shape=x_shape, parts=parts)


advanced_getitem.defvjp(x=_getitem_vjp)
getitem_backward.defvjp(d=lambda g, indices, parts: advanced_getitem(g, *indices, parts=parts))


# --- x[index] = value ---------------------------------------------------------------------------


def setitem(x: Tensor, index: Any, value: Any) -> Tensor:
    """Return a copy of `x` in which ``[index]`` is `value`, cast to `x`'s dtype.

    Where an index array repeats a place, the last value stays, and it alone has a gradient (on
    CUDA which one stays is not defined).
    """
    parts, arrays = parse_index(x, index)
    return with_item(x, value, *arrays, parts=parts)


@primitive(name="setitem")
def with_item(xp: ModuleType, x: Array, value: Any, *indices: Array, parts: tuple) -> Array:
    """Write `value` into ``[parts]`` of a copy of `x`."""
    x = x.copy()
    x[filled(parts, indices)] = value
    return x


@with_item.defvjp_joint
def _setitem_vjp(
    g: Any, needs: tuple[bool, ...], value_shape: tuple, indices: tuple, parts: tuple
) -> tuple:
    of_x = of_value = None
    if needs[0]:
        of_x = with_item(g, 0, *indices, parts=parts)
    if needs[1]:
        of_value = (
            advanced_getitem(g, *indices, parts=parts) if indices else basic_getitem(g, parts)
        )
        if any(index.dtype != bool for index in indices):
            stays = last_writes(*indices, shape=g.shape, parts=parts)
            of_value = where(stays, of_value, 0.0)
        # NumPy lets a value have more axes than its place, of length 1.
        extra = max(len(value_shape) - len(of_value.shape), 0)
        of_value = of_value.reshape((1,) * extra + of_value.shape)
    return (of_x, of_value, *[None] * len(indices))


@primitive
def last_writes(xp: ModuleType, *indices: Array, shape: tuple[int, ...], parts: tuple) -> Array:
    """Tell which elements of a value remain after a write to ``[parts]`` of an array of `shape`."""
    index = filled(parts, indices)
    marks = xp.zeros(shape, np.int64)
    order = xp.arange(marks[index].size).reshape(marks[index].shape)
    marks[index] = order
    return marks[index] == order


# --- along an axis ------------------------------------------------------------------------------


def take(x: Tensor, indices: Any, axis: int | None = None) -> Tensor:
    """Take the elements or sub-arrays numbered `indices` along `axis`, as `numpy.take`.

    Parameters
    ----------
    x : Tensor
    indices : integer Tensor, array or int, of any shape
        Their axes take the place of `axis` in the result.
    axis : int, optional
        By default `x` is flattened first.
    """
    if axis is None:
        x, axis = x.reshape(-1), 0
    axis = normalize_axis_index(axis, len(x.shape), "take")
    return take_along(x, _index_array(x, indices), axis)


@primitive(name="take")
def take_along(xp: ModuleType, x: Array, indices: Array, *, axis: int) -> Array:
    """Take sub-arrays along `axis`."""
    return xp.take(x, indices, axis)


take_along.defvjp(
    x=lambda g, x_shape, indices, axis: getitem_backward(
        g, indices, shape=x_shape, parts=_along(axis)
    )
)


def _along(axis: int) -> tuple:
    return (*(slice(None),) * axis, ARRAY, Ellipsis)


def index_add(x: Tensor, index: Any, source: Any, axis: int = 0) -> Tensor:
    """Add the sub-arrays of `source` along `axis` to those of `x` that are numbered `index`.

    Parameters
    ----------
    x : Tensor
    index : integer Tensor or array, shape (n,)
        Numbers may repeat: all of theirs are added, in order.
    source : Tensor
        Of `x`'s shape and dtype, with length n along `axis`.
    axis : int
    """
    axis = normalize_axis_index(axis, len(x.shape), "index_add")
    index = _index_array(x, index)
    expected = (*x.shape[:axis], *index.shape, *x.shape[axis + 1 :])
    if len(index.shape) != 1 or source.shape != expected:
        raise ValueError(
            f"index_add: index of shape {index.shape} and source of shape {source.shape} do not "
            f"fit x of shape {x.shape} along axis {axis}: index has one axis, and source is x with "
            "the index's length there"
        )
    return x + getitem_backward(source, index, shape=x.shape, parts=_along(axis))


@primitive
def take_along_axis(xp: ModuleType, x: Array, indices: Array, *, axis: int = -1) -> Array:
    """Match `indices` and `x` along `axis`, as `numpy.take_along_axis`.

    ``y[i, j] = x[indices[i, j], j]`` for axis 0, and so on; the other axes broadcast.
    """
    return xp.take_along_axis(x, indices, axis)


@primitive
def take_along_axis_backward(
    xp: ModuleType, d: Array, indices: Array, *, shape: tuple[int, ...], axis: int
) -> Array:
    """Add `d` into zeros, at the places that `take_along_axis` took from."""
    count = math.prod(shape)
    rows = xp.take_along_axis(xp.arange(count).reshape(shape), indices, axis)
    return segment_sum(xp, d.reshape(-1, 1), rows.reshape(-1), count).reshape(shape)


take_along_axis.defvjp(
    x=lambda g, x_shape, indices, axis: take_along_axis_backward(g, indices, x_shape, axis)
)
take_along_axis_backward.defvjp(d=lambda g, indices, axis: take_along_axis(g, indices, axis))


def gather(x: Tensor, index: Any, axis: int) -> Tensor:
    """Pick by number along `axis`: ``y[i, j] = x[index[i, j], j]`` for axis 0; torch's `gather`.

    `index` has as many axes as `x` and is nowhere longer than it, but along `axis`.
    """
    index = _index_array(x, index)
    axis = normalize_axis_index(axis, len(x.shape), "gather")
    return take_along_axis(_crop("gather", x, index.shape, axis), index, axis)


def scatter_add(x: Tensor, index: Any, source: Any, axis: int) -> Tensor:
    """Add by number along `axis`: ``y[index[i, j], j] += source[i, j]`` for axis 0, from `x`.

    `index` has as many axes as `x` and `source` and is nowhere longer than `source`, nor than `x`
    but along `axis`. Numbers may repeat: all of theirs are added, in order.
    """
    index = _index_array(x, index)
    axis = normalize_axis_index(axis, len(x.shape), "scatter_add")
    region = _crop("scatter_add", x, index.shape, axis).shape
    total = take_along_axis_backward(
        _crop("scatter_add", source, index.shape, None), index, region, axis
    )
    if region != x.shape:
        total = slice_backward(total, x.shape, tuple(map(slice, region)))
    return x + total


def _crop(name: str, x: Tensor, index_shape: tuple, free: int | None) -> Tensor:
    """The part of `x` that an index of `index_shape` speaks of, all along the axis `free`."""
    kept = tuple(x.shape[free] if i == free else n for i, n in enumerate(index_shape))
    if len(kept) != len(x.shape) or any(map(operator.gt, kept, x.shape)):
        raise ValueError(
            f"{name}: index of shape {index_shape} does not fit an array of shape {x.shape}: the "
            "same number of axes, and nowhere longer (but along the axis picked from)"
        )
    return x if kept == x.shape else x[tuple(map(slice, kept))]


# --- numbers and places -------------------------------------------------------------------------


@primitive
def one_hot(xp: ModuleType, labels: Array, *, num_classes: int, dtype: Any = np.int64) -> Array:
    """Return 1 at each label and 0 elsewhere, along a new last axis of `num_classes`.

    Raises
    ------
    IndexError
        On the CPU, if a label is negative or not below `num_classes`.
    """
    if xp is np and labels.size:
        for label in (labels.min(), labels.max()):
            if not 0 <= label < num_classes:
                raise IndexError(f"label {label} is out of bounds for {num_classes} classes")
    return (labels[..., None] == xp.arange(num_classes)).astype(dtype)


@primitive
def nonzero(xp: ModuleType, x: Array) -> tuple[Array, ...]:
    """Return the places of the elements that are not zero: one array of numbers for each axis."""
    return xp.nonzero(x)
