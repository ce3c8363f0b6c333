"""What CONTRIBUTING says of adding a thing: it is done here as it stands there, and counted."""

import importlib
import re
import sys
import types

import numpy as np
import pytest
import samples
from contributing import CONTRIBUTING, ROOT, blocks
from ops import test_primitives as checks

import tensorlite as tl
from tensorlite.data import registry
from tensorlite.primitive import PRIMITIVES

TEXT = CONTRIBUTING.read_text()
COUNTS = re.compile(r": (\d+) lines (?:in|more,) (\d+) files?")
COUNTED = {
    "An operation: ": (12, 2),
    "Its kernel ": (10, 1),
    "An operation along rows": (40, 3),
    "An optimizer": (40, 3),
    "A layer": (30, 2),
    "A data set": (25, 2),
}


@pytest.mark.parametrize("start", COUNTED)
def test_lines_and_files(start):
    most_lines, most_files = COUNTED[start]
    (title,) = re.findall(rf"^### ({start}.*)$", TEXT, re.M)
    assert COUNTS.search(title).groups() == (str(most_lines), str(most_files))
    found = blocks(start)
    if start == "Its kernel ":  # to an operation, whose file is there already
        others = {file for file, _ in blocks("An operation: ")}
        assert len({file for file, _ in found} - others) <= most_files
    else:
        assert len({file for file, _ in found}) <= most_files
    assert sum(bool(line.strip()) for _, code in found for line in code.splitlines()) <= most_lines


@pytest.fixture
def add(monkeypatch):
    """Does what a section says: returns the names that each of its Python files has then."""
    before, entries = dict(PRIMITIVES), dict(registry.REGISTRY)

    def do(*starts):
        names, stands_in = {}, {}
        for file, code in [block for start in starts for block in blocks(start)]:
            if not file.endswith(".py"):
                continue
            module = file.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
            module = module.removeprefix("tests.")
            if file not in names:
                made = types.ModuleType(module)
                if (ROOT / file).exists():
                    real = importlib.import_module(module)
                    stands_in[id(real)] = made
                    vars(made).update({k: stands_in.get(id(v), v) for k, v in vars(real).items()})
                if "SAMPLES" in vars(made):
                    made.SAMPLES = []
                parent, _, own = module.rpartition(".")
                monkeypatch.setattr(importlib.import_module(parent), own, made, raising=False)
                monkeypatch.setitem(sys.modules, module, made)
                names[file] = vars(made)
            # The library here has none of the kernels: test_compiler.py compiles and compares them.
            code = re.sub(r"^\w+\.kernel\(.*\)\n", "", code, flags=re.MULTILINE)
            exec(compile(code, file, "exec"), names[file])
        return names

    yield do
    PRIMITIVES.clear()
    PRIMITIVES.update(before)
    registry.REGISTRY.clear()
    registry.REGISTRY.update(entries)


@pytest.mark.parametrize("start", ["An operation: ", "An operation along rows"])
def test_an_operation(start, add, device, backend):
    names = add(start)
    (found,) = [content["SAMPLES"] for file, content in names.items() if "samples" in file]
    assert len(found) == 1
    tests = [value for name, value in vars(checks).items() if name.startswith("test_")]
    ran = 0
    for test in tests:
        wanted = test.__code__.co_varnames[: test.__code__.co_argcount]
        if wanted == ("samples", "device", "backend"):
            test(found, device, backend)
            ran += 1
    assert ran >= 9
    assert found[0] not in samples.SAMPLES


def test_an_optimizer(add, device, backend):
    names = add("An optimizer")
    made = names["tensorlite/optim/__init__.py"]["Signum"]
    x = np.array([1.0, -2.0, 0.5])
    p = tl.tensor(x, dtype=tl.float64, device=device, requires_grad=True)
    optimizer, m = made([p], lr=0.1, beta=0.5), 0
    for _ in range(3):
        optimizer.zero_grad()
        (p * p * p).sum().backward()
        m = 0.5 * m + 0.5 * 3 * x * x
        x = x - 0.1 * np.sign(m)
        optimizer.step()
    np.testing.assert_allclose(p.detach().cpu().numpy(), x, rtol=1e-14)
    state = optimizer.state_dict()
    other = made([p], lr=0.1, beta=0.5)
    other.load_state_dict(state)
    np.testing.assert_allclose(other.state[p]["exp_avg"].cpu().numpy(), m, rtol=1e-14)


def test_a_layer(add, device):
    names = add("A layer")
    layer = names["tensorlite/nn/__init__.py"]["ChannelScale"](3).to(device)
    x = tl.arange(24, dtype=tl.float32, device=device).reshape(2, 3, 4)
    y = tl.nn.Sequential(layer)(x)
    assert (y == x).all().item()
    y.sum().backward()
    np.testing.assert_array_equal(layer.weight.grad.cpu().numpy(), x.cpu().numpy().sum((0, 2)))
    assert repr(layer) == "ChannelScale(3)  # 3 parameters"
    assert list(layer.state_dict()) == ["weight"]


def test_a_data_set(add):
    add("A data set")
    splits = tl.data.load("circles")
    assert "circles" in tl.data.names()
    assert splits.train.features.shape == (800, 2)
    assert splits.test.targets.shape == (200,)
    length = np.linalg.norm(splits.train.features, axis=1)
    assert ((length > 1.5) == splits.train.targets).mean() > 0.99
