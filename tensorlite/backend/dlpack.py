"""DLPack on the CPU: arrays handed to other libraries, and taken from them, in their memory.

NumPy speaks it, but for bfloat16, whose bits it passes as integers; the tag is set here. What a
consumer may not be given is copied first: PyTorch ends the process at a negative stride.
"""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np

_BFLOAT = 4  # DLPack's code of the kind


class _DataType(ctypes.Structure):
    _fields_ = (("code", ctypes.c_uint8), ("bits", ctypes.c_uint8), ("lanes", ctypes.c_uint16))


class _Array(ctypes.Structure):
    _fields_ = (
        ("data", ctypes.c_void_p),
        ("device_type", ctypes.c_int32),
        ("device_id", ctypes.c_int32),
        ("ndim", ctypes.c_int32),
        ("dtype", _DataType),
        ("shape", ctypes.POINTER(ctypes.c_int64)),
        ("strides", ctypes.POINTER(ctypes.c_int64)),
        ("byte_offset", ctypes.c_uint64),
    )


class _Versioned(ctypes.Structure):
    _fields_ = (
        ("major", ctypes.c_uint32),
        ("minor", ctypes.c_uint32),
        ("manager", ctypes.c_void_p),
        ("deleter", ctypes.c_void_p),
        ("flags", ctypes.c_uint64),
        ("array", _Array),
    )


_READ_ONLY = 1  # of the flags


def _inside(capsule: Any) -> tuple[_Array, bool]:
    """The description in a capsule, and whether the memory may only be read."""
    api = ctypes.pythonapi
    api.PyCapsule_IsValid.argtypes = api.PyCapsule_GetPointer.argtypes = (
        ctypes.py_object,
        ctypes.c_char_p,
    )
    api.PyCapsule_GetPointer.restype = ctypes.c_void_p
    if api.PyCapsule_IsValid(capsule, b"dltensor_versioned"):
        address = api.PyCapsule_GetPointer(capsule, b"dltensor_versioned")
        whole = _Versioned.from_address(address)
        return whole.array, bool(whole.flags & _READ_ONLY)
    return _Array.from_address(api.PyCapsule_GetPointer(capsule, b"dltensor")), False


def export(array: np.ndarray, copy: bool | None = None, **options: Any) -> Any:
    """A capsule of `array` for a consumer: of a copy, where consumers may not be given it.

    Raises
    ------
    BufferError
        If a copy is needed and forbidden, or the consumer knows no read-only memory.
    """
    backwards = any(step < 0 and n > 1 for step, n in zip(array.strides, array.shape, strict=True))
    if backwards:
        if copy is False:
            raise BufferError(
                f"__dlpack__ of a Tensor with negative strides {array.strides}, without a copy: "
                "consumers do not take them; use t.contiguous()"
            )
        array, copy = np.ascontiguousarray(array), None
    if array.dtype.name != "bfloat16":
        return array.__dlpack__(copy=copy, **options)
    capsule = array.view(np.uint16).__dlpack__(copy=copy, **options)
    _inside(capsule)[0].dtype.code = _BFLOAT
    return capsule


class _Held:
    """Memory that a capsule owns, described as NumPy reads it."""

    def __init__(self, capsule: Any, interface: dict[str, Any]) -> None:
        self.capsule = capsule  # when the last array goes, so does this, and frees the memory
        self.__array_interface__ = interface


def host_array(data: Any) -> np.ndarray:
    """The memory of `data`, an object with ``__dlpack__`` on the CPU, as a NumPy array."""
    try:
        return np.from_dlpack(data)
    except (BufferError, RuntimeError, TypeError):
        array = _bfloat16(data)
        if array is None:
            raise
        return array


def _bfloat16(data: Any) -> np.ndarray | None:
    """An array of bfloat16, which NumPy does not read; None if it is of another dtype."""
    try:
        capsule = data.__dlpack__(max_version=(1, 0))
    except TypeError:
        capsule = data.__dlpack__()  # a library older than versions
    array, read_only = _inside(capsule)
    if (array.dtype.code, array.dtype.bits, array.dtype.lanes) != (_BFLOAT, 16, 1):
        return None
    import ml_dtypes

    shape = tuple(array.shape[i] for i in range(array.ndim))
    strides = tuple(2 * array.strides[i] for i in range(array.ndim)) if array.strides else None
    place = (array.data or 0) + array.byte_offset
    interface = {
        "version": 3,
        "shape": shape,
        "strides": strides,
        "typestr": "<u2",
        "data": (place, read_only),
    }
    if 0 in shape:
        return np.empty(shape, ml_dtypes.bfloat16)
    return np.asarray(_Held(capsule, interface)).view(ml_dtypes.bfloat16)
