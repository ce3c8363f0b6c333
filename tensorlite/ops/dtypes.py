"""What NumPy leaves undecided about dtypes: bfloat16, and sums of short floats."""

from __future__ import annotations

from typing import Any

import numpy as np

float16, float32, float64 = map(np.dtype, ("float16", "float32", "float64"))
int8, int16, int32, int64 = map(np.dtype, ("int8", "int16", "int32", "int64"))
uint8, bool_ = np.dtype("uint8"), np.dtype("bool")


def as_dtype(dtype: Any) -> np.dtype:
    """`numpy.dtype` of a dtype or its name.

    Raises
    ------
    TypeError
        If there is no such dtype, or for bfloat16 where `ml_dtypes` is not installed.
    """
    if isinstance(dtype, str) and dtype == "bfloat16":
        dtype = bfloat16()
    try:
        return np.dtype(dtype)
    except TypeError as error:
        raise TypeError(f"unknown dtype {dtype!r}: use 'float32', 'int64', 'bool' …") from error


def bfloat16() -> np.dtype:
    """The dtype `ml_dtypes.bfloat16`."""
    try:
        import ml_dtypes
    except ImportError as error:
        raise TypeError('bfloat16 needs ml_dtypes: pip install "tensorlite[bf16]"') from error
    return np.dtype(ml_dtypes.bfloat16)


def is_short(dtype: np.dtype) -> bool:
    """Whether `dtype` is float16 or bfloat16: too short to add up many numbers in."""
    return dtype.itemsize == 2 and dtype.kind in "fV"


def accumulator(dtype: np.dtype) -> np.dtype | None:
    """The dtype to add up numbers of `dtype` in; None where NumPy's own choice is right."""
    return float32 if is_short(dtype) else None


def weak(x1: Any, x2: Any) -> tuple[Any, Any]:
    """Two operands, where a Python float beside a bfloat16 array gets that array's dtype.

    NumPy does this for its own dtypes, but promotes bfloat16, which it does not know, to float32.
    """
    if x1.__class__ is float and getattr(x2, "dtype", float32).kind == "V":
        return x2.dtype.type(x1), x2
    if x2.__class__ is float and getattr(x1, "dtype", float32).kind == "V":
        return x1, x1.dtype.type(x2)
    return x1, x2
