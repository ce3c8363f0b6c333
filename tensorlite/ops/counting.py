"""Counting: how often each number occurs, and histograms."""

from __future__ import annotations

import math
from collections.abc import Sequence
from types import ModuleType
from typing import Any

import numpy as np

from tensorlite import return_types
from tensorlite.backend import Array
from tensorlite.backend.dtypes import float32, float64, is_floating
from tensorlite.ops.extremes import amax, amin
from tensorlite.ops.ranges import linspace
from tensorlite.primitive import primitive
from tensorlite.tensor import Tensor

__all__ = ["bincount", "histc", "histogram", "histogramdd"]


@primitive(name="bincount")
def counts_of(
    xp: ModuleType, x: Array, weights: Array | None = None, *, minlength: int = 0
) -> Array:
    """How often each integer from 0 up occurs, or the sum of its weights."""
    if x.dtype.kind not in "iu":
        raise TypeError(f"integers are counted, not {x.dtype}")
    if x.ndim != 1:
        raise ValueError(f"one axis, not shape {x.shape}")
    if minlength < 0:
        raise ValueError(f"minlength={minlength} is negative")
    if x.size and x.min() < 0:
        raise ValueError(f"negative numbers such as {int(x.min())} are not counted")
    if weights is None:
        return xp.bincount(x.astype(np.int64), minlength=minlength).astype(np.int64, copy=False)
    if weights.shape != x.shape:
        raise ValueError(f"weights of shape {weights.shape} for an input of shape {x.shape}")
    sums = xp.bincount(x.astype(np.int64), weights.astype(float64), minlength=minlength)
    return sums.astype(float32 if weights.dtype == float32 else float64, copy=False)


def bincount(input: Any, weights: Any = None, minlength: int = 0) -> Any:
    """How often each integer occurs: ``y[i]`` is the number of i in `input`.

    Parameters
    ----------
    input : Tensor, shape (n,)
        Integers that are not negative.
    weights : Tensor, shape (n,), optional
        Added up instead of counted.
    minlength : int
        At least so many counts are returned.

    Returns
    -------
    Tensor
        int64; of weights float32 if they are, else float64. It has no gradient.

    Raises
    ------
    TypeError, ValueError
        If `input` is not as described, or `weights` has another shape.

    Examples
    --------
    >>> tl.bincount(tl.tensor([6, 3, 1]))
    tensor([0, 1, 0, 1, 0, 0, 1])
    """
    return counts_of(input, weights, minlength=minlength)


@primitive(name="histogram")
def histogram_counts(
    xp: ModuleType, x: Array, weights: Array | None, *edges: Array, even: tuple[bool, ...]
) -> Array:
    """Count the rows of `x` (n, D) in the cells between `edges`, an array per axis.

    A cell has its lower edge, and the last one its upper edge, too. `even` says which edges are at
    equal distances.
    """
    inside = xp.ones(len(x), bool)
    places = xp.zeros(len(x), np.int64)
    for d, edge in enumerate(edges):
        column, cells = x[:, d], edge.size - 1
        low, high = edge[0], edge[-1]
        inside &= (column >= low) & (column <= high)
        if even[d]:
            with np.errstate(invalid="ignore"):
                cell = (column - low) / (high - low) * cells
            cell = xp.where(inside, cell, 0).astype(np.int64)
        else:
            cell = xp.searchsorted(edge, column, side="right") - 1
        places = places * cells + xp.clip(cell, 0, cells - 1)
    shape = [edge.size - 1 for edge in edges]
    total = xp.bincount(
        places[inside],
        None if weights is None else weights[inside].astype(float64),
        minlength=math.prod(shape),
    )
    return total.reshape(shape).astype(x.dtype)


def histc(input: Any, bins: int = 100, min: float = 0, max: float = 0) -> Any:
    """Count elements in `bins` equal parts of the way from `min` to `max`.

    Parameters
    ----------
    input : Tensor
        Any shape, a float dtype.
    bins : int
    min, max : float
        Elements outside and NaN are not counted. If the two are equal, they are the smallest and
        the largest element.

    Returns
    -------
    Tensor, shape (bins,)
        Of `input`'s dtype, without a gradient.

    Raises
    ------
    TypeError, ValueError
        If `input` has no float dtype, ``bins < 1``, ``max < min``, or one is not finite.

    Examples
    --------
    >>> tl.histc(tl.tensor([1.0, 2.0, 1.0]), bins=2, min=0, max=4)
    tensor([2., 1.])
    """
    bounds = (float(min), float(max))
    if bounds[1] < bounds[0]:
        raise ValueError(f"histc: max={max} is less than min={min}")
    columns = _counted("histc", input.reshape((math.prod(input.shape), 1)))
    edges = _even_edges("histc", columns, [bins], [None if min == max else bounds])
    return histogram_counts(columns, None, *edges, even=(True,))


