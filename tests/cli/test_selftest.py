"""``tensorlite selftest``: what is right passes, what is wrong is named, and the report is kept."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import numpy as np
import pytest
from commands import ROOT

from tensorlite.backend.kernels.declarations import families
from tensorlite.cli import checking, rates, references, selftest
from tensorlite.cli.checks import CHECKS, NOT_CHECKED, Check

RELU = next(check for check in CHECKS if check.name == "relu")
QUICK = ("--dtype", "float32", "--no-rates", "--out", "out")


def _chosen(monkeypatch, *checks):
    monkeypatch.setattr(selftest, "CHECKS", list(checks))


def _report(folder):
    def refuse(constant):
        raise ValueError(f"{constant} is no JSON")

    text = (folder / "out" / "report.json").read_text()
    return json.loads(text, parse_constant=refuse)


def test_everything_is_right_here(tl, device, folder):
    status, out, _ = tl("selftest", "--device", str(device), *QUICK)
    assert status == 0, out
    assert "nothing wrong" in out
    assert all(check.name in out for check in CHECKS)
    assert (folder / "out" / "report.txt").read_text().startswith(out.split("report.txt")[0])
    report = _report(folder)
    assert report["first_wrong"] is None
    assert {c["check"] for c in report["checks"]} >= {check.name for check in CHECKS}
    # Operands and gradients are not all 0, and NumPy rounds otherwise than kernels do.
    assert 0 < max(c["error"] for c in report["checks"]) < 1e-2
    if device.type == "cuda" and report["kernels"]:
        softmax = report["kernels"]["softmax"]
        assert 0 < softmax["largest_error"]["float32"] < 2e-5
        assert {"softmax", "softmax of long rows"} <= set(softmax["checks"])


def test_every_kernel_is_launched(device, folder):
    """A kernel that no check launches is entered in NOT_CHECKED, with the reason.

    Where it can, the emulator launches without computing: results are wrong then, and quick.
    """
    every = {k.name for group in families("cuda").values() for k in group}
    assert set(NOT_CHECKED) <= every
    if device.type != "cuda":
        pytest.skip("CUDA's kernels are launched with --device cuda")
    env = {**os.environ, "PYTHONPATH": str(ROOT), "CUDA_EMULATOR_DRYRUN": "1"}
    command = [sys.executable, "-m", "tensorlite", "selftest", "--device", str(device)]
    ran = subprocess.run(
        [*command, "--no-rates", "--out", "out"], env=env, capture_output=True, text=True
    )
    assert "report.json" in ran.stdout, ran.stdout + ran.stderr
    kernels = _report(folder)["kernels"]
    if not kernels:
        pytest.skip("no compiled kernels in this run")
    assert set(kernels) == every
    missing = {name for name, found in kernels.items() if "not_run" in found}
    assert missing == set(NOT_CHECKED)


@pytest.mark.parametrize(
    "run",
    [
        lambda x: x * (1.001 if x.dtype == np.float32 else 1.0),
        lambda x: x / (0.0 if x.dtype == np.float32 else 1.0),
        lambda x: x[1:] if x.dtype == np.float32 else x,
        lambda x: x + "no number" if x.dtype == np.float32 else x,
    ],
)
def test_what_is_wrong_is_named(tl, device, monkeypatch, folder, run):
    _chosen(monkeypatch, RELU, Check("broken", run, {"x": (3, 5)}))
    status, out, _ = tl("selftest", "--device", str(device), *QUICK)
    assert status == 1
    assert "problem: broken (float32): " in out
    assert "1 wrong" in out
    assert "problem: relu" not in out
    assert _report(folder)["first_wrong"].startswith("broken (float32): ")


def test_rates_are_measured(tl, device, monkeypatch, folder):
    named = {"relu": {"x": (64, 65)}, "matrix product": {"x": (64, 64), "y": (64, 64)}}
    found = [
        Check(check.name, check.run, check.odd, named[check.name], work=check.work)
        for check in CHECKS
        if check.name in named
    ]
    _chosen(monkeypatch, *found)
    monkeypatch.setattr(rates.limits, "measure", lambda *_: rates.limits.Limits(1e12, 1e13))
    status, out, _ = tl(
        *("selftest", "--device", str(device), "--dtype", "float32", "--out", "out")
    )
    assert status == 0
    assert " GB/s, " in out and "FLOP/s, " in out and " %" in out
    rate = _report(folder)["checks"][0]["rate"]
    assert rate["amount"] == 64 * (65 if device.type == "cuda" else 65 / 16) * 4 * 5
    assert rate["per_second"] == pytest.approx(rate["amount"] / rate["seconds"])


def test_ctrl_c_leaves_the_report(tl, monkeypatch, folder):
    def interrupted(x):
        raise KeyboardInterrupt

    _chosen(monkeypatch, RELU, Check("interrupted", interrupted, {"x": (3, 5)}))
    status, out, err = tl("selftest", *QUICK)
    assert status == 130
    assert "ended early: interrupted after 1 checks" in out
    assert err.strip() == "interrupted"
    assert _report(folder)["ended_early"] == "interrupted after 1 checks"


def test_no_memory_is_not_wrong(tl, monkeypatch, folder):
    def exhausted(x):
        raise MemoryError("no room for 8 bytes")

    _chosen(monkeypatch, Check("large", exhausted, {"x": (3, 5)}), RELU)
    status, out, _ = tl("selftest", *QUICK)
    assert status == 1
    assert "nothing wrong" in out
    assert "1 checks did not run for want of memory" in out and "no room for 8 bytes" in out


def test_a_lost_device_ends_it(tl, monkeypatch, folder):
    """After a fault in a kernel nothing of the process runs on that GPU any more."""

    def faulty(x):
        raise RuntimeError("an illegal memory access was encountered")

    _chosen(monkeypatch, RELU, Check("faulty", faulty, {"x": (3, 5)}), RELU)
    monkeypatch.setattr(selftest, "_lost", lambda device: "cudaErrorIllegalAddress")
    status, out, _ = tl("selftest", *QUICK)
    assert status == 1
    assert "ended early: cpu answers no more after faulty (float32): cudaErrorIll" in out
    assert _report(folder)["first_wrong"].startswith("faulty (float32): RuntimeError: an illegal")


def test_a_report_that_cannot_be_written(tl, monkeypatch, folder):
    _chosen(monkeypatch, RELU)
    (folder / "out").write_text("a file")
    status, out, _ = tl("selftest", *QUICK)
    assert status == 0
    assert "the report could not be written to out: " in out


def test_references_that_end_early(monkeypatch):
    monkeypatch.setattr(references, "_RUN", "raise SystemExit('no NumPy here')")
    with references.References(CHECKS, ["float32"]) as found:
        result = checking.checked(RELU, "float32", selftest.tl.device("cpu"), found)
    assert (
        result.problem == "RuntimeError: the process of the references ended early: no NumPy here"
    )
