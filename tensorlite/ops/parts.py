"""Parts of a Tensor: diagonals, triangles, windows."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from types import ModuleType

from numpy.lib.array_utils import normalize_axis_index, normalize_axis_tuple

from tensorlite.backend import Array
from tensorlite.ops.fused import float32_inside
from tensorlite.ops.shape import transpose
from tensorlite.primitive import primitive
from tensorlite.tensor import Tensor

__all__ = ["diagonal", "sliding_window", "tril", "triu", "unfold"]


def _check_matrices(x: Array) -> None:
    if x.ndim < 2:
        raise ValueError(f"there is no matrix in shape {x.shape}")


@primitive
def tril(xp: ModuleType, x: Array, *, k: int = 0) -> Array:
    """Keep what is on and below the `k`-th diagonal of the last two axes; the rest is 0."""
    _check_matrices(x)
    return xp.tril(x, k).astype(x.dtype, copy=False)  # CuPy widens bfloat16


tril.defvjp(x=lambda g, k: tril(g, k))


@primitive
def triu(xp: ModuleType, x: Array, *, k: int = 0) -> Array:
    """Keep what is on and above the `k`-th diagonal of the last two axes; the rest is 0."""
    _check_matrices(x)
    return xp.triu(x, k).astype(x.dtype, copy=False)


triu.defvjp(x=lambda g, k: triu(g, k))


@primitive(view=True)
def diagonal(xp: ModuleType, x: Array, *, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Array:
    """Take the `offset`-th diagonal of two axes; it becomes the last axis of the result."""
    return xp.diagonal(x, offset, axis1, axis2)


@primitive
def diagonal_backward(
    xp: ModuleType, d: Array, *, shape: tuple[int, ...], offset: int, axis1: int, axis2: int
) -> Array:
    """Lay `d` on a diagonal of zeros."""
    x = xp.zeros(shape, d.dtype)
    along = xp.arange(d.shape[-1])
    matrices = xp.moveaxis(x, (axis1, axis2), (-2, -1))
    matrices[..., along + max(-offset, 0), along + max(offset, 0)] = d
    return x


diagonal.defvjp(
    x=lambda g, x_shape, offset, axis1, axis2: diagonal_backward(g, x_shape, offset, axis1, axis2)
)
diagonal_backward.defvjp(d=lambda g, offset, axis1, axis2: diagonal(g, offset, axis1, axis2))


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
    axes = range(ndim) if axis is None else normalize_axis_tuple(axis, ndim, "sliding_window")
    if len(lengths) != len(axes):
        raise ValueError(
            f"sliding_window: window {window} has no length for each of {len(axes)} axes"
        )
    for i, length in zip(axes, lengths, strict=True):
        if not 1 <= length <= x.shape[i]:
            raise ValueError(
                f"sliding_window: a window of {length} does not fit axis {i} of shape {x.shape}"
            )
    # CuPy confuses lengths and axes unless these ascend.
    ascending = sorted(zip(axes, lengths, strict=True))
    view = sliding_windows(x, tuple(n for _, n in ascending), tuple(i for i, _ in ascending))
    places = [ndim + sorted(axes).index(i) for i in axes]
    return transpose(view, (*range(ndim), *places)) if places != sorted(places) else view


@primitive(name="unfold")
def sliding_windows(
    xp: ModuleType, x: Array, *, window: tuple[int, ...], axes: tuple[int, ...]
) -> Array:
    """View every window; `axes` ascend."""
    return xp.lib.stride_tricks.sliding_window_view(x, window, axes)


@primitive
@float32_inside
def sliding_window_backward(
    xp: ModuleType,
    d: Array,
    *,
    shape: tuple[int, ...],
    window: tuple[int, ...],
    axes: tuple[int, ...],
) -> Array:
    """Add each window back where it was taken."""
    x = xp.zeros(shape, d.dtype)
    for tap in product(*map(range, window)):
        part = [slice(None)] * len(shape)
        for i, start in zip(axes, tap, strict=True):
            part[i] = slice(start, start + d.shape[i])
        x[tuple(part)] += d[(..., *tap)]
    return x


sliding_windows.defvjp(
    x=lambda g, x_shape, window, axes: sliding_window_backward(g, x_shape, window, axes)
)
sliding_window_backward.defvjp(d=lambda g, window, axes: sliding_windows(g, window, axes))


def unfold(x: Tensor, axis: int, size: int, step: int = 1) -> Tensor:
    """Take windows of `size` elements along `axis`, one every `step`; torch's `Tensor.unfold`."""
    axis = normalize_axis_index(axis, len(x.shape), "unfold")
    return sliding_window(x, size, axis)[(slice(None),) * axis + (slice(None, None, step),)]
