"""The kernels as one CPython extension: generated, compiled at first use, kept in a cache."""

from __future__ import annotations

import contextlib
import hashlib
import importlib.machinery
import importlib.util
import math
import os
import platform
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from types import ModuleType

import numpy as np

from .bindings import bindings_source, family_source
from .compiler import KernelsUnavailable, families, flatten, kernels_folder, say

MODULE = "tensorlite_kernels"
# Single flags out of -ffast-math that keep NaN and infinity right and change no rounding of sums:
# reassociation is asked for loop by loop, in team reductions.
FLAGS = [
    *("-std=c++17", "-O2", "-fopenmp-simd", "-fPIC", "-fvisibility=hidden"),
    *("-fno-math-errno", "-fno-trapping-math", "-fno-signed-zeros", "-ffp-contract=fast"),
]
# Of GCC's -O3 the vectoriser and the unrolling of small loops count; the others, two passes of -O2,
# and the rest of a loop in narrower vectors take time and give none back. Where a short loop begins
# makes up to a quarter of its time.
GCC_FLAGS = [
    *("-ftree-vectorize", "-fvect-cost-model=dynamic", "-fpeel-loops", "-falign-loops=64"),
    *("-fno-thread-jumps", "-fno-tree-pre", "--param", "vect-epilogues-nomask=0"),
]
# Writing loops out takes a third of the time.
CLANG_FLAGS = ["-fno-unroll-loops"]
# Loops over elements, rows and planes: unrolling their rests takes time and gains nothing. Families
# in one line are compiled together, as to read the headers takes a third of a second.
PLAIN_LOOPS = (
    ("activation", "elementwise", "optim"),
    ("batch_norm", "bias", "norm", "scan"),
    ("cross_entropy", "pooling", "softmax"),
)
FAMILY_FLAGS = {
    # The same bits in NumPy, C++ and CUDA.
    "philox": ["-ffp-contract=off", "-fsigned-zeros"],
    MODULE: ["-Og"],
}


def load_host() -> ModuleType:
    """Load the extension, building it first where the cache does not hold a sound one."""
    compiler, cached = place()
    name = cached.name
    if _is_sound(cached):
        return _import(cached)
    try:
        cached.parent.mkdir(parents=True, exist_ok=True)
        with _lock(cached.parent / "lock"):
            if not _is_sound(cached):
                with tempfile.TemporaryDirectory(dir=cached.parent) as work:
                    _build(compiler, Path(work) / name).replace(cached)
        return _import(cached)
    except OSError as error:
        say(f"cannot write {cached.parent} ({error.strerror}); compiling for this process only")
        with tempfile.TemporaryDirectory() as work:
            return _import(_build(compiler, Path(work) / name))


def place() -> tuple[Path, Path]:
    """Return the compiler, and the file that the extension is or will be in; builds nothing.

    Raises
    ------
    KernelsUnavailable
        If there is no compiler or no Python headers.
    """
    compiler = _find_compiler()
    return compiler, cache_folder() / f"{MODULE}-{_cache_key(compiler)}.so"


def is_built() -> bool:
    """Whether the extension lies in the cache, whole, so that nothing will be compiled."""
    return _is_sound(place()[1])


def cache_folder() -> Path:
    """Return where compiled kernels are kept: in ``$XDG_CACHE_HOME``, else in ``~/.cache``."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "tensorlite" / "kernels"


def _find_compiler() -> Path:
    candidates = [os.environ.get("CXX", ""), "g++", "clang++", "c++"]
    found = next((path for name in candidates if name and (path := shutil.which(name))), None)
    if found is None:
        raise KernelsUnavailable("no C++ compiler; install g++ (Debian: apt install g++)")
    header = Path(sysconfig.get_paths()["include"]) / "Python.h"
    if not header.is_file():
        raise KernelsUnavailable(
            f"no Python headers ({header}); install them (Debian: apt install python3-dev)"
        )
    return Path(found)


def _flags(compiler: Path) -> list[str]:
    native = "-mcpu=native" if platform.machine() in ("aarch64", "arm64") else "-march=native"
    folder = kernels_folder()
    return [
        *FLAGS,
        *(CLANG_FLAGS if _is_clang(compiler) else GCC_FLAGS),
        *(native, "-iquote", str(folder), "-iquote", str(folder / "host")),
    ]


@cache
def _is_clang(compiler: Path) -> bool:
    """Ask it: on macOS g++ is clang by another name."""
    version = subprocess.run([str(compiler), "--version"], capture_output=True, text=True)
    return "clang" in version.stdout


def _family_flags(family: str, compiler: Path) -> list[str]:
    plain = any(family in unit for unit in PLAIN_LOOPS) and not _is_clang(compiler)
    return [*FAMILY_FLAGS.get(family, []), *(["-fno-peel-loops"] if plain else [])]


def _sources() -> dict[str, str]:
    """What is generated: the bindings and the families, those of a unit in the first one's file."""
    kernels = families("cpu")
    unit_of = {name: unit for unit in PLAIN_LOOPS for name in unit}
    sources = {f"{MODULE}.cpp": bindings_source(MODULE, kernels)}
    for family, its_kernels in kernels.items():
        first = next(name for name in unit_of.get(family, (family,)) if name in kernels)
        file = f"{first}.cpp"
        sources[file] = sources.get(file, "") + family_source(family, its_kernels)
    return sources


