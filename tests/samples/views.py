"""Samples of what a write through a view does to its base."""

from __future__ import annotations

import numpy as np

from samples.base import Sample, normal
from tensorlite.ops.index import basic_getitem
from tensorlite.ops.inplace import with_view
from tensorlite.ops.shape import reshape, unbind

ROWS = (basic_getitem.primitive, ((slice(1, 3), ...),), None)
FLAT = (reshape.primitive, ((-1,),), None)
SECOND = (unbind.primitive, (1,), 1)


def written(x, value, steps):
    x = x.copy()
    if steps == (ROWS,):
        x[1:3] = value
    elif steps == (ROWS, SECOND):
        x[1:3, 1] = value
    else:
        x[1:3] = np.reshape(value, x[1:3].shape)
    return x


NO_ZERO = dict(no_zero="a view of nothing is never written")
SAMPLES = [
    Sample(
        with_view, [normal(4, 3), normal(*shape)], dict(steps=steps), reference=written, **NO_ZERO
    )
    for shape, steps in [((2, 3), (ROWS,)), ((2,), (ROWS, SECOND)), ((6,), (ROWS, FLAT))]
]
