"""The kernels as one CPython extension: generated, compiled at first use, kept in a cache."""

from __future__ import annotations

import contextlib
import errno
import getpass
import hashlib
import importlib.machinery
import importlib.util
import math
import os
import platform
import shlex
import shutil
import stat
import subprocess
import sys
import sysconfig
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from types import ModuleType

import numpy as np

from . import prebuilt
from .bindings import bindings_source, family_source
from .compiler import KernelsUnavailable, families, flatten, kernels_folder, say
from .locks import FileLock
from .machine import usable_cores, usable_memory

MODULE = "tensorlite_kernels"
BUILDING = "building-"  # begins the names of folders that are compiled in
PATIENCE = 900.0  # seconds to wait for another process that compiles
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
    """Load the extension: one that came with the package, else one of a cache, else a new one.

    One that ``tensorlite warmup --native`` compiled for this very processor goes before all others.
    Where the user's cache cannot be written the system's folder for temporary files is tried, and
    then this process compiles for itself alone. A build that failed is not tried again until
    ``tensorlite warmup`` says so, or what went into it changes.
    """
    came = prebuilt.find()
    if came is not None:
        return _import(native() or came)
    if (path := compiled()) is not None:
        with contextlib.suppress(ImportError):  # its folder is mounted noexec
            return _import(path)
    return _load_native()


def native() -> Path | None:
    """What ``warmup --native`` left for this processor and these sources, where that is there."""
    if not any(cache_folder().glob(f"{MODULE}-*.so")):
        return None  # then there is no need to read the sources
    with contextlib.suppress(KernelsUnavailable):
        return compiled()
    return None


def compiled() -> Path | None:
    """The extension in a cache, whole, so that nothing will be compiled; or None."""
    cached = place()[1]
    found = (p for p in (cached, _second_cache() / cached.name) if _is_sound(p))
    return next(found, None)


def build_native() -> Path:
    """Build the extension for this very processor in a cache, once for all processes."""
    compiler, cached = place()
    try:
        return _built_in(cached, compiler)
    except OSError as error:
        with contextlib.suppress(OSError):
            return _built_in(_second_cache() / cached.name, compiler)
        raise error


def _load_native() -> ModuleType:
    """From the user's cache, the system's folder for temporary files, or for this process alone.

    The next one is tried where a folder is full, cannot be written, or nothing in it can be run.
    """
    compiler, cached = place()
    reasons = []
    for folder in (cached.parent, _second_cache()):
        try:
            return _import(_built_in(folder / cached.name, compiler))
        except (OSError, ImportError) as error:
            reasons.append(f"{folder} ({getattr(error, 'strerror', None) or error})")
    say(f"kernels cannot be kept in {' or '.join(reasons)}; compiling for this process only")
    try:
        with tempfile.TemporaryDirectory() as work:
            return _import(_build(compiler, Path(work) / cached.name))
    except (OSError, ImportError) as error:
        raise KernelsUnavailable(f"no folder to compile them in: {error}") from error


def _built_in(cached: Path, compiler: Command) -> Path:
    """Build the extension in a cache, once for all processes."""
    failed = cached.with_suffix(".failed")
    if failed.is_file():
        raise KernelsUnavailable(f"{failed.read_text()} (tensorlite warmup tries again)")
    cached.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    # One process compiles while others wait for its result.
    with FileLock(cached.parent / "lock", "the kernels are being compiled", PATIENCE, keep=True):
        for left_over in cached.parent.glob(f"{BUILDING}*"):  # of a process that was killed
            shutil.rmtree(left_over, ignore_errors=True)
        if not _is_sound(cached):
            with tempfile.TemporaryDirectory(dir=cached.parent, prefix=BUILDING) as work:
                try:
                    _build(compiler, Path(work) / cached.name).replace(cached)
                except _Ended:
                    raise
                except KernelsUnavailable as error:
                    failed.write_text(str(error))
                    raise
    return cached


def forget_failure() -> None:
    """Let the next process try a build again that failed."""
    _, cached = place()
    for path in (cached, _second_cache() / cached.name):
        with contextlib.suppress(OSError):
            path.with_suffix(".failed").unlink()


