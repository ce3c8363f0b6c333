"""Parts of a Tensor: diagonals, triangles, windows, any steps through its memory."""

from __future__ import annotations

import math
import operator
from collections.abc import Sequence
from itertools import product
from types import ModuleType
from typing import Any

import numpy as np

from tensorlite import backend
from tensorlite.backend import Array, Device, array_backend, backend_for
from tensorlite.backend.dims import named_dims, one_dim
from tensorlite.backend.dtypes import as_dtype
from tensorlite.ops.compare import where
from tensorlite.ops.faces import copies
from tensorlite.ops.fused import float32_inside
from tensorlite.ops.gathering import raw
from tensorlite.ops.index import ARRAY, getitem_backward, index_array
from tensorlite.ops.shape import reshape
from tensorlite.primitive import primitive
from tensorlite.tape import mode
from tensorlite.tensor import Tensor, tensor_of

__all__ = [
    "as_strided",
    "diag",
    "diag_embed",
    "diagflat",
    "diagonal",
    "diagonal_scatter",
    "sliding_window",
    "tril",
    "tril_indices",
    "triu",
    "triu_indices",
]

# --- triangles ----------------------------------------------------------------------------------


def _check_matrices(x: Array) -> None:
    if x.ndim < 2:
        raise ValueError(f"there is no matrix in shape {x.shape}")


@primitive
def tril(xp: ModuleType, x: Array, *, diagonal: int = 0) -> Array:
    """Keep what is on and below the `diagonal`-th diagonal of the last two axes; the rest is 0."""
    _check_matrices(x)
    return xp.tril(x, diagonal).astype(x.dtype, copy=False)  # CuPy widens bfloat16


tril.defvjp(x=lambda g, diagonal: tril(g, diagonal))


@primitive
def triu(xp: ModuleType, x: Array, *, diagonal: int = 0) -> Array:
    """Keep what is on and above the `diagonal`-th diagonal of the last two axes; the rest is 0."""
    _check_matrices(x)
    return xp.triu(x, diagonal).astype(x.dtype, copy=False)


triu.defvjp(x=lambda g, diagonal: triu(g, diagonal))


def tril_indices(
    row: int, col: int, offset: int = 0, *, dtype: Any = np.int64, device: Any = None
) -> Tensor:
    """Places on and below the `offset`-th diagonal of a matrix: rows and columns, shape (2, n)."""
    return _indices(np.tril_indices, row, col, offset, dtype, device)


def triu_indices(
    row: int, col: int, offset: int = 0, *, dtype: Any = np.int64, device: Any = None
) -> Tensor:
    """Places on and above the `offset`-th diagonal of a matrix: rows and columns, shape (2, n)."""
    return _indices(np.triu_indices, row, col, offset, dtype, device)


def _indices(find: Any, row: int, col: int, offset: int, dtype: Any, device: Any) -> Tensor:
    if row < 0 or col < 0:
        raise RuntimeError(f"{find.__name__}: no matrix has {row} rows and {col} columns")
    places = np.stack(find(row, offset, col)).astype(as_dtype(dtype))
    where_to: Device = backend.device(device)
    return tensor_of(backend_for(where_to).asarray(places, device=where_to))


# --- diagonals ----------------------------------------------------------------------------------


@primitive(view=True)
def diagonal(xp: ModuleType, x: Array, *, offset: int = 0, dim1: int = 0, dim2: int = 1) -> Array:
    """Take the `offset`-th diagonal of two axes; it becomes the last axis of the result.

    Examples
    --------
    >>> tl.diagonal(tl.tensor([[4.0, 1.0], [1.0, 3.0]]))
    tensor([4., 3.])
    """
    y = xp.diagonal(x, _no_further(offset, x.shape), dim1, dim2)
    if xp is np and x.flags.writeable:
        y.flags.writeable = True  # NumPy means to warn those who expect a copy
    return y


def _no_further(offset: int, shape: Sequence[int]) -> int:
    """An offset beyond which no diagonal is; NumPy reads wild from -2³¹ elements before a row."""
    most = max(shape, default=0)
    return min(max(offset, -most), most)


@primitive
def diagonal_backward(
    xp: ModuleType, d: Array, *, shape: tuple[int, ...], offset: int, dim1: int, dim2: int
) -> Array:
    """Lay `d` on a diagonal of zeros."""
    x = xp.zeros(shape, d.dtype)
    along = xp.arange(d.shape[-1])
    matrices = xp.moveaxis(x, (dim1, dim2), (-2, -1))
    matrices[..., along + max(-offset, 0), along + max(offset, 0)] = d
    return x


diagonal.defvjp(
    x=lambda g, x_shape, offset, dim1, dim2: diagonal_backward(g, x_shape, offset, dim1, dim2)
)
diagonal_backward.defvjp(d=lambda g, offset, dim1, dim2: diagonal(g, offset, dim1, dim2))


def diag_embed(input: Tensor, offset: int = 0, dim1: int = -2, dim2: int = -1) -> Tensor:
    """Lay the last axis on the `offset`-th diagonal of matrices of zeros, in the axes named."""
    if not input.shape:
        raise RuntimeError("diag_embed: a Tensor with no axes has no diagonal to lay out")
    ndim = len(input.shape) + 1
    first, second = named_dims((dim1, dim2), ndim, "diag_embed")
    n = input.shape[-1] + abs(offset)
    shape = list(input.shape[:-1])
    for axis in sorted((first, second)):
        shape.insert(axis, n)
    return diagonal_backward(input, tuple(shape), offset, first, second)


@copies
def diag(input: Tensor, diagonal: int = 0) -> Tensor:
    """Take the `diagonal`-th diagonal of a matrix; of one axis, make the matrix that has it.

    Examples
    --------
    >>> tl.diag(tl.tensor([[4.0, 1.0], [1.0, 3.0]]))
    tensor([4., 3.])
    """
    if len(input.shape) == 1:
        return diag_embed(input, diagonal)
    if len(input.shape) != 2:
        raise RuntimeError(f"diag: shape {tuple(input.shape)} has neither one axis nor two")
    return _diagonal(input, diagonal)


_diagonal = diagonal  # whose name is `diag`'s parameter, too


def diagflat(input: Tensor, offset: int = 0) -> Tensor:
    """Make the matrix that has all elements, in row order, on its `offset`-th diagonal."""
    return diag_embed(reshape(input, (-1,)), offset)


def diagonal_scatter(
    input: Tensor, src: Tensor, offset: int = 0, dim1: int = 0, dim2: int = 1
) -> Tensor:
    """Put `src` in place of the `offset`-th diagonal of two axes, in a copy."""
    shape = tuple(input.shape)
    far = _no_further(offset, shape)
    place = np.diagonal(np.broadcast_to(np.empty(()), shape), far, dim1, dim2).shape
    if tuple(src.shape) != place:
        raise RuntimeError(
            f"diagonal_scatter: src of shape {tuple(src.shape)} is not of the diagonal's {place}"
        )
    if src.dtype != input.dtype:
        raise RuntimeError(f"diagonal_scatter: src is {src.dtype}, and input {input.dtype}")
    xp = array_backend((raw(input),)).xp
    mask = diagonal_backward(xp.ones(place, bool), shape, offset, dim1, dim2)
    return where(mask, diagonal_backward(src, shape, offset, dim1, dim2), input)


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
    """Take windows of `size` elements along `dimension`, one every `step`, as a new last axis."""
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

    Raises
    ------
    RuntimeError
        If the view would leave the memory, or `input` has gaps and takes part in a recorded graph.
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
