"""Samples of pooling and resampling, written out as loops over windows."""

from __future__ import annotations

import itertools
import math

import numpy as np

from samples.base import Input, Sample, distinct, integers, normal
from tensorlite.ops import pool
from tensorlite.ops.pool import Window
from tensorlite.ops.resample import (
    Sampling,
    nearest,
    nearest_backward,
    resample,
    resample_backward,
    resample_bytes,
)


def starts(n, k, s, p, d, ceil):
    """Where windows begin; with `ceil` the last may reach over the end."""
    inside = list(range(-p, n + p - d * (k - 1), s))
    following = inside[-1] + s
    over = ceil and following + d * (k - 1) + 1 - s < n + p and following < n
    return inside + [following] * over


def elements(window, size):
    """(window, places of its elements inside the image) of all windows."""
    axes = [
        [
            [i for t in range(k) if 0 <= (i := start + t * d) < n]
            for start in starts(n, k, s, p, d, window.ceil)
        ]
        for n, k, s, p, d in zip(size, *window[:4], strict=True)
    ]
    for at in itertools.product(*(range(len(starts)) for starts in axes)):
        inside = (starts[w] for starts, w in zip(axes, at, strict=True))
        yield at, list(itertools.product(*inside))


def output_size(window, size):
    return tuple(n + 1 for n in max(at for at, _ in elements(window, size)))


def pooled(x, out, at, values):
    """Put values (N, C) of windows into their places."""
    y = np.empty((*x.shape[:2], *out))
    for place, value in zip(at, values, strict=True):
        y[(..., *place)] = value
    return y


def max_pool(x, window):
    size = x.shape[2:]
    at, values = [], []
    for place, inside in elements(window, size):
        at.append(place)
        values.append(np.max([x[(..., *i)] for i in inside], axis=0))
    return pooled(x, output_size(window, size), at, values)


def max_pool_backward(dy, index, size, window):
    dx = np.zeros((*dy.shape[:2], int(np.prod(size))))
    for i in np.ndindex(dy.shape):
        dx[(*i[:2], index[i])] += dy[i]
    return dx.reshape(*dy.shape[:2], *size)


def argmax(x, window):
    """Flat places of the largest elements."""
    size = x.shape[2:]
    index = np.empty((*x.shape[:2], *output_size(window, size)), np.int32)
    for at, inside in elements(window, size):
        flat = np.array([np.ravel_multi_index(i, size) for i in inside])
        best = np.argmax([x[(..., *i)] for i in inside], axis=0)
        index[(..., *at)] = flat[best]
    return index


def divided_by(window, at, size, inside, count_include_pad):
    """Elements in a window: with padding (but not with what is beyond), or without."""
    if not count_include_pad:
        return len(inside)
    first = [i * s - p for i, s, p in zip(at, window.stride, window.padding, strict=True)]
    last = [
        min(f + k, n + p)
        for f, k, n, p in zip(first, window.kernel, size, window.padding, strict=True)
    ]
    return math.prod(b - a for a, b in zip(first, last, strict=True))


def avg_pool(x, window, count_include_pad, divisor=None):
    size = x.shape[2:]
    at, values = [], []
    for place, inside in elements(window, size):
        at.append(place)
        total = sum(x[(..., *i)] for i in inside)
        values.append(
            total / (divisor or divided_by(window, place, size, inside, count_include_pad))
        )
    return pooled(x, output_size(window, size), at, values)


def avg_pool_backward(dy, size, window, count_include_pad, divisor=None):
    dx = np.zeros((*dy.shape[:2], *size))
    for at, inside in elements(window, size):
        share = divisor or divided_by(window, at, size, inside, count_include_pad)
        for i in inside:
            dx[(..., *i)] += dy[(..., *at)] / share
    return dx


def part(i, n, length):
    return slice(math.floor(i * length / n), math.ceil((i + 1) * length / n))


def adaptive_avg_pool(x, out):
    y = np.empty((*x.shape[:2], *out))
    for at in np.ndindex(*out):
        parts = [part(i, n, length) for i, n, length in zip(at, out, x.shape[2:], strict=True)]
        y[(..., *at)] = x[(..., *parts)].mean(tuple(range(2, x.ndim)))
    return y


def adaptive_max_pool(x, out):
    size = x.shape[2:]
    y, index = np.empty((*x.shape[:2], *out)), np.empty((*x.shape[:2], *out), np.int64)
    for at in np.ndindex(*out):
        parts = [part(i, n, length) for i, n, length in zip(at, out, size, strict=True)]
        places = np.arange(math.prod(size)).reshape(size)[tuple(parts)].ravel()
        values = x[(..., *parts)].reshape(*x.shape[:2], len(places))
        y[(..., *at)] = values.max(-1)
        index[(..., *at)] = places[values.argmax(-1)]
    return y, index


