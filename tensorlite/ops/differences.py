"""Differences and slopes along an axis, and the area under sampled functions."""

from __future__ import annotations

from typing import Any

from tensorlite.backend.dims import Axis, all_dims, one_dim
from tensorlite.backend.dtypes import default_dtype
from tensorlite.ops.compare import ne
from tensorlite.ops.elementwise import cast
from tensorlite.ops.faces import copies, takes_axis
from tensorlite.ops.joining import concat
from tensorlite.ops.reduce import sum
from tensorlite.ops.scan import cumsum

__all__ = ["cumulative_trapezoid", "diff", "gradient", "trapezoid", "trapz"]


def _part(x: Any, axis: int, start: int | None, stop: int | None) -> Any:
    """``x[start:stop]`` along `axis`."""
    return x[(slice(None),) * axis + (slice(start, stop), ...)]


def _floating(name: str, x: Any, other: Any = None) -> Any:
    """Integers in the dtype of other floats or in the default one; floats as they are."""
    if x.dtype == bool:
        raise TypeError(f"{name}: booleans are no samples: use x.float()")
    if x.dtype.kind not in "iu":
        return x
    beside = getattr(other, "dtype", None)
    return cast(x, default_dtype() if beside is None or beside.kind in "iub" else beside)


@takes_axis
@copies
def diff(input: Any, n: int = 1, dim: int = -1, prepend: Any = None, append: Any = None) -> Any:
    """Differences of neighbours along `dim`: ``input[i + 1] - input[i]``, `n` times over.

    Parameters
    ----------
    input : Tensor
        At least one axis. Of booleans the result says where neighbours differ.
    n : int
        How often; with more than there are differences the result is empty.
    dim : int
        The axis.
    prepend, append : Tensor, optional
        Put before and after `input` first; any length along `dim`.

    Returns
    -------
    Tensor
        By `n` shorter along `dim`.

    Raises
    ------
    ValueError
        If `n` is negative, or the Tensors' numbers of axes differ.

    Examples
    --------
    >>> tl.diff(tl.tensor([-1.5, 0.0, 2.0]))
    tensor([1.5, 2. ])
    """
    ndim = len(input.shape)
    if ndim == 0:
        raise ValueError("diff: input has no axes: at least one is needed")
    if n < 0:
        raise ValueError(f"diff: n={n} is negative")
    axis = one_dim(dim, ndim, "diff")
    if n == 0:
        return input
    for name, other in (("prepend", prepend), ("append", append)):
        if other is not None and len(other.shape) != ndim:
            raise ValueError(f"diff: {name} has {len(other.shape)} axes, and input {ndim}")
    parts = [x for x in (prepend, input, append) if x is not None]
    x = concat(parts, axis) if len(parts) > 1 else input
    for _ in range(min(n, x.shape[axis])):
        after, before = _part(x, axis, 1, None), _part(x, axis, None, -1)
        x = ne(after, before) if x.dtype == bool else after - before
    return x


@takes_axis
def gradient(
    input: Any, *, spacing: Any = 1, dim: Axis = None, edge_order: int = 1
) -> tuple[Any, ...]:
    """Slopes of a function that `input` samples, along each axis.

    In the middle they are those of the parabola through a sample and its neighbours; at the edges
    of a line through two, or with ``edge_order=2`` of a parabola through three.

    Parameters
    ----------
    input : Tensor
        Samples; of integers in the default dtype.
    spacing : float, Tensor, or sequence of one per axis
        Distance of the samples. A Tensor with one axis gives their places.
    dim : int or tuple of int, optional
        Along which axes; by default all.
    edge_order : {1, 2}

    Returns
    -------
    tuple of Tensor
        One per axis, of `input`'s shape.

    Raises
    ------
    ValueError
        If an axis has no more than `edge_order` samples, or `spacing` fits no axes.

    Examples
    --------
    >>> tl.gradient(tl.tensor([1.0, 4.0, 9.0, 16.0]))
    (tensor([3., 4., 6., 7.]),)
    """
    if edge_order not in (1, 2):
        raise ValueError(f"gradient: edge_order is 1 or 2, not {edge_order!r}")
    input = _floating("gradient", input)
    if dim is not None and not len(input.shape):
        raise IndexError(f"gradient: dim={dim} of a number without axes")
    axes = all_dims(dim, len(input.shape))
    spacing = 1 if spacing is None else spacing
    spacings = list(spacing) if isinstance(spacing, (tuple, list)) else [spacing] * len(axes)
    if len(spacings) != len(axes):
        raise ValueError(f"gradient: {len(spacings)} spacings for {len(axes)} axes")
    for axis in axes:
        if input.shape[axis] <= edge_order:
            raise ValueError(
                f"gradient: axis {axis} of shape {tuple(input.shape)} has to have more than "
                f"edge_order={edge_order} samples"
            )
    return tuple(
        [_slopes(input, axis, h, edge_order) for axis, h in zip(axes, spacings, strict=True)]
    )


