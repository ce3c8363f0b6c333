"""Kernels that came with the package: built beforehand for levels of the processor, one is chosen.

A wheel holds one extension for each of the levels x86-64-v2, -v3 and -v4, or one for aarch64
(``tools/wheels.py`` builds them). A clone holds none, and the kernels are compiled at first use.
"""

from __future__ import annotations

import ctypes
import os
import platform
from functools import cache
from pathlib import Path

FOLDER = Path(__file__).resolve().parents[2] / "prebuilt"
X86_64 = ("x86-64-v2", "x86-64-v3", "x86-64-v4")
"""Levels that are built for, ascending."""


@cache
def find() -> Path | None:
    """The extension for this processor that came with the package; None where none did.

    ``TENSORLITE_CPU=x86-64-v2`` asks for a lower level than the processor has.

    Raises
    ------
    ValueError
        If ``TENSORLITE_CPU`` names no level that the package holds and the processor has.
    """
    if not FOLDER.is_dir():
        return None
    usable = {level: path for level in levels() if (path := file_of(level)).is_file()}
    asked = os.environ.get("TENSORLITE_CPU")
    if asked and asked not in usable:
        raise ValueError(f"TENSORLITE_CPU is {asked!r}; usable here: {', '.join(usable) or 'none'}")
    return usable[asked] if asked else next(reversed(usable.values()), None)


def file_of(level: str) -> Path:
    """Where the package keeps the extension for a level."""
    return FOLDER / f"kernels-{level}.so"


def level_of(path: Path) -> str:
    """The level that an extension of the package was built for."""
    return path.stem.removeprefix("kernels-")


def levels() -> tuple[str, ...]:
    """Levels that this processor has, ascending."""
    if platform.machine() in ("aarch64", "arm64"):
        return ("aarch64",)
    if platform.machine() not in ("x86_64", "AMD64") or not (FOLDER / "cpuid.so").is_file():
        return ()
    return X86_64[: ctypes.CDLL(str(FOLDER / "cpuid.so")).tensorlite_x86_64_level() - 1]
