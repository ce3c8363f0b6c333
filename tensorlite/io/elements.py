"""Element types in files: their names there, and bytes made into arrays."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

__all__ = ["SHORT", "MissingPackage", "array_of", "code_of", "dtype_of", "host_array"]

# safetensors' names of NumPy's dtypes, and of those that NumPy does not have.
CODES = {
    "BOOL": "bool",
    "U8": "uint8",
    "I8": "int8",
    "U16": "uint16",
    "I16": "int16",
    "U32": "uint32",
    "I32": "int32",
    "U64": "uint64",
    "I64": "int64",
    "F16": "float16",
    "F32": "float32",
    "F64": "float64",
    "C64": "complex64",
}
SHORT = {
    "BF16": "bfloat16",
    "F8_E4M3": "float8_e4m3fn",
    "F8_E5M2": "float8_e5m2",
    "F8_E4M3FNUZ": "float8_e4m3fnuz",
    "F8_E5M2FNUZ": "float8_e5m2fnuz",
    "F8_E8M0": "float8_e8m0fnu",
}
_NAMES = {name: code for code, name in (CODES | SHORT).items()}


class MissingPackage(TypeError):
    """What is not installed has to be, to hold such elements."""


def dtype_of(name: str) -> np.dtype:
    """The dtype of a name, one of NumPy's or one of ml_dtypes'.

    Raises
    ------
    MissingPackage
        If it is one of ml_dtypes', which is not installed; a TypeError.
    """
    if name not in SHORT.values():
        return np.dtype(name)
    try:
        import ml_dtypes
    except ImportError as error:
        raise MissingPackage(f'{name} needs ml_dtypes: pip install "tensorlite[bf16]"') from error
    return np.dtype(getattr(ml_dtypes, name))


def itemsize_of(name: str) -> int:
    """Bytes of an element."""
    if name in SHORT.values():
        return 2 if name == "bfloat16" else 1
    return np.dtype(name).itemsize


def code_of(dtype: np.dtype) -> str | None:
    """Name of a dtype in safetensors files, or None if they cannot hold it."""
    return _NAMES.get(dtype.name)


def array_of(memory: np.ndarray, name: str, wanted: np.dtype | None = None) -> np.ndarray:
    """See bytes, an array of uint8, as elements, little end first.

    Parameters
    ----------
    memory : numpy.ndarray of uint8, one axis
        The result is a view of it where the dtype is NumPy's own.
    name : str
        What the elements are.
    wanted : numpy.dtype, optional
        What floats are turned into. bfloat16 becomes float32 without ml_dtypes.
    """
    if wanted is not None and name == "bfloat16" and wanted.name != "bfloat16":
        found = (memory.view("<u2").astype(np.uint32) << 16).view(np.float32)
    else:
        found = memory.view(dtype_of(name))
        if sys.byteorder == "big":
            found = found.byteswap()
    floats = found.dtype.kind in "fV"
    return (
        found.astype(wanted) if wanted is not None and floats and found.dtype != wanted else found
    )


def host_array(array: Any) -> np.ndarray:
    """The values of a raw array in host memory, in order and little end first."""
    from tensorlite.backend import array_backend

    # `numpy.ascontiguousarray` would give arrays without axes one.
    host = np.asarray(array_backend((array,)).to_host(array), order="C")
    return host.astype(host.dtype.newbyteorder("<"), copy=False)
