"""Samples of indexing, and of sums into indexed places."""

from __future__ import annotations

import numpy as np

from samples.base import Input, Sample, booleans, distinct, integers, normal, positive
from tensorlite import ops
from tensorlite.ops.index import (
    ARRAY,
    advanced_getitem,
    basic_getitem,
    getitem_backward,
    last_writes,
    one_hot_array,
    places_of_nonzero,
    slice_backward,
    take_along,
    take_along_axis_backward,
    with_item,
)
from tensorlite.ops.places import last_scattered, picked, reduced_into, scattered

ALL = slice(None)
NO_ZERO = dict(no_zero="an index of nothing fits nothing else: see test_indexing.py")


def part_of(x, parts, arrays) -> np.ndarray:
    """``x[parts]``: first integers, slices and None, then the index arrays, as torch does."""
    arrays, axes, slices = iter(arrays), [], []
    for part in parts:
        if part is ARRAY:
            array = next(arrays)
            slices += [ALL] * (array.ndim if array.dtype == bool else 1)
            axes.append(array)
        else:
            slices.append(part)
            axes += [] if isinstance(part, int) else [... if part is ... else ALL]
    return x[tuple(slices)][tuple(axes)]


def added(d, *indices, shape, parts) -> np.ndarray:
    """`d` added one element at a time, places found by number."""
    x = np.zeros(shape)
    places = part_of(np.arange(x.size).reshape(shape), parts, indices)
    for place, value in zip(places.ravel(), np.broadcast_to(d, places.shape).ravel(), strict=True):
        x.reshape(-1)[place] += value
    return x


def written(x, value, *indices, parts) -> np.ndarray:
    """`value` written one element at a time."""
    y = x.copy()
    places = part_of(np.arange(x.size).reshape(x.shape), parts, indices)
    values = np.broadcast_to(value, (1, *places.shape))  # one axis more than needed is allowed
    for place, v in zip(places.ravel(), values.ravel(), strict=True):
        y.reshape(-1)[place] = v
    return y


def remains(*indices, shape, parts) -> np.ndarray:
    """Whether no later element goes to the same place."""
    places = part_of(np.arange(np.prod(shape)).reshape(shape), parts, indices)
    flat = list(places.ravel())
    return np.array([p not in flat[i + 1 :] for i, p in enumerate(flat)]).reshape(places.shape)


def gathered(x, index, axis, **_) -> np.ndarray:
    y = np.empty(index.shape)
    for place in np.ndindex(*index.shape):
        source = list(place)
        source[axis] = index[place]
        y[place] = x[tuple(source)]
    return y


def adding(x, index, source, axis) -> np.ndarray:
    y = x.copy()
    for place in np.ndindex(*index.shape):
        target = list(place)
        target[axis] = index[place]
        y[tuple(target)] += source[place]
    return y


def combined(x, index, src, axis, reduce, include_self=True) -> np.ndarray:
    """The numbers for each place reduced together."""
    found = {}
    for place in np.ndindex(*index.shape):
        target = (*place[:axis], index[place], *place[axis + 1 :])
        found.setdefault(target, [x[target]] if include_self else []).append(src[place])
    y = x.copy()
    for target, values in found.items():
        y[target] = REDUCTIONS[reduce](values)
    return y


REDUCTIONS = dict(sum=np.sum, prod=np.prod, mean=np.mean, amax=np.max, amin=np.min)


def overwritten(x, index, src, axis) -> np.ndarray:
    y = x.copy()
    for place in np.ndindex(*index.shape):
        y[(*place[:axis], index[place], *place[axis + 1 :])] = src[place]
    return y


def last_of(index, shape, axis) -> np.ndarray:
    """Whether no later element goes to the same place."""
    places = [(*p[:axis], index[p], *p[axis + 1 :]) for p in np.ndindex(*index.shape)]
    return np.array([p not in places[i + 1 :] for i, p in enumerate(places)]).reshape(index.shape)


def rows_added(x, dim, index, source, alpha=1) -> np.ndarray:
    y = np.moveaxis(x.copy(), dim, 0)
    for i, row in zip(index, np.moveaxis(source, dim, 0), strict=True):
        y[i] += alpha * row
    return np.moveaxis(y, 0, dim)


def some_of(mask) -> Input:
    """The same mask at every draw, so that shapes are known."""
    return Input(np.shape(mask), lambda generator, shape: np.array(mask))


