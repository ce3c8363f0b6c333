"""Dtypes: torch's rules for mixing them, the default one, and what NumPy leaves undecided."""

from __future__ import annotations

import functools
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


def numpy_sum_dtype(dtype: np.dtype) -> np.dtype | None:
    """What to pass to NumPy's sums as ``dtype``: float32 for short floats, else None."""
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


# --- the default dtype --------------------------------------------------------------------------

_default = float32


def default_dtype() -> np.dtype:
    """The dtype of new floats if none is given: float32, or that of `set_default_dtype`.

    Examples
    --------
    >>> tl.get_default_dtype()
    dtype('float32')
    """
    return _default


get_default_dtype = default_dtype


def set_default_dtype(d: Any) -> None:
    """Set the dtype of new floats if none is given.

    Parameters
    ----------
    d : dtype

    Raises
    ------
    TypeError
        If it is not floating point.

    Examples
    --------
    >>> tl.set_default_dtype(tl.float32)
    """
    global _default
    dtype = as_dtype(d)
    if not is_floating(dtype):
        raise TypeError(f"set_default_dtype: {dtype} is not a floating point dtype")
    _default = dtype


# --- promotion ----------------------------------------------------------------------------------


def is_floating(dtype: np.dtype) -> bool:
    """Whether `dtype` holds fractions (bfloat16 is of NumPy's kind "V")."""
    return dtype.kind in "fV"


def category(dtype: np.dtype) -> int:
    """0 for booleans, 1 for integers, 2 for floats."""
    return 2 if is_floating(dtype) else int(dtype.kind != "b")


@functools.cache
def promote_types(type1: Any, type2: Any) -> np.dtype:
    """The dtype to which two Tensors of these dtypes promote.

    Integers never raise a float: int64 with float16 is float16. float16 with bfloat16 is float32.

    Parameters
    ----------
    type1, type2 : dtype

    Examples
    --------
    >>> tl.promote_types(tl.int64, tl.float16)
    dtype('float16')
    """
    a, b = as_dtype(type1), as_dtype(type2)
    if category(a) != category(b):
        return a if category(a) > category(b) else b
    return float32 if a != b and is_short(a) and is_short(b) else np.promote_types(a, b)


def result_type(*operands: Any) -> np.dtype:
    """The dtype of the result of mixing Tensors, arrays and numbers, by torch's rules.

    Tensors without axes raise the dtype only from one category (boolean, integer, float) to the
    next, and numbers only to the next category's default: int64, or the default dtype.

    Parameters
    ----------
    *operands : Tensor, array or number

    Examples
    --------
    >>> tl.result_type(tl.tensor([1]), 0.5)
    dtype('float32')
    """
    kinds: list[np.dtype | None] = [None, None, None]  # of Tensors with axes, without, of numbers
    for x in operands:
        dtype = getattr(x, "dtype", None)
        if dtype is None:
            kind, dtype = 2, _of_number(x)
        else:
            kind = 0 if x.shape else 1 if hasattr(x, "reshape") else 2
        if isinstance(x, np.generic):  # a NumPy scalar counts as a Python number
            kind, dtype = 2, _of_number(x.item())
        previous = kinds[kind]
        kinds[kind] = dtype if previous is None else promote_types(previous, dtype)
    return _raised(kinds[0], _raised(kinds[1], kinds[2])) or default_dtype()


def _of_number(x: Any) -> np.dtype:
    if isinstance(x, bool):
        return bool_
    return int64 if isinstance(x, int) else default_dtype()


def _raised(first: np.dtype | None, second: np.dtype | None) -> np.dtype | None:
    """`first`, unless `second` is of a higher category."""
    if first is None or second is None:
        return second if first is None else first
    return first if category(first) >= category(second) else promote_types(first, second)
