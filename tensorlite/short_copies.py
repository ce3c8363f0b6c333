"""Copies of Tensors in 16 bits, for the products that read them under `autocast`.

A Tensor that an operation made keeps the copy: queries, keys and values of one input share it. It
counts only while nothing has been written to the Tensor since.
"""

from __future__ import annotations

from typing import Any

from tensorlite.backend import array_backend
from tensorlite.tape import last_write, mode, next_index, written_since
from tensorlite.tensor import Tensor

_NAME = "short copy"  # of what few Tensors have, beside their slots


def keep_short(x: Tensor, copy: Tensor) -> None:
    """Let `copy` be what `short_copy` finds of `x` from now on."""
    x.__dict__[_NAME] = (copy, x.array, x.node, mode.switches.recorder, next_index())


def short_copy(x: Tensor, dtype: Any) -> Tensor | None:
    """The copy of `x` in a 16-bit dtype, if there is one and it is still right."""
    kept = x.__dict__.get(_NAME)
    if kept is None:
        return None
    copy, array, node, recorder, time = kept
    switches = mode.switches
    right = (
        copy.array.dtype == dtype
        and array is x.array
        and node is x.node
        and recorder is switches.recorder
        and (copy.requires_grad or not (x.requires_grad and switches.grad))
    )
    if not right:
        return None
    if last_write() > time and written_since(array_backend((array,)).byte_bounds(array), time):
        return None
    found: Tensor = copy
    return found
