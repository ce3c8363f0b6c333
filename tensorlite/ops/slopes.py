"""Slopes where the formula has none: what the gradient rules share."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from tensorlite.backend.dtypes import is_short
from tensorlite.ops.compare import where
from tensorlite.ops.promotion import cast


def zero(g: Any) -> Any:
    """Zero of `g`'s shape, also where `g` is NaN: the cotangent of a step function's input."""
    return where(False, g, 0)


def infinite_at_zero(r: Any) -> Any:
    """`r` with infinity for 0: dividing by it makes an infinite slope the subgradient 0."""
    return where(r == 0, math.inf, r)


def in_float32(rule: Callable) -> Callable:
    """A rule of several steps that computes in float32 where it is given short floats.

    In their few digits its terms would cancel to nothing, or overflow on the way to a slope that
    is none of both. The engine rounds what it gives.
    """

    @functools.wraps(rule)
    def wide(*inputs: Any) -> Any:
        return rule(*(cast(x, np.float32) if is_short(x.dtype) else x for x in inputs))

    return wide
