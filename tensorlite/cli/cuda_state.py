"""The state of CUDA: driver, devices and CuPy packages, without importing CuPy."""

from __future__ import annotations

import ctypes
import os
from importlib import metadata
from pathlib import Path
from typing import NamedTuple

CUPY = {"cupy-cuda12x": 12, "cupy-cuda13x": 13, "cupy-cuda11x": 11, "cupy": 0}  # and their CUDA
NVRTC = ("nvidia-cuda-nvrtc-cu12", "nvidia-cuda-nvrtc")
TOOLKIT = Path("/usr/local/cuda")


class Driver(NamedTuple):
    """The CUDA version that the driver is for, as (major, minor), and its devices' names."""

    version: tuple[int, int]
    devices: list[str]


def installed(package: str) -> str | None:
    """Version of an installed package, or None."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def cupy_packages() -> dict[str, str]:
    """The installed packages that contain CuPy, and their versions."""
    return {name: version for name in CUPY if (version := installed(name))}


def cupy_cache() -> Path:
    """Where CuPy keeps compiled kernels."""
    return Path(os.environ.get("CUPY_CACHE_DIR") or Path.home() / ".cupy" / "kernel_cache")


def driver() -> Driver | None:
    """Ask NVIDIA's driver library; None where there is none."""
    try:
        library = ctypes.CDLL("nvcuda.dll" if os.name == "nt" else "libcuda.so.1")
    except OSError:
        return None
    number = ctypes.c_int()
    library.cuDriverGetVersion(ctypes.byref(number))
    version = (number.value // 1000, number.value % 1000 // 10)
    count = ctypes.c_int()
    if library.cuInit(0) or library.cuDeviceGetCount(ctypes.byref(count)):
        return Driver(version, [])
    return Driver(version, [_name(library, i) for i in range(count.value)])


def _name(library: ctypes.CDLL, index: int) -> str:
    handle, name = ctypes.c_int(), ctypes.create_string_buffer(256)
    library.cuDeviceGet(ctypes.byref(handle), index)
    library.cuDeviceGetName(name, len(name), handle)
    return name.value.decode()


def problems(packages: dict[str, str], found: Driver | None) -> list[str]:
    """The reasons why CuPy cannot work, each with its remedy; none if it is not installed."""
    if not packages:
        return []
    wrong = []
    if len(packages) > 1:
        wrong.append(
            f"{' and '.join(packages)} are installed together and overwrite each other: "
            "uninstall them all, then install one"
        )
    wanted = CUPY[next(iter(packages))]
    nvrtc = [version for name in NVRTC if (version := installed(name))]
    if not nvrtc and "CUDA_PATH" not in os.environ and not TOOLKIT.exists():
        wrong.append(
            "CuPy finds no CUDA headers and libraries, which kernels are compiled with: "
            f'pip install "tensorlite[cuda{wanted or 13}]"'
        )
    if found is None:
        wrong.append("CuPy is installed, but no NVIDIA driver: https://www.nvidia.com/drivers")
        return wrong
    if not found.devices:
        wrong.append(
            "the driver finds no device: see nvidia-smi; CUDA_VISIBLE_DEVICES may hide them"
        )
    newest = max([wanted, *(int(version.split(".")[0]) for version in nvrtc)])
    if newest > found.version[0]:
        wrong.append(
            f"CUDA {newest} libraries are installed, the driver is for CUDA {found.version[0]}: "
            f'update it, or install "tensorlite[cuda{found.version[0]}]" instead'
        )
    return wrong
