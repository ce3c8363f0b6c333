"""Values in state dictionaries: Tensors of ours, arrays, and Tensors of other libraries."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from tensorlite.backend import Array, array_backend, is_array
from tensorlite.tensor import Tensor, tensor_of


def is_tensor(value: Any) -> bool:
    """Whether `value` is an array of any library."""
    return isinstance(value, Tensor) or is_array(value) or hasattr(value, "__dlpack__")


def as_array(value: Any) -> np.ndarray:
    """The values of an array of any library, in host memory."""
    if isinstance(value, Tensor):
        value = value.array
    if is_array(value):
        return np.asarray(array_backend((value,)).to_host(value))
    if hasattr(value, "detach"):  # a Tensor of torch, perhaps on another device
        value = value.detach().cpu()
        if "bfloat16" in str(value.dtype):
            value = value.float()
    return np.asarray(value)


def as_number(value: Any) -> Any:
    """A Tensor or array of one element as a Python number; anything else as it is."""
    return as_array(value).item() if is_tensor(value) else value


def brought(array: Array, like: Array) -> Array:
    """`array` on the device of `like`."""
    backend = array_backend((like,))
    if type(array) is not type(like):
        array = array_backend((array,)).to_host(array)
    return backend.asarray(array, device=backend.device_of(like))


def copied(value: Any) -> Any:
    """A nested state with Tensors of its own; arrays of ours as Tensors."""
    if isinstance(value, Tensor):
        return tensor_of(array_backend((value.array,)).copy(value.array))
    if isinstance(value, Mapping):
        return {k: copied(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)) and type(value) in (list, tuple):
        return type(value)([copied(v) for v in value])
    return value
