"""Samples of softmax, its logarithm, and their backward passes."""

from __future__ import annotations

import numpy as np

from samples.base import Sample, normal
from tensorlite.ops.softmax import log_softmax_along as log_softmax
from tensorlite.ops.softmax import log_softmax_backward, softmax_backward
from tensorlite.ops.softmax import softmax_along as softmax


def expected_softmax(x, axis=-1):
    e = np.exp(x)
    return e / np.sum(e, axis, keepdims=True)


def expected_log_softmax(x, axis=-1):
    return np.log(expected_softmax(x, axis))


def expected_softmax_backward(dy, out, axis):
    """The product with the Jacobian, diag(y) - y yᵀ, written out for each slice."""
    dy, out = np.moveaxis(dy, axis, -1), np.moveaxis(out, axis, -1)
    dx = np.empty_like(dy)
    for i in np.ndindex(dy.shape[:-1]):
        dx[i] = (np.diag(out[i]) - np.outer(out[i], out[i])) @ dy[i]
    return np.moveaxis(dx, -1, axis)


def expected_log_softmax_backward(dy, out, axis):
    return dy - np.exp(out) * np.sum(dy, axis, keepdims=True)


SAMPLES = [
    *[
        Sample(
            op,
            [normal(3, 4, 5)],
            dict(axis=axis),
            reference=reference,
            saves=("y", "axis"),
            zero=[normal(3, 0, 5)],
        )
        for op, reference in (
            (softmax, expected_softmax),
            (log_softmax, expected_log_softmax),
        )
        for axis in (-1, 0, 1)
    ],
    *[
        Sample(op, [normal(3, 4), normal(3, 4)], dict(axis=axis), reference=reference, tolerance=4)
        for op, reference in (
            (softmax_backward, expected_softmax_backward),
            (log_softmax_backward, expected_log_softmax_backward),
        )
        for axis in (-1, 0)
    ],
]
