"""Pooling kernels against loops over windows in float64."""

from __future__ import annotations

import numpy as np
import pytest
from guards import assert_close

# volumes, size, kernel, stride, pad, dilation; of images one layer deep, and of volumes
SHAPES = [
    (3, (1, 7, 9), (1, 2, 2), (1, 2, 2), (0, 0, 0), (1, 1, 1)),
    (2, (1, 31, 33), (1, 3, 3), (1, 2, 2), (0, 1, 1), (1, 1, 1)),
    (2, (1, 10, 11), (1, 3, 2), (1, 1, 2), (0, 1, 0), (1, 2, 1)),
    (1, (1, 1, 1), (1, 1, 1), (1, 1, 1), (0, 0, 0), (1, 1, 1)),
    (2, (1, 100, 3), (1, 5, 3), (1, 5, 1), (0, 2, 1), (1, 1, 1)),
    (0, (1, 4, 4), (1, 2, 2), (1, 2, 2), (0, 0, 0), (1, 1, 1)),
    (2, (1, 6, 34), (1, 2, 2), (1, 2, 2), (0, 0, 0), (1, 1, 1)),  # two vectors and an output
    (3, (1, 8, 8), (1, 2, 2), (1, 2, 2), (0, 0, 0), (1, 1, 1)),
    (2, (1, 5, 19), (1, 3, 3), (1, 2, 2), (0, 0, 0), (1, 1, 1)),
    (2, (1, 6, 20), (1, 2, 2), (1, 1, 2), (0, 1, 1), (1, 1, 1)),
    (2, (4, 6, 34), (2, 2, 2), (2, 2, 2), (0, 0, 0), (1, 1, 1)),
    (3, (5, 7, 9), (3, 3, 3), (2, 2, 2), (1, 1, 1), (1, 1, 1)),
    (2, (7, 4, 10), (2, 3, 2), (3, 1, 2), (1, 1, 0), (2, 1, 3)),
    (2, (9, 3, 20), (1, 3, 3), (2, 1, 2), (0, 0, 1), (1, 1, 1)),
]
TOLERANCE = {"float16": 2e-3, "float32": 1e-6, "float64": 1e-14}


def sizes(shape, *, ceil=False):
    out = []
    for size, k, s, p, d in zip(*shape[1:], strict=True):
        span = size + 2 * p - d * (k - 1) - 1
        count = span // s + 1
        if ceil and span % s and count * s < size + p:  # a window may not begin in the padding
            count += 1
        out.append(count)
    return tuple(out)


def axis_windows(size, out, kernel, stride, pad, dilation):
    """Positions inside the axis that each output sees, and the window's extent with padding."""
    result = []
    for i in range(out):
        start = i * stride - pad
        seen = [p for p in range(start, start + kernel * dilation, dilation) if 0 <= p < size]
        end = min(start + (kernel - 1) * dilation + 1, size + pad)
        result.append((seen, end - start))
    return result


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16"])
@pytest.mark.parametrize("shape", SHAPES)
def test_max(kernels, backend, guarded, shape, dtype):
    volumes, size, *window = shape
    out = sizes(shape)
    rng = np.random.default_rng(0)
    x = rng.integers(-4, 5, (volumes, *size)).astype(dtype)  # the first of equals counts
    g = rng.standard_normal((volumes, *out)).astype(dtype)
    axes = [axis_windows(*axis) for axis in zip(size, out, *window, strict=True)]
    wanted, where = np.zeros(g.shape), np.zeros(g.shape, np.int32)
    gradient = np.zeros((volumes, np.prod(size)))
    places = np.arange(np.prod(size)).reshape(size)
    for at in np.ndindex(out):
        seen = np.ix_(*[axis[i][0] for axis, i in zip(axes, at, strict=True)])
        positions = places[seen].ravel()
        values = x.reshape(volumes, -1)[:, positions] if volumes else np.zeros((0, len(positions)))
        first = positions[values.argmax(1)]
        wanted[:, *at], where[:, *at] = values.max(1), first
        gradient[np.arange(volumes), first] += g[:, *at]
    geometry = (volumes, *size, *sum(window, ()), *out)
    y, index = guarded.empty(g.shape, dtype), guarded.empty(g.shape, "int32")
    dx = guarded.empty(x.shape, dtype)
    kernels.max_pool(backend.asarray(x), y, index, *geometry)
    kernels.max_pool_backward(backend.asarray(g), index, dx, *geometry)
    assert (backend.to_host(y) == wanted).all()
    assert (backend.to_host(index) == where).all()
    assert_close(backend.to_host(dx), gradient.reshape(x.shape), TOLERANCE[dtype])


