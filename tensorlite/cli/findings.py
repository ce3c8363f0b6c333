"""The report of ``tensorlite selftest``: a text to read, and the same as JSON."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import tensorlite as tl
from tensorlite import io
from tensorlite.backend import Device
from tensorlite.cli.checking import Result
from tensorlite.cli.checks import NOT_CHECKED

DRIVER = Path("/proc/driver/nvidia/version")


class Findings:
    """What was found, shown line by line as it comes, and kept."""

    def __init__(self, device: Device, kernels: Sequence[str]) -> None:
        self.device = device
        self.results: list[Result] = []
        self.facts: dict[str, Any] = {}
        self._kernels = sorted(kernels)
        self._lines: list[str] = []

    def say(self, line: str = "") -> None:
        """Show a line."""
        self._lines.append(line)
        print(line, flush=True)

    def show(self, name: str, results: Sequence[Result]) -> None:
        """Keep a check's results, one for each dtype, and show them in a line."""
        self.results += results
        cells = [f"{r.error:.1e}" if not r.problem else "WRONG" for r in results]
        cells = ["no memory" if r.no_memory else c for r, c in zip(results, cells, strict=True)]
        line = f"{name:44}" + "".join(f"{cell:>10}" for cell in cells)
        self.say(line + "".join(f"   {r.dtype} {r.rate}" for r in results if r.rate))

    @property
    def wrong(self) -> list[Result]:
        """Results that are wrong, the first one first."""
        return [r for r in self.results if r.problem and not r.no_memory]

    @property
    def without_memory(self) -> list[Result]:
        """Checks that did not run for want of memory."""
        return [r for r in self.results if r.no_memory]

    @property
    def not_asked_for(self) -> list[str]:
        """Kernels that no check launched."""
        seen = set().union(*(r.kernels for r in self.results))
        return [name for name in self._kernels if name not in seen]

    def kernels(self) -> dict[str, dict[str, Any]]:
        """Each kernel's largest error, by dtype, among the checks that launched it."""
        told: dict[str, dict[str, Any]] = {}
        for name in self._kernels:
            mine = [r for r in self.results if name in r.kernels]
            worst: dict[str, float] = {}
            for r in mine:
                worst[r.dtype] = max(worst.get(r.dtype, 0.0), r.error)
            wrong = [r.said for r in mine if r.problem and not r.no_memory]
            told[name] = {
                "checks": sorted({r.name for r in mine}),
                "largest_error": {dtype: _number(error) for dtype, error in worst.items()},
                "in_wrong_checks": wrong,
            }
            if not mine:
                told[name]["not_run"] = NOT_CHECKED.get(name, "no check launched it")
        return told

    def write(self, folder: Path) -> None:
        """Write both files."""
        text = "\n".join([*self._lines, "", *self._table()]) + "\n"
        data = json.dumps(self._told(), indent=1, ensure_ascii=False) + "\n"
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in (("report.txt", text), ("report.json", data)):
            io.write_atomically(folder / name, partial(_keep, content))

    def _table(self) -> list[str]:
        """A line for each kernel."""
        if not self._kernels:
            return []
        lines = ["Largest error of each kernel, in the checks that launched it:"]
        for name, found in self.kernels().items():
            said = found.get("not_run") or "  ".join(
                f"{dtype} {'not finite' if error is None else f'{error:.1e}'}"
                for dtype, error in found["largest_error"].items()
            )
            lines.append(f"{name:32}{'WRONG  ' if found['in_wrong_checks'] else ''}{said}")
        return lines

    def _told(self) -> dict[str, Any]:
        wrong = self.wrong
        return {
            **self.facts,
            "first_wrong": wrong[0].said if wrong else None,
            "wrong": [r.said for r in wrong],
            "without_memory": [r.said for r in self.without_memory],
            "checks": [
                {
                    "check": r.name,
                    "dtype": r.dtype,
                    "error": _number(r.error),
                    "tolerance": r.tolerance,
                    "problem": r.problem or None,
                    "kernels": sorted(r.kernels),
                    "rate": r.rate and {**r.rate._asdict(), "per_second": r.rate.per_second},
                }
                for r in self.results
            ],
            "kernels": self.kernels(),
        }


def _keep(content: str, path: str) -> None:
    Path(path).write_text(content)


def _number(x: float) -> float | None:
    """As JSON has it, which knows no infinity."""
    return x if math.isfinite(x) else None


def of_device(device: Device) -> dict[str, Any]:
    """What the driver says of a GPU, and the libraries in use."""
    if device.type != "cuda":
        return {"name": "cpu"}
    import cupy

    properties = cupy.cuda.runtime.getDeviceProperties(device.index)
    free, total = tl.cuda.mem_get_info(device)
    return {
        "name": properties["name"].decode(),
        "compute_capability": f"{properties['major']}.{properties['minor']}",
        "multiprocessors": properties["multiProcessorCount"],
        "memory": total,
        "memory_free": free,
        "driver": DRIVER.read_text().splitlines()[0] if DRIVER.exists() else None,
        "cuda_of_driver": cupy.cuda.runtime.driverGetVersion(),
        "cuda_runtime": cupy.cuda.runtime.runtimeGetVersion(),
        "nvrtc": ".".join(map(str, cupy.cuda.nvrtc.getVersion())),
        "cupy": cupy.__version__,
    }
