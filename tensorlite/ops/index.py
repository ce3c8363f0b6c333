"""Indexing: parts of a Tensor, and sums into parts of one.

An index array is an input of its primitive, not a static parameter: it is saved, checked and
replayed like any other array. Sums into repeated places run in a fixed order on every device.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from types import ModuleType
from typing import Any

import numpy as np

from tensorlite.backend import HOST, Array, array_backend
from tensorlite.backend.dtypes import numpy_sum_dtype
from tensorlite.backend.totals import BLOCK
from tensorlite.ops.compare import where
from tensorlite.outside import plain
from tensorlite.primitive import primitive
from tensorlite.tape import mode, put, recorders, zeros
from tensorlite.tensor import Tensor, tensor_of

__all__ = ["getitem", "setitem", "take_along_axis"]

ARRAY = type("ARRAY", (), {"__repr__": lambda self: "array"})()  # where an index array goes


def parse_index(x: Any, index: Any) -> tuple[tuple, list]:
    """Separate an index, as written between brackets, into a static part and index arrays.

    Returns
    -------
    parts : tuple
        Integers, slices, None, ``...`` and, in place of each array, `ARRAY`. There is always one
        ``...``, so that a single element comes as an array with no axes.
    arrays : list
        Integer and boolean arrays on `x`'s device, or Tensors.
    """
    parts: list[Any] = []
    arrays: list[Any] = []
    if index.__class__ is list and any(part is None or isinstance(part, slice) for part in index):
        index = tuple(index)
    for part in index if isinstance(index, tuple) else (index,):
        if part is None or part is Ellipsis or isinstance(part, slice):
            parts.append(part)
        elif _is_integer(part):
            parts.append(int(part))
        else:
            parts.append(ARRAY)
            arrays.append(index_array(x, part))
    if Ellipsis not in parts:
        parts.append(Ellipsis)
    return tuple(parts), arrays


def _is_integer(part: Any) -> bool:
    """Whether a part of an index is one number: Python's, NumPy's, or an array without axes."""
    if isinstance(part, (int, np.integer)):
        return not isinstance(part, bool)
    if getattr(part, "ndim", 1) or not isinstance(part.dtype, np.dtype):
        return False
    return part.dtype.kind in "iu" and part.dtype != np.uint8


def index_array(x: Any, part: Any) -> Any:
    """An index array where `x` is; a Tensor on a device stays one, so that it is checked.

    Bytes are masks, as in torch. An index in host memory fits every device.
    """
    raw = part.array if isinstance(part, Tensor) else part
    if not isinstance(getattr(raw, "dtype", None), np.dtype):
        raw = np.asarray(raw) if isinstance(raw, (list, tuple, str)) else plain(raw, "an index")
        if raw.size == 0:  # NumPy makes [] a float array
            raw = raw.astype(np.int64)
    if raw.dtype.kind not in "biu":
        raise IndexError(
            f"an index has dtype {raw.dtype}; use integers, slices, None, ... and arrays of "
            "integers or booleans"
        )
    if raw.dtype == np.uint8:
        raw = raw.astype(np.bool_)
    data = x.array if isinstance(x, Tensor) else x
    if isinstance(part, Tensor) and (raw.__class__ is data.__class__ or not on_host(raw)):
        return part if raw is part.array else tensor_of(raw)
    backend = array_backend((data,))
    return raw if backend is HOST else backend.asarray(raw, device=backend.device_of(data))


def on_host(array: Any) -> bool:
    """Whether an array lies in the memory of the CPU."""
    return isinstance(array, np.ndarray)


def filled(parts: tuple, arrays: Iterable[Array]) -> tuple:
    """The index with its arrays put in place, as NumPy takes it."""
    arrays = iter(arrays)
    return tuple([next(arrays) if part is ARRAY else part for part in parts])


def place_of(x: Array, parts: tuple, arrays: Sequence[Array]) -> tuple[Array, tuple]:
    """A view of `x`, and the index into it that makes the elements of ``x[parts]``.

    NumPy takes an integer beside an index array for an array, which can put the axes of the result
    in another order. As in torch, integers, slices and None come first, and arrays after them.
    """
    if not arrays or not any(part.__class__ is int for part in parts):
        return x, filled(parts, arrays)
    left = iter(arrays)
    first: list[Any] = []
    second: list[Any] = []
    for part in parts:
        if part is ARRAY:
            array = next(left)
            first += [slice(None)] * (array.ndim if array.dtype == bool else 1)
            second.append(array)
        else:
            first.append(part)
            if part.__class__ is not int:
                second.append(Ellipsis if part is Ellipsis else slice(None))
    return x[tuple(first)], tuple(second)


def assign(x: Array, parts: tuple, arrays: Sequence[Array], value: Any) -> None:
    """``x[parts] = value`` in the memory of `x`."""
    view, index = place_of(x, parts, arrays)
    view[index] = value


# --- x[index] -----------------------------------------------------------------------------------


def getitem(x: Tensor, index: Any) -> Tensor:
    """``x[index]`` with every index that NumPy has: basic, advanced, boolean, and mixed.

    A basic index gives a view on the CPU; others copy. Repeated places are right in the gradient.

    Parameters
    ----------
    x : Tensor
        Of any shape.
    index : int, slice, None, Ellipsis, Tensor, or a tuple of them

    Returns
    -------
    Tensor
        Of `x`'s dtype.

    Raises
    ------
    IndexError
        If an integer is out of range; the message names axis, index and length. On CUDA the
        values of index arrays are not checked, which would wait for the device.

    Examples
    --------
    >>> tl.getitem(tl.tensor([[1, 2], [3, 4]]), (slice(None), 0))
    tensor([1, 3])
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
def slice_backward(
    xp: ModuleType, d: Array, *, shape: tuple[int, ...], parts: tuple, strides: tuple = ()
) -> Array:
    """Put `d` at ``[parts]`` of zeros, whose axes lie in memory as those of these `strides`."""
    order = None
    if len(strides) > 1:
        order = sorted(range(len(strides)), key=lambda axis: -abs(strides[axis]))
        order = None if order == [*range(len(order))] else order
    made = shape if order is None else tuple(shape[axis] for axis in order)
    # Where it is recorded, kernels write, which need no Python at a replay.
    x = zeros(d, made) if recorders else xp.zeros(made, d.dtype)
    if order is not None:
        x = x.transpose([order.index(axis) for axis in range(len(order))])
    if recorders:
        put(x[parts], d)
    else:
        x[parts] = d
    return x


