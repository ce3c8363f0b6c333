"""Softmax and its logarithm against NumPy in float64."""

from __future__ import annotations

import numpy as np
import pytest
from reference import DTYPES, SHAPES, close, inputs, log_softmax

pytestmark = pytest.mark.parametrize("dtype", DTYPES)


@pytest.mark.parametrize("shape", [*SHAPES, (2, 9001)])
def test_softmax(run, dtype, shape):
    dtype, tolerance = DTYPES[dtype]
    (x, g), (xf, gf) = inputs(dtype, shape, 2)
    out = (shape, dtype)
    y = run("softmax", x, out, *shape)
    close(y, np.exp(log_softmax(xf)), tolerance)
    log_y = run("log_softmax", x, out, *shape)
    close(log_y, log_softmax(xf), 2 * tolerance)
    dx = run("softmax_backward", g, y.astype(dtype), out, *shape)
    close(dx, y * (gf - (gf * y).sum(1, keepdims=True)), 4 * tolerance)
    dx = run("log_softmax_backward", g, log_y.astype(dtype), out, *shape)
    close(dx, gf - np.exp(log_y) * gf.sum(1, keepdims=True), 8 * tolerance)
