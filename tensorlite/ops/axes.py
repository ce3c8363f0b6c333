"""Axes: merged, split, moved, added and dropped; views where no copy is needed."""

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
from tensorlite.ops.index import basic_getitem
from tensorlite.ops.shape import broadcast_to, reshape, swapaxes, transpose_axes
from tensorlite.outside import check_dtype, is_plain
from tensorlite.tensor import Size, Tensor, tensor_of

__all__ = [
    "adjoint",
    "atleast_1d",
    "atleast_2d",
    "atleast_3d",
    "broadcast_shapes",
    "broadcast_tensors",
    "expand_dims",
    "flatten",
    "moveaxis",
    "movedim",
    "narrow",
    "permute",
    "ravel",
    "select",
    "squeeze",
    "swapdims",
    "t",
    "transpose",
    "unflatten",
    "unsqueeze",
]

# --- in another order ---------------------------------------------------------------------------


def transpose(input: Tensor, dim0: int, dim1: int) -> Tensor:
    """Exchange the axes `dim0` and `dim1`."""
    return swapaxes(input, dim0, dim1)


def swapdims(input: Tensor, dim0: int, dim1: int) -> Tensor:
    """Exchange the axes `dim0` and `dim1`."""
    return swapaxes(input, dim0, dim1)


def t(input: Tensor) -> Tensor:
    """Transpose a matrix; a Tensor with fewer axes stays as it is.

    Examples
    --------
    >>> tl.t(tl.tensor([-1.5, 0.0, 2.0]))
    tensor([-1.5,  0. ,  2. ])
    """
    ndim = len(input.shape)
    if ndim > 2:
        raise RuntimeError(
            f"t: a Tensor of shape {tuple(input.shape)} has more than 2 axes: use mT, transpose() "
            "or permute()"
        )
    return swapaxes(input, 0, 1) if ndim == 2 else reshape(input, input.shape)


def adjoint(input: Tensor) -> Tensor:
    """Exchange the last two axes."""
    return swapaxes(input, -2, -1)


def permute(input: Tensor, dims: Sequence[int]) -> Tensor:
    """Put the axes in the order `dims`, which names each of them once."""
    return transpose_axes(input, tuple(dims))


def movedim(input: Tensor, source: int | Sequence[int], destination: int | Sequence[int]) -> Tensor:
    """Move the axes `source` to the places `destination`; the others keep their order."""
    ndim = len(input.shape)
    from_axes = named_dims(source, ndim, "movedim: source")
    places = named_dims(destination, ndim, "movedim: destination")
    if len(from_axes) != len(places):
        raise ValueError(f"movedim: {len(from_axes)} axes to move to {len(places)} places")
    order = [axis for axis in range(ndim) if axis not in from_axes]
    for place, axis in sorted(zip(places, from_axes, strict=True)):
        order.insert(place, axis)
    return transpose_axes(input, tuple(order[:ndim]))


def moveaxis(
    input: Tensor, source: int | Sequence[int], destination: int | Sequence[int]
) -> Tensor:
    """`movedim` by NumPy's name."""
    return movedim(input, source, destination)


# --- merged, split, added, dropped --------------------------------------------------------------


def view(input: Tensor, *shape: Any, dtype: Any = None) -> Tensor:
    """Give another shape in the same memory, or read the bits as another dtype: ``x.view(dtype)``.

    Raises
    ------
    RuntimeError
        If the elements do not lie so that the shape can be had without a copy: use `reshape`.
    """
    if len(shape) == 1 and not isinstance(shape[0], (int, tuple, list)):
        try:
            shape = (operator.index(shape[0]),)
        except TypeError:
            shape, dtype = (), shape[0]  # type: ignore[misc]
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
    """`view` with the shape of `other`."""
    return view(input, other.shape)


def reshape_as(input: Tensor, other: Tensor) -> Tensor:
    """`reshape` to the shape of `other`."""
    return reshape(input, tuple(other.shape))


def ravel(input: Tensor) -> Tensor:
    """All elements along one axis.

    Examples
    --------
    >>> tl.ravel(tl.tensor([-1.5, 0.0, 2.0]))
    tensor([-1.5,  0. ,  2. ])
    """
    return reshape(input, (-1,))


def flatten(input: Tensor, start_dim: int = 0, end_dim: int = -1) -> Tensor:
    """Merge the axes `start_dim` to `end_dim`, both included; no axes become one.

    Examples
    --------
    >>> tl.flatten(tl.tensor([-1.5, 0.0, 2.0]))
    tensor([-1.5,  0. ,  2. ])
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
    """Split the axis `dim` into axes of the lengths `sizes`; one may be -1 and is worked out."""
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

    Examples
    --------
    >>> tl.squeeze(tl.tensor([-1.5, 0.0, 2.0]))
    tensor([-1.5,  0. ,  2. ])
    """
    shape = input.shape
    dropped = range(len(shape)) if dim is None else named_dims(dim, len(shape), "squeeze")
    return reshape(input, tuple([n for i, n in enumerate(shape) if n != 1 or i not in dropped]))


