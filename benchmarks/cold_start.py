"""What a first training takes in a fresh clone, whose kernels are to be compiled.

``python benchmarks/cold_start.py [REVISION …] [--rounds N]`` clones this repository, runs
``uv run tensorlite train`` with an empty cache for kernels, and prints the clock and the processor
time, of the compilers too; several revisions take turns. uv's own cache stays, so that nothing is
downloaded. On a busy machine processor time is what can be compared.
"""

from __future__ import annotations

import argparse
import os
import resource
import shutil
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def measure(revision: str) -> tuple[float, float]:
    """Seconds of the clock and of the processors, of one first training."""
    with tempfile.TemporaryDirectory() as work:
        clone = Path(work, "clone")
        subprocess.run(["git", "clone", "-q", str(ROOT), str(clone)], check=True)
        subprocess.run(["git", "checkout", "-q", revision], cwd=clone, check=True)
        dropped = ("PYTHONPATH", "PYTHONDONTWRITEBYTECODE", "VIRTUAL_ENV")
        env = {name: value for name, value in os.environ.items() if name not in dropped}
        cache = env.get("UV_CACHE_DIR") or str(Path.home() / ".cache" / "uv")
        env |= {"XDG_CACHE_HOME": str(Path(work, "cache")), "UV_CACHE_DIR": cache}
        before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
        subprocess.run(
            ["uv", "run", "-q", "tensorlite", "train"],
            cwd=clone, env=env, check=True, capture_output=True,
        )  # fmt: skip
        wall, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    """Print a line for each revision."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("revisions", nargs="*", default=["HEAD"])
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    if shutil.which("uv") is None:
        parser.error("uv is not installed")
    found: dict[str, list] = {revision: [] for revision in args.revisions}
    for _ in range(args.rounds):
        for revision, times in found.items():
            times.append(measure(revision))
    for revision, times in found.items():
        wall, busy = (statistics.median(each) for each in zip(*times, strict=True))
        print(f"{revision}: {wall:.1f} s, processors {busy:.1f} s")


if __name__ == "__main__":
    main()
