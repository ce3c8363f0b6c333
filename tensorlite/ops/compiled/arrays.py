"""Making arrays as kernels want them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tensorlite.backend import BACKENDS, array_backend

_FLOATS = frozenset("efdE")  # the characters of float16, float32, float64 and bfloat16
_FLOAT32 = np.dtype(np.float32)


def packed(*arrays: Any) -> list | None:
    """The arrays without gaps, if they share one float dtype and none is empty; else None.

    None among them passes: an input that was left out.
    """
    if not alike(*arrays):
        return None
    result = []
    for array in arrays:
        if array is not None and not array.flags.c_contiguous:
            array = array_backend((array,)).copy(array)
        result.append(array)
    return result


def alike(*arrays: Any) -> bool:
    """Whether the arrays share one float dtype and none is empty; None among them passes."""
    dtype = arrays[0].dtype
    if dtype.char not in _FLOATS:
        return False
    for array in arrays:
        if array is not None and (
            array.__class__ not in BACKENDS or array.dtype != dtype or not array.size
        ):
            return False
    return True


def accumulator(dtype: np.dtype) -> np.dtype:
    """The dtype in which kernels sum: float64 for float64, else float32."""
    return dtype if dtype.itemsize == 8 else _FLOAT32


def pair(values: Sequence[int], missing: int) -> tuple[int, ...]:
    """Of one spatial axis or two, as two."""
    return (*values,) if len(values) == 2 else (missing, *values)
