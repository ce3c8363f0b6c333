"""Shape: the same elements in another arrangement.

Where NumPy and torch differ, NumPy is followed: `transpose` takes a permutation, `repeat` repeats
elements, `split` takes a number of parts or the places to cut. On the CPU results that need no copy
share memory with their input, as in NumPy.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import accumulate
from types import ModuleType
from typing import Any

import numpy as np
from numpy.lib.array_utils import normalize_axis_index, normalize_axis_tuple

from tensorlite.backend import Array, array_backend
from tensorlite.ops.index import take
from tensorlite.primitive import primitive
from tensorlite.tensor import Tensor

__all__ = [
    "broadcast_to",
    "chunk",
    "concat",
    "expand",
    "expand_dims",
    "flatten",
    "flip",
    "moveaxis",
    "pad",
    "permute",
    "repeat",
    "reshape",
    "roll",
    "split",
    "squeeze",
    "stack",
    "swapaxes",
    "tile",
    "transpose",
    "unbind",
    "unsqueeze",
]

# --- the axes -----------------------------------------------------------------------------------


@primitive(view=True)
def reshape(xp: ModuleType, x: Array, *, shape: int | Sequence[int]) -> Array:
    """Give `x` another shape with as many elements; one length may be -1 and is worked out."""
    return x.reshape(shape)


reshape.defvjp(x=lambda g, x_shape: reshape(g, x_shape))


@primitive(view=True)
def transpose(xp: ModuleType, x: Array, *, axes: Sequence[int] | None = None) -> Array:
    """Put the axes in the order `axes` (default: reversed), as `numpy.transpose`."""
    try:
        return x.transpose(axes)
    except ValueError as error:
        raise ValueError(f"{axes} does not name each of {x.ndim} axes once") from error


def _transpose_vjp(g: Any, axes: Sequence[int] | None) -> Any:
    if axes is None:
        return transpose(g)
    order = normalize_axis_tuple(axes, len(axes))
    return transpose(g, tuple(order.index(i) for i in range(len(order))))


transpose.defvjp(x=_transpose_vjp)


@primitive(view=True)
def swapaxes(xp: ModuleType, x: Array, *, axis1: int, axis2: int) -> Array:
    """Exchange two axes."""
    return x.swapaxes(axis1, axis2)


swapaxes.defvjp(x=lambda g, axis1, axis2: g.swapaxes(axis1, axis2))


def permute(x: Tensor, axes: Sequence[int]) -> Tensor:
    """Put the axes in the order `axes`, which names each of them once."""
    return transpose(x, tuple(axes))


def moveaxis(x: Tensor, source: int | Sequence[int], destination: int | Sequence[int]) -> Tensor:
    """Move the axes `source` to the places `destination`; the others keep their order."""
    ndim = len(x.shape)
    source = normalize_axis_tuple(source, ndim, "moveaxis: source")
    destination = normalize_axis_tuple(destination, ndim, "moveaxis: destination")
    if len(source) != len(destination):
        raise ValueError(f"moveaxis: {len(source)} axes to move to {len(destination)} places")
    order = [axis for axis in range(ndim) if axis not in source]
    for place, axis in sorted(zip(destination, source, strict=True)):
        order.insert(place, axis)
    return transpose(x, tuple(order))


def flatten(x: Tensor, start_axis: int = 0, end_axis: int = -1) -> Tensor:
    """Merge the axes `start_axis` to `end_axis`, both included; no axes become one."""
    shape = x.shape or (1,)
    start = normalize_axis_index(start_axis, len(shape), "flatten: start_axis")
    end = normalize_axis_index(end_axis, len(shape), "flatten: end_axis")
    if start > end:
        raise ValueError(f"flatten: start_axis {start} comes after end_axis {end}")
    merged = math.prod(shape[start : end + 1])
    return reshape(x, (*shape[:start], merged, *shape[end + 1 :]))


def squeeze(x: Tensor, axis: int | Sequence[int] | None = None) -> Tensor:
    """Drop axes of length 1: those named, or all of them."""
    shape = x.shape
    if axis is None:
        return reshape(x, tuple(n for n in shape if n != 1))
    dropped = normalize_axis_tuple(axis, len(shape), "squeeze: axis")
    for i in dropped:
        if shape[i] != 1:
            raise ValueError(f"squeeze: axis {i} of shape {shape} has length {shape[i]}, not 1")
    return reshape(x, tuple(n for i, n in enumerate(shape) if i not in dropped))


def expand_dims(x: Tensor, axis: int | Sequence[int]) -> Tensor:
    """Insert axes of length 1, so that they are at the places `axis` of the result."""
    count = 1 if isinstance(axis, int) else len(axis)
    places = normalize_axis_tuple(axis, len(x.shape) + count, "expand_dims: axis")
    shape = list(x.shape)
    for place in sorted(places):
        shape.insert(place, 1)
    return reshape(x, tuple(shape))


def unsqueeze(x: Tensor, axis: int | Sequence[int]) -> Tensor:
    """`expand_dims` by torch's name."""
    return expand_dims(x, axis)


