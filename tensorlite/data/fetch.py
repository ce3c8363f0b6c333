"""Read files that must match a checksum; download those that are missing."""

from __future__ import annotations

import contextlib
import errno
import gzip
import hashlib
import http.client
import os
import sys
import urllib.error
import urllib.request
import zlib
from pathlib import Path
from typing import IO, TYPE_CHECKING

from tensorlite.backend.locks import FileLock

if TYPE_CHECKING:
    from tensorlite.data.sources import FileSet

__all__ = ["download", "read_verified"]

TIMEOUT = 30.0  # seconds without a byte before a mirror is given up
CHUNK = 1 << 20
PATIENCE = 1800.0  # seconds to wait for the download of another process
SLACK = 1 << 16  # bytes by which what is packed may be longer than its content


def read_verified(path: Path, file: str, sha256: str, size: int) -> bytes:
    """Return the content of `file`, which `path` holds as it is or gzipped.

    No more than `size` bytes are read or decompressed.

    Raises
    ------
    ValueError
        If the file is truncated, damaged or too long, or its content has another checksum.
    """
    try:
        with path.open("rb") as plain:
            if path.name == file:
                content = plain.read(size + 1)
            else:
                with gzip.GzipFile(fileobj=plain) as packed:
                    content = packed.read(size + 1)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise ValueError(
            f"{path} is truncated or damaged ({error}): remove or replace it"
        ) from error
    if len(content) > size:
        raise ValueError(
            f"{path} is not the published {file}: its content is longer than {size:,} bytes: "
            "remove or replace it"
        )
    digest = hashlib.sha256(content).hexdigest()
    if digest != sha256:
        raise ValueError(
            f"{path} is not the published {file}: its content has sha256 {digest}, expected "
            f"{sha256}. It may be truncated or damaged: remove or replace it"
        )
    return content


def download(files: FileSet) -> Path:
    """Download what the cache lacks of a set of files; return their folder.

    A file appears in the cache only when it is complete and its checksum is right.

    Raises
    ------
    FileNotFoundError
        If a file cannot be had from any mirror; names every place tried.
    """
    partials = files.cache / ".partial"
    made = [folder for folder in (partials, *partials.parents) if not folder.exists()]
    failures: list[str] = []
    try:
        partials.mkdir(parents=True, exist_ok=True)
        if partials.is_symlink():
            raise OSError(f"{partials} is a link: files are not written through links")
        # Others wait for this download, and find the files when it is done.
        with FileLock(partials / "lock", f"{files.cache} is being downloaded", wait=PATIENCE):
            for file in files.missing(files.cache):
                failures = _download_file(files, file)
                if failures:
                    break
    except OSError as error:
        failures = [f"{files.cache}: {error.strerror or error}"]
    if failures:
        with contextlib.suppress(OSError):  # nothing stays behind but what came
            for folder in made:
                folder.rmdir()
        raise FileNotFoundError(_not_found(files, failures))
    return files.cache


def _download_file(files: FileSet, file: str) -> list[str]:
    """Download one file from the first mirror that has it; return why the mirrors failed."""
    packed = file + files.suffix
    partial = files.cache / ".partial" / packed
    size = files.size_of(file)
    failures = []
    for mirror in files.mirrors:
        url = mirror + packed
        print(f"tensorlite: downloading {url} to {files.cache}", file=sys.stderr)
        try:
            _transfer(url, partial, size + size // 100 + SLACK)
            _accept(partial, files.cache / packed, file, files.sha256[file], size)
            return []
        except (OSError, ValueError, http.client.HTTPException) as error:
            failures.append(f"{url}: {error}")
    return failures


def _transfer(url: str, partial: Path, most: int) -> None:
    """Download `url` into `partial`, going on where an earlier attempt stopped.

    Raises
    ------
    OSError
        If the connection breaks; what came is kept, and the next attempt goes on from there.
    ValueError
        If there is more than `most` bytes of it; nothing is kept then.
    """
    try:
        with _opened(partial) as out:
            _receive(url, out, most)
    except ValueError:
        partial.unlink(missing_ok=True)
        raise
    finally:
        with contextlib.suppress(OSError):
            if not partial.stat().st_size:
                partial.unlink()


def _receive(url: str, out: IO[bytes], most: int) -> None:
    """Write the rest of `url` to the end of a file."""
    start = out.seek(0, os.SEEK_END)
    request = urllib.request.Request(url, headers={"Range": f"bytes={start}-"} if start else {})
    try:
        response = urllib.request.urlopen(request, timeout=TIMEOUT)
    except urllib.error.HTTPError as error:
        if error.code == http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            return  # all bytes are here already; the checksum decides
        raise
    with response:
        if response.status != http.HTTPStatus.PARTIAL_CONTENT:
            start = 0
            out.seek(0)
            out.truncate()
        length = response.headers.get("Content-Length", "")
        announced = int(length) if length.isdigit() else None
        received = 0
        while chunk := response.read(CHUNK):
            received += len(chunk)
            if start + max(received, announced or 0) > most:
                raise ValueError(f"it is longer than it can be, {most:,} bytes")
            out.write(chunk)
    if announced is not None and received != announced:
        raise OSError(
            f"the connection broke after {received} of {announced} bytes; "
            "the next attempt continues from there"
        )


def _opened(partial: Path) -> IO[bytes]:
    """Open a file to go on with; a link is not followed."""
    flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
    try:
        return os.fdopen(os.open(partial, flags, 0o666), "r+b")
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise OSError(f"{partial} is a link: remove it") from None
        raise


def _accept(partial: Path, target: Path, file: str, sha256: str, size: int) -> None:
    """Move a checked download to its place; discard one that fails, so that it starts anew."""
    try:
        read_verified(partial, file, sha256, size)
    except ValueError:
        partial.unlink(missing_ok=True)
        raise
    os.replace(partial, target)


def _not_found(files: FileSet, failures: list[str]) -> str:
    tried = [] if os.environ.get("TENSORLITE_DATA") else ["$TENSORLITE_DATA: not set"]
    for folder in files.folders():
        missing = files.missing(folder)
        partly = len(missing) < len(files.sha256)
        tried.append(f"{folder}: {'lacks ' + ', '.join(missing) if partly else 'not there'}")
    wanted = ", ".join(file + files.suffix for file in files.sha256)
    return (
        f"{files.name} is not on this machine and could not be downloaded. Tried\n  "
        + "\n  ".join(tried + failures)
        + (f"\n{files.hint}, or put" if files.hint else "\nPut")
        + f" {wanted} into $TENSORLITE_DATA/{files.name} or {files.cache}"
    )
