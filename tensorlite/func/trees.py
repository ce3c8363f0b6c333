"""Nested tuples, lists and dictionaries as lists of their leaves."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

__all__ = ["flat", "mapped", "rebuilt", "same_form"]


def flat(tree: Any) -> list[Any]:
    """The leaves in order; everything but a tuple, list or dictionary is one."""
    if isinstance(tree, dict):
        return [leaf for part in tree.values() for leaf in flat(part)]
    if isinstance(tree, tuple | list):
        return [leaf for part in tree for leaf in flat(part)]
    return [tree]


def rebuilt(like: Any, leaves: list[Any]) -> Any:
    """Leaves in the form of another tree."""
    return _taken(like, iter(leaves))


def _taken(like: Any, leaves: Iterator[Any]) -> Any:
    if isinstance(like, dict):
        return type(like)((key, _taken(part, leaves)) for key, part in like.items())
    if isinstance(like, tuple | list):
        parts = [_taken(part, leaves) for part in like]
        if isinstance(like, tuple) and type(like) is not tuple:
            return type(like)(*parts) if hasattr(like, "_fields") else tuple(parts)
        return type(like)(parts)
    return next(leaves)


def mapped(function: Callable[[Any], Any], tree: Any) -> Any:
    """The tree with `function` applied to every leaf."""
    return rebuilt(tree, [function(leaf) for leaf in flat(tree)])


def same_form(a: Any, b: Any) -> bool:
    """Whether two trees differ in their leaves alone."""
    if isinstance(a, dict):
        return isinstance(b, dict) and list(a) == list(b) and all(same_form(a[k], b[k]) for k in a)
    if isinstance(a, tuple | list):
        same = isinstance(b, tuple | list) and len(a) == len(b)
        return same and all(same_form(x, y) for x, y in zip(a, b, strict=True))
    return not isinstance(b, dict | tuple | list)
