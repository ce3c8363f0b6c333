"""Pooling kernels against loops over windows in float64."""

from __future__ import annotations

import numpy as np
import pytest
from guards import assert_close

# planes, height, width, kernel, stride, pad, dilation
SHAPES = [
    (3, 7, 9, (2, 2), (2, 2), (0, 0), (1, 1)),
    (2, 31, 33, (3, 3), (2, 2), (1, 1), (1, 1)),
    (2, 10, 11, (3, 2), (1, 2), (1, 0), (2, 1)),
    (1, 1, 1, (1, 1), (1, 1), (0, 0), (1, 1)),
    (2, 100, 3, (5, 3), (5, 1), (2, 1), (1, 1)),
    (0, 4, 4, (2, 2), (2, 2), (0, 0), (1, 1)),
    (2, 6, 34, (2, 2), (2, 2), (0, 0), (1, 1)),  # two vectors and an output
    (3, 8, 8, (2, 2), (2, 2), (0, 0), (1, 1)),
    (2, 5, 19, (3, 3), (2, 2), (0, 0), (1, 1)),
    (2, 6, 20, (2, 2), (1, 2), (1, 1), (1, 1)),
]
TOLERANCE = {"float16": 2e-3, "float32": 1e-6, "float64": 1e-14}


def sizes(shape, *, ceil=False):
    _, h, w, kernel, stride, pad, dilation = shape
    out = []
    for size, k, s, p, d in zip((h, w), kernel, stride, pad, dilation, strict=True):
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
    planes, h, w, kernel, stride, pad, dilation = shape
    out = sizes(shape)
    rng = np.random.default_rng(0)
    x = rng.integers(-4, 5, (planes, h, w)).astype(dtype)  # the first of equals counts
    g = rng.standard_normal((planes, *out)).astype(dtype)
    rows = axis_windows(h, out[0], kernel[0], stride[0], pad[0], dilation[0])
    columns = axis_windows(w, out[1], kernel[1], stride[1], pad[1], dilation[1])
    wanted, where = np.zeros(g.shape), np.zeros(g.shape, np.int32)
    gradient = np.zeros((planes, h * w))
    for i, (v, _) in enumerate(rows):
        for j, (u, _) in enumerate(columns):
            window = x[:, v][:, :, u].reshape(planes, len(v) * len(u))
            positions = (np.array(v)[:, None] * w + np.array(u)).ravel()
            first = positions[window.argmax(1)] if planes else np.zeros(0, int)
            wanted[:, i, j], where[:, i, j] = window.max(1), first
            gradient[np.arange(planes), first] += g[:, i, j]
    geometry = (planes, h, w, *kernel, *stride, *pad, *dilation, *out)
    y, index = guarded.empty(g.shape, dtype), guarded.empty(g.shape, "int32")
    dx = guarded.empty(x.shape, dtype)
    kernels.max_pool2d(backend.asarray(x), y, index, *geometry)
    kernels.max_pool2d_backward(backend.asarray(g), index, dx, *geometry)
    assert (backend.to_host(y) == wanted).all()
    assert (backend.to_host(index) == where).all()
    assert_close(backend.to_host(dx), gradient.reshape(x.shape), TOLERANCE[dtype])


def test_max_passes_nan_on(kernels, backend, guarded):
    x = np.zeros((1, 4, 4), "float32")
    x[0, 1, 0] = np.nan
    y = guarded.empty((1, 2, 2), "float32")
    kernels.max_pool2d(backend.asarray(x), y, None, 1, 4, 4, 2, 2, 2, 2, 0, 0, 1, 1, 2, 2)
    assert np.isnan(backend.to_host(y)).tolist() == [[[True, False], [False, False]]]


@pytest.mark.parametrize("size", [2, 3])
def test_max_of_a_long_row_passes_nan_on(kernels, backend, guarded, size):
    x = np.zeros((1, size, 40), "float32")
    x[0, size - 1, [5, 20, 39]] = np.nan
    count = (40 - size) // 2 + 1
    y = guarded.empty((1, 1, count), "float32")
    geometry = (1, size, 40, size, size, 2, 2, 0, 0, 1, 1, 1, count)
    kernels.max_pool2d(backend.asarray(x), y, None, *geometry)
    holds = [np.isnan(x[0, :, 2 * i : 2 * i + size]).any() for i in range(count)]
    assert np.isnan(backend.to_host(y)).tolist() == [[holds]]


@pytest.mark.parametrize("count_pad", [True, False])
@pytest.mark.parametrize("ceil", [True, False])
@pytest.mark.parametrize("shape", [s for s in SHAPES if s[-1] == (1, 1)])
def test_average(kernels, backend, guarded, shape, ceil, count_pad):
    planes, h, w, kernel, stride, pad, _ = shape
    out = sizes(shape, ceil=ceil)
    rows = axis_windows(h, out[0], kernel[0], stride[0], pad[0], 1)
    columns = axis_windows(w, out[1], kernel[1], stride[1], pad[1], 1)
    down, across = (weights(axis, size, count_pad) for axis, size in ((rows, h), (columns, w)))
    geometry = (planes, h, w, *kernel, *stride, *pad, count_pad, *out)
    check_linear(
        backend, guarded, planes, down, across,
        lambda x, y: kernels.avg_pool2d(x, y, *geometry),
        lambda g, dx: kernels.avg_pool2d_backward(g, dx, *geometry),
    )  # fmt: skip


@pytest.mark.parametrize("out", [(1, 1), (3, 4), (7, 9), (9, 9)])
def test_adaptive_average(kernels, backend, guarded, out):
    axes = []
    for size, count in zip((7, 9), out, strict=True):
        starts = [(i * size // count, -(-(i + 1) * size // count)) for i in range(count)]
        axes.append(weights([(list(range(a, b)), b - a) for a, b in starts], size, False))
    geometry = (2, 7, 9, *out)
    check_linear(
        backend, guarded, 2, *axes,
        lambda x, y: kernels.adaptive_avg_pool2d(x, y, *geometry),
        lambda g, dx: kernels.adaptive_avg_pool2d_backward(g, dx, *geometry),
    )  # fmt: skip


def weights(windows, size, count_pad):
    """The matrix that averages along one axis."""
    matrix = np.zeros((len(windows), size))
    for i, (seen, extent) in enumerate(windows):
        matrix[i, seen] = 1 / (extent if count_pad else len(seen))
    return matrix


def check_linear(backend, guarded, planes, down, across, forward, backward):
    """Averaging is a matrix on either axis; its gradient is the transpose."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((planes, down.shape[1], across.shape[1])).astype("float32")
    g = rng.standard_normal((planes, down.shape[0], across.shape[0])).astype("float32")
    y, dx = guarded.empty(g.shape, "float32"), guarded.empty(x.shape, "float32")
    forward(backend.asarray(x), y)
    backward(backend.asarray(g), dx)
    assert_close(backend.to_host(y), down @ x.astype(np.float64) @ across.T, 1e-6)
    assert_close(backend.to_host(dx), down.T @ g.astype(np.float64) @ across, 1e-6)
