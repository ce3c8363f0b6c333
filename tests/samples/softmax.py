"""Samples of softmax, its logarithm, and their backward passes."""

from __future__ import annotations

import numpy as np

from samples.base import Sample, normal
from tensorlite.ops.softmax import log_shares as log_softmax
from tensorlite.ops.softmax import log_softmax_backward, softmax_backward
from tensorlite.ops.softmax import shares as softmax


def shares(x, axis=-1):
    e = np.exp(x)
    return e / np.sum(e, axis, keepdims=True)


def log_shares(x, axis=-1):
    return np.log(shares(x, axis))


def shares_backward(dy, out, axis):
    """The product with the Jacobian, diag(y) - y yᵀ, written out for each slice."""
    dy, out = np.moveaxis(dy, axis, -1), np.moveaxis(out, axis, -1)
    dx = np.empty_like(dy)
    for i in np.ndindex(dy.shape[:-1]):
        dx[i] = (np.diag(out[i]) - np.outer(out[i], out[i])) @ dy[i]
    return np.moveaxis(dx, -1, axis)


def log_shares_backward(dy, out, axis):
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
            (softmax, shares),
            (log_softmax, log_shares),
        )
        for axis in (-1, 0, 1)
    ],
    *[
        Sample(op, [normal(3, 4), normal(3, 4)], dict(axis=axis), reference=reference, tolerance=4)
        for op, reference in (
            (softmax_backward, shares_backward),
            (log_softmax_backward, log_shares_backward),
        )
        for axis in (-1, 0)
    ],
]
