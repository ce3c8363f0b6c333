"""Writes at an index, under a mask and in place of a part, in a copy."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np

from tensorlite.backend.dims import one_dim
from tensorlite.ops.faces import takes_axis
from tensorlite.ops.gathering import checked_numbers, raw
from tensorlite.ops.index import (
    ARRAY,
    basic_getitem,
    getitem_backward,
    index_array,
    parse_index,
    place_of,
    slice_backward,
    with_item,
)
from tensorlite.ops.promotion import cast
from tensorlite.ops.shape import broadcast_to, reshape
from tensorlite.tensor import Tensor

__all__ = [
    "index_put",
    "masked_scatter",
    "put",
    "select_scatter",
    "slice_scatter",
]


def index_put(input: Tensor, indices: Any, values: Tensor, accumulate: bool = False) -> Tensor:
    """Write `values` at ``[indices]`` of a copy, or add them there: repeated places get all.

    Parameters
    ----------
    input : Tensor
        Of any shape.
    indices : tuple of Tensor or None
        As in ``input[indices]``; None takes a whole axis.
    values : Tensor
        Of `input`'s dtype, and a shape that broadcasts to the place.
    accumulate : bool
        Add.

    Returns
    -------
    Tensor
        Of `input`'s shape and dtype.

    Raises
    ------
    TypeError
        If `indices` is no tuple of Tensors.
    RuntimeError
        If the dtypes differ.

    Examples
    --------
    >>> tl.index_put(tl.tensor([1.0, 1.0, 1.0]), (tl.tensor([0, 2]),), tl.tensor([5.0, 6.0]))
    tensor([5., 1., 6.])
    """
    if not isinstance(indices, (tuple, list)):
        raise TypeError("index_put: indices is a tuple of Tensors (None takes a whole axis)")
    index = tuple(slice(None) if part is None else part for part in indices)
    if isinstance(values, Tensor) and values.dtype != input.dtype:
        raise RuntimeError(
            f"index_put: values are {values.dtype}, and input {input.dtype}: cast one"
        )
    parts, arrays = parse_index(input, index)
    if not accumulate:
        return with_item(input, values, *arrays, parts=parts)
    shape = tuple(input.shape)
    view, chosen = place_of(raw(input), parts, [raw(array) for array in arrays])
    values = broadcast_to(values, view[chosen].shape)
    if not arrays:
        return input + slice_backward(values, shape, parts)
    return input + getitem_backward(values, *arrays, shape=shape, parts=parts)


def put(input: Tensor, index: Tensor, source: Tensor, accumulate: bool = False) -> Tensor:
    """Write `source` at the elements that `index` numbers in row order; or add it there.

    Parameters
    ----------
    input : Tensor
        Of any shape.
    index : integer Tensor
        Of as many elements as `source`.
    source : Tensor
        Of `input`'s dtype.
    accumulate : bool
        Add.

    Returns
    -------
    Tensor
        Of `input`'s shape and dtype.

    Raises
    ------
    RuntimeError
        If dtypes or numbers of elements differ.

    Examples
    --------
    >>> tl.put(tl.tensor([[1.0, 2.0], [3.0, 4.0]]), tl.tensor([3]), tl.tensor([9.0]))
    tensor([[1., 2.],
            [3., 9.]])
    """
    n = raw(input).size
    index = checked_numbers("put", input, index, n, least=-n)
    if source.dtype != input.dtype:
        raise RuntimeError(f"put: source is {source.dtype}, and input {input.dtype}: cast one")
    if raw(index).size != raw(source).size:
        raise RuntimeError(
            f"put: source of shape {tuple(source.shape)} and index of shape {tuple(index.shape)} "
            "have not as many elements"
        )
    flat, index, source = (reshape(x, (-1,)) for x in (input, index, source))
    return reshape(index_put(flat, (index,), source, accumulate), tuple(input.shape))


def masked_scatter(input: Tensor, mask: Tensor, source: Tensor) -> Tensor:
    """Write the elements of `source`, in order, where `mask` is true; `mask` broadcasts.

    Parameters
    ----------
    input : Tensor
        Of any shape.
    mask : Tensor of bool
        It broadcasts to `input`'s shape.
    source : Tensor
        Of `input`'s dtype, and at least as many elements as are masked.

    Returns
    -------
    Tensor
        Of `input`'s shape and dtype.

    Raises
    ------
    RuntimeError
        If `mask` is not of bool, the dtypes differ, or `source` is too short.

    Examples
    --------
    >>> tl.masked_scatter(tl.tensor([1.0, 2.0]), tl.tensor([True, False]), tl.tensor([9.0]))
    tensor([9., 2.])
    """
    if mask.dtype != bool:
        raise RuntimeError(f"masked_scatter: the mask is {mask.dtype}, not bool")
    mask = index_array(input, mask)
    if source.dtype != input.dtype:
        raise RuntimeError(
            f"masked_scatter: source is {source.dtype}, and input {input.dtype}: cast one"
        )
    shape = np.broadcast_shapes(tuple(input.shape), tuple(mask.shape))
    input, mask = broadcast_to(input, shape), broadcast_to(mask, shape)
    count = int(raw(mask).sum())
    if count > raw(source).size:
        raise RuntimeError(
            f"masked_scatter: {count} places are masked, and source has {raw(source).size} elements"
        )
    values = basic_getitem(reshape(source, (-1,)), (slice(count), ...))
    return with_item(input, values, mask, parts=(ARRAY, Ellipsis))


# --- in place of a view -------------------------------------------------------------------------


@takes_axis
def select_scatter(input: Tensor, src: Tensor, dim: int, index: int) -> Tensor:
    """Put `src` in place of ``input.select(dim, index)``, in a copy.

    Parameters
    ----------
    input : Tensor
        Of at least one axis.
    src : Tensor
        Of `input`'s shape without `dim`.
    dim : int
        The axis.
    index : int

    Returns
    -------
    Tensor
        Of `input`'s shape and dtype.

    Raises
    ------
    RuntimeError
        If `src` has another shape.

    Examples
    --------
    >>> tl.select_scatter(tl.zeros(2, 2), tl.tensor([1.0, 2.0]), 1, 0)
    tensor([[1., 0.],
            [2., 0.]])
    """
    axis = one_dim(dim, len(input.shape), "select_scatter")
    return _with_part(
        "select_scatter", input, src, (*(slice(None),) * axis, operator.index(index), ...)
    )


@takes_axis
def slice_scatter(
    input: Tensor,
    src: Tensor,
    dim: int = 0,
    start: int | None = None,
    end: int | None = None,
    step: int = 1,
) -> Tensor:
    """Put `src` in place of the slice ``start:end:step`` along `dim`, in a copy.

    Parameters
    ----------
    input : Tensor
        Of at least one axis.
    src : Tensor
        Of the slice's shape.
    dim : int
        The axis.
    start, end, step : int, optional

    Returns
    -------
    Tensor
        Of `input`'s shape and dtype.

    Raises
    ------
    RuntimeError
        If `src` has another shape, or `step` is less than 1.

    Examples
    --------
    >>> tl.slice_scatter(tl.tensor([5.0, -3.0]), tl.tensor([2.0, 2.0]))
    tensor([2., 2.])
    """
    if step < 1:
        raise RuntimeError(f"slice_scatter: step is at least 1, not {step}")
    axis = one_dim(dim, len(input.shape), "slice_scatter")
    return _with_part(
        "slice_scatter", input, src, (*(slice(None),) * axis, slice(start, end, step), ...)
    )


def _with_part(name: str, input: Tensor, src: Tensor, parts: tuple) -> Tensor:
    shape = raw(input)[parts].shape
    if tuple(src.shape) != shape:
        raise RuntimeError(f"{name}: src of shape {tuple(src.shape)} is not of the part's {shape}")
    return with_item(input, cast(src, input.dtype), parts=parts)
