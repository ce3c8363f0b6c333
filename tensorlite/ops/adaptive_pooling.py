"""Pooling over parts of axes of any length: ``adaptive_avg_pool2d`` and its like."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tensorlite.ops.pool import (
    Window,
    adaptive_avg_pool,
    adaptive_max_pool,
    avg_pool,
    max_pool,
    max_pool_indexed,
)
from tensorlite.ops.pooling import MOST, PerAxis, check_not_empty
from tensorlite.ops.windows import per_axis, with_batch
from tensorlite.tensor import Tensor

__all__ = [
    "adaptive_avg_pool1d",
    "adaptive_avg_pool2d",
    "adaptive_avg_pool3d",
    "adaptive_max_pool1d",
    "adaptive_max_pool2d",
    "adaptive_max_pool3d",
]


def adaptive_max_pool1d(input: Tensor, output_size: PerAxis, return_indices: bool = False) -> Any:
    """Largest of `output_size` parts of each row (N, C, L); see `adaptive_max_pool2d`.

    Parameters
    ----------
    input : Tensor
    output_size : int
    return_indices : bool
        Whether to return the places of the elements, too.

    Returns
    -------
    Tensor, shape (N, C, output_size)
        With the indices, if `return_indices`.

    Examples
    --------
    >>> tl.adaptive_max_pool1d(tl.tensor([[[1.0, 3.0, 2.0, 0.0]]]), 2)
    tensor([[[3., 2.]]])
    """
    return _adaptive_max("adaptive_max_pool1d", 1, input, output_size, return_indices)


def adaptive_max_pool2d(
    input: Tensor, output_size: int | Sequence[int | None], return_indices: bool = False
) -> Any:
    """Largest elements of `output_size` parts of images, cut as in `adaptive_avg_pool2d`.

    The gradient of a part goes to its first largest element. With `return_indices` also the place
    of each element in its image, counted row by row (int64).

    Parameters
    ----------
    input : Tensor, shape (N, C, H, W) or (C, H, W)
    output_size : int or sequence of int or None
        Parts along each axis.
    return_indices : bool
        As above.

    Returns
    -------
    Tensor, shape (N, C, *output_size)
        With the indices, if `return_indices`.

    Examples
    --------
    >>> F.adaptive_max_pool2d(tl.ones(1, 3, 5, 7), (2, 3)).shape
    (1, 3, 2, 3)
    """
    return _adaptive_max("adaptive_max_pool2d", 2, input, output_size, return_indices)


def adaptive_max_pool3d(
    input: Tensor, output_size: int | Sequence[int | None], return_indices: bool = False
) -> Any:
    """Largest elements of `output_size` parts of (N, C, D, H, W); see `adaptive_max_pool2d`.

    Parameters
    ----------
    input : Tensor, shape (N, C, D, H, W)
    output_size : int or sequence of int or None
        Parts along each axis.
    return_indices : bool
        Whether to return the places of the elements, too.

    Returns
    -------
    Tensor, shape (N, C, *output_size)
        With the indices, if `return_indices`.

    Examples
    --------
    >>> F.adaptive_max_pool3d(tl.ones(1, 3, 4, 5, 7), 2).shape
    (1, 3, 2, 2, 2)
    """
    return _adaptive_max("adaptive_max_pool3d", 3, input, output_size, return_indices)


def _check_parts(op: str, size: Sequence[int], out: Sequence[int]) -> None:
    for n, parts in zip(size, out, strict=True):
        if parts > max(n, MOST):
            raise ValueError(f"{op}: an axis of length {n} cannot be cut into {parts} parts")


def _adaptive_max(op: str, axes: int, x: Tensor, output_size: Any, return_indices: bool) -> Any:
    x, unbatched = with_batch(op, x, axes)
    check_not_empty(op, x)
    out = _wanted_size(op, axes, x, output_size)
    _check_parts(op, x.array.shape[2:], out)
    window = _even_window(x.array.shape[2:], out)
    if window is not None:
        parts = max_pool_indexed(x, window=window) if return_indices else max_pool(x, window=window)
    else:
        parts = adaptive_max_pool(x, out)
        parts = parts if return_indices else parts[0]
    return tuple(map(unbatched, parts)) if return_indices else unbatched(parts)


def adaptive_avg_pool1d(input: Tensor, output_size: PerAxis) -> Tensor:
    """Mean of `output_size` parts of each row (N, C, L) or (C, L); see `adaptive_avg_pool2d`.

    Parameters
    ----------
    input : Tensor
    output_size : int

    Returns
    -------
    Tensor, shape (N, C, output_size)

    Examples
    --------
    >>> tl.adaptive_avg_pool1d(tl.tensor([[[1.0, 3.0, 2.0, 0.0]]]), 2)
    tensor([[[2., 1.]]])
    """
    return _adaptive_avg("adaptive_avg_pool1d", 1, input, output_size)


def adaptive_avg_pool2d(input: Tensor, output_size: int | Sequence[int | None]) -> Tensor:
    """Means of `output_size` parts of images (N, C, H, W) or (C, H, W), whatever their size.

    Part i of n along an axis of length L reaches from ⌊i·L/n⌋ to ⌈(i + 1)·L/n⌉. None stands for an
    axis' own length.

    Parameters
    ----------
    input : Tensor, shape (N, C, H, W) or (C, H, W)
    output_size : int or sequence of int or None
        Parts along each axis.

    Returns
    -------
    Tensor, shape (N, C, *output_size)

    Examples
    --------
    >>> F.adaptive_avg_pool2d(tl.ones(1, 3, 5, 7), (2, 3)).shape
    (1, 3, 2, 3)
    """
    return _adaptive_avg("adaptive_avg_pool2d", 2, input, output_size)


def adaptive_avg_pool3d(input: Tensor, output_size: int | Sequence[int | None]) -> Tensor:
    """Means of `output_size` parts of (N, C, D, H, W); see `adaptive_avg_pool2d`.

    Parameters
    ----------
    input : Tensor, shape (N, C, D, H, W)
    output_size : int or sequence of int or None
        Parts along each axis.

    Returns
    -------
    Tensor, shape (N, C, *output_size)

    Examples
    --------
    >>> F.adaptive_avg_pool3d(tl.ones(1, 3, 4, 5, 7), 2).shape
    (1, 3, 2, 2, 2)
    """
    return _adaptive_avg("adaptive_avg_pool3d", 3, input, output_size)


def _adaptive_avg(op: str, axes: int, x: Tensor, output_size: Any) -> Tensor:
    x, unbatched = with_batch(op, x, axes)
    check_not_empty(op, x)
    out = _wanted_size(op, axes, x, output_size)
    _check_parts(op, x.array.shape[2:], out)
    window = _even_window(x.array.shape[2:], out)
    if window is None:
        return unbatched(adaptive_avg_pool(x, out))
    return unbatched(avg_pool(x, window=window, count_include_pad=True))


def _wanted_size(op: str, axes: int, x: Tensor, output_size: Any) -> tuple[int, ...]:
    """One length for each axis, None being its own."""
    if output_size.__class__ is int and output_size >= 0:
        return (output_size,) * axes
    sizes = output_size if isinstance(output_size, (tuple, list)) else (output_size,) * axes
    if len(sizes) != axes:
        raise ValueError(f"{op}: output_size={output_size} is not one length, or {axes}")
    own = x.shape[2:]
    return per_axis(
        [n if size is None else size for n, size in zip(own, sizes, strict=True)],
        axes,
        "output_size",
        op,
        least=0,
    )


def _even_window(size: Sequence[int], out: Sequence[int]) -> Window | None:
    """The window that cuts every axis into equal parts, if there is one."""
    if any(o == 0 or n % o for n, o in zip(size, out, strict=True)):
        return None
    kernel = tuple(n // o for n, o in zip(size, out, strict=True))
    return Window(kernel, kernel, (0,) * len(kernel), (1,) * len(kernel))
