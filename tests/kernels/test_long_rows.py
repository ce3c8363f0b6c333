"""Rows too long for the registers of a block, and columns that are long, in float64's light."""

from __future__ import annotations

import numpy as np
import pytest
from reference import DTYPES, accumulator, close, log_softmax, normal

COLUMNS = [8193, 8200, 20003]
OFFSETS = [0, 1]

every_dtype = pytest.mark.parametrize("dtype", DTYPES)
every_row = pytest.mark.parametrize("columns", COLUMNS)


@pytest.fixture
def rows_of(backend):
    """Rows on the device whose first element may lie anywhere."""

    def make(values, dtype, offset):
        block = np.zeros(values.size + offset, dtype)
        block[offset:] = values.astype(dtype).ravel()
        return backend.asarray(block)[offset:].reshape(values.shape)

    return make


def _logits(columns):
    """Two rows: -inf among large values, and one far above the others at the end."""
    x = normal(1, 2, columns)
    x[0] = 1e3 * x[0]
    x[0, ::7] = -np.inf
    x[1, -1] = 30
    return x


def _host(backend, array):
    return backend.to_host(array).astype(float)


@every_dtype
@every_row
@pytest.mark.parametrize("offset", OFFSETS)
def test_softmax(backend, kernels, guarded, rows_of, dtype, columns, offset):
    dtype, tolerance = DTYPES[dtype]
    x, g = rows_of(_logits(columns), dtype, offset), rows_of(normal(2, 2, columns), dtype, 1)
    xf, gf = _host(backend, x), _host(backend, g)
    logs = log_softmax(xf)
    y, log_y, dx, dx_log = (guarded.empty(xf.shape, dtype) for _ in range(4))
    kernels.softmax(x, y, *xf.shape)
    close(_host(backend, y), np.exp(logs), tolerance)
    kernels.log_softmax(x, log_y, *xf.shape)
    got, finite = _host(backend, log_y), np.isfinite(logs)
    np.testing.assert_array_equal(np.isfinite(got), finite)
    close(got[finite], logs[finite], 2 * tolerance)
    kernels.softmax_backward(g, y, dx, *xf.shape)
    p = _host(backend, y)
    close(_host(backend, dx), p * (gf - (gf * p).sum(1, keepdims=True)), 4 * tolerance)
    kernels.log_softmax_backward(g, log_y, dx_log, *xf.shape)
    wanted = gf - np.exp(got) * gf.sum(1, keepdims=True)
    close(_host(backend, dx_log), wanted, 32 * tolerance)


def test_softmax_of_nothing_is_nan(backend, kernels, guarded):
    x = np.full((2, 9000), -np.inf, np.float32)
    x[1, 4000] = np.nan
    y = guarded.empty(x.shape, np.dtype(np.float32))
    kernels.softmax(backend.asarray(x), y, *x.shape)
    assert np.isnan(backend.to_host(y)).all()


@every_dtype
@every_row
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_cross_entropy(backend, kernels, guarded, rows_of, dtype, columns, smoothing):
    dtype, tolerance = DTYPES[dtype]
    acc = accumulator(dtype)
    x = rows_of(normal(1, 3, columns) * 3, dtype, 0)
    weight = rows_of(np.abs(normal(3, columns)), dtype, 1) if smoothing else None
    labels = np.array([columns - 1, -7, 5])
    xf = _host(backend, x)
    w = _host(backend, weight) if smoothing else np.ones(columns)
    keep = (labels != -7)[:, None]
    target = np.eye(columns)[labels * keep[:, 0]] * (1 - smoothing) + smoothing / columns
    target = np.where(keep, target, 0) * w
    loss, dx = guarded.empty((3,), acc), guarded.empty(xf.shape, dtype)
    sizes = (3, columns, -7, smoothing)
    kernels.cross_entropy(x, backend.asarray(labels), weight, None, loss, dx, *sizes)
    logs = log_softmax(xf)
    close(_host(backend, loss), -(target * logs).sum(1), 16 * tolerance)
    wanted = np.exp(logs) * target.sum(1, keepdims=True) - target
    close(_host(backend, dx), wanted, 8 * tolerance)


