"""Text for character models: a vocabulary and the text as a sequence of its indices."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np

__all__ = ["Vocabulary", "read_text"]


class Vocabulary:
    """The distinct characters of a text, numbered in the order of their code points.

    Parameters
    ----------
    characters : iterable of str
        Characters; repetitions count once.

    Examples
    --------
    >>> words = tl.data.Vocabulary("hello")
    >>> words.decode(words.encode("hole"))
    'hole'
    """

    def __init__(self, characters: Iterable[str]):
        self.characters = tuple(sorted(set(characters)))
        self._indices = {character: i for i, character in enumerate(self.characters)}

    def __len__(self) -> int:
        return len(self.characters)

    def __repr__(self) -> str:
        return f"Vocabulary({''.join(self.characters)!r})"

    def encode(self, text: str) -> np.ndarray:
        """Return the indices of a text's characters, int64 of shape (len(text),).

        Raises
        ------
        ValueError
            If a character is not in the vocabulary.
        """
        unknown = sorted(set(text) - self._indices.keys())
        if unknown:
            raise ValueError(f"characters {unknown} are not among the {len(self)} of the text")
        return np.fromiter((self._indices[c] for c in text), dtype=np.int64, count=len(text))

    def decode(self, indices: Iterable[int]) -> str:
        """Return the text whose characters have these indices."""
        return "".join(self.characters[int(i)] for i in indices)


def read_text(path: str | Path | None) -> tuple[str, str]:
    """Read a text and tell where it came from.

    Parameters
    ----------
    path : str or Path, optional
        A UTF-8 file; without it, the help texts that come with Python.
    """
    if path is None:
        from pydoc_data.topics import topics

        return "\n".join(topics[name] for name in sorted(topics)), "pydoc_data.topics"
    try:
        return Path(path).read_text(encoding="utf-8"), str(path)
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not UTF-8 text: {error}") from error
