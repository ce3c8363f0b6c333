"""Samples of reductions and scans."""

from __future__ import annotations

import math

import numpy as np

from samples.base import Input, Sample, booleans, distinct, integers, normal, positive
from tensorlite import ops
from tensorlite.ops.extremes import place_of_largest, place_of_smallest
from tensorlite.ops.norms import vector_norm
from tensorlite.ops.scan import (
    place_of_running_extreme,
    recurrence,
    running_logsumexp,
    running_product,
    running_sum,
)
from tensorlite.ops.statistics import deviation, variance

AXES = [
    dict(),
    dict(axis=0),
    dict(axis=-1),
    dict(axis=(0, 2)),
    dict(axis=(-1, 1), keepdims=True),
    dict(keepdims=True),
]
NOTHING = "of no elements it is undefined"


def over_axes(op, reference, x=None, empty=True, **options) -> list[Sample]:
    """One sample for each form of `axis`; where `empty` is False only some can have no elements."""
    return [
        Sample(
            op,
            [x or normal(3, 4, 2)],
            {**static, **options.get("static", {})},
            reference=reference,
            no_zero="" if empty or static.get("axis") in (-1, (-1, 1)) else NOTHING,
            **{name: value for name, value in options.items() if name != "static"},
        )
        for static in AXES
    ]


