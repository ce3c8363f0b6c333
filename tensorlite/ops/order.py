"""Order: sorting along an axis, the largest elements, the median.

Sorting is stable and ascending; NaN comes last.
"""

from __future__ import annotations

import math
from types import ModuleType
from typing import Any

from numpy.lib.array_utils import normalize_axis_index

from tensorlite.backend import Array
from tensorlite.ops.compare import isnan, where
from tensorlite.ops.index import take_along_axis
from tensorlite.ops.reduce import mean
from tensorlite.primitive import primitive

__all__ = ["argsort", "median", "sort", "topk"]


@primitive(aux=("order",))
def sort(xp: ModuleType, x: Array, *, axis: int = -1, save: bool) -> tuple[Array, Array | None]:
    """The elements along `axis` in ascending order."""
    if not save:
        return xp.sort(x, axis), None
    order = argsort(x, axis=axis)
    return xp.take_along_axis(x, order, axis), order


# An inverse permutation gathers where a scatter would have to add.
sort.defvjp(x=lambda g, order, axis: take_along_axis(g, argsort(order, axis=axis), axis=axis))


@primitive
def argsort(xp: ModuleType, x: Array, *, axis: int = -1) -> Array:
    """Indices (int64) that sort `x` along `axis`; equal elements keep their order."""
    return xp.argsort(x, axis, kind="stable")


@primitive
def argtopk(xp: ModuleType, x: Array, *, k: int, axis: int, largest: bool) -> Array:
    """Indices of the `k` largest (or smallest) elements along `axis`, the most extreme first."""
    axis = normalize_axis_index(axis, x.ndim)
    if not 0 <= k <= x.shape[axis]:
        raise ValueError(f"k={k} of an axis with {x.shape[axis]} elements")
    # Of equal elements the first comes first: for the largest, sort backwards and turn around.
    turn = (slice(None),) * axis + (slice(None, None, -1),)
    order = argsort(x[turn] if largest else x, axis=axis)
    if largest:
        order = x.shape[axis] - 1 - order[turn]
    return order[(slice(None),) * axis + (slice(0, k),)]


def topk(x: Any, k: int, axis: int = -1, largest: bool = True) -> tuple[Any, Any]:
    """The `k` largest elements along `axis`, in descending order, and where they are.

    Parameters
    ----------
    x : Tensor
        At least one axis.
    k : int
        How many; at most the length of `axis`.
    axis : int
        Where to look.
    largest : bool
        False gives the smallest, in ascending order.

    Returns
    -------
    values, indices : Tensor
        With length `k` at `axis`; of equal elements the first comes first.
    """
    indices = argtopk(x, k=k, axis=axis, largest=largest)
    return take_along_axis(x, indices, axis=axis), indices


def median(x: Any, axis: int | None = None, keepdims: bool = False) -> Any:
    """Middle of the sorted elements; of an even number the mean of the two in the middle.

    As in NumPy (torch takes the lower of the two); NaN if an element is.
    """
    if axis is None:
        result = median(x.reshape((math.prod(x.shape),)), 0, keepdims)
        return result.reshape((1,) * len(x.shape)) if keepdims else result
    axis = normalize_axis_index(axis, len(x.shape))
    n = x.shape[axis]
    if n == 0:
        raise ValueError(f"median: axis {axis} of shape {x.shape} has no elements")
    before = (slice(None),) * axis
    ordered = sort(x, axis)
    middle = ordered[(*before, slice((n - 1) // 2, n // 2 + 1))]
    last = ordered[(*before, slice(n - 1, n))]
    return mean(where(isnan(last), math.nan, middle), axis=axis, keepdims=keepdims)
