"""Convolution on CUDA, over one to three axes: products of filters with patches of the image.

No patch is written to memory: the kernels (`kernels/conv_product.cu`) read it from the image. On
each axis, tap t of the window at place p reads element p · step + origin + t · each.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import product
from typing import Any, NamedTuple

from tensorlite.backend import Array, array_backend
from tensorlite.backend.dtypes import is_short
from tensorlite.backend.precision import get_float32_matmul_precision
from tensorlite.ops.channels import per_channel
from tensorlite.ops.compiled.arrays import kernel_sum_dtype
from tensorlite.ops.conv import Geometry
from tensorlite.ops.fused import widened
from tensorlite.ops.linalg import matmul

MOST = 1 << 31  # places of all images, and elements of a group of channels: counted in 32 bits
MOST_TAPS = 32  # that a kernel works on at a time: kMostTaps in kernels/device/patches.h
COLUMNS = 128  # of a block's part of the product: kStripColumns in kernels/device/strips.h
STRIP = 64  # bytes of a row that are multiplied at a time: kStripBytes there


class Axis(NamedTuple):
    """One spatial axis of an image, as the kernels see it."""

    size: int
    places: int
    taps: int
    step: int
    origin: int
    each: int


class Phase(NamedTuple):
    """Elements of an image that the same taps reach, all `stride` apart, on one axis."""

    axis: Axis
    taps: slice
    """Of the filter."""
    first: int


def fits(x: Array, out: Sequence[int], geometry: Geometry) -> bool:
    """Whether images `x` and places `out` are few enough for the kernels' 32-bit integers."""
    group = x.shape[1] // geometry.groups * math.prod(x.shape[2:])
    return group < MOST and math.prod(out) < MOST and math.prod(x.shape[2:]) < MOST


def convolve(k: Any, x: Array, weight: Array, bias: Array | None, geometry: Geometry) -> Array:
    """`convolution` of arrays without gaps."""
    out = geometry.output_size(x.shape[2:], weight.shape[2:])
    shape = (len(x), len(weight), *out)
    if _is_plain(weight.shape[2:], geometry):
        y = matmul(_filters(weight, geometry.groups), _planes(x, geometry.groups)).reshape(shape)
        if bias is not None:
            y += per_channel(bias, y.ndim)
        return y
    y = k.empty(shape, x.dtype)
    axes = _axes(x.shape[2:], weight.shape[2:], out, geometry)
    _multiply(k, x, _in_order(weight), bias, y, axes, geometry.groups)
    return y


