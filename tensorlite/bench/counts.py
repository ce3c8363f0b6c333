"""What a step asks of the device, counted by the CUDA emulator: launches, bytes, copies, waits.

Counts say nothing of speed. They are exact, and need no GPU.
"""

from __future__ import annotations

import ctypes
import json
from collections.abc import Callable
from typing import Any, NamedTuple


class Counts(NamedTuple):
    """What one call asked for.

    Attributes
    ----------
    launches, library_calls
        Kernels launched; calls of cuBLASLt and the like.
    moved
        Bytes that kernels loaded and stored, and that library calls cannot do without.
    to_host
        Copies from the device to the host.
    waits
        Times that the host waited for the device.
    kernels
        Launches by name of the kernel or library function.
    """

    launches: int
    library_calls: int
    moved: int
    to_host: int
    waits: int
    kernels: dict[str, int]


def emulator() -> Any | None:
    """The emulator's driver library; None on a real GPU, or without one."""
    try:
        driver = ctypes.CDLL("libcuda.so.1")
        driver.cuda_emulator_profile_json.restype = ctypes.c_char_p
    except (OSError, AttributeError):
        return None
    return driver


def count(run: Callable[[], Any]) -> Counts:
    """Call `run` under the emulator's profile, once everything it needs is compiled.

    Raises
    ------
    RuntimeError
        If this is not the emulator.
    """
    driver = emulator()
    if driver is None:
        raise RuntimeError("counts are made by the CUDA emulator, and this is not it")
    run()
    driver.cuda_emulator_profile_reset()
    result = run()
    profile = json.loads(driver.cuda_emulator_profile_json())
    del result
    kernels, library = profile["kernels"], profile["library_calls"]
    counts = profile["counts"]
    names = {name: entry["launches"] for name, entry in kernels.items()}
    names |= {name: entry["calls"] for name, entry in library.items()}
    loaded = sum(entry["bytes_loaded"] + entry["bytes_stored"] for entry in kernels.values())
    return Counts(
        launches=sum(entry["launches"] for entry in kernels.values()),
        library_calls=sum(entry["calls"] for entry in library.values()),
        moved=int(loaded + sum(entry["bytes"] for entry in library.values())),
        to_host=_number(counts, "memcpyD2H"),
        waits=sum(_number(counts, f"{what}_synchronize") for what in ("stream", "event", "device")),
        kernels=names,
    )


def _number(counts: dict[str, Any], name: str) -> int:
    entry = counts.get(name, 0)
    return int(entry["count"] if isinstance(entry, dict) else entry)