def unpooled(x, index, size):
    y = np.zeros((*x.shape[:2], math.prod(size)))
    for i in np.ndindex(x.shape):
        y[(*i[:2], index[i])] = x[i]
    return y.reshape(*x.shape[:2], *size)


def adaptive_avg_pool_backward(dy, size):
    dx = np.zeros((*dy.shape[:2], *size))
    for at in np.ndindex(dy.shape[2:]):
        parts = [part(i, n, length) for i, n, length in zip(at, dy.shape[2:], size, strict=True)]
        area = math.prod(p.stop - p.start for p in parts)
        dx[(..., *parts)] += dy[(..., *at)].reshape(*dy.shape[:2], *[1] * len(size)) / area
    return dx


def places(*shape, of):
    """Different places of each plane, among `of`."""

    def draw(generator, shape):
        planes = [
            generator.permutation(of)[: math.prod(shape[2:])] for _ in range(math.prod(shape[:2]))
        ]
        return np.array(planes, np.int64).reshape(shape)

    return Input(shape, draw)


WINDOWS = [
    ((8,), Window((2,), (2,), (0,), (1,))),
    ((9,), Window((3,), (2,), (1,), (2,))),
    ((6, 4), Window((2, 2), (2, 2), (0, 0), (1, 1))),
    ((5, 7), Window((3, 2), (1, 3), (1, 1), (1, 2))),
    ((8,), Window((3,), (2,), (1,), (1,), True)),
    ((7, 6), Window((2, 3), (2, 2), (1, 1), (1, 1), True)),
    ((3, 4, 5), Window((2, 2, 3), (2, 1, 2), (0, 1, 1), (1, 1, 1), True)),
]


def samples_of(size, window):
    x = distinct(2, 3, *size)
    index = argmax(np.random.default_rng(5).standard_normal((2, 3, *size)), window)
    d = normal(*index.shape)
    yield Sample(
        pool.max_pool,
        [x],
        dict(window=window),
        reference=max_pool,
        saves=("index", "x_shape", "window"),
    )
    yield Sample(
        pool.max_pool_backward,
        [d, index],
        dict(size=size, window=window),
        reference=max_pool_backward,
        zero=[d.of_shape((0, *d.shape[1:])), index[:0]],
        saves=("index",),
        tolerance=2,
    )
    yield Sample(
        pool.max_pool_indexed,
        [x],
        dict(window=window),
        reference=lambda x, window: (max_pool(x, window), argmax(x, window).astype(np.int64)),
        saves=("index", "x_shape", "window"),
    )
    even = window._replace(dilation=(1,) * len(size))
    for count, divisor in ((True, None), (False, None), (True, 3)):
        static = dict(window=even, count_include_pad=count, divisor=divisor)
        yield Sample(
            pool.avg_pool,
            [normal(2, 3, *size)],
            static,
            reference=avg_pool,
            saves=("x_shape", "window", "count_include_pad", "divisor"),
            tolerance=2,
        )
        yield Sample(
            pool.avg_pool_backward,
            [normal(2, 3, *output_size(even, size))],
            dict(size=size, **static),
            reference=avg_pool_backward,
            saves=("window", "count_include_pad", "divisor"),
            tolerance=2,
        )


POOLING = [
    *[sample for case in WINDOWS for sample in samples_of(*case)],
    *[
        sample
        for size, out in (((7,), (3,)), ((5, 8), (4, 3)), ((2, 3), (5, 3)), ((3, 2, 5), (2, 2, 3)))
        for sample in (
            Sample(
                pool.adaptive_avg_pool,
                [normal(2, 3, *size)],
                dict(out=out),
                reference=adaptive_avg_pool,
                saves=("x_shape",),
                tolerance=2,
            ),
            Sample(
                pool.adaptive_avg_pool_backward,
                [normal(2, 3, *out)],
                dict(size=size),
                reference=adaptive_avg_pool_backward,
                saves=("dy_shape",),
                tolerance=4,
            ),
            Sample(
                pool.adaptive_max_pool,
                [distinct(2, 3, *size)],
                dict(out=out),
                reference=adaptive_max_pool,
                saves=("index", "x_shape"),
            ),
        )
    ],
    *[
        Sample(
            pool.unpool,
            [normal(2, 3, *out), places(2, 3, *out, of=math.prod(size))],
            dict(size=size),
            reference=unpooled,
            saves=("index",),
        )
        for out, size in (((3,), (7,)), ((2, 3), (4, 5)))
    ],
]


