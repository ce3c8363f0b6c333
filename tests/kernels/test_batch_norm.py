"""Batch norm against NumPy in float64."""

from __future__ import annotations

import numpy as np
import pytest
from reference import DTYPES, accumulator, close, inputs, normal

pytestmark = pytest.mark.parametrize("dtype", DTYPES)


@pytest.mark.parametrize("shape", [(1, 1, 1), (3, 3, 1), (33, 5, 1), (2, 3, 31), (3, 5, 1000)])
@pytest.mark.parametrize("affine", [False, True])
def test_batch_norm(run, dtype, shape, affine):
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
