"""Samples of reductions and scans."""

from __future__ import annotations

import math

import numpy as np

from samples.base import Input, Sample, booleans, distinct, integers, normal, positive
from tensorlite import ops
from tensorlite.ops.scan import recurrence

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
    return np.sum(np.abs(x) ** ord, axis, keepdims=keepdims) ** (1 / ord)


def logsumexp(x, **static) -> np.ndarray:
    return np.log(np.sum(np.exp(x), **static))


REDUCTIONS = [
    *over_axes(ops.sum, np.sum, saves=("x_shape", "axis", "keepdims")),
    *over_axes(ops.mean, np.mean, empty=False, saves=("x_shape", "axis", "keepdims")),
    *over_axes(ops.prod, np.prod, zeros_among(3, 4, 2), saves=("x", "axis", "keepdims")),
    *over_axes(ops.prod, np.prod, positive(2, 3, 2), tolerance=4),
    *over_axes(ops.var, np.var, empty=False, saves=("x", "axis", "ddof", "keepdims"), tolerance=4),
    *over_axes(ops.var, np.var, empty=False, static=dict(ddof=1), tolerance=4),
    *over_axes(ops.std, np.std, empty=False, static=dict(ddof=1), tolerance=4),
    *over_axes(ops.logsumexp, logsumexp, empty=False, saves=("x", "y", "axis", "keepdims")),
    *over_axes(ops.max, np.max, distinct(3, 4, 2), False, saves=("x", "y", "axis", "keepdims")),
    *over_axes(ops.min, np.min, distinct(3, 4, 2), False, saves=("x", "y", "axis", "keepdims")),
    *over_axes(ops.any, np.any, booleans(3, 4, 2)),
    *over_axes(ops.all, np.all, booleans(3, 4, 2)),
    *over_axes(ops.sum, np.sum, integers(3, 4, 2, low=-9, high=9)),
    *over_axes(ops.sum, np.sum, booleans(3, 4, 2)),
    *[
        sample
        for ord in (1, 2, 3, 2.5)
        for sample in over_axes(
            ops.norm, norm, static=dict(ord=ord), saves=("x", "y", "ord", "axis", "keepdims")
        )
    ],
    *over_axes(ops.norm, norm, distinct(3, 4, 2), False, static=dict(ord=math.inf)),
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
]


def running(a, b, axis, reverse=False) -> np.ndarray:
    """The recurrence, one step after the other."""
    a, b = (np.moveaxis(v, axis, 0) for v in (a, b))
    r, previous = np.empty_like(b), np.zeros(b.shape[1:])
    for i in reversed(range(len(b))) if reverse else range(len(b)):
        r[i] = previous = b[i] + a[i] * previous
    return np.moveaxis(r, 0, axis)


SCANS = [
    *[
        Sample(ops.cumsum, [normal(3, 5, 2)], dict(axis=axis), reference=np.cumsum, saves=("axis",))
        for axis in (0, 1, -1)
    ],
    *[
        Sample(
            ops.cumprod,
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
]

SAMPLES = REDUCTIONS + SCANS
