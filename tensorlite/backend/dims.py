"""Which axes `dim` means: the one place where it is read.

`dim` is an int, a sequence of ints, or None for all axes; negative ones count from the end. A
number without axes can be reduced, sorted or added up along 0 or -1, as if it had one.
"""

from __future__ import annotations

import functools
import math
import operator
from collections.abc import Callable, Sequence
from typing import Any

from numpy.exceptions import AxisError
from numpy.lib.array_utils import normalize_axis_index

Axis = int | Sequence[int] | None


def one_dim(dim: Any, ndim: int, name: str | None = None) -> int:
    """`dim` as a number from 0 up; of a number without axes it is 0. `name` begins the message.

    Raises
    ------
    IndexError
        If there is no such axis.
    TypeError
        If `dim` is not an integer.
    """
    try:
        return normalize_axis_index(operator.index(dim), ndim or 1, name)
    except (AxisError, TypeError) as error:
        begin = f"{name}: " if name else ""
        if isinstance(error, AxisError):
            raise AxisError(
                f"{begin}dim {dim} is out of range for a Tensor of {ndim} axes"
            ) from None
        raise TypeError(f"{begin}dim is an integer, not {dim!r}") from None


def all_dims(dim: Axis, ndim: int) -> tuple[int, ...]:
    """`dim` as a tuple of axes from 0 up, all of them for None and for ``()``.

    Raises
    ------
    IndexError
        If there is no such axis.
    ValueError
        If one is named twice.
    """
    if dim is None:
        return tuple(range(ndim))
    if not isinstance(dim, (tuple, list)):
        axis = one_dim(dim, ndim)
        return (axis,) if ndim else ()
    axes = tuple([one_dim(d, ndim) for d in dim])
    if len({*axes}) < len(axes):
        raise ValueError(f"dim={tuple(dim)} names an axis twice")
    return (axes or tuple(range(ndim))) if ndim else ()


def named_dims(dims: Any, ndim: int, name: str) -> tuple[int, ...]:
    """One axis or several, those that are named and no others, from 0 up.

    Raises
    ------
    RuntimeError
        If one is named twice.
    """
    several = dims if isinstance(dims, (tuple, list)) else (dims,)
    axes = tuple([one_dim(dim, ndim, name) for dim in several])
    if len({*axes}) < len(axes):
        raise RuntimeError(f"{name}: dims={tuple(several)} names an axis twice")
    return axes


def kept_shape(shape: tuple[int, ...], axis: Axis) -> tuple[int, ...]:
    """`shape` with length 1 at the reduced axes."""
    axes = all_dims(axis, len(shape))
    return tuple([1 if i in axes else n for i, n in enumerate(shape)])


def dropped_shape(shape: tuple[int, ...], axis: Axis) -> tuple[int, ...]:
    """`shape` without the reduced axes."""
    axes = all_dims(axis, len(shape))
    return tuple([n for i, n in enumerate(shape) if i not in axes])


def kept(r: Any, shape: tuple[int, ...], axis: Axis, keepdims: bool) -> Any:
    """A result of reducing an array of `shape`, so that it broadcasts against that."""
    return r if keepdims or axis is None else r.reshape(kept_shape(shape, axis))


def dropped(r: Any, shape: tuple[int, ...], axis: Axis, keepdims: bool) -> Any:
    """A result with length 1 at the reduced axes, without them unless they are to be kept."""
    return r if keepdims else r.reshape(dropped_shape(shape, axis))


def reduced_count(shape: tuple[int, ...], axis: Axis) -> int:
    """How many elements go into one result."""
    return math.prod([shape[i] for i in all_dims(axis, len(shape))])


def is_plain(x: Any, axis: Axis) -> bool:
    """Whether the array's own methods read `axis` as it is read here, and it has elements.

    Small arrays are reduced in a microsecond: they can do without the rest of this module.
    """
    return (axis is None or axis.__class__ is int) and x.ndim and x.size


def check_not_empty(name: str, shape: tuple[int, ...], axis: Axis) -> None:
    """Refuse to look for an element where there is none.

    Raises
    ------
    IndexError
        Of a reduced axis of length 0.
    RuntimeError
        If no axis was named, and there is no element at all.
    """
    if 0 not in shape:
        return
    if axis is None:
        raise RuntimeError(
            f"{name}: the input of shape {tuple(shape)} has no elements; with dim=… those "
            "axes are left out that have some"
        )
    for i in all_dims(axis, len(shape)):
        if shape[i] == 0:
            raise IndexError(f"{name}: dim {i} of shape {tuple(shape)} has no elements")


def lifts_numbers(function: Callable) -> Callable:
    """Let a function of a Tensor along one of its axes take a number without axes, too.

    It sees an axis of length 1, and no result has it.
    """

    @functools.wraps(function)
    def lifted(input: Any, *args: Any, **kwargs: Any) -> Any:
        if len(input.shape):
            return function(input, *args, **kwargs)
        result = function(input.reshape((1,)), *args, **kwargs)
        if not isinstance(result, tuple):
            return _without_axis(result)
        parts = map(_without_axis, result)
        return type(result)(*parts) if hasattr(result, "_fields") else tuple(parts)

    return lifted


def _without_axis(result: Any) -> Any:
    return result.reshape(()) if tuple(result.shape) == (1,) else result
