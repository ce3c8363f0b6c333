"""Kernels that read 16-bit and float32 arrays side by side, on CUDA, against NumPy in float64."""

from __future__ import annotations

import numpy as np
import pytest
from reference import DTYPES, SHAPES, SIZES, close, log_softmax, normal

FLOAT = np.dtype(np.float32)
FLOAT_TOLERANCE = DTYPES["float32"][1]
ROWS = [*SHAPES, (2, 9001)]

pytestmark = pytest.mark.parametrize("half", ["float16", "bfloat16"])


@pytest.fixture(autouse=True)
def on_cuda(kernels):
    if kernels.on_host:
        pytest.skip("the CPU computes with no 16-bit floats")


@pytest.fixture
def at(backend):
    """An array on the device that begins so many elements off the start of the memory."""

    def make(values, dtype, offset=0):
        block = np.zeros(values.size + offset, dtype)
        block[offset:] = values.astype(dtype).ravel()
        return backend.asarray(block)[offset:].reshape(values.shape)

    return make


def norm_of(name, x, eps):
    """The row statistics that a norm saves, and its result without parameters, in float64."""
    if name == "rms_norm":
        rstd = 1 / np.sqrt((x**2).mean(1, keepdims=True) + eps)
        return (rstd,), x * rstd
    mean, rstd = x.mean(1, keepdims=True), 1 / np.sqrt(x.var(1, keepdims=True) + eps)
    return (mean, rstd), (x - mean) * rstd


@pytest.mark.parametrize("name", ["layer_norm", "rms_norm"])
@pytest.mark.parametrize("shape", ROWS)
@pytest.mark.parametrize("short_x", [False, True])
@pytest.mark.parametrize(("affine", "offset"), [(False, 0), (True, 0), (True, 1)])
def test_norm(backend, kernels, guarded, at, half, name, shape, short_x, affine, offset):
    dtype, tolerance = DTYPES[half]
    rows, columns = shape
    own = dtype if short_x else FLOAT
    x, g = at(normal(0, *shape), own, offset), at(normal(1, *shape), dtype, offset)
    xf, gf = (backend.to_host(a).astype(float) for a in (x, g))
    several = 1 + (name == "layer_norm")
    parameters = [at(normal(i, columns), FLOAT, offset) if affine else None for i in (7, 8)]
    w = normal(7, columns).astype(FLOAT).astype(float) if affine else 1.0
    b = normal(8, columns).astype(FLOAT).astype(float) if affine and several == 2 else 0.0
    statistics, z = norm_of(name, xf, 1e-3)

    y, copy = guarded.empty(shape, FLOAT), guarded.empty(shape, dtype)
    saved = [guarded.empty((rows,), FLOAT) for _ in statistics]
    run = getattr(kernels, f"{name}_of_short" if short_x else f"{name}_short")
    run(x, *parameters[:several], y, copy, *saved, rows, columns, 1e-3)
    close(backend.to_host(y), z * w + b, 4 * FLOAT_TOLERANCE)
    np.testing.assert_array_equal(backend.to_host(copy), backend.to_host(y).astype(dtype))
    for found, wanted in zip(saved, statistics, strict=True):
        close(backend.to_host(found), wanted[:, 0], 4 * FLOAT_TOLERANCE)

    parts = kernels.parts(rows)
    dx, both = guarded.empty(shape, own), (x, None) if short_x else (None, x)
    sums = [guarded.empty((parts, columns), FLOAT) for _ in range(several)]
    out = (dx, None) if short_x else (None, dx)
    given = [backend.asarray(s[:, 0].astype(FLOAT)) for s in statistics]
    getattr(kernels, f"{name}_backward_short")(
        g, *both, *given, parameters[0], *out, *sums, rows, columns, parts
    )
    h = gf * w
    wanted = h - z * (h * z).mean(1, keepdims=True)
    if several == 2:
        wanted -= h.mean(1, keepdims=True)
    wanted *= statistics[-1]
    close(backend.to_host(dx).astype(float), wanted, tolerance if short_x else 8 * FLOAT_TOLERANCE)
    for found, right in zip(sums, (gf * z, gf), strict=False):
        close(backend.to_host(found).sum(0), right.sum(0), 32 * FLOAT_TOLERANCE)


@pytest.mark.parametrize("shape", ROWS)
@pytest.mark.parametrize("offset", [0, 1])
def test_softmax(backend, kernels, guarded, at, half, shape, offset):
    dtype, tolerance = DTYPES[half]
    values = 5 * normal(0, *shape)
    values[::2, 1::3] = -np.inf
    x, g = at(values, dtype, offset), at(normal(1, *shape), FLOAT, offset)
    xf, gf = (backend.to_host(a).astype(float) for a in (x, g))
    y, log_y = guarded.empty(shape, FLOAT), guarded.empty(shape, FLOAT)
    dx, dx_log = guarded.empty(shape, dtype), guarded.empty(shape, dtype)
    logs = log_softmax(xf)
    finite = np.isfinite(logs)
    kernels.softmax_of_short(x, y, *shape)
    kernels.log_softmax_of_short(x, log_y, *shape)
    p, found = backend.to_host(y).astype(float), backend.to_host(log_y).astype(float)
    close(p, np.exp(logs), 4 * FLOAT_TOLERANCE)
    np.testing.assert_array_equal(np.isfinite(found), finite)
    close(found[finite], logs[finite], 4 * FLOAT_TOLERANCE)
    kernels.softmax_backward_to_short(g, y, dx, *shape)
    wanted = p * (gf - (gf * p).sum(1, keepdims=True))
    close(backend.to_host(dx).astype(float), wanted, tolerance)
    kernels.log_softmax_backward_to_short(g, log_y, dx_log, *shape)
    wanted = gf - np.exp(found) * gf.sum(1, keepdims=True)
    close(backend.to_host(dx_log).astype(float), wanted, tolerance)


