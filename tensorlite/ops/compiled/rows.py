"""Operations along rows and columns: totals, softmax, losses, norms, gradients of tables."""

from __future__ import annotations

from typing import Any

import numpy as np

from tensorlite.backend import Array, array_backend
from tensorlite.ops import bias_activation, reduce, row_norm
from tensorlite.ops.compiled.arrays import accumulator, packed, plain
from tensorlite.ops.cross_entropy import cross_entropy_rows
from tensorlite.ops.embedding import check_indices, embedding_backward
from tensorlite.ops.softmax import log_shares, log_softmax_backward, shares, softmax_backward

# --- totals -------------------------------------------------------------------------------------

_ONE_ROW = 1 << 16  # elements that one team may add up; beyond, NumPy's pairwise sums are better


def _give_total(primitive: Any, is_mean: bool) -> None:
    """Let `row_sum` add up all elements of an array that is not large."""

    @primitive.kernel
    def run(k: Any, x: Array, *, axis: Any, keepdims: bool, dtype: Any) -> Any:
        size = x.size
        if axis is not None or size > _ONE_ROW or dtype is not None:
            return NotImplemented
        arrays = packed(x)
        if arrays is None:
            return NotImplemented
        y = k.empty((1,) * x.ndim if keepdims else (), x.dtype)
        k.row_sum(*arrays, y, 1, size, 1 / size if is_mean else 1.0)
        return y


_give_total(reduce.sum, is_mean=False)
_give_total(reduce.mean, is_mean=True)

# --- softmax ------------------------------------------------------------------------------------


