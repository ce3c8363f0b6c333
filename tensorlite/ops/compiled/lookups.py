"""What is looked up by an index in each row: the losses of labels, and tables of embeddings."""

from __future__ import annotations

from typing import Any

import numpy as np

from tensorlite.backend import Array, array_backend
from tensorlite.ops.compiled.arrays import kernel_sum_dtype, packed, plain
from tensorlite.ops.embedding import check_indices, embedding_backward, table_rows
from tensorlite.ops.index import in_order, sum_sorted
from tensorlite.ops.losses.cross_entropy import cross_entropy_rows

# --- cross-entropy ------------------------------------------------------------------------------


cross_entropy_rows.on_host("new_cross_entropy")


@cross_entropy_rows.kernel
def _cross_entropy(
    k: Any,
    x: Array,
    labels: Array,
    weight: Array | None = None,
    *,
    ignore_index: int,
    label_smoothing: float,
    mean: bool,
    with_gradient: bool,
) -> Any:
    arrays = packed(x, weight)
    if arrays is None or x.ndim != 2:
        return NotImplemented
    x, weight = arrays
    rows, classes = x.shape
    labels = labels.astype(np.int64, copy=False)
    if not plain(labels):
        labels = labels.copy()
    wide = kernel_sum_dtype(x.dtype)
    count = None
    if mean:
        count = k.empty((1,), wide)
        k.label_weight(labels, weight, count, rows, classes, ignore_index)
    loss = k.empty((rows,), wide)
    dx = k.empty(x.shape, x.dtype) if with_gradient else None
    k.cross_entropy(
        x, labels, weight, count, loss, dx, rows, classes, ignore_index, label_smoothing
    )
    if mean:
        each_row, loss = loss, k.empty((), wide)
        k.row_sum(each_row, loss, 1, rows, 1.0)
    loss = loss.astype(x.dtype, copy=False)
    return (loss, dx) if with_gradient else loss


# --- embedding ----------------------------------------------------------------------------------


def _table_rows(
    k: Any, indices: Array, weight: Array, *, padding_idx: int | None, by_frequency: bool
) -> Any:
    """Only where a call is recorded: NumPy is as fast, but a recorder sees what kernels do."""
    ids = indices.reshape(-1)
    arrays = packed(weight) if k.on_host and weight.ndim == 2 else None
    if arrays is None or not ids.size or ids.dtype != np.int64 or not plain(ids):
        return NotImplemented
    rows, columns = weight.shape
    check_indices(ids, rows, "rows of the table")
    y = k.empty((*indices.shape, columns), weight.dtype)
    k.embedding(*arrays, ids, y, ids.size, columns, rows)
    return y


table_rows.kernel(_table_rows, from_size=1 << 62)


@embedding_backward.kernel
def _embedding_backward(
    k: Any, dy: Array, indices: Array, *, rows: int, padding_idx: int | None
) -> Any:
    arrays = packed(dy)
    if arrays is None or not rows or dy.shape[:-1] != indices.shape:
        return NotImplemented
    ids = indices.ravel().astype(np.int64, copy=False)
    ids = ids if plain(ids) else ids.copy()
    columns = dy.shape[-1]
    dweight = k.empty((rows, columns), kernel_sum_dtype(dy.dtype))
    if k.on_host:
        check_indices(ids, rows, "rows of the table")
        order, start = k.empty(ids.shape, ids.dtype), k.empty((rows + 1,), ids.dtype)
        k.embedding_order(ids, order, start, ids.size, rows)
        # Not by NumPy afterwards: a recording of calls without the index would not know of it.
        padding = -1 if padding_idx is None else padding_idx
        k.embedding_backward(*arrays, order, start, dweight, ids.size, columns, rows, padding)
    else:
        places = in_order(array_backend((ids,)).xp, k, ids, rows)
        sum_sorted(k, tuple(arrays), places, dweight)
        if padding_idx is not None:
            dweight[padding_idx] = 0
    return dweight.astype(dy.dtype, copy=False)
