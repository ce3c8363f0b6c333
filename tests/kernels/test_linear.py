"""Bias, activation and sums over columns against NumPy in float64."""

from __future__ import annotations

import numpy as np
import pytest
from reference import DTYPES, SHAPES, accumulator, close, inputs, normal, sigmoid

pytestmark = pytest.mark.parametrize("dtype", DTYPES)


@pytest.mark.parametrize("shape", SHAPES)
def test_bias(run, dtype, shape):
    dtype, tolerance = DTYPES[dtype]
    acc = accumulator(dtype)
    rows, columns = shape
    parts = run.parts(rows)
    (x, g), (xf, gf) = inputs(dtype, shape, 2)
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
