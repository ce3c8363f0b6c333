"""Building, caching and calling the host kernels: what may go wrong there, and what it says."""

from __future__ import annotations

import getpass
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from contributing import KERNELS_IN, blocks

from tensorlite.backend.kernels import cache, declarations

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
k = library.library("cpu")
if k is not None:
    x = np.arange(5.0); y = k.empty(5, x.dtype); k.double_it(x, y, 5); assert y[4] == 8
    print("used", k.__file__)
"""
USE_ADDED = """
from tensorlite.backend.kernels.declarations import names_read_by
for dtype in (np.float32, np.float64):
    x = np.linspace(-3, 3, 12, dtype=dtype).reshape(3, 4)
    near = dict(rtol=1e-6, atol=0)
    np.testing.assert_allclose(k.new_squareplus(x), (x + np.sqrt(x * x + 4)) / 2, **near)
    length = np.sqrt((x * x).sum(-1, keepdims=True))
    np.testing.assert_allclose(k.new_unit_rows(x), x / length, **near)
    assert names_read_by(k.signum) == ("lr", "scale", "skip", "beta")
    p, m = np.ones(12, dtype), np.zeros(12, dtype)
    k.signum(p, x.ravel(), m, np.array([0.5, 2.0, 0, 0.75]), 12)
    np.testing.assert_allclose(m, x.ravel() / 2, **near)
    np.testing.assert_array_equal(p, 1 - 0.5 * np.sign(x.ravel()))
