"""Convolution by kernels, over one to three axes on CUDA and one or two on the CPU.

What a call passes to its kernels, beside the arrays, follows from shapes alone. It is worked out
once for each combination of them, as a plan; a call looks it up, makes the result and launches.

On CUDA a convolution is a product of filters with patches of the image. No patch is written to
memory: the kernels (`kernels/conv_product.cu`) read it from the image. On each axis, tap t of the
window at place p reads element p · step + origin + t · each.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterator, Sequence
from itertools import product
from typing import Any, NamedTuple

from tensorlite.backend import Array, array_backend
from tensorlite.backend.dtypes import is_short
from tensorlite.backend.precision import get_float32_matmul_precision
from tensorlite.ops.channels import per_channel
from tensorlite.ops.compiled.arrays import kernel_sum_dtype, packed, pair, room, widened_on_host
from tensorlite.ops.conv import (
    Geometry,
    check_shapes,
    convolution,
    convolution_transpose,
    convolution_weight,
)
from tensorlite.ops.fused import widened
from tensorlite.ops.linalg import matmul

MOST = 1 << 31  # places of all images, and elements of a group of channels: counted in 32 bits
MOST_PLACES = 1 << 30  # in an image, so that padding fits into 32 bits, too
MOST_TAPS = 32  # that a kernel works on at a time: kMostTaps in kernels/device/patches.h
COLUMNS = 128  # of a block's part of the product: kStripColumns in kernels/device/strips.h
STRIP = 64  # bytes of a row that are multiplied at a time: kStripBytes there
EACH = 256  # places of a block of kernels/conv_each.cu: kEachThreads there
TOGETHER = 9  # taps of a block of its gradient: kTogether there

Shape = tuple[int, ...]
planned = functools.lru_cache(maxsize=1024)


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


class Machine(NamedTuple):
    """What a plan depends on beside shapes: an element's bytes, the GPU's processors, TF32."""

    itemsize: int
    processors: int
    tf32: str
    """What a kernel's name has more where float32 is multiplied as TF32."""


class Launch(NamedTuple):
    """One launch: of which images (None: of all), which kernel, and the numbers that it takes."""

    images: slice | None
    kernel: str
    numbers: Shape


def _machine(k: Any, x: Array) -> Machine:
    high = x.dtype.char == "f" and get_float32_matmul_precision() == "high" and k.has_tiles(x)
    return Machine(x.dtype.itemsize, k.processors(x), "tf32_" if high else "")


def _prepared(kernel: Callable) -> Callable:
    """A kernel function of arrays without gaps, of float32 where short floats have no kernels."""

    @functools.wraps(kernel)
    def run(k: Any, *given: Any, **static: Any) -> Any:
        if k.on_host and (given[0].ndim not in (3, 4) or given[0].dtype.char not in "fd"):
            return NotImplemented
        arrays = packed(*given)
        if arrays is None:
            return NotImplemented
        dtype = arrays[0].dtype
        if k.on_host or not is_short(dtype) or k.has_tiles(arrays[0]):
            return kernel(k, *arrays, **static)
        y = kernel(k, *map(widened, arrays), **static)
        if y is NotImplemented or y is static.get("into"):
            return y
        return y.astype(dtype)

    return widened_on_host()(run)


# --- convolution --------------------------------------------------------------------------------


@convolution.kernel
@_prepared
def convolve(
    k: Any, x: Array, weight: Array, bias: Array | None = None, *, geometry: Geometry
) -> Any:
    """`convolution`."""
    shapes = x.shape, weight.shape, None if bias is None else bias.shape
    if k.on_host:
        on_host = _forward_on_host(*shapes, geometry)
        if on_host is None:
            return NotImplemented
        y = k.empty(on_host[0], x.dtype)
        k.conv2d(x, weight, bias, y, *on_host[1])
        return y
    plan = _forward(*shapes, geometry, _machine(k, x))
    if plan is None:
        return NotImplemented
    shape, launches = plan
    if not launches and _is_plain(weight.shape[2:], geometry):
        y = matmul(_filters(weight, geometry.groups), _images(x, geometry.groups)).reshape(shape)
        if bias is not None:
            y += per_channel(bias, y.ndim)
        return y
    y = k.empty(shape, x.dtype)
    _multiply(k, launches, x, _in_order(weight, len(shape) - 2), bias, y)
    return y