def test_max_passes_nan_on(kernels, backend, guarded):
    x = np.zeros((1, 4, 4), "float32")
    x[0, 1, 0] = np.nan
    y = guarded.empty((1, 2, 2), "float32")
    geometry = (1, 1, 4, 4, 1, 2, 2, 1, 2, 2, 0, 0, 0, 1, 1, 1, 1, 2, 2)
    kernels.max_pool(backend.asarray(x), y, None, *geometry)
    assert np.isnan(backend.to_host(y)).tolist() == [[[True, False], [False, False]]]


@pytest.mark.parametrize("size", [2, 3])
def test_max_of_a_long_row_passes_nan_on(kernels, backend, guarded, size):
    x = np.zeros((1, size, 40), "float32")
    x[0, size - 1, [5, 20, 39]] = np.nan
    count = (40 - size) // 2 + 1
    y = guarded.empty((1, 1, count), "float32")
    geometry = (1, 1, size, 40, 1, size, size, 1, 2, 2, 0, 0, 0, 1, 1, 1, 1, 1, count)
    kernels.max_pool(backend.asarray(x), y, None, *geometry)
    holds = [np.isnan(x[0, :, 2 * i : 2 * i + size]).any() for i in range(count)]
    assert np.isnan(backend.to_host(y)).tolist() == [[holds]]


@pytest.mark.parametrize("count_pad", [True, False])
@pytest.mark.parametrize("ceil", [True, False])
@pytest.mark.parametrize("shape", [s for s in SHAPES if s[-1] == (1, 1, 1)])
def test_average(kernels, backend, guarded, shape, ceil, count_pad):
    volumes, size, kernel, stride, pad, dilation = shape
    out = sizes(shape, ceil=ceil)
    axes = [
        weights(axis_windows(*axis), axis[0], count_pad)
        for axis in zip(size, out, kernel, stride, pad, dilation, strict=True)
    ]
    geometry = (volumes, *size, *kernel, *stride, *pad, count_pad, *out)
    check_linear(
        backend, guarded, volumes, axes,
        lambda x, y: kernels.avg_pool(x, y, *geometry),
        lambda g, dx: kernels.avg_pool_backward(g, dx, *geometry),
    )  # fmt: skip


@pytest.mark.parametrize("out", [(1, 1, 1), (1, 3, 4), (1, 7, 9), (4, 9, 9), (3, 2, 9)])
def test_adaptive_average(kernels, backend, guarded, out):
    axes, size = [], (1 if out[0] == 1 else 5, 7, 9)
    for length, count in zip(size, out, strict=True):
        starts = [(i * length // count, -(-(i + 1) * length // count)) for i in range(count)]
        axes.append(weights([(list(range(a, b)), b - a) for a, b in starts], length, False))
    geometry = (2, *size, *out)
    check_linear(
        backend, guarded, 2, axes,
        lambda x, y: kernels.adaptive_avg_pool(x, y, *geometry),
        lambda g, dx: kernels.adaptive_avg_pool_backward(g, dx, *geometry),
    )  # fmt: skip


def weights(windows, size, count_pad):
    """The matrix that averages along one axis."""
    matrix = np.zeros((len(windows), size))
    for i, (seen, extent) in enumerate(windows):
        matrix[i, seen] = 1 / (extent if count_pad else len(seen))
    return matrix


def check_linear(backend, guarded, volumes, axes, forward, backward):
    """Averaging is a matrix on each axis; its gradient is the transpose."""
    rng = np.random.default_rng(0)
    out, size = zip(*[axis.shape for axis in axes], strict=True)
    x = rng.standard_normal((volumes, *size)).astype("float32")
    g = rng.standard_normal((volumes, *out)).astype("float32")
    y, dx = guarded.empty(g.shape, "float32"), guarded.empty(x.shape, "float32")
    forward(backend.asarray(x), y)
    backward(backend.asarray(g), dx)
    wide = x.astype(np.float64), g.astype(np.float64)
    assert_close(backend.to_host(y), np.einsum("zd,yh,xw,ndhw->nzyx", *axes, wide[0]), 1e-6)
    assert_close(backend.to_host(dx), np.einsum("zd,yh,xw,nzyx->ndhw", *axes, wide[1]), 1e-6)
