"""Axes merged, split, added and dropped, and the same memory seen in another shape."""

from __future__ import annotations

import math
import operator
from collections.abc import Sequence
from typing import Any

import numpy as np

from tensorlite.backend import HOST, array_backend
from tensorlite.backend.dims import named_dims, one_dim
from tensorlite.backend.dtypes import as_dtype
from tensorlite.ops.faces import one_by_one, takes_axis
from tensorlite.ops.shape import reshape
from tensorlite.outside import check_dtype, is_plain
from tensorlite.tensor import Tensor, tensor_of

__all__ = [
    "atleast_1d",
    "atleast_2d",
    "atleast_3d",
    "expand_dims",
    "flatten",
    "ravel",
    "squeeze",
    "unflatten",
    "unsqueeze",
]


def view(input: Tensor, *shape: Any, dtype: Any = None) -> Tensor:
    """Give another shape in the same memory, or read the bits as another dtype: ``x.view(dtype)``.

    Parameters
    ----------
    *shape : int, or one sequence of int, or a dtype
        One length may be -1.
    dtype : dtype
        The same by name.

    Returns
    -------
    Tensor
        A view.

    Raises
    ------
    RuntimeError
        If the elements do not lie so that the shape can be had without a copy: use `reshape`.

    Examples
    --------
    >>> tl.arange(4).view(2, -1)
    tensor([[0, 1],
            [2, 3]])
    """
    if len(shape) == 1 and not isinstance(shape[0], (int, tuple, list)):
        try:
            shape = (operator.index(shape[0]),)
        except TypeError:
            shape, dtype = (), shape[0]  # type: ignore[misc]  # a dtype came in its place
    if dtype is not None:
        return _bits(input, as_dtype(dtype))
    sizes = tuple(map(operator.index, one_by_one(shape)))
    if not input.array.flags.c_contiguous and not _viewable(input.array, sizes):
        raise RuntimeError(
            f"view: the elements of a Tensor of shape {tuple(input.shape)} do not lie in memory so "
            f"that shape {sizes} can be had without a copy: use reshape(), or contiguous() before"
        )
    return reshape(input, sizes)


def _bits(input: Tensor, dtype: Any) -> Tensor:
    """The same bits read as another dtype, without history."""
    check_dtype(dtype, "view")
    try:
        array = input.array.view(dtype)
    except ValueError as error:
        raise RuntimeError(f"view: {error}") from error
    if isinstance(array, np.ndarray) and not is_plain(array):
        raise RuntimeError(
            f"view: elements of {dtype} would lie off their boundaries: use clone() before"
        )
    return tensor_of(array)


def _viewable(x: Any, shape: tuple[int, ...]) -> bool:
    backend = array_backend((x,))
    if backend is not HOST:
        return x.size == 0 or x.reshape(shape).data.ptr == x.data.ptr
    try:
        x.reshape(shape, copy=False)
    except ValueError:
        # Where the number of elements is another, reshape says so.
        return -1 not in shape and math.prod(shape) != x.size
    return True


def view_as(input: Tensor, other: Tensor) -> Tensor:
    """`view` with the shape of `other`.

    Parameters
    ----------
    other : Tensor
        Of as many elements.

    Returns
    -------
    Tensor
        A view of `other`'s shape.

    Examples
    --------
    >>> tl.arange(4).view_as(tl.zeros(2, 2))
    tensor([[0, 1],
            [2, 3]])
    """
    return view(input, other.shape)


def reshape_as(input: Tensor, other: Tensor) -> Tensor:
    """`reshape` to the shape of `other`.

    Parameters
    ----------
    other : Tensor
        Of as many elements.

    Returns
    -------
    Tensor
        Of `other`'s shape.

    Examples
    --------
    >>> tl.arange(4).reshape_as(tl.zeros(2, 2))
    tensor([[0, 1],
            [2, 3]])
    """
    return reshape(input, tuple(other.shape))


def ravel(input: Tensor) -> Tensor:
    """All elements along one axis.

    Parameters
    ----------
    input : Tensor
        Of any shape.

    Returns
    -------
    Tensor, shape (n,)
        A view where it can be.

    Examples
    --------
    >>> tl.ravel(tl.tensor([[1, 2], [3, 4]]))
    tensor([1, 2, 3, 4])
    """
    return reshape(input, (-1,))


def flatten(input: Tensor, start_dim: int = 0, end_dim: int = -1) -> Tensor:
    """Merge the axes `start_dim` to `end_dim`, both included; no axes become one.

    Parameters
    ----------
    input : Tensor
        Of any shape.
    start_dim, end_dim : int

    Returns
    -------
    Tensor
        A view where it can be.

    Raises
    ------
    RuntimeError
        If `start_dim` comes after `end_dim`.

    Examples
    --------
    >>> tl.flatten(tl.zeros(2, 3, 4), 1).shape
    (2, 12)
    """
    shape = tuple(input.shape) or (1,)
    start = one_dim(start_dim, len(shape), "flatten: start_dim")
    end = one_dim(end_dim, len(shape), "flatten: end_dim")
    if start > end:
        raise RuntimeError(f"flatten: start_dim {start} comes after end_dim {end}")
    merged = math.prod(shape[start : end + 1])
    return reshape(input, (*shape[:start], merged, *shape[end + 1 :]))