# --- more elements ------------------------------------------------------------------------------


@primitive(view=True)
def broadcast_to(xp: ModuleType, x: Array, *, shape: Sequence[int]) -> Array:
    """Repeat `x` to `shape` by NumPy's broadcasting, without a copy."""
    try:
        return array_backend((x,)).broadcast_to(x, shape)
    except ValueError as error:
        raise ValueError(f"no broadcasting to shape {shape}") from error


broadcast_to.defvjp(x=lambda g: g)


def expand(x: Tensor, shape: Sequence[int]) -> Tensor:
    """`broadcast_to` in which -1 keeps an axis as it is."""
    extra = len(shape) - len(x.shape)
    if extra < 0:
        raise ValueError(f"expand: shape {tuple(shape)} has fewer axes than {x.shape}")
    own = (1,) * extra + tuple(x.shape)
    return broadcast_to(x, tuple(m if n == -1 else n for n, m in zip(shape, own, strict=True)))


def repeat(x: Tensor, repeats: int | Sequence[int], axis: int | None = None) -> Tensor:
    """Repeat each element along `axis`, as `numpy.repeat` (torch's `repeat` is `tile`).

    Parameters
    ----------
    x : Tensor
    repeats : int or sequence of int
        How often, for all elements or for each along `axis`.
    axis : int, optional
        By default `x` is flattened first.
    """
    if axis is None:
        x, axis = flatten(x), 0
    shape = x.shape
    axis = normalize_axis_index(axis, len(shape), "repeat")
    if isinstance(repeats, int):
        wide = broadcast_to(
            expand_dims(x, axis + 1), (*shape[: axis + 1], repeats, *shape[axis + 1 :])
        )
        return reshape(wide, (*shape[:axis], shape[axis] * repeats, *shape[axis + 1 :]))
    if len(repeats) != shape[axis]:
        raise ValueError(f"repeat: {len(repeats)} counts for axis {axis} of shape {shape}")
    return take(x, np.repeat(np.arange(shape[axis]), repeats), axis)


def tile(x: Tensor, reps: int | Sequence[int]) -> Tensor:
    """Lay copies of `x` side by side, ``reps[i]`` of them along axis i, as `numpy.tile`."""
    reps = (reps,) if isinstance(reps, int) else tuple(reps)
    ndim = max(len(reps), len(x.shape))
    reps = (1,) * (ndim - len(reps)) + reps
    shape = (1,) * (ndim - len(x.shape)) + tuple(x.shape)
    apart = reshape(x, tuple(m for n in shape for m in (1, n)))
    wide = broadcast_to(apart, tuple(m for pair in zip(reps, shape, strict=True) for m in pair))
    return reshape(wide, tuple(r * n for r, n in zip(reps, shape, strict=True)))


_PAD_MODES = {
    "reflect": "reflect",
    "edge": "edge",
    "replicate": "edge",
    "wrap": "wrap",
    "circular": "wrap",
}


