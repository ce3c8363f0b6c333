"""The different elements of a Tensor, and membership."""

from __future__ import annotations

import math
from types import ModuleType
from typing import Any

from tensorlite.backend import Array
from tensorlite.backend.dims import one_dim
from tensorlite.backend.dtypes import int64
from tensorlite.ops.axes import moveaxis
from tensorlite.ops.creation import tensor
from tensorlite.ops.fused import widened
from tensorlite.ops.order import order_of
from tensorlite.primitive import primitive

__all__ = ["isin", "unique", "unique_consecutive"]


@primitive(name="unique")
def different_rows(xp: ModuleType, x: Array, *, ordered: bool) -> tuple[Array, Array, Array]:
    """The different rows of `x` (n, m), which of them each is, and how many of each there are.

    Sorted; or, if `ordered`, those that differ from the one before. NaN differs from itself.
    """
    n = x.shape[0]
    if ordered:
        order = xp.arange(n)
    elif x.shape[1] == 1:
        order = order_of(x[:, 0], axis=0)
    else:
        order = xp.lexsort(widened(x).T[::-1])
    rows = x[order]
    new = xp.ones(n, bool)
    new[1:] = (rows[1:] != rows[:-1]).any(axis=1)
    (starts,) = xp.nonzero(new)
    inverse = xp.empty(n, int64)
    inverse[order] = xp.cumsum(new.astype(int64)) - 1
    counts = xp.diff(xp.concatenate((starts, xp.full(1, n, starts.dtype)))).astype(int64)
    return rows[starts], inverse, counts


def unique(
    input: Any,
    sorted: bool = True,
    return_inverse: bool = False,
    return_counts: bool = False,
    dim: int | None = None,
) -> Any:
    """The different elements, in ascending order.

    Parameters
    ----------
    input : Tensor
        Any shape.
    sorted : bool
        They always are here.
    return_inverse : bool
        Also return which of them each element is.
    return_counts : bool
        Also return how often each occurs.
    dim : int, optional
        Compare the slices along this axis instead of single elements.

    Returns
    -------
    output : Tensor
        Without a gradient. NaN differs from itself.
    inverse : Tensor
        int64, of `input`'s shape, or with `dim` of its length there.
    counts : Tensor
        int64.

    Raises
    ------
    ValueError
        With `dim`, if another axis has no elements.

    Examples
    --------
    >>> tl.unique(tl.tensor([-1.5, 0.0, 2.0]))
    tensor([-1.5,  0. ,  2. ])
    """
    return _unique("unique", input, return_inverse, return_counts, dim, ordered=False)


def unique_consecutive(
    input: Any, return_inverse: bool = False, return_counts: bool = False, dim: int | None = None
) -> Any:
    """The first of equal elements that follow each other; results are those of `unique`.

    Parameters
    ----------
    input : Tensor
        Of any shape.
    return_inverse, return_counts, dim
        As of `unique`.

    Returns
    -------
    Tensor, or tuple of Tensor
        As of `unique`.

    Raises
    ------
    IndexError
        If there is no axis `dim`.
    ValueError
        If other axes are empty.

    Examples
    --------
    >>> tl.unique_consecutive(tl.tensor([-1.5, 0.0, 2.0]))
    tensor([-1.5,  0. ,  2. ])
    """
    return _unique("unique_consecutive", input, return_inverse, return_counts, dim, ordered=True)


def _unique(
    name: str, x: Any, with_inverse: bool, with_counts: bool, dim: int | None, ordered: bool
) -> Any:
    shape = tuple(x.shape)
    if dim is None:
        rows, rest = x.reshape((math.prod(shape), 1)), ()
    else:
        if not shape:
            raise IndexError(f"{name}: dim={dim} of a number without axes")
        axis = one_dim(dim, len(shape), name)
        rest = (*shape[:axis], *shape[axis + 1 :])
        if 0 in rest and shape[axis]:
            raise ValueError(f"{name}: other axes than dim={dim} of shape {shape} are empty")
        rows = moveaxis(x, axis, 0).reshape((shape[axis], math.prod(rest)))
    values, inverse, counts = different_rows(rows.detach(), ordered=ordered)
    if dim is None:
        values, inverse = values.reshape((-1,)), inverse.reshape(shape)
    else:
        values = moveaxis(values.reshape((values.shape[0], *rest)), 0, axis)
    results = [values, *[inverse] * with_inverse, *[counts] * with_counts]
    return results[0] if len(results) == 1 else tuple(results)


@primitive(name="isin")
def among(xp: ModuleType, x: Array, others: Array, *, invert: bool) -> Array:
    """Whether each element of `x` is one of `others`, or with `invert` none of them."""
    found = xp.isin(widened(x), widened(others))
    return ~found if invert else found


def isin(
    elements: Any, test_elements: Any, *, assume_unique: bool = False, invert: bool = False
) -> Any:
    """Whether each element is one of `test_elements`; NaN is not.

    Parameters
    ----------
    elements, test_elements : Tensor or number
        Any shapes; at least one is a Tensor.
    assume_unique : bool
        A promise that no element occurs twice, which is not needed here.
    invert : bool
        Say which are none of them instead.

    Returns
    -------
    Tensor of bool
        Of the shape of `elements`.

    Raises
    ------
    TypeError
        If neither is a Tensor.

    Examples
    --------
    >>> tl.isin(tl.tensor([5.0, -3.0]), tl.tensor([2.0, 2.0]))
    tensor([False, False])
    """
    known = elements if hasattr(elements, "dtype") else test_elements
    if not hasattr(known, "dtype"):
        raise TypeError("isin: elements or test_elements has to be a Tensor, not both numbers")
    return among(beside(elements, known), beside(test_elements, known), invert=invert)


def beside(value: Any, like: Any) -> Any:
    """A number as a Tensor beside another."""
    if hasattr(value, "dtype"):
        return value
    return tensor(value, device=like.device)
