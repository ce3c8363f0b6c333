"""Elements picked along an axis, none of them twice, as sorting and extremes do."""

from __future__ import annotations

from types import ModuleType
from typing import Any

from tensorlite.backend import Array
from tensorlite.primitive import primitive


@primitive
def pick(xp: ModuleType, x: Array, indices: Array, *, axis: int) -> Array:
    """`take_along_axis` of places of which none occurs twice: nothing has to be added up."""
    return xp.take_along_axis(x, indices, axis)


@primitive
def place(xp: ModuleType, d: Array, indices: Array, *, shape: tuple[int, ...], axis: int) -> Array:
    """Put `d` into zeros, at the places that `pick` took from."""
    y = xp.zeros(shape, d.dtype)
    axis %= y.ndim
    grid: list[Any] = [
        xp.arange(n).reshape((1,) * i + (n,) + (1,) * (y.ndim - i - 1))
        for i, n in enumerate(indices.shape)
    ]
    grid[axis] = indices
    y[tuple(grid)] = d
    return y


pick.defvjp(x=lambda g, x_shape, indices, axis: place(g, indices, x_shape, axis))
place.defvjp(d=lambda g, indices, axis: pick(g, indices, axis))
