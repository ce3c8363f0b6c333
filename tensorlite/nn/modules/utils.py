"""What torch's module of this name has: one number for all axes, or one for each."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tensorlite.nn.arguments import per_axis

__all__ = ["_ntuple", "_pair", "_quadruple", "_single", "_triple"]


def _ntuple(n: int, name: str = "parse") -> Callable[[Any], tuple]:
    """A function that repeats one number `n` times, and leaves several as they are."""

    def parse(x: Any) -> tuple:
        return per_axis(x, n)

    parse.__name__ = name
    return parse


_single = _ntuple(1, "_single")
_pair = _ntuple(2, "_pair")
_triple = _ntuple(3, "_triple")
_quadruple = _ntuple(4, "_quadruple")
