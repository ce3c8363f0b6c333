"""Slopes where the formula has none: what the gradient rules share."""

from __future__ import annotations

import math
from typing import Any

from tensorlite.ops.compare import where


def zero(g: Any) -> Any:
    """Zero of `g`'s shape, also where `g` is NaN: the cotangent of a step function's input."""
    return where(False, g, 0)


def infinite_at_zero(r: Any) -> Any:
    """`r` with infinity for 0: dividing by it makes an infinite slope the subgradient 0."""
    return where(r == 0, math.inf, r)
