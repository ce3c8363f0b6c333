"""How long importing tensorlite takes beside importing NumPy: ``import_time.py [ROUNDS]``."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time


def main() -> None:
    """Time fresh interpreters in turn; print medians, less those of an interpreter alone."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 15
    times: dict[str, list[float]] = {"pass": [], "import numpy": [], "import tensorlite": []}
    for _ in range(rounds):
        for code, found in times.items():
            start = time.perf_counter()
            subprocess.run([sys.executable, "-c", code], check=True)
            found.append(time.perf_counter() - start)
    empty, *full = (1e3 * statistics.median(found) for found in times.values())
    numpy, ours = (milliseconds - empty for milliseconds in full)
    print(f"numpy {numpy:.0f} ms, tensorlite {ours:.0f} ms, ratio {ours / numpy:.2f}")


if __name__ == "__main__":
    main()