def place() -> tuple[Command, Path]:
    """Return the compiler, and the file that the extension is or will be in; builds nothing.

    Raises
    ------
    KernelsUnavailable
        If there is no compiler or no Python headers.
    """
    compiler = _find_compiler()
    return compiler, cache_folder() / f"{MODULE}-{_cache_key(compiler)}.so"


def is_built() -> bool:
    """Whether the extension lies in a cache, whole, so that nothing will be compiled."""
    return compiled() is not None


def cache_folder() -> Path:
    """Return where compiled kernels are kept: in ``$XDG_CACHE_HOME``, else in ``~/.cache``."""
    base = os.environ.get("XDG_CACHE_HOME")
    try:
        return Path(base or Path.home() / ".cache") / "tensorlite" / "kernels"
    except RuntimeError:  # a user without a home
        return _second_cache()


def _second_cache() -> Path:
    """Where they are kept if that cannot be written: a folder of the user's own among temporaries.

    What others can write is not loaded: then the name is one that is not there.
    """
    try:
        user = getpass.getuser()
    except (OSError, KeyError):  # a number without a name
        user = str(os.getuid())
    folder = Path(tempfile.gettempdir()) / f"tensorlite-{user}" / "kernels"
    with contextlib.suppress(OSError):
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        for each in (folder.parent, folder):
            state = each.lstat()
            if (
                state.st_uid != os.getuid()
                or not stat.S_ISDIR(state.st_mode)
                or state.st_mode & 0o22
            ):
                return folder / "not-safe"
    return folder


class _Ended(KernelsUnavailable):
    """A compiler that somebody stopped, or memory: the next process may have more luck."""


Command = tuple[str, ...]


def _find_compiler() -> Command:
    """The compiler's command: that of ``$CXX``, which may have a launcher before it, or one found.

    Raises
    ------
    KernelsUnavailable
        If there is none, or no Python headers.
    """
    asked = shlex.split(os.environ.get("CXX", ""))
    if asked and shutil.which(asked[0]) is None:
        raise KernelsUnavailable(f"CXX is {shlex.join(asked)!r}, and there is no {asked[0]!r}")
    candidates = [asked] if asked else [["g++"], ["clang++"], ["c++"]]
    found = next(((path, *c[1:]) for c in candidates if (path := shutil.which(c[0]))), None)
    if found is None:
        raise KernelsUnavailable("no C++ compiler; install g++ (Debian: apt install g++)")
    header = Path(sysconfig.get_paths()["include"]) / "Python.h"
    if not header.is_file():
        raise KernelsUnavailable(
            f"no Python headers ({header}); install them (Debian: apt install python3-dev)"
        )
    return found


def _flags(compiler: Command) -> list[str]:
    native = "-mcpu=native" if platform.machine() in ("aarch64", "arm64") else "-march=native"
    folder = kernels_folder()
    return [
        *FLAGS,
        *(CLANG_FLAGS if _is_clang(compiler) else GCC_FLAGS),
        *(native, "-iquote", str(folder), "-iquote", str(folder / "host")),
    ]


@cache
def _is_clang(compiler: Command) -> bool:
    """Ask it: on macOS g++ is clang by another name."""
    version = subprocess.run([*compiler, "--version"], capture_output=True, text=True)
    return "clang" in version.stdout


def _family_flags(family: str, compiler: Command) -> list[str]:
    plain = any(family in unit for unit in PLAIN_LOOPS) and not _is_clang(compiler)
    return [*FAMILY_FLAGS.get(family, []), *(["-fno-peel-loops"] if plain else [])]


def generated_sources() -> dict[str, str]:
    """What is generated: the bindings and the families, those of a unit in the first one's file."""
    kernels = families("cpu")
    unit_of = {name: unit for unit in PLAIN_LOOPS for name in unit}
    sources = {f"{MODULE}.cpp": bindings_source(MODULE, kernels)}
    for family, its_kernels in kernels.items():
        first = next(name for name in unit_of.get(family, (family,)) if name in kernels)
        file = f"{first}.cpp"
        sources[file] = sources.get(file, "") + family_source(family, its_kernels)
    return sources


