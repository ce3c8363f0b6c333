"""``tensorlite bench`` and ``warmup``: what they print and write; no test asserts a time."""

from __future__ import annotations

import json
from importlib.util import find_spec
from types import SimpleNamespace

import numpy as np
import pytest
from commands import ROOT

from tensorlite.bench import comparison, frameworks, worker
from tensorlite.bench.comparison import Disagreement, Worker, check_agreement
from tensorlite.bench.limits import Limits
from tensorlite.bench.ops import OPS
from tensorlite.bench.report import ops_table, points_of
from tensorlite.bench.roofline import Point


@pytest.fixture(autouse=True)
def workers_find_the_package(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(ROOT))


def test_steps_are_measured_and_written(tl, folder):
    status, out, _ = tl("bench", "steps", "mlp", "adam148", "--rounds", "2", "--out", "here")
    assert status == 0
    assert "mlp " in out and "adam148 " in out and "MB" in out
    numbers = json.loads((folder / "here" / "bench.json").read_text())
    times = numbers["results"]["mlp"]["tensorlite"]
    low, high = times["step"]["quartiles"]
    assert 0 < low <= times["step"]["median"] <= high
    assert times["peak_bytes"] > 1 << 20
    assert (numbers["rounds"], numbers["failures"]) == (2, [])


def test_operations_are_set_against_the_limits(tl, folder):
    status, out, _ = tl("bench", "ops", "chain", "attention", "--rounds", "1")
    assert status == 0
    assert "limits measured now" in out and "backward" in out
    numbers = json.loads((folder / "runs" / "bench-ops" / "bench.json").read_text())
    assert min(numbers["limits"].values()) > 1e6
    assert {"forward", "backward", "both"} < set(numbers["results"]["chain"]["tensorlite"])
    picture = folder / "runs" / "bench-ops" / "roofline.png"
    if find_spec("matplotlib") is None:
        assert "matplotlib is not installed" in out
    else:
        assert picture.read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("peer", frameworks.PEERS)
@pytest.mark.parametrize(("kind", "name"), [("steps", "mlp"), ("ops", "attention")])
def test_a_peer_does_the_same_work(tl, peer, kind, name):
    if find_spec(peer) is None:
        pytest.skip(f"a live comparison with {peer}")
    status, out, _ = tl("bench", kind, name, "--compare", peer, "--rounds", "1")
    assert status == 0 and f"{peer} ms" in out and "ratio" in out


def test_the_part_of_the_limit_is_that_of_the_nearer_one():
    limits = Limits(bandwidth=10.0, flops=100.0)
    assert Point("", flops=100, moved=10, seconds=2.0).part_of(limits) == 0.5
    assert Point("", flops=100, moved=40, seconds=5.0).part_of(limits) == 0.8


def test_a_pass_whose_work_the_other_does_has_no_rates():
    spread = {"quartiles": [0.0, 0.0]}
    medians = {"forward": 1.0, "backward": -1e-9, "both": 1.0}
    times = {phase: {"median": m, **spread} for phase, m in medians.items()}
    results = {"cross-entropy": {"tensorlite": times}}
    assert [point.label for point in points_of(results, 4)] == ["cross-entropy forward"]
    table = ops_table(results, [], Limits(bandwidth=1e9, flops=1e9), 4).splitlines()
    assert "%" in table[2] and table[2].startswith("cross-entropy forward")
    assert "%" not in table[3] and table[3].startswith("cross-entropy backward")


def test_a_missing_peer_is_named_with_what_to_install(tl, monkeypatch):
    monkeypatch.setattr(frameworks, "find_spec", lambda name: None)
    status, _, err = tl("bench", "steps", "mlp", "--compare", "jax")
    assert status == 1 and "pip install jax" in err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["steps", "mpl"], "did you mean 'mlp'"),
        (["ops", "layernorm"], "did you mean 'layer-norm'"),
        (["steps", "mlp", "--compare", "torhc"], "did you mean 'torch'"),
    ],
)
def test_mistyped_names_get_a_suggestion(tl, arguments, said):
    status, _, err = tl("bench", *arguments)
    assert status == 2 and said in err