def _cache_key(compiler: Path) -> str:
    """Digest of everything the machine code depends on."""
    digest = hashlib.blake2b(digest_size=16)
    # The compiler's file stands for its version: asking it would cost a process at every start.
    stat = compiler.resolve().stat()
    parts = [str(compiler.resolve()), str(stat.st_size), str(stat.st_mtime_ns)]
    parts += [_processor(), sys.version, np.__version__]
    digest.update("\0".join(parts).encode())
    generator = Path(__file__).with_name("bindings.py")
    for path in [Path(__file__), generator, *sorted(kernels_folder().rglob("*.*"))]:
        if path.is_file():
            digest.update(f"\0{path.name}\0".encode() + path.read_bytes())
    return digest.hexdigest()


def _processor() -> str:
    """Model and instruction sets of the CPU, since the code is made for exactly this one."""
    with contextlib.suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text().split("\n\n")[0].splitlines()
        kept = [line for line in lines if line.startswith(("model", "flags", "Features", "CPU"))]
        return "\n".join(kept)
    return f"{platform.machine()} {platform.processor()}"


def _is_sound(path: Path) -> bool:
    """Whether a cached file is whole: its last 32 bytes are the digest of the rest."""
    try:
        content = path.read_bytes()
    except OSError:
        return False
    return (
        len(content) > 32
        and hashlib.blake2b(content[:-32], digest_size=32).digest() == (content[-32:])
    )


@contextlib.contextmanager
def _lock(path: Path) -> Iterator[None]:
    """Let one process compile while others wait for its result."""
    import fcntl

    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _build(compiler: Path, target: Path) -> Path:
    """Compile all families and the bindings side by side, link them, and append the digest."""
    say("compiling kernels for this CPU, once …")
    start = time.perf_counter()
    work = target.parent
    sources = _sources()
    for name, text in sources.items():
        (work / name).write_text(text)
    includes = ["-isystem", sysconfig.get_paths()["include"], "-isystem", np.get_include()]
    jobs = [work / name for name in sources] + list((kernels_folder() / "host").glob("*.cpp"))
    # The longest first, so that no core waits for it in the end.
    jobs.sort(key=lambda source: -len(flatten(source)))

    def compile_one(source: Path) -> str:
        output = str(work / f"{source.stem}.o")
        flags = [*_flags(compiler), *_family_flags(source.stem, compiler), *includes]
        _run([str(compiler), *flags, "-c", str(source), "-o", output])
        return output

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        objects = list(pool.map(compile_one, jobs))
    _run([str(compiler), "-shared", "-pthread", *objects, "-o", str(target)])
    with target.open("ab") as file:
        file.write(hashlib.blake2b(target.read_bytes(), digest_size=32).digest())
    say(f"kernels compiled in {time.perf_counter() - start:.1f} s")
    return target


def _run(command: list[str]) -> None:
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode:
        lines = result.stderr.strip().splitlines()
        shown = next((line for line in lines if "error" in line), "\n".join(lines[:3]))
        raise KernelsUnavailable(f"{Path(command[0]).name} failed: {shown}")


def _import(path: Path) -> ModuleType:
    loader = importlib.machinery.ExtensionFileLoader(MODULE, str(path))
    spec = importlib.util.spec_from_file_location(MODULE, path, loader=loader)
    module = importlib.util.module_from_spec(spec)
    loader.exec_module(module)
    module.on_host = True
    module.empty = np.empty
    module.parts = _parts
    _silence_blas()
    return module


def _silence_blas() -> None:
    """Keep NumPy's OpenBLAS at one thread: two pools on the same cores cost two to four times."""
    import ctypes

    with contextlib.suppress(OSError):
        mapped = {line.split()[-1] for line in Path("/proc/self/maps").read_text().splitlines()}
        for path in mapped:
            if "openblas" not in Path(path).name:
                continue
            blas = ctypes.CDLL(path)
            for name in ("scipy_openblas_set_num_threads64_", "openblas_set_num_threads"):
                if hasattr(blas, name):
                    getattr(blas, name)(1)


def _parts(rows: int) -> int:
    """Into how many parts column sums over `rows` rows are cut, whatever the number of threads.

    Of many rows so many that neither a part nor the sum of all parts is a long chain.
    """
    return max(1, min(rows, max(32, math.isqrt(rows))))
