"""Softmax, cross-entropy, norms, bias and embedding against NumPy in float64."""

from __future__ import annotations

import numpy as np
import pytest
from reference import DTYPES, SHAPES, accumulator, close, log_softmax, normal, sigmoid

from tensorlite.ops.index import CHUNK

pytestmark = pytest.mark.parametrize("dtype", DTYPES)


def _inputs(dtype, shape, count):
    arrays = [normal(i, *shape).astype(dtype) for i in range(count)]
    return arrays, [array.astype(float) for array in arrays]


@pytest.mark.parametrize("shape", [*SHAPES, (2, 9001)])
def test_softmax(run, dtype, shape):
    dtype, tolerance = DTYPES[dtype]
    (x, g), (xf, gf) = _inputs(dtype, shape, 2)
    out = (shape, dtype)
    y = run("softmax", x, out, *shape)
    close(y, np.exp(log_softmax(xf)), tolerance)
    log_y = run("log_softmax", x, out, *shape)
    close(log_y, log_softmax(xf), 2 * tolerance)
    dx = run("softmax_backward", g, y.astype(dtype), out, *shape)
    close(dx, y * (gf - (gf * y).sum(1, keepdims=True)), 4 * tolerance)
    dx = run("log_softmax_backward", g, log_y.astype(dtype), out, *shape)
    close(dx, gf - np.exp(log_y) * gf.sum(1, keepdims=True), 8 * tolerance)


@pytest.mark.parametrize("shape", [*SHAPES, (2, 9001)])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_cross_entropy(run, dtype, shape, weighted, smoothing):
    dtype, tolerance = DTYPES[dtype]
    acc = accumulator(dtype)
    rows, classes = shape
    (x,), (xf,) = _inputs(dtype, shape, 1)
    labels = np.random.default_rng(5).integers(0, classes, rows)
    labels[2:3] = -7
    weight = np.abs(normal(9, classes)).astype(dtype) if weighted else None
    w = weight.astype(float) if weighted else np.ones(classes)
    keep = labels != -7
    target = np.where(keep[:, None], (1 - smoothing) * np.eye(classes)[labels * keep], 0)
    target = (target + keep[:, None] * smoothing / classes) * w
    total = w[labels[keep]].sum()
    loss = -(target * log_softmax(xf)).sum(1)
    dx = np.exp(log_softmax(xf)) * target.sum(1, keepdims=True) - target

    divisor = run("label_weight", labels, weight, ((1,), acc), rows, classes, -7)
    close(divisor, [total], tolerance)
    sizes = (rows, classes, -7, smoothing)
    out = ((rows,), acc)
    close(run("cross_entropy", x, labels, weight, None, out, None, *sizes), loss, 8 * tolerance)
    if total:
        results = run(
            "cross_entropy", x, labels, weight, np.array([total], acc), out, (shape, dtype), *sizes
        )
        close(results[0], loss / total, 8 * tolerance)
        close(results[1], dx / total, 8 * tolerance)


def test_cross_entropy_refuses_to_read_a_wrong_label(run, dtype):
    dtype, _ = DTYPES[dtype]
    x = np.zeros((3, 4), dtype)
    labels = np.array([4, 1, -1])
    loss = run(
        "cross_entropy", x, labels, None, None, ((3,), accumulator(dtype)), None, 3, 4, -9, 0
    )
    np.testing.assert_array_equal(np.isnan(loss), [True, False, True])


@pytest.mark.parametrize("shape", [*SHAPES, (2, 9001)])
@pytest.mark.parametrize("affine", [False, True])
def test_layer_norm(run, dtype, shape, affine):
    dtype, tolerance = DTYPES[dtype]
    acc = accumulator(dtype)
    rows, columns = shape
    (x, g), (xf, gf) = _inputs(dtype, shape, 2)
    weight, bias = (normal(i, columns).astype(dtype) if affine else None for i in (7, 8))
    w, b = (weight.astype(float), bias.astype(float)) if affine else (1.0, 0.0)
    mean, rstd = xf.mean(1), 1 / np.sqrt(xf.var(1) + 1e-3)
    z = (xf - mean[:, None]) * rstd[:, None]
    out, row = (shape, dtype), ((rows,), acc)
    y, m, r = run("layer_norm", x, weight, bias, out, row, row, rows, columns, 1e-3)
    close(y, z * w + b, 4 * tolerance)
    close(m, mean, tolerance)
    close(r, rstd, 4 * tolerance)

    parts = run.parts(rows)
    partial = ((parts, columns), acc)
    saved = mean.astype(acc), rstd.astype(acc)
    dx, dw, db = run(
        "layer_norm_backward", g, x, *saved, weight, out, partial, partial, rows, columns, parts
    )
    h = gf * w
    wanted = h - h.mean(1, keepdims=True) - z * (h * z).mean(1, keepdims=True)
    close(dx, wanted * rstd[:, None], 8 * tolerance)
    total = ((columns,), dtype)
    close(
        run("column_total", dw.astype(acc), total, 1, parts, columns),
        (gf * z).sum(0),
        8 * tolerance,
    )
    close(run("column_total", db.astype(acc), total, 1, parts, columns), gf.sum(0), 8 * tolerance)