def weight_of(i, j, length, how):
    """How much element `j` counts in result `i`, for the linear modes."""
    step = how.scale / how.divisor
    if how.smooth:
        reach = max(step, 1)
        tents = [max(0, 1 - abs(k + 0.5 - step * (i + 0.5)) / reach) for k in range(length)]
        return tents[j] / sum(tents)
    place = i * step if how.aligned else (i + 0.5) * step - 0.5
    return max(0, 1 - abs(min(max(place, 0), length - 1) - j))


def resampled(x, axis, size, how):
    """Each result on its own."""
    x = np.moveaxis(x, axis, 0)
    last = len(x) - 1
    y = []
    for i in range(size):
        if how.kind == "linear":
            y.append(sum(weight_of(i, j, last + 1, how) * x[j] for j in range(last + 1)))
        elif how.kind == "cubic":  # the cubic with the slopes 0.75 · (difference of neighbours)
            place = (i + 0.5) * how.scale / how.divisor - 0.5
            first = math.floor(place)
            t = place - first
            a, b, c, d = (x[min(max(first + k, 0), last)] for k in (-1, 0, 1, 2))
            hermite = [
                2 * t**3 - 3 * t**2 + 1,
                3 * t**2 - 2 * t**3,
                t**3 - 2 * t**2 + t,
                t**3 - t**2,
            ]
            ends = [b, c, 0.75 * (c - a), 0.75 * (d - b)]
            y.append(sum(h * e for h, e in zip(hermite, ends, strict=True)))
        else:
            middle = 0.5 * (how.kind == "exact")
            y.append(x[min(math.floor((i + middle) * how.scale / how.divisor), last)])
    return np.moveaxis(np.array(y), 0, axis)


def resampled_backward(dy, axis, size, how):
    """The transpose, column by column: what each element of the input contributes."""
    columns = resampled(np.eye(size), 0, dy.shape[axis], how)
    return np.moveaxis(np.tensordot(dy, columns, (axis, 0)), -1, axis)


def nearest_elements(x, size, how):
    for axis, (n, each) in enumerate(zip(size, how, strict=True), start=2):
        x = resampled(x, axis, n, each)
    return x


def nearest_elements_backward(dy, size, how):
    for axis, (n, each) in enumerate(zip(size, how, strict=True), start=2):
        dy = resampled_backward(dy, axis, n, each)
    return dy


KINDS = [("linear", False, False), ("linear", True, False), ("linear", False, True)]

RESAMPLING = (
    [
        sample
        for axis in (2, 3)
        for length, size in ((5, 7), (5, 3), (1, 4))
        for kind, aligned, smooth in [*KINDS, ("cubic", False, False)]
        for step in [(length - 1, size - 1) if aligned else (length, size)]
        for how in [Sampling(kind, *step, aligned, smooth)]
        for sample in (
            Sample(
                resample,
                [normal(2, 3, *((length, 4) if axis == 2 else (4, length)))],
                dict(axis=axis, size=size, how=how),
                reference=resampled,
                saves=("x_shape", "axis", "how"),
                tolerance=4,
            ),
            Sample(
                resample_backward,
                [normal(2, 3, *((size, 4) if axis == 2 else (4, size)))],
                dict(axis=axis, size=length, how=how),
                reference=resampled_backward,
                saves=("dy_shape", "axis", "how"),
                tolerance=4,
            ),
        )
    ]
    + [
        Sample(
            resample_bytes,
            [
                integers(2, 3, 4, 5, high=250),
            ],
            dict(axis=axis, size=7, how=Sampling("linear", n, 7)),
            reference=lambda x, axis, size, how: np.floor(
                resampled(x, axis, size, how) + 0.5
            ).astype(np.uint8),
        )
        for axis, n in ((2, 4), (3, 5))
    ]
    + [
        sample
        for size, out in (
            ((5,), (12,)),
            ((7,), (3,)),
            ((3, 4), (6, 8)),
            ((5, 4), (7, 11)),
            ((9, 4), (4, 1)),
            ((3, 2, 4), (2, 4, 5)),
        )
        for kind in ("nearest", "exact")
        for how in [tuple(Sampling(kind, n, o) for n, o in zip(size, out, strict=True))]
        for sample in (
            Sample(
                nearest,
                [normal(2, 3, *size)],
                dict(size=out, how=how),
                reference=nearest_elements,
                saves=("x_shape", "how"),
            ),
            Sample(
                nearest_backward,
                [normal(2, 3, *out)],
                dict(size=size, how=how),
                reference=nearest_elements_backward,
                saves=("dy_shape", "how"),
                tolerance=4,
            ),
        )
    ]
)

SAMPLES = POOLING + RESAMPLING
