"""A launcher of the C++ compiler for tests: what it compiled before it copies.

``python object_files.py FOLDER g++ -c source.cpp -o source.o`` runs the compiler, unless FOLDER has
the object file of the same source, headers and flags. The tests of the build compile the package's
host code many times over; this is what they take their time for.
"""

from __future__ import annotations

import hashlib
import itertools
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path


def remembering(folder: Path) -> str:
    """The value of ``$CXX`` that makes the build use this launcher, with its files in `folder`."""
    compiler = shutil.which("g++") or shutil.which("clang++") or "c++"
    return shlex.join([sys.executable, str(Path(__file__).resolve()), str(folder), compiler])


def key_of(command: list[str], source: Path) -> str:
    """Digest of what an object file depends on, wherever the folders are."""
    (folder, *_) = [Path(b) for a, b in itertools.pairwise(command) if a == "-iquote"]
    text = source.read_text()
    files = [f for f in sorted(folder.rglob("*")) if f.is_file()]
    read = [f for f in files if f.suffix == ".h" or f.name in text]
    digest = hashlib.blake2b(text.encode())
    for file in read:
        digest.update(f"{file.name} {file.read_text()}".encode())
    for part in command:
        digest.update(b"" if "/" in part else part.encode())
    return digest.hexdigest()


def main(folder: str, *command: str) -> int:
    """Run a command of the compiler, or copy what it would write."""
    if "-c" not in command:
        return subprocess.run(command).returncode
    source = Path(command[command.index("-c") + 1])
    output = command[command.index("-o") + 1]
    known = Path(folder) / key_of(list(command), source)
    if known.exists():
        shutil.copy(known, output)
        return 0
    code = subprocess.run(command).returncode
    if code == 0:
        half = known.with_suffix(f".{os.getpid()}")
        shutil.copy(output, half)
        half.replace(known)
    return code


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
