"""Making Tensors: from values, of one value, of a range.

Tensors are made on their device, the CPU by default. Floats are float32 unless another dtype is
given.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from tensorlite import backend
from tensorlite.backend import CPU, Array, Device, array_backend, backend_for
from tensorlite.ops.convert import to_device_array
from tensorlite.ops.dtypes import as_dtype
from tensorlite.tensor import Tensor, tensor_of

__all__ = [
    "arange",
    "empty",
    "empty_like",
    "eye",
    "from_dlpack",
    "from_numpy",
    "full",
    "full_like",
    "linspace",
    "ones",
    "ones_like",
    "tensor",
    "zeros",
    "zeros_like",
]

_CUDA = 2  # DLPack's number for it


def _new(
    name: str,
    args: tuple,
    dtype: Any,
    device: str | Device | None,
    requires_grad: bool,
) -> Tensor:
    """Call a function of the array namespace on a device."""
    device = backend.device(device)
    where = backend_for(device)
    with where.on(device):
        return leaf(getattr(where.xp, name)(*args, dtype=as_dtype(dtype)), requires_grad)


def leaf(data: Array, requires_grad: bool) -> Tensor:
    """Wrap an array, refusing a gradient that its dtype cannot have."""
    made = tensor_of(data)
    return made.requires_grad_() if requires_grad else made


def as_shape(shape: tuple) -> tuple[int, ...]:
    """A shape given as several numbers or as one sequence."""
    lengths = shape[0] if len(shape) == 1 and isinstance(shape[0], (tuple, list)) else shape
    try:
        return tuple(map(operator.index, lengths))
    except TypeError as error:
        raise TypeError(f"a shape is made of integers, not {lengths}") from error


def dtype_of(*numbers: Any) -> np.dtype:
    """The dtype of a Tensor made from Python numbers: bool, int64 or float32."""
    dtype = np.result_type(*numbers)
    return np.dtype(np.float32) if dtype == np.float64 else dtype


def constructed(values: tuple) -> Tensor:
    """What ``Tensor(*values)`` is: nothing, memory of a shape that is not set, or copied values."""
    if len(values) == 1 and not isinstance(values[0], int):
        return tensor(values[0], dtype=np.float32)
    return empty(*values) if values else empty(0)


# --- from values --------------------------------------------------------------------------------


def tensor(
    data: Any,
    dtype: Any = None,
    device: str | Device | None = None,
    requires_grad: bool = False,
) -> Tensor:
    """Copy values into a new Tensor.

    Parameters
    ----------
    data
        A number, nested sequences of numbers, an array or a Tensor.
    dtype
        By default arrays and Tensors keep theirs (float64 stays float64); Python numbers make
        float32, int64 or bool.
    device
        By default where `data` is, else the CPU.
    requires_grad
        Whether operations on it are recorded.

    Examples
    --------
    >>> tl.tensor([[1, 2.5]])
    tensor([[1. , 2.5]])
    """
    if isinstance(data, Tensor):
        data = data.array
    if not hasattr(data, "dtype"):
        data = np.asarray(data)
        if dtype is None:
            dtype = np.float32 if data.size == 0 else dtype_of(data.dtype)
    dtype = as_dtype(data.dtype if dtype is None else dtype)
    if dtype.kind not in "biuf" and dtype.name != "bfloat16":
        raise TypeError(f"tensor(): no Tensor holds dtype {dtype}; use floats, integers or bools")
    source = array_backend((data,)).device_of(data)
    target = source if device is None else backend.device(device)
    if target == source:
        return leaf(data.astype(dtype, copy=True), requires_grad)
    return leaf(to_device_array(data, target, source).astype(dtype, copy=False), requires_grad)


def from_numpy(array: np.ndarray) -> Tensor:
    """Wrap a NumPy array; the Tensor shares its memory and dtype."""
    if not isinstance(array, np.ndarray):
        raise TypeError(f"from_numpy() of a {type(array).__name__}: use tensor() to copy values")
    return tensor_of(np.asarray(array))


def from_dlpack(array: Any) -> Tensor:
    """Wrap an array of another library through DLPack, without a copy, on its device."""
    kind, index = array.__dlpack_device__()
    where = backend_for(Device("cuda", index) if kind == _CUDA else CPU)
    return tensor_of(where.xp.from_dlpack(array))


# --- of one value, of a range -------------------------------------------------------------------


def zeros(
    *shape: Any,
    dtype: Any = np.float32,
    device: str | Device | None = None,
    requires_grad: bool = False,
) -> Tensor:
    """Return a Tensor of zeros."""
    return _new("zeros", (as_shape(shape),), dtype, device, requires_grad)


def ones(
    *shape: Any,
    dtype: Any = np.float32,
    device: str | Device | None = None,
    requires_grad: bool = False,
) -> Tensor:
    """Return a Tensor of ones."""
    return _new("ones", (as_shape(shape),), dtype, device, requires_grad)


def empty(
    *shape: Any,
    dtype: Any = np.float32,
    device: str | Device | None = None,
    requires_grad: bool = False,
) -> Tensor:
    """Return a Tensor whose memory is not set."""
    return _new("empty", (as_shape(shape),), dtype, device, requires_grad)


def full(
    shape: int | Sequence[int],
    value: float,
    dtype: Any = None,
    device: str | Device | None = None,
    requires_grad: bool = False,
) -> Tensor:
    """Return a Tensor of one value, whose kind gives the dtype: bool, int64 or float32."""
    dtype = dtype_of(value) if dtype is None else dtype
    return _new("full", (as_shape((shape,)), value), dtype, device, requires_grad)


def arange(
    start: float,
    stop: float | None = None,
    step: float = 1,
    dtype: Any = None,
    device: str | Device | None = None,
    requires_grad: bool = False,
) -> Tensor:
    """Return start, start + step, … below `stop`; int64 if all are integers, else float32.

    ``arange(n)`` begins at 0.
    """
    if stop is None:
        start, stop = 0, start
    dtype = dtype_of(start, stop, step) if dtype is None else dtype
    return _new("arange", (start, stop, step), dtype, device, requires_grad)


def linspace(
    start: float,
    stop: float,
    num: int,
    dtype: Any = np.float32,
    device: str | Device | None = None,
    requires_grad: bool = False,
) -> Tensor:
    """Return `num` numbers at equal distances from `start` to `stop`, both included."""
    return _new("linspace", (start, stop, num), dtype, device, requires_grad)


def eye(
    n: int,
    m: int | None = None,
    dtype: Any = np.float32,
    device: str | Device | None = None,
    requires_grad: bool = False,
) -> Tensor:
    """Return the n × m matrix (default n × n) with ones on its diagonal."""
    return _new("eye", (n, m), dtype, device, requires_grad)


# --- like another -------------------------------------------------------------------------------


def _like(make: Callable, x: Tensor, dtype: Any, device: Any, requires_grad: bool) -> Tensor:
    return make(
        x.shape,
        dtype=x.dtype if dtype is None else dtype,
        device=x.device if device is None else device,
        requires_grad=requires_grad,
    )


def zeros_like(
    x: Tensor, dtype: Any = None, device: Any = None, requires_grad: bool = False
) -> Tensor:
    """Return zeros of `x`'s shape, and of its dtype and device unless others are given."""
    return _like(zeros, x, dtype, device, requires_grad)


def ones_like(
    x: Tensor, dtype: Any = None, device: Any = None, requires_grad: bool = False
) -> Tensor:
    """Return ones of `x`'s shape, and of its dtype and device unless others are given."""
    return _like(ones, x, dtype, device, requires_grad)


def empty_like(
    x: Tensor, dtype: Any = None, device: Any = None, requires_grad: bool = False
) -> Tensor:
    """Return unset memory of `x`'s shape, and of its dtype and device unless others are given."""
    return _like(empty, x, dtype, device, requires_grad)


def full_like(
    x: Tensor, value: float, dtype: Any = None, device: Any = None, requires_grad: bool = False
) -> Tensor:
    """Return one value in `x`'s shape, and of its dtype and device unless others are given."""
    return _like(partial(full, value=value), x, dtype, device, requires_grad)
