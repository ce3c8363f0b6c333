"""CuPy as operations see it: its functions, and those of NumPy that it does otherwise.

bfloat16 is what CuPy knows least: it promotes it, or refuses it. Here it goes through float32,
which holds every bfloat16 value, and comes back.
"""

from __future__ import annotations

import functools
from types import ModuleType, SimpleNamespace
from typing import Any

import cupy
from cupy.lib.stride_tricks import as_strided

from tensorlite.backend.base import Array


@functools.cache
def cupy_functions() -> ModuleType:
    """Return a module with the names of `cupy`, those below in place of its own."""
    module: Any = ModuleType("cupy_functions", __doc__)
    module.__dict__.update({k: v for k, v in vars(cupy).items() if not k.startswith("__")})
    for function in (where, round, sort, argsort, remainder, floor_divide):
        setattr(module, function.__name__, function)
    tricks = SimpleNamespace(as_strided=as_strided, sliding_window_view=sliding_window_view)
    module.lib = SimpleNamespace(stride_tricks=tricks)
    return module


def _is_bfloat16(array: Array) -> bool:
    return array.dtype.char == "E"


def where(condition: Any, x: Any = None, y: Any = None) -> Any:
    """Select as `numpy.where` does; `condition` may be a plain bool, and bfloat16 stays."""
    condition = cupy.asarray(condition)
    if x is None and y is None:
        return cupy.where(condition)
    chosen = cupy.where(condition, x, y)
    dtypes = {v.dtype for v in (x, y) if hasattr(v, "dtype")}
    if len(dtypes) == 1 and _is_bfloat16(x if hasattr(x, "dtype") else y):
        return chosen.astype(dtypes.pop(), copy=False)
    return chosen


def round(x: Array, decimals: int = 0) -> Array:
    """Round as `numpy.round` does, in `x`'s own dtype."""
    return cupy.round(x, decimals).astype(x.dtype, copy=False)


def remainder(x1: Any, x2: Any) -> Array:
    """Find the rest of a division as `numpy.remainder` does, exactly.

    CuPy's ``x - floor(x / y) * y`` is off by the quotient's rounding, and NaN for an infinite y.
    """
    if cupy.result_type(x1, x2).kind in "biu":
        return cupy.remainder(x1, x2)
    rest = cupy.fmod(x1, x2)
    return where(_rounds_down(rest, x2), rest + x2, rest)


def floor_divide(x1: Any, x2: Any) -> Array:
    """Divide and round down as `numpy.floor_divide` does, in agreement with `remainder`."""
    if cupy.result_type(x1, x2).kind in "biu":
        return cupy.floor_divide(x1, x2)
    rest = cupy.fmod(x1, x2)
    quotient = cupy.rint((x1 - rest) / x2)
    quotient = where(_rounds_down(rest, x2), quotient - 1, quotient)
    return where(cupy.isnan(rest), cupy.floor_divide(x1, x2), quotient)


def _rounds_down(rest: Array, divisor: Any) -> Array:
    """Where the quotient that left `rest` was rounded towards 0, and that was up."""
    return (rest != 0) & ((rest < 0) != (divisor < 0))


def sort(x: Array, axis: int = -1) -> Array:
    """Sort as `numpy.sort` does."""
    if _is_bfloat16(x):
        return cupy.sort(x.astype("f"), axis=axis).astype(x.dtype)
    return cupy.sort(x, axis=axis)


def argsort(x: Array, axis: int = -1, kind: str | None = None) -> Array:
    """Order as `numpy.argsort` does; the order is stable whatever `kind` says."""
    return cupy.argsort(x.astype("f") if _is_bfloat16(x) else x, axis=axis)


def sliding_window_view(x: Array, window: tuple[int, ...], axes: tuple[int, ...]) -> Array:
    """View windows as NumPy does; CuPy's waits for the device, and takes ascending axes only."""
    shape = list(x.shape)
    for i, length in zip(axes, window, strict=True):
        shape[i] -= length - 1
    return as_strided(x, (*shape, *window), (*x.strides, *[x.strides[i] for i in axes]))
