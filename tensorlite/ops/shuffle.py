"""Pixel shuffle, its inverse, and channel shuffle."""

from __future__ import annotations

from tensorlite.ops.faces import copies
from tensorlite.tensor import Tensor

__all__ = ["channel_shuffle", "native_channel_shuffle", "pixel_shuffle", "pixel_unshuffle"]


@copies
def pixel_shuffle(input: Tensor, upscale_factor: int) -> Tensor:
    """Make images (…, C, H·r, W·r) of (…, C·r², H, W), with r = `upscale_factor` (Shi et al. 2016).

    The r² channels that follow each other become the rows and columns of a block.

    Parameters
    ----------
    input : Tensor, shape (..., C·r², H, W)
    upscale_factor : int

    Returns
    -------
    Tensor, shape (..., C, H·r, W·r)

    Raises
    ------
    ValueError
        If r² does not divide the channels, or there are too few axes.

    Examples
    --------
    >>> tl.pixel_shuffle(tl.tensor([[[1]], [[2]], [[3]], [[4]]]), 2)
    tensor([[[1, 2],
             [3, 4]]])
    """
    r = upscale_factor
    _check_planes("pixel_shuffle", input, "upscale_factor", r)
    *before, channels, h, w = input.shape
    if channels % (r * r):
        raise ValueError(
            f"pixel_shuffle: {channels} channels of input {input.shape} do not divide by {r} · {r}"
        )
    n = len(before)
    blocks = input.reshape(*before, channels // (r * r), r, r, h, w)
    order = (*range(n), n, n + 3, n + 1, n + 4, n + 2)
    return blocks.permute(order).reshape(*before, channels // (r * r), h * r, w * r)


@copies
def pixel_unshuffle(input: Tensor, downscale_factor: int) -> Tensor:
    """Make (…, C·r², H, W) of images (…, C, H·r, W·r): undo `pixel_shuffle`.

    Parameters
    ----------
    input : Tensor, shape (..., C, H·r, W·r)
    downscale_factor : int

    Returns
    -------
    Tensor, shape (..., C·r², H, W)

    Raises
    ------
    ValueError
        If r does not divide height and width, or there are too few axes.

    Examples
    --------
    >>> tl.pixel_unshuffle(tl.tensor([[[1, 2], [3, 4]]]), 2).shape
    (4, 1, 1)
    """
    r = downscale_factor
    _check_planes("pixel_unshuffle", input, "downscale_factor", r)
    *before, channels, h, w = input.shape
    if h % r or w % r:
        raise ValueError(
            f"pixel_unshuffle: height and width of input {input.shape} do not divide by {r}"
        )
    n = len(before)
    blocks = input.reshape(*before, channels, h // r, r, w // r, r)
    order = (*range(n), n, n + 2, n + 4, n + 1, n + 3)
    return blocks.permute(order).reshape(*before, channels * r * r, h // r, w // r)


def _check_planes(op: str, input: Tensor, name: str, factor: int) -> None:
    if len(input.shape) < 3:
        raise ValueError(f"{op}: input of shape {input.shape} must be (…, C, H, W)")
    if factor < 1:
        raise ValueError(f"{op}: {name} must be at least 1, not {factor}")


@copies
def channel_shuffle(input: Tensor, groups: int) -> Tensor:
    """Take the channels of (N, C, …) from `groups` groups in turn (Zhang et al. 2018).

    Parameters
    ----------
    input : Tensor, shape (N, C, ...)
    groups : int
        It divides C.

    Returns
    -------
    Tensor
        Of `input`'s shape and dtype.

    Raises
    ------
    ValueError
        If `groups` does not divide C, or there are no channels.

    Examples
    --------
    >>> tl.channel_shuffle(tl.tensor([[[1.0], [2.0], [3.0], [4.0]]]), 2).reshape(4)
    tensor([1., 3., 2., 4.])
    """
    if len(input.shape) < 3:
        raise ValueError(f"channel_shuffle: input of shape {input.shape} must be (N, C, …, L)")
    n, channels, *size = input.shape
    if groups < 1 or channels % groups:
        raise ValueError(f"channel_shuffle: {channels} channels do not divide into {groups} groups")
    parts = input.reshape(n, groups, channels // groups, *size)
    return parts.swapaxes(1, 2).reshape(n, channels, *size)


native_channel_shuffle = channel_shuffle