print("as their references")
"""


@pytest.fixture
def tree(tmp_path, remembering_compiler):
    """A copy of the package whose only kernel compiles in a moment, and an environment for it."""
    (tmp_path / "CXX").write_text(remembering_compiler)
    ignore = ("__pycache__", "*.cu")
    shutil.copytree(ROOT / "tensorlite", tmp_path / "tensorlite", ignore=_ignored(*ignore))
    shutil.copytree(ROOT / "kernels", tmp_path / "kernels", ignore=_ignored(*ignore))
    (tmp_path / "kernels" / "tiny.cu").write_text(TINY)
    build = tmp_path / "tensorlite/backend/kernels/build.py"
    text = build.read_text()
    assert '"-O2"' in text
    build.write_text(text.replace('"-O2"', '"-O0"'))  # half of the time
    return tmp_path


def _ignored(*patterns):
    return shutil.ignore_patterns(*patterns)


def _start(tree, code=USE, **environment):
    variables = {k: v for k, v in os.environ.items() if not k.startswith("TENSORLITE")}
    variables |= {"PYTHONPATH": str(tree), "XDG_CACHE_HOME": str(tree / "cache")}
    variables |= {"CXX": (tree / "CXX").read_text(), "TMPDIR": str(tree / "temporary")}
    variables |= environment
    (tree / "temporary").mkdir(exist_ok=True)
    return subprocess.Popen(
        [sys.executable, "-c", code], env=variables, cwd=tree, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


def _use(tree, code=USE, **environment):
    process = _start(tree, code, **environment)
    out, err = process.communicate()
    return process.returncode, out, err


def _library_file(tree):
    (file,) = (tree / "cache/tensorlite/kernels").glob("*.so")
    return file


def test_compiled_once_and_rebuilt_when_the_cache_is_damaged(tree):
    code, out, err = _use(tree)
    assert (code, err.count("compiled in")) == (0, 1), err
    assert "used" in out
    assert _use(tree) == (0, out, "")
    file = _library_file(tree)
    content = file.read_bytes()
    damaged = bytearray(content)
    damaged[len(content) // 2] ^= 1
    for bad in (b"", content[: len(content) // 2], bytes(damaged)):
        file.write_bytes(bad)
        code, _, err = _use(tree)
        assert (code, err.count("compiled in")) == (0, 1), err
        assert _use(tree)[2] == ""


def test_warmup_compiles_once(tree):
    warmup = "import sys; from tensorlite.cli import main; sys.exit(main(['warmup']))"
    code, out, err = _use(tree, warmup)
    assert code == 0 and "kernels compiled in" in err and "all kernels compiled" in out
    code, out, err = _use(tree, warmup)
    assert (code, err) == (0, "") and "nothing to compile" in out
    code, _, err = _use(tree, warmup, TENSORLITE_KERNELS="reference")
    assert code == 2 and "switches the kernels off" in err
    code, _, err = _use(tree, warmup, CXX="", PATH=str(tree), XDG_CACHE_HOME=str(tree / "new"))
    assert code == 1 and "no C++ compiler; install g++" in err


def test_clang_is_given_no_flags_that_only_gcc_knows(tree, remembering_compiler):
    clang = tree / "g++"  # its name on macOS
    clang.write_text(
        "#!/bin/sh\n"
        'case "$*" in\n'
        '--version) echo "Apple clang version 15.0.0"; exit ;;\n'
        "*vect*|*-fpeel*|*-fno-peel*|*-fno-thread*|*-fno-tree*|*-param*)\n"
        '    echo "error: unknown argument: $*" >&2; exit 1 ;;\n'
        "esac\n"
        f'exec {remembering_compiler} "$@"\n'
    )
    clang.chmod(0o755)
    code, out, err = _use(tree, CXX=str(clang), TENSORLITE_KERNELS="compiled")
    assert code == 0, err
    assert "used" in out


def test_a_changed_source_is_compiled_anew(tree):
    """Changed as CONTRIBUTING says it: by three kernels, which compute what their references do."""
    assert _use(tree)[0] == 0
    kernels = [code for start in KERNELS_IN for file, code in blocks(start) if file.endswith(".cu")]
    start = TINY.index("template")
    text = "".join([TINY[:start], *kernels, TINY[start:]])
    (tree / "kernels" / "tiny.cu").write_text(text)
    status, out, err = _use(tree, code=USE + USE_ADDED)
    assert (status, err.count("compiled in")) == (0, 1), err
    assert "as their references" in out


def test_two_processes_at_once_compile_once(tree, remembering_compiler):
    slow = tree / "slow"
    slow.write_text('#!/bin/sh\nsleep 0.3\nexec "$@"\n')
    slow.chmod(0o755)
    first, second = (_start(tree, CXX=f"{slow} {remembering_compiler}") for _ in range(2))
    ends = [process.communicate() for process in (first, second)]
    assert first.returncode == second.returncode == 0, ends
    assert sum(err.count("compiled in") for _, err in ends) == 1
    _library_file(tree)


def test_unwritable_cache_has_a_second(tree):
    (tree / "cache").write_text("a file where the folder should be")
    code, out, err = _use(tree)
    assert (code, err.count("compiled in")) == (0, 1), err
    assert "temporary" in out
    assert _use(tree) == (0, out, "")


def test_what_others_can_write_is_not_loaded(tree):
    (tree / "cache").write_text("a file where the folder should be")
    open_to_all = tree / "temporary" / f"tensorlite-{getpass.getuser()}"
    open_to_all.mkdir(parents=True)
    open_to_all.chmod(0o777)
    (open_to_all / "kernels" / "not-safe").parent.mkdir()
    (open_to_all / "kernels" / "not-safe").write_text("a file, so that nothing is put there")
    code, out, err = _use(tree)
    assert code == 0, err
    assert "used" in out
    assert "compiling for this process only" in err
    assert [path.name for path in (open_to_all / "kernels").iterdir()] == ["not-safe"]


def test_the_compiler_that_is_asked_for(tree, remembering_compiler):
    launcher = tree / "launcher"
    launcher.write_text(f'#!/bin/sh\necho called >> {tree / "calls"}\nexec "$@"\n')
    launcher.chmod(0o755)
    code, out, err = _use(tree, CXX=f"{launcher} {remembering_compiler}")
    assert code == 0 and "used" in out, err
    assert "called" in (tree / "calls").read_text()
    code, out, err = _use(tree, CXX="no-such-compiler -O3")
    assert (code, out) == (0, "")
    assert "CXX is 'no-such-compiler -O3', and there is no 'no-such-compiler'" in err


@pytest.mark.parametrize("mode", ["auto", "compiled"])
def test_no_compiler(tree, mode):
    code, out, err = _use(tree, PATH=str(tree), CXX="", TENSORLITE_KERNELS=mode)
    assert "used" not in out
    assert "no C++ compiler; install g++" in err
    assert (code == 0) == (mode == "auto")


def test_reference_mode_compiles_nothing(tree):
    assert _use(tree, TENSORLITE_KERNELS="reference") == (0, "", "")
    code, _, err = _use(tree, TENSORLITE_KERNELS="fast")
    assert code
    assert "use auto, reference or compiled" in err


def test_a_source_that_does_not_compile_leaves_the_reference(tree):
    (tree / "kernels" / "tiny.cu").write_text(TINY.replace("2 * x", "2 * z"))
    code, out, err = _use(tree)
    assert (code, out) == (0, "")
    assert "compiled kernels are off" in err
    assert "tiny.cu" in err
    code, out, again = _use(tree)
    assert (code, out) == (0, "")
    assert "compiling" not in again and "tensorlite warmup tries again" in again
    command = [
        sys.executable,
        "-c",
        "from tensorlite.backend.kernels.cache import *; forget_failure()",
    ]
    environment = os.environ | {"PYTHONPATH": str(tree), "XDG_CACHE_HOME": str(tree / "cache")}
    environment["CXX"] = (tree / "CXX").read_text()
    subprocess.run(command, cwd=tree, env=environment, check=True)
    assert "compiling" in _use(tree)[2]


def test_a_declaration_that_cannot_be_read_is_an_error():
    with pytest.raises(ValueError, match=r"bad.cu: cannot read double_it's parameters"):
        declarations.parse(TINY.replace("const T* x OF(n)", "const T* x"), "bad")


def test_declarations_may_have_lists_of_parameters_in_common():
    lists = """
