"""Build all that a release uploads: the sdist and the wheels with prebuilt kernels, and check them.

    uv run --group wheels python tools/wheels.py               # everything, into dist/
    uv run --group wheels python tools/wheels.py --python 3.12 --platform musllinux_x86_64

Zig's clang, which comes from PyPI, compiles for every platform on any of them. What no Python is
needed for is compiled once a platform and level, the rest once a version of Python, whose headers
are those of an interpreter that uv or the PATH has, or those that ``--include 3.14=DIR`` names.
"""

from __future__ import annotations

import argparse
import io
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from unittest import mock

import numpy as np
import zopfli.zlib
from elftools.elf.elffile import ELFFile

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from tensorlite.backend.kernels import build, prebuilt  # noqa: E402
from tensorlite.backend.kernels.declarations import flatten, kernels_folder  # noqa: E402

PYTHONS = ("3.11", "3.12", "3.13", "3.14")
MOST_BYTES = 3_000_000
ZIG = [sys.executable, "-m", "ziglang", "c++", "-fno-sanitize=undefined"]
LINK = ["-shared", "-s", "-pthread", "-Wl,--gc-sections"]
X86_64 = {level: level.replace("-", "_") for level in prebuilt.X86_64}


@dataclass(frozen=True)
class Platform:
    """A platform as pip names it, as Zig does, and the levels of its processors."""

    tag: str
    target: str
    levels: dict[str, str]


PLATFORMS = {
    "manylinux_x86_64": Platform(
        "manylinux_2_17_x86_64.manylinux2014_x86_64", "x86_64-linux-gnu.2.17", X86_64
    ),
    "manylinux_aarch64": Platform(
        "manylinux_2_17_aarch64.manylinux2014_aarch64",
        "aarch64-linux-gnu.2.17",
        {"aarch64": "generic"},
    ),
    "musllinux_x86_64": Platform("musllinux_1_2_x86_64", "x86_64-linux-musl", X86_64),
    "musllinux_aarch64": Platform(
        "musllinux_1_2_aarch64", "aarch64-linux-musl", {"aarch64": "generic"}
    ),
}


def main() -> None:
    """Build what is asked for; the last lines are sizes."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--python", nargs="+", default=PYTHONS, metavar="X.Y")
    parser.add_argument("--platform", nargs="+", default=list(PLATFORMS), choices=PLATFORMS)
    parser.add_argument("--include", action="append", default=[], metavar="X.Y=DIR")
    parser.add_argument("--out", type=Path, default=ROOT / "dist")
    args = parser.parse_args()
    named = dict(text.split("=", 1) for text in args.include)
    headers = {python: headers_of(python, named) for python in args.python}
    args.out.mkdir(parents=True, exist_ok=True)
    made = [sdist(args.out)]
    with tempfile.TemporaryDirectory() as work:
        for python, include in headers.items():
            headers[python] = complete(include, Path(work, "include", python))
        for name in args.platform:
            for python, include in headers.items():
                folder = Path(work, name, f"package-{python}")
                kernels(PLATFORMS[name], python, include, Path(work, name), folder)
                made.append(wheel(folder, python, PLATFORMS[name].tag, args.out))
    check(made)
    print(*(f"{path.stat().st_size / 1e6:5.2f} MB  {path.name}" for path in made), sep="\n")


def headers_of(python: str, named: dict[str, str]) -> Path:
    """The folder of Python.h for a version: named, or that of an interpreter at hand."""
    if python in named:
        candidates = [named[python]]
    else:
        ask = "import sysconfig; print(sysconfig.get_paths()['include'])"
        interpreters = [_found_by_uv(python), shutil.which(f"python{python}")]
        if python == f"{sys.version_info[0]}.{sys.version_info[1]}":
            interpreters.append(sys.executable)
        candidates = [_output([i, "-c", ask]) for i in interpreters if i]
    found = next((Path(c) for c in candidates if c and Path(c, "Python.h").is_file()), None)
    if found is None:
        sys.exit(
            f"no headers of Python {python}: `uv python install {python}`, or name their folder: "
            f"--include {python}=DIR"
        )
    return found


def complete(include: Path, to: Path) -> Path:
    """Python's headers in one folder: Debian keeps pyconfig.h apart, among those of its libc.

    All platforms are alike in what pyconfig.h says to extensions: 64 bits, little-endian, Unix.
    """
    shutil.copytree(include, to)
    for apart in include.parent.glob(f"*-linux-gnu/{include.name}/pyconfig.h"):
        shutil.copy(apart, to)
    return to


def _found_by_uv(python: str) -> str | None:
    uv = shutil.which("uv")
    return _output([uv, "python", "find", "--no-project", python]) if uv else None


def _output(command: list[str]) -> str | None:
    result = subprocess.run(command, capture_output=True, text=True)
    return result.stdout.strip() if result.returncode == 0 else None


def kernels(platform: Platform, python: str, include: Path, work: Path, to: Path) -> None:
    """Build the extension for every level of a platform, and what chooses among them."""
    to.mkdir(parents=True)
    for level, cpu in platform.levels.items():
        print(f"{platform.target} {level}, Python {python} …", flush=True)
        compiler = [*ZIG, "-target", platform.target, f"-mcpu={cpu}"]
        objects = _objects(compiler, work / level, python, include)
        _run([*compiler, *LINK, *objects, "-o", str(to / prebuilt.file_of(level).name)])
    if len(platform.levels) > 1:
        lowest = [*ZIG, "-target", platform.target, f"-mcpu={next(iter(platform.levels.values()))}"]
        source = kernels_folder() / "cpuid.cpp"
        flags = ["-O2", "-fPIC", "-fno-exceptions", "-nostdlib++", *LINK]
        _run([*lowest, *flags, str(source), "-o", str(to / "cpuid.so")])


def _objects(compiler: list[str], work: Path, python: str, include: Path) -> list[str]:
    """Compile all sources; those that include no Python are there from the last version."""
    work.mkdir(parents=True, exist_ok=True)
    for name, text in build.generated_sources().items():
        (work / name).write_text(text)
    sources = [*work.glob("*.cpp"), *(kernels_folder() / "host").glob("*.cpp")]
    sources.sort(key=lambda source: -len(_flat(source)))
    own = ["-iquote", str(kernels_folder()), "-iquote", str(kernels_folder() / "host")]
    foreign = ["-isystem", str(include), "-isystem", np.get_include()]

    def compile_one(source: Path) -> str:
        python_too = "<Python.h>" in _flat(source)
        output = work / f"{source.stem}{f'-{python}' if python_too else ''}.o"
        if not output.is_file():
            flags = [*build.FLAGS, *build.CLANG_FLAGS, *_family_flags(source.stem)]
            extra = foreign if python_too else []
            _run([*compiler, *flags, *own, *extra, "-c", str(source), "-o", str(output)])
        return str(output)

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return list(pool.map(compile_one, sources))


def _family_flags(family: str) -> list[str]:
    """Those of a build in place, but small bindings: they are half of a wheel's machine code."""
    if family == build.MODULE:
        return ["-Oz", "-Xclang", "-fmerge-functions"]
    return build.FAMILY_FLAGS.get(family, [])


