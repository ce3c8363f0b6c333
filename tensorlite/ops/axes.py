"""Axes: merged, split, moved, added and dropped; views where no copy is needed."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any

from tensorlite.backend.dims import named_dims, one_dim
from tensorlite.ops.faces import one_by_one, takes_axis
from tensorlite.ops.index import basic_getitem
from tensorlite.ops.shape import broadcast_to, reshape, swapaxes, transpose_axes
from tensorlite.tensor import Size, Tensor

__all__ = [
    "adjoint",
    "broadcast_shapes",
    "broadcast_tensors",
    "moveaxis",
    "movedim",
    "narrow",
    "permute",
    "select",
    "swapdims",
    "t",
    "transpose",
]

# --- in another order ---------------------------------------------------------------------------


def transpose(input: Tensor, dim0: int, dim1: int) -> Tensor:
    """Exchange the axes `dim0` and `dim1`.

    Parameters
    ----------
    input : Tensor
        Of any shape.
    dim0, dim1 : int

    Returns
    -------
    Tensor
        A view.

    Examples
    --------
    >>> tl.transpose(tl.zeros(2, 3), 0, 1).shape
    (3, 2)
    """
    return swapaxes(input, dim0, dim1)


def swapdims(input: Tensor, dim0: int, dim1: int) -> Tensor:
    """Exchange the axes `dim0` and `dim1`.

    Parameters
    ----------
    input : Tensor
        Of any shape.
    dim0, dim1 : int

    Returns
    -------
    Tensor
        A view.

    Examples
    --------
    >>> tl.swapdims(tl.zeros(2, 3), 0, 1).shape
    (3, 2)
    """
    return swapaxes(input, dim0, dim1)


def t(input: Tensor) -> Tensor:
    """Transpose a matrix; a Tensor with fewer axes stays as it is.

    Parameters
    ----------
    input : Tensor, shape (n, m), (n,) or ()

    Returns
    -------
    Tensor
        A view.

    Raises
    ------
    RuntimeError
        If `input` has more than two axes.

    Examples
    --------
    >>> tl.t(tl.zeros(2, 3)).shape
    (3, 2)
    """
    ndim = len(input.shape)
    if ndim > 2:
        raise RuntimeError(
            f"t: a Tensor of shape {tuple(input.shape)} has more than 2 axes: use mT, transpose() "
            "or permute()"
        )
    return swapaxes(input, 0, 1) if ndim == 2 else reshape(input, input.shape)


def adjoint(input: Tensor) -> Tensor:
    """Exchange the last two axes.

    Parameters
    ----------
    input : Tensor, shape (..., n, m)
        There are no complex numbers to conjugate.

    Returns
    -------
    Tensor, shape (..., m, n)
        A view.

    Examples
    --------
    >>> tl.adjoint(tl.zeros(2, 3)).shape
    (3, 2)
    """
    return swapaxes(input, -2, -1)


def permute(input: Tensor, dims: Sequence[int]) -> Tensor:
    """Put the axes in the order `dims`, which names each of them once.

    Parameters
    ----------
    input : Tensor
        Of any shape.
    dims : sequence of int

    Returns
    -------
    Tensor
        A view.

    Examples
    --------
    >>> tl.permute(tl.zeros(2, 3, 4), (2, 0, 1)).shape
    (4, 2, 3)
    """
    return transpose_axes(input, tuple(dims))


def movedim(input: Tensor, source: int | Sequence[int], destination: int | Sequence[int]) -> Tensor:
    """Move the axes `source` to the places `destination`; the others keep their order.

    Parameters
    ----------
    input : Tensor
        Of any shape.
    source, destination : int or sequence of int

    Returns
    -------
    Tensor
        A view.

    Raises
    ------
    ValueError
        If there are not as many of both.

    Examples
    --------
    >>> tl.movedim(tl.zeros(2, 3, 4), 0, -1).shape
    (3, 4, 2)
    """
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
    """`movedim` by NumPy's name.

    Parameters
    ----------
    input, source, destination
        As of `movedim`.

    Returns
    -------
    Tensor
        A view, of another shape.

    Examples
    --------
    >>> tl.moveaxis(tl.zeros(2, 3, 4), 0, -1).shape
    (3, 4, 2)
    """
    return movedim(input, source, destination)


# --- parts --------------------------------------------------------------------------------------


@takes_axis
def select(input: Tensor, dim: int, index: int) -> Tensor:
    """Take the sub-array numbered `index` along `dim`; a view, without the axis.

    Parameters
    ----------
    input : Tensor
        Of any shape with at least one axis.
    dim : int
        The axis.
    index : int

    Returns
    -------
    Tensor
        Of one axis less.

    Raises
    ------
    IndexError
        If there is no such axis or index.

    Examples
    --------
    >>> tl.select(tl.tensor([[1, 2], [3, 4]]), 1, 0)
    tensor([1, 3])
    """
    if not input.shape:
        raise IndexError("select: a Tensor with no axes has no parts")
    axis = one_dim(dim, len(input.shape), "select")
    return basic_getitem(input, (*(slice(None),) * axis, operator.index(index), ...))


@takes_axis
def narrow(input: Tensor, dim: int, start: int | Tensor, length: int) -> Tensor:
    """Take `length` elements along `dim` from `start` on, which may count from the end; a view.

    Parameters
    ----------
    input : Tensor
        Of any shape.
    dim : int
        The axis.
    start : int, or Tensor without axes
    length : int

    Returns
    -------
    Tensor
        Of length `length` along `dim`.

    Raises
    ------
    IndexError
        If `start` is out of range.
    RuntimeError
        If the elements reach over the end, or there is no axis.

    Examples
    --------
    >>> tl.narrow(tl.arange(5), 0, 1, 3)
    tensor([1, 2, 3])
    """
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
    """Repeat along axes of length 1 to the lengths `sizes`, without a copy; -1 keeps a length.

    Parameters
    ----------
    input : Tensor
        Of a shape that broadcasts to `sizes`.
    sizes : sequence of int
        The new shape, given one by one or as one sequence.

    Returns
    -------
    Tensor, shape `sizes`
        A view.

    Examples
    --------
    >>> tl.tensor([[1], [2]]).expand(-1, 3)
    tensor([[1, 1, 1],
            [2, 2, 2]])
    """
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
    """`expand` to the shape of `other`.

    Parameters
    ----------
    other : Tensor
        Of a shape that `input`'s broadcasts to.

    Returns
    -------
    Tensor
        A view of `other`'s shape.

    Examples
    --------
    >>> tl.tensor([1, 2]).expand_as(tl.zeros(2, 2))
    tensor([[1, 2],
            [1, 2]])
    """
    return expand(input, tuple(other.shape))


def broadcast_shapes(*shapes: int | Sequence[int]) -> Any:
    """The shape that `shapes` broadcast to.

    Parameters
    ----------
    *shapes : int or sequence of int

    Returns
    -------
    Size

    Raises
    ------
    RuntimeError
        If a length is negative, or they do not broadcast.

    Examples
    --------
    >>> tl.broadcast_shapes((3, 1), (2,))
    (3, 2)
    """
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
    """Expand Tensors to the one shape that they broadcast to.

    Parameters
    ----------
    *tensors : Tensor
        Of shapes that broadcast.

    Returns
    -------
    tuple of Tensor
        Views.

    Examples
    --------
    >>> [x.shape for x in tl.broadcast_tensors(tl.zeros(3, 1), tl.zeros(2))]
    [(3, 2), (3, 2)]
    """
    tensors = one_by_one(tensors)
    shape = tuple(broadcast_shapes(*[tuple(x.shape) for x in tensors]))
    return tuple([broadcast_to(x, shape) for x in tensors])
