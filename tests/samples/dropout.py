"""Samples of dropout."""

from __future__ import annotations

import numpy as np

from samples.base import Sample, normal
from tensorlite.ops.dropout import philox_dropout
from tensorlite.random import philox_uniform


def dropped(x, p, key, offset):
    return np.where(philox_uniform(np, x.size, key, offset).reshape(x.shape) < p, 0, x / (1 - p))


SAMPLES = [
    Sample(
        philox_dropout,
        [normal(5, 7)],
        dict(p=0.3, key=(7, 8), offset=11),
        reference=dropped,
        saves=("x_dtype", "p", "key", "offset"),
    ),
]
