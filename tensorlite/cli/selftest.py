"""``tensorlite selftest``: every kernel against float64 on this machine, and how fast it is."""

from __future__ import annotations

import contextlib
import io
import time
from argparse import Namespace
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np

import tensorlite as tl
from tensorlite.backend import Device, backend_for
from tensorlite.backend.kernels.declarations import families
from tensorlite.cli import env
from tensorlite.cli.checks import CHECKS, Check, Shape

TOLERANCE = {"float64": 1e-12, "float32": 2e-5, "float16": 4e-3, "bfloat16": 3e-2}
"""Of the largest element, be it of the result or of a gradient."""
TF32_TOLERANCE = 5e-3


class Report:
    """Lines that are shown as they come, and kept."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def __call__(self, line: str = "") -> None:
        """Show a line."""
        self.lines.append(line)
        print(line, flush=True)


def run(args: Namespace) -> int:
    """Check the device, print a report, and return 1 if anything is wrong."""
    device = tl.device(args.device)
    kernels = backend_for(device).kernels
    say, start = Report(), time.perf_counter()
    for line in _state():
        say(line)
    say()
    if kernels is None:
        say(f"no compiled kernels for {device}: what runs are NumPy's and CuPy's functions")
    dtypes = [args.dtype] if args.dtype else _dtypes(device, kernels)
    wrong = []
    with _seen(device, kernels) as launched:
        for check in CHECKS:
            for dtype in dtypes:
                problem, line = _checked(check, dtype, device, not args.no_rates)
                say(line)
                wrong += [f"{check.name} ({dtype}): {problem}"] if problem else []
        problem = _random_bits(device)
        say(f"{'random numbers':28} {'bits':9} {'WRONG' if problem else 'ok'}")
        wrong += [problem] if problem else []
    if launched:
        every = {kernel.name for group in families("cuda").values() for kernel in group}
        say(f"kernels: {len(every & launched)} of {len(every)} have run")
        if missing := sorted(every - launched):
            say(f"not asked for: {', '.join(missing)}")
    say(f"{len(wrong) or 'nothing'} wrong, in {time.perf_counter() - start:.0f} s")
    for problem in wrong:
        say(f"problem: {problem}")
    if args.out:
        Path(args.out).write_text("\n".join(say.lines) + "\n")
    return 1 if wrong else 0


def _state() -> Sequence[str]:
    """What ``tensorlite env`` says."""
    with contextlib.redirect_stdout(io.StringIO()) as text:
        env.run(Namespace())
    return text.getvalue().splitlines()


def _dtypes(device: Device, kernels: Any) -> list[str]:
    """The dtypes that are worth checking there."""
    found = ["float32", "float64", "float16"]
    with contextlib.suppress(ImportError):
        import ml_dtypes  # noqa: F401

        found.append("bfloat16")
    return found


@contextlib.contextmanager
def _seen(device: Device, kernels: Any) -> Iterator[set[str]]:
    """The names of CUDA's kernels that run meanwhile."""
    launched: set[str] = set()
    if device.type != "cuda" or kernels is None:
        yield launched
        return
    from tensorlite.backend.kernels.cuda import watched

    with watched(lambda name, arguments: launched.add(name)):
        yield launched


def _checked(check: Check, dtype: str, device: Device, rates: bool) -> tuple[str, str]:
    """Errors of a check, if there are any, and its line of the report."""
    given = check.draw(check.odd)
    problem, error = "", 0.0
    rounded = check.tf32 and dtype == "float32" and device.type == "cuda"
    tolerance = check.slack * (TF32_TOLERANCE if rounded else TOLERANCE[dtype])
    try:
        with _precision("high" if check.tf32 else "highest"):
            actual = _run(check, given, dtype, device)
        expected = _run(check, _as_stored(given, dtype), dtype, Device("cpu"), wide=True)
        error = max(_error(a, e) for a, e in zip(actual, expected, strict=True))
        if not error <= tolerance:
            problem = f"off by {error:.1e}, where {tolerance:.1e} is expected"
    except Exception as failure:
        problem = f"{type(failure).__name__}: {failure}".split("\n")[0]
    line = f"{check.name:28} {dtype:9} {'WRONG' if problem else 'ok':5} {error:8.1e}"
    if rates and check.large and not problem and dtype != "float64":
        with _precision("high" if check.tf32 else "highest"):
            line += "  " + _rate(check, dtype, device)
    return problem, line


