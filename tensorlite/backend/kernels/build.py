"""Compiling the kernels for the CPU: the compiler, its flags, the generated sources."""

from __future__ import annotations

import errno
import hashlib
import os
import platform
import shlex
import shutil
import subprocess
import sysconfig
import time
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path

import numpy as np

from .bindings import bindings_source, family_source
from .declarations import families, flatten, kernels_folder
from .unavailable import KernelsUnavailable, say

MODULE = "tensorlite_kernels"
# Single flags out of -ffast-math that keep NaN and infinity right and change no rounding of sums:
# reassociation is allowed loop by loop, in team reductions.
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
    ("batch_norm", "linear", "norm", "scan"),
    ("cross_entropy", "pooling", "softmax"),
)
FAMILY_FLAGS = {
    # The same bits in NumPy, C++ and CUDA.
    "philox": ["-ffp-contract=off", "-fsigned-zeros"],
    # Run seldom, and never in a loop of a step.
    MODULE: ["-Og"],
    "plan": ["-Og"],
    "fusing": ["-Og"],
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


def build(compiler: Command, target: Path) -> Path:
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
        flags = [*flags_of(compiler), *_family_flags(source.stem, compiler), *includes]
        run([*compiler, *flags, "-c", str(source), "-o", output])
        return output

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        objects = list(pool.map(compile_one, jobs))
    run([*compiler, "-shared", "-pthread", *objects, "-ldl", "-o", str(target)])
    with target.open("ab") as file:
        file.write(hashlib.blake2b(target.read_bytes(), digest_size=32).digest())
    say(f"kernels compiled in {time.perf_counter() - start:.1f} s")
    return target


def run(command: list[str]) -> None:
    """Run the compiler, and tell a mistake in the sources from a full disk and from a signal."""
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode < 0:
        raise Ended(f"{Path(command[0]).name} was ended by signal {-result.returncode}")
    if result.returncode:
        lines = result.stderr.strip().splitlines()
        if "No space left on device" in result.stderr:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), command[-1])
        shown = next((line for line in lines if "error" in line), "\n".join(lines[:3]))
        raise KernelsUnavailable(f"{Path(command[0]).name} failed: {shown}")
