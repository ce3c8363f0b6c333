"""Order: sorting along an axis, the largest elements, the one in the middle.

Sorting is stable, in both directions. NaN counts as the largest number of all: it comes last, and
in descending order first. Gradients go to the elements that were chosen.
"""

from __future__ import annotations

import math
from types import ModuleType
from typing import Any

from tensorlite import return_types
from tensorlite.backend import Array
from tensorlite.backend.dims import check_not_empty, lifts_numbers, one_dim
from tensorlite.backend.dtypes import int64
from tensorlite.ops.extremes import chosen, to_equal
from tensorlite.ops.faces import takes_axis
from tensorlite.ops.fused import widened
from tensorlite.ops.pick import pick
from tensorlite.ops.scan import running_extreme
from tensorlite.primitive import primitive

__all__ = ["argsort", "kthvalue", "median", "mode", "msort", "nanmedian", "sort", "topk"]

# --- all of them --------------------------------------------------------------------------------


@primitive(name="sort")
def order_of(xp: ModuleType, x: Array, *, axis: int = -1, descending: bool = False) -> Array:
    """Indices (int64) that sort `x` along `axis`; equal elements keep their order."""
    x = widened(x)  # NumPy does not know where NaN goes among bfloat16
    if not descending:
        return xp.argsort(x, axis, kind="stable").astype(int64, copy=False)
    # Of equal elements the first comes first: sort backwards, and turn that around.
    axis = one_dim(axis, x.ndim)
    turn = (slice(None),) * axis + (slice(None, None, -1),)
    order = xp.argsort(x[turn], axis, kind="stable")
    return x.shape[axis] - 1 - order[turn].astype(int64, copy=False)


@takes_axis
@lifts_numbers
def sort(input: Any, dim: int = -1, descending: bool = False, *, stable: bool = False) -> Any:
    """Sort along an axis.

    Parameters
    ----------
    input : Tensor
        Any shape.
    dim : int
        The axis.
    descending : bool
        The largest first.
    stable : bool
        Equal elements keep their order; they always do here.

    Returns
    -------
    values, indices : Tensor
        A named tuple: the elements in order, and where each was (int64).

    Examples
    --------
    >>> values, indices = tl.sort(tl.tensor([3.0, 1.0, 2.0]), descending=True)
    >>> indices.tolist()
    [0, 2, 1]
    """
    axis = one_dim(dim, len(input.shape), "sort")
    indices = order_of(input, axis=axis, descending=descending)
    return return_types.sort(pick(input, indices, axis=axis), indices)


@takes_axis
@lifts_numbers
def argsort(input: Any, dim: int = -1, descending: bool = False, *, stable: bool = False) -> Any:
    """Indices (int64) that `sort` along `dim`; equal elements keep their order.

    Parameters
    ----------
    input : Tensor
        Of any shape.
    dim : int
        The axis.
    descending : bool
        The largest first.
    stable : bool
        Equal elements keep their order; they always do here.

    Returns
    -------
    Tensor of int64
        Of `input`'s shape.

    Examples
    --------
    >>> tl.argsort(tl.tensor([2.0, -1.5, 0.0]))
    tensor([1, 2, 0])
    """
    return order_of(input, axis=one_dim(dim, len(input.shape), "argsort"), descending=descending)


def msort(input: Any) -> Any:
    """The elements in ascending order along the first axis.

    Parameters
    ----------
    input : Tensor
        Of at least one axis.

    Returns
    -------
    Tensor
        Of `input`'s shape and dtype.

    Examples
    --------
    >>> tl.msort(tl.tensor([2.0, -1.5, 0.0]))
    tensor([-1.5,  0. ,  2. ])
    """
    return sort(input, 0).values


# --- some of them -------------------------------------------------------------------------------


