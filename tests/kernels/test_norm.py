"""Layer norm and RMS norm against NumPy in float64."""

from __future__ import annotations

import numpy as np
import pytest
from reference import DTYPES, SHAPES, accumulator, close, inputs, normal

pytestmark = pytest.mark.parametrize("dtype", DTYPES)


@pytest.mark.parametrize("shape", [*SHAPES, (2, 9001)])
@pytest.mark.parametrize("affine", [False, True])
def test_layer_norm(run, dtype, shape, affine):
    dtype, tolerance = DTYPES[dtype]
    acc = accumulator(dtype)
    rows, columns = shape
    (x, g), (xf, gf) = inputs(dtype, shape, 2)
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
    (x, g), (xf, gf) = inputs(dtype, shape, 2)
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