@pytest.mark.parametrize("shape", [*SHAPES, (2, 9001)])
@pytest.mark.parametrize("affine", [False, True])
def test_rms_norm(run, dtype, shape, affine):
    dtype, tolerance = DTYPES[dtype]
    acc = accumulator(dtype)
    rows, columns = shape
    (x, g), (xf, gf) = _inputs(dtype, shape, 2)
    weight = normal(7, columns).astype(dtype) if affine else None
    w = weight.astype(float) if affine else 1.0
    rstd = 1 / np.sqrt((xf**2).mean(1) + 1e-3)
    z = xf * rstd[:, None]
    out = (shape, dtype)
    y, r = run("rms_norm", x, weight, out, ((rows,), acc), rows, columns, 1e-3)
    close(y, z * w, 4 * tolerance)
    close(r, rstd, 4 * tolerance)

    parts = run.parts(rows)
    partial = ((parts, columns), acc)
    saved = rstd.astype(acc)
    dx, dw = run("rms_norm_backward", g, x, saved, weight, out, partial, rows, columns, parts)
    h = gf * w
    close(dx, (h - z * (h * z).mean(1, keepdims=True)) * rstd[:, None], 8 * tolerance)
    close(dw.sum(0), (gf * z).sum(0), 8 * tolerance)


@pytest.mark.parametrize("shape", SHAPES)
def test_bias(run, dtype, shape):
    dtype, tolerance = DTYPES[dtype]
    acc = accumulator(dtype)
    rows, columns = shape
    parts = run.parts(rows)
    (x, g), (xf, gf) = _inputs(dtype, shape, 2)
    bias = normal(7, columns).astype(dtype)
    total = xf + bias.astype(float)
    out, partial = (shape, dtype), ((parts, columns), acc)
    gelu = total * sigmoid(np.sqrt(8 / np.pi) * (total + 0.044715 * total**3))
    close(run("bias_add", x, bias, out, *shape), total, tolerance)
    close(run("bias_gelu", x, bias, out, *shape), gelu, tolerance)
    y = run("bias_relu", x, bias, out, *shape)
    close(y, np.maximum(total, 0), tolerance)

    dx, sums = run("bias_relu_backward", g, y.astype(dtype), out, partial, *shape, parts)
    close(dx, gf * (y > 0), tolerance)
    close(sums.sum(0), (gf * (y > 0)).sum(0), 4 * tolerance)
    dx, sums = run("bias_gelu_backward", g, x, bias, out, partial, *shape, parts)
    slope = run("gelu_tanh_backward", np.ones(shape), total, (shape, np.dtype(float)), total.size)
    close(dx, gf * slope, 4 * tolerance)
    close(sums.sum(0), (gf * slope).sum(0), 8 * tolerance)
    close(run("column_sum", x, partial, *shape, parts).sum(0), xf.sum(0), 4 * tolerance)
    close(run("row_sum", x, ((rows,), dtype), *shape, 0.5), xf.sum(1) / 2, 4 * tolerance)


