"""Samples of counting, quantiles, the different elements, and searches."""

from __future__ import annotations

import numpy as np

from samples.base import Sample, distinct, integers, normal, uniform
from tensorlite.ops.counting import counts_of, histogram_counts
from tensorlite.ops.distinct import among, different_rows
from tensorlite.ops.quantiles import places_of_ranks
from tensorlite.ops.search import sorted_places

EDGES = np.array([-1.0, -0.5, 0.0, 0.5, 1.0])


def of_ranks(x, ranks) -> np.ndarray:
    order = np.argsort(x, -1, kind="stable")
    return np.take_along_axis(order, np.broadcast_to(ranks.astype(int), (*x.shape[:-1], 2)), -1)


def by_numpy(x, weights, *edges, even) -> np.ndarray:
    return np.histogramdd(x, edges, weights=weights)[0]


def rows_by_numpy(x, ordered) -> tuple[np.ndarray, ...]:
    values, inverse, counts = np.unique(x, axis=0, return_inverse=True, return_counts=True)
    return values, inverse.reshape(-1), counts


def runs(x, ordered) -> tuple[np.ndarray, ...]:
    new = np.array([i == 0 or (x[i] != x[i - 1]).any() for i in range(len(x))], bool)
    inverse = np.cumsum(new) - 1
    return x[new], inverse, np.bincount(inverse, minlength=new.sum())


def search(sequence, x, right, dtype) -> np.ndarray:
    """How many elements are smaller, by comparing all."""
    smaller = np.less_equal if right else np.less
    return smaller(sequence[..., None, :], x[..., :, None]).sum(-1).astype(dtype)


SORTED = np.sort(np.random.default_rng(3).integers(-4, 5, (3, 7)).astype(float), -1)

SAMPLES = [
    *[
        Sample(
            places_of_ranks,
            [x, np.array([1.0, 3.0])],
            reference=of_ranks,
            grad=(),
            zero=[distinct(0, 4), np.array([1.0, 3.0])],
        )
        for x in (distinct(5), distinct(3, 4))
    ],
    Sample(counts_of, [integers(9, high=5)], reference=np.bincount, grad=()),
    Sample(
        counts_of,
        [integers(9, high=5), normal(9)],
        dict(minlength=8),
        reference=np.bincount,
        grad=(),
        dtypes=("float64",),
    ),
    *[
        Sample(
            histogram_counts,
            [uniform(9, 2, low=-1.2, high=1.2), weights, EDGES, EDGES[[0, 2, 3, 4]]],
            dict(even=even),
            reference=by_numpy,
            grad=(),
            dtypes=("float32", "float64"),
            zero=[uniform(0, 2, low=-1, high=1), None, EDGES, EDGES],
        )
        for even in ((True, False), (False, False))
        for weights in (None, normal(9))
    ],
    *[
        Sample(
            different_rows,
            [integers(*shape, high=3)],
            dict(ordered=ordered),
            reference=runs if ordered else rows_by_numpy,
            grad=(),
            no_zero="NumPy's unique differs in the shape of nothing",
        )
        for shape in ((9, 1), (9, 2))
        for ordered in (False, True)
    ],
    *[
        Sample(
            among,
            [integers(4, 3, high=9), np.array([1, 4, 4])],
            dict(invert=invert),
            reference=lambda x, others, invert: np.isin(x, others, invert=invert),
            grad=(),
        )
        for invert in (False, True)
    ],
    *[
        Sample(
            sorted_places,
            [sequence, x],
            dict(right=right, dtype=np.dtype(dtype)),
            reference=search,
            grad=(),
            zero=[sequence[..., :0], x],
        )
        for sequence, x in ((SORTED[0], integers(6, low=-6, high=7)), (SORTED, SORTED[:, ::2] - 1))
        for right in (False, True)
        for dtype in ("int32", "int64")
    ],
]
