"""The kernels on the CPU: a CPython extension, from the package, a cache, or a compiler.

One from the package has everything; others load their units when something asks for them.
"""

from __future__ import annotations

import contextlib
import errno
import importlib.machinery
import importlib.util
import math
import os
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from tensorlite.backend.machine import usable_cores, usable_memory

from . import prebuilt
from .build import MODULE, Command, build, file_of
from .cache import built_in, cache_folder, compiled, is_sound, place, second_cache
from .unavailable import KernelsUnavailable, NotCompiled, say


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
    compiler, cached = place()
    return _wherever(compiler, cached, MODULE, _import)


def _wherever(compiler: Command, cached: Path, unit: str, use: Callable[[Path], Any]) -> Any:
    """Build a unit in the user's cache, and use it there.

    Where that is full, cannot be written, or nothing in it can be run, the system's folder for
    temporary files is tried, and then this process compiles for itself alone.
    """
    reasons = []
    for folder in (cached.parent, second_cache()):
        try:
            return use(file_of(built_in(folder / cached.name, compiler, [unit]), unit))
        except (OSError, ImportError) as error:
            reasons.append(f"{folder} ({getattr(error, 'strerror', None) or error})")
    say(f"kernels cannot be kept in {' or '.join(reasons)}; compiling for this process only")
    import tempfile

    try:
        with tempfile.TemporaryDirectory() as work:
            return use(file_of(build(compiler, [unit], Path(work) / cached.name), unit))
    except (OSError, ImportError) as error:
        raise KernelsUnavailable(f"no folder to compile them in: {error}") from error


def _import(path: Path) -> Any:
    loader = importlib.machinery.ExtensionFileLoader(MODULE, str(path))
    spec = importlib.util.spec_from_file_location(MODULE, path, loader=loader)
    assert spec is not None
    flags = sys.getdlopenflags()
    sys.setdlopenflags(flags | os.RTLD_GLOBAL)  # units find in it what they call
    try:
        module: Any = importlib.util.module_from_spec(spec)
    finally:
        sys.setdlopenflags(flags)
    loader.exec_module(module)
    module.__getattr__ = Later(module).find
    module.on_host = True
    module.empty = np.empty
    module.parts = _parts
    module.follow_cores(usable_cores())
    module.set_cache_limit(min(usable_memory() // 16, 1 << 30))
    return module


class Later:
    """Finds functions of an extension whose units are not loaded yet: compiles and loads them."""

    def __init__(self, module: Any) -> None:
        self._module = module
        self._unit_of: dict[str, str] = dict(pair.split("=") for pair in module.elsewhere.split())
        self._lock = threading.RLock()
        self._failed: dict[str, KernelsUnavailable] = {}

    def find(self, name: str) -> Any:
        """What the module has under a name that it does not know yet."""
        unit = self._unit_of.get(name)
        if unit is None:
            raise AttributeError(f"the kernels have no {name}")
        with self._lock:
            if name not in self._module.__dict__:
                self._load(unit)
        return self._module.__dict__[name]

    def _load(self, unit: str) -> None:
        if unit not in self._failed:
            try:
                path = file_of(Path(self._module.__file__), unit)
                if is_sound(path):
                    with contextlib.suppress(ImportError):  # its folder is mounted noexec
                        return self._use(path)
                compiler, cached = place()
                if cached.name != Path(self._module.__file__).name:
                    raise KernelsUnavailable("the sources changed after the process began")
                return _wherever(compiler, cached, unit, self._use)
            except MemoryError:
                raise MemoryError(
                    f"Unable to allocate the memory to load the kernels of {unit}"
                ) from None
            except KernelsUnavailable as error:
                say(f"compiled kernels of {unit} are off: {error}")
                self._failed[unit] = error
        missing = self._failed[unit]
        if os.environ.get("TENSORLITE_KERNELS") == "compiled":
            raise missing
        raise NotCompiled(str(missing))

    def _use(self, path: Path) -> None:
        """Load a unit from its file."""
        try:
            self._module.load_unit(str(path))
        except ImportError as error:
            if os.strerror(errno.ENOMEM) in str(error):
                raise MemoryError from None
            raise


def _parts(rows: int) -> int:
    """Into how many parts column sums over `rows` rows are cut, whatever the number of threads.

    Of many rows so many that neither a part nor the sum of all parts is a long chain.
    """
    return max(1, min(rows, max(32, math.isqrt(rows))))
