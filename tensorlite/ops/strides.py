"""Views by strides: sliding windows, and any steps through a Tensor's memory."""

from __future__ import annotations

import math
import operator
from collections.abc import Sequence
from itertools import product
from types import ModuleType
from typing import Any

import numpy as np

from tensorlite.backend import Array
from tensorlite.backend.dims import named_dims, one_dim
from tensorlite.ops.fused import float32_inside
from tensorlite.ops.gathering import raw
from tensorlite.ops.index import ARRAY, getitem_backward, index_array
from tensorlite.ops.shape import reshape
from tensorlite.primitive import primitive
from tensorlite.tape import mode
from tensorlite.tensor import Tensor, tensor_of

__all__ = ["as_strided", "sliding_window"]

# --- windows ------------------------------------------------------------------------------------


def sliding_window(
    x: Tensor, window: int | Sequence[int], axis: int | Sequence[int] | None = None
) -> Tensor:
    """View every window of a shape, as `numpy.lib.stride_tricks.sliding_window_view`.

    Parameters
    ----------
    x : Tensor
    window : int or tuple of int
        Length of the window along each of `axis`.
    axis : int or tuple of int, optional
        By default all axes.

    Returns
    -------
    Tensor
        The axes of `x`, those slid along shortened by ``window - 1``, then the window's axes.

    Raises
    ------
    ValueError
        If a window does not fit its axis, or there are not as many as axes.

    Examples
    --------
    >>> tl.sliding_window(tl.arange(4), 2)
    tensor([[0, 1],
            [1, 2],
            [2, 3]])
    """
    ndim = len(x.shape)
    lengths = (window,) if isinstance(window, int) else tuple(window)
    axes = tuple(range(ndim)) if axis is None else named_dims(axis, ndim, "sliding_window")
    if len(lengths) != len(axes):
        raise ValueError(
            f"sliding_window: window {window} has no length for each of {len(axes)} axes"
        )
    for i, length in zip(axes, lengths, strict=True):
        if not 1 <= length <= x.shape[i]:
            raise ValueError(
                f"sliding_window: a window of {length} does not fit axis {i} of shape {x.shape}"
            )
    return sliding_windows(x, lengths, axes)


@primitive(name="unfold", view=True)
def sliding_windows(
    xp: ModuleType, x: Array, *, window: tuple[int, ...], axes: tuple[int, ...], step: int = 1
) -> Array:
    """View windows, one every `step` elements."""
    shape, strides = list(x.shape), list(x.strides)
    for i, n in zip(axes, window, strict=True):
        shape[i] = (shape[i] - n) // step + 1
        strides[i] *= step
    inner = [x.strides[i] for i in axes]
    return xp.lib.stride_tricks.as_strided(x, (*shape, *window), (*strides, *inner))


@primitive
@float32_inside
def sliding_window_backward(
    xp: ModuleType,
    d: Array,
    *,
    shape: tuple[int, ...],
    window: tuple[int, ...],
    axes: tuple[int, ...],
    step: int = 1,
) -> Array:
    """Add each window back where it was taken."""
    x = xp.zeros(shape, d.dtype)
    for tap in product(*map(range, window)):
        part = [slice(None)] * len(shape)
        for i, start in zip(axes, tap, strict=True):
            part[i] = slice(start, start + step * (d.shape[i] - 1) + 1, step)
        x[tuple(part)] += d[(..., *tap)]
    return x


sliding_windows.defvjp(
    x=lambda g, x_shape, window, axes, step: sliding_window_backward(g, x_shape, window, axes, step)
)
sliding_window_backward.defvjp(
    d=lambda g, window, axes, step: sliding_windows(g, window, axes, step)
)


def unfold(input: Tensor, dimension: int, size: int, step: int) -> Tensor:
    """Take windows of `size` elements along `dimension`, one every `step`, as a new last axis.

    Parameters
    ----------
    input : Tensor
        Of any shape (…).
    dimension, size, step : int
        The axis, the length of a window, and the distance from one to the next.

    Returns
    -------
    Tensor
        A view with one axis more, of length `size`.

    Raises
    ------
    RuntimeError
        If a window does not fit the axis, or `step` is less than 1.

    Examples
    --------
    >>> tl.arange(5).unfold(0, 3, 2)
    tensor([[0, 1, 2],
            [2, 3, 4]])
    """
    if not input.shape:
        input = reshape(input, (1,))
        if size == 1:  # torch has one window of a number, and it is the number
            return input
    axis = one_dim(dimension, len(input.shape), "unfold")
    if not 0 <= size <= input.shape[axis]:
        raise RuntimeError(
            f"unfold: a window of {size} does not fit axis {axis} of shape {tuple(input.shape)}"
        )
    if step < 1:
        raise RuntimeError(f"unfold: step is at least 1, not {step}")
    return sliding_windows(input, (size,), (axis,), step)


