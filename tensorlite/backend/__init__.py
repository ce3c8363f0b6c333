"""Devices and their array libraries.

`BACKENDS` maps an array type to its backend. CuPy is added when "cuda" is first used, so a
program that stays on the CPU never imports it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tensorlite.backend.base import Array, Backend, Device, default_device, home, parse_device
from tensorlite.backend.numpy import CPU, NumpyBackend

__all__ = [
    "BACKENDS",
    "CPU",
    "ON_SECOND_DEVICE",
    "Array",
    "Backend",
    "Device",
    "array_backend",
    "backend_for",
    "device",
    "is_array",
]

HOST = NumpyBackend()
BACKENDS: dict[Any, Backend] = {np.ndarray: HOST}


def is_array(value: Any) -> bool:
    """Whether `value` is a raw array of a known device (NumPy's scalars count)."""
    return type(value) in BACKENDS or isinstance(value, (np.ndarray, np.generic))


def array_backend(values: Any) -> Backend:
    """Backend of the first raw array among `values`; NumPy if there is none."""
    for value in values:
        backend = BACKENDS.get(type(value))
        if backend is not None:
            return backend
    return HOST


ON_SECOND_DEVICE: list[Callable[[], None]] = []
"""Called when a CUDA device beside this process's own is named: from then on, operations look where
their inputs are. Programs on one device do not pay for it."""


def backend_for(where: str | Device) -> Backend:
    """Backend that computes on a device.

    Raises
    ------
    RuntimeError
        For "cuda" where CuPy, the driver or the device is missing; the message says which.
    """
    where = parse_device(where)
    if where.type == "cpu":
        return HOST
    from tensorlite.backend.cupy import cuda_backend

    backend = cuda_backend(where)
    BACKENDS.setdefault(backend.xp.ndarray, backend)
    while where.index != home() and ON_SECOND_DEVICE:
        ON_SECOND_DEVICE.pop()()
    return backend


def device(name: str | Device | None = None) -> Device:
    """The device of that name, by default where Tensors are made, once it can be used.

    Raises
    ------
    RuntimeError
        If a CUDA device is asked for by name and cannot be used.
    """
    parsed = default_device() if name is None else parse_device(name)
    backend_for(parsed)
    return parsed