@pytest.mark.parametrize("shape", ROWS)
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize(("smoothing", "offset"), [(0.0, 0), (0.1, 1)])
def test_cross_entropy(backend, kernels, guarded, at, half, shape, weighted, smoothing, offset):
    dtype, tolerance = DTYPES[half]
    rows, classes = shape
    values = normal(0, *shape)
    labels = np.random.default_rng(5).integers(0, classes, rows)
    labels[2:3] = -7
    keep = labels != -7
    weight = np.abs(normal(9, classes)).astype(FLOAT) if weighted else None
    if not smoothing:  # no loss is infinite
        values[::2, 1::3] = -np.inf
        values[np.arange(rows), labels * keep] = 1
    x = at(values, dtype, offset)
    xf = backend.to_host(x).astype(float)
    w = weight.astype(float) if weighted else np.ones(classes)
    target = np.where(keep[:, None], (1 - smoothing) * np.eye(classes)[labels * keep], 0)
    target = (target + keep[:, None] * smoothing / classes) * w
    total = max(w[labels[keep]].sum(), 0.5)
    logs = log_softmax(xf)
    loss = -(target * np.where(target > 0, logs, 0)).sum(1) / total
    gradient = (np.exp(logs) * target.sum(1, keepdims=True) - target) / total

    found, wide = guarded.empty((rows,), FLOAT), half == "float16"
    dx = guarded.empty(shape, FLOAT if wide else dtype)
    kernels.cross_entropy_of_short(
        x,
        backend.asarray(labels),
        None if weight is None else at(weight, FLOAT, offset),
        backend.asarray(np.array([total], FLOAT)),
        found,
        *((None, dx) if wide else (dx, None)),
        *(rows, classes, -7, smoothing),
    )
    close(backend.to_host(found), loss, 16 * FLOAT_TOLERANCE)
    close(backend.to_host(dx).astype(float), gradient, 8 * FLOAT_TOLERANCE if wide else tolerance)


@pytest.mark.parametrize("n", SIZES)
@pytest.mark.parametrize("offset", [0, 1])
@pytest.mark.parametrize(("a", "b"), [(1.0, 1.0), (-0.5, 1.0), (1.0, 3.0)])
def test_sum(backend, kernels, guarded, at, half, n, offset, a, b):
    dtype, _ = DTYPES[half]
    x, y = at(normal(0, n), dtype, offset), at(normal(1, n), FLOAT, offset)
    z = guarded.empty((n,), FLOAT)
    kernels.add_short(x, y, z, n, a, b)
    xf, yf = (backend.to_host(v).astype(float) for v in (x, y))
    close(backend.to_host(z), a * xf + b * yf, FLOAT_TOLERANCE)


@pytest.mark.parametrize("n", SIZES)
@pytest.mark.parametrize("factor", [1.0, 3.3])
def test_scale(run, half, n, factor):
    dtype, tolerance = DTYPES[half]
    x = normal(0, n).astype(dtype)
    y = run("scale_short", x, np.array([factor], FLOAT), n, update=(0,))
    close(y, np.float32(factor) * x.astype(float), 0 if factor == 1 else tolerance)


@pytest.mark.parametrize("n", SIZES)
@pytest.mark.parametrize("offset", [0, 1])
def test_dropout_rounds_what_dropout_keeps(backend, kernels, guarded, at, half, n, offset):
    dtype, _ = DTYPES[half]
    x = at(normal(0, n), FLOAT, offset)
    kept, y = guarded.empty((n,), FLOAT), guarded.empty((n,), dtype)
    kernels.dropout(x, kept, None, n, 0.3, 11, 2)
    kernels.dropout_to_short(x, y, None, n, 0.3, 11, 2)
    np.testing.assert_array_equal(backend.to_host(y), backend.to_host(kept).astype(dtype))


@pytest.mark.parametrize(("sets", "apart"), [(1, 33), (2, 33), (2, 40)])
@pytest.mark.parametrize("parts", [1, 5])
def test_column_totals_in_their_places(backend, kernels, half, sets, apart, parts):
    partial = normal(0, sets, parts, 33).astype(FLOAT)
    length = (sets - 1) * apart + 33
    y = backend.asarray(np.full(length + 8, 7, FLOAT))
    kernels.column_total_at(backend.asarray(partial), y[:length], sets, parts, 33, apart)
    found = backend.to_host(y)
    for s in range(sets):
        close(found[s * apart : s * apart + 33], partial[s].sum(0), FLOAT_TOLERANCE)
        found[s * apart : s * apart + 33] = 7
    np.testing.assert_array_equal(found, 7)  # nothing between them, nothing behind
