"""Windows of images as columns, and back: torch's `unfold` and `fold`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from types import ModuleType
from typing import NamedTuple

from tensorlite.backend import Array
from tensorlite.ops.faces import copies
from tensorlite.ops.fused import float32_inside
from tensorlite.ops.windows import (
    enlarged,
    inside,
    output_size,
    per_axis,
    taps,
    windows,
    with_batch,
)
from tensorlite.primitive import primitive
from tensorlite.tensor import Tensor

__all__ = ["fold", "unfold"]


class Patches(NamedTuple):
    """How windows lie on the spatial axes."""

    kernel: tuple[int, ...]
    stride: tuple[int, ...]
    padding: tuple[int, ...]
    dilation: tuple[int, ...]


@primitive(name="unfold")
def columns_of(xp: ModuleType, x: Array, *, patches: Patches) -> Array:
    """Every window of `x` (N, C, *size) as a column, (N, C·K, windows)."""
    n, channels, *size = x.shape
    out = output_size(size, *patches)
    padded = enlarged(xp, x, patches.padding)
    view = windows(xp, padded, patches.kernel, out, patches.stride, patches.dilation)
    return view.reshape(n, channels * math.prod(patches.kernel), math.prod(out))


@primitive(name="fold")
@float32_inside
def image_of(xp: ModuleType, columns: Array, *, size: tuple[int, ...], patches: Patches) -> Array:
    """Add up columns (N, C·K, windows) where their elements lie in images (N, C, *size)."""
    out = output_size(size, *patches)
    count = math.prod(patches.kernel)
    n, channels = columns.shape[0], columns.shape[1] // count
    parts = columns.reshape(n, channels, count, *out)
    image = xp.zeros(
        (n, channels, *[m + 2 * p for m, p in zip(size, patches.padding, strict=True)]),
        columns.dtype,
    )
    for k, tap in enumerate(taps(patches.kernel, out, patches.stride, patches.dilation)):
        image[(..., *tap)] += parts[:, :, k]
    return image[inside(size, patches.padding)]


columns_of.defvjp(
    x=lambda g, x_shape, patches: image_of(g, size=tuple(x_shape[2:]), patches=patches)
)
image_of.defvjp(columns=lambda g, patches: columns_of(g, patches=patches))


def _patches(
    op: str,
    kernel_size: int | Sequence[int],
    dilation: int | Sequence[int],
    padding: int | Sequence[int],
    stride: int | Sequence[int],
) -> Patches:
    return Patches(
        per_axis(kernel_size, 2, "kernel_size", op),
        per_axis(stride, 2, "stride", op),
        per_axis(padding, 2, "padding", op, least=0),
        per_axis(dilation, 2, "dilation", op),
    )


@copies
def unfold(
    input: Tensor,
    kernel_size: int | Sequence[int],
    dilation: int | Sequence[int] = 1,
    padding: int | Sequence[int] = 0,
    stride: int | Sequence[int] = 1,
) -> Tensor:
    """Take the windows of images as columns.

    Parameters
    ----------
    input
        Shape (N, C, H, W) or (C, H, W).
    kernel_size, dilation, padding, stride
        As in `conv2d`.

    Returns
    -------
    Tensor, shape (N, C · KH · KW, OH · OW), or that without N
        Windows in the order of rows; in a column the elements of a channel lie together.

    Raises
    ------
    ValueError
        If `input` has an axis of length 0, or no window fits.

    Examples
    --------
    >>> F.unfold(tl.ones(1, 3, 4, 4), 2).shape
    (1, 12, 9)
    """
    patches = _patches("unfold", kernel_size, dilation, padding, stride)
    x, unbatched = with_batch("unfold", input, 2)
    if 0 in x.shape[1:]:
        raise ValueError(f"unfold: input of shape {input.shape} has an axis of length 0")
    return unbatched(columns_of(x, patches=patches))


def fold(
    input: Tensor,
    output_size: int | Sequence[int],
    kernel_size: int | Sequence[int],
    dilation: int | Sequence[int] = 1,
    padding: int | Sequence[int] = 0,
    stride: int | Sequence[int] = 1,
) -> Tensor:
    """Add up columns where they lie in images: the transpose of `unfold`.

    Parameters
    ----------
    input
        Shape (N, C · KH · KW, windows), or that without N.
    output_size
        Height and width of the images.
    kernel_size, dilation, padding, stride
        As in `unfold`.

    Returns
    -------
    Tensor, shape (N, C, H, W) or (C, H, W)

    Raises
    ------
    ValueError
        If `input` has not as many rows and columns as there are elements and windows.

    Examples
    --------
    >>> F.fold(tl.ones(1, 4, 4), (4, 4), 2, stride=2).shape
    (1, 1, 4, 4)
    """
    patches = _patches("fold", kernel_size, dilation, padding, stride)
    size = per_axis(output_size, 2, "output_size", "fold")
    x, unbatched = with_batch("fold", input, 1)
    count, places = math.prod(patches.kernel), math.prod(_windows_in(size, patches))
    if x.shape[1] % count or not x.shape[1] or x.shape[2] != places:
        raise ValueError(
            f"fold: input of shape {input.shape} must be (N, C · {count}, {places}): windows of "
            f"{patches.kernel} have {count} elements, and there are {places} in {size}"
        )
    return unbatched(image_of(x, size=size, patches=patches))


def _windows_in(size: tuple[int, ...], patches: Patches) -> tuple[int, ...]:
    return output_size(size, *patches)