def zeros_among(*shape: int) -> Input:
    """Numbers of which every third is exactly 0."""

    def draw(generator: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
        values = generator.uniform(0.5, 1.5, shape)
        values.reshape(-1)[::3] = 0
        return values

    return Input(shape, draw)


def norm(x, ord=2, axis=None, keepdims=False) -> np.ndarray:
    if ord == math.inf:
        return np.max(np.abs(x), axis, keepdims=keepdims)
    if ord == -math.inf:
        return np.min(np.abs(x), axis, keepdims=keepdims)
    if ord == 0:
        return np.sum(x != 0, axis, keepdims=keepdims).astype(float)
    return np.sum(np.abs(x) ** ord, axis, keepdims=keepdims) ** (1 / ord)


def logsumexp(x, **static) -> np.ndarray:
    return np.log(np.sum(np.exp(x), **static))


def variance_of(x, axis=None, correction=1, keepdims=False) -> np.ndarray:
    return np.var(x, axis, ddof=correction, keepdims=keepdims)


def deviation_of(x, axis=None, correction=1, keepdims=False) -> np.ndarray:
    return np.std(x, axis, ddof=correction, keepdims=keepdims)


MOMENTS = ("x", "axis", "correction", "keepdims")
VECTORS = ("x", "y", "ord", "axis", "keepdims")
EXTREMES = ("x", "y", "axis", "keepdims")
REDUCTIONS = [
    *over_axes(ops.sum, np.sum, saves=("x_shape", "axis", "keepdims")),
    *over_axes(ops.mean, np.mean, empty=False, saves=("x_shape", "axis", "keepdims")),
    *over_axes(ops.prod, np.prod, zeros_among(3, 4, 2), saves=("x", "axis", "keepdims")),
    *over_axes(ops.prod, np.prod, positive(2, 3, 2), tolerance=4),
    *over_axes(variance, variance_of, empty=False, saves=MOMENTS, tolerance=4),
    *over_axes(variance, variance_of, empty=False, static=dict(correction=0), tolerance=4),
    *over_axes(deviation, deviation_of, empty=False, saves=("y", *MOMENTS), tolerance=4),
    *[
        Sample(
            ops.logsumexp,
            [normal(3, 4, 2)],
            dict(axis=axis),
            reference=logsumexp,
            no_zero="" if axis == -1 else "NumPy's logarithm of 0 warns",
            saves=("x", "y", "axis", "keepdims"),
        )
        for axis in (None, 0, -1, (0, 2))
    ],
    *over_axes(ops.amax, np.max, distinct(3, 4, 2), False, saves=EXTREMES),
    *over_axes(ops.amin, np.min, distinct(3, 4, 2), False, saves=EXTREMES),
    *over_axes(ops.any, np.any, booleans(3, 4, 2)),
    *over_axes(ops.all, np.all, booleans(3, 4, 2)),
    *over_axes(ops.sum, np.sum, integers(3, 4, 2, low=-9, high=9)),
    *over_axes(ops.sum, np.sum, booleans(3, 4, 2)),
    *[
        sample
        for ord in (1, 2, 3, 2.5)
        for sample in over_axes(vector_norm, norm, static=dict(ord=ord), saves=VECTORS)
    ],
    *[
        sample
        for ord in (math.inf, -math.inf, 0.5, -1.5)
        for sample in over_axes(
            vector_norm, norm, distinct(3, 4, 2), False, static=dict(ord=ord), tolerance=8
        )
    ],
    *over_axes(vector_norm, norm, zeros_among(3, 4, 2), static=dict(ord=0)),
    *[
        Sample(
            op,
            [distinct(3, 4, 2)],
            static,
            reference=reference,
            grad=(),
            no_zero="" if static.get("axis") == -1 else NOTHING,
        )
        for op, reference in ((ops.argmax, np.argmax), (ops.argmin, np.argmin))
        for static in (dict(), dict(axis=0), dict(axis=-1), dict(axis=1, keepdims=True))
    ],
    *[
        Sample(
            op,
            [x],
            dict(axis=axis),
            reference=lambda x, axis, reference=reference: reference(x, axis, keepdims=True),
            grad=(),
            no_zero="" if axis else NOTHING,
        )
        for op, reference in ((place_of_largest, np.argmax), (place_of_smallest, np.argmin))
        for x in (distinct(3, 4, 2), booleans(3, 4, 2))
        for axis in (0, 1)
    ],
]


def running(a, b, axis, reverse=False) -> np.ndarray:
    """The recurrence, one step after the other."""
    a, b = (np.moveaxis(v, axis, 0) for v in (a, b))
    r, previous = np.empty_like(b), np.zeros(b.shape[1:])
    for i in reversed(range(len(b))) if reverse else range(len(b)):
        r[i] = previous = b[i] + a[i] * previous
    return np.moveaxis(r, 0, axis)


def totals(x, axis, reverse=False) -> np.ndarray:
    return np.flip(np.cumsum(np.flip(x, axis), axis), axis) if reverse else np.cumsum(x, axis)


def extreme_so_far(x, axis, largest) -> np.ndarray:
    """Where the last of the most extreme elements so far is, one step after the other."""
    x = np.moveaxis(x if largest else -x, axis, 0)
    best = np.zeros(x.shape, np.int64)
    for i in range(1, len(x)):
        before = np.take_along_axis(x, best[i - 1 : i], 0)[0]
        best[i] = np.where(x[i] >= before, i, best[i - 1])
    return np.moveaxis(best, 0, axis)


SCANS = [
    *[
        Sample(
            running_sum,
            [normal(3, 5, 2)],
            dict(axis=axis, reverse=reverse),
            reference=totals,
            saves=("axis", "reverse"),
        )
        for axis in (0, 1, -1)
        for reverse in (False, True)
    ],
    Sample(running_sum, [integers(3, 5, high=9)], dict(axis=1), reference=np.cumsum),
    *[
        Sample(
            running_product,
            [x],
            dict(axis=axis),
            reference=np.cumprod,
            saves=("x", "y", "axis"),
            tolerance=4,
        )
        for axis in (0, 1, -1)
        for x in (zeros_among(3, 5, 2), positive(3, 5, 2))
    ],
    *[
        Sample(
            recurrence,
            [normal(3, 6), normal(3, 6)],
            dict(axis=axis, reverse=reverse),
            reference=running,
            saves=("y", "a", "axis", "reverse"),
            tolerance=4,
        )
        for axis in (0, 1)
        for reverse in (False, True)
    ],
    *[
        Sample(
            running_logsumexp,
            [normal(3, 6, 2)],
            dict(axis=axis),
            reference=lambda x, axis: np.log(np.cumsum(np.exp(x), axis)),
            saves=("x", "y", "axis"),
            tolerance=4,
        )
        for axis in (0, 1)
    ],
    *[
        Sample(
            place_of_running_extreme,
            [x],
            dict(axis=axis, largest=largest),
            reference=extreme_so_far,
            grad=(),
        )
        for x in (distinct(3, 6, 2), integers(3, 6, 2, low=-2, high=3))
        for axis in (0, 1)
        for largest in (True, False)
    ],
]

SAMPLES = REDUCTIONS + SCANS
