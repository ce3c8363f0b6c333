"""Resampling of spatial axes, one at a time.

Along one axis every result is a mixture of a few elements whose places and weights depend on the
sizes alone: a sparse matrix, with as many columns in a row as the longest has. Its transpose, the
gradient, is another such.
"""

from __future__ import annotations

import functools
import math
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np

from tensorlite.backend import Array, array_backend
from tensorlite.ops.compiled.arrays import packed, pair
from tensorlite.ops.fused import float32_inside, widened
from tensorlite.primitive import primitive


class Sampling(NamedTuple):
    """How results lie among the elements of an axis.

    Attributes
    ----------
    kind
        "nearest", "exact" (nearest to the centre of the result), "linear" or "cubic".
    scale, divisor
        Distance of results in elements, as a numerator and a denominator: as one rounded number it
        would put some results just short of the element they lie on.
    aligned
        Whether the centres of the first elements lie on each other, else their edges.
    smooth
        Whether the filter is widened where the axis is shortened, against aliasing.
    """

    kind: str
    scale: float
    divisor: float
    aligned: bool = False
    smooth: bool = False


def _cubic(distance: np.ndarray, a: float) -> np.ndarray:
    """Keys' kernel (1981) with the slope `a`."""
    d = np.abs(distance)
    near = ((a + 2) * d - (a + 3)) * d * d + 1
    far = (((d - 5) * d + 8) * d - 4) * a
    return np.where(d <= 1, near, np.where(d < 2, far, 0.0))


@functools.lru_cache(maxsize=256)
def mixture(length: int, size: int, how: Sampling) -> tuple[np.ndarray, np.ndarray]:
    """For `size` results of an axis of `length`: places (taps, size), and weights of them.

    A place that does not count has the weight 0.
    """
    at = np.arange(size, dtype=np.float64)
    if how.kind in ("nearest", "exact"):
        middle = 0.5 if how.kind == "exact" else 0.0
        place = np.minimum(np.floor((at + middle) * how.scale / how.divisor), length - 1)
        return place.astype(np.int64)[None], np.ones((1, size))
    if how.smooth:
        return _smooth_mixture(length, at, how)
    if how.aligned:
        place = at * how.scale / how.divisor
    else:
        place = (at + 0.5) * how.scale / how.divisor - 0.5
    if how.kind == "linear":
        place = np.clip(place, 0, length - 1)
    first = np.floor(place)
    part = place - first
    if how.kind == "linear":
        places, weights = np.stack((first, first + 1)), np.stack((1 - part, part))
    else:
        offsets = np.array([[-1], [0], [1], [2]])
        places, weights = first + offsets, _cubic(part - offsets, -0.75)
    return np.clip(places, 0, length - 1).astype(np.int64), weights


def _smooth_mixture(length: int, at: np.ndarray, how: Sampling) -> tuple[np.ndarray, np.ndarray]:
    """The filter as wide as a result; it is cut at the ends, and its weights add up to 1."""
    step = how.scale / how.divisor
    widened_by = max(step, 1.0)
    reach = widened_by * (1.0 if how.kind == "linear" else 2.0)
    centre = step * (at + 0.5)
    low = np.maximum(np.floor(centre - reach + 0.5), 0).astype(np.int64)
    high = np.minimum(np.floor(centre + reach + 0.5), length).astype(np.int64)
    places = low + np.arange(np.max(high - low, initial=1))[:, None]
    distance = (places - centre + 0.5) / widened_by
    shape = np.maximum(0, 1 - np.abs(distance)) if how.kind == "linear" else _cubic(distance, -0.5)
    weights = np.where(places < high, shape, 0.0)
    return np.minimum(places, length - 1), weights / weights.sum(axis=0)


@functools.lru_cache(maxsize=256)
def transposed_mixture(length: int, size: int, how: Sampling) -> tuple[np.ndarray, np.ndarray]:
    """The transpose: of each element the results it went to, (taps, length), and its weights."""
    places, weights = mixture(length, size, how)
    results = np.broadcast_to(np.arange(size), places.shape)
    counts = weights != 0
    places, results, weights = places[counts], results[counts], weights[counts]
    order = np.lexsort((results, places))
    places, results, weights = places[order], results[order], weights[order]
    start = np.searchsorted(places, np.arange(length))
    number = np.arange(places.size) - start[places]  # among those of the same element
    taps = int(number.max(initial=0)) + 1
    into, mixed = np.zeros((taps, length), np.int64), np.zeros((taps, length))
    into[number, places] = results
    mixed[number, places] = weights
    return into, mixed


