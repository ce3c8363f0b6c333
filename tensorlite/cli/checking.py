"""One check of ``tensorlite selftest``: forward and backward, against float64 by NumPy."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

import tensorlite as tl
from tensorlite.backend import Device, backend_for
from tensorlite.cli.checks import Check
from tensorlite.cli.rates import Rate
from tensorlite.cli.references import References, outcome

TOLERANCE = {"float64": 1e-12, "float32": 2e-5, "float16": 4e-3, "bfloat16": 3e-2}
"""Of the largest element, be it of the result or of a gradient."""
TF32_TOLERANCE = 5e-3


@dataclass
class Result:
    """What came of a check in one dtype."""

    name: str
    dtype: str
    tolerance: float
    error: float = 0.0
    """How far off it was, as a part of the largest element."""
    problem: str = ""
    no_memory: bool = False
    kernels: set[str] = field(default_factory=set)
    """Kernels that were launched for it; known on CUDA."""
    rate: Rate | None = None

    @property
    def said(self) -> str:
        """The check, its dtype and its problem."""
        return f"{self.name} ({self.dtype}): {self.problem}"


def checked(check: Check, dtype: str, device: Device, references: References) -> Result:
    """Hold a check against float64."""
    rounded = check.tf32 and dtype == "float32" and device.type == "cuda"
    tolerance = check.slack * (TF32_TOLERANCE if rounded else TOLERANCE[dtype])
    found = Result(check.name, dtype, tolerance)
    try:
        with launched(device, found.kernels), _as_chosen(check, device):
            actual = outcome(check, check.draw(check.odd), dtype, device)
        expected = references.of(check, dtype)
        found.error = max(_error(a, e) for a, e in zip(actual, expected, strict=True))
        if not found.error <= tolerance:
            found.problem = f"off by {found.error:.1e}, where {tolerance:.1e} is expected"
    except Exception as failure:
        found.problem = f"{type(failure).__name__}: {failure}".split("\n")[0]
        found.no_memory = isinstance(failure, MemoryError)
    return found


def random_bits(device: Device) -> Result:
    """The device's random numbers, which have the CPU's bits."""
    result = Result("random numbers", "bits", 0.0)
    for draw in (tl.rand, tl.randn, lambda n, device: tl.randint(0, 1000, (n,), device=device)):
        found: list[np.ndarray] = []
        for place in (device, Device("cpu")):
            tl.manual_seed(7)
            with launched(device, result.kernels):
                found.append(draw(1001, device=place).cpu().numpy())
        if not np.array_equal(found[0], found[1]):
            name = getattr(draw, "__name__", "randint").replace("<lambda>", "randint")
            result.problem = f"tl.{name} on {device} has not the bits that it has on the CPU"
    return result


@contextlib.contextmanager
def launched(device: Device, names: set[str]) -> Iterator[None]:
    """Add the names of CUDA's kernels that are launched meanwhile."""
    if device.type != "cuda" or backend_for(device).kernels is None:
        yield
        return
    from tensorlite.backend.kernels.cuda import watched

    with watched(lambda name, arguments: names.add(name)):
        yield


@contextlib.contextmanager
def precision(check: Check) -> Iterator[None]:
    """The precision of float32's products that a check is about."""
    before = tl.get_float32_matmul_precision()
    wanted: Literal["high", "highest"] = "high" if check.tf32 else "highest"
    tl.set_float32_matmul_precision(wanted)
    try:
        yield
    finally:
        tl.set_float32_matmul_precision(before)


@contextlib.contextmanager
def _as_chosen(check: Check, device: Device) -> Iterator[None]:
    """The precision, and kernels as they are chosen for a GPU of so many processors."""
    kernels: Any = backend_for(device).kernels
    with precision(check):
        if not check.processors or kernels is None or device.type != "cuda":
            yield
            return
        kernels.processors = lambda x: check.processors
        try:
            yield
        finally:
            del kernels.processors


def _error(actual: np.ndarray, expected: np.ndarray) -> float:
    """How far apart they are, as a part of the largest element; inf where one is not finite."""
    if actual.shape != expected.shape or not (np.isfinite(actual) == np.isfinite(expected)).all():
        return float("inf")
    finite = np.isfinite(expected)
    scale = max(1.0, float(np.abs(expected[finite]).max(initial=0)))
    return float(np.abs(actual[finite] - expected[finite]).max(initial=0)) / scale