@planned
def _forward_on_host(
    x: Shape, weight: Shape, bias: Shape | None, geometry: Geometry
) -> tuple[Shape, Shape] | None:
    """The shape of the result, and the numbers for the CPU's kernel; None of too large images."""
    check_shapes(x, weight, bias, geometry.groups)
    out = geometry.output_size(x[2:], weight[2:])
    if math.prod(x[2:]) > MOST_PLACES:
        return None
    return (x[0], weight[0], *out), _numbers_on_host(x, weight[2:], weight[0], geometry)


def _numbers_on_host(x: Shape, kernel: Shape, filters: int, geometry: Geometry) -> Shape:
    """The numbers that the CPU's kernels take, from the image's shape to the windows'."""
    n, channels, *size = x
    groups = geometry.groups
    return (
        *(n, groups, channels // groups, *pair(size, 1), filters // groups),
        *pair(kernel, 1),
        *pair(geometry.stride, 1),
        *pair(geometry.padding, 0),
        *pair(geometry.dilation, 1),
        *pair(geometry.output_size(size, kernel), 1),
    )


@planned
def _forward(
    x: Shape, weight: Shape, bias: Shape | None, geometry: Geometry, machine: Machine
) -> tuple[Shape, tuple[Launch, ...]] | None:
    """The shape of the result, and the launches; None of images that are too large."""
    check_shapes(x, weight, bias, geometry.groups)
    out = geometry.output_size(x[2:], weight[2:])
    shape = (x[0], weight[0], *out)
    if not _fits(x, out, geometry.groups):
        return None
    if _is_plain(weight[2:], geometry):
        return shape, ()
    axes = _axes(x[2:], weight[2:], out, geometry)
    return shape, _launches(x, shape, axes, geometry.groups, machine)


# --- its gradient by the images -----------------------------------------------------------------


@convolution_transpose.kernel
@_prepared
def spread(k: Any, x: Array, weight: Array, *, size: Shape, geometry: Geometry) -> Any:
    """`convolution_transpose`."""
    groups = geometry.groups
    if k.on_host:
        on_host = _transpose_on_host(x.shape, weight.shape, size, geometry)
        if on_host is None:
            return NotImplemented
        image = k.empty(on_host[0], x.dtype)
        k.conv2d_input_gradient(x, weight, image, *on_host[1])
        return image
    plan = _transpose(x.shape, weight.shape, size, geometry, _machine(k, x))
    if plan is None:
        return NotImplemented
    shape, phases = plan
    if not phases:
        return matmul(_filters(weight, groups).mT, _images(x, groups)).reshape(shape)
    image = k.empty(shape, x.dtype)
    # (G, O/G, C/G, taps) with the channels first, which are the filters of this product.
    turned = weight.swapaxes(0, 1)
    if groups > 1:
        turned = weight.reshape(groups, len(weight) // groups, *weight.shape[1:]).swapaxes(1, 2)
    for taps, launches in phases:
        part = turned[(..., *taps)] if taps else turned
        _multiply(k, launches, x, _in_order(part, len(size)), None, image)
    return image


def _transposed(x: Shape, weight: Shape, size: Shape, geometry: Geometry) -> Shape | None:
    """The shape of the images, if these are operands of their convolution's transpose."""
    if len(x) != len(weight) or x[1] != weight[0] or math.prod(size) > MOST_PLACES:
        return None
    if x[1] % geometry.groups or geometry.output_size(size, weight[2:]) != x[2:]:
        return None
    return (x[0], weight[1] * geometry.groups, *size)


@planned
def _transpose_on_host(
    x: Shape, weight: Shape, size: Shape, geometry: Geometry
) -> tuple[Shape, Shape] | None:
    shape = _transposed(x, weight, size, geometry)
    return None if shape is None else (shape, _numbers_on_host(shape, weight[2:], x[1], geometry))


@planned
def _transpose(
    x: Shape, weight: Shape, size: Shape, geometry: Geometry, machine: Machine
) -> tuple[Shape, tuple[tuple[Any, tuple[Launch, ...]], ...]] | None:
    """The shape of the images, and of each phase the taps (None: all) and the launches."""
    shape = _transposed(x, weight, size, geometry)
    if shape is None or not _fits(x, size, geometry.groups):
        return None
    if _is_plain(weight[2:], geometry):
        return shape, ()
    lengths = zip(size, x[2:], weight[2:], *geometry[:3], strict=True)
    found = []
    for phases in product(*(list(_phases(*each)) for each in lengths)):
        axes = _three([phase.axis for phase in phases])
        first = _padded([phase.first for phase in phases], 0)
        stride = _padded(geometry.stride, 1)
        launches = _launches(x, shape, axes, geometry.groups, machine, first, stride)
        taps = tuple(phase.taps for phase in phases)
        every = all(part == slice(0, None, 1) for part in taps)
        if launches:
            found.append((None if every else taps, launches))
    return shape, tuple(found)


# --- its gradient by the filters ----------------------------------------------------------------


@convolution_weight.kernel
@_prepared
def correlate(
    k: Any,
    d: Array,
    x: Array,
    *,
    kernel: Shape,
    geometry: Geometry,
    into: Array | None = None,
) -> Any:
    """`convolution_weight`."""
    if k.on_host:
        on_host = _weight_on_host(d.shape, x.shape, tuple(kernel), geometry)
        if on_host is None:
            return NotImplemented
        weight = room(k, on_host[0], x.dtype, into)
        k.conv2d_weight_gradient(d, x, weight, None, *on_host[1])
        return weight
    plan = _weight(d.shape, x.shape, tuple(kernel), geometry, _machine(k, x))
    if plan is None:
        return NotImplemented
    shape, parts, launches = plan
    sums = kernel_sum_dtype(d.dtype)
    weight = room(k, shape, d.dtype, into, sums)
    at_once = len(launches) * parts == 1 and weight.dtype == sums
    # No view of the place: references to its array are counted (`own_place`).
    partial = weight if at_once else k.empty((len(launches) * parts, *shape), sums)
    for i, (images, name, numbers) in enumerate(launches):
        if images is None:
            getattr(k, name)(d, x, partial, *numbers)
        else:
            own = partial if at_once else partial[i * parts : (i + 1) * parts]
            getattr(k, name)(d[images], x[images], own, *numbers)
    if not at_once:
        k.column_total(partial, weight, 1, len(partial), weight.size)
    return weight


@planned
def _weight_on_host(
    d: Shape, x: Shape, kernel: Shape, geometry: Geometry
) -> tuple[Shape, Shape] | None:
    if math.prod(x[2:]) > MOST_PLACES:
        return None
    shape = (d[1], x[1] // geometry.groups, *kernel)
    return shape, _numbers_on_host(x, kernel, d[1], geometry)


@planned
def _weight(
    d: Shape, x: Shape, kernel: Shape, geometry: Geometry, machine: Machine
) -> tuple[Shape, int, tuple[Launch, ...]] | None:
    """The shape of the filters, into how many parts each launch adds up, and the launches."""
    if math.prod(x[2:]) > MOST_PLACES or not _fits(x, d[2:], geometry.groups):
        return None
    groups = geometry.groups
    filters, channels = d[1] // groups, x[1] // groups
    shape = (d[1], channels, *kernel)
    axes = _axes(x[2:], kernel, d[2:], geometry)
    most = (MOST - 1) // math.prod(d[2:])
    taps = math.prod(kernel)
    tiles = sum(
        -(-channels * min(MOST_TAPS, taps - t) // COLUMNS) for t in range(0, taps, MOST_TAPS)
    )
    places = min(most, x[0]) * math.prod(d[2:])
    if _are_few(channels, filters, taps):
        name = "conv_each_weights"
        blocks = groups * filters * channels * -(-taps // TOGETHER)
        strips = -(-places // EACH)
    else:
        rows = 64 if filters <= 64 or machine.itemsize == 8 else 128
        name = f"conv_weights_{machine.tf32}{rows}"
        blocks = groups * -(-filters // rows) * tiles
        strips = -(-places * machine.itemsize // STRIP)
    sums = max(4, machine.itemsize)
    room = max(math.prod(x), math.prod(d)) * machine.itemsize // (math.prod(shape) * sums)
    parts = max(1, min(-(-4 * machine.processors // blocks), room, strips // 8))
    launches = []
    for images, number in _images_at_a_time(x[0], most):
        numbers = (number, groups, channels, filters, *_numbers(axes), parts, parts * blocks)
        launches.append(Launch(images, name, numbers))
    return shape, parts, tuple(launches)


# --- launches on CUDA ---------------------------------------------------------------------------


def _multiply(
    k: Any,
    launches: tuple[Launch, ...],
    x: Array,
    filters: Array,
    bias: Array | None,
    y: Array,
) -> None:
    """Write to `y` what `filters` make of `x`."""
    for images, name, numbers in launches:
        if images is None:
            getattr(k, name)(x, filters, bias, y, *numbers)
        else:
            getattr(k, name)(x[images], filters, bias, y[images], *numbers)


def _launches(
    x: Shape,
    y: Shape,
    axes: Sequence[Axis],
    groups: int,
    machine: Machine,
    first: Sequence[int] = (0, 0, 0),
    stride: Sequence[int] = (1, 1, 1),
) -> tuple[Launch, ...]:
    """The launches that fill images of shape `y` at places first + p · stride."""
    places = math.prod(axis.places for axis in axes)
    if not places:
        return ()
    channels, count = x[1] // groups, y[1] // groups
    made = []
    for images, number in _images_at_a_time(x[0], (MOST - EACH) // places):
        if _are_few(channels, count, math.prod(axis.taps for axis in axes)):
            name, blocks = "conv_each", groups * count * -(-number * places // EACH)
        else:
            tiles = groups * -(-number * places // COLUMNS)
            rows = _rows(count, tiles, machine)
            name, blocks = f"conv_product_{machine.tf32}{rows}", tiles * -(-count // rows)
        numbers = (
            *(number, groups, channels, count, *_numbers(axes)),
            *(*_padded(y[2:], 1), *first, *stride, blocks),
        )
        made.append(Launch(images, name, numbers))
    return tuple(made)


def _are_few(channels: int, filters: int, taps: int) -> bool:
    """Whether a group is so small that its product would be zeros for the most part."""
    return channels * filters <= 8 and taps <= MOST_TAPS


def _images_at_a_time(count: int, most: int) -> Iterator[tuple[slice | None, int]]:
    """Images that a launch takes, as a slice (None: all) and their number."""
    if count <= most:
        yield None, count
        return
    for start in range(0, count, most):
        yield slice(start, start + most), min(most, count - start)


def _rows(filters: int, tiles: int, machine: Machine) -> int:
    """How many filters a block works on: many, unless there would be too few blocks."""
    for rows in (128, 64):
        enough = tiles * -(-filters // rows) >= machine.processors
        if filters > rows // 2 and enough and (rows == 64 or machine.itemsize != 8):
            return rows
    return 32 if filters <= 32 or tiles * -(-filters // 64) < machine.processors else 64


def _fits(x: Shape, out: Sequence[int], groups: int) -> bool:
    """Whether images `x` and places `out` are few enough for the kernels' 32-bit integers."""
    size = math.prod(x[2:])
    return x[1] // groups * size < MOST and math.prod(out) < MOST and size <= MOST_PLACES


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


def _in_order(filters: Array, axes: int) -> Array:
    """Filters (…, O, C/G, taps…) without gaps, in the order in which the kernels add up."""
    taps = math.prod(filters.shape[-axes:])
    if taps > MOST_TAPS:
        rows = filters.reshape(-1, filters.shape[-axes - 1], taps)
        parts = (rows[..., t : t + MOST_TAPS] for t in range(0, taps, MOST_TAPS))
        xp = array_backend((filters,)).xp
        return xp.concatenate([part.reshape(len(rows), -1) for part in parts], axis=1)
    return filters if filters.flags.c_contiguous else array_backend((filters,)).copy(filters)


def _is_plain(kernel: Sequence[int], geometry: Geometry) -> bool:
    """Whether each window is one element, and each element a window."""
    return {*kernel, *geometry.stride} == {1} and set(geometry.padding) == {0}


def _filters(weight: Array, groups: int) -> Array:
    """Filters as matrices (G, O/G, C/G·K)."""
    filters = len(weight)
    return weight.reshape(groups, filters // groups, weight.size // filters)


def _images(x: Array, groups: int) -> Array:
    """Images as matrices (N, G, C/G, P)."""
    return x.reshape(len(x), groups, x.shape[1] // groups, math.prod(x.shape[2:]))
