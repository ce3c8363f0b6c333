"""Samples of sorting, the largest elements, the median, the mode."""

from __future__ import annotations

import numpy as np

from samples.base import Input, Sample, booleans, distinct, integers
from tensorlite.ops.order import (
    argtopk,
    median_of_all,
    order_of,
    place_of_median,
    place_of_mode,
)
from tensorlite.ops.pick import pick, place


def order(x, axis=-1, descending=False) -> np.ndarray:
    return np.argsort(-1 * x if descending else x, axis, kind="stable")


def topk(x, k, axis=-1, largest=True) -> np.ndarray:
    return np.take(order(x, axis, largest), range(k), axis)


def middle(x, axis, skip_nan) -> np.ndarray:
    n = x.shape[axis]
    return np.take(order(x, axis), [(n - 1) // 2], axis)


def lower_middle(x, skip_nan) -> np.ndarray:
    return np.sort(x, axis=None)[(x.size - 1) // 2]


def commonest(x, axis) -> np.ndarray:
    def of_one(line: np.ndarray) -> int:
        values, counts = np.unique(line, return_counts=True)
        return np.flatnonzero(line == values[counts.argmax()])[-1]

    return np.expand_dims(np.apply_along_axis(of_one, axis, x), axis)


def put(d, indices, shape, axis) -> np.ndarray:
    y = np.zeros(shape)
    np.put_along_axis(y, indices, d, axis)
    return y


def repeated(*shape: int) -> Input:
    """Small integers as floats, so that many are equal."""
    return Input(shape, lambda generator, shape: generator.integers(-1, 2, shape).astype(float))


PLACES = np.array([[2, 0], [1, 3], [0, 1]])
NOTHING = "of nothing it is undefined"

SAMPLES = [
    *[
        Sample(
            order_of,
            [x],
            dict(axis=axis, descending=descending),
            reference=order,
            grad=(),
        )
        for x in (distinct(3, 5, 2), repeated(3, 5, 2), integers(3, 5, 2, high=4))
        for axis in (0, -2, -1)
        for descending in (False, True)
    ],
    *[
        Sample(
            argtopk,
            [x],
            dict(k=k, axis=1, largest=largest),
            reference=topk,
            grad=(),
        )
        for x in (repeated(6, 5), distinct(6, 5))
        for k in (1, 2, 5)
        for largest in (True, False)
    ],
    *[
        Sample(
            place_of_median,
            [x],
            dict(axis=axis, skip_nan=skip_nan),
            reference=middle,
            grad=(),
            no_zero=NOTHING if axis == 0 else "",
        )
        for x in (distinct(3, 4, 2), repeated(3, 4, 2), integers(3, 4, 2, high=5))
        for axis in (0, 1)
        for skip_nan in (False, True)
    ],
    *[
        Sample(
            median_of_all,
            [distinct(*shape)],
            dict(skip_nan=skip_nan),
            reference=lower_middle,
            saves=("x", "y"),
            no_zero="NaN, and the reference has no element",
        )
        for shape in ((3, 5), (4, 4))
        for skip_nan in (False, True)
    ],
    *[
        Sample(
            place_of_mode,
            [x],
            dict(axis=axis),
            reference=commonest,
            grad=(),
            no_zero=NOTHING,
        )
        for x in (repeated(5, 6, 2), distinct(5, 6, 2), integers(5, 6, 2, high=3), booleans(5, 6))
        for axis in (0, 1)
    ],
    Sample(
        pick,
        [distinct(3, 4), PLACES],
        dict(axis=1),
        reference=np.take_along_axis,
        saves=("x_shape", "indices", "axis"),
        zero=[distinct(0, 4), PLACES[:0]],
    ),
    Sample(
        place,
        [distinct(3, 2), PLACES],
        dict(shape=(3, 4), axis=1),
        reference=put,
        saves=("indices", "axis"),
        zero=[distinct(0, 2), PLACES[:0]],
        zero_static=dict(shape=(0, 4), axis=1),
    ),
]