@pytest.mark.parametrize("shape", [(1, 1, 1), (3, 3, 1), (33, 5, 1), (2, 3, 31), (3, 5, 1000)])
@pytest.mark.parametrize("affine", [False, True])
def test_batch_norm(run, dtype, shape, affine):
    dtype, tolerance = DTYPES[dtype]
    acc = accumulator(dtype)
    n, channels, size = shape
    (x, g), (xf, gf) = _inputs(dtype, shape, 2)
    plane, channel = ((n * channels,), acc), ((channels,), acc)
    means, squares = run("plane_moments", x, plane, plane, n * channels, size)
    mean, variance = run(
        "channel_moments", means.astype(acc), squares.astype(acc), channel, channel, n, channels,
        n * size,
    )  # fmt: skip
    close(mean, xf.mean((0, 2)), tolerance)
    close(variance, xf.var((0, 2)), 4 * tolerance)
    if size == 1:  # each element is the mean of its plane
        again = run("channel_moments", x, None, channel, channel, n, channels, n)
        close(again, [mean, variance], tolerance)

    rstd = 1 / np.sqrt(variance + 1e-3)
    weight, bias = (normal(i, channels).astype(dtype) if affine else None for i in (7, 8))
    w, b = (weight.astype(float), bias.astype(float)) if affine else (np.ones(channels), [0.0])
    z = (xf - mean[:, None]) * rstd[:, None]
    saved = mean.astype(acc), rstd.astype(acc)
    y = run("batch_norm", x, *saved, weight, bias, (shape, dtype), *shape)
    close(y, z * w[:, None] + np.reshape(b, (-1, 1)), 8 * tolerance)

    sums = run("batch_norm_sums", g, x, *saved, plane, plane, *shape)
    dbias, dweight = (run("column_total", s.astype(acc), ((channels,), acc), 1, n, channels)
                      for s in sums)  # fmt: skip
    close(dbias, gf.sum((0, 2)), 8 * tolerance)
    close(dweight, (gf * z).sum((0, 2)), 8 * tolerance)
    out = (shape, dtype)
    dx = run("batch_norm_backward", g, x, *saved, weight, dweight.astype(acc), dbias.astype(acc),
             out, *shape)  # fmt: skip
    mean_gz = (gf * z).mean((0, 2))[:, None]
    wanted = gf - gf.mean((0, 2))[:, None] - z * mean_gz
    close(dx, wanted * (rstd * w)[:, None], 16 * tolerance)


@pytest.mark.parametrize("columns", [1, 3, 33, 1000])
def test_embedding(run, host_kernels, dtype, columns):
    dtype, tolerance = DTYPES[dtype]
    entries, rows = 7, 50
    table, g = normal(1, entries, columns).astype(dtype), normal(2, rows, columns).astype(dtype)
    ids = np.random.default_rng(3).integers(0, entries - 1, rows)  # the last is never used
    y = run("embedding", table, ids, ((rows, columns), dtype), rows, columns, entries)
    np.testing.assert_array_equal(y, table[ids].astype(float))

    order, start = np.empty(rows, np.int64), np.empty(entries + 1, np.int64)
    host_kernels.embedding_order(ids, order, start, rows, entries)
    np.testing.assert_array_equal(order, np.argsort(ids, kind="stable"))
    np.testing.assert_array_equal(start, np.searchsorted(np.sort(ids), np.arange(entries + 1)))
    dtable = _table_gradient(run, g, ids, order, start, entries)
    expected = np.zeros((entries, columns))
    np.add.at(expected, ids, g.astype(float))
    close(dtable, expected, tolerance)


def _table_gradient(run, g, ids, order, start, entries):
    (rows, columns), acc = g.shape, accumulator(g.dtype)
    out = ((entries, columns), acc)
    if run.on_host:
        return run("embedding_backward", g, order, start, out, rows, columns, entries, -1)
    chunks = -(-rows // CHUNK)
    sizes = rows, columns, entries, chunks
    partial, dtable = run(
        "embedding_chunks", g, ids[order], order, start, ((chunks, 2, columns), acc), out, *sizes
    )
    partial, dtable = partial.astype(acc), dtable.astype(acc)
    return run("embedding_join", partial, start, dtable, columns, entries, chunks, update=[2])


@pytest.mark.parametrize("columns", [1, 130])
@pytest.mark.parametrize("rows", [1, 63, 64, 65, 300])
def test_embedding_of_a_batch_that_one_token_fills(run, dtype, rows, columns):
    dtype, tolerance = DTYPES[dtype]
    entries = 9
    g = normal(2, rows, columns).astype(dtype)
    ids = np.random.default_rng(3).integers(0, entries, rows)
    ids[rows // 5 : rows // 5 * 4] = 4
    order = np.argsort(ids, kind="stable")
    start = np.searchsorted(ids[order], np.arange(entries + 1))
    expected = np.zeros((entries, columns))
    np.add.at(expected, ids, g.astype(float))
    close(_table_gradient(run, g, ids, order, start, entries), expected, 8 * tolerance)


def test_embedding_reads_no_wrong_row(run, dtype):
    dtype, _ = DTYPES[dtype]
    y = run("embedding", np.ones((2, 3), dtype), np.array([2, -1, 1]), ((3, 3), dtype), 3, 3, 2)
    np.testing.assert_array_equal(np.isnan(y).all(1), [True, True, False])