MASK = some_of([[True, False, True], [False, True, True]])
ROW = some_of([True, False, True])
ADVANCED = [
    # x's shape, index arrays, parts, shape of the result
    ((4, 3), [integers(5, high=4)], (ARRAY, ...), (5, 3)),
    ((4, 3), [integers(2, 2, low=-3, high=3)], (ALL, ARRAY, ...), (4, 2, 2)),
    ((4, 3), [integers(5, high=4), integers(5, high=3)], (ARRAY, ARRAY, ...), (5,)),
    ((2, 3, 4), [integers(2, 1, high=2), integers(3, high=4)], (ARRAY, ALL, ARRAY, ...), (2, 3, 3)),
    ((2, 3, 4), [integers(3, high=4)], (0, ..., None, ARRAY), (3, 1, 3)),
    ((2, 3, 4), [integers(2, high=3)], (ALL, ARRAY, 1), (2, 2)),
    ((2, 3), [MASK], (ARRAY, ...), (4,)),
    ((2, 3, 4), [MASK], (ARRAY, ...), (4, 4)),
    ((4, 3, 2), [ROW], (slice(1, 3), ARRAY, ...), (2, 2, 2)),
]
BASIC = [
    ((3, 4), (1, ...), (4,)),
    ((3, 4), (1, -2, ...), ()),
    ((3, 4), (slice(None, None, -2), slice(1, 3), ...), (2, 2)),
    ((3, 4), (..., None, 2), (3, 1)),
]