def _slopes(f: Any, axis: int, spacing: Any, edge_order: int) -> Any:
    n = f.shape[axis]
    if len(getattr(spacing, "shape", ())):
        if tuple(spacing.shape) != (n,):
            raise ValueError(
                f"gradient: places of shape {tuple(spacing.shape)} for axis {axis}, which has {n}"
            )
        steps = _column(cast(spacing[1:] - spacing[:-1], f.dtype), axis, len(f.shape))
    else:
        steps = None
    rises = diff(f, 1, axis) / (spacing if steps is None else steps)  # slope of each step
    first, last = _part(rises, axis, 0, 1), _part(rises, axis, n - 2, n - 1)
    if n == 2:
        return concat([first, last], axis)
    left, right = _part(rises, axis, None, -1), _part(rises, axis, 1, None)
    if steps is None:
        middle = (left + right) / 2
        share = other_share = 0.5
    else:
        before, after = _part(steps, axis, None, -1), _part(steps, axis, 1, None)
        middle = (left * after + right * before) / (before + after)
        share = _part(before / (before + after), axis, 0, 1)
        other_share = _part(after / (before + after), axis, n - 3, n - 2)
    if edge_order == 2:
        # A parabola's slope at the end of a step is off that of the step by its share of both.
        first = first - (_part(right, axis, 0, 1) - first) * share
        last = last + (last - _part(left, axis, n - 3, n - 2)) * other_share
    return concat([first, middle, last], axis)


def _column(x: Any, axis: int, ndim: int) -> Any:
    """A Tensor with one axis as one of `ndim` axes, of length 1 but for `axis`."""
    return x.reshape((1,) * axis + (-1,) + (1,) * (ndim - axis - 1))


def _areas(name: str, y: Any, x: Any, dx: Any, dim: int) -> tuple[Any, int]:
    """Areas between neighbouring samples along an axis, and that axis."""
    if x is not None and dx is not None:
        raise TypeError(f"{name}(): give x or dx, not both")
    ndim = len(y.shape)
    if ndim == 0:
        raise IndexError(f"{name}: y has no axes: at least one is needed")
    axis = one_dim(dim, ndim, name)
    if x is not None:
        x = _floating(name, x, y)
    y = _floating(name, y, x)
    heights = _part(y, axis, 1, None) + _part(y, axis, None, -1)
    if x is None:
        return heights * ((1 if dx is None else dx) / 2), axis
    if len(x.shape) == 1:
        if x.shape[0] != y.shape[axis]:
            raise ValueError(f"{name}: {x.shape[0]} x for {y.shape[axis]} samples along {axis}")
        x = _column(x, axis, ndim)
        widths = diff(x, 1, axis)
    else:
        widths = diff(x, 1, axis - ndim)
    return heights * widths / 2, axis


@takes_axis
def trapezoid(y: Any, x: Any = None, *, dx: float | None = None, dim: int = -1) -> Any:
    """Area under samples along `dim`, by the trapezoidal rule.

    Parameters
    ----------
    y : Tensor
        Samples; of integers in the default dtype.
    x : Tensor, optional
        Where they are: one axis, of `y`'s length along `dim`, or a shape that broadcasts to `y`'s.
    dx : float, optional
        Their distance, 1 by default, where `x` is not given.
    dim : int
        The axis.

    Returns
    -------
    Tensor
        Of `y`'s shape without `dim`.

    Raises
    ------
    ValueError
        If there is not one `x` for each sample.

    Examples
    --------
    >>> tl.trapezoid(tl.tensor([-1.5, 0.0, 2.0]))
    tensor(0.25)
    """
    areas, axis = _areas("trapezoid", y, x, dx, dim)
    return sum(areas, axis=axis)


trapz = trapezoid


@takes_axis
def cumulative_trapezoid(y: Any, x: Any = None, *, dx: float | None = None, dim: int = -1) -> Any:
    """Areas under samples up to the second, the third and so on; see `trapezoid`.

    Parameters
    ----------
    y : Tensor
        Samples; of integers in the default dtype.
    x, dx, dim
        As of `trapezoid`.

    Returns
    -------
    Tensor
        Of `y`'s shape, by 1 shorter along `dim`.

    Raises
    ------
    TypeError
        If `x` and `dx` are both given.
    IndexError
        If `y` has no axes.
    ValueError
        If there is not one `x` for each sample.

    Examples
    --------
    >>> tl.cumulative_trapezoid(tl.tensor([-1.5, 0.0, 2.0]))
    tensor([-0.75,  0.25])
    """
    areas, axis = _areas("cumulative_trapezoid", y, x, dx, dim)
    return cumsum(areas, axis)