def _give_rows(primitive: Any, name: str) -> None:
    """Let kernel `name` compute `primitive` where its axis is the last."""

    @primitive.kernel
    def run(k: Any, x: Array, *others: Array, axis: int) -> Any:
        arrays = packed(x, *others)
        if (
            arrays is None
            or axis not in (-1, x.ndim - 1)
            or any(a.shape != x.shape for a in others)
        ):
            return NotImplemented
        y = k.empty(x.shape, x.dtype)
        getattr(k, name)(*arrays, y, x.size // x.shape[-1], x.shape[-1])
        return y


_give_rows(shares, "softmax")
_give_rows(softmax_backward, "softmax_backward")
_give_rows(log_shares, "log_softmax")
_give_rows(log_softmax_backward, "log_softmax_backward")


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
    wide = accumulator(x.dtype)
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


# --- norms --------------------------------------------------------------------------------------


def _column_totals(k: Any, partial: Array) -> Array:
    """Sum the rows that the teams of a kernel left, in each of several sets."""
    sets, parts, columns = partial.shape
    totals = k.empty((sets, columns), partial.dtype)
    k.column_total(partial, totals, sets, parts, columns)
    return totals


@row_norm.layer_norm_rows.kernel
def _layer_norm(
    k: Any, x: Array, weight: Array | None, bias: Array | None, *, eps: float, save: bool
) -> Any:
    arrays = packed(x, weight, bias)
    if arrays is None:
        return NotImplemented
    columns = x.shape[-1]
    y = k.empty(x.shape, x.dtype)
    center, rstd = (k.empty((*x.shape[:-1], 1), accumulator(x.dtype)) for _ in range(2))
    k.layer_norm(*arrays, y, center, rstd, x.size // columns, columns, eps)
    return y, center, rstd


@row_norm.layer_norm_backward.kernel
def _layer_norm_backward(
    k: Any,
    dy: Array,
    x: Array,
    weight: Array | None,
    center: Array,
    rstd: Array,
    *,
    eps: float,
    affine: bool,
) -> Any:
    arrays, statistics = packed(dy, x, weight), packed(center, rstd)
    if arrays is None or statistics is None or dy.shape != x.shape:
        return NotImplemented
    dy, x, weight = arrays
    columns = x.shape[-1]
    rows = x.size // columns
    parts = k.parts(rows)
    dx = k.empty(x.shape, x.dtype)
    partial = k.empty((2, parts, columns), accumulator(x.dtype))
    k.layer_norm_backward(dy, x, *statistics, weight, dx, *partial, rows, columns, parts)
    return (dx, *_column_totals(k, partial)) if affine else dx


@row_norm.rms_norm_rows.kernel
def _rms_norm(k: Any, x: Array, weight: Array | None, *, eps: float, save: bool) -> Any:
    arrays = packed(x, weight)
    if arrays is None:
        return NotImplemented
    columns = x.shape[-1]
    y = k.empty(x.shape, x.dtype)
    rstd = k.empty((*x.shape[:-1], 1), accumulator(x.dtype))
    k.rms_norm(*arrays, y, rstd, x.size // columns, columns, eps)
    return y, rstd


@row_norm.rms_norm_backward.kernel
def _rms_norm_backward(
    k: Any, dy: Array, x: Array, weight: Array | None, rstd: Array, *, eps: float, affine: bool
) -> Any:
    arrays, statistics = packed(dy, x, weight), packed(rstd)
    if arrays is None or statistics is None or dy.shape != x.shape:
        return NotImplemented
    dy, x, weight = arrays
    columns = x.shape[-1]
    rows = x.size // columns
    parts = k.parts(rows)
    dx = k.empty(x.shape, x.dtype)
    partial = k.empty((1, parts, columns), accumulator(x.dtype))
    k.rms_norm_backward(dy, x, *statistics, weight, dx, *partial, rows, columns, parts)
    return (dx, *_column_totals(k, partial)) if affine else dx


# --- bias and activation ------------------------------------------------------------------------


def _give_biased(activation: str, forward: Any, backward: Any) -> None:
    """Let kernels compute an activation of a sum with a bias, and the gradients of both."""

    @forward.kernel
    def run(k: Any, x: Array, bias: Array) -> Any:
        arrays = packed(x, bias)
        if arrays is None or not x.ndim or bias.shape != x.shape[-1:]:
            return NotImplemented
        y = k.empty(x.shape, x.dtype)
        getattr(k, f"bias_{activation}")(*arrays, y, x.size // bias.size, bias.size)
        return y

    @backward.kernel
    def run_backward(k: Any, dy: Array, *saved: Array) -> Any:
        arrays = packed(dy, *saved)
        if arrays is None or dy.shape != saved[0].shape:
            return NotImplemented
        columns = dy.shape[-1]
        rows = dy.size // columns
        parts = k.parts(rows)
        dx = k.empty(dy.shape, dy.dtype)
        partial = k.empty((1, parts, columns), accumulator(dy.dtype))
        launch = getattr(k, f"bias_{activation}_backward")
        launch(*arrays, dx, partial, rows, columns, parts)
        return dx, *_column_totals(k, partial)


_give_biased("relu", bias_activation.bias_relu, bias_activation.bias_relu_backward)
_give_biased("gelu", bias_activation.bias_gelu, bias_activation.bias_gelu_backward)

# --- embedding ----------------------------------------------------------------------------------

EMBEDDING_CHUNK = 64  # kChunk in kernels/embedding.cu


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
    dweight = k.empty((rows, columns), accumulator(dy.dtype))
    if k.on_host:
        check_indices(ids, rows, "rows of the table")
        order, start = k.empty(ids.shape, ids.dtype), k.empty((rows + 1,), ids.dtype)
        k.embedding_order(ids, order, start, ids.size, rows)
        k.embedding_backward(*arrays, order, start, dweight, ids.size, columns, rows)
    else:
        xp = array_backend((ids,)).xp
        order = ids.argsort(kind="stable")
        ordered = ids[order]
        start = xp.searchsorted(ordered, xp.arange(rows + 1))
        chunks = -(-ids.size // EMBEDDING_CHUNK)
        partial = k.empty((chunks, 2, columns), dweight.dtype)
        numbers = (ids.size, columns, rows, chunks)
        k.embedding_chunks(*arrays, ordered, order, start, partial, dweight, *numbers)
        k.embedding_join(partial, start, dweight, columns, rows, chunks)
    if padding_idx is not None:
        dweight[padding_idx] = 0
    return dweight.astype(dy.dtype, copy=False)