@cache
def _flat(source: Path) -> str:
    return flatten(source)


def sdist(out: Path) -> Path:
    """Build the source distribution."""
    return _hatch("sdist", out, {})


def wheel(folder: Path, python: str, platform: str, out: Path) -> Path:
    """Build the wheel that holds the kernels in a folder."""
    name = f"cp{python.replace('.', '')}"
    tag = f"{name}-{name}-{platform}"
    made = _hatch("wheel", out, {"TENSORLITE_PREBUILT": str(folder), "TENSORLITE_TAG": tag})
    tighten(made)
    return made


class _Zopfli:
    """What `zlib.compressobj` makes, from Zopfli: the same format, a twentieth smaller."""

    def __init__(self, *_: object) -> None:
        self.content = bytearray()

    def compress(self, content: bytes) -> bytes:
        self.content += content
        return b""

    def flush(self) -> bytes:
        return _deflated(bytes(self.content))


@cache
def _deflated(content: bytes) -> bytes:
    """Without zlib's own frame. Zopfli takes minutes a wheel, and most files are in all wheels."""
    return zopfli.zlib.compress(content)[2:-4]


def tighten(wheel: Path) -> None:
    """Compress the files of a wheel anew, in place."""
    half = wheel.with_suffix(".half")
    with (
        zipfile.ZipFile(wheel) as old,
        zipfile.ZipFile(half, "w") as new,
        mock.patch("zlib.compressobj", _Zopfli),
    ):
        for member in old.infolist():
            new.writestr(member, old.read(member), zipfile.ZIP_DEFLATED)
    half.replace(wheel)


def _hatch(kind: str, out: Path, variables: dict[str, str]) -> Path:
    command = [sys.executable, "-m", "hatchling", "build", "-t", kind, "-d", str(out)]
    result = _run(command, cwd=ROOT, env={**os.environ, **variables})
    return out / Path((result.stdout + result.stderr).strip().splitlines()[-1]).name


def check(made: list[Path]) -> None:
    """Check the metadata, the platforms that the wheels are for, and their sizes."""
    _run([sys.executable, "-m", "twine", "check", "--strict", *map(str, made)])
    for path in made[1:]:
        said = path.stem.split("-")[-1].split(".")[0]
        if said.startswith("musllinux"):
            _check_musl(path)
        else:
            shown = _run([sys.executable, "-m", "auditwheel", "show", str(path)]).stdout
            if f'"{said}"' not in " ".join(shown.split()):
                sys.exit(f"{path.name} is not what its name says:\n{shown}")
        if path.stat().st_size > MOST_BYTES:
            sys.exit(f"{path.name} has {path.stat().st_size} bytes, more than {MOST_BYTES}")


def _check_musl(wheel: Path) -> None:
    """Its extensions need musl's libc and nothing else; auditwheel finds glibc's in most places."""
    with zipfile.ZipFile(wheel) as archive:
        for name in filter(lambda name: name.endswith(".so"), archive.namelist()):
            dynamic = ELFFile(io.BytesIO(archive.read(name))).get_section_by_name(".dynamic")
            tags = [tag for tag in dynamic.iter_tags() if tag.entry.d_tag == "DT_NEEDED"]
            needed = {tag.needed for tag in tags}
            if not needed <= {"libc.so"}:
                sys.exit(f"{wheel.name}: {name} needs {', '.join(needed)}, beside musl's libc.so")


def _run(command: list[str], **options: object) -> subprocess.CompletedProcess[str]:
    result = subprocess.run(command, capture_output=True, text=True, **options)
    if result.returncode:
        sys.exit(f"{' '.join(command)}\n{result.stdout}{result.stderr}")
    return result


if __name__ == "__main__":
    main()