basic_getitem.defvjp(
    x=lambda g, x_shape, parts, x_strides: slice_backward(g, x_shape, parts, x_strides)
)
slice_backward.defvjp(d=lambda g, parts: basic_getitem(g, parts))


@primitive(name="getitem")
def advanced_getitem(xp: ModuleType, x: Array, *indices: Array, parts: tuple) -> Array:
    """``x[parts]`` with index arrays in the places that `parts` keeps for them."""
    if len(indices) == 1 and indices[0].dtype != bool and (axis := _only_axis(parts)) is not None:
        return xp.take(x, indices[0], axis)  # in row order, unlike the general way
    view, index = place_of(x, parts, indices)
    y = view[index]
    return y if y.flags.c_contiguous else y.copy()


def _only_axis(parts: tuple) -> int | None:
    """The axis along which one index array takes sub-arrays, where that is all of the index."""
    axis = parts.index(ARRAY)
    before, after = parts[:axis], parts[axis + 1 :]
    whole = all(part.__class__ is slice and part == slice(None) for part in before)
    return axis if whole and after == (Ellipsis,) else None


@primitive
def getitem_backward(
    xp: ModuleType, d: Array, *indices: Array, shape: tuple[int, ...], parts: tuple
) -> Array:
    """Add `d` into ``[parts]`` of zeros; places that occur twice receive both."""
    if len(indices) == 1 and indices[0].dtype == bool:  # no place occurs twice
        x = xp.zeros(shape, d.dtype)
        assign(x, parts, indices, d)
        return x
    # Axes behind the last one that is indexed move as a whole: rows, found by their number.
    leading = _axes_indexed(parts, indices) if parts[-1] is Ellipsis else len(shape)
    count = math.prod(shape[:leading])
    numbers = xp.arange(count).reshape(shape[:leading])
    view, index = place_of(numbers, parts, indices)
    rows = view[index].reshape(-1)
    d = d.reshape(rows.size, math.prod(shape[leading:]))
    return segment_sum(xp, d, rows, count).reshape(shape)


def _axes_indexed(parts: tuple, indices: tuple[Array, ...]) -> int:
    masks = sum(index.ndim - 1 for index in indices if index.dtype == bool)
    return sum(part is not None and part is not Ellipsis for part in parts) + masks


