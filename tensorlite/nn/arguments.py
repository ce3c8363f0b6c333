"""Arguments of layers, as torch takes them: one size for all axes, and options with defaults."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

PerAxis = int | tuple[int, ...]  # one number for all axes, or one for each


def per_axis(value: Any, axes: int) -> tuple[int, ...]:
    """One number repeated for each axis; several as they are."""
    return tuple(value) if isinstance(value, Iterable) else (value,) * axes


def checked(owner: str, name: str, value: Any, axes: int) -> tuple[int, ...]:
    """`per_axis`, refusing another count of numbers."""
    numbers = per_axis(value, axes)
    if len(numbers) != axes:
        raise ValueError(f"{owner}: {name} {numbers} should have {axes} numbers")
    return numbers


def unusual(module: Any, **defaults: Any) -> dict[str, Any]:
    """Those options of a module that differ from their defaults, to be passed on."""
    own = module.__dict__
    return {name: own[name] for name, default in defaults.items() if own[name] != default}


def in_place(module: Any) -> dict[str, Any]:
    """``inplace=True`` where a module overwrites its input."""
    return {"inplace": True} if module.inplace else {}
