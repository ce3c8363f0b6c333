"""The kernels that CONTRIBUTING adds compute on CUDA what their references do."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

from contributing import KERNELS_IN, ROOT, blocks

USE = """
import cupy as cp
import numpy as np
from tensorlite.backend.kernels.library import library

k = library("cuda")
for dtype in (np.float32, np.float64):
    x = np.linspace(-3, 3, 12, dtype=dtype).reshape(3, 4)
    on_device = cp.asarray(x)
    near = dict(rtol=1e-6, atol=0)
    y = k.new_squareplus(on_device).get()
    np.testing.assert_allclose(y, (x + np.sqrt(x * x + 4)) / 2, **near)
    length = np.sqrt((x * x).sum(-1, keepdims=True))
    np.testing.assert_allclose(k.new_unit_rows(on_device).get(), x / length, **near)
    p, m = cp.ones(12, dtype), cp.zeros(12, dtype)
    k.signum(p, on_device.ravel(), m, cp.array([0.5, 2.0, 0, 0.75]), 12)
    np.testing.assert_allclose(m.get(), x.ravel() / 2, **near)
    np.testing.assert_array_equal(p.get(), 1 - 0.5 * np.sign(x.ravel()))
print("as their references")
"""


def test_they_compute_what_their_references_do(tmp_path):
    for name in ("tensorlite", "kernels"):
        ignored = shutil.ignore_patterns("__pycache__", "*.cu")
        shutil.copytree(ROOT / name, tmp_path / name, ignore=ignored)
    kernels = [code for start in KERNELS_IN for file, code in blocks(start) if file.endswith(".cu")]
    text = "\n".join(['#include "tensorlite.h"', "namespace tl {", *kernels, "}  // namespace tl"])
    (tmp_path / "kernels" / "added.cu").write_text(text)
    # Without the CPU's kernels, which would take longer to compile than all the rest.
    environment = os.environ | {"PYTHONPATH": str(tmp_path), "CXX": "no-such-compiler"}
    environment["XDG_CACHE_HOME"] = str(tmp_path / "cache")
    result = subprocess.run(
        [sys.executable, "-c", USE], cwd=tmp_path, env=environment, text=True, capture_output=True
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout == "as their references\n"
