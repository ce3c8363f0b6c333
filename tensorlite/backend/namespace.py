"""CuPy as operations see it: its functions, and those of NumPy that it does otherwise.

bfloat16 is what CuPy knows least: it promotes it, or refuses it. Here it goes through float32,
which holds every bfloat16 value, and comes back.
"""

from __future__ import annotations

from types import ModuleType
from typing import Any

import cupy

from tensorlite.backend.base import Array


def cupy_namespace() -> ModuleType:
    """Return a module with the names of `cupy`, those below in place of its own."""
    module = ModuleType("cupy_namespace", __doc__)
    module.__dict__.update({k: v for k, v in vars(cupy).items() if not k.startswith("__")})
    for function in (where, round, sort, argsort):
        setattr(module, function.__name__, function)
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


def sort(x: Array, axis: int = -1) -> Array:
    """Sort as `numpy.sort` does."""
    if _is_bfloat16(x):
        return cupy.sort(x.astype("f"), axis=axis).astype(x.dtype)
    return cupy.sort(x, axis=axis)


def argsort(x: Array, axis: int = -1, kind: str | None = None) -> Array:
    """Order as `numpy.argsort` does; the order is stable whatever `kind` says."""
    return cupy.argsort(x.astype("f") if _is_bfloat16(x) else x, axis=axis)
