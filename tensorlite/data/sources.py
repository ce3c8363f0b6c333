"""Files of public datasets: where they are looked for.

The places, in order: ``$TENSORLITE_DATA/<dataset>``, the user's cache, ``/usr/share/datasets``
(where Debian's packages put them), a download into the cache. The first folder that holds every
file wins; a file that is not the published one is refused, never skipped.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

__all__ = ["FileSet", "cache_dir"]

SYSTEM_FOLDER = Path("/usr/share/datasets")
LARGEST = 1 << 30  # bytes of a file whose size is not known


def cache_dir() -> Path:
    """Folder for downloaded data: ``$XDG_CACHE_HOME/tensorlite/data``, else under ``~/.cache``.

    Examples
    --------
    >>> tl.data.cache_dir().name
    'data'
    """
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "tensorlite" / "data"


@dataclass(frozen=True)
class FileSet:
    """The files that make up one dataset.

    Attributes
    ----------
    name : str
        Dataset, and the folder that holds its files.
    sha256 : mapping of str to str
        Checksum of every file's content. A file may also lie there gzipped, as ``<file>.gz``:
        the checksum is that of the decompressed content, since packagers compress anew.
    sizes : mapping of str to int
        Bytes of every file's content: no more is downloaded or decompressed.
    mirrors : tuple of str
        Base addresses, tried in order.
    suffix : str
        What the mirrors append to a file's name: ``".gz"`` or nothing.
    hint : str
        Another way to obtain the files, for the error message.
    """

    name: str
    sha256: Mapping[str, str]
    mirrors: tuple[str, ...]
    suffix: str = ""
    hint: str = ""
    sizes: Mapping[str, int] = field(default_factory=dict)

    @property
    def cache(self) -> Path:
        """Folder that a download goes to."""
        return cache_dir() / self.name

    def folders(self) -> list[Path]:
        """Folders that are searched, in order."""
        named = os.environ.get("TENSORLITE_DATA")
        first = [Path(named) / self.name] if named else []
        return [*first, self.cache, SYSTEM_FOLDER / self.name]

    def locate(self) -> Path | None:
        """First folder that holds every file, or None. Reads no content."""
        return next((folder for folder in self.folders() if not self.missing(folder)), None)

    def missing(self, folder: Path) -> list[str]:
        """Files that `folder` does not hold."""
        return [file for file in self.sha256 if stored(folder, file) is None]

    def read(self) -> tuple[dict[str, bytes], Path]:
        """Read every file, downloading the set if no folder holds it.

        Returns
        -------
        tuple
            Content by file name, and the folder it came from.

        Raises
        ------
        FileNotFoundError
            If the files are nowhere and cannot be downloaded; names every place tried.
        ValueError
            If a file is truncated, damaged, or not the published one.
        """
        from tensorlite.data import fetch  # urllib takes 40 ms to import

        folder = self.locate() or fetch.download(self)
        content = {}
        for file, digest in self.sha256.items():
            path = stored(folder, file)
            assert path is not None  # the folder has every file
            content[file] = fetch.read_verified(path, file, digest, self.size_of(file))
        return content, folder

    def size_of(self, file: str) -> int:
        """Bytes that the content of a file has, or may have at most."""
        return self.sizes.get(file, LARGEST)


def stored(folder: Path, file: str) -> Path | None:
    """Path of a file in `folder`, plain or gzipped, or None."""
    return next((p for p in (folder / file, folder / f"{file}.gz") if p.is_file()), None)
