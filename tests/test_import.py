"""``import tensorlite``: what it loads, and that the rest comes when it is named."""

from __future__ import annotations

import importlib
import subprocess
import sys
from pathlib import Path

import tensorlite as tl
from tensorlite import ops


def test_import_loads_nothing_heavy() -> None:
    heavy = "cupy torch scipy matplotlib rich safetensors ml_dtypes concurrent.futures subprocess"
    code = f"import sys, tensorlite; print([m for m in {heavy.split()} if m in sys.modules])"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.stdout.strip() == "[]", result.stdout + result.stderr


def test_import_loads_only_what_most_programs_need() -> None:
    """Beside what NumPy loads. Each module of the standard library here costs every program."""
    code = (
        "import sys, numpy; before = set(sys.modules); import tensorlite; "
        "print(*sorted(set(sys.modules) - before))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    loaded = set(result.stdout.split())
    assert "tensorlite.ops.activation" in loaded, result.stderr
    own = {name for name in loaded if name.partition(".")[0] == "tensorlite"}
    needed = {"__future__", "_bisect", "_heapq", "bisect", "heapq", "threading"}
    assert loaded - own <= needed
    rooms = {f"tensorlite.{name}" for name in (*tl._MODULES, "recording", "recompute", "printing")}
    later = {f"tensorlite.ops.{name}" for name in (*ops.LATER, "losses", "embedding", "dropout")}
    later |= {"tensorlite.backend.cupy", "tensorlite.backend.kernels.host"}
    assert not own & (rooms | later)


def test_what_comes_later_is_what_its_module_has() -> None:
    for module, names in ops.LATER.items():
        shown = importlib.import_module(f"tensorlite.ops.{module}").__all__
        left = {"distance": {"normalize"}, "typeinfo": {"get_default_dtype", "set_default_dtype"}}
        assert {*shown} - left.get(module, set()) == {*names}, module
        assert module not in ops.__all__  # an attribute of the package is a module or a function


def test_no_name_of_an_operation_is_in_two_modules() -> None:
    root = Path(ops.__file__).parent
    homes: dict[str, object] = {}
    for path in sorted(root.rglob("*.py")):
        inside = ".".join(path.relative_to(root).with_suffix("").parts).removesuffix("__init__")
        module = importlib.import_module(f"tensorlite.ops.{inside}".rstrip("."))
        for name in {*getattr(module, "__all__", ())} & {*ops.__all__}:
            found = getattr(module, name)
            assert homes.setdefault(name, found) is found, f"{name} in {module.__name__}, too"


def test_every_name_comes_in_a_fresh_process() -> None:
    """In which nothing has been imported on the way: as functions, as methods, and by torch's
    names of parameters even where a function was called before it was named."""
    code = (
        "import types, tensorlite as tl\n"
        "tl.linalg.svd(tl.eye(2)); tl.linalg.inv(tl.eye(2))\n"
        "for name in dir(tl):\n"
        "    found = getattr(tl, name)\n"
        "    if name in tl._OPERATIONS:\n"
        "        assert not isinstance(found, types.ModuleType), name\n"
        "for name in dir(tl.Tensor):\n"
        "    kind = type(vars(tl.Tensor).get(name)).__name__\n"
        "    assert kind == 'Missing' or hasattr(tl.Tensor, name), name\n"
        "    kind = type(vars(tl.Tensor).get(name)).__name__\n"
        "    assert kind != 'Later', name\n"
        "assert len(tl.svd(input=tl.eye(2))) == 3\n"
        "assert tl.Tensor.lgamma(tl.ones(2)).tolist() == [0, 0]\n"
        "assert tl.inverse(input=tl.eye(2)).tolist() == [[1, 0], [0, 1]]\n"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert not result.returncode, result.stderr


def test_submodules_come_when_named() -> None:
    code = (
        "import sys, tensorlite as tl; names = ('nn', 'optim', 'data', 'training'); "
        "assert not any(f'tensorlite.{n}' in sys.modules for n in names); "
        "assert set(names) <= set(dir(tl)); print(tl.nn.__name__, tl.optim.__name__)"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.stdout.split() == ["tensorlite.nn", "tensorlite.optim"], result.stderr