def _cache_key(compiler: Command) -> str:
    """Digest of everything the machine code depends on."""
    digest = hashlib.blake2b(digest_size=16)
    parts = [_processor(), sys.version, np.__version__, *compiler]
    for word in compiler:
        # A program's file stands for its version: asking it would cost a process at every start.
        if (path := shutil.which(word)) is not None:
            file = Path(path).resolve()
            parts += [str(file), str(file.stat().st_size), str(file.stat().st_mtime_ns)]
    digest.update("\0".join(parts).encode())
    names = ("bindings.py", "compiler.py", "entry.py")
    generator = [Path(__file__).with_name(name) for name in names]
    for path in [Path(__file__), *generator, *sorted(kernels_folder().rglob("*.*"))]:
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


def _build(compiler: Command, target: Path) -> Path:
    """Compile all families and the bindings side by side, link them, and append the digest."""
    say("compiling kernels for this CPU, once …")
    start = time.perf_counter()
    work = target.parent
    sources = generated_sources()
    for name, text in sources.items():
        (work / name).write_text(text)
    includes = ["-isystem", sysconfig.get_paths()["include"], "-isystem", np.get_include()]
    jobs = [work / name for name in sources] + list((kernels_folder() / "host").glob("*.cpp"))
    # The longest first, so that no core waits for it in the end.
    jobs.sort(key=lambda source: -len(flatten(source)))

    def compile_one(source: Path) -> str:
        output = str(work / f"{source.stem}.o")
        flags = [*_flags(compiler), *_family_flags(source.stem, compiler), *includes]
        _run([*compiler, *flags, "-c", str(source), "-o", output])
        return output

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        objects = list(pool.map(compile_one, jobs))
    _run([*compiler, "-shared", "-pthread", *objects, "-ldl", "-o", str(target)])
    with target.open("ab") as file:
        file.write(hashlib.blake2b(target.read_bytes(), digest_size=32).digest())
    say(f"kernels compiled in {time.perf_counter() - start:.1f} s")
    return target


def _run(command: list[str]) -> None:
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode < 0:
        raise _Ended(f"{Path(command[0]).name} was ended by signal {-result.returncode}")
    if result.returncode:
        lines = result.stderr.strip().splitlines()
        if "No space left on device" in result.stderr:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), command[-1])
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
    module.follow_cores(usable_cores())
    module.set_cache_limit(min(usable_memory() // 16, 1 << 30))
    return module


def blas_threads(count: int | None = None) -> int | None:
    """Threads of NumPy's OpenBLAS, set to `count` if that is given; None where there is none."""
    import ctypes

    threads = None
    with contextlib.suppress(OSError):
        mapped = {line.split()[-1] for line in Path("/proc/self/maps").read_text().splitlines()}
        for path in mapped:
            if "openblas" not in Path(path).name:
                continue
            blas = ctypes.CDLL(path)
            for name in ("scipy_openblas_{}_num_threads64_", "openblas_{}_num_threads"):
                if hasattr(blas, name.format("set")):
                    if count is not None:
                        getattr(blas, name.format("set"))(count)
                    threads = getattr(blas, name.format("get"))()
    return threads


def spare_cores() -> None:
    """Without kernels, let NumPy's OpenBLAS run on half of the cores that this process may use.

    Its threads wait for each other by spinning, and on a machine where something else runs on one
    of the cores a training takes ten times as long. ``OPENBLAS_NUM_THREADS`` says otherwise.
    """
    if "OPENBLAS_NUM_THREADS" not in os.environ:
        blas_threads(max(usable_cores() // 2, 1))


def _parts(rows: int) -> int:
    """Into how many parts column sums over `rows` rows are cut, whatever the number of threads.

    Of many rows so many that neither a part nor the sum of all parts is a long chain.
    """
    return max(1, min(rows, max(32, math.isqrt(rows))))
