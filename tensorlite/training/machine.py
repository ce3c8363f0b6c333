"""What the bits of a run depend on besides its settings: hardware and versions of software."""

from __future__ import annotations

import platform
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

import tensorlite
from tensorlite.backend import Device, backend_for

__all__ = ["describe", "differences"]

_NAMES = {
    "tensorlite": "tensorlite",
    "numpy": "NumPy",
    "device": "device",
    "processor": "processor",
    "kernels": "kernels",
    "threads": "threads of NumPy's BLAS",
}


def describe(device: Device) -> dict[str, Any]:
    """The hardware and software that the last bits of results depend on, by name.

    With compiled kernels results do not depend on the number of threads, without they do.
    """
    kernels = backend_for(device).kernels
    found: dict[str, Any] = {
        "tensorlite": tensorlite.__version__,
        "numpy": np.__version__,
        "device": device.type,
        "processor": _processor() if device.type == "cpu" else _chip(device),
        "kernels": "none" if kernels is None else _build(kernels),
    }
    if device.type == "cpu" and kernels is None:
        found["threads"] = tensorlite.get_num_threads()
    return found


def differences(then: dict[str, Any], now: dict[str, Any]) -> str:
    """What has changed, in words; "" if nothing has."""
    parts = []
    for key, name in _NAMES.items():
        was, here = then.get(key), now.get(key)
        if was == here or (key == "threads" and None in (was, here)):
            continue
        if key == "kernels" and "none" not in (was, here):
            parts.append("kernels of another build")
        elif key == "kernels":
            parts.append("no compiled kernels" if here == "none" else "compiled kernels")
        else:
            parts.append(f"{name} {here} in place of {was}")
    return ", ".join(parts)


def _build(kernels: Any) -> str:
    """What tells one build of the kernels from another: source, compiler and processor."""
    return Path(getattr(kernels, "__file__", None) or type(kernels).__name__).stem


@cache
def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def _chip(device: Device) -> str:
    from tensorlite import cuda

    return str(cuda.get_device_name(device.index))