@primitive(name="topk")
def argtopk(xp: ModuleType, x: Array, *, k: int, axis: int = -1, largest: bool = True) -> Array:
    """Indices of the `k` largest (or smallest) elements along `axis`, the most extreme first."""
    _check_ordered(x)
    axis = one_dim(axis, x.ndim)
    if not 0 <= k <= x.shape[axis]:
        raise ValueError(f"k={k} of an axis with {x.shape[axis]} elements")
    order = order_of(x, axis=axis, descending=largest)
    return order[(slice(None),) * axis + (slice(0, k),)]


def _check_ordered(x: Any) -> None:
    if x.dtype == bool:
        raise TypeError("bool has no order here: cast it to an integer dtype first")


@takes_axis
@lifts_numbers
def topk(input: Any, k: int, dim: int = -1, largest: bool = True, sorted: bool = True) -> Any:
    """The `k` largest elements along an axis, and where they are.

    Parameters
    ----------
    input : Tensor
        Any shape.
    k : int
        How many; at most the length of the axis.
    dim : int
        The axis.
    largest : bool
        False gives the smallest, in ascending order.
    sorted : bool
        The most extreme first; it always is here.

    Returns
    -------
    values, indices : Tensor
        A named tuple. Of equal elements the first comes first.

    Raises
    ------
    ValueError
        If there are not `k`.

    Examples
    --------
    >>> tl.topk(tl.tensor([3.0, 1.0, 2.0]), 2)
    topk(values=tensor([3., 2.]), indices=tensor([0, 2]))
    """
    axis = one_dim(dim, len(input.shape), "topk")
    indices = argtopk(input, k=k, axis=axis, largest=largest)
    return return_types.topk(pick(input, indices, axis=axis), indices)


@takes_axis
@lifts_numbers
def kthvalue(input: Any, k: int, dim: int = -1, keepdim: bool = False) -> Any:
    """The `k`-th smallest element along `dim`, counted from 1, and where it is.

    Parameters
    ----------
    input : Tensor
        Of any shape.
    k : int
        Which, from 1 to the length of the axis.
    dim : int
        The axis.
    keepdim : bool
        Whether this axis stays, with length 1.

    Returns
    -------
    values, indices : Tensor
        A named tuple.

    Raises
    ------
    ValueError
        If there are not `k`, or `k` is less than 1.

    Examples
    --------
    >>> tl.kthvalue(tl.tensor([3.0, 1.0, 2.0]), 2)
    kthvalue(values=tensor(2.), indices=tensor(2))
    """
    axis = one_dim(dim, len(input.shape), "kthvalue")
    check_not_empty("kthvalue", input.shape, axis)
    _check_ordered(input)
    if not 1 <= k <= input.shape[axis]:
        raise ValueError(f"kthvalue: k={k} of an axis with {input.shape[axis]} elements")
    order = order_of(input, axis=axis)
    indices = order[(slice(None),) * axis + (slice(k - 1, k),)]
    return chosen(input, indices, axis, keepdim, return_types.kthvalue)


