"""Subgradients: what gradient rules give where a derivative is infinite or does not exist."""

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
    """Zeros of `g`'s shape, also where `g` is NaN: the gradient of a step function."""
    return where(False, g, 0)


def infinite_at_zero(r: Any) -> Any:
    """`r` with infinity for 0: dividing by it makes an infinite slope the subgradient 0."""
    return where(r == 0, math.inf, r)


def float32_rule(rule: Callable) -> Callable:
    """Let a gradient rule compute in float32 if it is given float16 or bfloat16.

    With their few digits, terms of the rule would cancel to 0 or overflow although the gradient
    itself does neither. The engine rounds the result.
    """

    @functools.wraps(rule)
    def wide(*inputs: Any) -> Any:
        return rule(*(cast(x, np.float32) if is_short(x.dtype) else x for x in inputs))

    return wide
