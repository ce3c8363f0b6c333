"""Rows of a table by number."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import numpy as np

from tensorlite.backend import Array
from tensorlite.ops.compare import where
from tensorlite.ops.index import segment_sum
from tensorlite.primitive import primitive

__all__ = ["embedding"]


@primitive
def embedding(
    xp: ModuleType, indices: Array, weight: Array, *, padding_idx: int | None = None
) -> Array:
    """Row ``indices[i, …]`` of `weight` for each index.

    Parameters
    ----------
    indices
        Integers of any shape, in [0, rows).
    weight
        Table (rows, D).
    padding_idx
        Row that receives no gradient.

    Returns
    -------
    Tensor, shape (*indices.shape, D)

    Raises
    ------
    IndexError
        For an index outside the table, on the CPU; CUDA does not look, which would wait for it.
    """
    rows = weight.shape[0]
    if weight.ndim != 2:
        raise ValueError(f"the table must have two axes (rows, D), not shape {weight.shape}")
    if padding_idx is not None and not 0 <= padding_idx < rows:
        raise ValueError(f"padding_idx {padding_idx} is no row of a table of {rows}")
    check_indices(indices, rows, "rows of the table")
    return weight[indices]


def check_indices(indices: Array, count: int, of: str) -> None:
    """Refuse what is no integer and, on the CPU, what is not in [0, count)."""
    if indices.dtype.kind not in "iu":
        raise TypeError(f"indices must be integers, not {indices.dtype}")
    if isinstance(indices, np.ndarray) and indices.size:
        low, high = indices.min(), indices.max()
        if low < 0 or high >= count:
            raise IndexError(f"index {low if low < 0 else high} is not among the {count} {of}")


@primitive
def embedding_backward(
    xp: ModuleType, dy: Array, indices: Array, *, rows: int, padding_idx: int | None
) -> Array:
    """Add each row of `dy` to its row of the table, in the order of the batch on every device."""
    flat = indices.reshape(-1)
    dweight = segment_sum(xp, dy.reshape(flat.size, dy.shape[-1]), flat, rows)
    if padding_idx is not None:
        dweight[padding_idx] = 0
    return dweight


def _embedding_backward_vjp(g: Any, indices: Any, padding_idx: int | None) -> Any:
    d = embedding(indices, g)
    if padding_idx is None:
        return d
    return where((indices != padding_idx).reshape(*indices.shape, 1), d, 0.0)


embedding.defvjp(
    weight=lambda g, indices, weight_shape, padding_idx: embedding_backward(
        g, indices, rows=weight_shape[0], padding_idx=padding_idx
    )
)
embedding_backward.defvjp(dy=_embedding_backward_vjp)
