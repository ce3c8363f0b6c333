"""What the assembler made of the kernels: registers, spills, memory accesses, tensor cores, loops.

    python tests/kernels/sass.py                              # every family, float32 and bfloat16
    python tests/kernels/sass.py attention --dtype bfloat16 --arch 80 90 120

It needs NVRTC, which comes with CuPy, and `nvdisasm` (on the PATH, from CUDA, or from the package
nvidia-cuda-nvdisasm), but no GPU.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sysconfig
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tensorlite.backend.kernels.declarations import families
from tensorlite.backend.kernels.nvrtc import cubin_of

REGISTERS, WARPS, THREADS, BLOCKS = 65536, {75: 32, 80: 64, 90: 64, 100: 64}, 1024, 32
SHARED = {75: 64, 80: 164, 86: 100, 89: 100, 90: 228, 100: 228, 120: 100}
"""Of a multiprocessor: kilobytes of shared memory."""

_LABEL = re.compile(r"^(\.L_\w+):")
_CODE = re.compile(r"^\s+/\*[0-9a-f]{4,}\*/\s+(?:@!?U?P\w+\s+)?([A-Z][\w.]*)(.*?);")
_TARGET = re.compile(r"`\((\.L_\w+)\)")


@dataclass
class Loop:
    """The instructions of an innermost loop, by what they do."""

    instructions: int = 0
    counts: Counter = field(default_factory=Counter)

    def __str__(self) -> str:
        what = " ".join(f"{name} {n}" for name, n in sorted(self.counts.items()))
        return f"{self.instructions} instructions ({what})"


@dataclass
class Code:
    """One kernel as machine code."""

    name: str
    registers: int
    shared: int
    spills: int
    counts: Counter
    loops: list[Loop]

    def warps(self, arch: int, threads: int, dynamic: int = 0) -> int:
        """Warps that a multiprocessor holds: its occupancy."""
        per_warp = -(-self.registers * 32 // 256) * 256
        warps = -(-threads // 32)
        most = WARPS.get(arch, 48)
        blocks = min(REGISTERS // per_warp // warps, most // warps, BLOCKS)
        if self.shared + dynamic:
            blocks = min(blocks, SHARED[arch] * 1024 // (self.shared + dynamic + 1024))
        return blocks * warps


def nvdisasm() -> str | None:
    """Return the path of NVIDIA's disassembler, or None."""
    found = shutil.which("nvdisasm")
    packages = Path(sysconfig.get_paths()["purelib"])
    places = [found, *packages.glob("nvidia/*/bin/nvdisasm")]
    return next((str(place) for place in places if place), None)


def _kind(name: str, rest: str) -> list[str]:
    """What an instruction counts as."""
    base, *modifiers = name.split(".")
    if base in ("LDG", "STG", "LDS", "STS", "LDL", "STL", "LDGSTS"):
        width = next((int(m) for m in modifiers if m in ("128", "64")), 32)
        width = next(
            (
                {"U8": 8, "S8": 8, "U16": 16, "S16": 16}[m]
                for m in modifiers
                if m in ("U8", "S8", "U16", "S16")
            ),
            width,
        )
        return [base, f"{base}.{width}"]
    if base == "MUFU":
        return [base, f"MUFU.{modifiers[0]}"]
    return [base] if base in ("HMMA", "LDSM", "SHFL", "BAR", "FFMA", "CALL", "LDGDEPBAR") else []


def _read(lines: list[str]) -> tuple[Counter, list[Loop]]:
    """Count a kernel's instructions, all of them and those of its innermost loops."""
    code: list[tuple[str, str]] = []
    labels: dict[str, int] = {}
    for line in lines:
        if label := _LABEL.match(line):
            labels[label[1]] = len(code)
        elif instruction := _CODE.match(line):
            code.append((instruction[1], instruction[2]))
    back = []
    for at, (name, rest) in enumerate(code):
        target = _TARGET.search(rest) if name.startswith("BRA") else None
        if target and labels.get(target[1], at + 1) < at:  # a jump to itself ends the code
            back.append((labels[target[1]], at + 1))

    def inside(b: tuple[int, int], a: tuple[int, int]) -> bool:
        return a != b and a[0] <= b[0] and b[1] <= a[1]

    def multiplies(span: tuple[int, int]) -> bool:
        return any(name.startswith("HMMA") for name, _ in code[slice(*span)])

    # Around tensor cores' instructions the loop may hold others, for what is seldom needed.
    inner = [
        a for a in back if not any(inside(b, a) and multiplies(b) >= multiplies(a) for b in back)
    ]

    def count(first: int, last: int) -> Counter:
        return Counter(kind for name, rest in code[first:last] for kind in _kind(name, rest))

    loops = [Loop(last - first, count(first, last)) for first, last in inner]
    return count(0, len(code)), loops


def _functions(text: str) -> Iterator[tuple[str, list[str]]]:
    for part in re.split(r"^\.text\.", text, flags=re.MULTILINE)[1:]:
        name, _, body = part.partition(":")
        yield name, body.split("\n")


def read(family: str, dtype: str | None, arch: int) -> list[Code]:
    """Compile a family for one dtype and chip, and read its kernels."""
    cubin = cubin_of(family, dtype, arch)
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(cubin.image)
        file.flush()
        command = [nvdisasm() or "nvdisasm", "--print-code", file.name]
        text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    resources = {}
    for name, report in re.findall(r"Function properties for (\w+)\n((?:.*\n){2})", cubin.log):
        spilled = sum(map(int, re.findall(r"(\d+) bytes spill", report)))
        registers = int(re.search(r"Used (\d+) registers", report)[1])
        shared = re.search(r"(\d+) bytes smem", report)
        resources[name] = registers, int(shared[1]) if shared else 0, spilled
    return [
        Code(cubin.names.get(name, name), *resources[name], *_read(lines))
        for name, lines in _functions(text)
        if name in resources
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("families", nargs="*", default=list(families("cuda")))
    parser.add_argument("--dtype", nargs="*", default=["float32", "bfloat16"])
    parser.add_argument("--arch", nargs="*", type=int, default=[80, 90, 120])
    parser.add_argument("--loops", action="store_true", help="show innermost loops")
    options = parser.parse_args()
    for arch in options.arch:
        for family in options.families:
            for dtype in options.dtype:
                for code in read(family, dtype, arch):
                    wide = " ".join(f"{k} {n}" for k, n in sorted(code.counts.items()) if "." in k)
                    print(
                        f"sm_{arch} {code.name}: {code.registers} registers,"
                        f" {code.shared} B shared, {code.spills} spilled,"
                        f" HMMA {code.counts['HMMA']}, {wide}"
                    )
                    for loop in code.loops if options.loops else ():
                        print(f"    loop: {loop}")


if __name__ == "__main__":
    main()