@every_dtype
@every_row
@pytest.mark.parametrize("offset", OFFSETS)
def test_norms(backend, kernels, guarded, rows_of, dtype, columns, offset):
    dtype, tolerance = DTYPES[dtype]
    acc = accumulator(dtype)
    x = rows_of(normal(1, 3, columns) + 50 * (dtype.itemsize > 2), dtype, offset)
    g = rows_of(normal(2, 3, columns), dtype, offset)
    weight, bias = (rows_of(normal(i, columns), dtype, 1 - offset) for i in (3, 4))
    xf, gf, w, b = (_host(backend, a) for a in (x, g, weight, bias))
    mean, var = xf.mean(1, keepdims=True), xf.var(1, keepdims=True)
    y, dx = guarded.empty(xf.shape, dtype), guarded.empty(xf.shape, dtype)
    center, rstd = guarded.empty((3,), acc), guarded.empty((3,), acc)
    kernels.layer_norm(x, weight, bias, y, center, rstd, 3, columns, 1e-3)
    z = (xf - mean) / np.sqrt(var + 1e-3)
    close(_host(backend, center), mean[:, 0], tolerance)
    close(_host(backend, y), z * w + b, 32 * tolerance)
    sums = [guarded.empty((2, columns), acc) for _ in range(2)]
    kernels.layer_norm_backward(g, x, center, rstd, weight, dx, *sums, 3, columns, 2)
    h = gf * w
    wanted = h - h.mean(1, keepdims=True) - z * (h * z).mean(1, keepdims=True)
    close(_host(backend, dx), wanted / np.sqrt(var + 1e-3), 32 * tolerance)
    close(_host(backend, sums[0]).sum(0), (gf * z).sum(0), 32 * tolerance)
    close(_host(backend, sums[1]).sum(0), gf.sum(0), 8 * tolerance)

    scale = 1 / np.sqrt((xf**2).mean(1, keepdims=True) + 1e-3)
    kernels.rms_norm(x, weight, y, rstd, 3, columns, 1e-3)
    close(_host(backend, y), xf * scale * w, 8 * tolerance)
    kernels.rms_norm_backward(g, x, rstd, weight, dx, sums[0], 3, columns, 2)
    z = xf * scale
    wanted = (h - z * (h * z).mean(1, keepdims=True)) * scale
    close(_host(backend, dx), wanted, 32 * tolerance)


@every_dtype
@pytest.mark.parametrize("parts", [1, 15, 17, 300])
@pytest.mark.parametrize("columns", [1, 31, 33])
def test_column_total(run, dtype, parts, columns):
    dtype, tolerance = DTYPES[dtype]
    partial = normal(1, 2, parts, columns).astype(accumulator(dtype))
    total = run("column_total", partial, ((2, columns), dtype), 2, parts, columns)
    close(total, partial.astype(float).sum(1), 8 * tolerance)


@pytest.mark.parametrize("parts", [1, 31, 513, 3000])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_clip_factor(run, dtype, parts):
    partial = normal(1, parts) ** 2
    one = ((1,), np.dtype(dtype))
    norm, factor = run("clip_factor", partial, one, one, parts, 0.5)
    length = np.sqrt(partial.sum())
    tolerance = DTYPES[dtype][1]
    close(norm, [length], tolerance)
    close(factor, [min(1, 0.5 / (length + 1e-6))], tolerance)


@every_dtype
@pytest.mark.parametrize("shape", [(1, 1), (3, 33), (70, 5), (300, 32)])
@pytest.mark.parametrize("relu", [False, True])
def test_batch_norm_of_rows(backend, run, dtype, shape, relu):
    """A plane that is one element: channels lie side by side."""
    if run.on_host:
        pytest.skip("the CPU takes such planes as any other")
    dtype, tolerance = DTYPES[dtype]
    acc = accumulator(dtype)
    n, channels = shape
    x, g = ((normal(i, *shape) + 3).astype(dtype) for i in (1, 2))
    weight, bias = (normal(i, channels).astype(acc) for i in (3, 4))
    xf, gf, w, b = (a.astype(float) for a in (x, g, weight, bias))
    parts = min(n, 7)
    partial, channel, out = ((parts, channels), acc), ((channels,), acc), (shape, dtype)
    means, squares = run("column_moments", x, partial, partial, n, channels, parts)
    mean, variance, _ = run(
        "channel_moments", means.astype(acc), squares.astype(acc), channel, channel, channel, parts,
        channels, n, 1e-3,
    )  # fmt: skip
    close(mean, xf.mean(0), 2 * tolerance)
    close(variance, xf.var(0), 8 * tolerance)
    rstd = 1 / np.sqrt(xf.var(0) + 1e-3)
    numbers = xf.mean(0).astype(acc), rstd.astype(acc), weight, bias, relu
    z = (xf - xf.mean(0)) * rstd
    y = run("batch_norm_rows", x, *numbers, out, n, channels, parts)
    close(y, np.maximum(z * w + b, 0) if relu else z * w + b, 16 * tolerance)
    gf = np.where(y > 0, gf, 0) if relu else gf
    sums = run("batch_norm_row_sums", g, x, *numbers, partial, partial, n, channels, parts)
    close(sums[0].sum(0), gf.sum(0), 8 * tolerance)
    close(sums[1].sum(0), (gf * z).sum(0), 16 * tolerance)
    totals = (gf * z).sum(0).astype(acc), gf.sum(0).astype(acc)
    dx = run("batch_norm_rows_backward", g, x, *numbers, *totals, out, n, channels, parts)
    wanted = (gf - gf.mean(0) - z * (gf * z).mean(0)) * rstd * w
    close(dx, wanted, 32 * tolerance)
