"""Samples of the affine map and its gradients."""

from __future__ import annotations

import numpy as np

from samples.base import Sample, normal
from tensorlite.ops.linear import affine_gradients, linear, linear_relu, weight_gradient


def affine(x, weight, bias=None):
    y = np.tensordot(x, weight, (-1, 1))
    return y if bias is None else y + bias


def all_through_relu(dy, x, weight, out):
    dz = np.where(out > 0, dy, 0)
    found = dz.T @ x, dz.sum(axis=0)
    return found if weight is None else (dz @ weight, *found)


def affine_relu(x, weight, bias=None):
    return np.maximum(affine(x, weight, bias), 0)


SAMPLES = [
    Sample(
        affine_gradients,
        [normal(5, 3), normal(5, 4)],
        reference=lambda dy, x: (dy.T @ x, dy.sum(axis=0)),
        zero=[normal(0, 3), normal(0, 4)],
        saves=("dy", "x", "weight", "out", "dweight", "dbias"),
    ),
    *[
        Sample(
            affine_gradients,
            [normal(rows, 3), normal(rows, 4), weight, normal(rows, 3)],
            reference=all_through_relu,
            grad=grad,
            zero=[normal(0, 3), normal(0, 4), weight, normal(0, 3)],
            tolerance=4,
        )
        for rows in (5, 70)  # the second more than are computed in one call
        for weight, grad in ((normal(3, 4), (0, 1, 2)), (None, (0, 1)))
    ],
    Sample(
        weight_gradient,
        [normal(5, 3), normal(5, 4)],
        reference=lambda dy, x: dy.T @ x,
        zero=[normal(0, 3), normal(0, 4)],
        saves=("x", "dy"),
    ),
    *[
        Sample(
            op,
            [x, normal(3, 5), *bias],
            reference=reference,
            zero=[*zero, *bias],
            tolerance=4,
            saves=saves,
        )
        for op, reference, saves in (
            (linear, affine, ("x", "weight", "x_shape")),
            (linear_relu, affine_relu, ("y", "x", "weight", "x_shape")),
        )
        for x, zero in (
            (normal(4, 5), [normal(0, 5), normal(3, 5)]),
            (normal(2, 4, 5), [normal(2, 4, 0), normal(3, 0)]),
            (normal(5), [normal(0), normal(3, 0)]),
        )
        for bias in ((), (normal(3),))
    ],
]