def pad(
    x: Tensor,
    pad_width: int | Sequence,
    mode: str = "constant",
    value: float = 0.0,
) -> Tensor:
    """Add elements before and after the edges.

    Parameters
    ----------
    x : Tensor
    pad_width : int, (before, after), or one such pair for each axis
        Numbers of elements, as in `numpy.pad`.
    mode : {"constant", "reflect", "edge", "wrap"}
        What they are: `value`, the mirror image without the edge, the edge, or the other end.
        "replicate" and "circular" are torch's names for the last two.
    value : float
        For "constant".
    """
    widths = tuple(
        (int(before), int(after)) for before, after in np.broadcast_to(pad_width, (x.ndim, 2))
    )
    if any(n < 0 for pair in widths for n in pair):
        raise ValueError(f"pad: widths are at least 0, not {widths}")
    if mode == "constant":
        return pad_constant(x, widths, value)
    if mode not in _PAD_MODES:
        raise ValueError(f"pad: unknown mode {mode!r}; use constant, reflect, edge or wrap")
    for axis, width in enumerate(widths):
        if width == (0, 0):
            continue
        if x.shape[axis] == 0:
            raise ValueError(f"pad: axis {axis} of shape {x.shape} has no elements to {mode}")
        places = np.pad(np.arange(x.shape[axis]), width, _PAD_MODES[mode])
        x = take(x, places, axis)
    return x


@primitive
def pad_constant(
    xp: ModuleType, x: Array, *, widths: tuple[tuple[int, int], ...], value: float
) -> Array:
    """Add elements of one value, ``widths[i] = (before, after)`` along axis i."""
    shape = [n + before + after for n, (before, after) in zip(x.shape, widths, strict=True)]
    padded = xp.full(shape, value, x.dtype)
    padded[_inside(x.shape, widths)] = x
    return padded


def _inside(shape: Sequence[int], widths: Sequence[tuple[int, int]]) -> tuple[slice, ...]:
    return tuple(slice(before, before + n) for n, (before, _) in zip(shape, widths, strict=True))


pad_constant.defvjp(x=lambda g, x_shape, widths: g[_inside(x_shape, widths)])


# --- together and apart -------------------------------------------------------------------------


@primitive(name="concat")
def concat_arrays(xp: ModuleType, *xs: Array, axis: int) -> Array:
    """Join arrays along an axis that they have."""
    return xp.concatenate(xs, axis)


@concat_arrays.defvjp_joint
def _concat_vjp(g: Any, needs: tuple[bool, ...], xs_shape: tuple, axis: int) -> tuple:
    before = (slice(None),) * (axis % len(g.shape))
    ends = list(accumulate(shape[axis] for shape in xs_shape))
    return tuple(
        g[(*before, slice(end - shape[axis], end))] if needed else None
        for needed, shape, end in zip(needs, xs_shape, ends, strict=True)
    )


def concat(tensors: Sequence[Tensor], axis: int = 0) -> Tensor:
    """Join Tensors along an axis that they have; their other lengths must agree."""
    return concat_arrays(*tensors, axis=axis)


@primitive(name="stack")
def stack_arrays(xp: ModuleType, *xs: Array, axis: int) -> Array:
    """Join arrays of one shape along a new axis."""
    return xp.stack(xs, axis)


@stack_arrays.defvjp_joint
def _stack_vjp(g: Any, needs: tuple[bool, ...], axis: int) -> tuple:
    before = (slice(None),) * (axis % len(g.shape))
    return tuple(g[(*before, i)] if needed else None for i, needed in enumerate(needs))


def stack(tensors: Sequence[Tensor], axis: int = 0) -> Tensor:
    """Join Tensors of one shape along a new axis."""
    return stack_arrays(*tensors, axis=axis)


@primitive(name="split", view=True)
def split_at(xp: ModuleType, x: Array, *, cuts: tuple[int, ...], axis: int) -> tuple[Array, ...]:
    """Cut at the places `cuts` along `axis`."""
    before = (slice(None),) * axis
    bounds = zip((0, *cuts), (*cuts, x.shape[axis]), strict=True)
    return tuple([x[(*before, slice(start, end))] for start, end in bounds])


@split_at.defvjp_joint
def _split_vjp(
    g: tuple, needs: tuple[bool, ...], x_shape: tuple, cuts: tuple[int, ...], axis: int
) -> tuple:
    lengths = [end - start for start, end in zip((0, *cuts), (*cuts, x_shape[axis]), strict=True)]
    shapes = [(*x_shape[:axis], n, *x_shape[axis + 1 :]) for n in lengths]
    return (concat_arrays(*with_zeros(g, shapes), axis=axis),)


