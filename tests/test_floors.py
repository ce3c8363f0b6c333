"""The floors of the package: imports run one way, wherever in a file they stand."""

from __future__ import annotations

import ast
import re
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parent.parent / "tensorlite"
FILES = {
    ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__"): path
    for path in sorted(PACKAGE.rglob("*.py"))
}
# The lowest first. A room imports from its own floor and from those below.
FLOORS = (
    ("wording", "suggest", "unknown", "decorate", "return_types"),
    ("backend",),
    (
        "tape",
        "tensor",
        "printing",
        "notebook",
        "outside",
        "short_copies",
        "views",
        "writes",
        "written",
    ),
    ("arrivals", "backward", "gradients", "plan", "call", "primitive"),
    ("ops", "random", "fft", "linalg", "special", "signal"),
    ("autograd", "differentiate", "func", "recompute", "debug", "testing", "recording", "ranks"),
    ("profiler",),
    ("cuda", "accelerator", "backends", "amp", "nn", "optim", "io", "data", "utils"),
    ("distributions", "einops", "array_api", "array_api_linalg"),
    ("distributed", "training", "onnx"),
    ("sklearn",),
    ("bench",),
    ("cli", "__main__"),
)


def imports_of(module: str) -> set[str]:
    """The modules of the package that a file imports, those for type checkers alone left out."""
    path = FILES[module]
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    found = set()
    for node in _statements(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {a.name for a in node.names}
        elif isinstance(node, ast.ImportFrom):
            up = package.split(".")[: len(package.split(".")) - node.level + 1]
            base = ".".join([*up, node.module or ""]).strip(".") if node.level else node.module
            found |= {name if (name := f"{base}.{a.name}") in FILES else base for a in node.names}
    return {name for name in found if name in FILES} - {module}


def _statements(node: ast.AST):
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.dump(child.test):
            continue
        yield child
        yield from _statements(child)


def floor_of(module: str) -> int:
    """The number of a module's floor: that of the longest name that it begins with."""
    inside = module.removeprefix("tensorlite.")
    fits = [
        (len(room), floor)
        for floor, rooms in enumerate(FLOORS)
        for room in rooms
        if inside == room or inside.startswith(f"{room}.")
    ]
    assert fits, f"{module} is on no floor: put its room into FLOORS"
    return max(fits)[1]


def test_there_are_no_circles():
    try:
        TopologicalSorter({module: imports_of(module) for module in FILES}).prepare()
    except CycleError as circle:
        pytest.fail(" -> ".join(circle.args[1]))


@pytest.mark.parametrize("module", [m for m in FILES if m not in ("tensorlite",)])
def test_imports_run_down(module):
    here = floor_of(module)
    up = [i for i in imports_of(module) if i != "tensorlite" and floor_of(i) > here]
    assert not up, f"{module} imports from above: {', '.join(sorted(up))}"


def test_a_circle_would_be_seen():
    with pytest.raises(CycleError):
        TopologicalSorter({"a": {"b"}, "b": {"a"}}).prepare()
    assert "tensorlite.backend.cupy" in imports_of("tensorlite.backend")  # inside a function


def test_what_mypy_is_told_to_ignore_has_a_reason():
    for file in sorted(PACKAGE.rglob("*.py")):
        for number, line in enumerate(file.read_text().splitlines(), 1):
            if "type: ignore" in line:
                assert re.search(r"type: ignore\[[\w, -]+\]  # \S", line), f"{file}:{number}"
