"""Primitives of shape: the same elements in another arrangement, in NumPy's terms.

The public functions with torch's arguments are written with these (`axes`, `joining`, `splitting`,
`tiling`). On the CPU results that need no copy share memory with their input.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from types import ModuleType
from typing import Any

import numpy as np
from numpy.lib.array_utils import normalize_axis_index, normalize_axis_tuple

from tensorlite.backend import BACKENDS, HOST, Array, array_backend
from tensorlite.backend.numpy import LARGE
from tensorlite.primitive import primitive
from tensorlite.tape import recorders
from tensorlite.tensor import Tensor

__all__ = ["broadcast_to", "reshape", "swapaxes", "unbind"]

# --- the axes -----------------------------------------------------------------------------------


@primitive(view=True, any_float=True)
def reshape(xp: ModuleType, x: Array, *, shape: Any) -> Array:
    """Give `input` another shape with as many elements; one length may be -1 and is worked out.

    Parameters
    ----------
    input : Tensor
        Of any shape.
    shape : int or sequence of int

    Returns
    -------
    Tensor
        A view where it can be.

    Raises
    ------
    ValueError
        If the elements do not fill the shape.

    Examples
    --------
    >>> tl.reshape(tl.arange(6), (2, -1))
    tensor([[0, 1, 2],
            [3, 4, 5]])
    """
    if shape.__class__ is not int and len(shape) and min(shape) < -1:
        raise ValueError(f"a length of shape {tuple(shape)} is below -1")  # NumPy takes it for -1
    return x.reshape(shape)


reshape.defvjp(x=lambda g, x_shape: reshape(g, x_shape))


def _reshape(k: Any, x: Array, *, shape: Any) -> Any:
    if x.flags.c_contiguous or not k.on_host:
        return NotImplemented
    try:
        return x.reshape(shape, copy=False)
    except ValueError:
        return HOST.copy(x).reshape(shape)


reshape.on_host("new_reshape")
reshape.kernel(_reshape, from_size=LARGE)


@primitive(name="permute", view=True, any_float=True)
def transpose_axes(xp: ModuleType, x: Array, *, axes: Sequence[int] | None = None) -> Array:
    """Put the axes in the order `axes` (default: reversed), as `numpy.transpose`."""
    try:
        return x.transpose(axes)
    except ValueError as error:
        raise ValueError(f"{axes} does not name each of {x.ndim} axes once") from error


def _transpose_vjp(g: Any, axes: Sequence[int] | None) -> Any:
    if axes is None:
        return transpose_axes(g)
    order = normalize_axis_tuple(axes, len(axes))
    return transpose_axes(g, tuple(order.index(i) for i in range(len(order))))


transpose_axes.defvjp(x=_transpose_vjp)


@primitive(view=True, any_float=True)
def swapaxes(xp: ModuleType, x: Array, *, axis0: int, axis1: int) -> Array:
    """Exchange two axes.

    Parameters
    ----------
    input : Tensor
        Of any shape.
    axis0, axis1 : int

    Returns
    -------
    Tensor
        A view.

    Examples
    --------
    >>> tl.swapaxes(tl.zeros(2, 3), 0, 1).shape
    (3, 2)
    """
    if x.ndim == 0 and {axis0, axis1} <= {0, -1}:  # torch lets a number have an axis to name
        return x
    return x.swapaxes(axis0, axis1)


swapaxes.defvjp(x=lambda g, axis0, axis1: swapaxes(g, axis0, axis1))


# --- more elements ------------------------------------------------------------------------------


@primitive(view=True)
def broadcast_to(xp: ModuleType, x: Array, *, size: Any) -> Array:
    """Repeat `input` to the shape `size` by NumPy's broadcasting, without a copy.

    Parameters
    ----------
    input : Tensor
        Of a shape that broadcasts to `size`.
    size : sequence of int

    Returns
    -------
    Tensor, shape `size`
        A view.

    Raises
    ------
    ValueError
        If it does not broadcast.

    Examples
    --------
    >>> tl.broadcast_to(tl.tensor([1, 2]), (2, 2))
    tensor([[1, 2],
            [1, 2]])
    """
    try:
        return array_backend((x,)).broadcast_to(x, size)
    except ValueError as error:
        raise ValueError(f"no broadcasting to shape {size}") from error


broadcast_to.defvjp(x=lambda g: g)


# --- together and apart -------------------------------------------------------------------------


@primitive(name="cat")
def concat_arrays(xp: ModuleType, *xs: Array, axis: int) -> Array:
    """Join arrays along an axis that they have."""
    return xp.concatenate(xs, axis)


@concat_arrays.defvjp_joint
def _concat_vjp(g: Any, needs: tuple[bool, ...], xs_shape: tuple, axis: int) -> tuple:
    before = (slice(None),) * (axis % len(g.shape))
    ends = list(accumulate(shape[axis] for shape in xs_shape))
    return tuple(
        g[(*before, slice(end - shape[axis], end))] if needed else None
        for needed, shape, end in zip(needs, xs_shape, ends, strict=True)
    )


def _large_on_host(k: Any, xs: tuple[Array, ...]) -> bool:
    """Whether these are arrays of the CPU that joined are large, of one dtype."""
    return (
        k.on_host
        and all(x.__class__ is np.ndarray and x.dtype == xs[0].dtype for x in xs)
        and (sum(x.size for x in xs) >= LARGE or bool(recorders))
    )


@concat_arrays.kernel
def _concat(k: Any, *xs: Array, axis: int) -> Any:
    shape = xs[0].shape
    if not _large_on_host(k, xs) or not -len(shape) <= axis < len(shape):
        return NotImplemented
    axis %= len(shape)
    before, after = shape[:axis], shape[axis + 1 :]
    if any(x.shape[:axis] != before or x.shape[axis + 1 :] != after for x in xs):
        return NotImplemented
    y = k.empty((*before, sum(x.shape[axis] for x in xs), *after), xs[0].dtype)
    start = 0
    for x in xs:
        end = start + x.shape[axis]
        k.copy(y[(slice(None),) * axis + (slice(start, end),)], x)
        start = end
    return y


@primitive(name="stack")
def stack_arrays(xp: ModuleType, *xs: Array, axis: int) -> Array:
    """Join arrays of one shape along a new axis."""
    return xp.stack(xs, axis)


@stack_arrays.defvjp_joint
def _stack_vjp(g: Any, needs: tuple[bool, ...], axis: int) -> tuple:
    before = (slice(None),) * (axis % len(g.shape))
    return tuple(g[(*before, i)] if needed else None for i, needed in enumerate(needs))


@stack_arrays.kernel
def _stack(k: Any, *xs: Array, axis: int) -> Any:
    shape = xs[0].shape
    if (
        not _large_on_host(k, xs)
        or any(x.shape != shape for x in xs)
        or not -len(shape) <= axis + 1 <= len(shape) + 1
    ):
        return NotImplemented
    axis %= len(shape) + 1
    y = k.empty((*shape[:axis], len(xs), *shape[axis:]), xs[0].dtype)
    for i, x in enumerate(xs):
        k.copy(y[(slice(None),) * axis + (i,)], x)
    return y


@primitive(name="split", view=True)
def split_at(xp: ModuleType, x: Array, *, cuts: tuple[int, ...], axis: int) -> tuple[Array, ...]:
    """Cut at the places `cuts` along `axis`."""
    before = (slice(None),) * axis
    bounds = zip((0, *cuts), (*cuts, x.shape[axis]), strict=True)
    return tuple([x[(*before, slice(start, end))] for start, end in bounds])


@split_at.defvjp_joint
def _split_vjp(
    g: tuple, needs: tuple[bool, ...], x_shape: tuple, cuts: tuple[int, ...], axis: int
) -> tuple:
    lengths = [end - start for start, end in zip((0, *cuts), (*cuts, x_shape[axis]), strict=True)]
    if g[0] is not None:
        whole = _undivided(g, x_shape, axis, lengths)
        if whole is not None:
            return (whole,)
    shapes = [(*x_shape[:axis], n, *x_shape[axis + 1 :]) for n in lengths]
    return (concat_arrays(*with_zeros(g, shapes), axis=axis),)


def with_zeros(cotangents: tuple, shapes: Sequence[tuple[int, ...]]) -> list:
    """The cotangents of all outputs; zeros for outputs that nothing used."""
    known = next(g for g in cotangents if g is not None)
    xp = array_backend((known.array if isinstance(known, Tensor) else known,)).xp
    return [
        xp.zeros(shape, known.dtype) if g is None else g
        for g, shape in zip(cotangents, shapes, strict=True)
    ]


@primitive(view=True)
def unbind(xp: ModuleType, x: Array, *, axis: int = 0) -> tuple[Array, ...]:
    """Take `input` apart along `dim` into a tuple of Tensors that lack it.

    Parameters
    ----------
    input : Tensor
        Of any shape with at least one axis.
    dim : int
        The axis.

    Returns
    -------
    tuple of Tensor
        Views.

    Examples
    --------
    >>> tl.unbind(tl.tensor([[1, 2], [3, 4]]))
    (tensor([1, 2]), tensor([3, 4]))
    """
    before = (slice(None),) * normalize_axis_index(axis, x.ndim)
    return tuple([x[(*before, i, ...)] for i in range(x.shape[axis])])


@unbind.defvjp_joint
def _unbind_vjp(g: tuple, needs: tuple[bool, ...], x_shape: tuple, axis: int) -> tuple:
    axis %= len(x_shape)
    whole = None if g[0] is None else _undivided(g, x_shape, axis)
    if whole is not None:
        return (whole,)
    shape = x_shape[:axis] + x_shape[axis + 1 :]
    return (stack_arrays(*with_zeros(g, [shape] * len(g)), axis=axis),)


def _undivided(
    parts: tuple, shape: tuple[int, ...], axis: int, lengths: Sequence[int] | None = None
) -> Array | None:
    """The array whose parts along `axis` these are already, each in its place, or None.

    Attention returns the gradients of queries, keys and values so, if these came from one array.
    Cotangents are never written to, so they may share memory, unlike the result of `stack`.
    `lengths` are those of the parts along the axis; None: each is one slice, and lacks the axis.
    """
    first = parts[0]
    kind, backend = first.__class__, BACKENDS.get(first.__class__)
    if backend is None:
        return None
    strides, step = [], first.itemsize
    for n in reversed(shape):
        strides.append(step)
        step *= n
    strides.reverse()
    step, dtype = strides[axis], first.dtype
    if lengths is None:
        del strides[axis]
    expected, start = tuple(strides), backend.address(first)
    for x, length in zip(parts, lengths or [1] * len(parts), strict=True):
        if x.__class__ is not kind or x.strides != expected or x.dtype != dtype:
            return None
        if backend.address(x) != start:
            return None
        start += length * step
    return backend.whole(parts, shape)


# --- order --------------------------------------------------------------------------------------


@primitive(name="roll")
def roll_axes(
    xp: ModuleType,
    x: Array,
    *,
    shift: int | Sequence[int],
    axis: int | Sequence[int] | None = None,
) -> Array:
    """Move elements along `axis`; what leaves at one end comes in at the other."""
    return xp.roll(x, shift, axis)


def _roll_vjp(g: Any, shift: int | Sequence[int], axis: int | Sequence[int] | None) -> Any:
    back = -shift if isinstance(shift, int) else tuple(-s for s in shift)
    return roll_axes(g, back, axis)


roll_axes.defvjp(x=_roll_vjp)


@primitive(name="flip")
def reverse(xp: ModuleType, x: Array, *, axis: int | Sequence[int] | None = None) -> Array:
    """Reverse the order of the elements along `axis` (default: all axes)."""
    return xp.flip(x, axis).copy()  # a write to the result must not reach `x`


reverse.defvjp(x=lambda g, axis: reverse(g, axis))
