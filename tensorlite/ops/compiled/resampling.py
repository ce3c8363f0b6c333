"""Resampling of one axis, and of images (N, C, H, W) and signals (N, C, L), as if H were 1."""

from __future__ import annotations

import functools
import math
from typing import Any

import numpy as np

from tensorlite.backend import Array, array_backend
from tensorlite.ops.compiled.arrays import packed, pair
from tensorlite.ops.fused import widened
from tensorlite.ops.resample import (
    Sampling,
    mixture,
    nearest,
    nearest_backward,
    resample,
    resample_backward,
    tables,
)

MOST_PLACES = 1 << 30  # along an axis: places have 32 bits


def _mixed(k: Any, x: Array, axis: int, length: int, size: int, how: Sampling, turned: bool) -> Any:
    arrays = packed(x)
    n = x.shape[axis]
    if arrays is None or max(length, size) > MOST_PLACES:
        return NotImplemented
    places, weights = tables(widened(x[:0]), length, size, how, turned)
    taps, out = places.shape
    shape = (*x.shape[:axis], out, *x.shape[axis + 1 :])
    y = k.empty(shape, x.dtype)
    outer, inner = math.prod(x.shape[:axis]), math.prod(x.shape[axis + 1 :])
    k.resample(*arrays, places, weights, y, outer, n, inner, out, taps)
    return y


@resample.kernel
def _resample(k: Any, x: Array, *, axis: int, size: int, how: Sampling) -> Any:
    return _mixed(k, x, axis, x.shape[axis], size, how, turned=False)


@resample_backward.kernel
def _resample_backward(k: Any, dy: Array, *, axis: int, size: int, how: Sampling) -> Any:
    return _mixed(k, dy, axis, size, dy.shape[axis], how, turned=True)


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
    if len(size) not in (1, 2) or max(*size, *out) > MOST_PLACES:
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
