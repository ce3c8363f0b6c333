"""What the machine can do at best: memory bandwidth and the speed of a large matrix product."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

import tensorlite
from tensorlite.backend import backend_for

ELEMENTS = 1 << 24  # of a triad's array: far more than any cache holds
SIZE = 2048  # of the square matrices
ROUNDS = 5


class Limits(NamedTuple):
    """Bytes and floating-point operations a second."""

    bandwidth: float
    flops: float


def measure(device: str, dtype: str) -> Limits:
    """Measure both: a triad and a large product; on CUDA a copy and a large product, by events.

    Parameters
    ----------
    device, dtype
        Where, and of what the product is.
    """
    if device != "cpu":
        return _on_cuda(device, dtype)
    kernels = backend_for("cpu").kernels
    x, y, z = (np.ones(ELEMENTS, np.float32) for _ in range(3))

    def triad() -> None:
        if kernels is None:
            np.multiply(x, 3.0, out=z)
            np.add(z, y, out=z)
        else:
            kernels.axpy(x, y, z, ELEMENTS, 3.0)

    traffic = 3 if kernels is not None else 5
    a, b = (tensorlite.rand(SIZE, SIZE).to(dtype) for _ in range(2))
    return Limits(traffic * x.nbytes / _best(triad), 2 * float(SIZE) ** 3 / _best(lambda: a @ b))


def _best(run: Callable[[], Any]) -> float:
    """Median seconds of the faster half of the rounds: what the machine gives undisturbed."""
    times = []
    for _ in range(ROUNDS + 1):
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return statistics.median(sorted(times[1:])[: ROUNDS // 2 + 1])


def _on_cuda(device: str, dtype: str) -> Limits:
    import cupy

    with backend_for(device).on(tensorlite.device(device)):
        x, y = cupy.ones(ELEMENTS * 4, np.float32), cupy.empty(ELEMENTS * 4, np.float32)
        a, b = (tensorlite.rand(4 * SIZE, 4 * SIZE, device=device).to(dtype) for _ in range(2))
        copy = _by_events(cupy, lambda: cupy.copyto(y, x))
        product = _by_events(cupy, lambda: a @ b)
    return Limits(2 * x.nbytes / copy, 2 * float(4 * SIZE) ** 3 / product)


def _by_events(cupy: Any, run: Callable[[], Any]) -> float:
    """Median seconds on the device."""
    times = []
    for _ in range(ROUNDS + 2):
        start, end = cupy.cuda.Event(), cupy.cuda.Event()
        start.record()
        run()
        end.record()
        end.synchronize()
        times.append(cupy.cuda.get_elapsed_time(start, end) / 1000)
    return statistics.median(times[2:])