@takes_axis
def unflatten(input: Tensor, dim: int, sizes: Sequence[int]) -> Tensor:
    """Split the axis `dim` into axes of the lengths `sizes`; one may be -1 and is worked out.

    Parameters
    ----------
    input : Tensor
        Of any shape.
    dim : int
        The axis.
    sizes : sequence of int

    Returns
    -------
    Tensor
        A view where it can be.

    Raises
    ------
    RuntimeError
        If the lengths do not multiply to that of the axis.

    Examples
    --------
    >>> tl.unflatten(tl.arange(6), 0, (2, -1)).shape
    (2, 3)
    """
    shape = tuple(input.shape)
    if not shape:
        raise RuntimeError("unflatten: a Tensor with no axes has none to split")
    axis = one_dim(dim, len(shape), "unflatten")
    sizes = tuple(map(operator.index, sizes))
    if not sizes:
        raise RuntimeError("unflatten: sizes is empty")
    known = math.prod(n for n in sizes if n != -1)
    if sizes.count(-1) == 1 and known and shape[axis] % known == 0:
        sizes = tuple(shape[axis] // known if n == -1 else n for n in sizes)
    if math.prod(sizes) != shape[axis] or min(sizes) < 0:
        raise RuntimeError(f"unflatten: sizes {sizes} do not multiply to the length {shape[axis]}")
    return reshape(input, (*shape[:axis], *sizes, *shape[axis + 1 :]))


@takes_axis
def squeeze(input: Tensor, dim: int | Sequence[int] | None = None) -> Tensor:
    """Drop axes of length 1: of those named, or of all.

    Parameters
    ----------
    input : Tensor
        Of any shape.
    dim : int or sequence of int, optional
        Those of other lengths stay.

    Returns
    -------
    Tensor
        A view.

    Examples
    --------
    >>> tl.squeeze(tl.zeros(1, 3, 1)).shape
    (3,)
    """
    shape = input.shape
    dropped = range(len(shape)) if dim is None else named_dims(dim, len(shape), "squeeze")
    return reshape(input, tuple([n for i, n in enumerate(shape) if n != 1 or i not in dropped]))


@takes_axis
def unsqueeze(input: Tensor, dim: int) -> Tensor:
    """Insert an axis of length 1, at the place `dim` of the result.

    Parameters
    ----------
    input : Tensor
        Of any shape.
    dim : int

    Returns
    -------
    Tensor
        A view of one axis more.

    Examples
    --------
    >>> tl.unsqueeze(tl.zeros(3), 0).shape
    (1, 3)
    """
    shape = input.shape
    place = one_dim(dim, len(shape) + 1, "unsqueeze")
    return reshape(input, (*shape[:place], 1, *shape[place:]))


def expand_dims(input: Tensor, axis: int | Sequence[int]) -> Tensor:
    """Insert axes of length 1, so that they are at the places `axis` of the result; NumPy's.

    Parameters
    ----------
    input : Tensor
        Of any shape.
    axis : int or sequence of int

    Returns
    -------
    Tensor
        A view with as many axes more.

    Examples
    --------
    >>> tl.expand_dims(tl.zeros(3), (0, 2)).shape
    (1, 3, 1)
    """
    count = len(axis) if isinstance(axis, (tuple, list)) else 1
    shape = list(input.shape)
    for place in sorted(named_dims(axis, len(shape) + count, "expand_dims")):
        shape.insert(place, 1)
    return reshape(input, tuple(shape))


def atleast_1d(*tensors: Any) -> Any:
    """Give Tensors at least one axis; one Tensor, or a tuple of them.

    Parameters
    ----------
    *tensors : Tensor
        Of any shapes; also one sequence of them.

    Returns
    -------
    Tensor, or tuple of Tensor
        Of shape (1,) for (); others as they are.

    Examples
    --------
    >>> tl.atleast_1d(tl.tensor(3.0))
    tensor([3.])
    """
    return _each(tensors, lambda x: reshape(x, (1,) * (1 - len(x.shape)) + tuple(x.shape)))


def atleast_2d(*tensors: Any) -> Any:
    """Give Tensors at least two axes, added in front; one Tensor, or a tuple of them.

    Parameters
    ----------
    *tensors : Tensor
        Of any shapes; also one sequence of them.

    Returns
    -------
    Tensor, or tuple of Tensor
        Of shape (1, n) for (n,); those of two axes or more as they are.

    Examples
    --------
    >>> tl.atleast_2d(tl.tensor([1.0, 2.0]))
    tensor([[1., 2.]])
    """
    return _each(tensors, lambda x: reshape(x, (1,) * (2 - len(x.shape)) + tuple(x.shape)))


def atleast_3d(*tensors: Any) -> Any:
    """Give Tensors at least three axes; a matrix gets its third behind. One, or a tuple.

    Parameters
    ----------
    *tensors : Tensor
        Of any shapes; also one sequence of them.

    Returns
    -------
    Tensor, or tuple of Tensor
        Of shape (1, n, 1) for (n,), and (n, m, 1) for (n, m).

    Examples
    --------
    >>> tl.atleast_3d(tl.zeros(2, 4)).shape
    (2, 4, 1)
    """

    def with_three(x: Tensor) -> Tensor:
        shape = tuple(x.shape)
        wide = {0: (1, 1, 1), 1: (1, *shape, 1), 2: (*shape, 1)}
        return reshape(x, wide.get(len(shape), shape))

    return _each(tensors, with_three)


def _each(tensors: tuple, change: Any) -> Any:
    if len(tensors) == 1 and isinstance(tensors[0], (tuple, list)):
        return tuple(map(change, tensors[0]))
    return change(tensors[0]) if len(tensors) == 1 else tuple(map(change, tensors))