def segment_sum(xp: ModuleType, values: Array, rows: Array, count: int) -> Array:
    """Add row ``i`` of `values` to row ``rows[i]`` of `count` zero rows, in order of i.

    Sorting makes the order of the sums fixed on every device, which atomic additions do not. Long
    sums of short floats are in float32, those of float32 in float64 (see `ops.totals`).
    """
    dtype = values.dtype
    columns = values.shape[1]
    if xp is np and columns == 1 and dtype.kind in "fV":
        sums = np.bincount(rows, values[:, 0].astype(np.float64), minlength=count)
        return sums.reshape(count, 1).astype(dtype, copy=False)
    values = values.astype(numpy_sum_dtype(dtype) or dtype, copy=False)
    if xp is np and columns == 1:
        sums = np.zeros(count, values.dtype)
        np.add.at(sums, rows, values[:, 0])
    elif 0 in (count, columns, len(rows)):
        sums = xp.zeros((count, columns), values.dtype)
    else:
        if xp is np:
            order = xp.argsort(rows, kind="stable")
            bounds = xp.searchsorted(rows[order], xp.arange(count + 1))
            sums = _neighbours_added(values[order], bounds, dtype.char == "f")
        else:
            sums = _added_on_cuda(xp, values, rows, count)
    return sums.reshape(count, columns).astype(dtype, copy=False)


def _neighbours_added(values: np.ndarray, bounds: np.ndarray, single: bool) -> np.ndarray:
    """Sums of the rows of `values` between neighbouring `bounds`."""
    # A last row of zeros, for bounds that are one past the end.
    padded = np.concatenate((values, np.zeros((1, values.shape[1]), values.dtype)))
    long = single and np.diff(bounds).max() > BLOCK
    sums = np.add.reduceat(padded, bounds[:-1], axis=0, dtype=np.float64 if long else None)
    # `reduceat` takes an element for an empty segment.
    return np.where((bounds[:-1] < bounds[1:])[:, None], sums, 0)


LONG_CHAIN = 1 << 16  # from here on a sum of float32, one after the other, may lose a third digit


def _added_on_cuda(xp: ModuleType, values: Array, rows: Array, count: int) -> Array:
    """Sums of the rows of `values` that have the same number in `rows`.

    CuPy's own `reduceat` subtracts running totals: small sums lose their digits beside large ones,
    and an infinity in one spoils all that come after it.
    """
    columns, kernels = values.shape[1], array_backend((values,)).kernels
    places = in_order(xp, kernels, xp.ascontiguousarray(rows, np.int64), count)
    if kernels is not None and values.dtype.kind in "fV":
        if values.dtype.char == "f" and len(rows) > LONG_CHAIN:
            values = values.astype(np.float64)
        sums = kernels.empty((count, columns), values.dtype)
        sum_sorted(kernels, (xp.ascontiguousarray(values),), places, sums)
        return sums
    rows, order, _ = places
    values = running(xp, xp.add, values[order], rows)
    last = xp.concatenate((rows[1:] != rows[:-1], xp.ones(1, bool)))
    # The others go to one place more, which is dropped: to count them would wait for the device.
    room = xp.zeros((count + 1, columns), values.dtype)
    room[xp.where(last, rows, count)] = values
    return room[:-1]


CHUNK = 64  # rows that `kernels/embedding.cu` adds one after the other: its kChunk


_FEW = 1 << 12  # ids that are counted in less time than a sort takes to begin


def in_order(xp: ModuleType, kernels: Any, ids: Array, count: int) -> tuple[Array, Array, Array]:
    """Numbers in ascending order, the stable order that sorts them, and where each number begins.

    On CUDA; a graph, which must not wait for the host, has no other way than to count.
    """
    if kernels is None or (ids.size > _FEW and mode.switches.recorder is None):
        order = xp.argsort(ids, kind="stable")
        ordered = ids[order]
        return ordered, order, xp.searchsorted(ordered, xp.arange(count + 1))
    ordered, order = kernels.empty(ids.shape, np.int64), kernels.empty(ids.shape, np.int64)
    start = kernels.empty((count + 1,), np.int64)
    kernels.embedding_ranks(ids, ordered, order, ids.size)
    kernels.embedding_starts(ordered, start, ids.size, count)
    return ordered, order, start


