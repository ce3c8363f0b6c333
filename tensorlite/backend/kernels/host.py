"""The kernels on the CPU: one CPython extension, from the package, a cache, or a compiler."""

from __future__ import annotations

import contextlib
import importlib.machinery
import importlib.util
import math
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from tensorlite.backend.machine import usable_cores, usable_memory

from . import prebuilt
from .build import MODULE, build
from .cache import built_in, cache_folder, compiled, place, second_cache
from .unavailable import KernelsUnavailable, say


def load_host() -> Any:
    """Load the extension: one that came with the package, else one of a cache, else a new one.

    One that ``tensorlite warmup --native`` compiled for exactly this processor comes first. If the
    user's cache cannot be written, the system's folder for temporary files is tried; if that fails
    too, this process compiles for itself alone. A build that failed is not tried again before
    ``tensorlite warmup`` is run or its sources, flags or compiler change.
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


def _load_native() -> Any:
    """From the user's cache, the system's folder for temporary files, or for this process alone.

    The next one is tried where a folder is full, cannot be written, or nothing in it can be run.
    """
    compiler, cached = place()
    reasons = []
    for folder in (cached.parent, second_cache()):
        try:
            return _import(built_in(folder / cached.name, compiler))
        except (OSError, ImportError) as error:
            reasons.append(f"{folder} ({getattr(error, 'strerror', None) or error})")
    say(f"kernels cannot be kept in {' or '.join(reasons)}; compiling for this process only")
    try:
        with tempfile.TemporaryDirectory() as work:
            return _import(build(compiler, Path(work) / cached.name))
    except (OSError, ImportError) as error:
        raise KernelsUnavailable(f"no folder to compile them in: {error}") from error


def _import(path: Path) -> Any:
    loader = importlib.machinery.ExtensionFileLoader(MODULE, str(path))
    spec = importlib.util.spec_from_file_location(MODULE, path, loader=loader)
    assert spec is not None
    module: Any = importlib.util.module_from_spec(spec)
    loader.exec_module(module)
    module.on_host = True
    module.empty = np.empty
    module.parts = _parts
    module.follow_cores(usable_cores())
    module.set_cache_limit(min(usable_memory() // 16, 1 << 30))
    return module


def _parts(rows: int) -> int:
    """Into how many parts column sums over `rows` rows are cut, whatever the number of threads.

    Of many rows so many that neither a part nor the sum of all parts is a long chain.
    """
    return max(1, min(rows, max(32, math.isqrt(rows))))
