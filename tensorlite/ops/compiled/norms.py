"""The gradients of norms of rows on CUDA, of which some arrays are float32 and some 16 bits."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tensorlite.backend import Array, array_backend
from tensorlite.backend.base import KERNEL_FLOATS
from tensorlite.backend.dtypes import is_short
from tensorlite.ops.compiled.arrays import plain
from tensorlite.ops.fused import widened

_FLOAT32 = np.dtype(np.float32)
_MOST_APART = 64  # elements between the places of weight and bias: they are neighbours in an arena


def like_input(x: Array, found: Any) -> Any:
    """The gradients, the first of them in the dtype of the input `x`."""
    several = isinstance(found, tuple)
    dx, *others = found if several else (found,)
    if dx.dtype != x.dtype:
        dx = array_backend((dx,)).cast(dx, x.dtype)
    return (dx, *others) if several else dx


def backward_on_cuda(
    name: str,
    k: Any,
    dy: Array,
    x: Array,
    saved: Sequence[Array],
    weight: Array | None,
    places: tuple | None,
) -> Any:
    """Gradients of x, of weight and, for "layer_norm", of bias; or NotImplemented.

    The latter two are put into `places` where that can be.
    """
    fit = all(a is None or (a.dtype.char in KERNEL_FLOATS and a.dtype != float) for a in (dy, x))
    if not fit or not x.size or dy.shape != x.shape:
        return NotImplemented
    short = dy.dtype if is_short(dy.dtype) else None
    if is_short(x.dtype) and x.dtype != short:  # of a gradient in float32: seldom
        x, given = widened(x), x
        found = backward_on_cuda(name, k, widened(dy), x, saved, weight, places)
        return found if found is NotImplemented else like_input(given, tuple(found))
    weight = widened(weight)
    if weight is not None and weight.dtype != _FLOAT32:
        return NotImplemented
    dy, x, weight = [
        a if a is None or plain(a) else array_backend((a,)).copy(a) for a in (dy, x, weight)
    ]
    columns = x.shape[-1]
    rows = x.size // columns
    parts, dx = k.parts(rows), k.empty(x.shape, x.dtype)
    sets = 2 if name == "layer_norm" else 1
    partial = k.empty((sets, parts, columns), _FLOAT32)
    if short is None:
        run, arrays = getattr(k, f"{name}_backward"), (dy, x, *saved, weight, dx)
    else:
        run = getattr(k, f"{name}_backward_short")
        arrays = (dy, *_in_two(x), *saved, weight, *_in_two(dx))
    run(*arrays, *partial, rows, columns, parts)
    return dx, *_totals(k, partial, places or (None,) * sets)


def _in_two(x: Array) -> tuple[Array | None, Array | None]:
    """An array as the one of two parameters that takes its dtype: 16 bits, or float32."""
    return (x, None) if is_short(x.dtype) else (None, x)


def _totals(k: Any, partial: Array, places: tuple) -> Sequence:
    """Add up partial sums (sets, parts, columns): in their places, if they lie side by side."""
    sets, parts, columns = partial.shape
    if all(
        a is not None and a.dtype == _FLOAT32 and a.size == columns and a.flags.c_contiguous
        for a in places
    ):
        addresses = [a.data.ptr for a in places]
        apart = (addresses[-1] - addresses[0]) // 4 if sets > 1 else columns
        if columns <= apart <= columns + _MOST_APART:
            whole = _spanning(places[0], (sets - 1) * apart + columns)
            k.column_total_at(partial, whole, sets, parts, columns, apart)
            return places
    totals = k.empty((sets, columns), _FLOAT32)
    k.column_total(partial, totals, sets, parts, columns)
    return [*totals]


def _spanning(first: Array, length: int) -> Array:
    """The memory from the start of an array on, as far as a kernel is to see it."""
    return array_backend((first,)).xp.ndarray((length,), first.dtype, first.data)