_tables: dict[Any, tuple[Array, Array]] = {}


def tables(
    x: Array, length: int, size: int, how: Sampling, transposed: bool
) -> tuple[Array, Array]:
    """`mixture` or its transpose where `x` is: int32 places, weights in the dtype of `x`."""
    backend = array_backend((x,))
    key = (backend.device_of(x), x.dtype.char, length, size, how, transposed)
    if key not in _tables:
        if len(_tables) >= 256:
            _tables.clear()
        find = transposed_mixture if transposed else mixture
        places, weights = find(length, size, how)
        _tables[key] = (
            backend.asarray(places.astype(np.int32), device=key[0]),
            backend.asarray(weights.astype(x.dtype), device=key[0]),
        )
    return _tables[key]


def _mixed(xp: ModuleType, x: Array, places: Array, weights: Array, axis: int) -> Array:
    """Mix along `axis`. Elements of weight 0 do not count, even if they are infinite."""
    behind = (1,) * (x.ndim - axis - 1)
    total: Any = 0
    for place, weight in zip(places, weights, strict=True):
        weight = weight.reshape(-1, *behind)
        total = total + xp.where(weight == 0, 0, xp.take(x, place, axis) * weight)
    return total


# 0 · inf is not a number, until `where` takes the other side.
_quiet = functools.partial(np.errstate, invalid="ignore")


@primitive
@float32_inside
def resample(xp: ModuleType, x: Array, *, axis: int, size: int, how: Sampling) -> Array:
    """Resample `axis` to `size` elements."""
    with _quiet():
        return _mixed(xp, x, *tables(x, x.shape[axis], size, how, False), axis)


@primitive
@float32_inside
def resample_backward(xp: ModuleType, dy: Array, *, axis: int, size: int, how: Sampling) -> Array:
    """Spread the resampled elements' cotangents over the `size` elements they came from."""
    with _quiet():
        return _mixed(xp, dy, *tables(dy, size, dy.shape[axis], how, True), axis)


resample.defvjp(
    x=lambda g, x_shape, axis, how: resample_backward(g, axis=axis, size=x_shape[axis], how=how)
)
resample_backward.defvjp(
    dy=lambda g, dy_shape, axis, how: resample(g, axis=axis, size=dy_shape[axis], how=how)
)


@primitive
def resample_bytes(xp: ModuleType, x: Array, *, axis: int, size: int, how: Sampling) -> Array:
    """Resample uint8 along `axis` in whole numbers, with weights of 15 bits, as Pillow does.

    The result is rounded, halves up, and cut to what uint8 holds.
    """
    places, weights = mixture(x.shape[axis], size, how)
    precision = 0
    while precision < 22 and int(0.5 + weights.max(initial=0) * (2 << precision)) < 1 << 15:
        precision += 1
    scaled = weights * (1 << precision)
    whole = np.trunc(scaled + np.copysign(0.5, scaled)).astype(np.int32)
    behind = (1,) * (x.ndim - axis - 1)
    total = xp.full((), 1 << (precision - 1), np.int32)
    for place, weight in zip(places, whole, strict=True):
        part = xp.take(x, xp.asarray(place), axis).astype(np.int32)
        total = total + part * xp.asarray(weight).reshape(-1, *behind)
    return xp.clip(total >> precision, 0, 255).astype(np.uint8)


@primitive
def nearest(xp: ModuleType, x: Array, *, size: tuple[int, ...], how: tuple[Sampling, ...]) -> Array:
    """Resample all spatial axes of `x` (N, C, …) by their nearest elements, of any dtype."""
    for axis, (n, each) in enumerate(zip(size, how, strict=True), start=2):
        x = xp.take(x, _places(x, x.shape[axis], n, each), axis)
    return x


@primitive
@float32_inside
def nearest_backward(
    xp: ModuleType, dy: Array, *, size: tuple[int, ...], how: tuple[Sampling, ...]
) -> Array:
    """Add the cotangents of all results that an element was nearest to."""
    with _quiet():
        for axis, (n, each) in enumerate(zip(size, how, strict=True), start=2):
            dy = _mixed(xp, dy, *tables(dy, n, dy.shape[axis], each, True), axis)
    return dy


def _places(x: Array, length: int, size: int, how: Sampling) -> Array:
    like = widened(x[:0]) if x.dtype.kind in "fV" else array_backend((x,)).xp.zeros(0, np.float32)
    return tables(like, length, size, how, False)[0][0]


