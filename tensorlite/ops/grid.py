"""Sampling of images at given places: `grid_sample`, and grids of affine maps."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from tensorlite.backend import array_backend
from tensorlite.ops.compare import where
from tensorlite.ops.elementwise import abs, cast
from tensorlite.ops.index import take_along_axis
from tensorlite.ops.linalg import matmul
from tensorlite.tensor import Tensor, tensor_of

__all__ = ["affine_grid", "grid_sample"]

_MODES = ("bilinear", "nearest", "bicubic")
_PADDINGS = ("zeros", "border", "reflection")


def grid_sample(
    input: Tensor,
    grid: Tensor,
    mode: str = "bilinear",
    padding_mode: str = "zeros",
    align_corners: bool | None = None,
) -> Tensor:
    """Sample images at given places, by interpolation.

    Parameters
    ----------
    input
        Images (N, C, H, W), or volumes (N, C, D, H, W).
    grid
        Places (N, OH, OW, 2), or (N, OD, OH, OW, 3): x, y (and z) with -1 at the first and 1 at the
        last element of an axis.
    mode : {"bilinear", "nearest", "bicubic"}
        "bilinear" is trilinear of volumes; "bicubic" (with the slope -0.75) is for images only.
    padding_mode : {"zeros", "border", "reflection"}
        What lies outside.
    align_corners
        Whether -1 and 1 are the centres of the outermost elements, not their edges (default).

    Returns
    -------
    Tensor, shape (N, C, OH, OW) or (N, C, OD, OH, OW)
        Differentiable by `input` and, but for "nearest", by `grid`. Places that are not numbers
        look at the first element, as in torch.

    Raises
    ------
    ValueError
        If there is no such `mode` or `padding_mode`, or the shapes do not fit.

    Examples
    --------
    >>> F.grid_sample(tl.tensor([[[[1.0, 3.0]]]]), tl.zeros(1, 1, 1, 2))
    tensor([[[[2.]]]])
    """
    axes = len(input.shape) - 2
    _check(input, grid, mode, padding_mode, axes)
    aligned = bool(align_corners)
    size = input.shape[2:]
    places = []  # in elements, the slowest axis first
    for i, n in enumerate(size):
        place = grid[..., axes - 1 - i]
        place = (place + 1) / 2 * (n - 1) if aligned else ((place + 1) * n - 1) / 2
        places.append(place)
    if mode != "bicubic":
        places = [_inside(p, n, padding_mode, aligned) for p, n in zip(places, size, strict=True)]
    taps: list[list[tuple[Any, Any]]]
    if mode == "nearest":
        taps = [[(_rounded(p.array), None)] for p in places]
    elif mode == "bilinear":
        taps = [_linear(p) for p in places]
    else:
        taps = [_cubic(p) for p in places]
    planes = input.reshape(*input.shape[:2], math.prod(size))
    total: Any = None
    for corner in itertools.product(*taps):
        at = [index for index, _ in corner]
        if mode == "bicubic":
            at = [_bounded(a, n, padding_mode, aligned) for a, n in zip(at, size, strict=True)]
        part = _looked_up(planes, at, size)
        for _, weight in corner:
            if weight is not None:
                part = part * weight.reshape(weight.shape[0], 1, *weight.shape[1:])
        total = part if total is None else total + part
    if mode == "nearest":  # of which the grid has a gradient, too: zeros
        one = grid[..., 0]
        total = where(False, one.reshape(one.shape[0], 1, *one.shape[1:]), total)
    return total


def _check(input: Tensor, grid: Tensor, mode: str, padding_mode: str, axes: int) -> None:
    if mode not in _MODES:
        raise ValueError(f"grid_sample: mode {mode!r} is none of {', '.join(_MODES)}")
    if padding_mode not in _PADDINGS:
        raise ValueError(
            f"grid_sample: padding_mode {padding_mode!r} is none of {', '.join(_PADDINGS)}"
        )
    if (
        axes not in (2, 3)
        or len(grid.shape) != axes + 2
        or grid.shape[0] != input.shape[0]
        or grid.shape[-1] != axes
    ):
        raise ValueError(
            f"grid_sample: input of shape {input.shape} and grid of shape {grid.shape} must be "
            "(N, C, H, W) and (N, OH, OW, 2), or (N, C, D, H, W) and (N, OD, OH, OW, 3)"
        )
    if 0 in input.shape[2:]:
        raise ValueError(f"grid_sample: input of shape {input.shape} has an axis of length 0")
    if mode == "bicubic" and axes == 3:
        raise ValueError("grid_sample: mode 'bicubic' is for images (N, C, H, W) only")
    if input.dtype != grid.dtype:
        raise TypeError(
            f"grid_sample: input is {input.dtype}, but grid {grid.dtype}: give both the same dtype"
        )


def _inside(place: Tensor, n: int, padding_mode: str, aligned: bool) -> Tensor:
    """Places moved to where there are elements."""
    if padding_mode == "zeros":
        return place
    if padding_mode == "reflection":
        place = _reflected(place, n, aligned)
    raw = place.array
    ends = array_backend((raw,)).xp.clip(raw, 0, n - 1)
    return where((raw > 0) & (raw < n - 1), place, tensor_of(ends))


def _reflected(place: Tensor, n: int, aligned: bool) -> Tensor:
    """Places reflected at the centres of the outermost elements, or at their edges."""
    low, span = (0.0, float(n - 1)) if aligned else (-0.5, float(n))
    if span == 0:
        return place * 0.0
    raw = place.array
    xp = array_backend((raw,)).xp
    # There and back is twice the span; how many of these, and which way, are constants.
    turns = xp.floor(xp.abs(raw - low) / span)
    distance = abs(place - low) - tensor_of((turns * span).astype(raw.dtype))
    back = turns % 2 == 1
    return where(back, span - distance, distance) + low


def _rounded(raw: Any) -> Any:
    """The nearest whole number, halves to the even one."""
    return array_backend((raw,)).xp.rint(raw)


def _linear(place: Tensor) -> list[tuple[Any, Tensor]]:
    """The two neighbours, and their weights."""
    raw = place.array
    first = array_backend((raw,)).xp.floor(raw)
    part = place - tensor_of(first)
    return [(first, 1 - part), (first + 1, part)]


def _cubic(place: Tensor) -> list[tuple[Any, Tensor]]:
    """Four neighbours, and their weights (Keys 1981, with the slope -0.75)."""
    raw = place.array
    first = array_backend((raw,)).xp.floor(raw)
    t = place - tensor_of(first)
    a = -0.75
    weights = []
    for d, outer in ((t + 1, True), (t, False), (1 - t, False), (2 - t, True)):
        if outer:
            weights.append((((d - 5) * d + 8) * d - 4) * a)
        else:
            weights.append(((a + 2) * d - (a + 3)) * d * d + 1)
    return [(first + i, weight) for i, weight in zip((-1, 0, 1, 2), weights, strict=True)]


def _bounded(index: Any, n: int, padding_mode: str, aligned: bool) -> Any:
    """Whole places moved to where there are elements."""
    if padding_mode == "zeros":
        return index
    return _inside(tensor_of(index), n, padding_mode, aligned).array


def _looked_up(planes: Tensor, at: list, size: Sequence[int]) -> Tensor:
    """Elements of `planes` (N, C, …) at whole places (N, *out); 0 outside."""
    xp = array_backend((at[0],)).xp
    valid: Any = True
    flat: Any = 0
    for index, n in zip(at, size, strict=True):
        valid = valid & (index >= 0) & (index <= n - 1)
        flat = flat * n + xp.clip(xp.nan_to_num(index), 0, n - 1).astype(np.int64)
    n, channels = planes.shape[:2]
    shape = flat.shape
    flat = xp.broadcast_to(flat.reshape(n, 1, -1), (n, channels, math.prod(shape[1:])))
    found = take_along_axis(planes, flat, axis=-1).reshape(n, channels, *shape[1:])
    return where(valid[:, None], found, 0.0)


def affine_grid(theta: Tensor, size: Sequence[int], align_corners: bool | None = None) -> Tensor:
    """Places for `grid_sample` that an affine map takes those of a plain grid to.

    Parameters
    ----------
    theta
        Maps (N, 2, 3), or (N, 3, 4) of volumes.
    size
        Shape of the output, (N, C, H, W) or (N, C, D, H, W).
    align_corners
        As in `grid_sample`.

    Returns
    -------
    Tensor, shape (N, H, W, 2) or (N, D, H, W, 3)

    Raises
    ------
    ValueError
        If `theta` and `size` do not fit, or a length is below 1.
    TypeError
        If `theta` has no float dtype.

    Examples
    --------
    >>> F.affine_grid(tl.tensor([[[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]]), (1, 1, 2, 2)).shape
    (1, 2, 2, 2)
    """
    size = tuple(map(int, size))
    axes = len(size) - 2
    if axes not in (2, 3) or theta.shape != (size[0], axes, axes + 1):
        raise ValueError(
            f"affine_grid: theta of shape {theta.shape} and size {size} must be (N, 2, 3) and "
            "(N, C, H, W), or (N, 3, 4) and (N, C, D, H, W)"
        )
    if min(size) < 1:
        raise ValueError(f"affine_grid: size {size} has a length below 1")
    if theta.dtype.kind not in "fV":
        raise TypeError(f"affine_grid: theta must be floats, not {theta.dtype}")
    backend = array_backend((theta.array,))
    lines = []
    for n in size[2:]:
        line = np.linspace(-1, 1, n) if n > 1 else np.zeros(1)
        lines.append(line if align_corners else line * (n - 1) / n)
    mesh = np.meshgrid(*lines, indexing="ij")
    base = np.stack((*mesh[::-1], np.ones(size[2:])), axis=-1).reshape(-1, axes + 1)
    places = tensor_of(backend.asarray(base, device=backend.device_of(theta.array)))
    grid = matmul(cast(places, theta.dtype), theta.mT)
    return grid.reshape(size[0], *size[2:], axes)