#define IN_PARAMETERS(T) PARAMETERS(const T* x OF(n), const bool* mask OPTIONAL(n))
#define ALL_PARAMETERS(T)  \\
    PARAMETERS(             \\
        IN_PARAMETERS(T), Index n)
"""
    plain = TINY.replace(
        "const T* x OF(n),", "const T* x OF(n), const bool* mask OPTIONAL(n), Index n,"
    )
    named = lists + TINY.replace("const T* x OF(n)", "ALL_PARAMETERS(T)")
    (wanted,), (read,) = declarations.parse(plain, "a"), declarations.parse(named, "a")
    assert read.parameters == wanted.parameters


def test_every_source_is_read_completely():
    for path in declarations.kernels_folder().glob("*.cu"):
        text = path.read_text()
        words = ("EACH(", "ROWS(", "BLOCKS(", "TOGETHER(", "HOST\n")
        declared = sum(text.count(f"\n{word}") for word in words)
        read = declarations.parse(declarations.declared_in(path), path.stem)
        assert declared == len(read), path.name


X = np.ones((4, 4), np.float32)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((X, X.copy()), TypeError, "takes 3 arguments, not 2"),
        ((X, X.copy(), 15), ValueError, "x has 16 elements, not 15"),
        ((X, X.copy(), -1), ValueError, "x has 16 elements, not -1"),
        ((X, X.astype(float), 16), TypeError, "y must be float32, not float64"),
        ((X.astype(int), X, 16), TypeError, "x must be a float type, not int64"),
        ((X.astype(">f4"), X, 16), TypeError, "x must be float32, not >f4"),
        ((X[:, ::2], X, 8), ValueError, "x must be C-contiguous"),
        ((X, X.T[::-1], 16), ValueError, "y must be C-contiguous, aligned and writeable"),
        (([1.0], X, 1), TypeError, "x must be a NumPy array, not list"),
        ((None, X, 16), TypeError, "x must be a NumPy array, not NoneType"),
        ((X, X.copy(), 16.0), TypeError, "n must be an integer"),
    ],
)
def test_misuse_is_refused(host_kernels, arguments, error, message):
    with pytest.raises(error, match=message) as caught:
        host_kernels.relu(*arguments)
    assert str(caught.value).startswith("relu(x, y, n): ")


def test_read_only_and_unaligned_arrays_are_refused(host_kernels):
    frozen = X.copy()
    frozen.flags.writeable = False
    host_kernels.relu(frozen, X.copy(), 16)
    with pytest.raises(ValueError, match="writeable"):
        host_kernels.relu(X, frozen, 16)
    unaligned = np.zeros(65, np.uint8)[1:].view(np.float32)
    with pytest.raises(ValueError, match="aligned"):
        host_kernels.relu(unaligned, X.copy(), 16)


THREADS = """
import os, threading, numpy as np
from tensorlite.backend.kernels.library import library
k = library("cpu")
n = 1 << 18
def work():
    x = np.full(n, -1.0, np.float32)
    for _ in range(50):
        y = k.empty(n, x.dtype); k.relu(x, y, n); assert not y.any()
for count in (1, 2, 5, 2):
    k.set_num_threads(count); assert k.get_num_threads() == count; work()
threads = [threading.Thread(target=work) for _ in range(4)]
[t.start() for t in threads]; [t.join() for t in threads]
child = os.fork()
work()
if child == 0:
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
print("done")
"""


def test_pool_survives_threads_forks_and_exit(host_kernels):
    result = subprocess.run(
        [sys.executable, "-W", "ignore::DeprecationWarning", "-c", THREADS],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert (result.returncode, result.stdout) == (0, "done\n"), result.stderr
    with pytest.raises(ValueError, match="at least 1"):
        host_kernels.set_num_threads(0)


def test_results_do_not_depend_on_the_number_of_threads(host_kernels):
    k, rows, columns = host_kernels, 1000, 96
    x = np.random.default_rng(0).standard_normal((rows, columns)).astype(np.float32)
    parts, before = k.parts(rows), k.get_num_threads()
    sums = []
    try:
        for threads in (1, 2, 3):
            k.set_num_threads(threads)
            sums.append(k.empty((parts, columns), np.float32))
            k.column_sum(x, sums[-1], rows, columns, parts)
    finally:
        k.set_num_threads(before)
    np.testing.assert_array_equal(sums[0], sums[1])
    np.testing.assert_array_equal(sums[0], sums[2])


def test_blocks_are_reused_and_zeroed(host_kernels):
    first = np.full(100_000, 7.0)
    assert first.ctypes.data % 64 == 0
    address = first.ctypes.data
    del first
    again = np.zeros(100_000)
    assert again.ctypes.data == address
    assert not again.any()
    again.resize(300_000, refcheck=False)
    assert not again.any()


def test_cache_is_keyed_by_the_processor():
    assert cache._processor()
