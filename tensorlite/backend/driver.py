"""Importing CuPy, and what it and the driver say of the devices: which there are, their memory."""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Callable
from types import ModuleType
from typing import Any

INSTALL = 'pip install "tensorlite[cuda13]" (or [cuda12], for a driver older than R580)'
_NO_MEMORY, _NO_DEVICE = 2, 100  # cudaErrorMemoryAllocation, cudaErrorNoDevice


class OutOfMemoryError(MemoryError):
    """No device memory is left for an array; the message names the bytes wanted, used and free.

    Examples
    --------
    >>> try:
    ...     y = model(x)
    ... except tl.cuda.OutOfMemoryError:
    ...     tl.cuda.empty_cache()
    """


@functools.cache
def load_cupy() -> ModuleType:
    """Import CuPy, and let it report an exhausted memory in our words.

    Raises
    ------
    RuntimeError
        If CuPy is not installed or cannot be imported.
    """
    from importlib.util import find_spec  # imports take time, and most programs need none of this

    if find_spec("cupy") is None:
        raise RuntimeError(f"CUDA needs CuPy, which is not installed: {INSTALL}")
    try:
        import cupy
    except Exception as error:  # it reads its configuration and loads libraries at import
        raise RuntimeError(f"CuPy is installed but cannot be imported: {error}") from error
    cupy.cuda.set_allocator(usual_allocator()[0])
    return cupy


@functools.cache
def usual_allocator() -> tuple[Callable[[int], Any], Callable[[int], Any]]:
    """What CuPy's arrays get their memory from, and the allocator of CuPy's that is in it."""
    import cupy

    direct = cupy.cuda.get_allocator()
    return explained(direct), direct


def explained(allocate: Callable[[int], Any]) -> Callable[[int], Any]:
    """The same allocator; where there is no memory it raises `OutOfMemoryError`."""
    import cupy

    failures = (cupy.cuda.memory.OutOfMemoryError, cupy.cuda.runtime.CUDARuntimeError)

    def allocated(size: int) -> Any:
        try:
            return allocate(size)
        except failures as error:
            if getattr(error, "status", _NO_MEMORY) != _NO_MEMORY:
                raise
            raise OutOfMemoryError(_exhausted(size)) from None

    return allocated


def _exhausted(size: int) -> str:
    stats = memory_stats(load_cupy().cuda.runtime.getDevice())
    held, unused = stats["reserved"], stats["reserved"] - stats["allocated"]
    return (
        f"out of memory on cuda:{stats['device']}: {_gib(size)} asked; this process holds "
        f"{_gib(held)} ({_gib(unused)} of it unused), {_gib(stats['free'])} of "
        f"{_gib(stats['total'])} are free. Use smaller batches, or tensorlite.checkpoint"
    )


def _gib(size: int) -> str:
    return f"{size / 2**30:.2f} GiB"


def memory_stats(index: int) -> dict[str, int]:
    """Memory of device `index` in bytes; see `tensorlite.cuda.memory_stats`."""
    cupy = load_cupy()
    with cupy.cuda.Device(index):
        free, total = cupy.cuda.runtime.memGetInfo()
        pool = cupy.get_default_memory_pool()
        allocated, reserved = pool.used_bytes(), pool.total_bytes()
    return {
        "device": index,
        "allocated": allocated,
        "reserved": reserved,
        "free": free,
        "total": total,
    }


def captured_nodes(stream: int) -> int | None:
    """Count the nodes of the graph that a stream's work becomes; None where the driver can't say.

    Whatever is queued meanwhile is a node, whoever queues it.
    """
    calls = _capture_calls()
    if calls is None:
        return None
    info, nodes = calls
    state, number = ctypes.c_int(), ctypes.c_uint64()
    graph, count = ctypes.c_void_p(), ctypes.c_size_t()
    by = ctypes.byref
    if info(ctypes.c_void_p(stream), by(state), by(number), by(graph), None, None):
        return None
    if not graph or nodes(graph, None, by(count)):
        return None
    return count.value


@functools.cache
def _capture_calls() -> tuple[Any, Any] | None:
    """The driver's functions that tell of a capture, of CUDA 11.3 and all later versions."""
    try:
        driver = ctypes.CDLL("libcuda.so.1")
        return driver.cuStreamGetCaptureInfo_v2, driver.cuGraphGetNodes
    except (OSError, AttributeError):
        return None


def device_count() -> int:
    """Count the CUDA devices.

    Raises
    ------
    RuntimeError
        If there is none; the message says what is missing: CuPy, the driver, or a device.
    """
    cupy = load_cupy()
    runtime = cupy.cuda.runtime
    try:
        count = runtime.getDeviceCount()
    except runtime.CUDARuntimeError as error:
        if error.status == _NO_DEVICE:
            count = 0
        else:
            raise RuntimeError(_driver_problem(runtime, error)) from error
    if count == 0:
        raise RuntimeError(
            "CUDA: the driver finds no device. nvidia-smi lists those there are; "
            "CUDA_VISIBLE_DEVICES may hide them"
        )
    return count


def _driver_problem(runtime: Any, error: Exception) -> str:
    """Tell a missing driver from one that is too old."""
    driver, needed = runtime.driverGetVersion(), runtime.runtimeGetVersion()
    if driver == 0:
        return "CUDA: no NVIDIA driver is installed (https://www.nvidia.com/drivers)"
    if driver < needed:
        return (
            f"CUDA: the driver is for CUDA {_version(driver)}, CuPy for CUDA {_version(needed)}: "
            "update the driver, or install tensorlite[cuda12] in place of tensorlite[cuda13]"
        )
    return f"CUDA cannot be used: {error}"


def _version(number: int) -> str:
    return f"{number // 1000}.{number % 1000 // 10}"


def is_available() -> bool:
    """Whether there is a CUDA device that can be used.

    Examples
    --------
    >>> tl.accelerator.is_available() == (tl.accelerator.device_count() > 0)
    True
    """
    try:
        return device_count() > 0
    except RuntimeError:
        return False