@contextlib.contextmanager
def _precision(precision: Literal["highest", "high"]) -> Iterator[None]:
    before = tl.get_float32_matmul_precision()
    tl.set_float32_matmul_precision(precision)
    try:
        yield
    finally:
        tl.set_float32_matmul_precision(before)


def _as_stored(given: dict[str, np.ndarray], dtype: str) -> dict[str, np.ndarray]:
    """Operands as the dtype holds them."""
    return {
        name: values
        if values.dtype.kind == "i"
        else tl.tensor(values, dtype=dtype).double().numpy()
        for name, values in given.items()
    }


def _tensors(given: dict[str, np.ndarray], dtype: str, device: Device) -> list[tl.Tensor]:
    return [
        tl.tensor(values, device=device)
        if values.dtype.kind == "i"
        else tl.tensor(values, dtype=dtype, device=device, requires_grad=True)
        for values in given.values()
    ]


def _run(
    check: Check, given: dict[str, np.ndarray], dtype: str, device: Device, wide: bool = False
) -> list[np.ndarray]:
    """The result, and the gradient of each operand that has one; `wide`: in float64."""
    operands = _tensors(given, "float64" if wide else dtype, device)
    y = check.run(*operands)
    results = [y]
    if y.requires_grad:
        weights = np.cos(np.arange(y.array.size)).reshape(y.shape)
        gradient = tl.tensor(weights, dtype=dtype).to(device)
        y.backward(gradient.double() if wide else gradient)
        results += [x.grad for x in operands if x.grad is not None]
    return [r.detach().cpu().double().numpy() for r in results]


def _error(actual: np.ndarray, expected: np.ndarray) -> float:
    """How far apart they are, as a part of the largest element; inf where one is not finite."""
    if actual.shape != expected.shape or not (np.isfinite(actual) == np.isfinite(expected)).all():
        return float("inf")
    finite = np.isfinite(expected)
    scale = max(1.0, float(np.abs(expected[finite]).max(initial=0)))
    return float(np.abs(actual[finite] - expected[finite]).max(initial=0)) / scale


def _random_bits(device: Device) -> str:
    """What is wrong with the device's random numbers, which have the CPU's bits."""
    for draw in (tl.rand, tl.randn):
        found: list[np.ndarray] = []
        for place in (device, Device("cpu")):
            tl.manual_seed(7)
            found.append(draw(1001, device=place).cpu().numpy())
        if not np.array_equal(found[0], found[1]):
            return f"tl.{draw.__name__} on {device} has not the bits that it has on the CPU"
    return ""


def _rate(check: Check, dtype: str, device: Device) -> str:
    """How fast forward and backward are: by operations, or by the bytes that must be moved."""
    shapes: dict[str, Shape] = check.large
    try:
        operands = _tensors(check.draw(shapes), dtype, device)
        y = check.run(*operands)
        gradient = tl.ones_like(y)
        seconds = _least_time(lambda: check.run(*operands).backward(gradient), device)
    except MemoryError:
        return "not measured: no memory for it"
    if check.work is not None:
        return f"{seconds * 1e3:9.3f} ms {check.work(shapes) / seconds / 1e12:8.2f} TFLOP/s"
    inputs = sum(x.array.nbytes for x in operands)
    moved = 3 * inputs + 2 * y.array.nbytes  # x, y; then y's gradient, x again, x's gradient
    return f"{seconds * 1e3:9.3f} ms {moved / seconds / 1e9:8.1f} GB/s"


def _least_time(call: Any, device: Device) -> float:
    """Seconds of the fastest of a few calls, after one that compiles."""
    wait = tl.cuda.synchronize if device.type == "cuda" else lambda: None
    call()
    wait()
    times: list[float] = []
    end = time.perf_counter() + 0.2
    while not times or (time.perf_counter() < end and len(times) < 20):
        start = time.perf_counter()
        call()
        wait()
        times.append(time.perf_counter() - start)
    return min(times)
