"""Samples of the cross-entropy of rows, row by row."""

from __future__ import annotations

import numpy as np

from samples.base import Sample, integers, normal
from tensorlite.ops.losses.cross_entropy import cross_entropy_rows, scale_rows


def one_after_the_other(
    x, labels, weight=None, *, ignore_index, label_smoothing, mean, with_gradient=True
):
    """One row after the other, with the target written out as a distribution."""
    losses, gradients = np.zeros(len(x)), np.zeros_like(x)
    count = 0
    for r, label in enumerate(labels):
        if label == ignore_index:
            continue
        target = np.full(x.shape[1], label_smoothing / x.shape[1])
        target[label] += 1 - label_smoothing
        target = target if weight is None else target * weight
        p = np.exp(x[r]) / np.sum(np.exp(x[r]))
        losses[r] = -np.sum(target * np.log(p))
        gradients[r] = p * target.sum() - target
        count += 1 if weight is None else weight[label]
    if mean:
        losses, gradients = losses.sum() / np.float64(count), gradients / max(count, 1)
    return (losses, gradients) if with_gradient else losses


CLASS_WEIGHT = np.array([0.5, 2.0, 0.25, 1.0])

SAMPLES = [
    *[
        Sample(
            cross_entropy_rows,
            [normal(6, 4), integers(6, high=4), *weight],
            dict(ignore_index=ignore, label_smoothing=smoothing, mean=mean, with_gradient=True),
            reference=one_after_the_other,
            grad=(0,),
            zero=[normal(0, 4), integers(0, high=4), *weight],
            zero_static=dict(
                ignore_index=ignore, label_smoothing=smoothing, mean=False, with_gradient=True
            ),
            tolerance=4,
            saves=("y", "labels", "weight", "ignore_index", "label_smoothing", "mean"),
        )
        for mean in (False, True)
        for weight in ((), (CLASS_WEIGHT,))
        for ignore in (-100, 2)
        for smoothing in (0.0, 0.25)
    ],
    Sample(
        cross_entropy_rows,
        [normal(6, 4), integers(6, high=4)],
        dict(ignore_index=-100, label_smoothing=0.0, mean=False, with_gradient=False),
        reference=one_after_the_other,
        grad=(),
        zero=[normal(0, 4), integers(0, high=4)],
        tolerance=4,
    ),
    Sample(
        scale_rows,
        [normal(4, 3), normal(4)],
        reference=lambda x, scale: np.diag(scale) @ x,
        zero=[normal(0, 3), normal(0)],
        saves=("x", "scale"),
    ),
]
