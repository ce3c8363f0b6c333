"""Compiling the kernels for the CPU: the compiler, its flags, the generated sources.

The extension itself has what most first steps need. The rest are units: shared objects that find in
it what they call, compiled when something asks for one of their functions.
"""

from __future__ import annotations

import errno
import hashlib
import os
import platform
import re
import shlex
import shutil
import sysconfig
import time
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path

import numpy as np

from tensorlite.backend import background

from .declarations import Kernel, families, flatten, kernels_folder
from .unavailable import KernelsUnavailable, SourceRefused, say

MODULE = "tensorlite_kernels"
# Single flags out of -ffast-math that keep NaN and infinity right and change no rounding of sums:
# reassociation is allowed loop by loop, in team reductions.
FLAGS = [
    *("-std=c++17", "-O2", "-fopenmp-simd", "-fPIC", "-fvisibility=hidden"),
    *("-fno-math-errno", "-fno-trapping-math", "-fno-signed-zeros", "-ffp-contract=fast"),
    "-fno-semantic-interposition",
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
# in one line are compiled together where they are in one unit, which saves reading the headers.
PLAIN_LOOPS = (
    ("arithmetic", "cross_entropy", "linear", "optim", "rectifiers"),
    ("activation", "batch_norm", "elementwise", "norm", "pooling", "scan", "softmax"),
)
# Families that are units of their own, and units of other functions with their sources in `host/`.
LATER = (
    *("activation", "attention", "batch_norm", "conv", "elementwise", "embedding", "norm"),
    *("pooling", "resample", "rnn", "scan", "softmax"),
)
# Sources of the extension that are compiled together.
TOGETHER = {
    MODULE: ("cuda", "entry", "kernel", "record"),
    "resources": ("copy", "digest", "memory", "moves", "pool", "short_floats", "stream"),
}
FUNCTIONS = {"capture": ("plan", "fusing"), "cuda": ("launch", "products"), "padding": ("pad",)}
# Calls from Python, without loops over elements.
CALLS = (MODULE, "cuda", "entry", "kernel", "launch", "products", "record", "tape")
FAMILY_FLAGS = {
    # The same bits in NumPy, C++ and CUDA.
    "philox": ["-ffp-contract=off", "-fsigned-zeros"],
    # Run seldom, and never in a loop of a step.
    **{name: ["-Og"] for name in ("capture", "fusing", "plan")},
}


class Ended(KernelsUnavailable):
    """The compiler was killed, by a user or for lack of memory; another try may succeed."""


Command = tuple[str, ...]


def find_compiler() -> Command:
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


def flags_of(compiler: Command) -> list[str]:
    """Options of every source, with the folders of our headers."""
    native = "-mcpu=native" if platform.machine() in ("aarch64", "arm64") else "-march=native"
    folder = kernels_folder()
    return [
        *FLAGS,
        *(CLANG_FLAGS if _is_clang(compiler) else GCC_FLAGS),
        *(native, "-iquote", str(folder), "-iquote", str(folder / "host")),
    ]


@cache
def _is_clang(compiler: Command) -> bool:
    """Whether a compiler is clang, by its own word: on macOS g++ is clang."""
    return "clang" in background.run([*compiler, "--version"]).stdout


def _family_flags(family: str, compiler: Command) -> list[str]:
    own = FAMILY_FLAGS.get(family, [])
    if _is_clang(compiler):
        return own
    plain = any(family in unit for unit in PLAIN_LOOPS)
    calls = family in CALLS
    return [*own, *["-fno-peel-loops"] * plain, *["-fno-tree-vectorize"] * calls]


def units() -> list[str]:
    """All units, the extension itself first."""
    return [MODULE, *(name for name in families("cpu") if name in LATER), *FUNCTIONS]


def file_of(extension: Path, unit: str) -> Path:
    """Where a unit is that goes with an extension."""
    key = extension.name.removeprefix(f"{MODULE}-")
    return extension if unit == MODULE else extension.with_name(f"{unit}-{key}")


def generated_sources(unit: str | None = None) -> dict[str, str]:
    """What is generated for a unit, by file; without one, for a single extension with everything.

    Families that are compiled together are in the first one's file.
    """
    from .bindings import bindings_source, family_source, unit_source  # which nobody else needs

    kernels = families("cpu")
    if unit in FUNCTIONS:
        return {f"{unit}.cpp": _including(FUNCTIONS[unit]) + unit_source((), FUNCTIONS[unit])}
    if unit not in (None, MODULE):
        return {f"{unit}.cpp": family_source(unit, kernels[unit]) + unit_source([unit], ())}
    here = {name: k for name, k in kernels.items() if unit is None or name not in LATER}
    methods = [name for names in FUNCTIONS.values() for name in names] if unit is None else []
    later = _later(kernels) if unit == MODULE else {}
    sources = {f"{MODULE}.cpp": bindings_source(MODULE, here, methods, later)}
    together = {name: line for line in PLAIN_LOOPS for name in line}
    if unit == MODULE:
        for name, stems in TOGETHER.items():
            sources[f"{name}.cpp"] = sources.get(f"{name}.cpp", "") + _including(stems)
    for family, its_kernels in here.items():
        first = next(name for name in together.get(family, (family,)) if name in here)
        file = f"{first}.cpp"
        sources[file] = sources.get(file, "") + family_source(family, its_kernels)
    return sources


def _later(kernels: dict[str, list[Kernel]]) -> dict[str, str]:
    """The functions of the units, by name."""
    from .entry import slots_of

    found = {
        name: family
        for family, its_kernels in kernels.items()
        if family in LATER
        for kernel in its_kernels
        for name in (kernel.name, *[f"new_{kernel.name}"] * bool(slots_of(kernel)))
    }
    for unit, sources in FUNCTIONS.items():
        for source in sources:
            text = (kernels_folder() / "host" / f"{source}.cpp").read_text()
            found |= dict.fromkeys(_METHOD.findall(text), unit)
    return found


_METHOD = re.compile(r'^    (?:TL_METHOD\(|\{)"(\w+)"', re.MULTILINE)


def _including(stems: Iterable[str]) -> str:
    return "".join(f'#include "host/{stem}.cpp"\n' for stem in stems)


def _host_sources(unit: str) -> list[Path]:
    """Sources of ``host/`` that are compiled as they are."""
    if unit != MODULE:
        return []
    taken = {stem for stems in (*TOGETHER.values(), *FUNCTIONS.values()) for stem in stems}
    return [p for p in (kernels_folder() / "host").glob("*.cpp") if p.stem not in taken]


def build(compiler: Command, wanted: Sequence[str], target: Path) -> Path:
    """Compile the sources of units side by side, link each unit, and append its digest.

    Parameters
    ----------
    compiler
        Its command.
    wanted
        The units.
    target
        The file of the extension itself; units are put beside it (`file_of`).
    """
    from concurrent.futures import ThreadPoolExecutor

    only = "" if MODULE in wanted else f" ({', '.join(wanted)})"
    say(f"compiling kernels for this CPU, once{only} …")
    start = time.perf_counter()
    jobs = []
    for unit in wanted:
        work = target.parent / unit
        work.mkdir()
        sources = generated_sources(unit)
        for name, text in sources.items():
            (work / name).write_text(text)
        jobs += [(unit, source) for source in [*map(work.joinpath, sources), *_host_sources(unit)]]
    # The longest first, so that no core waits for it in the end.
    jobs.sort(key=lambda job: -len(flatten(job[1])))
    includes = ["-isystem", sysconfig.get_paths()["include"], "-isystem", np.get_include()]

    def compile_one(job: tuple[str, Path]) -> tuple[str, str]:
        unit, source = job
        output = str(target.parent / unit / f"{source.stem}.o")
        flags = [*flags_of(compiler), *_family_flags(source.stem, compiler), *includes]
        run([*compiler, *flags, "-c", str(source), "-o", output])
        return unit, output

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        objects = list(pool.map(compile_one, jobs))
    for unit in wanted:
        file = file_of(target, unit)
        own = [output for of, output in objects if of == unit]
        run([*compiler, "-shared", "-pthread", *own, "-ldl", "-o", str(file)])
        with file.open("ab") as appended:
            appended.write(hashlib.blake2b(file.read_bytes(), digest_size=32).digest())
    say(f"kernels compiled in {time.perf_counter() - start:.1f} s")
    return target


def run(command: list[str]) -> None:
    """Run the compiler, and tell a mistake in the sources from a full disk and from a signal."""
    result = background.run(command)
    if result.returncode < 0:
        raise Ended(f"{Path(command[0]).name} was ended by signal {-result.returncode}")
    if result.returncode:
        lines = result.stderr.strip().splitlines()
        if "No space left on device" in result.stderr:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), command[-1])
        shown = next((line for line in lines if "error" in line), "\n".join(lines[:3]))
        raise SourceRefused(f"{Path(command[0]).name} failed: {shown}")
