"""What the checks of ``tensorlite selftest`` come to in float64, by NumPy alone.

A process of its own computes it, with all kernels switched off, while the device's are compiled.
"""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

import tensorlite as tl
from tensorlite.backend import Device
from tensorlite.cli.checks import CHECKS, Check

_RUN = "import sys; from tensorlite.cli.references import write; write(*sys.argv[1:])"


class References:
    """The process, and what it found; ``with References(...) as references:``."""

    def __init__(self, checks: Sequence[Check], dtypes: Sequence[str]) -> None:
        self._mine = {c.name for c in checks} & {c.name for c in CHECKS}
        self._dtypes = dtypes
        self._found: dict[tuple[str, str], Any] | None = None

    def __enter__(self) -> References:
        self._folder = tempfile.TemporaryDirectory()
        self._file = Path(self._folder.name) / "references"
        self._process = subprocess.Popen(
            [sys.executable, "-c", _RUN, str(self._file), ",".join(self._dtypes)],
            env={**os.environ, "TENSORLITE_KERNELS": "reference"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        return self

    def __exit__(
        self, kind: type | None, value: BaseException | None, at: TracebackType | None
    ) -> None:
        if self._found is None:  # nobody has waited for it
            self._process.kill()
            self._process.communicate()
        self._folder.cleanup()

    def of(self, check: Check, dtype: str) -> list[np.ndarray]:
        """The result and the gradients of a check, with operands as the dtype holds them."""
        if check.name not in self._mine:  # one that this process alone knows
            return expected(check, dtype)
        if self._found is None:
            said, _ = self._process.communicate()
            self._found = {}
            if self._process.returncode:
                last = said.strip().rpartition("\n")[2]
                raise RuntimeError(f"the process of the references ended early: {last}")
            self._found = pickle.loads(self._file.read_bytes())
        arrays: list[np.ndarray] = self._found[check.name, dtype]
        return arrays


def write(path: str, dtypes: str) -> None:
    """Compute all of them, and keep them in a file."""
    found = {(c.name, dtype): expected(c, dtype) for c in CHECKS for dtype in dtypes.split(",")}
    Path(path).write_bytes(pickle.dumps(found))


def expected(check: Check, dtype: str) -> list[np.ndarray]:
    """A check in float64 on the CPU."""
    given = {
        name: values
        if values.dtype.kind == "i"
        else tl.tensor(values, dtype=dtype).double().numpy()
        for name, values in check.draw(check.odd).items()
    }
    return outcome(check, given, dtype, Device("cpu"), wide=True)


def outcome(
    check: Check, given: dict[str, np.ndarray], dtype: str, device: Device, wide: bool = False
) -> list[np.ndarray]:
    """The result, and the gradient of each operand that has one; `wide`: in float64."""
    stored = "float64" if wide else dtype
    operands = [
        tl.tensor(values, device=device)
        if values.dtype.kind == "i"
        else tl.tensor(values, dtype=stored, device=device, requires_grad=True)
        for values in given.values()
    ]
    y = check.run(*operands)
    results = [y]
    if y.requires_grad:
        weights = np.cos(np.arange(y.array.size)).reshape(y.shape)
        gradient = tl.tensor(weights, dtype=dtype).to(device)
        y.backward(gradient.double() if wide else gradient)
        results += [x.grad for x in operands if x.grad is not None]
    return [r.detach().cpu().double().numpy() for r in results]