def with_zeros(cotangents: tuple, shapes: Sequence[tuple[int, ...]]) -> list:
    """The cotangents of all outputs; zeros for outputs that nothing used."""
    known = next(g for g in cotangents if g is not None)
    xp = array_backend((known.array if isinstance(known, Tensor) else known,)).xp
    return [
        xp.zeros(shape, known.dtype) if g is None else g
        for g, shape in zip(cotangents, shapes, strict=True)
    ]


def split(x: Tensor, sections: int | Sequence[int], axis: int = 0) -> tuple[Tensor, ...]:
    """Cut `x` along `axis`: into `sections` equal parts, or at the places `sections`.

    The parts share memory with `x`, as in `numpy.split`.
    """
    axis = normalize_axis_index(axis, len(x.shape), "split")
    n = x.shape[axis]
    if not isinstance(sections, int):
        return split_at(x, tuple(min(max(c + n if c < 0 else c, 0), n) for c in sections), axis)
    if sections < 1 or n % sections:
        raise ValueError(
            f"split: axis {axis} of shape {x.shape} does not divide into {sections} equal parts; "
            "chunk() makes the last one smaller"
        )
    return split_at(x, tuple(i * (n // sections) for i in range(1, sections)), axis)


def chunk(x: Tensor, chunks: int, axis: int = 0) -> tuple[Tensor, ...]:
    """Cut `x` along `axis` into at most `chunks` parts of one length; the last may be shorter."""
    if chunks < 1:
        raise ValueError(f"chunk: at least 1 part, not {chunks}")
    axis = normalize_axis_index(axis, len(x.shape), "chunk")
    n = x.shape[axis]
    length = max(-(-n // chunks), 1)
    return split_at(x, tuple(range(length, n, length)), axis)


@primitive(view=True)
def unbind(xp: ModuleType, x: Array, *, axis: int = 0) -> tuple[Array, ...]:
    """Take `x` apart along `axis` into a tuple of Tensors that lack it."""
    before = (slice(None),) * normalize_axis_index(axis, x.ndim)
    return tuple([x[(*before, i, ...)] for i in range(x.shape[axis])])


@unbind.defvjp_joint
def _unbind_vjp(g: tuple, needs: tuple[bool, ...], x_shape: tuple, axis: int) -> tuple:
    axis %= len(x_shape)
    whole = _undivided(g, x_shape, axis)
    if whole is not None:
        return (whole,)
    shape = x_shape[:axis] + x_shape[axis + 1 :]
    return (stack_arrays(*with_zeros(g, [shape] * len(g)), axis=axis),)


def _undivided(parts: tuple, shape: tuple[int, ...], axis: int) -> Array | None:
    """The array whose parts along `axis` these are already, each in its place, or None.

    So attention leaves the gradients of queries, keys and values that came from one array. Nobody
    writes to cotangents, so these may share memory, unlike what `stack` returns.
    """
    whole = getattr(parts[0], "base", None)
    if whole.__class__ is not np.ndarray or not whole.flags.c_contiguous:
        return None
    if whole.size != math.prod(shape) or any(getattr(x, "base", None) is not whole for x in parts):
        return None
    whole = whole.reshape(shape)
    before = (slice(None),) * axis
    places = [whole[(*before, i, ...)] for i in range(len(parts))]
    same = all(
        x.shape == place.shape
        and x.strides == place.strides
        and x.dtype == place.dtype
        and x.__array_interface__["data"] == place.__array_interface__["data"]
        for x, place in zip(parts, places, strict=True)
    )
    return whole if same else None


# --- order --------------------------------------------------------------------------------------


@primitive
def roll(
    xp: ModuleType,
    x: Array,
    *,
    shift: int | Sequence[int],
    axis: int | Sequence[int] | None = None,
) -> Array:
    """Move elements along `axis`; what leaves at one end comes in at the other."""
    return xp.roll(x, shift, axis)


def _roll_vjp(g: Any, shift: int | Sequence[int], axis: int | Sequence[int] | None) -> Any:
    back = -shift if isinstance(shift, int) else tuple(-s for s in shift)
    return roll(g, back, axis)


roll.defvjp(x=_roll_vjp)


@primitive
def flip(xp: ModuleType, x: Array, *, axis: int | Sequence[int] | None = None) -> Array:
    """Reverse the order of the elements along `axis` (default: all axes)."""
    return xp.flip(x, axis)


flip.defvjp(x=lambda g, axis: flip(g, axis))
