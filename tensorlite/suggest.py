"""Names the user mistyped."""

from __future__ import annotations

from collections.abc import Iterable


def choose(what: str, name: str, known: Iterable[str]) -> str:
    """Return the known name meant by `name`: case does not count, underscores may be hyphens.

    Raises
    ------
    ValueError
        If there is none; suggests the nearest and lists all.
    """
    known = list(known)
    key = name.lower().replace("_", "-")
    if key in known:
        return key
    import difflib  # for this message alone

    near = difflib.get_close_matches(key, known, n=2)
    suggestion = f"did you mean {' or '.join(map(repr, near))}? There are" if near else "there are"
    raise ValueError(f"unknown {what} {name!r}: {suggestion} {', '.join(known)}")
