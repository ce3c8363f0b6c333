"""Embedding: rows of a table by number. Sums of rows are in `bags`."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import numpy as np

from tensorlite.backend import Array, array_backend
from tensorlite.ops.compare import where
from tensorlite.ops.compiled.arrays import kernel_sum_dtype, packed, plain
from tensorlite.ops.index import in_order, segment_sum, sum_sorted
from tensorlite.ops.norms import vector_norm
from tensorlite.primitive import primitive
from tensorlite.tape import check, mode, no_grad
from tensorlite.tensor import Tensor, tensor_of

__all__ = ["embedding"]


@primitive(name="embedding")
def table_rows(
    xp: ModuleType,
    indices: Array,
    weight: Array,
    *,
    padding_idx: int | None = None,
    by_frequency: bool = False,
) -> Array:
    """Row ``indices[i, …]`` of `weight` for each index; see `embedding`."""
    rows = weight.shape[0]
    if weight.ndim != 2:
        raise ValueError(f"the table must have two axes (rows, D), not shape {weight.shape}")
    if padding_idx is not None and not 0 <= padding_idx < rows:
        raise ValueError(f"padding_idx {padding_idx} is no row of a table of {rows}")
    check_indices(indices, rows, "rows of the table")
    return weight[indices]


def raw_of(x: Any) -> Any:
    """The array of a Tensor; anything else as it is."""
    return x.array if isinstance(x, Tensor) else x


def check_indices(indices: Array, count: int, of: str) -> None:
    """Refuse indices that are not integers or, on the CPU, not in [0, count)."""
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
    d = table_rows(indices, g)
    if padding_idx is None:
        return d
    return where((indices != padding_idx).reshape(*indices.shape, 1), d, 0.0)


def _table_vjp(
    g: Any, indices: Any, weight_shape: tuple, padding_idx: int | None, by_frequency: bool
) -> Any:
    if by_frequency:
        g = g / _frequencies(indices).astype(g.dtype)
    return embedding_backward(g, indices, rows=weight_shape[0], padding_idx=padding_idx)


def _frequencies(indices: Any) -> Array:
    """How often each index occurs, (*indices.shape, 1); a raw array."""
    raw = indices.array if isinstance(indices, Tensor) else indices
    xp = array_backend((raw,)).xp
    return xp.bincount(raw.reshape(-1))[raw][..., None] if raw.size else raw[..., None]


table_rows.defvjp(weight=_table_vjp)
embedding_backward.defvjp(dy=_embedding_backward_vjp)


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


# --- functions ----------------------------------------------------------------------------------


def embedding(
    input: Tensor,
    weight: Tensor,
    padding_idx: int | None = None,
    max_norm: float | None = None,
    norm_type: float = 2.0,
    scale_grad_by_freq: bool = False,
    sparse: bool = False,
) -> Tensor:
    """Row ``input[i, …]`` of `weight` for each index.

    Parameters
    ----------
    input
        Integers of any shape, in [0, rows).
    weight
        Table (rows, D).
    padding_idx
        Row that receives no gradient; negative ones count from the end.
    max_norm
        If given, rows that are looked up and whose `norm_type`-norm is larger are shortened to it,
        in the table itself.
    scale_grad_by_freq
        Whether a row's gradient is divided by how often it was looked up.
    sparse
        Without effect: gradients are dense.

    Returns
    -------
    Tensor, shape (*input.shape, D)

    Raises
    ------
    IndexError
        For an index outside the table, on the CPU; CUDA does not look, which would wait for it.

    Examples
    --------
    >>> tl.embedding(tl.tensor([2, 0]), tl.tensor([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]))
    tensor([[5., 6.],
            [1., 2.]])
    """
    padding_idx = table_row("embedding", padding_idx, weight)
    if max_norm is not None:
        _shorten(input, weight, max_norm, norm_type)
    if mode.switches.recorder is not None:  # a replay looks before it changes anything
        check(check_indices, raw_of(input), weight.shape[0], "rows of the table")
    return table_rows(input, weight, padding_idx=padding_idx, by_frequency=bool(scale_grad_by_freq))


def table_row(op: str, padding_idx: int | None, weight: Tensor) -> int | None:
    """The number of a row, counted from the start."""
    if padding_idx is None:
        return None
    rows = weight.shape[0]
    if not -rows <= padding_idx < rows:
        raise ValueError(f"{op}: padding_idx {padding_idx} is no row of a table of {rows}")
    return padding_idx % rows


def _shorten(indices: Tensor, weight: Tensor, max_norm: float, norm_type: float) -> None:
    """Shorten the rows that are looked up, in place."""
    check_indices(indices.array, weight.shape[0], "rows of the table")
    with no_grad():
        raw = indices.array
        used = array_backend((raw,)).xp.unique(raw)
        if not used.size:
            return
        found = weight[tensor_of(used)]
        lengths = vector_norm(found, ord=norm_type, axis=-1, keepdims=True)
        scale = where(lengths > max_norm, max_norm / (lengths + 1e-7), 1.0)
        weight[tensor_of(used)] = found * scale
