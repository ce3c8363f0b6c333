"""Enlarging and shrinking spatial axes, as torch's `interpolate`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from tensorlite.ops.adaptive_pooling import (
    adaptive_avg_pool1d,
    adaptive_avg_pool2d,
    adaptive_avg_pool3d,
)
from tensorlite.ops.resample import Sampling, nearest, resample, resample_bytes
from tensorlite.tensor import Tensor

__all__ = ["interpolate", "upsample", "upsample_bilinear", "upsample_nearest"]

# torch calls linear and cubic interpolation by the number of axes.
_AXES = {"linear": 1, "bilinear": 2, "trilinear": 3, "bicubic": 2}
_MODES = ("nearest", "nearest-exact", "area", *_AXES)
_AVERAGES = (adaptive_avg_pool1d, adaptive_avg_pool2d, adaptive_avg_pool3d)


def interpolate(
    input: Tensor,
    size: int | Sequence[int] | None = None,
    scale_factor: float | Sequence[float] | None = None,
    mode: str = "nearest",
    align_corners: bool | None = None,
    recompute_scale_factor: bool | None = None,
    antialias: bool = False,
) -> Tensor:
    """Enlarge or shrink the spatial axes of `input`.

    Parameters
    ----------
    input
        Shape (N, C, L), (N, C, H, W) or (N, C, D, H, W). Floats; for the nearest modes anything,
        for "bilinear" and "bicubic" uint8, too, which is rounded after each axis, as torch does.
    size
        New lengths: one for all spatial axes, or one each. Either this or `scale_factor`.
    scale_factor
        New lengths as multiples of the old, rounded down; and how far apart results lie.
    mode : {"nearest", "nearest-exact", "linear", "bilinear", "bicubic", "trilinear", "area"}
        "linear" is for one spatial axis, "bilinear" and "bicubic" (Keys 1981, with the slope
        -0.75) for two, "trilinear" for three. "area" is the mean of what a result covers,
        `adaptive_avg_pool2d`. "nearest" looks at the corner of a result, as it has always done,
        "nearest-exact" at its centre.
    align_corners
        Of linear and cubic modes: whether the centres of the corner elements keep their places,
        instead of their outer edges (default).
    recompute_scale_factor
        Whether results lie as far apart as the rounded new lengths say, not `scale_factor`.
    antialias
        Of "bilinear" and "bicubic": widen the filter where an axis is shortened, as Pillow does
        (the slope then is -0.5).

    Returns
    -------
    Tensor
        Of the new lengths, and `input`'s dtype.

    Raises
    ------
    ValueError
        If the mode does not fit the number of axes, or other arguments each other.
    TypeError
        For integers in a mode that mixes elements.

    Examples
    --------
    >>> F.interpolate(tl.tensor([[[1.0, 2.0]]]), scale_factor=2)
    tensor([[[1., 1., 2., 2.]]])
    """
    axes = len(input.shape) - 2
    _check(input, mode, align_corners, antialias)
    if (size is None) == (scale_factor is None):
        raise ValueError("interpolate: give either size or scale_factor")
    if recompute_scale_factor and size is not None:
        raise ValueError("interpolate: recompute_scale_factor is for scale_factor, not for size")
    own = input.shape[2:]
    given = _for_each("size" if scale_factor is None else "scale_factor", axes, size, scale_factor)
    steps: list[tuple[float, float]]
    if scale_factor is None:
        out = tuple(map(int, given))
        steps = list(zip(own, out, strict=True))
    else:
        out = tuple(math.floor(n * factor) for n, factor in zip(own, given, strict=True))
        steps = [(1, factor) for factor in given]
        if recompute_scale_factor or mode == "area":
            steps = list(zip(own, out, strict=True))
    if 0 in own or min(out) < 1:
        raise ValueError(f"interpolate: input of shape {input.shape} to size {out}: there is none")
    if mode == "area":
        return _AVERAGES[axes - 1](input, out)
    if mode in ("nearest", "nearest-exact"):
        kind = "exact" if mode == "nearest-exact" else "nearest"
        return nearest(input, size=out, how=tuple(Sampling(kind, *step) for step in steps))
    return _mixtures(input, out, steps, mode, bool(align_corners), antialias)


def _mixtures(
    x: Tensor,
    out: tuple[int, ...],
    steps: list[tuple[float, float]],
    mode: str,
    aligned: bool,
    antialias: bool,
) -> Tensor:
    kind = "cubic" if mode == "bicubic" else "linear"
    order = list(range(len(out)))
    bytewise = x.dtype == np.uint8
    if bytewise or math.prod(out) > math.prod(x.shape[2:]):
        order.reverse()  # the last axis is the slowest to read along: do it while it is short
    for i in order:
        length, new = x.shape[2 + i], out[i]
        step = steps[i]
        if aligned:
            step = (length - 1, new - 1) if new > 1 else (0, 1)
        how = Sampling(kind, *step, aligned, antialias)
        x = (resample_bytes if bytewise else resample)(x, axis=2 + i, size=new, how=how)
    return x


def _check(input: Tensor, mode: str, align_corners: bool | None, antialias: bool) -> None:
    axes = len(input.shape) - 2
    if mode not in _MODES:
        raise ValueError(f"interpolate: mode {mode!r} is none of {', '.join(_MODES)}")
    if not 1 <= axes <= 3 or _AXES.get(mode, axes) != axes:
        wanted = {1: "(N, C, L)", 2: "(N, C, H, W)", 3: "(N, C, D, H, W)"}.get(_AXES.get(mode, 0))
        raise ValueError(
            f"interpolate: mode {mode!r} for input of shape {input.shape}; it must be "
            + (wanted or "(N, C, …) with one to three spatial axes")
        )
    if align_corners is not None and mode not in _AXES:
        raise ValueError(
            "interpolate: align_corners is for linear, bilinear, bicubic and trilinear"
        )
    if antialias and mode not in ("bilinear", "bicubic"):
        raise ValueError("interpolate: antialias is for bilinear and bicubic")
    pixels = input.dtype == np.uint8 and mode in ("bilinear", "bicubic")
    if mode not in ("nearest", "nearest-exact") and input.dtype.kind not in "fV" and not pixels:
        raise TypeError(
            f"interpolate: mode {mode!r} mixes elements, which {input.dtype} cannot hold: give "
            "input.float(), and round the result"
        )


def _for_each(name: str, axes: int, *choice: float | Sequence[float] | None) -> tuple[float, ...]:
    """The size or scale factor that was given, as one number per axis."""
    given: Any = next(value for value in choice if value is not None)
    numbers = tuple(given) if isinstance(given, (tuple, list)) else (given,) * axes
    if len(numbers) != axes or min(numbers) <= 0:
        raise ValueError(
            f"interpolate: {name} {given} is not one positive number for each of {axes} axes"
        )
    return numbers


def upsample(
    input: Tensor,
    size: int | Sequence[int] | None = None,
    scale_factor: float | Sequence[float] | None = None,
    mode: str = "nearest",
    align_corners: bool | None = None,
) -> Tensor:
    """`interpolate` by its old name.

    Parameters
    ----------
    input, size, scale_factor, mode, align_corners
        As of `interpolate`.

    Returns
    -------
    Tensor
        Of the new shape.

    Examples
    --------
    >>> F.upsample(tl.tensor([[[1.0, 2.0]]]), scale_factor=2)
    tensor([[[1., 1., 2., 2.]]])
    """
    return interpolate(input, size, scale_factor, mode, align_corners)


def upsample_nearest(
    input: Tensor,
    size: int | Sequence[int] | None = None,
    scale_factor: float | Sequence[float] | None = None,
) -> Tensor:
    """`interpolate` by the nearest elements.

    Parameters
    ----------
    input : Tensor, shape (N, C, ...)
    size, scale_factor
        As of `interpolate`.

    Returns
    -------
    Tensor
        Of the new shape.

    Examples
    --------
    >>> F.upsample_nearest(tl.tensor([[[1.0, 2.0]]]), scale_factor=2)
    tensor([[[1., 1., 2., 2.]]])
    """
    return interpolate(input, size, scale_factor)


def upsample_bilinear(
    input: Tensor,
    size: int | Sequence[int] | None = None,
    scale_factor: float | Sequence[float] | None = None,
) -> Tensor:
    """`interpolate` bilinearly, with aligned corners.

    Parameters
    ----------
    input : Tensor, shape (N, C, H, W)
    size, scale_factor
        As of `interpolate`.

    Returns
    -------
    Tensor, shape (N, C, OH, OW)

    Examples
    --------
    >>> F.upsample_bilinear(tl.ones(1, 1, 2, 2), scale_factor=2).shape
    (1, 1, 4, 4)
    """
    return interpolate(input, size, scale_factor, "bilinear", align_corners=True)
