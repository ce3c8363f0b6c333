"""Elements picked by number, by place or by a mask."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np

from tensorlite.backend import CPU
from tensorlite.backend.dims import one_dim
from tensorlite.ops import compare
from tensorlite.ops.axes import broadcast_tensors
from tensorlite.ops.faces import takes_axis
from tensorlite.ops.index import (
    ARRAY,
    advanced_getitem,
    getitem,
    index_array,
    one_hot_array,
    places_of_nonzero,
    take_along,
    take_along_axis,
)
from tensorlite.ops.promotion import cast
from tensorlite.ops.shape import reshape, stack_arrays
from tensorlite.tape import check
from tensorlite.tensor import Tensor, tensor_of

__all__ = [
    "argwhere",
    "gather",
    "index_select",
    "masked_select",
    "nonzero",
    "one_hot",
    "take",
    "take_along_dim",
    "unravel_index",
    "where",
]


def raw(x: Any) -> Any:
    """The array of a Tensor; an array as it is."""
    return x.array if isinstance(x, Tensor) else x


def checked_numbers(name: str, x: Any, index: Any, n: int, least: int = 0) -> Any:
    """An integer index where `x` is; on the CPU, each number is between `least` and n - 1.

    Raises
    ------
    IndexError
        If one is not, or if the index holds no integers.
    """
    if not hasattr(index, "dtype"):
        index = np.asarray(index)
    if index.dtype.kind == "u" or raw(index).size == 0:
        index = cast(index, np.int64)
    index = index_array(x, index)
    numbers = raw(index)
    if numbers.dtype.kind not in "iu":
        raise IndexError(f"{name}: index has dtype {numbers.dtype}, not int64")
    if isinstance(numbers, np.ndarray) and numbers.size:
        check(_check_numbers, name, numbers, n, least)
    return index


def _check_numbers(name: str, numbers: np.ndarray, n: int, least: int) -> None:
    low, high = numbers.min(), numbers.max()
    if low < least or high >= n:
        wrong = low if low < least else high
        raise IndexError(f"{name}: index {wrong} is out of bounds for an axis of length {n}")


def with_axis(x: Any) -> Any:
    """A Tensor with no axes as one of a single element along one; others as they are."""
    return x if x.shape else reshape(x, (1,))


# --- by number ----------------------------------------------------------------------------------


@takes_axis
def gather(input: Tensor, dim: int, index: Tensor, *, sparse_grad: bool = False) -> Tensor:
    """Pick by number along `dim`: ``y[i, j] = input[index[i, j], j]`` for dim 0.

    `index` has as many axes as `input` and is nowhere longer than it, but along `dim`.

    Parameters
    ----------
    input, index : Tensor
        Of as many axes; `index` of integers.
    dim : int
        The axis.
    sparse_grad : bool
        Taken as torch takes it, without effect.

    Returns
    -------
    Tensor
        Of `index`'s shape and `input`'s dtype.

    Raises
    ------
    IndexError
        On the CPU, if a number is not below the length of the axis, or negative.

    Examples
    --------
    >>> tl.gather(tl.tensor([[1, 2], [3, 4]]), 1, tl.tensor([[1], [0]]))
    tensor([[2],
            [3]])
    """
    axis = one_dim(dim, len(input.shape), "gather")
    n = input.shape[axis] if input.shape else 1
    index = checked_numbers("gather", input, index, n)
    shape = tuple(index.shape)
    if not (input.shape and shape):
        if len(shape) > 1 or len(input.shape) > 1:
            raise RuntimeError(_not_fitting("gather", shape, input.shape))
        return reshape(take_along(with_axis(input), reshape(index, (-1,)), axis=0), shape)
    if 0 in shape and len(shape) != len(input.shape):
        return reshape(input[:0], shape)
    return take_along_axis(cropped("gather", input, shape, axis), index, axis)


def cropped(name: str, x: Tensor, index_shape: tuple, free: int | None) -> Tensor:
    """The part of `x` that an index of `index_shape` can reach, all of it along the axis `free`."""
    kept = tuple([x.shape[free] if i == free else n for i, n in enumerate(index_shape)])
    if len(kept) != len(x.shape) or any(map(operator.gt, kept, x.shape)):
        raise RuntimeError(_not_fitting(name, index_shape, x.shape))
    return x if kept == tuple(x.shape) else getitem(x, tuple(map(slice, kept)))


def _not_fitting(name: str, index_shape: tuple, shape: Any) -> str:
    return (
        f"{name}: index of shape {tuple(index_shape)} does not fit a Tensor of shape "
        f"{tuple(shape)}: the same number of axes, and nowhere longer (but along the axis picked "
        "from)"
    )


@takes_axis
def index_select(input: Tensor, dim: int, index: Tensor) -> Tensor:
    """Take the sub-arrays along `dim` that `index`, with one axis or none, numbers.

    Parameters
    ----------
    input : Tensor
        Of any shape.
    dim : int
        The axis.
    index : integer Tensor, shape (n,)

    Returns
    -------
    Tensor
        Of `input`'s shape, with length n along `dim`.

    Raises
    ------
    IndexError
        If `index` has several axes, or a number is out of range (on the CPU).
    RuntimeError
        If `input` has no axes and `index` more than one number.

    Examples
    --------
    >>> tl.index_select(tl.tensor([[1, 2], [3, 4]]), 1, tl.tensor([1]))
    tensor([[2],
            [4]])
    """
    axis = one_dim(dim, len(input.shape), "index_select")
    if len(index.shape) > 1:
        raise IndexError(f"index_select: index of shape {tuple(index.shape)} has several axes")
    n = input.shape[axis] if input.shape else 1
    index = checked_numbers("index_select", input, index, n)
    if not input.shape:
        if raw(index).size != 1:
            raise RuntimeError("index_select: of a Tensor with no axes one element can be taken")
        return reshape(take_along(with_axis(input), reshape(index, (1,)), axis=0), ())
    return take_along(input, reshape(index, (-1,)), axis=axis)


def take(input: Tensor, index: Tensor) -> Tensor:
    """Take the elements that `index` numbers, counted in row order; of `index`'s shape.

    Parameters
    ----------
    input : Tensor
        Of any shape.
    index : integer Tensor

    Returns
    -------
    Tensor
        Of `index`'s shape and `input`'s dtype.

    Examples
    --------
    >>> tl.take(tl.tensor([[4.0, 1.0], [1.0, 3.0]]), 1)
    tensor(1.)
    """
    n = int(np.prod(input.shape))
    index = checked_numbers("take", input, index, n, least=-n)
    return take_along(reshape(input, (-1,)), index, axis=0)


@takes_axis
def take_along_dim(input: Tensor, indices: Tensor, dim: int | None = None) -> Tensor:
    """Match `indices` and `input` along `dim`, as `numpy.take_along_axis`; flattened without it.

    ``y[i, j] = input[indices[i, j], j]`` for dim 0; the other axes broadcast.

    Parameters
    ----------
    input, indices : Tensor
        Of as many axes; `indices` of integers.
    dim : int, optional
        The axis.

    Returns
    -------
    Tensor
        Of the shape that the two broadcast to, but along `dim`.

    Raises
    ------
    RuntimeError
        If they have not as many axes.

    Examples
    --------
    >>> tl.take_along_dim(tl.tensor([[1, 2], [3, 4]]), tl.tensor([[1], [0]]), 1)
    tensor([[2],
            [3]])
    """
    if dim is None:
        input, indices, dim = reshape(input, (-1,)), reshape(indices, (-1,)), 0
    if len(input.shape) != len(indices.shape):
        raise RuntimeError(
            f"take_along_dim: indices of shape {tuple(indices.shape)} and a Tensor of shape "
            f"{tuple(input.shape)} have not as many axes"
        )
    axis = one_dim(dim, len(input.shape), "take_along_dim")
    n = input.shape[axis] if input.shape else 1
    indices = checked_numbers("take_along_dim", input, indices, n, least=-n)
    if not input.shape:
        return gather(input, 0, indices)
    return take_along_axis(input, indices, axis)


# --- by mask ------------------------------------------------------------------------------------


def masked_select(input: Tensor, mask: Tensor) -> Tensor:
    """Return the elements where `mask` is true, along one axis; the two broadcast.

    Parameters
    ----------
    input, mask : Tensor
        Of shapes that broadcast; `mask` of bool.

    Returns
    -------
    Tensor, shape (n,)

    Raises
    ------
    RuntimeError
        If `mask` is not of bool.

    Examples
    --------
    >>> tl.masked_select(tl.tensor([1.0, 2.0]), tl.tensor([True, False]))
    tensor([1.])
    """
    if mask.dtype != bool:
        raise RuntimeError(f"masked_select: the mask is {mask.dtype}, not bool")
    mask = index_array(input, mask)
    if tuple(input.shape) != tuple(mask.shape):
        input, mask = broadcast_tensors(input, mask)
    return advanced_getitem(input, mask, parts=(ARRAY, Ellipsis))


def nonzero(input: Tensor, *, as_tuple: bool = False) -> Any:
    """Find the elements that are not zero.

    Parameters
    ----------
    input : Tensor
        Of any shape.

    Returns
    -------
    Tensor or tuple of Tensor
        Of shape (n, axes), int64: one place per row; `as_tuple`, an index array for each axis.

    Examples
    --------
    >>> tl.nonzero(tl.tensor([[0.0, 2.0], [3.0, 0.0]]))
    tensor([[0, 1],
            [1, 0]])
    """
    if not input.shape:
        (places,) = places_of_nonzero(reshape(input, (1,)))
        return (places,) if as_tuple else reshape(places, (-1, 1))[:, :0]
    places = places_of_nonzero(input)
    return places if as_tuple else stack_arrays(*places, axis=1)


def where(condition: Any, input: Any = None, other: Any = None) -> Any:
    """`input` where `condition` holds, `other` elsewhere.

    The gradient of the one not taken is exactly 0, even where its value is NaN or infinite.

    Parameters
    ----------
    condition : Tensor of bool
        Broadcasts with the others.
    input, other : Tensor or number
        Without them: where `condition` holds, as one Tensor of indices for each axis.

    Returns
    -------
    Tensor
        Of the shape that they broadcast to; without `input`, a tuple of Tensors (n,).

    Raises
    ------
    TypeError
        If one of `input` and `other` is missing.

    Examples
    --------
    >>> tl.where(tl.tensor([True, False]), tl.tensor([1.0, 2.0]), 0.0)
    tensor([1., 0.])
    """
    if input is None and other is None:
        return nonzero(condition, as_tuple=True)
    if input is None or other is None:
        raise TypeError("where() needs both input and other, or neither")
    return compare.where(condition, input, other)


def argwhere(input: Tensor) -> Tensor:
    """Find the elements that are not zero: one place per row, as int64.

    Parameters
    ----------
    input : Tensor
        Of any shape.

    Returns
    -------
    Tensor of int64, shape (n, axes)

    Examples
    --------
    >>> tl.argwhere(tl.tensor([[0.0, 2.0], [3.0, 0.0]]))
    tensor([[0, 1],
            [1, 0]])
    """
    return nonzero(input)


def one_hot(input: Tensor, num_classes: int = -1) -> Tensor:
    """Return 1 at each label and 0 elsewhere, along a new last axis, as int64.

    Parameters
    ----------
    input : integer Tensor
    num_classes : int
        By default one more than the largest label.

    Returns
    -------
    Tensor of int64, shape (*input.shape, num_classes)

    Raises
    ------
    IndexError
        On the CPU, if a label is negative or not below `num_classes`.

    Examples
    --------
    >>> tl.one_hot(tl.tensor([0, 2]))
    tensor([[1, 0, 0],
            [0, 0, 1]])
    """
    if input.dtype.kind not in "iu":
        raise RuntimeError(f"one_hot: labels are int64, not {input.dtype}")
    if num_classes == -1:
        if raw(input).size == 0:
            raise RuntimeError("one_hot: of no labels the number of classes must be given")
        num_classes = int(raw(input).max()) + 1
    elif num_classes < 1:
        raise RuntimeError(f"one_hot: at least one class, not {num_classes}")
    return one_hot_array(input, num_classes)


def unravel_index(indices: Tensor, shape: Any) -> tuple[Tensor, ...]:
    """Turn numbers of elements in row order into index arrays, one per axis of `shape`.

    Parameters
    ----------
    indices : integer Tensor
        Of any shape.
    shape : sequence of int

    Returns
    -------
    tuple of Tensor
        Of `indices`'s shape.

    Raises
    ------
    ValueError
        If an index is outside, or is no integer.

    Examples
    --------
    >>> tl.unravel_index(tl.tensor([5]), (2, 3))
    (tensor([1]), tensor([2]))
    """
    sizes = (shape,) if isinstance(shape, int) else tuple(map(operator.index, shape))
    if indices.dtype.kind not in "iu":
        raise ValueError(f"unravel_index: indices are integers, not {indices.dtype}")
    if any(n < 0 for n in sizes):
        raise ValueError(f"unravel_index: a length of shape {sizes} is negative")
    left, places = raw(indices).astype(np.int64), []
    if indices.device == CPU and left.size and not 0 <= left.min() <= left.max() < np.prod(sizes):
        raise ValueError(f"unravel_index: an index is not inside shape {sizes}")
    for n in reversed(sizes):
        places.append(tensor_of(left % n))
        left = left // n
    return tuple(reversed(places))
