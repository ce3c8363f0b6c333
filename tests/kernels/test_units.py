"""Families that are compiled when something asks for them."""

from __future__ import annotations

import numpy as np
import pytest
from test_compiler import TINY, _use, tree  # noqa: F401 (a fixture)

from tensorlite.backend.kernels import build, prebuilt
from tensorlite.backend.kernels.unavailable import NotCompiled
from tensorlite.ops.softmax import softmax_along

LATER = TINY.replace("double_it", "triple_it").replace("2 * x", "3 * x")
ASK = """
import numpy as np
from tensorlite.backend.kernels.library import library
k = library("cpu")
x = np.arange(5.0); y = k.empty(5, x.dtype); k.double_it(x, y, 5); assert y[4] == 8
print("first")
for _ in range(2):
    k.triple_it(x, y, 5); assert y[4] == 12
print("then")
"""


@pytest.fixture
def later(tree):  # noqa: F811
    """A tree with one family in the extension, and one that is a unit."""
    (tree / "kernels" / "scan.cu").write_text(LATER)
    return tree


def files(tree):  # noqa: F811
    folder = tree / "cache/tensorlite/kernels"
    return sorted(path.name.partition("-")[0] for path in folder.glob("*-*"))


def test_every_unit_has_what_the_extension_says_of_it(host_kernels):
    if prebuilt.find() is not None:
        assert host_kernels.elsewhere == ""
        return
    unit_of = dict(pair.split("=") for pair in host_kernels.elsewhere.split())
    assert {*unit_of.values()} | {build.MODULE} == {*build.units()}
    for name in unit_of:
        assert getattr(host_kernels, name).__name__ == name
    assert not hasattr(host_kernels, "no_such_kernel")


def test_a_unit_is_compiled_when_it_is_asked_for(later):
    code, out, err = _use(later, USE_FIRST)
    assert code == 0, err
    assert files(later) == [build.MODULE]
    code, out, err = _use(later, ASK)
    assert (code, out) == (0, "first\nthen\n"), err
    assert err.count("compiling") == 1 and "(scan)" in err
    assert files(later) == ["scan", build.MODULE]
    assert _use(later, ASK) == (0, out, "")
    (damaged,) = (later / "cache/tensorlite/kernels").glob("scan-*")
    damaged.write_bytes(damaged.read_bytes()[:-40])
    assert _use(later, ASK)[2].count("compiled in") == 1


USE_FIRST = ASK.partition("for _")[0]
FALLS_BACK = """
import numpy as np
from tensorlite.backend.kernels.library import library
from tensorlite.backend.kernels.unavailable import KernelsUnavailable
k = library("cpu")
for _ in range(2):
    try:
        k.triple_it
    except KernelsUnavailable as error:
        print("missing:", isinstance(error, AttributeError))
"""


def test_a_unit_that_does_not_compile_leaves_the_rest(later):
    (later / "kernels" / "scan.cu").write_text(LATER.replace("3 * x", "3 * z"))
    code, out, err = _use(later, FALLS_BACK)
    assert (code, out) == (0, "missing: True\n" * 2), err
    assert err.count("compiled kernels of scan are off") == 1 and "scan.cu" in err
    assert files(later) == ["scan", build.MODULE]  # that it failed, too
    assert "tensorlite warmup tries again" in _use(later, FALLS_BACK)[2]
    code, out, err = _use(later, FALLS_BACK, TENSORLITE_KERNELS="compiled")
    assert (code, out) == (0, "missing: False\n" * 2), err


def test_a_primitive_runs_its_reference_where_its_unit_is_missing(monkeypatch):
    """As when the compiler fails."""

    def missing(*args, **kwargs):
        raise NotCompiled("no")

    softmax = softmax_along.primitive
    monkeypatch.setattr(softmax, "kernel_fn", missing)
    x = np.float32([[0, 1], [2, 2]])
    y, _ = softmax.forward((x,), {"axis": -1})
    np.testing.assert_allclose(y, np.exp(x) / np.exp(x).sum(-1, keepdims=True), rtol=1e-6)