def spread(k: Any, d: Array, weight: Array, shape: tuple[int, ...], geometry: Geometry) -> Array:
    """`convolution_transpose` of arrays without gaps, to images of `shape`."""
    groups = geometry.groups
    if _is_plain(weight.shape[2:], geometry):
        return matmul(_filters(weight, groups).mT, _planes(d, groups)).reshape(shape)
    image = k.empty(shape, d.dtype)
    # (G, O/G, C/G, taps) with the channels first, which are the filters of this product.
    turned = weight.reshape(groups, len(weight) // groups, *weight.shape[1:]).swapaxes(1, 2)
    lengths = zip(shape[2:], d.shape[2:], weight.shape[2:], *geometry[:3], strict=True)
    for phases in product(*(list(_phases(*each)) for each in lengths)):
        part = turned[(..., *(phase.taps for phase in phases))]
        filters = _in_order(part.reshape(shape[1], part.shape[2], *part.shape[3:]))
        axes = _three([phase.axis for phase in phases])
        first = _padded([phase.first for phase in phases], 0)
        _multiply(k, d, filters, None, image, axes, groups, first, _padded(geometry.stride, 1))
    return image


def correlate(k: Any, d: Array, x: Array, kernel: Sequence[int], geometry: Geometry) -> Array:
    """`convolution_weight` of arrays without gaps."""
    groups = geometry.groups
    filters, channels = d.shape[1] // groups, x.shape[1] // groups
    weight = k.empty((d.shape[1], channels, *kernel), d.dtype)
    if is_short(d.dtype) and not k.has_tiles(d):
        wide = correlate(k, widened(d), widened(x), kernel, geometry)
        return wide.astype(d.dtype)
    axes = _axes(x.shape[2:], kernel, d.shape[2:], geometry)
    most = (MOST - 1) // math.prod(d.shape[2:])
    starts = range(0, len(x), most)
    taps = math.prod(kernel)
    tiles = sum(
        -(-channels * min(MOST_TAPS, taps - t) // COLUMNS) for t in range(0, taps, MOST_TAPS)
    )
    rows = 64 if filters <= 64 or d.dtype.char == "d" else 128
    blocks = groups * -(-filters // rows) * tiles
    strips = -(-min(most, len(x)) * math.prod(d.shape[2:]) * d.dtype.itemsize // STRIP)
    sums = kernel_sum_dtype(d.dtype)
    room = max(x.nbytes, d.nbytes) // (weight.size * sums.itemsize)
    wanted = -(-4 * k.processors(d) // blocks)
    parts = max(1, min(wanted, room, strips // 8))
    partial = k.empty((len(starts) * parts, *weight.shape), sums)
    kernel_of = getattr(k, f"conv_weights_{_tf32(k, d)}{rows}")
    for i, start in enumerate(starts):
        images = slice(start, start + most)
        sizes = (len(x[images]), groups, channels, filters)
        kernel_of(
            *(d[images], x[images], partial[i * parts : (i + 1) * parts]),
            *(*sizes, *_numbers(axes), parts, parts * blocks),
        )
    if len(partial) == 1 and sums == d.dtype:
        return partial[0]
    k.column_total(partial, weight, 1, len(partial), weight.size)
    return weight


def _multiply(
    k: Any,
    x: Array,
    filters: Array,
    bias: Array | None,
    y: Array,
    axes: Sequence[Axis],
    groups: int,
    first: Sequence[int] = (0, 0, 0),
    stride: Sequence[int] = (1, 1, 1),
) -> None:
    """Write to `y`, at places first + p · stride, what `filters` (G·O, columns) make of `x`."""
    if is_short(x.dtype) and not k.has_tiles(x):
        wide = widened(y)
        shift = None if bias is None else widened(bias)
        _multiply(k, widened(x), widened(filters), shift, wide, axes, groups, first, stride)
        y[...] = wide.astype(y.dtype)
        return
    places = math.prod(axis.places for axis in axes)
    if not places:
        return
    most = (MOST - COLUMNS) // places
    count = y.shape[1] // groups
    for start in range(0, len(x), most):
        images = slice(start, start + most)
        number = len(x[images])
        tiles = groups * -(-number * places // COLUMNS)
        rows = _rows(count, tiles, k.processors(x), x.dtype)
        kernel = getattr(k, f"conv_product_{_tf32(k, x)}{rows}")
        kernel(
            *(x[images], filters, bias, y[images], number, groups, x.shape[1] // groups, count),
            *(*_numbers(axes), *_padded(y.shape[2:], 1), *first, *stride),
            tiles * -(-count // rows),
        )


def _rows(filters: int, tiles: int, processors: int, dtype: Any) -> int:
    """How many filters a block works on: many, unless there would be too few blocks."""
    for rows in (128, 64):
        enough = tiles * -(-filters // rows) >= processors
        if filters > rows // 2 and enough and (rows == 64 or dtype.char != "d"):
            return rows
    return 32 if filters <= 32 or tiles * -(-filters // 64) < processors else 64


def _tf32(k: Any, x: Array) -> str:
    high = x.dtype.char == "f" and get_float32_matmul_precision() == "high" and k.has_tiles(x)
    return "tf32_" if high else ""


def _axes(
    size: Sequence[int], kernel: Sequence[int], out: Sequence[int], geometry: Geometry
) -> list[Axis]:
    """How windows of `kernel` lie on images of `size`."""
    lengths = zip(size, out, kernel, *geometry[:3], strict=True)
    return _three([Axis(n, p, t, step, -pad, each) for n, p, t, step, pad, each in lengths])


def _phases(
    size: int, places: int, taps: int, stride: int, padding: int, dilation: int
) -> Iterator[Phase]:
    """The phases of one axis of an image, which together have all its elements.

    Element i and tap t belong to window (i + padding − t · dilation) / stride, if that is whole:
    for elements of one phase, i + padding = (first + p) · stride + rest, it is so for every so many
    taps.
    """
    common = math.gcd(stride, dilation)
    for rest in range(stride):
        first = (rest - padding) % stride
        elements = max(0, -(-(size - first) // stride))
        fitting = [t for t in range(min(taps, stride)) if t * dilation % stride == rest]
        start = fitting[0] if fitting else 0
        chosen = slice(start, None if fitting else 0, stride // common)
        count = len(range(*chosen.indices(taps)))
        origin = (first + padding - start * dilation) // stride if fitting else 0
        axis = Axis(places, elements, count, 1, origin, -(dilation // common))
        yield Phase(axis, chosen, first)


def _three(axes: list[Axis]) -> list[Axis]:
    """Of up to three axes, as three."""
    return [Axis(1, 1, 1, 1, 0, 1)] * (3 - len(axes)) + axes


def _padded(values: Sequence[int], missing: int) -> tuple[int, ...]:
    return (*[missing] * (3 - len(values)), *values)


def _numbers(axes: Sequence[Axis]) -> list[int]:
    """The axes as the kernels take them: three sizes, three numbers of places, and so on."""
    return [number for numbers in zip(*axes, strict=True) for number in numbers]


def _in_order(filters: Array) -> Array:
    """Filters (G·O, C/G, taps…) as rows, in the order in which the kernels add up."""
    taps = math.prod(filters.shape[2:])
    rows = filters.reshape(*filters.shape[:2], taps)
    if taps > MOST_TAPS:
        xp = array_backend((filters,)).xp
        parts = (rows[..., t : t + MOST_TAPS] for t in range(0, taps, MOST_TAPS))
        rows = xp.concatenate([part.reshape(len(rows), -1) for part in parts], axis=1)
    rows = rows.reshape(len(rows), -1)
    return rows if rows.flags.c_contiguous else array_backend((rows,)).copy(rows)


def _is_plain(kernel: Sequence[int], geometry: Geometry) -> bool:
    """Whether each window is one element, and each element a window."""
    return {*kernel, *geometry.stride} == {1} and set(geometry.padding) == {0}


def _filters(weight: Array, groups: int) -> Array:
    """Filters as matrices (G, O/G, C/G·K)."""
    filters = len(weight)
    return weight.reshape(groups, filters // groups, weight.size // filters)


def _planes(x: Array, groups: int) -> Array:
    """Images as matrices (N, G, C/G, P)."""
    return x.reshape(len(x), groups, x.shape[1] // groups, math.prod(x.shape[2:]))
