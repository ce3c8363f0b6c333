"""Values from outside made plain: arrays of NumPy or CuPy that every operation takes.

Plain is: an array of the library's own class, of a dtype that Tensors have, in native byte order,
each element at a multiple of its size.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tensorlite.backend import BACKENDS, Array, Device, backend_for
from tensorlite.backend.dtypes import default_dtype
from tensorlite.tensor import Tensor

_CPU, _CUDA, _PINNED, _MANAGED = 1, 2, 3, 13  # DLPack's numbers of devices
_WHY_NOT = {
    "c": "no Tensor holds complex numbers: keep its real and imaginary parts, .real and .imag",
    "O": "of objects there is no Tensor: say which numbers they are, array.astype(float)",
    "U": "no Tensor holds text: number it first",
    "S": "no Tensor holds text: number it first",
    "T": "no Tensor holds text: number it first",
    "M": "no Tensor holds times: subtract one and divide by a unit, times / np.timedelta64(1, 's')",
    "m": "no Tensor holds times: divide by a unit, times / np.timedelta64(1, 's')",
}


def is_tensor_dtype(dtype: np.dtype) -> bool:
    """Whether Tensors may be of `dtype`: booleans, integers, floats up to 64 bits, bfloat16."""
    if dtype.kind == "V":
        return dtype.name == "bfloat16"
    return dtype.kind in "biu" or (dtype.kind == "f" and 2 <= dtype.itemsize <= 8)


def check_dtype(dtype: np.dtype, name: str) -> None:
    """Refuse a dtype that Tensors do not have, and say what to do.

    Raises
    ------
    TypeError
    """
    if is_tensor_dtype(dtype):
        return
    why = _WHY_NOT.get(dtype.kind)
    if why is None and dtype.names:
        why = "a structured array is no array of numbers: take its fields one by one, array[name]"
    if why is None:
        why = f"no Tensor holds dtype {dtype}; use floats up to float64, integers or bools"
    raise TypeError(f"{name}: {why}")


def plain(data: Any, name: str = "tensor()", floats: np.dtype | None = None) -> Array:
    """The values of `data` as a plain array, which may share its memory.

    Parameters
    ----------
    data
        A Tensor, an array of NumPy or CuPy or of a library that offers ``__array__`` or DLPack, a
        number, or nested sequences of these.
    name
        Who asks, for messages.
    floats
        What Python's floats become, by default the default dtype: numbers on their way to float64
        must not be rounded to it first.
    """
    if isinstance(data, Tensor):
        return data.array
    if type(data) not in BACKENDS:
        data = _as_array(data, name, floats or default_dtype())
    dtype = data.dtype
    check_dtype(dtype, name)
    if type(data) is np.ndarray and not is_plain(data):
        return data.astype(dtype.newbyteorder("="))
    return data


def is_plain(array: np.ndarray) -> bool:
    """Whether an array is in native byte order, each element at a multiple of its size."""
    size = array.dtype.itemsize
    aligned = array.flags.aligned and not any(step % size for step in array.strides)
    return aligned and array.dtype.isnative


def _as_array(data: Any, name: str, floats: np.dtype) -> Array:
    """What is no array of ours yet as one."""
    if isinstance(data, np.ma.MaskedArray) and np.ma.is_masked(data):
        raise TypeError(
            f"{name}: a masked array has elements without a value: fill them, array.filled(value)"
        )
    if isinstance(data, (np.ndarray, np.generic)):
        return np.asarray(data)
    if isinstance(data, (list, tuple)):
        return _of_sequence(data, name, floats)
    if isinstance(data, (bool, int, float)):
        return _of_numbers(np.asarray(data), name, floats)
    if isinstance(data, complex):
        raise TypeError(f"{name}: {_WHY_NOT['c']}")
    if hasattr(data, "__cuda_array_interface__") or hasattr(data, "__array__"):
        return _of_library(data, name)
    if hasattr(data, "__dlpack__"):
        return shared(data, name)
    if isinstance(data, (str, bytes)) or data is None or not hasattr(data, "__len__"):
        raise TypeError(f"{name}: a {type(data).__name__} is no array, number or sequence of them")
    return _of_sequence(list(data), name, floats)


def _of_library(data: Any, name: str) -> Array:
    """An array of another library: where it is if CUDA's, else through `__array__`."""
    if getattr(data, "requires_grad", False) and hasattr(data, "detach"):
        data = data.detach()
    kind = data.__dlpack_device__()[0] if hasattr(data, "__dlpack_device__") else _CPU
    bfloat16 = str(data.dtype) == "torch.bfloat16" if hasattr(data, "dtype") else False
    if kind in (_CUDA, _MANAGED) or bfloat16:
        return shared(data, name)
    try:
        return np.asarray(data)
    except (TypeError, RuntimeError, ValueError) as error:
        raise TypeError(f"{name}: a {type(data).__name__} gives no array: {error}") from error


