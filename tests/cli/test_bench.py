"""``tensorlite bench`` and ``warmup``: what they print and write; no test asserts a time."""

from __future__ import annotations

import json
from importlib.util import find_spec
from types import SimpleNamespace

import pytest

from tensorlite.bench import frameworks
from tensorlite.bench.comparison import Disagreement, Worker, _check_agreement
from tensorlite.bench.limits import Limits
from tensorlite.bench.roofline import Point


def test_steps_are_measured_and_written(tl, folder):
    status, out, _ = tl("bench", "steps", "mlp", "adam148", "--rounds", "2", "--out", "here")
    assert status == 0
    assert "mlp " in out and "adam148 " in out and "MB" in out
    numbers = json.loads((folder / "here" / "bench.json").read_text())
    times = numbers["results"]["mlp"]["tensorlite"]
    low, high = times["step"]["quartiles"]
    assert 0 < low <= times["step"]["median"] <= high
    assert times["peak_bytes"] > 1 << 20


def test_operations_are_set_against_the_limits(tl, folder):
    status, out, _ = tl("bench", "ops", "chain", "attention", "--rounds", "1")
    assert status == 0
    assert "limits measured now" in out and "backward" in out
    numbers = json.loads((folder / "runs" / "bench-ops" / "bench.json").read_text())
    assert min(numbers["limits"].values()) > 1e6
    picture = folder / "runs" / "bench-ops" / "roofline.png"
    if find_spec("matplotlib") is None:
        assert "matplotlib is not installed" in out
    else:
        assert picture.read_bytes().startswith(b"\x89PNG")


@pytest.mark.skipif(find_spec("torch") is None, reason="a live comparison with torch")
def test_a_peer_does_the_same_work(tl):
    status, out, _ = tl("bench", "steps", "mlp", "--compare", "torch", "--rounds", "1")
    assert status == 0 and "torch ms" in out


def test_the_part_of_the_limit_is_that_of_the_nearer_one():
    limits = Limits(bandwidth=10.0, flops=100.0)
    assert Point("", flops=100, moved=10, seconds=2.0).part_of(limits) == 0.5
    assert Point("", flops=100, moved=40, seconds=5.0).part_of(limits) == 0.8


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
    assert status == 1 and said in err


def test_different_results_are_not_timed():
    ours = SimpleNamespace(name="mlp", framework="tensorlite", values=[2.0, 1.5])
    peer = SimpleNamespace(name="mlp", framework="torch", values=[2.0001, 1.4])
    _check_agreement([ours, ours], 1e-3)
    with pytest.raises(Disagreement, match=r"mlp: call 1 gives 1\.5 in tensorlite and 1\.4 in"):
        _check_agreement([ours, peer], 1e-3)
    with pytest.raises(Disagreement):
        _check_agreement([ours, SimpleNamespace(framework="jax", values=[float("nan")] * 2)], 1)


def test_a_process_that_fails_says_why():
    with pytest.raises(RuntimeError, match="tensorlite could not run nothing: KeyError"):
        Worker("tensorlite", "steps", "nothing", "cpu", "float32")


def test_warmup_compiles_and_says_so(tl, request):
    status, out, err = tl("warmup")
    if request.config.getoption("--kernels") == "reference":
        assert status == 1 and "no kernels can be compiled" in err
    else:
        assert status == 0 and "ready after" in out