def histogram(
    input: Any,
    bins: Any,
    *,
    range: Sequence[float] | None = None,
    weight: Any = None,
    density: bool = False,
) -> Any:
    """Count elements in parts of the way from the smallest to the largest.

    Parameters
    ----------
    input : Tensor
        Any shape, a float dtype.
    bins : int, or Tensor
        How many equal parts, or their ascending edges: one more than there are parts.
    range : (float, float), optional
        Where the first begins and the last ends, if `bins` is an int.
    weight : Tensor, optional
        Of `input`'s shape: added up instead of counted.
    density : bool
        Divide by the total and by the lengths of the parts.

    Returns
    -------
    hist, bin_edges : Tensor
        A named tuple, without gradients.

    Raises
    ------
    TypeError
        If `input` has no float dtype.
    ValueError
        If edges or weights do not fit.

    Examples
    --------
    >>> tl.histogram(tl.tensor([1.0, 2.0, 1.0]), 2, range=(0.0, 4.0)).hist
    tensor([2., 1.])
    """
    rows = _counted("histogram", input.reshape((math.prod(input.shape), 1)))
    given = [bins]
    ranges = None if range is None else [tuple(range)]
    hist, edges = _histogram("histogram", rows, given, ranges, weight, density)
    return return_types.histogram(hist, edges[0])


def histogramdd(
    input: Any,
    bins: Any,
    *,
    range: Sequence[float] | None = None,
    weight: Any = None,
    density: bool = False,
) -> Any:
    """Count points in the cells of a grid.

    Parameters
    ----------
    input : Tensor, shape (..., D)
        Points, a float dtype.
    bins : int, or sequence of D ints or Tensors
        Equal parts of each axis, or their edges.
    range : sequence of 2·D floats, optional
        The lower and the upper bound of each axis.
    weight : Tensor, shape (...), optional
        Added up instead of counted.
    density : bool
        Divide by the total and by the volumes of the cells.

    Returns
    -------
    hist : Tensor, shape (bins of axis 0, bins of axis 1, …)
    bin_edges : tuple of D Tensors

    Raises
    ------
    TypeError
        If `input` has no float dtype.
    ValueError
        If points, bins, edges or weights do not fit each other.

    Examples
    --------
    >>> tl.histogramdd(tl.tensor([[0.0, 1.0], [2.0, 2.0]]), [2, 2]).hist
    tensor([[1., 0.],
            [0., 1.]])
    """
    if len(input.shape) < 2:
        raise ValueError(f"histogramdd: points (..., D), not shape {tuple(input.shape)}")
    rows = _counted("histogramdd", input.reshape((-1, input.shape[-1])))
    axes = rows.shape[1]
    given = list(bins) if isinstance(bins, (tuple, list)) else [bins] * axes
    if len(given) != axes:
        raise ValueError(f"histogramdd: {len(given)} bins for points in {axes} dimensions")
    ranges = None if range is None else list(zip(range[::2], range[1::2], strict=True))
    hist, edges = _histogram("histogramdd", rows, given, ranges, weight, density)
    return return_types.histogramdd(hist, tuple(edges))


def _counted(name: str, x: Any) -> Any:
    if not is_floating(x.dtype):
        raise TypeError(f"{name}: {x.dtype} is not counted in parts of a range: use x.float()")
    return x.detach()


def _histogram(
    name: str, rows: Any, bins: list, ranges: list | None, weight: Any, density: bool
) -> tuple[Any, list]:
    even = tuple([not isinstance(b, Tensor) for b in bins])
    edges = _even_edges(name, rows, bins, ranges or [None] * len(bins))
    for edge in edges:
        if len(edge.shape) != 1 or edge.shape[0] < 2 or edge.dtype != rows.dtype:
            raise ValueError(
                f"{name}: edges are at least two {rows.dtype} in one axis, not {edge.dtype} of "
                f"shape {tuple(edge.shape)}"
            )
    if weight is not None:
        if math.prod(weight.shape) != rows.shape[0]:
            raise ValueError(f"{name}: weight of shape {tuple(weight.shape)} does not fit input")
        weight = weight.detach().reshape((-1,))
    hist = histogram_counts(rows, weight, *edges, even=even)
    if density:
        hist = hist / hist.sum()
        for axis, edge in enumerate(edges):
            lengths = edge[1:] - edge[:-1]
            hist = hist / lengths.reshape((-1,) + (1,) * (len(edges) - axis - 1))
    return hist, edges


def _even_edges(name: str, rows: Any, bins: list, ranges: list) -> list:
    """Edges of equal parts of each column, from its smallest to its largest element or as given.

    Where `bins` has edges already, these.
    """
    edges = []
    for column, (count, bounds) in enumerate(zip(bins, ranges, strict=True)):
        if isinstance(count, Tensor):
            edges.append(count.detach())
            continue
        if count < 1:
            raise ValueError(f"{name}: bins={count} is less than 1")
        if bounds is None:
            values = rows[:, column]
            empty = not rows.shape[0]
            bounds = (0.0, 1.0) if empty else (amin(values).item(), amax(values).item())
        low, high = map(float, bounds)
        if not (math.isfinite(low) and math.isfinite(high)):
            raise ValueError(f"{name}: the range from {low} to {high} is not finite")
        if high < low:
            raise ValueError(f"{name}: the range ends at {high}, before it begins at {low}")
        if low == high:
            spread = 1.0 if name == "histc" else 0.5
            low, high = low - spread, high + spread
        edges.append(linspace(low, high, count + 1, dtype=rows.dtype, device=rows.device))
    return edges
