"""What the machine can do at best: memory bandwidth and the speed of a large matrix product."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

import tensorlite
from tensorlite.backend import backend_for
from tensorlite.bench.clock import seconds

# Far more than any cache holds, and enough to keep every core busy.
ELEMENTS = {"cpu": 1 << 24, "cuda": 1 << 27}  # of an array that is streamed
SIZE = {"cpu": 2048, "cuda": 8192}  # of square matrices
ROUNDS = 5


class Limits(NamedTuple):
    """Bytes and floating-point operations a second."""

    bandwidth: float
    flops: float


def measure(device: str, dtype: str) -> Limits:
    """Measure both: a triad on the CPU or a copy on CUDA, and a large matrix product in `dtype`."""
    where = tensorlite.device(device)
    size = SIZE[where.type]
    with backend_for(where).on(where):
        bandwidth = (_triad if where.type == "cpu" else _copy)(ELEMENTS[where.type], where.type)
        a, b = (tensorlite.rand(size, size, device=where).to(dtype) for _ in range(2))
        product = _best(lambda: a @ b, where.type)
    return Limits(bandwidth, 2 * float(size) ** 3 / product)


def _triad(elements: int, device: str) -> float:
    """Bytes a second of z = 3 x + y (McCalpin's STREAM), on our threads."""
    kernels = backend_for(device).kernels
    x, y, z = (np.ones(elements, np.float32) for _ in range(3))
    if kernels is not None:
        return 3 * x.nbytes / _best(lambda: kernels.axpy(x, y, z, elements, 3.0), device)

    def in_two_steps() -> None:
        np.multiply(x, 3.0, out=z)
        np.add(z, y, out=z)

    return 5 * x.nbytes / _best(in_two_steps, device)


def _copy(elements: int, device: str) -> float:
    """Bytes a second, read and written, of a copy on the device."""
    import cupy

    x, y = cupy.ones(elements, np.float32), cupy.empty(elements, np.float32)
    return 2 * x.nbytes / _best(lambda: cupy.copyto(y, x), device)


def _best(run: Callable[[], Any], device: str) -> float:
    """Median seconds of the faster half of the rounds: what the machine gives undisturbed."""
    run()  # warms up
    times = sorted(seconds(run, 1, device, "tensorlite") for _ in range(ROUNDS))
    return statistics.median(times[: ROUNDS // 2 + 1])