# --- any steps through memory -------------------------------------------------------------------


@primitive(name="as_strided", view=True)
def strided(
    xp: ModuleType, x: Array, *, size: tuple[int, ...], stride: tuple[int, ...], offset: int
) -> Array:
    """View elements of a contiguous `x` by steps, counted in elements, through its memory."""
    flat = xp.ascontiguousarray(x).reshape(-1)[offset:]
    steps = tuple(step * x.itemsize for step in stride)
    return xp.lib.stride_tricks.as_strided(flat, size, steps)


def _strided_vjp(
    g: Any, x_shape: tuple[int, ...], size: tuple[int, ...], stride: tuple[int, ...], offset: int
) -> Any:
    places = index_array(g, offset + _numbers(size, stride).reshape(-1))
    flat = getitem_backward(
        reshape(g, (-1,)), places, shape=(math.prod(x_shape),), parts=(ARRAY, Ellipsis)
    )
    return reshape(flat, x_shape)


strided.defvjp(x=_strided_vjp)


def _numbers(size: tuple[int, ...], stride: tuple[int, ...]) -> np.ndarray:
    places = np.zeros((), np.int64)
    for n, step in zip(size, stride, strict=True):
        places = places[..., None] + np.arange(n) * step
    return places


def as_strided(
    input: Tensor,
    size: Sequence[int],
    stride: Sequence[int],
    storage_offset: int | None = None,
) -> Tensor:
    """View elements by steps through memory; several may be one.

    Parameters
    ----------
    input : Tensor
    size, stride : sequence of int
        Length of each axis of the result, and the step from one element to the next along it, in
        elements.
    storage_offset : int, optional
        Where the first element is; by default where `input`'s is. Counted in the memory of
        `input` if that has no gaps, and otherwise in the memory that it is a view of.

    Returns
    -------
    Tensor, shape `size`
        A view.

    Raises
    ------
    RuntimeError
        If the view would leave the memory, or `input` has gaps and takes part in a recorded graph.

    Examples
    --------
    >>> tl.as_strided(tl.arange(6), (2, 3), (1, 2))
    tensor([[0, 2, 4],
            [1, 3, 5]])
    """
    size, stride = tuple(map(operator.index, size)), tuple(map(operator.index, stride))
    if len(size) != len(stride):
        raise RuntimeError(f"as_strided: {len(size)} lengths and {len(stride)} steps")
    if any(n < 0 for n in (*size, *stride)):
        raise RuntimeError(f"as_strided: size {size} and stride {stride} are not negative")
    array = raw(input)
    whole, start = (array, 0) if array.flags.c_contiguous else _memory_of(array)
    offset = start if storage_offset is None else operator.index(storage_offset)
    last = offset + sum((n - 1) * step for n, step in zip(size, stride, strict=True))
    if math.prod(size) and not 0 <= offset <= last < whole.size:
        raise RuntimeError(
            f"as_strided: size {size}, stride {stride} and offset {offset} leave the "
            f"{whole.size} elements of memory"
        )
    if whole is array:
        return strided(input, size, stride, offset)
    if isinstance(input, Tensor) and input.requires_grad and mode.switches.grad:
        raise RuntimeError(
            f"as_strided: a Tensor of shape {tuple(input.shape)} whose elements have gaps takes "
            "part in a recorded graph: use contiguous() before"
        )
    return tensor_of(strided(whole, size, stride, offset))


def _memory_of(array: Array) -> tuple[Array, int]:
    """All of the memory that `array` is a view of, along one axis; and where the view begins."""
    base = array
    while hasattr(base.base, "dtype"):
        base = base.base
    if base.dtype != array.dtype or not (base.flags.c_contiguous or base.flags.f_contiguous):
        raise RuntimeError("as_strided: the memory of the Tensor is another array's: copy it first")
    base = base.reshape(-1, order="C" if base.flags.c_contiguous else "F")
    start = (_address(array) - _address(base)) // array.itemsize
    return base, start


def _address(array: Array) -> int:
    if isinstance(array, np.ndarray):
        return array.__array_interface__["data"][0]
    return array.data.ptr