def sum_sorted(
    kernels: Any, values: tuple[Array, ...], places: tuple[Array, ...], sums: Array
) -> None:
    """Add rows of `values`, packed for a kernel, into rows of `sums`, on CUDA.

    `places` are the rows' sorted places, the order that sorts them, and where each place begins.
    """
    ordered, order, start = places
    (rows, columns), chunks = sums.shape, -(-order.size // CHUNK)
    partial = kernels.empty((chunks, 2, columns), sums.dtype)
    kernels.embedding_chunks(
        *values, ordered, order, start, partial, sums, order.size, columns, rows, chunks
    )
    kernels.embedding_join(partial, start, sums, columns, rows, chunks)


def running(xp: ModuleType, ufunc: Any, values: Array, rows: Array) -> Array:
    """Combine each row of `values` with all before it of the same number; these are neighbours.

    Each step reaches twice as far: CuPy has no segments that are reduced exactly.
    """
    shape = (-1,) + (1,) * (values.ndim - 1)
    step = 1
    while step < len(values):
        same = (rows[step:] == rows[:-step]).reshape(shape)
        reached = xp.where(same, ufunc(values[:-step], values[step:]), values[step:])
        values = xp.concatenate((values[:step], reached))
        step *= 2
    return values


def _getitem_vjp(g: Any, indices: tuple, x_shape: tuple, parts: tuple) -> Any:
    return getitem_backward(g, *indices, shape=x_shape, parts=parts)


advanced_getitem.defvjp(x=_getitem_vjp)
getitem_backward.defvjp(d=lambda g, indices, parts: advanced_getitem(g, *indices, parts=parts))


# --- x[index] = value ---------------------------------------------------------------------------


def setitem(x: Tensor, index: Any, value: Any) -> Tensor:
    """Return a copy of `x` in which ``[index]`` is `value`, cast to `x`'s dtype.

    Where an index array repeats a place, the last value stays, and it alone has a gradient (on
    CUDA which one stays is not defined).

    Parameters
    ----------
    x : Tensor
        Of any shape.
    index : int, slice, None, Ellipsis, Tensor, or a tuple of them
    value : Tensor or number
        Of a shape that broadcasts to the place.

    Returns
    -------
    Tensor
        Of `x`'s shape and dtype.

    Examples
    --------
    >>> tl.setitem(tl.tensor([1, 2, 3]), 0, 9)
    tensor([9, 2, 3])
    """
    parts, arrays = parse_index(x, index)
    return with_item(x, value, *arrays, parts=parts)


@primitive(name="setitem")
def with_item(xp: ModuleType, x: Array, value: Any, *indices: Array, parts: tuple) -> Array:
    """Write `value` into ``[parts]`` of a copy of `x`."""
    x = xp.asarray(array_backend((x,)).copy(x))  # a cotangent may be a NumPy number
    assign(x, parts, indices, value)
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
    marks, index = place_of(xp.zeros(shape, np.int64), parts, indices)
    order = xp.arange(marks[index].size).reshape(marks[index].shape)
    marks[index] = order
    return marks[index] == order


# --- along an axis ------------------------------------------------------------------------------


@primitive(name="index_select")
def take_along(xp: ModuleType, x: Array, indices: Array, *, axis: int) -> Array:
    """Take sub-arrays along `axis`."""
    return xp.take(x, indices, axis)


take_along.defvjp(
    x=lambda g, x_shape, indices, axis: getitem_backward(
        g, indices, shape=x_shape, parts=along(axis)
    )
)


def along(axis: int) -> tuple:
    """The index of sub-arrays along `axis` that an index array numbers."""
    return (*(slice(None),) * axis, ARRAY, Ellipsis)


@primitive
def take_along_axis(xp: ModuleType, x: Array, indices: Array, *, axis: int = -1) -> Array:
    """Match `indices` and `input` along `dim`, as `numpy.take_along_axis`.

    ``y[i, j] = input[indices[i, j], j]`` for dim 0, and so on; the other axes broadcast.

    Parameters
    ----------
    input, indices : Tensor
        Of as many axes; `indices` of integers.
    dim : int
        The axis.

    Returns
    -------
    Tensor
        Of the shape that the two broadcast to, but along `dim`.

    Examples
    --------
    >>> tl.take_along_axis(tl.tensor([[1, 2], [3, 4]]), tl.tensor([[1], [0]]), 1)
    tensor([[2],
            [3]])
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


# --- numbers and places -------------------------------------------------------------------------


@primitive(name="one_hot")
def one_hot_array(
    xp: ModuleType, labels: Array, *, num_classes: int, dtype: Any = np.int64
) -> Array:
    """Return 1 at each label and 0 elsewhere, along a new last axis of `num_classes`."""
    if xp is np and labels.size:
        for label in (labels.min(), labels.max()):
            if not 0 <= label < num_classes:
                raise IndexError(f"label {label} is out of bounds for {num_classes} classes")
    return (labels[..., None] == xp.arange(num_classes)).astype(dtype)


@primitive(name="nonzero")
def places_of_nonzero(xp: ModuleType, x: Array) -> tuple[Array, ...]:
    """Return the places of the elements that are not zero: one array of numbers for each axis."""
    return xp.nonzero(x)
