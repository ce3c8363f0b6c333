"""Batch norm against NumPy in float64."""

from __future__ import annotations

import numpy as np
import pytest
from reference import DTYPES, accumulator, close, inputs, normal

pytestmark = pytest.mark.parametrize("dtype", DTYPES)


@pytest.mark.parametrize("shape", [(1, 1, 1), (3, 3, 1), (33, 5, 1), (2, 3, 31), (3, 5, 1000)])
@pytest.mark.parametrize("affine", [False, True])
@pytest.mark.parametrize("relu", [False, True])
def test_batch_norm(run, dtype, shape, affine, relu):
    dtype, tolerance = DTYPES[dtype]
    acc = accumulator(dtype)
    n, channels, size = shape
    (x, g), (xf, gf) = inputs(dtype, shape, 2)
    plane, channel = ((n * channels,), acc), ((channels,), acc)
    means, squares = run("plane_moments", x, plane, plane, n * channels, size)
    mean, variance, rstd = run(
        "channel_moments", means.astype(acc), squares.astype(acc), channel, channel, channel, n,
        channels, n * size, 1e-3,
    )  # fmt: skip
    close(rstd, 1 / np.sqrt(xf.var((0, 2)) + 1e-3), 4 * tolerance)
    close(mean, xf.mean((0, 2)), tolerance)
    close(variance, xf.var((0, 2)), 4 * tolerance)
    if size == 1:  # each element is the mean of its plane
        three = (channel, channel, channel)
        again = run("channel_moments", x, None, *three, n, channels, n, 1e-3)
        close(again, [mean, variance, rstd], tolerance)

    weight, bias = (normal(i, channels).astype(acc) if affine else None for i in (7, 8))
    w, b = (weight.astype(float), bias.astype(float)) if affine else (np.ones(channels), [0.0])
    z = (xf - mean[:, None]) * rstd[:, None]
    numbers = mean.astype(acc), rstd.astype(acc), weight, bias, relu
    y = run("batch_norm", x, *numbers, (shape, dtype), *shape)
    wanted = z * w[:, None] + np.reshape(b, (-1, 1))
    close(y, np.maximum(wanted, 0) if relu else wanted, 8 * tolerance)
    gf = np.where(y > 0, gf, 0) if relu else gf

    sums = run("batch_norm_sums", g, x, *numbers, plane, plane, *shape)
    dbias, dweight = (run("column_total", s.astype(acc), ((channels,), acc), 1, n, channels)
                      for s in sums)  # fmt: skip
    close(dbias, gf.sum((0, 2)), 8 * tolerance)
    close(dweight, (gf * z).sum((0, 2)), 8 * tolerance)
    totals = dweight.astype(acc), dbias.astype(acc)
    dx = run("batch_norm_backward", g, x, *numbers, *totals, (shape, dtype), *shape)
    mean_gz = (gf * z).mean((0, 2))[:, None]
    wanted = gf - gf.mean((0, 2))[:, None] - z * mean_gz
    close(dx, wanted * (rstd * w)[:, None], 16 * tolerance)


@pytest.mark.parametrize("shape", [(2, 300, 1), (2, 300, 17)])
def test_what_relu_cuts_off_is_found_again(run, dtype, shape):
    """Elements next to 0, where a product rounded otherwise would have another sign."""
    dtype, _ = DTYPES[dtype]
    acc = accumulator(dtype)
    n, channels, size = shape
    x, mean, weight = (normal(i, *s).astype(acc) for i, s in enumerate((shape, (300,), (300,))))
    x, rstd = x.astype(dtype), np.abs(normal(3, channels)).astype(acc)
    bias = (mean - x[0, :, 0].astype(acc)) * (rstd * weight)
    numbers, ones = (mean, rstd, weight, bias, True), np.ones(shape, dtype)
    part, rest, names = ((n * channels,), acc), shape, ("batch_norm", "batch_norm_sums")
    if size == 1 and not run.on_host:
        rest, names = (n, channels, n), ("batch_norm_rows", "batch_norm_row_sums")
    if run.on_host:  # which computes in float32, and rounds afterwards what might become 0
        x, dtype = x.astype(acc), acc
    y = run(names[0], x, *numbers, (shape, dtype), *rest).reshape(shape)
    passed, _ = run(names[1], ones.astype(dtype), x, *numbers, part, part, *rest)
    assert (y[0, :, 0] == 0).any()
    assert (np.reshape(passed, (n, channels)) == (y > 0).sum(2)).all()
