"""Samples of sorting, the largest elements, the median."""

from __future__ import annotations

import numpy as np

from samples.base import Input, Sample, distinct, integers
from tensorlite import ops
from tensorlite.ops.order import argtopk


def topk(x, k, axis=-1, largest=True) -> tuple[np.ndarray, np.ndarray]:
    indices = argtopk_by_rank(x, k, axis, largest)
    return np.take_along_axis(x, indices, axis), indices


def argtopk_by_rank(x, k, axis, largest) -> np.ndarray:
    order = np.argsort(-x if largest else x, axis, kind="stable")
    return np.take(order, range(k), axis)


def repeated(*shape: int) -> Input:
    """Small integers as floats, so that many are equal."""
    return Input(shape, lambda generator, shape: generator.integers(-1, 2, shape).astype(float))


SAMPLES = [
    *[
        Sample(ops.sort, [distinct(3, 5, 2)], static, reference=np.sort, saves=("order", "axis"))
        for static in (dict(), dict(axis=0), dict(axis=-2))
    ],
    Sample(ops.sort, [integers(4, 6, high=5)], reference=np.sort),
    *[
        Sample(
            ops.argsort,
            [x],
            dict(axis=axis),
            reference=lambda x, axis: np.argsort(x, axis, kind="stable"),
            grad=(),
        )
        for x in (distinct(3, 5, 2), repeated(3, 5, 2))
        for axis in (0, -1)
    ],
    *[
        Sample(ops.topk, [distinct(3, 5)], dict(k=k, axis=-1, largest=largest), reference=topk)
        for k in (1, 3, 5)
        for largest in (True, False)
    ],
    *[
        Sample(
            argtopk,
            [repeated(6, 5)],
            dict(k=2, axis=1, largest=largest),
            reference=argtopk_by_rank,
            grad=(),
        )
        for largest in (True, False)
    ],
    Sample(ops.median, [distinct(3, 5)], reference=np.median, no_zero="of nothing it is undefined"),
    *[
        Sample(ops.median, [distinct(2, n)], dict(axis=1, keepdims=True), reference=np.median)
        for n in (1, 4, 5)
    ],
]
