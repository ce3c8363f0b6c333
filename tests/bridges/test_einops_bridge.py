"""einops' own tests, run on Tensors."""

from __future__ import annotations

import importlib
import inspect
import os

import pytest

import tensorlite as tl

pytest.importorskip("einops", reason="einops is not installed")
from tensorlite.einops import TensorliteBackend

# Its tests read it as they are imported.
os.environ.setdefault("EINOPS_TEST_BACKENDS", "tensorlite")


def own_tests() -> list:
    """einops' tests of frameworks that compute at once."""
    found = []
    for name in ("ops", "layers", "einsum", "other", "packing"):
        module = importlib.import_module(f"einops.tests.test_{name}")
        for test, function in vars(module).items():
            if not test.startswith("test_") or inspect.getmodule(function) is not module:
                continue
            source = inspect.getsource(function)
            if "collect_test_backends(" in source and "symbolic=True" not in source:
                found.append(pytest.param(module, function, id=f"{name}-{test}"))
    return found


def ours(symbolic: bool = False, layers: bool = False) -> list:
    """What einops' tests are to run on."""
    return [] if symbolic else [TensorliteBackend()]


@pytest.mark.filterwarnings("ignore:overflow encountered:RuntimeWarning")  # of its own numbers
@pytest.mark.parametrize(("module", "function"), own_tests())
def test_einops_own(module, function, monkeypatch):
    monkeypatch.setattr(module, "collect_test_backends", ours)
    function()


def test_a_gradient_flows():
    import einops

    x = tl.randn(2, 3, 4, requires_grad=True)
    y = einops.reduce(x, "b t c -> b c", "mean")
    (y * y).sum().backward()
    wanted = (2 * y / 3).detach()
    assert tl.allclose(x.grad, einops.repeat(wanted, "b c -> b t c", t=3))
