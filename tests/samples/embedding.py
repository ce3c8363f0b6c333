"""Samples of rows of tables, and of sums into them."""

from __future__ import annotations

import numpy as np

from samples.base import Sample, integers, normal
from tensorlite.ops.embedding import embedding_backward, table_rows


def looked_up(indices, weight, padding_idx=None):
    return np.array([weight[i] for i in indices.ravel()]).reshape(*indices.shape, weight.shape[1])


def scattered(dy, indices, rows, padding_idx):
    table = np.zeros((rows, dy.shape[-1]))
    for row, i in zip(dy.reshape(-1, dy.shape[-1]), indices.ravel(), strict=True):
        if i != padding_idx:
            table[i] += row
    return table


SAMPLES = [
    *[
        sample
        for padding_idx in (None, 2)
        for sample in (
            Sample(
                table_rows,
                [integers(3, 4, high=7), normal(7, 3)],
                dict(padding_idx=padding_idx),
                # The row for padding is a constant: its gradient is 0, whatever it does to y.
                reference=looked_up,
                grad=() if padding_idx is not None else None,
                zero=[integers(0, 4, high=7), normal(7, 3)],
                saves=None
                if padding_idx is not None
                else ("indices", "weight_shape", "padding_idx", "by_frequency"),
            ),
            Sample(
                embedding_backward,
                [normal(3, 4, 2), integers(3, 4, high=7)],
                dict(rows=7, padding_idx=padding_idx),
                reference=scattered,
                saves=("indices", "padding_idx"),
                zero=[normal(0, 4, 2), integers(0, 4, high=7)],
                tolerance=2,
            ),
        )
    ],
]
