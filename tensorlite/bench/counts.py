"""What a step does on the device, counted by the CUDA emulator: launches, bytes, copies, waits.

Counts say nothing of speed. They are exact, and need no GPU.
"""

from __future__ import annotations

import ctypes
import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any, NamedTuple

from tensorlite import cuda

OURS = "_ZN2tl"  # what mangled names in the kernels' namespace begin with
WAITS = ("stream_synchronize", "event_synchronize", "device_synchronize")


class Counts(NamedTuple):
    """What one call did on the device.

    Attributes
    ----------
    launches, library_calls
        Kernels launched; calls of cuBLASLt and the like.
    moved
        Bytes that kernels loaded and stored, and that library calls cannot do without.
    least
        The same if each of our kernels touched each element of its arrays once, or to read and to
        write it. CuPy's kernels, which do, and library calls count as in `moved`.
    to_host, to_device
        Copies between the device and the host.
    waits
        Times that the host waited for the device.
    kernels
        Launches by name of the kernel or library function.
    """

    launches: int
    library_calls: int
    moved: int
    least: int
    to_host: int
    to_device: int
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
    cuda.synchronize()
    driver.cuda_emulator_profile_reset()
    with _least_bytes() as least:
        result = run()
    counts = json.loads(driver.cuda_emulator_profile_json())["counts"]  # without our own wait
    cuda.synchronize()  # work that was put off is counted when it is done
    profile = json.loads(driver.cuda_emulator_profile_json())
    del result
    kernels, library = profile["kernels"], profile["library_calls"]
    moved = {name: e["bytes_loaded"] + e["bytes_stored"] for name, e in kernels.items()}
    moved |= {name: int(e["bytes"]) for name, e in library.items()}
    return Counts(
        launches=sum(entry["launches"] for entry in kernels.values()),
        library_calls=sum(entry["calls"] for entry in library.values()),
        moved=sum(moved.values()),
        least=sum(least) + sum(n for name, n in moved.items() if not name.startswith(OURS)),
        to_host=_number(counts, "memcpyD2H"),
        to_device=_number(counts, "memcpyH2D"),
        waits=sum(_number(counts, what) for what in WAITS),
        kernels={name: e["launches"] for name, e in kernels.items()}
        | {name: e["calls"] for name, e in library.items()},
    )


def _number(counts: dict[str, Any], name: str) -> int:
    entry = counts.get(name, 0)
    return int(entry["count"] if isinstance(entry, dict) else entry)


@contextmanager
def _least_bytes() -> Iterator[list[int]]:
    """Collect the least bytes that each call of one of our kernels must move."""
    from tensorlite.backend.kernels.cuda import watched
    from tensorlite.backend.kernels.declarations import families

    known = {kernel.name: kernel for of in families("cuda").values() for kernel in of}
    found: list[int] = []

    def note(name: str, args: tuple) -> None:
        updated = _updated(known[name].family)
        for p, value in zip(known[name].parameters, args, strict=True):
            if p.is_array and value is not None:
                found.append(value.nbytes * (2 if p.name in updated else 1))

    with watched(note):
        yield found


@cache
def _updated(family: str) -> set[str]:
    """Arrays that a family's kernels read and write in place."""
    from tensorlite.backend.kernels.declarations import kernels_folder

    return set(re.findall(r"\binout\((\w+)\)", (kernels_folder() / f"{family}.cu").read_text()))
