"""Where compiled kernels are kept, and how several processes share them."""

from __future__ import annotations

import contextlib
import hashlib
import os
import platform
import shutil
import stat
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from tensorlite.backend.locks import FileLock

from .build import MODULE, Command, Ended, build, file_of, find_compiler, units
from .declarations import kernels_folder
from .unavailable import KernelsUnavailable

BUILDING = "building-"  # begins the names of folders that are compiled in
PATIENCE = 900.0  # seconds to wait for another process that compiles


def built_in(cached: Path, compiler: Command, wanted: Sequence[str] = (MODULE,)) -> Path:
    """Build the extension, or other units, in a cache, once for all processes.

    Parameters
    ----------
    cached
        The extension's file; other units are beside it.
    compiler
        The compiler's command.
    wanted
        The units.

    Returns
    -------
    Path
        `cached`.

    Raises
    ------
    KernelsUnavailable
        If they do not compile, or did not before.
    """
    import tempfile

    failed = file_of(cached, wanted[0]).with_suffix(".failed")
    if failed.is_file():
        raise KernelsUnavailable(f"{failed.read_text()} (tensorlite warmup tries again)")
    cached.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    # One process compiles while others wait for its result.
    with FileLock(cached.parent / "lock", "the kernels are being compiled", PATIENCE, keep=True):
        for left_over in cached.parent.glob(f"{BUILDING}*"):  # of a process that was killed
            shutil.rmtree(left_over, ignore_errors=True)
        missing = [unit for unit in wanted if not is_sound(file_of(cached, unit))]
        if missing:
            with tempfile.TemporaryDirectory(dir=cached.parent, prefix=BUILDING) as work:
                try:
                    made = build(compiler, missing, Path(work) / cached.name)
                except Ended:
                    raise
                except KernelsUnavailable as error:
                    failed.write_text(str(error))
                    raise
                for unit in missing:
                    file_of(made, unit).replace(file_of(cached, unit))
    return cached


def build_native() -> Path:
    """Build the extension and all units for this very processor, once for all processes."""
    compiler, cached = place()
    try:
        return built_in(cached, compiler, units())
    except OSError as error:
        with contextlib.suppress(OSError):
            return built_in(second_cache() / cached.name, compiler, units())
        raise error


def compiled() -> Path | None:
    """The extension in a cache, whole, so that it will not be compiled; or None."""
    cached = place()[1]
    found = (p for p in (cached, second_cache() / cached.name) if is_sound(p))
    return next(found, None)


def is_built() -> bool:
    """Whether the extension and all units lie in a cache, whole: nothing will be compiled."""
    extension = compiled()
    return extension is not None and all(is_sound(file_of(extension, u)) for u in units())


def failure() -> str | None:
    """What the compiler said, where it failed before."""
    _, cached = place()
    found = (file_of(cached, unit).with_suffix(".failed") for unit in units())
    return next((path.read_text() for path in found if path.is_file()), None)


def forget_failure() -> None:
    """Let the next process repeat a build that failed."""
    _, cached = place()
    for path in (cached, second_cache() / cached.name):
        for unit in units():
            with contextlib.suppress(OSError):
                file_of(path, unit).with_suffix(".failed").unlink()


def place() -> tuple[Command, Path]:
    """Return the compiler, and the file that the extension is or will be in; builds nothing.

    Raises
    ------
    KernelsUnavailable
        If there is no compiler or no Python headers.
    """
    compiler = find_compiler()
    return compiler, cache_folder() / f"{MODULE}-{_cache_key(compiler)}.so"


def cache_folder() -> Path:
    """Return where compiled kernels are kept: in ``$XDG_CACHE_HOME``, else in ``~/.cache``."""
    base = os.environ.get("XDG_CACHE_HOME")
    try:
        return Path(base or Path.home() / ".cache") / "tensorlite" / "kernels"
    except RuntimeError:  # a user without a home
        return second_cache()


def second_cache() -> Path:
    """Where kernels are kept if that cannot be written: the user's folder among temporary files.

    If other users can write to it, the name returned is of a folder that does not exist.
    """
    import getpass
    import tempfile

    try:
        user = getpass.getuser()
    except (OSError, KeyError):  # a number without a name
        user = str(os.getuid())
    folder = Path(tempfile.gettempdir()) / f"tensorlite-{user}" / "kernels"
    with contextlib.suppress(OSError):
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        for each in (folder.parent, folder):
            state = each.lstat()
            if (
                state.st_uid != os.getuid()
                or not stat.S_ISDIR(state.st_mode)
                or state.st_mode & 0o22
            ):
                return folder / "not-safe"
    return folder


def _cache_key(compiler: Command) -> str:
    """Digest of everything the machine code depends on."""
    digest = hashlib.blake2b(digest_size=16)
    parts = [_processor(), sys.version, np.__version__, *compiler]
    for word in compiler:
        # A program's file stands for its version: asking it would cost a process at every start.
        if (path := shutil.which(word)) is not None:
            file = Path(path).resolve()
            parts += [str(file), str(file.stat().st_size), str(file.stat().st_mtime_ns)]
    digest.update("\0".join(parts).encode())
    generator = sorted(Path(__file__).parent.glob("*.py"))
    sources = [path for path in sorted(kernels_folder().rglob("*.*")) if path.suffix != ".md"]
    for source in [*generator, *sources]:
        if source.is_file():
            digest.update(f"\0{source.name}\0".encode() + source.read_bytes())
    return digest.hexdigest()


def _processor() -> str:
    """Model and instruction sets of the CPU, since the code is made for exactly this one."""
    with contextlib.suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text().split("\n\n")[0].splitlines()
        kept = [line for line in lines if line.startswith(("model", "flags", "Features", "CPU"))]
        return "\n".join(kept)
    return f"{platform.machine()} {platform.processor()}"


def is_sound(path: Path) -> bool:
    """Whether a cached file is whole: its last 32 bytes are the digest of the rest."""
    try:
        with path.open("rb") as file:
            left = os.fstat(file.fileno()).st_size - 32
            if left <= 0:
                return False
            digest = hashlib.blake2b(digest_size=32)
            while left and (part := file.read(min(left, 1 << 18))):  # it may be megabytes
                digest.update(part)
                left -= len(part)
            return file.read() == digest.digest()
    except OSError:
        return False
