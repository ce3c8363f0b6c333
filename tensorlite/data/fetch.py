"""Read files that must match a checksum; download those that are missing."""

from __future__ import annotations

import gzip
import hashlib
import http.client
import os
import sys
import urllib.error
import urllib.request
import zlib
from pathlib import Path

from tensorlite.data.sources import FileSet

__all__ = ["download", "read_verified"]

TIMEOUT = 30.0  # seconds without a byte before a mirror is given up
CHUNK = 1 << 20


def read_verified(path: Path, file: str, sha256: str) -> bytes:
    """Return the content of `file`, which `path` holds as it is or gzipped.

    Raises
    ------
    ValueError
        If the file is truncated or damaged, or its content has another checksum.
    """
    content = path.read_bytes()
    if path.name != file:
        try:
            content = gzip.decompress(content)
        except (EOFError, OSError, zlib.error) as error:
            raise ValueError(
                f"{path} is truncated or damaged ({error}): remove or replace it"
            ) from error
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
    for file in files.missing(files.cache):
        failures = _download_file(files, file)
        if failures:
            raise FileNotFoundError(_not_found(files, failures))
    return files.cache


def _download_file(files: FileSet, file: str) -> list[str]:
    """Download one file from the first mirror that has it; return why the mirrors failed."""
    packed = file + files.suffix
    partial = files.cache / ".partial" / packed
    failures = []
    for mirror in files.mirrors:
        url = mirror + packed
        print(f"tensorlite: downloading {url} to {files.cache}", file=sys.stderr)
        try:
            _transfer(url, partial)
            _accept(partial, files.cache / packed, file, files.sha256[file])
        except (OSError, ValueError, http.client.HTTPException) as error:
            failures.append(f"{url}: {error}")
        if (files.cache / packed).exists():  # ours, or that of a process that was faster
            return []
    return failures


def _transfer(url: str, partial: Path) -> None:
    """Download `url` into `partial`, going on where an earlier attempt stopped.

    Bytes are written at their offset and nothing is truncated, so that two processes that fetch
    the same file at once write the same content. What is wrong all the same, the checksum finds.
    """
    start = partial.stat().st_size if partial.exists() else 0
    request = urllib.request.Request(url, headers={"Range": f"bytes={start}-"} if start else {})
    try:
        response = urllib.request.urlopen(request, timeout=TIMEOUT)
    except urllib.error.HTTPError as error:
        if error.code == http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            return  # all bytes are here already; the checksum decides
        raise
    partial.parent.mkdir(parents=True, exist_ok=True)
    partial.touch()
    with response, partial.open("r+b") as out:
        if response.status != http.HTTPStatus.PARTIAL_CONTENT:
            start = 0
        out.seek(start)
        while chunk := response.read(CHUNK):
            out.write(chunk)
        length = response.headers.get("Content-Length")
        received = out.tell() - start
        if length is not None and received != int(length):
            raise OSError(
                f"the connection broke after {received} of {length} bytes; "
                "the next attempt continues from there"
            )


def _accept(partial: Path, target: Path, file: str, sha256: str) -> None:
    """Move a checked download to its place; discard one that fails, so that it starts anew."""
    try:
        read_verified(partial, file, sha256)
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
