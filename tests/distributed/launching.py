"""Programs in several processes, as the tests start them."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

PROGRAMS = Path(__file__).parent / "programs"
WITHOUT = 'mpi4py or an mpiexec is missing: pip install "tensorlite[mpi]"'


def mpiexec() -> str | None:
    beside = shutil.which("mpiexec", path=str(Path(sys.executable).parent))
    return beside or shutil.which("mpiexec")


try:
    import mpi4py

    HAS_MPI = mpi4py is not None and mpiexec() is not None
except ImportError:
    HAS_MPI = False


def run(ranks: int, program: str, *args: object, **variables: str) -> subprocess.CompletedProcess:
    """Run one of the programs, or a module, on so many ranks; with 0, without mpiexec."""
    named = ["-m", program] if "." not in program else [str(PROGRAMS / program)]
    command = [sys.executable, *named, *map(str, args)]
    if ranks:
        command = [mpiexec(), "-n", str(ranks), *command]
    root = str(Path(__file__).parents[2])
    path = os.pathsep.join(filter(None, (root, os.environ.get("PYTHONPATH"))))
    environment = {**os.environ, "PYTHONPATH": path, **variables}
    return subprocess.run(command, capture_output=True, text=True, timeout=240, env=environment)


def digests(ranks: int, *args: object, **variables: str) -> set[str]:
    """What the program of bits prints on all ranks."""
    done = run(ranks, "bits.py", *args, **variables)
    assert done.returncode == 0, done.stderr
    found = re.findall(r"digest (\w+)", done.stdout)
    assert len(found) == max(ranks, 1)
    return set(found)
