"""Bias and sums over columns against NumPy in float64."""

from __future__ import annotations

import pytest
from reference import DTYPES, SHAPES, accumulator, close, inputs, normal

pytestmark = pytest.mark.parametrize("dtype", DTYPES)


@pytest.mark.parametrize("shape", SHAPES)
def test_bias(run, dtype, shape):
    dtype, tolerance = DTYPES[dtype]
    acc = accumulator(dtype)
    rows, columns = shape
    parts = run.parts(rows)
    (x,), (xf,) = inputs(dtype, shape, 1)
    bias = normal(7, columns).astype(dtype)
    total = xf + bias.astype(float)
    out, partial = (shape, dtype), ((parts, columns), acc)
    close(run("bias_add", x, bias, out, *shape), total, tolerance)
    close(run("column_sum", x, partial, *shape, parts).sum(0), xf.sum(0), 4 * tolerance)
    close(run("row_sum", x, ((rows,), dtype), *shape, 0.5), xf.sum(1) / 2, 4 * tolerance)