nearest.defvjp(x=lambda g, x_shape, how: nearest_backward(g, size=tuple(x_shape[2:]), how=how))
nearest_backward.defvjp(dy=lambda g, dy_shape, how: nearest(g, size=tuple(dy_shape[2:]), how=how))


# --- kernels -----------------------------------------------------------------------------------

MOST_PLACES = 1 << 30  # along an axis: places have 32 bits


def _mixed_by_kernel(
    k: Any, x: Array, axis: int, length: int, size: int, how: Sampling, turned: bool
) -> Any:
    arrays = packed(x)
    n = x.shape[axis]
    inner = math.prod(x.shape[axis + 1 :])
    if arrays is None or max(length, size, size * inner, n * inner) > MOST_PLACES:
        return NotImplemented
    places, weights = tables(widened(x[:0]), length, size, how, turned)
    taps, out = places.shape
    shape = (*x.shape[:axis], out, *x.shape[axis + 1 :])
    y = k.empty(shape, x.dtype)
    outer = math.prod(x.shape[:axis])
    k.resample(*arrays, places, weights, y, outer, n, inner, out, taps)
    return y


@resample.kernel
def _resample(k: Any, x: Array, *, axis: int, size: int, how: Sampling) -> Any:
    return _mixed_by_kernel(k, x, axis, x.shape[axis], size, how, turned=False)


@resample_backward.kernel
def _resample_backward(k: Any, dy: Array, *, axis: int, size: int, how: Sampling) -> Any:
    return _mixed_by_kernel(k, dy, axis, size, dy.shape[axis], how, turned=True)


@functools.lru_cache(maxsize=256)
def _lines(length: int, size: int, how: Sampling) -> tuple[np.ndarray, np.ndarray, int]:
    """The nearest element of each result, where the results of each begin, and how many if even."""
    places = mixture(length, size, how)[0][0].astype(np.int32)
    start = np.searchsorted(places, np.arange(length + 1)).astype(np.int32)
    counts = np.diff(start)
    even = int(counts[0]) if size and (counts == counts[0]).all() else 0
    return places, start, even


_on_device: dict[Any, tuple] = {}


def _lines_for(x: Array, size: tuple, out: tuple, how: tuple[Sampling, ...]) -> Any:
    """What `_lines` says of both axes, where `x` is."""
    backend = array_backend((x,))
    key = (backend.device_of(x), size, out, how)
    if key not in _on_device:
        if len(_on_device) >= 256:
            _on_device.clear()
        lines = [_lines(*each) for each in zip(size, out, how, strict=True)]
        _on_device[key] = tuple(
            (*(backend.asarray(a, device=key[0]) for a in arrays), even) for *arrays, even in lines
        )
    return _on_device[key]


_WHOLE = Sampling("nearest", 1, 1)


def _as_planes(k: Any, x: Array, size: tuple, out: tuple, how: tuple) -> Any:
    """The lines of both axes, and the lengths the kernels take; None for other numbers of axes."""
    if len(size) not in (1, 2) or max(math.prod(size), math.prod(out)) > MOST_PLACES:
        return None
    size, out = pair(size, 1), pair(out, 1)
    how = how if len(how) == 2 else (_WHOLE, *how)
    rows, columns = _lines_for(x, size, out, how)
    return rows, columns, (x.shape[0] * x.shape[1], *size, *out, columns[2])


@nearest.kernel
def _nearest(k: Any, x: Array, *, size: tuple[int, ...], how: tuple[Sampling, ...]) -> Any:
    arrays = packed(x)
    found = None if arrays is None else _as_planes(k, x, x.shape[2:], size, how)
    if arrays is None or found is None:
        return NotImplemented
    rows, columns, lengths = found
    y = k.empty((*x.shape[:2], *size), x.dtype)
    k.nearest2d(*arrays, rows[0], columns[0], y, *lengths)
    return y


@nearest_backward.kernel
def _nearest_backward(
    k: Any, dy: Array, *, size: tuple[int, ...], how: tuple[Sampling, ...]
) -> Any:
    arrays = packed(dy)
    found = None if arrays is None else _as_planes(k, dy, size, dy.shape[2:], how)
    if arrays is None or found is None:
        return NotImplemented
    rows, columns, lengths = found
    dx = k.empty((*dy.shape[:2], *size), dy.dtype)
    k.nearest2d_backward(*arrays, rows[1], columns[1], columns[0], dx, *lengths)
    return dx
