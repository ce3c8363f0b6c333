"""Pooling as torch's functions: windows over one, two or three spatial axes.

Every function takes batches (N, C, …) and single examples (C, …).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from tensorlite.ops.arithmetic import pow
from tensorlite.ops.compare import where
from tensorlite.ops.pool import (
    Window,
    avg_pool,
    max_pool,
    max_pool_indexed,
    unpool,
)
from tensorlite.ops.windows import per_axis, with_batch
from tensorlite.tensor import Tensor

__all__ = [
    "avg_pool1d",
    "avg_pool2d",
    "avg_pool3d",
    "lp_pool1d",
    "lp_pool2d",
    "lp_pool3d",
    "max_pool1d",
    "max_pool2d",
    "max_pool3d",
    "max_unpool1d",
    "max_unpool2d",
    "max_unpool3d",
]

PerAxis = int | Sequence[int]

# --- largest ------------------------------------------------------------------------------------

MOST = 1 << 20  # taps of a window, or parts of an axis, where the axis is shorter


def max_pool1d(
    input: Tensor,
    kernel_size: PerAxis,
    stride: PerAxis | None = None,
    padding: PerAxis = 0,
    dilation: PerAxis = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:
    """Largest element of windows over `input` (N, C, L) or (C, L); see `max_pool2d`.

    Parameters
    ----------
    input : Tensor
    kernel_size, stride, padding, dilation, ceil_mode, return_indices
        As of `max_pool2d`.

    Returns
    -------
    Tensor, shape (N, C, OL)
        With the indices, if `return_indices`.

    Raises
    ------
    ValueError
        If shapes or options do not fit each other.

    Examples
    --------
    >>> tl.max_pool1d(tl.tensor([[[1.0, 3.0, 2.0, 0.0]]]), 2)
    tensor([[[3., 2.]]])
    """
    window = _window("max_pool1d", 1, kernel_size, stride, padding, dilation, ceil_mode)
    return _max_pool("max_pool1d", 1, input, window, return_indices)


def max_pool2d(
    input: Tensor,
    kernel_size: PerAxis,
    stride: PerAxis | None = None,
    padding: PerAxis = 0,
    dilation: PerAxis = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:
    """Largest element of windows over images.

    Parameters
    ----------
    input
        Shape (N, C, H, W) or (C, H, W).
    kernel_size
        Height and width of the window: one number, or one per axis (so for the others below).
    stride
        Distance of windows (default: `kernel_size`).
    padding
        Rows and columns of -inf on each side; at most half the window.
    dilation
        Distance of the elements in a window.
    ceil_mode
        Whether a last window may reach over the end. It must begin inside, or in the padding
        before it.
    return_indices
        Whether to return the place of each element, too.

    Returns
    -------
    Tensor, shape (N, C, OH, OW)
        With OH = ⌊(H + 2·padding − dilation·(KH − 1) − 1) / stride⌋ + 1, rounded up in
        `ceil_mode`. The gradient of a window goes to its first largest element.
    Tensor of int64, if `return_indices`
        Where each element is in its image, counted row by row; what `max_unpool2d` takes.

    Raises
    ------
    ValueError
        If shapes or options do not fit each other.

    Examples
    --------
    >>> tl.max_pool2d(tl.tensor([[[[1.0, 3.0], [2.0, 0.0]]]]), 2)
    tensor([[[[3.]]]])
    """
    window = _window("max_pool2d", 2, kernel_size, stride, padding, dilation, ceil_mode)
    return _max_pool("max_pool2d", 2, input, window, return_indices)


def max_pool3d(
    input: Tensor,
    kernel_size: PerAxis,
    stride: PerAxis | None = None,
    padding: PerAxis = 0,
    dilation: PerAxis = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:
    """Largest element of windows over `input` (N, C, D, H, W) or (C, D, H, W); see `max_pool2d`.

    Parameters
    ----------
    input : Tensor
    kernel_size, stride, padding, dilation, ceil_mode, return_indices
        As of `max_pool2d`.

    Returns
    -------
    Tensor, shape (N, C, OD, OH, OW)
        With the indices, if `return_indices`.

    Raises
    ------
    ValueError
        If shapes or options do not fit each other.

    Examples
    --------
    >>> tl.max_pool3d(tl.zeros(1, 3, 4, 4, 4), 2).shape
    (1, 3, 2, 2, 2)
    """
    window = _window("max_pool3d", 3, kernel_size, stride, padding, dilation, ceil_mode)
    return _max_pool("max_pool3d", 3, input, window, return_indices)


def _max_pool(op: str, axes: int, x: Tensor, window: Window, return_indices: bool) -> Any:
    x, unbatched = with_batch(op, x, axes)
    check_not_empty(op, x)
    for n, kernel in zip(x.array.shape[2:], window.kernel, strict=True):
        if kernel > max(n, MOST):
            raise ValueError(f"{op}: kernel_size {kernel} is for no axis of length {n}")
    if not return_indices:
        return unbatched(max_pool(x, window=window))
    y, index = max_pool_indexed(x, window=window)
    return unbatched(y), unbatched(index)


def max_unpool1d(
    input: Tensor,
    indices: Tensor,
    kernel_size: PerAxis,
    stride: PerAxis | None = None,
    padding: PerAxis = 0,
    output_size: Sequence[int] | None = None,
) -> Tensor:
    """Undo `max_pool1d`; see `max_unpool2d`.

    Parameters
    ----------
    input, indices : Tensor, shape (N, C, L) or (C, L)
    kernel_size, stride, padding, output_size
        As of `max_unpool2d`.

    Returns
    -------
    Tensor, shape (N, C, OL)

    Raises
    ------
    TypeError
        If the indices are no integers.
    ValueError
        If shapes or `output_size` do not fit, or an index lies outside (on the CPU).

    Examples
    --------
    >>> F.max_unpool1d(*F.max_pool1d(tl.tensor([[[1.0, 3.0]]]), 2, return_indices=True), 2)
    tensor([[[0., 3.]]])
    """
    return _max_unpool(1, input, indices, kernel_size, stride, padding, output_size)


def max_unpool2d(
    input: Tensor,
    indices: Tensor,
    kernel_size: PerAxis,
    stride: PerAxis | None = None,
    padding: PerAxis = 0,
    output_size: Sequence[int] | None = None,
) -> Tensor:
    """Undo `max_pool2d`: put its results back where they came from, zeros elsewhere.

    Parameters
    ----------
    input, indices
        What `max_pool2d` returned with ``return_indices=True``, (N, C, H, W) or (C, H, W).
    kernel_size, stride, padding
        As they were there.
    output_size
        Lengths of the axes of the images, or their whole shape; within one stride of the default,
        which is the smallest that fits.

    Returns
    -------
    Tensor, shape (N, C, H, W) or (C, H, W)

    Raises
    ------
    ValueError
        If an index lies outside of the output, on the CPU.

    Examples
    --------
    >>> F.max_unpool2d(*F.max_pool2d(tl.ones(1, 1, 4, 4), 2, return_indices=True), 2).shape
    (1, 1, 4, 4)
    """
    return _max_unpool(2, input, indices, kernel_size, stride, padding, output_size)


def max_unpool3d(
    input: Tensor,
    indices: Tensor,
    kernel_size: PerAxis,
    stride: PerAxis | None = None,
    padding: PerAxis = 0,
    output_size: Sequence[int] | None = None,
) -> Tensor:
    """Undo `max_pool3d`; see `max_unpool2d`.

    Parameters
    ----------
    input, indices : Tensor, shape (N, C, D, H, W) or (C, D, H, W)
    kernel_size, stride, padding, output_size
        As of `max_unpool2d`.

    Returns
    -------
    Tensor, shape (N, C, OD, OH, OW)

    Raises
    ------
    TypeError
        If the indices are no integers.
    ValueError
        If shapes or `output_size` do not fit, or an index lies outside (on the CPU).

    Examples
    --------
    >>> F.max_unpool3d(*F.max_pool3d(tl.ones(1, 1, 4, 4, 4), 2, return_indices=True), 2).shape
    (1, 1, 4, 4, 4)
    """
    return _max_unpool(3, input, indices, kernel_size, stride, padding, output_size)


def _max_unpool(
    axes: int,
    x: Tensor,
    indices: Tensor,
    kernel_size: PerAxis,
    stride: PerAxis | None,
    padding: PerAxis,
    output_size: Sequence[int] | None,
) -> Tensor:
    op = f"max_unpool{axes}d"
    if indices.array.dtype.kind not in "iu":
        raise TypeError(f"{op}: indices must be integers, not {indices.dtype}")
    if indices.shape != x.shape:
        raise ValueError(f"{op}: indices of shape {indices.shape} for input of shape {x.shape}")
    window = _window(op, axes, kernel_size, stride, padding, 1, False)
    x, unbatched = with_batch(op, x, axes)
    parts = zip(x.shape[2:], window.kernel, window.stride, window.padding, strict=True)
    size = tuple((n - 1) * s + k - 2 * p for n, k, s, p in parts)
    if output_size is not None:
        wanted = tuple(output_size)[-axes:]
        fits = len(output_size) in (axes, axes + 1, axes + 2)
        if not fits or any(
            not n - s < w < n + s for w, n, s in zip(wanted, size, window.stride, strict=True)
        ):
            raise ValueError(
                f"{op}: output_size {tuple(output_size)} must be within one stride "
                f"{window.stride} of {size}"
            )
        size = wanted
    index = indices.array.reshape(x.shape)
    if isinstance(index, np.ndarray) and index.size:
        wrong = index[(index < 0) | (index >= math.prod(size))]
        if wrong.size:
            raise ValueError(f"{op}: index {wrong[0]} lies outside of an output of size {size}")
    return unbatched(unpool(x, index, size=size))


# --- average ------------------------------------------------------------------------------------


def avg_pool1d(
    input: Tensor,
    kernel_size: PerAxis,
    stride: PerAxis | None = None,
    padding: PerAxis = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
) -> Tensor:
    """Mean of windows over `input` (N, C, L) or (C, L); see `avg_pool2d`.

    Parameters
    ----------
    input : Tensor
    kernel_size, stride, padding, ceil_mode, count_include_pad
        As of `avg_pool2d`.

    Returns
    -------
    Tensor, shape (N, C, OL)

    Raises
    ------
    ValueError
        If shapes or options do not fit each other.

    Examples
    --------
    >>> tl.avg_pool1d(tl.tensor([[[1.0, 3.0, 2.0, 0.0]]]), 2)
    tensor([[[2., 1.]]])
    """
    window = _window("avg_pool1d", 1, kernel_size, stride, padding, 1, ceil_mode)
    return _avg_pool("avg_pool1d", 1, input, window, count_include_pad, None)


def avg_pool2d(
    input: Tensor,
    kernel_size: PerAxis,
    stride: PerAxis | None = None,
    padding: PerAxis = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Tensor:
    """Mean of windows over images (N, C, H, W) or (C, H, W).

    Parameters
    ----------
    input, kernel_size, stride, padding, ceil_mode
        As in `max_pool2d`, the padding being zeros.
    count_include_pad
        Whether the zeros count; if not, a mean is over the elements inside the image only. What a
        window in `ceil_mode` has beyond the padding never counts.
    divisor_override
        What to divide each sum by instead.

    Returns
    -------
    Tensor, shape (N, C, OH, OW)

    Raises
    ------
    ValueError
        If `padding` is more than half a window, or `divisor_override` is 0.

    Examples
    --------
    >>> F.avg_pool2d(tl.tensor([[[[1.0, 3.0], [2.0, 0.0]]]]), 2)
    tensor([[[[1.5]]]])
    """
    window = _window("avg_pool2d", 2, kernel_size, stride, padding, 1, ceil_mode)
    return _avg_pool("avg_pool2d", 2, input, window, count_include_pad, divisor_override)


def avg_pool3d(
    input: Tensor,
    kernel_size: PerAxis,
    stride: PerAxis | None = None,
    padding: PerAxis = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Tensor:
    """Mean of windows over `input` (N, C, D, H, W) or (C, D, H, W); see `avg_pool2d`.

    Parameters
    ----------
    input : Tensor
    kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override
        As of `avg_pool2d`.

    Returns
    -------
    Tensor, shape (N, C, OD, OH, OW)

    Raises
    ------
    ValueError
        If `padding` is more than half a window, or `divisor_override` is 0.

    Examples
    --------
    >>> F.avg_pool3d(tl.ones(1, 3, 4, 4, 4), 2).shape
    (1, 3, 2, 2, 2)
    """
    window = _window("avg_pool3d", 3, kernel_size, stride, padding, 1, ceil_mode)
    return _avg_pool("avg_pool3d", 3, input, window, count_include_pad, divisor_override)


def _avg_pool(
    op: str,
    axes: int,
    x: Tensor,
    window: Window,
    count_include_pad: bool,
    divisor: int | None,
) -> Tensor:
    if divisor == 0:
        raise ValueError(f"{op}: divisor_override must not be 0")
    x, unbatched = with_batch(op, x, axes)
    check_not_empty(op, x)
    return unbatched(
        avg_pool(x, window=window, count_include_pad=bool(count_include_pad), divisor=divisor)
    )


# --- power means --------------------------------------------------------------------------------


def lp_pool1d(
    input: Tensor,
    norm_type: float,
    kernel_size: PerAxis,
    stride: PerAxis | None = None,
    ceil_mode: bool = False,
) -> Tensor:
    """p-norm of windows over `input` (N, C, L) or (C, L); see `lp_pool2d`.

    Parameters
    ----------
    input : Tensor
    norm_type, kernel_size, stride, ceil_mode
        As of `lp_pool2d`.

    Returns
    -------
    Tensor, shape (N, C, OL)

    Examples
    --------
    >>> F.lp_pool1d(tl.tensor([[[3.0, 4.0]]]), 2, 2)
    tensor([[[5.]]])
    """
    return _lp_pool(1, input, norm_type, kernel_size, stride, ceil_mode)


def lp_pool2d(
    input: Tensor,
    norm_type: float,
    kernel_size: PerAxis,
    stride: PerAxis | None = None,
    ceil_mode: bool = False,
) -> Tensor:
    """(Σ x^p)^(1/p) of windows over images, with p = `norm_type`; the gradient is 0 where it is 0.

    Windows lie as in `avg_pool2d`.

    Parameters
    ----------
    input : Tensor, shape (N, C, H, W) or (C, H, W)
    norm_type : float
    kernel_size, stride, ceil_mode
        As of `avg_pool2d`.

    Returns
    -------
    Tensor, shape (N, C, OH, OW)

    Examples
    --------
    >>> F.lp_pool2d(tl.tensor([[[[3.0, 4.0]]]]), 2, (1, 2))
    tensor([[[[5.]]]])
    """
    return _lp_pool(2, input, norm_type, kernel_size, stride, ceil_mode)


def lp_pool3d(
    input: Tensor,
    norm_type: float,
    kernel_size: PerAxis,
    stride: PerAxis | None = None,
    ceil_mode: bool = False,
) -> Tensor:
    """p-norm of windows over `input` (N, C, D, H, W) or (C, D, H, W); see `lp_pool2d`.

    Parameters
    ----------
    input : Tensor
    norm_type, kernel_size, stride, ceil_mode
        As of `lp_pool2d`.

    Returns
    -------
    Tensor, shape (N, C, OD, OH, OW)

    Examples
    --------
    >>> F.lp_pool3d(tl.ones(1, 3, 4, 4, 4), 2, 2).shape
    (1, 3, 2, 2, 2)
    """
    return _lp_pool(3, input, norm_type, kernel_size, stride, ceil_mode)


def _lp_pool(
    axes: int,
    x: Tensor,
    norm_type: float,
    kernel_size: PerAxis,
    stride: PerAxis | None,
    ceil_mode: bool,
) -> Tensor:
    op = f"lp_pool{axes}d"
    window = _window(op, axes, kernel_size, stride, 0, 1, ceil_mode)
    sums = _avg_pool(op, axes, pow(x, norm_type), window, True, None) * math.prod(window.kernel)
    # A root has no slope at 0: there the gradient is 0.
    return where(sums == 0, 0.0, pow(where(sums == 0, 1.0, sums), 1.0 / norm_type))


# --- arguments ----------------------------------------------------------------------------------


def _window(
    op: str,
    axes: int,
    kernel_size: PerAxis,
    stride: PerAxis | None,
    padding: PerAxis,
    dilation: PerAxis,
    ceil_mode: bool,
) -> Window:
    kernel = per_axis(kernel_size, axes, "kernel_size", op)
    # torch's scripts of old give an empty list for the default.
    given = stride is not None and stride != [] and stride != ()
    stride = kernel if stride is None or not given else per_axis(stride, axes, "stride", op)
    padding = per_axis(padding, axes, "padding", op, least=0)
    dilation = per_axis(dilation, axes, "dilation", op)
    if any(padding) and any(
        2 * p > d * (k - 1) + 1 for p, k, d in zip(padding, kernel, dilation, strict=True)
    ):
        raise ValueError(f"{op}: padding {padding} is more than half of the window {kernel}")
    return Window(kernel, stride, padding, dilation, bool(ceil_mode))


def check_not_empty(op: str, x: Tensor) -> None:
    """Refuse images without elements, of which there is no largest."""
    shape = x.array.shape
    if 0 in shape[1:]:
        raise ValueError(f"{op}: input of shape {shape} has an axis of length 0")
