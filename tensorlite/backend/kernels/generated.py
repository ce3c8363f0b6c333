"""Generated kernels on the CPU: compiled, kept in the kernels' cache, and loaded."""

from __future__ import annotations

import ctypes
import hashlib
import tempfile
from functools import cache
from pathlib import Path

from tensorlite.backend.kernels.build import Command, flags_of, run
from tensorlite.backend.kernels.cache import is_sound, place, second_cache
from tensorlite.backend.kernels.unavailable import KernelsUnavailable


class Generated:
    """A library of generated kernels, by their numbers."""

    def __init__(self, path: Path, services: int) -> None:
        self._library = ctypes.CDLL(str(path))
        self._library.connect(ctypes.c_void_p(services))

    def address(self, index: int) -> int:
        """Where the function of a kernel is."""
        function = getattr(self._library, f"call_fused_{index}")
        return ctypes.cast(function, ctypes.c_void_p).value or 0


@cache
def generated(text: str, services: int) -> Generated:
    """Compile a source, or find it compiled.

    Parameters
    ----------
    text
        C++ with functions ``call_fused_0``, ``call_fused_1`` and so on.
    services
        The address of what they call (``fused_services()`` of the extension).

    Raises
    ------
    KernelsUnavailable
        If there is no compiler, or nowhere to keep what it makes.
    """
    compiler, extension = place()
    digest = hashlib.blake2b(f"{extension.name}\0{text}".encode(), digest_size=16).hexdigest()
    reasons = []
    for folder in (extension.parent, second_cache()):
        try:
            return Generated(_built(compiler, folder / f"fused-{digest}.so", text), services)
        except OSError as error:
            reasons.append(f"{folder} ({error.strerror or error})")
    raise KernelsUnavailable(f"generated kernels cannot be kept in {' or '.join(reasons)}")


def _built(compiler: Command, target: Path, text: str) -> Path:
    """The library's file, which is whole whoever else writes it at the same time."""
    if is_sound(target):
        return target
    target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with tempfile.TemporaryDirectory() as work:
        source, made = Path(work) / "fused.cpp", Path(work) / target.name
        source.write_text(text)
        run([*compiler, *flags_of(compiler), "-shared", str(source), "-o", str(made)])
        content = made.read_bytes()
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=target.stem)
    try:
        with open(handle, "wb") as file:
            file.write(content + hashlib.blake2b(content, digest_size=32).digest())
        Path(name).replace(target)
    except OSError:
        Path(name).unlink(missing_ok=True)
        raise
    return target
