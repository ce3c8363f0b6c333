"""``tensorlite selftest``: what is right passes, what is wrong is named, and the report is kept."""

from __future__ import annotations

import numpy as np
import pytest

from tensorlite.cli import selftest
from tensorlite.cli.checks import CHECKS, Check


def _chosen(monkeypatch, *checks):
    monkeypatch.setattr(selftest, "CHECKS", list(checks))


def test_everything_is_right_here(tl, device, folder):
    status, out, _ = tl(
        *("selftest", "--device", str(device), "--dtype", "float32", "--no-rates"),
        *("--out", "report.txt"),
    )
    assert status == 0, out
    assert "nothing wrong" in out
    assert all(check.name in out for check in CHECKS)
    assert (folder / "report.txt").read_text() == out
    if device.type == "cuda" and "kernels:" in out:
        missing = out.split("not asked for: ")[1].split("\n")[0].split(", ")
        # Those for 16-bit floats alone, for TF32, and for what only larger sizes choose.
        assert len(missing) < 40
        assert not {"softmax", "layer_norm", "adam", "lstm_cell", "attention"} & set(missing)


@pytest.mark.parametrize(
    "run",
    [
        lambda x: x * (1.001 if x.dtype == np.float32 else 1.0),
        lambda x: x / (0.0 if x.dtype == np.float32 else 1.0),
        lambda x: x[1:] if x.dtype == np.float32 else x,
        lambda x: x + "no number" if x.dtype == np.float32 else x,
    ],
)
def test_what_is_wrong_is_named(tl, device, monkeypatch, run):
    right = next(check for check in CHECKS if check.name == "relu")
    _chosen(monkeypatch, right, Check("broken", run, {"x": (3, 5)}))
    status, out, _ = tl("selftest", "--device", str(device), "--dtype", "float32", "--no-rates")
    assert status == 1
    assert "problem: broken (float32): " in out
    assert "1 wrong" in out
    assert "problem: relu" not in out


def test_rates_are_measured(tl, device, monkeypatch):
    named = ("relu", "matrix product")
    shapes = ({"x": (64, 65)}, {"x": (64, 64), "y": (64, 64)})
    found = [
        Check(check.name, check.run, check.odd, large, work=check.work)
        for name, large in zip(named, shapes, strict=True)
        for check in CHECKS
        if check.name == name
    ]
    _chosen(monkeypatch, *found)
    status, out, _ = tl("selftest", "--device", str(device), "--dtype", "float32")
    assert status == 0
    assert " GB/s" in out and " TFLOP/s" in out
