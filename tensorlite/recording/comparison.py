"""Comparing two recordings of one call, and detaching results for its caller."""

from __future__ import annotations

from typing import Any

import numpy as np

from tensorlite.backend import is_array
from tensorlite.tensor import Tensor, tensor_of

ATTEMPTS = 5  # recordings that may differ before it is given up


def detached(x: Any) -> Any:
    """What the caller gets of a result: values of its own, without history."""
    if isinstance(x, Tensor):
        return tensor_of(x.array.copy())
    return x.copy() if is_array(x) else x


def difference(before: list[tuple], now: list[tuple]) -> str:
    """How two recordings of the same call differ."""
    for old, new in zip(before, now, strict=False):
        if old == new:
            continue
        if old[0] != new[0] or old[0] == "constants":
            names = (
                sorted({what for what, _ in (*old[1:], *new[1:])}) if old[0] == "constants" else []
            )
            if names:
                return (
                    f"{', '.join(names)} read an array that is computed outside of all operations "
                    "and differs from call to call"
                )
            return f"it does {new[0]} where it did {old[0]} in the call before"
        if old[1] != new[1]:
            return f"{new[0]} has arrays of other sizes than in the call before"
        return f"a number that {new[0]} is given changes from call to call: {_numbers(old, new)}"
    return f"it does {len(now)} calls where it did {len(before)}"


def _numbers(old: tuple, new: tuple) -> str:
    def shown(n: Any) -> str:
        return repr(np.frombuffer(n)[0].item()) if isinstance(n, bytes) else repr(n)

    pairs = [(a, b) for a, b in zip(old[2], new[2], strict=False) if a != b]
    return ", ".join(f"{shown(a)}, then {shown(b)}" for a, b in pairs)
