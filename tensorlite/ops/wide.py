"""Helpers of special functions: arithmetic in float64, and polynomials."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from tensorlite.backend import Array, array_backend, is_array


def in_float64(compute: Callable) -> Callable:
    """Compute a primitive in float64, silently, and round to the dtype of its first array.

    The formulas are then good to a few units in float64, and to the last bit in shorter floats.
    """

    @functools.wraps(compute)
    def run(xp: Any, *inputs: Any, **static: Any) -> Array:
        arrays = [x for x in inputs if is_array(x)]
        cast = array_backend(arrays).cast
        wide = [cast(x, np.dtype(np.float64)) if is_array(x) else float(x) for x in inputs]
        with np.errstate(all="ignore"):
            y = xp.asarray(compute(xp, *wide, **static))
            return cast(y, arrays[0].dtype)

    return run


def horner(coefficients: Iterable[float], x: Any) -> Any:
    """A polynomial of `x`, whose coefficients are given from the highest power down."""
    first, *others = coefficients
    y = x * 0 + first
    for c in others:
        y = y * x + c
    return y