def _worker(framework, **results):
    return SimpleNamespace(name="mlp", framework=framework, results=results)


def test_different_results_are_not_timed():
    ours = _worker("tensorlite", loss=[2.0, 1.5], gradient=[1e-9, 7.0])
    near = _worker("torch", loss=[2.0001, 1.5], gradient=[0.0, 7.0])  # nothing beside 7
    check_agreement(ours, near, 1e-3)
    with pytest.raises(Disagreement, match=r"mlp: loss is 2 in tensorlite and 2\.0001 in torch"):
        check_agreement(ours, near, 1e-5)
    for wrong in (7.1, -7.0, float("nan"), float("inf")):
        with pytest.raises(Disagreement, match="mlp: gradient is 7 in tensorlite and"):
            check_agreement(ours, _worker("jax", loss=[2.0, 1.5], gradient=[0.0, wrong]), 1e-3)


def test_outputs_and_all_gradients_are_compared():
    phases, to_numpy = worker.build("tensorlite", "ops", "attention", "cpu", "float32", 1)
    found = worker.results("ops", "attention", phases, to_numpy)
    assert list(found) == ["output", "gradient 1", "gradient 2", "gradient 3"]
    assert all(len(set(sample)) > 10 for sample in found.values())


def test_of_random_results_means_are_compared():
    assert [name for name, operation in OPS.items() if operation.random] == ["dropout"]
    ones = {"both": lambda: [np.full(100, -2.0)]}
    assert worker.results("ops", "dropout", ones, lambda x: x) == {"output": [2.0]}


def test_a_process_that_fails_says_why():
    with pytest.raises(RuntimeError, match="tensorlite could not run nothing: KeyError"):
        Worker("tensorlite", "steps", "nothing", "cpu", "float32")


def test_a_workload_that_fails_does_not_stop_the_others(tl, folder, monkeypatch):
    honest = comparison.compare

    def compare(kind, name, *rest):
        if name == "mlp":
            raise RuntimeError("torch could not run mlp: it tripped")
        return honest(kind, name, *rest)

    monkeypatch.setattr(comparison, "compare", compare)
    status, out, err = tl("bench", "steps", "mlp", "adam148", "--rounds", "1")
    assert status == 1 and "adam148 " in out and "torch could not run mlp: it tripped" in err
    numbers = json.loads((folder / "runs" / "bench-steps" / "bench.json").read_text())
    assert list(numbers["results"]) == ["adam148"] and len(numbers["failures"]) == 1


def test_workers_do_not_see_what_slows_numpy(monkeypatch):
    monkeypatch.setenv("OPENBLAS_CORETYPE", "Haswell")
    monkeypatch.setenv("OPENBLAS_L2_SIZE", "1024")
    seen = comparison._environment("2")
    assert not {"OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE"} & set(seen)
    assert seen["OPENBLAS_NUM_THREADS"] == "2"


def test_warmup_knows_that_the_cpu_has_one_file_for_all_dtypes(tl):
    status, _, err = tl("warmup", "--dtype", "float32")
    assert status == 2 and "--dtype" in err


def test_a_report_of_all_that_was_measured(tl, folder, monkeypatch):
    monkeypatch.setattr("tensorlite.cli.bench_report.STEPS", ["mlp"])
    monkeypatch.setattr("tensorlite.cli.bench_report.OPS", ["chain"])
    status, out, err = tl("bench", "--report", "--rounds", "1", "--out", "here")
    assert status == 0, err
    text = (folder / "here" / "report.md").read_text()
    assert text in out
    assert "## Training steps" in text and "## Operations" in text
    rows = [line.count("|") for line in text.splitlines() if line.startswith("|")]
    assert set(rows) == {5, 7}  # steps and operations: as many cells in every line
    page = (folder / "here" / "report.html").read_text()
    assert "<h2>Machine</h2>" in page and "http" not in page
    assert ("data:image/png;base64," in page) is (find_spec("matplotlib") is not None)
    numbers = json.loads((folder / "here" / "bench.json").read_text())
    assert numbers["steps"].keys() == {"mlp"} and numbers["ops"].keys() == {"chain"}
    assert numbers["machine"]["threads"] and numbers["failures"] == []
