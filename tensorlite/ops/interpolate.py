"""Resampling of spatial axes.

Along one axis every mode is a product with a matrix that depends on the sizes alone, and its
gradient the product with the transpose.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from types import ModuleType

from tensorlite.backend import Array
from tensorlite.ops.fused import float32_inside
from tensorlite.ops.linalg import matmul
from tensorlite.primitive import primitive
from tensorlite.tensor import Tensor

__all__ = ["interpolate"]

# Distance of results in input elements, as a numerator and a denominator: as one rounded number it
# would put some results just short of the element they lie on.
Step = tuple[float, float]

# torch calls linear interpolation by the number of axes.
_LINEAR = {"linear": 1, "bilinear": 2}


@primitive
@float32_inside
def resample(
    xp: ModuleType, x: Array, *, axis: int, size: int, step: Step, linear: bool, aligned: bool
) -> Array:
    """Resample `axis` to `size` elements, a `step` of input elements apart.

    The nearest element, or, if `linear`, a mixture of the two neighbours. If `aligned`, the
    centres of the first elements lie on each other, else their edges.
    """
    matrix = _weights(xp, x.shape[axis], size, step, linear, aligned).astype(x.dtype)
    return _product(matrix, x, axis)


@primitive
@float32_inside
def resample_backward(
    xp: ModuleType, dy: Array, *, axis: int, size: int, step: Step, linear: bool, aligned: bool
) -> Array:
    """Spread the resampled elements' cotangents over the `size` elements they came from."""
    matrix = _weights(xp, size, dy.shape[axis], step, linear, aligned).astype(dy.dtype)
    return _product(matrix.T, dy, axis)


def _product(matrix: Array, x: Array, axis: int) -> Array:
    if axis == x.ndim - 1:
        return matmul(x, matrix.T)
    return matmul(matrix, x.swapaxes(axis, -2)).swapaxes(axis, -2)


def _weights(
    xp: ModuleType, length: int, size: int, step: Step, linear: bool, aligned: bool
) -> Array:
    """The matrix (`size`, `length`) of each result's mixture of the elements."""
    scale, divisor = step
    place = xp.arange(size, dtype=xp.float64)
    elements = xp.arange(length)
    if not linear:
        nearest = xp.minimum(xp.floor(place * scale / divisor), length - 1)
        return nearest[:, None] == elements
    place = place * scale / divisor if aligned else (place + 0.5) * scale / divisor - 0.5
    place = xp.clip(place, 0, length - 1)
    return xp.maximum(0, 1 - xp.abs(place[:, None] - elements))


resample.defvjp(
    x=lambda g, x_shape, axis, step, linear, aligned: resample_backward(
        g, axis, x_shape[axis], step, linear, aligned
    )
)
resample_backward.defvjp(
    dy=lambda g, dy_shape, axis, step, linear, aligned: resample(
        g, axis, dy_shape[axis], step, linear, aligned
    )
)


def interpolate(
    x: Tensor,
    size: int | Sequence[int] | None = None,
    scale_factor: float | Sequence[float] | None = None,
    mode: str = "nearest",
    align_corners: bool = False,
) -> Tensor:
    """Enlarge or shrink the spatial axes of `x`.

    Parameters
    ----------
    x
        Shape (N, C, L) or (N, C, H, W).
    size
        New lengths: one for all spatial axes, or one each. Either this or `scale_factor`.
    scale_factor
        New lengths as multiples of the old, rounded down.
    mode : {"nearest", "linear", "bilinear"}
        "linear" is for one spatial axis, "bilinear" for two.
    align_corners
        Of linear modes: whether the centres of the corner elements keep their places, instead of
        their outer edges.
    """
    axes = len(x.shape) - 2
    if mode != "nearest" and _LINEAR.get(mode) != axes:
        raise ValueError(
            f"interpolate: mode {mode!r} for x of shape {x.shape}; use 'nearest', 'linear' for "
            "(N, C, L) or 'bilinear' for (N, C, H, W)"
        )
    if (size is None) == (scale_factor is None):
        raise ValueError("interpolate: give either size or scale_factor")
    if align_corners and mode == "nearest":
        raise ValueError("interpolate: align_corners is for linear modes")
    given = size if scale_factor is None else scale_factor
    given = (given,) * axes if isinstance(given, (int, float)) else tuple(given)
    if len(given) != axes or min(given) <= 0:
        raise ValueError(f"interpolate: {given} is not one positive number for each of {axes} axes")
    for axis, number in enumerate(given, start=2):
        length = x.shape[axis]
        new = number if scale_factor is None else math.floor(length * number)
        step = (length, new) if scale_factor is None else (1, number)
        if align_corners:
            step = (length - 1, max(new - 1, 1))
        x = resample(x, axis, new, step, mode != "nearest", align_corners)
    return x
