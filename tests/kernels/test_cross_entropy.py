"""Cross-entropy of rows against NumPy in float64."""

from __future__ import annotations

import numpy as np
import pytest
from reference import DTYPES, SHAPES, accumulator, close, inputs, log_softmax, normal

pytestmark = pytest.mark.parametrize("dtype", DTYPES)


@pytest.mark.parametrize("shape", [*SHAPES, (2, 9001)])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_cross_entropy(run, dtype, shape, weighted, smoothing):
    dtype, tolerance = DTYPES[dtype]
    acc = accumulator(dtype)
    rows, classes = shape
    (x,), (xf,) = inputs(dtype, shape, 1)
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