SAMPLES = [
    *[
        Sample(
            basic_getitem,
            [normal(*shape)],
            dict(parts=parts),
            reference=lambda x, parts: x[parts],
            no_zero="below",
            saves=("x_shape", "x_strides", "parts"),
        )
        for shape, parts, _ in BASIC
    ],
    Sample(
        basic_getitem,
        [normal(4, 3)],
        dict(parts=(slice(2), ...)),
        reference=lambda x, parts: x[parts],
    ),
    *[
        Sample(
            slice_backward,
            [normal(*result)],
            dict(shape=shape, parts=parts),
            reference=lambda d, shape, parts: added(d, shape=shape, parts=parts),
            no_zero="below",
        )
        for shape, parts, result in BASIC
    ],
    Sample(
        slice_backward,
        [normal(2, 3)],
        dict(shape=(4, 3), parts=(slice(2), ...)),
        reference=lambda d, shape, parts: added(d, shape=shape, parts=parts),
        zero=[normal(2, 0)],
        zero_static=dict(shape=(4, 0), parts=(slice(2), ...)),
    ),
    Sample(  # what is between lies in memory as a transposed array
        slice_backward,
        [normal(2, 3, 5)],
        dict(shape=(4, 3, 5), parts=(slice(2), ...), strides=(8, 160, 32)),
        reference=lambda d, shape, parts, strides: added(d, shape=shape, parts=parts),
        no_zero="above",
    ),
    *[
        Sample(
            advanced_getitem,
            [normal(*shape), *indices],
            dict(parts=parts),
            reference=lambda x, *indices, parts: part_of(x, parts, indices),
            saves=("x_shape", "indices", "parts"),
            **NO_ZERO,
        )
        for shape, indices, parts, _ in ADVANCED
    ],
    *[
        Sample(
            getitem_backward,
            [normal(*result), *indices],
            dict(shape=shape, parts=parts),
            reference=added,
            saves=("indices", "parts"),
            **NO_ZERO,
        )
        for shape, indices, parts, result in ADVANCED
    ],
    *[
        Sample(
            with_item,
            [normal(*shape), normal(*result), *indices],
            dict(parts=parts),
            reference=written,
            devices=("cpu",),
            saves=("value_shape", "indices", "parts"),
            **NO_ZERO,
        )
        for shape, indices, parts, result in ADVANCED
    ],
    *[
        Sample(
            with_item,
            [normal(*shape), normal(*result)],
            dict(parts=parts),
            reference=written,
            **NO_ZERO,
        )
        for shape, parts, result in BASIC
    ],
    Sample(
        with_item, [normal(3, 4), normal(1, 4)], dict(parts=(1, ...)), reference=written, **NO_ZERO
    ),
    Sample(
        with_item,
        [normal(3, 4), normal(2, 1), some_of([0, 2])],
        dict(parts=(ARRAY, ...)),
        reference=written,
        **NO_ZERO,
    ),
    Sample(
        with_item,
        [normal(3, 4), 2.5, some_of([0, 2])],
        dict(parts=(ARRAY, ...)),
        reference=written,
        **NO_ZERO,
    ),
    Sample(
        last_writes,
        [some_of([0, 2, 0, 1])],
        dict(shape=(3, 2), parts=(ARRAY, ...)),
        reference=remains,
        devices=("cpu",),
        **NO_ZERO,
    ),
    # along an axis
    Sample(
        take_along,
        [normal(4, 3), integers(2, 3, high=4)],
        dict(axis=0),
        reference=np.take,
        saves=("x_shape", "indices", "axis"),
        zero=[normal(4, 0), integers(5, high=4)],
    ),
    Sample(
        ops.index_select,
        [normal(4, 3), -1, integers(2, high=3)],
        reference=lambda x, dim, index: np.take(x, index, dim),
        zero=[normal(4, 3), -1, integers(0, high=3)],
    ),
    Sample(
        ops.take,
        [normal(4, 3), integers(5, high=12)],
        reference=np.take,
        zero=[normal(4, 3), integers(0, high=3)],
    ),
    Sample(
        ops.take_along_axis,
        [normal(4, 3), integers(4, 5, high=3)],
        dict(axis=1),
        reference=np.take_along_axis,
        zero=[normal(0, 3), integers(0, 5, high=3)],
        saves=("x_shape", "indices", "axis"),
    ),
    Sample(
        ops.take_along_axis,
        [normal(4, 3), integers(2, 1, high=4)],
        dict(axis=0),
        reference=np.take_along_axis,
        zero=[normal(4, 0), integers(2, 0, high=3)],
    ),
    Sample(
        ops.take_along_axis,
        [normal(4, 1), integers(1, 5, low=-4, high=4)],
        dict(axis=0),
        reference=np.take_along_axis,
        zero=[normal(4, 1), integers(0, 5, high=3)],
    ),
    Sample(
        take_along_axis_backward,
        [normal(4, 5), integers(4, 5, high=3)],
        dict(shape=(4, 3), axis=1),
        reference=lambda d, index, shape, axis: adding(np.zeros(shape), index, d, axis),
        zero=[normal(4, 0), integers(4, 0, high=3)],
    ),
    Sample(
        ops.gather,
        [normal(4, 3), 0, integers(2, 3, high=4)],
        reference=lambda x, dim, index: gathered(x, index, dim),
        zero=[normal(4, 3), 0, integers(0, 3, high=4)],
    ),
    Sample(
        ops.gather,
        [normal(4, 3), -1, integers(2, 5, high=3)],
        reference=lambda x, dim, index: gathered(x, index, dim),
        zero=[normal(4, 3), -1, integers(0, 3, high=3)],
    ),
    Sample(
        ops.index_add,
        [normal(4, 3), 0, integers(6, high=4), normal(6, 3)],
        dict(alpha=1.5),
        reference=rows_added,
        zero=[normal(4, 3), 0, integers(0, high=4), normal(0, 3)],
    ),
    Sample(
        ops.index_add,
        [normal(2, 3, 4), -2, integers(5, high=3), normal(2, 5, 4)],
        reference=rows_added,
        zero=[normal(2, 3, 0), -2, integers(5, high=3), normal(2, 5, 0)],
    ),
    Sample(
        ops.scatter_add,
        [normal(4, 3), 0, integers(6, 3, high=4), normal(6, 3)],
        reference=lambda x, dim, index, src: adding(x, index, src, dim),
        zero=[normal(4, 3), 0, integers(0, 3, high=4), normal(0, 3)],
    ),
    Sample(
        ops.scatter_add,
        [normal(4, 3), 1, integers(2, 5, high=3), normal(3, 6)],
        reference=lambda x, dim, index, src: adding(x, index, src, dim),
        zero=[normal(4, 3), 1, integers(2, 0, high=3), normal(3, 6)],
    ),
    *[
        Sample(
            reduced_into,
            [numbers(4, 3), integers(2, 5, high=3), numbers(2, 5)],
            dict(axis=1, reduce=reduce, include_self=include_self),
            reference=combined,
            saves=("y", "x", "index", "src", "axis", "reduce", "include_self"),
            zero=[normal(4, 3), integers(2, 0, high=3), normal(2, 0)],
        )
        for reduce in REDUCTIONS
        for include_self in (True, False)
        for numbers in [positive if reduce == "prod" else distinct]
    ],
    Sample(
        scattered,
        [normal(4, 3), integers(3, 2, high=4), normal(3, 2)],
        dict(axis=0),
        reference=overwritten,
        saves=("index", "axis"),
        zero=[normal(4, 3), integers(0, 2, high=4), normal(0, 2)],
        devices=("cpu",),  # which of several stays is not known on CUDA
    ),
    Sample(
        scattered,
        [normal(4, 3), some_of([[0, 3], [2, 0]]), normal(2, 2)],
        dict(axis=0),
        reference=overwritten,
        zero=[normal(4, 3), integers(0, 2, high=4), normal(0, 2)],
    ),
    Sample(
        last_scattered,
        [some_of([[0, 3, 1], [0, 1, 1]])],
        dict(shape=(4, 3), axis=0),
        reference=last_of,
        zero=[integers(0, 3, high=4)],
        devices=("cpu",),
    ),
    Sample(
        picked,
        [normal(4, 3), integers(5, 2, high=4)],
        dict(axis=0),
        reference=gathered,
        saves=("x_shape", "index", "axis"),
        zero=[normal(4, 3), integers(0, 2, high=4)],
    ),
    # numbers and places
    Sample(
        one_hot_array,
        [integers(2, 3, high=4)],
        dict(num_classes=4),
        reference=lambda labels, num_classes: np.eye(num_classes, dtype=int)[labels],
        zero=[integers(0, 3, high=4)],
    ),
    Sample(
        one_hot_array,
        [integers(3, high=4)],
        dict(num_classes=4, dtype=np.float32),
        reference=lambda labels, num_classes, dtype: np.eye(num_classes)[labels],
        keeps_dtype=False,
    ),
    Sample(
        places_of_nonzero,
        [integers(3, 4, high=2)],
        reference=lambda x: tuple(np.argwhere(x).T),
        zero=[integers(0, 4, high=2)],
    ),
    Sample(places_of_nonzero, [booleans(5)], reference=lambda x: (np.flatnonzero(x),)),
]
