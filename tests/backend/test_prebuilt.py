"""Kernels that come with the package: which is chosen, and what goes before it."""

from __future__ import annotations

import ctypes
import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from numpy._core._multiarray_umath import __cpu_features__ as told_by_numpy

from tensorlite.backend.kernels import cache, prebuilt
from tensorlite.backend.kernels.declarations import kernels_folder
from tensorlite.backend.kernels.unavailable import KernelsUnavailable

ROOT = Path(__file__).parents[2]
TINY = """
#include "tensorlite.h"
namespace tl {
template <REAL T>
EACH(n)
void double_it(const T* x OF(n), T* y OF(n), Index n) {
    map(n, [](T x, T& y) { y = 2 * x; }, x, out(y));
}
}  // namespace tl
"""
USE = """
import numpy as np
from tensorlite.backend.kernels import library
for _ in range(2):
    k = library.library("cpu")
if k is None:
    print("none")
else:
    x = np.arange(5.0); y = k.empty(5, x.dtype); k.double_it(x, y, 5); assert y[4] == 8
    print(k.__file__)
"""


@pytest.fixture(scope="module")
def compiler():
    try:
        return cache.place()[0]
    except KernelsUnavailable as missing:
        pytest.skip(f"a compiler makes what stands for a wheel's kernels: {missing}")


@pytest.fixture(scope="module")
def cpuid(compiler, tmp_path_factory):
    if platform.machine() != "x86_64":
        pytest.skip("levels are of x86-64")
    file = tmp_path_factory.mktemp("cpuid") / "cpuid.so"
    source = kernels_folder() / "cpuid.cpp"
    subprocess.run([*compiler, "-shared", "-fPIC", "-O2", source, "-o", file], check=True)
    return file


@pytest.fixture(scope="module")
def package(compiler, cpuid, remembering_compiler, tmp_path_factory):
    """The package with one kernel, compiled and put where a wheel has it, for every level."""
    tree = tmp_path_factory.mktemp("package")
    ignored = shutil.ignore_patterns("__pycache__", "*.cu", "prebuilt")
    shutil.copytree(ROOT / "tensorlite", tree / "tensorlite", ignore=ignored)
    shutil.copytree(ROOT / "kernels", tree / "tensorlite/kernels", ignore=ignored)
    (tree / "tensorlite/kernels/tiny.cu").write_text(TINY)
    (tree / "CXX").write_text(remembering_compiler)
    build = tree / "tensorlite/backend/kernels/build.py"
    build.write_text(build.read_text().replace('"-O2"', '"-O0"'))  # half of the time
    made = Path(use(tree)[0])
    (tree / "tensorlite/prebuilt").mkdir()
    for level in prebuilt.X86_64:
        shutil.copy(made, tree / "tensorlite/prebuilt" / prebuilt.file_of(level).name)
    shutil.copy(cpuid, tree / "tensorlite/prebuilt/cpuid.so")
    shutil.rmtree(tree / "cache")
    return tree


def use(tree, code=USE, **environment):
    """Run code on the package of a tree; return its output and what it said beside."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("TENSORLITE", "CXX"))}
    kept |= {"PYTHONPATH": str(tree), "XDG_CACHE_HOME": str(tree / "cache")}
    if (tree / "CXX").exists() and "PATH" not in environment:
        kept["CXX"] = (tree / "CXX").read_text()
    kept |= environment
    result = subprocess.run(
        [sys.executable, "-c", code], env=kept, cwd=tree, text=True, capture_output=True
    )
    return result.stdout.strip(), result.stderr


def command(tree, *args, **environment):
    code = f"import sys; from tensorlite.cli import main; sys.exit(main({list(args)}))"
    return use(tree, code, **environment)


def test_the_level_is_what_numpy_finds(cpuid):
    level = ctypes.CDLL(str(cpuid)).tensorlite_x86_64_level()
    assert level >= 1
    # NumPy 2.4 has the levels themselves; those before it, what makes most of them.
    by_level = {2: ["SSE42", "POPCNT"], 3: ["AVX2", "FMA3", "F16C"], 4: ["AVX512_SKX"]}
    for each, features in by_level.items():
        assert (level >= each) == all(told_by_numpy.get(f, False) for f in features)


def test_without_a_compiler_the_highest_level_is_taken_and_nothing_said(package, tmp_path):
    made, said = use(package, PATH=str(tmp_path))
    assert said == ""
    assert Path(made).parent == package / "tensorlite/prebuilt"
    _, highest = (
        use(package, "from tensorlite.backend.kernels import prebuilt as p; print(p.levels()[-1])"),
        Path(made),
    )
    assert prebuilt.level_of(highest) in prebuilt.X86_64
    shown, _ = command(package, "env", PATH=str(tmp_path))
    assert f"built for {prebuilt.level_of(highest)}, from the package" in shown
    assert "problem: compiled kernels" not in shown
    assert not (package / "cache/tensorlite/kernels").exists()


def test_a_lower_level_can_be_asked_for(package):
    made, _ = use(package, TENSORLITE_CPU="x86-64-v2")
    assert made.endswith("kernels-x86-64-v2.so")
    _, said = use(package, TENSORLITE_CPU="x86-64-v9")
    assert "TENSORLITE_CPU is 'x86-64-v9'; usable here: x86-64-v2" in said


def test_native_is_compiled_when_asked_and_then_goes_before(package):
    shown, said = command(package, "warmup")
    assert "nothing to compile, the package brought kernels for x86-64-v" in shown
    assert said == ""
    shown, said = command(package, "warmup", "--native")
    assert "all kernels compiled" in shown
    assert "kernels compiled in" in said
    made, _ = use(package)
    assert Path(made).parent == package / "cache/tensorlite/kernels"
    assert "compiled for this CPU" in command(package, "env")[0]
    assert "nothing to compile" in command(package, "warmup", "--native")[0]
    shutil.rmtree(package / "cache")
    assert Path(use(package)[0]).parent == package / "tensorlite/prebuilt"


def test_with_neither_numpy_runs_and_that_is_said_once(package, tmp_path):
    tree = tmp_path / "tree"
    shutil.copytree(package, tree, ignore=shutil.ignore_patterns("prebuilt", "cache"))
    made, said = use(tree, PATH=str(tmp_path))
    assert made == "none"
    assert said.count("\n") == 1
    assert "compiled kernels are off (cpu): no C++ compiler" in said


def test_python_without_its_lock_is_refused():
    code = "import sys; sys._is_gil_enabled = lambda: False; import tensorlite"
    _, said = use(ROOT, code)
    assert "ImportError: tensorlite needs Python's global lock: start it with -X gil=1" in said
