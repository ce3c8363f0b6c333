"""How fast a check runs, forward and backward, and which part that is of the device's limits."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

import tensorlite as tl
from tensorlite.backend import Device
from tensorlite.bench import limits
from tensorlite.cli.checks import Check
from tensorlite.tensor import Tensor

ENOUGH = 0.03  # seconds of measuring
MOST = 50  # calls


class Rate(NamedTuple):
    """What was measured, in SI units."""

    seconds: float
    amount: float
    unit: str
    """"FLOP/s" or "B/s"."""
    limit: float | None

    @property
    def per_second(self) -> float:
        """Operations or bytes a second."""
        return self.amount / self.seconds

    def __str__(self) -> str:
        scale, prefix = (1e12, "T") if self.per_second > 1e12 and self.unit != "B/s" else (1e9, "G")
        shown = f"{self.per_second / scale:.{1 if scale > 1e9 else 0}f} {prefix}{self.unit}"
        part = f", {100 * self.per_second / self.limit:.0f} %" if self.limit else ""
        return f"{self.seconds * 1e3:.3f} ms, {shown}{part}"


class Limits:
    """What the device can do: a copy's bytes, and a large product's operations, a second."""

    def __init__(self, device: Device) -> None:
        self._device = device
        self._known: dict[tuple[str, bool], limits.Limits | None] = {}

    def of(self, dtype: str, tf32: bool) -> limits.Limits | None:
        """Measured once; None where there is no memory for it. The precision is the caller's."""
        key = dtype, tf32 and dtype == "float32"
        if key not in self._known:
            try:
                self._known[key] = limits.measure(str(self._device), dtype)
            except MemoryError:
                self._known[key] = None
        return self._known[key]

    def said(self) -> list[dict[str, Any]]:
        """Those that were measured."""
        return [
            {
                "dtype": dtype,
                "tf32": tf32,
                "copy_B_per_s": x.bandwidth,
                "product_FLOP_per_s": x.flops,
            }
            for (dtype, tf32), x in self._known.items()
            if x is not None
        ]


def rate(check: Check, dtype: str, device: Device, known: Limits) -> Rate | None:
    """Measure a check with the shapes of real models; None where there is no memory for it.

    It counts operations, or else the bytes that must be moved: the operands and the result, and
    backward the result's gradient, the operands again and their gradients.
    """
    shapes = check.sizes(device.type)
    try:
        operands = [_drawn(check, name, shape, dtype, device) for name, shape in shapes.items()]
        y = check.run(*operands)
        gradient = tl.ones_like(y)

        def call() -> None:
            for x in operands:
                x.grad = None
            check.run(*operands).backward(gradient)

        seconds = (_on_cuda if device.type == "cuda" else _on_cpu)(call)
    except MemoryError:
        return None
    limit = known.of(dtype, check.tf32)
    if check.work is not None:
        return Rate(seconds, check.work(shapes), "FLOP/s", limit and limit.flops)
    moved = 3 * sum(x.array.nbytes for x in operands) + 2 * y.array.nbytes
    return Rate(seconds, moved, "B/s", limit and limit.bandwidth)


def _drawn(check: Check, name: str, shape: tuple, dtype: str, device: Device) -> Tensor:
    """An operand, drawn where it is needed: large ones take long on the host."""
    if name.startswith("labels"):
        return tl.randint(0, check.classes, shape, device=device)
    x = tl.randn(*shape, device=device)
    x = x.abs() + 0.5 if name.startswith("positive") else x
    return x.to(dtype).requires_grad_()


def _on_cpu(call: Callable[[], None]) -> float:
    """Seconds of the fastest of a few calls, after one that warms up."""
    call()
    times: list[float] = []
    end = time.perf_counter() + ENOUGH
    while not times or (time.perf_counter() < end and len(times) < MOST):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return min(times)


def _on_cuda(call: Callable[[], None]) -> float:
    """Seconds that the device takes for a call; what the host takes is hidden.

    Calls are queued while a kernel keeps the device waiting, so that they then run without gaps.
    """
    import cupy

    call()
    cupy.cuda.Device().synchronize()
    start = time.perf_counter()
    call()
    host = time.perf_counter() - start
    cupy.cuda.Device().synchronize()
    whole = time.perf_counter() - start
    calls = int(min(MOST, max(3, ENOUGH / whole)))
    first, last = cupy.cuda.Event(), cupy.cuda.Event()
    _wait(min(0.2, 1.5 * calls * host))
    first.record()
    for _ in range(calls):
        call()
    last.record()
    last.synchronize()
    return float(cupy.cuda.get_elapsed_time(first, last)) / 1e3 / calls


_WAIT = """
extern "C" __global__ void wait(long long cycles) {
    const long long start = clock64();
    while (clock64() - start < cycles) {}
}
"""


def _wait(seconds: float) -> None:
    """Keep the device busy for about so long."""
    import cupy

    hertz = 1e3 * cupy.cuda.Device().attributes["ClockRate"] or 2e9  # 0 where a driver hides it
    cupy.RawKernel(_WAIT, "wait")((1,), (1,), (np.int64(seconds * hertz),))
