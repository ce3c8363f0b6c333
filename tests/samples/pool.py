"""Samples of pooling and resampling, written out as loops over windows."""

from __future__ import annotations

import itertools
import math

import numpy as np

from samples.base import Sample, distinct, normal
from tensorlite.ops import pool
from tensorlite.ops.interpolate import resample, resample_backward
from tensorlite.ops.pool import Window


def elements(window, size):
    """(window, places of its elements inside the image) of all windows."""
    axes = [
        [
            [i for t in range(k) if 0 <= (i := start + t * d) < n]
            for start in range(-p, n + p - d * (k - 1), s)
        ]
        for n, k, s, p, d in zip(size, *window, strict=True)
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


def divisor(window, inside, count_include_pad):
    return math.prod(window.kernel) if count_include_pad else len(inside)


def avg_pool(x, window, count_include_pad):
    size = x.shape[2:]
    at, values = [], []
    for place, inside in elements(window, size):
        at.append(place)
        total = sum(x[(..., *i)] for i in inside)
        values.append(total / divisor(window, inside, count_include_pad))
    return pooled(x, output_size(window, size), at, values)


def avg_pool_backward(dy, size, window, count_include_pad):
    dx = np.zeros((*dy.shape[:2], *size))
    for at, inside in elements(window, size):
        for i in inside:
            share = divisor(window, inside, count_include_pad)
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


def adaptive_avg_pool_backward(dy, size):
    dx = np.zeros((*dy.shape[:2], *size))
    for at in np.ndindex(dy.shape[2:]):
        parts = [part(i, n, length) for i, n, length in zip(at, dy.shape[2:], size, strict=True)]
        area = math.prod(p.stop - p.start for p in parts)
        dx[(..., *parts)] += dy[(..., *at)].reshape(*dy.shape[:2], *[1] * len(size)) / area
    return dx


WINDOWS = [
    ((8,), Window((2,), (2,), (0,), (1,))),
    ((9,), Window((3,), (2,), (1,), (2,))),
    ((6, 4), Window((2, 2), (2, 2), (0, 0), (1, 1))),
    ((5, 7), Window((3, 2), (1, 3), (1, 1), (1, 2))),
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
    even = window._replace(dilation=(1,) * len(size))
    for count in (True, False):
        static = dict(window=even, count_include_pad=count)
        yield Sample(
            pool.avg_pool,
            [normal(2, 3, *size)],
            static,
            reference=avg_pool,
            saves=("x_shape", "window", "count_include_pad"),
            tolerance=2,
        )
        yield Sample(
            pool.avg_pool_backward,
            [normal(2, 3, *output_size(even, size))],
            dict(size=size, **static),
            reference=avg_pool_backward,
            saves=("window", "count_include_pad"),
            tolerance=2,
        )


POOLING = [
    *[sample for case in WINDOWS for sample in samples_of(*case)],
    *[
        sample
        for size, out in (((7,), (3,)), ((5, 8), (4, 3)), ((2, 3), (5, 3)))
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
        )
    ],
]


def resampled(x, axis, size, step, linear, aligned):
    """Each result on its own: the nearest element, or a mixture of two."""
    x = np.moveaxis(x, axis, 0)
    last = len(x) - 1
    y = []
    for i in range(size):
        if not linear:
            y.append(x[min(math.floor(i * step[0] / step[1]), last)])
            continue
        place = min(
            max((i if aligned else i + 0.5) * step[0] / step[1] - (not aligned) / 2, 0), last
        )
        low = math.floor(place)
        y.append((low + 1 - place) * x[low] + (place - low) * x[min(low + 1, last)])
    return np.moveaxis(np.array(y), 0, axis)


def resampled_backward(dy, axis, size, step, linear, aligned):
    """The transpose, column by column: what each element of the input contributes."""
    columns = resampled(np.eye(size), 0, dy.shape[axis], step, linear, aligned)
    return np.moveaxis(np.tensordot(dy, columns, (axis, 0)), -1, axis)


RESAMPLING = [
    sample
    for axis in (2, 3)
    for length, size in ((5, 7), (5, 3), (1, 4))
    for linear, aligned in ((False, False), (True, False), (True, True))
    for static in (
        dict(
            axis=axis,
            step=(length - 1, size - 1) if aligned else (length, size),
            linear=linear,
            aligned=aligned,
        ),
    )
    for sample in (
        Sample(
            resample,
            [normal(2, 3, *((length, 4) if axis == 2 else (4, length)))],
            dict(size=size, **static),
            reference=resampled,
            saves=("x_shape", "axis", "step", "linear", "aligned"),
            tolerance=2,
        ),
        Sample(
            resample_backward,
            [normal(2, 3, *((size, 4) if axis == 2 else (4, size)))],
            dict(size=length, **static),
            reference=resampled_backward,
            saves=("dy_shape", "axis", "step", "linear", "aligned"),
            tolerance=4,
        ),
    )
]

SAMPLES = POOLING + RESAMPLING
