"""The threads of NumPy's own matrix products."""

from __future__ import annotations

import contextlib
import ctypes
import os
from pathlib import Path

from tensorlite.backend.machine import usable_cores


def blas_threads(count: int | None = None) -> int | None:
    """Threads of NumPy's OpenBLAS, set to `count` if that is given; None where there is none."""
    threads = None
    with contextlib.suppress(OSError):
        mapped = {line.split()[-1] for line in Path("/proc/self/maps").read_text().splitlines()}
        for path in mapped:
            if "openblas" not in Path(path).name:
                continue
            blas = ctypes.CDLL(path)
            for name in ("scipy_openblas_{}_num_threads64_", "openblas_{}_num_threads"):
                if hasattr(blas, name.format("set")):
                    if count is not None:
                        getattr(blas, name.format("set"))(count)
                    threads = getattr(blas, name.format("get"))()
    return threads


def spare_cores() -> None:
    """Without kernels, let NumPy's OpenBLAS run on half of the cores that this process may use.

    Its threads wait for each other by spinning, and on a machine where something else runs on one
    of the cores a training takes ten times as long. ``OPENBLAS_NUM_THREADS`` says otherwise.
    """
    if "OPENBLAS_NUM_THREADS" not in os.environ:
        blas_threads(max(usable_cores() // 2, 1))
