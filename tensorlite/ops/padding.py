"""Padding: elements added at the edges, by copies of slices."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from types import ModuleType

from tensorlite.backend import Array
from tensorlite.ops.fused import float32_inside
from tensorlite.ops.index import basic_getitem
from tensorlite.primitive import primitive
from tensorlite.tensor import Tensor

__all__ = ["pad"]

Widths = tuple[tuple[int, int], ...]  # (before, after) of each axis


def pad(
    input: Tensor, pad: Sequence[int], mode: str = "constant", value: float | None = None
) -> Tensor:
    """Add elements before and after the edges, or cut some off.

    Parameters
    ----------
    input : Tensor, shape (..., n)
    pad : sequence of int
        Numbers of elements before and after: of the last axis, then of the one in front of it, and
        so on: ``(left, right, top, bottom)``. Negative ones cut elements off.
    mode : {"constant", "reflect", "replicate", "circular"}
        What is added: `value`, the mirror image without the edge, the edge, or the other end. All
        but "constant" pad the last axes behind two (or one) that are left alone.
    value : float, optional
        For "constant"; by default 0.

    Returns
    -------
    Tensor
        As much longer along each axis.

    Raises
    ------
    ValueError
        If the numbers come not in pairs, or are of more axes than there are.

    Examples
    --------
    >>> tl.nn.functional.pad(tl.ones(2, 2), (1, 0)).tolist()
    [[0.0, 1.0, 1.0], [0.0, 1.0, 1.0]]
    """
    if not hasattr(pad, "__iter__"):
        raise TypeError(f"pad: pad is two numbers (before, after) for each axis, not {pad!r}")
    numbers = tuple(map(operator.index, pad))
    ndim = len(input.shape)
    if len(numbers) % 2 or len(numbers) > 2 * ndim:
        raise ValueError(
            f"pad: {numbers} is not two numbers (before, after) for each of at most {ndim} axes, "
            "the last one first"
        )
    pairs = tuple(zip(numbers[::2], numbers[1::2], strict=True))[::-1]
    widths = ((0, 0),) * (ndim - len(pairs)) + pairs
    added, cuts = widths, min(numbers, default=0) < 0
    if cuts:
        added = tuple([(max(before, 0), max(after, 0)) for before, after in widths])
    if mode == "constant":
        x = _cropped(input, widths) if cuts else input
        return pad_constant(x, added, 0.0 if value is None else value)
    if mode not in ("reflect", "replicate", "circular"):
        raise NotImplementedError(
            f"pad: unknown mode {mode!r}; there are constant, reflect, replicate and circular"
        )
    if value:
        raise ValueError(f"pad: mode {mode!r} takes no value")
    _check_edges(input, pairs, mode)
    if cuts and mode == "circular":
        return pad_edges(_cropped(input, widths), added, mode)
    padded = pad_edges(input, added, mode)
    return _cropped(padded, widths) if cuts else padded


def _cropped(x: Tensor, widths: Widths) -> Tensor:
    """Cut off as many elements as negative widths say."""
    for n, (before, after) in zip(x.shape, widths, strict=True):
        if n + min(before, 0) + min(after, 0) < 0:
            raise RuntimeError(
                f"pad: ({before}, {after}) cuts more off an axis than its {n} elements"
            )
    return basic_getitem(
        x,
        tuple(
            slice(max(-before, 0), n - max(-after, 0))
            for n, (before, after) in zip(x.shape, widths, strict=True)
        ),
    )


def _check_edges(x: Tensor, pairs: Widths, mode: str) -> None:
    """Refuse axes without enough elements to copy, and axes that torch does not pad this way."""
    shape, count = x.shape, len(pairs)
    ndim = len(shape)
    if not 1 <= count <= 3 or ndim - count not in (1, 2):
        raise NotImplementedError(
            f"pad: mode {mode!r} pads the last 1, 2 or 3 axes behind one or two others, not "
            f"{count} of shape {tuple(x.shape)}: add axes with unsqueeze(0)"
        )
    for axis, (before, after) in enumerate(pairs, ndim - count):
        n, most = shape[axis], max(before, after)
        if mode == "circular":
            room = n + min(before, 0) + min(after, 0)
        else:
            room = n - 1 if mode == "reflect" else most
        if most > 0 and (n == 0 or most > room):
            raise RuntimeError(
                f"pad: ({before}, {after}) of mode {mode!r} is more than axis {axis} of shape "
                f"{tuple(x.shape)} has elements to give"
            )


def _inside(widths: Widths, shape: Sequence[int]) -> tuple[slice, ...]:
    return tuple([slice(b, b + n) for n, (b, _) in zip(shape, widths, strict=True)])


def _outer(widths: Widths, shape: Sequence[int]) -> list[int]:
    return [n + before + after for n, (before, after) in zip(shape, widths, strict=True)]


# --- one value ----------------------------------------------------------------------------------


@primitive(name="pad")
def pad_constant(xp: ModuleType, x: Array, *, widths: Widths, value: float) -> Array:
    """Add elements of one value, ``widths[i] = (before, after)`` along axis i."""
    padded = xp.full(_outer(widths, x.shape), value, x.dtype)
    padded[_inside(widths, x.shape)] = x
    return padded


pad_constant.defvjp(x=lambda g, x_shape, widths: basic_getitem(g, _inside(widths, x_shape)))
pad_constant.on_host("new_pad")


# --- what is at the edges -----------------------------------------------------------------------


@primitive(name="pad")
def pad_edges(xp: ModuleType, x: Array, *, widths: Widths, mode: str) -> Array:
    """Add the mirror image ("reflect"), the edge ("replicate") or the other end ("circular")."""
    y = xp.empty(_outer(widths, x.shape), x.dtype)
    region = list(_inside(widths, x.shape))
    y[tuple(region)] = x
    for axis in reversed(range(x.ndim)):  # those behind are whole already
        for target, source in _edges(mode, x.shape[axis], *widths[axis]):
            region[axis] = source
            values = y[tuple(region)]
            region[axis] = target
            y[tuple(region)] = values
        region[axis] = slice(None)
    return y


@primitive(name="pad_backward")
@float32_inside
def pad_edges_backward(xp: ModuleType, d: Array, *, widths: Widths, mode: str) -> Array:
    """Add what `pad_edges` added back to the elements it was taken from."""
    return _folded(d, [a for a, pair in enumerate(widths) if pair != (0, 0)], widths, mode)


def _folded(d: Array, axes: list[int], widths: Widths, mode: str) -> Array:
    if not axes:
        return d.copy()
    axis, *rest = axes
    before, after = widths[axis]
    n = d.shape[axis] - before - after
    part = [slice(None)] * d.ndim
    part[axis] = slice(before, before + n)
    total = _folded(d[tuple(part)], rest, widths, mode)
    for target, source in _edges(mode, n, before, after):
        part[axis] = target
        strip = _folded(d[tuple(part)], rest, widths, mode)
        part[axis] = _moved(source, -before, n)
        if mode == "replicate":
            strip = strip.sum(axis, keepdims=True)
        total[tuple(part)] += strip
    return total


def _edges(mode: str, n: int, before: int, after: int) -> list[tuple[slice, slice]]:
    """Slices of a padded axis: of what is added in front and behind, and of what it repeats."""
    end = before + n
    if mode == "reflect":
        sources = slice(2 * before, before, -1), slice(end - 2, _stop(end - 2 - after), -1)
    elif mode == "replicate":
        sources = slice(before, before + 1), slice(end - 1, end)
    else:
        sources = slice(n, end), slice(before, before + after)
    edges = [(slice(0, before), sources[0])] * (before > 0)
    return edges + [(slice(end, end + after), sources[1])] * (after > 0)


def _stop(place: int) -> int | None:
    """The stop of a slice that goes backwards."""
    return place if place >= 0 else None


def _moved(part: slice, by: int, n: int) -> slice:
    """A slice of the padded axis as one of the axis inside."""
    if part.step is None:
        return slice(part.start + by, part.stop + by)
    return slice(part.start + by, _stop((-1 if part.stop is None else part.stop) + by), -1)


pad_edges.defvjp(x=lambda g, widths, mode: pad_edges_backward(g, widths, mode))
pad_edges_backward.defvjp(d=lambda g, widths, mode: pad_edges(g, widths, mode))
pad_edges.on_host("new_pad")
pad_edges_backward.on_host("new_pad_backward")