@takes_axis
def unsqueeze(input: Tensor, dim: int) -> Tensor:
    """Insert an axis of length 1, at the place `dim` of the result."""
    shape = input.shape
    place = one_dim(dim, len(shape) + 1, "unsqueeze")
    return reshape(input, (*shape[:place], 1, *shape[place:]))


def expand_dims(input: Tensor, axis: int | Sequence[int]) -> Tensor:
    """Insert axes of length 1, so that they are at the places `axis` of the result; NumPy's."""
    count = len(axis) if isinstance(axis, (tuple, list)) else 1
    shape = list(input.shape)
    for place in sorted(named_dims(axis, len(shape) + count, "expand_dims")):
        shape.insert(place, 1)
    return reshape(input, tuple(shape))


def atleast_1d(*tensors: Any) -> Any:
    """Give Tensors at least one axis; one Tensor, or a tuple of them."""
    return _each(tensors, lambda x: reshape(x, (1,) * (1 - len(x.shape)) + tuple(x.shape)))


def atleast_2d(*tensors: Any) -> Any:
    """Give Tensors at least two axes, added in front; one Tensor, or a tuple of them."""
    return _each(tensors, lambda x: reshape(x, (1,) * (2 - len(x.shape)) + tuple(x.shape)))


def atleast_3d(*tensors: Any) -> Any:
    """Give Tensors at least three axes; a matrix gets its third behind. One, or a tuple."""

    def with_three(x: Tensor) -> Tensor:
        shape = tuple(x.shape)
        wide = {0: (1, 1, 1), 1: (1, *shape, 1), 2: (*shape, 1)}
        return reshape(x, wide.get(len(shape), shape))

    return _each(tensors, with_three)


def _each(tensors: tuple, change: Any) -> Any:
    if len(tensors) == 1 and isinstance(tensors[0], (tuple, list)):
        return tuple(map(change, tensors[0]))
    return change(tensors[0]) if len(tensors) == 1 else tuple(map(change, tensors))


# --- parts --------------------------------------------------------------------------------------


@takes_axis
def select(input: Tensor, dim: int, index: int) -> Tensor:
    """Take the sub-array numbered `index` along `dim`; a view, without the axis."""
    if not input.shape:
        raise IndexError("select: a Tensor with no axes has no parts")
    axis = one_dim(dim, len(input.shape), "select")
    return basic_getitem(input, (*(slice(None),) * axis, operator.index(index), ...))


@takes_axis
def narrow(input: Tensor, dim: int, start: int | Tensor, length: int) -> Tensor:
    """Take `length` elements along `dim` from `start` on, which may count from the end; a view."""
    if not input.shape:
        raise RuntimeError("narrow: a Tensor with no axes has no parts")
    axis = one_dim(dim, len(input.shape), "narrow")
    n, first, length = input.shape[axis], operator.index(start), operator.index(length)
    if not -n <= first <= n:
        raise IndexError(f"narrow: start {first} is not between {-n} and {n}")
    first += n if first < 0 else 0
    if length < 0 or first + length > n:
        raise RuntimeError(
            f"narrow: {length} elements from {first} do not fit axis {axis} of length {n}"
        )
    return basic_getitem(input, (*(slice(None),) * axis, slice(first, first + length), ...))


# --- wider --------------------------------------------------------------------------------------


def expand(input: Tensor, sizes: Sequence[int]) -> Tensor:
    """Repeat along axes of length 1 to the lengths `sizes`, without a copy; -1 keeps a length."""
    extra = len(sizes) - len(input.shape)
    if extra < 0:
        raise RuntimeError(
            f"expand: sizes {tuple(sizes)} have fewer axes than shape {tuple(input.shape)}"
        )
    if -1 in tuple(sizes[:extra]):
        raise RuntimeError(f"expand: a new axis in front has no length to keep: {tuple(sizes)}")
    own = (1,) * extra + tuple(input.shape)
    return broadcast_to(
        input, tuple([m if n == -1 else n for n, m in zip(sizes, own, strict=True)])
    )


def expand_as(input: Tensor, other: Tensor) -> Tensor:
    """`expand` to the shape of `other`."""
    return expand(input, tuple(other.shape))


def broadcast_shapes(*shapes: int | Sequence[int]) -> Any:
    """The shape that `shapes` broadcast to."""
    listed = [(s,) if isinstance(s, int) else tuple(s) for s in shapes]
    ndim = max(map(len, listed), default=0)
    result = [1] * ndim
    for shape in listed:
        for i, n in enumerate(shape, ndim - len(shape)):
            if n < 0:
                raise RuntimeError(f"broadcast_shapes: a length of {shape} is negative")
            if n != 1 and result[i] not in (1, n):
                raise RuntimeError(f"broadcast_shapes: {listed} do not broadcast together")
            result[i] = n if n != 1 else result[i]
    return Size(result)


def broadcast_tensors(*tensors: Tensor) -> tuple[Tensor, ...]:
    """Expand Tensors to the one shape that they broadcast to."""
    tensors = one_by_one(tensors)
    shape = tuple(broadcast_shapes(*[tuple(x.shape) for x in tensors]))
    return tuple([broadcast_to(x, shape) for x in tensors])
