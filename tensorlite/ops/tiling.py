"""Elements repeated, and put in another order along their axes."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any

import numpy as np

from tensorlite.backend import array_backend
from tensorlite.backend.dims import named_dims, one_dim
from tensorlite.ops.faces import copies, takes_axis
from tensorlite.ops.gathering import take_along
from tensorlite.ops.reshaping import flatten
from tensorlite.ops.shape import broadcast_to, reshape, reverse, roll_axes, swapaxes
from tensorlite.tensor import Tensor, tensor_of

__all__ = ["flip", "fliplr", "flipud", "repeat_interleave", "roll", "rot90", "tile"]


# --- more elements ------------------------------------------------------------------------------


@copies
def repeat(input: Tensor, repeats: Sequence[int]) -> Tensor:
    """Lay copies side by side, ``repeats[i]`` of them along axis i; no fewer numbers than axes.

    `repeat_interleave` repeats the elements, as `numpy.repeat`.

    Parameters
    ----------
    input : Tensor
        Of any shape.
    repeats : sequence of int
        Given one by one or as one sequence.

    Returns
    -------
    Tensor
        As many times longer along each axis.

    Examples
    --------
    >>> tl.tensor([1, 2]).repeat(2, 2)
    tensor([[1, 2, 1, 2],
            [1, 2, 1, 2]])
    """
    if len(repeats) < len(input.shape):
        raise RuntimeError(
            f"repeat: {len(repeats)} numbers for the {len(input.shape)} axes of shape "
            f"{tuple(input.shape)}"
        )
    return _tiled("repeat", input, repeats)


@copies
def tile(input: Tensor, dims: Sequence[int]) -> Tensor:
    """Lay copies side by side, ``dims[i]`` of them along axis i, counted from the last.

    Parameters
    ----------
    input : Tensor
        Of any shape.
    dims : sequence of int

    Returns
    -------
    Tensor
        As many times longer along each axis.

    Raises
    ------
    RuntimeError
        If a number is negative.

    Examples
    --------
    >>> tl.tile(tl.tensor([1, 2]), (2, 2))
    tensor([[1, 2, 1, 2],
            [1, 2, 1, 2]])
    """
    return _tiled("tile", input, (dims,) if isinstance(dims, int) else dims)


def _tiled(name: str, x: Tensor, counts: Sequence[int]) -> Tensor:
    counts = tuple(map(operator.index, counts))
    if any(n < 0 for n in counts):
        raise RuntimeError(f"{name}: no negative number of copies: {counts}")
    ndim = max(len(counts), len(x.shape))
    counts = (1,) * (ndim - len(counts)) + counts
    shape = (1,) * (ndim - len(x.shape)) + tuple(x.shape)
    apart = reshape(x, tuple(m for n in shape for m in (1, n)))
    wide = broadcast_to(apart, tuple(m for pair in zip(counts, shape, strict=True) for m in pair))
    return reshape(wide, tuple(r * n for r, n in zip(counts, shape, strict=True)))


@takes_axis
@copies
def repeat_interleave(
    input: Tensor,
    repeats: int | Tensor | None = None,
    dim: int | None = None,
    *,
    output_size: int | None = None,
) -> Tensor:
    """Repeat each element along `dim`, as `numpy.repeat`.

    Parameters
    ----------
    input : Tensor
        Alone, it is the numbers of repeats, and the result numbers the elements repeated so.
    repeats : int or integer Tensor
        How often: all elements, or each along `dim`.
    dim : int, optional
        By default `input` is flattened first.
    output_size : int, optional
        The length of the result along `dim`, where it is known.

    Returns
    -------
    Tensor
        As long along `dim` as the repeats add up to.

    Raises
    ------
    IndexError
        If `input` has no axis `dim`.
    RuntimeError
        If `repeats` does not fit the axis, or has fractions or negative numbers.

    Examples
    --------
    >>> tl.repeat_interleave(tl.tensor([1, 2]), 2).tolist()
    [1, 1, 2, 2]
    """
    if repeats is None:
        places = _repeated_places(input, len(input), "repeat_interleave")
        places = places.astype(input.dtype)
        return tensor_of(array_backend((input.array,)).asarray(places, device=input.device))
    if dim is None:
        input, dim = flatten(input), 0
    if not input.shape:
        raise IndexError("repeat_interleave: a Tensor with no axes has none to repeat along")
    shape = tuple(input.shape)
    axis = one_dim(dim, len(shape), "repeat_interleave")
    count = repeats.item() if isinstance(repeats, Tensor) and repeats.numel() == 1 else repeats
    if isinstance(count, (int, np.integer)):
        if count < 0:
            raise RuntimeError(f"repeat_interleave: no negative number of repeats: {count}")
        result = (*shape[:axis], shape[axis] * count, *shape[axis + 1 :])
        apart = reshape(input, (*shape[: axis + 1], 1, *shape[axis + 1 :]))
        wide = broadcast_to(apart, (*shape[: axis + 1], count, *shape[axis + 1 :]))
        y = reshape(wide, result)
    else:
        places = _repeated_places(repeats, shape[axis], "repeat_interleave")
        y = take_along(input, array_backend((_raw(input),)).asarray(places), axis=axis)
    if output_size is not None and y.shape[axis] != output_size:
        raise RuntimeError(
            f"repeat_interleave: the result has length {y.shape[axis]} along axis {axis}, not "
            f"output_size={output_size}"
        )
    return y


def _raw(x: Any) -> Any:
    return x.array if isinstance(x, Tensor) else x


def _repeated_places(repeats: Any, n: int, name: str) -> np.ndarray:
    counts = np.asarray(repeats.cpu().array if isinstance(repeats, Tensor) else repeats)
    if counts.ndim != 1 or len(counts) != n:
        raise RuntimeError(f"{name}: repeats of shape {counts.shape} for an axis of length {n}")
    if counts.dtype.kind not in "iu" and counts.size:
        raise RuntimeError(f"{name}: repeats are integers, not {counts.dtype}")
    if counts.size and counts.min() < 0:
        raise RuntimeError(f"{name}: no negative number of repeats: {counts.min()}")
    return np.repeat(np.arange(n), counts.astype(np.int64))


# --- order --------------------------------------------------------------------------------------


@takes_axis
def roll(
    input: Tensor, shifts: int | Sequence[int], dims: int | Sequence[int] | None = None
) -> Tensor:
    """Move elements along `dims`; what leaves at one end comes in at the other.

    Without `dims` all elements move along one axis, in row order, and take their shape again.

    Parameters
    ----------
    input : Tensor
        Of any shape.
    shifts : int or sequence of int
    dims : int or sequence of int, optional

    Returns
    -------
    Tensor
        Of `input`'s shape and dtype.

    Raises
    ------
    RuntimeError
        If there are not as many `shifts` as `dims`.
    IndexError
        If there is no such axis.

    Examples
    --------
    >>> tl.roll(tl.tensor([1, 2, 3]), 1)
    tensor([3, 1, 2])
    """
    steps = shifts if isinstance(shifts, (tuple, list)) else (shifts,)
    steps = tuple(map(operator.index, steps))
    if not steps:
        raise RuntimeError("roll: shifts is empty")
    if dims is None or (isinstance(dims, (tuple, list)) and not dims):
        if len(steps) != 1:
            raise RuntimeError(f"roll: {len(steps)} shifts need as many dims")
        return roll_axes(input, steps[0])
    axes = dims if isinstance(dims, (tuple, list)) else (dims,)
    if len(axes) != len(steps):
        raise RuntimeError(f"roll: {len(steps)} shifts for {len(axes)} dims")
    if not input.shape:
        raise IndexError("roll: a Tensor with no axes has none to roll along")
    return roll_axes(input, steps, tuple(one_dim(axis, len(input.shape), "roll") for axis in axes))


@takes_axis
def flip(input: Tensor, dims: int | Sequence[int]) -> Tensor:
    """Reverse the order of the elements along the axes `dims`.

    Parameters
    ----------
    input : Tensor
        Of any shape.
    dims : int or sequence of int

    Returns
    -------
    Tensor
        Of `input`'s shape and dtype.

    Examples
    --------
    >>> tl.flip(tl.tensor([1, 2, 3]), 0)
    tensor([3, 2, 1])
    """
    axes = named_dims(dims, len(input.shape), "flip")
    return reverse(input, axes if input.shape else ())


def fliplr(input: Tensor) -> Tensor:
    """Reverse the order of the columns: the second axis.

    Parameters
    ----------
    input : Tensor
        Of at least two axes.

    Returns
    -------
    Tensor
        Of `input`'s shape and dtype.

    Raises
    ------
    RuntimeError
        If it has fewer.

    Examples
    --------
    >>> tl.fliplr(tl.tensor([[1, 2], [3, 4]]))
    tensor([[2, 1],
            [4, 3]])
    """
    if len(input.shape) < 2:
        raise RuntimeError(f"fliplr: shape {tuple(input.shape)} has no second axis")
    return reverse(input, 1)


def flipud(input: Tensor) -> Tensor:
    """Reverse the order of the rows: the first axis.

    Parameters
    ----------
    input : Tensor
        Of at least one axis.

    Returns
    -------
    Tensor
        Of `input`'s shape and dtype.

    Raises
    ------
    RuntimeError
        If it has none.

    Examples
    --------
    >>> tl.flipud(tl.tensor([-1.5, 0.0, 2.0]))
    tensor([ 2. ,  0. , -1.5])
    """
    if not input.shape:
        raise RuntimeError("flipud: a Tensor with no axes has no rows")
    return reverse(input, 0)


def rot90(input: Tensor, k: int = 1, dims: Sequence[int] = (0, 1)) -> Tensor:
    """Turn by `k` right angles in the plane of two axes, from the first towards the second.

    Parameters
    ----------
    input : Tensor
        Of at least two axes.
    k : int
        How often.
    dims : sequence of two int

    Returns
    -------
    Tensor
        The two axes exchange lengths where `k` is odd.

    Raises
    ------
    RuntimeError
        If there are not two `dims`, or too few axes.

    Examples
    --------
    >>> tl.rot90(tl.tensor([[1, 2], [3, 4]]))
    tensor([[2, 4],
            [1, 3]])
    """
    if len(dims) != 2:
        raise RuntimeError(f"rot90: two axes make a plane, not {tuple(dims)}")
    if len(input.shape) < 2:
        raise RuntimeError(f"rot90: shape {tuple(input.shape)} has fewer than two axes")
    first, second = named_dims(dims, len(input.shape), "rot90")
    k %= 4
    if k == 0:
        return input.clone() if isinstance(input, Tensor) else input
    if k == 2:
        return reverse(input, (first, second))
    turned = swapaxes(input, first, second)
    return reverse(turned, first if k == 1 else second)