@primitive(name="median")
def place_of_median(xp: ModuleType, x: Array, *, axis: int, skip_nan: bool) -> Array:
    """Index of the lower of the two elements in the middle along `axis`, which stays.

    Of the first NaN, if there is one; with `skip_nan` only where all are.
    """
    _check_ordered(x)
    x = widened(x)
    n = x.shape[axis]
    order = order_of(x, axis=axis)
    if x.dtype.kind != "f":
        return order[(slice(None),) * axis + (slice((n - 1) // 2, (n - 1) // 2 + 1),)]
    numbers = n - xp.isnan(x).sum(axis=axis, keepdims=True)
    middle = xp.maximum(numbers - 1, 0) // 2
    if not skip_nan:
        middle = xp.where(numbers < n, numbers, middle)
    return xp.take_along_axis(order, middle, axis)


@primitive(name="median")
def median_of_all(xp: ModuleType, x: Array, *, skip_nan: bool) -> Array:
    """The lower of the two elements in the middle of all; equal ones share the gradient."""
    if not x.size:
        return xp.full((), math.nan if x.dtype.kind in "fV" else 0, x.dtype)
    line = x.reshape(-1)
    return line[place_of_median(line, axis=0, skip_nan=skip_nan)].reshape(())


median_of_all.defvjp(x=lambda g, x, y: to_equal(g, x, y, None))


@takes_axis
def median(input: Any, dim: int | None = None, keepdim: bool = False) -> Any:
    """Element in the middle, in sorted order; of an even number the lower of the two there.

    Parameters
    ----------
    input : Tensor
        Any shape.
    dim : int, optional
        The axis to look along; by default among all elements.
    keepdim : bool
        Leave that axis with length 1.

    Returns
    -------
    Tensor, or with `dim` a named tuple (values, indices) of two
        NaN if an element is. Of all elements, equal ones share the gradient.

    Raises
    ------
    IndexError
        If the axis has no elements.

    Examples
    --------
    >>> tl.median(tl.tensor([-1.5, 0.0, 2.0]))
    tensor(0.)
    """
    if dim is None:
        return median_of_all(input, skip_nan=False)
    return _median(input, dim, keepdim, False, return_types.median)


@takes_axis
def nanmedian(input: Any, dim: int | None = None, keepdim: bool = False) -> Any:
    """`median` of the elements that are not NaN; NaN if all are.

    Parameters
    ----------
    input : Tensor
        Of any shape.
    dim : int, optional
        The axis; by default all.
    keepdim : bool
        Whether this axis stays, with length 1.

    Returns
    -------
    Tensor, or with `dim` values, indices

    Examples
    --------
    >>> tl.nanmedian(tl.tensor([-1.5, 0.0, 2.0]))
    tensor(0.)
    """
    if dim is None:
        return median_of_all(input, skip_nan=True)
    return _median(input, dim, keepdim, True, return_types.nanmedian)


@lifts_numbers
def _median(input: Any, dim: int, keepdim: bool, skip_nan: bool, pair: Any) -> Any:
    axis = one_dim(dim, len(input.shape), pair.__name__)
    check_not_empty(pair.__name__, input.shape, axis)
    indices = place_of_median(input, axis=axis, skip_nan=skip_nan)
    return chosen(input, indices, axis, keepdim, pair)


@primitive(name="mode")
def place_of_mode(xp: ModuleType, x: Array, *, axis: int) -> Array:
    """Index of the last of the commonest elements along `axis`, which stays."""
    order = xp.moveaxis(order_of(x, axis=axis), axis, -1)
    ordered = xp.take_along_axis(xp.moveaxis(x, axis, -1), order, -1)
    places = xp.arange(x.shape[axis])
    starts = xp.zeros(ordered.shape, int64)
    starts[..., 1:] = xp.where(ordered[..., 1:] != ordered[..., :-1], places[1:], 0)
    # How many equal elements there are up to each: the most at the end of the longest run.
    so_far = places - running_extreme(xp, starts, starts.ndim - 1)
    last = so_far.argmax(axis=-1, keepdims=True)
    return xp.moveaxis(xp.take_along_axis(order, last, -1), -1, axis)


@takes_axis
@lifts_numbers
def mode(input: Any, dim: int = -1, keepdim: bool = False) -> Any:
    """The commonest element along `dim`, and where it is last.

    Parameters
    ----------
    input : Tensor
        Of any shape.
    dim : int
        The axis.
    keepdim : bool
        Whether this axis stays, with length 1.

    Returns
    -------
    values, indices : Tensor
        A named tuple. Of equally common elements it is the smallest.

    Raises
    ------
    IndexError
        If the axis has no elements.

    Examples
    --------
    >>> tl.mode(tl.tensor([3, 1, 3, 2]))
    mode(values=tensor(3), indices=tensor(2))
    """
    axis = one_dim(dim, len(input.shape), "mode")
    check_not_empty("mode", input.shape, axis)
    return chosen(input, place_of_mode(input, axis=axis), axis, keepdim, return_types.mode)