def _of_sequence(data: Any, name: str, floats: np.dtype) -> np.ndarray:
    """Nested sequences of numbers, arrays and Tensors; numbers are of their default dtype."""
    first = data
    while isinstance(first, (list, tuple)) and len(first):
        first = first[0]
    known = hasattr(first, "dtype")  # arrays and Tensors say themselves what they hold
    if known or not isinstance(first, (bool, int, float, list, tuple)):
        data = _on_host(data)
    try:
        array = np.asarray(data)
    except ValueError as error:
        raise ValueError(f"{name}: the sequences are not of one length: {error}") from error
    return array if known else _of_numbers(array, name, floats)


def _on_host(data: Any) -> Any:
    """Sequences in which every Tensor is an array of NumPy."""
    if isinstance(data, (list, tuple)):
        return [_on_host(item) for item in data]
    return data.detach().cpu().numpy() if isinstance(data, Tensor) else data


def _of_numbers(array: np.ndarray, name: str, floats: np.dtype) -> np.ndarray:
    """Python's numbers in their dtype: bool, int64, or `floats`."""
    if array.size == 0 or array.dtype == np.float64:
        return array.astype(floats)
    if array.dtype.kind == "u" or (array.dtype.kind == "O" and _all_integers(array)):
        raise ValueError(f"{name}: an integer is above {2**63 - 1}, the largest that int64 holds")
    return array


def _all_integers(array: np.ndarray) -> bool:
    return all(isinstance(value, int) for value in array.reshape(-1))


def operand(x: Any, name: str) -> Array:
    """An array of another library, or one that is not in order, as an operation takes it.

    Raises
    ------
    TypeError
        If it is no array: sequences are made Tensors by who knows their dtype.
    """
    library = any(hasattr(x, method) for method in ("__array__", "__dlpack__"))
    if not library or isinstance(x, (str, bytes)):
        raise TypeError(
            f"{name}: a {type(x).__name__} is no Tensor, array or number; "
            "make a Tensor of values: tl.tensor(…)"
        )
    return plain(x, name)


def check_fits(array: np.ndarray, dtype: np.dtype, name: str) -> None:
    """Refuse numbers that an integer dtype does not hold; negative ones may stand for unsigned."""
    if dtype.kind not in "iu" or array.dtype.kind == "b" or array.size == 0:
        return
    limits = np.iinfo(dtype)
    low = -limits.max if dtype.kind == "u" else limits.min
    if not (array.min() >= low and array.max() <= limits.max):
        raise RuntimeError(
            f"{name}: {dtype} holds numbers from {limits.min} to {limits.max}, not from "
            f"{array.min()} to {array.max()}"
        )


def shared(data: Any, name: str) -> Array:
    """An array of another library through DLPack, in its memory."""
    kind, index = data.__dlpack_device__()
    if kind in (_CUDA, _MANAGED):
        return backend_for(Device("cuda", index)).xp.from_dlpack(data)
    if kind not in (_CPU, _PINNED):
        raise BufferError(
            f"{name}: a {type(data).__name__} lies on DLPack's device {int(kind)}, which is "
            "neither the CPU nor CUDA: copy it there first"
        )
    from tensorlite.backend.dlpack import host_array  # with ctypes

    array = host_array(data)
    check_dtype(array.dtype, name)
    if not is_plain(array):
        raise BufferError(f"{name}: the elements lie off their boundaries: copy the array first")
    return array
