"""The C types of kernels' parameters: their dtypes, and what the compiled parts call them."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np


class CType(NamedTuple):
    """A type of a declaration."""

    cpp: str
    dtype: str
    """NumPy's name for it; of bfloat16, ml_dtypes' name."""
    constant: str = ""
    """Its name in ``enum Type`` of ``host/numpy.h``, where arrays may be of it."""
    reader: str = ""
    """The method of `Call` in ``host/module.h`` that reads a scalar, where scalars may be of it."""


C_TYPES = {
    each.cpp: each
    for each in (
        CType("float", "float32", "F32", "real"),
        CType("double", "float64", "F64", "real"),
        CType("f16", "float16", "F16"),
        CType("bf16", "bfloat16", "BF16"),
        CType("Index", "int64", "I64", "integer"),
        CType("int", "int32", "I32", "small_integer"),
        CType("uint64_t", "uint64", reader="bits"),
        CType("uint32_t", "uint32", "U32"),
        CType("bool", "bool", "BOOL", "truth"),
        CType("uint8_t", "uint8", "U8"),
    )
}
"""By their names in C++. Arrays' types are in the order of ``enum Type`` in ``host/numpy.h``,
scalars' in that of ``enum Scalar`` in ``host/cuda.cpp``."""

ARRAYS = ("", *(cpp for cpp, each in C_TYPES.items() if each.constant))
"""Types of arrays by their number in ``enum Type``, whose 0 is any."""
SCALARS = tuple(cpp for cpp, each in C_TYPES.items() if each.reader)

FLOATS = {C_TYPES[cpp].dtype: cpp for cpp in ("float", "double", "f16", "bf16")}
"""Element types that a kernel's template parameter stands for, by their dtypes."""
SHORT = frozenset({"f16", "bf16"})

_CONVERT: dict[str, Callable[[Any], Any]] = {"real": float, "truth": bool}


def scalar(cpp: str, value: Any) -> np.generic:
    """A number in the C type: a NumPy scalar has its size, a Python number would have eight bytes.

    Raises
    ------
    TypeError, ValueError, OverflowError
        If `value` is no such number.
    """
    convert = _CONVERT.get(C_TYPES[cpp].reader, operator.index)
    return np.dtype(C_TYPES[cpp].dtype).type(convert(value))
