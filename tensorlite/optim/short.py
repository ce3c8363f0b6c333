"""Parameters of arenas as 16-bit floats: `autocast` casts an arena in one launch.

How many of its parameters are wanted short is known from the block before. Where that is less than
half of an arena (most of it is an embedding, say), each is cast alone.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tensorlite.backend import Array, array_backend
from tensorlite.optim.arena import Arena
from tensorlite.tape import on_device_of, unit
from tensorlite.tensor import Tensor


class ShortCopies:
    """Copies of parameters in one 16-bit dtype, for one block of autocast.

    Parameters
    ----------
    dtype
        float16 or bfloat16.
    """

    def __init__(self, dtype: Any) -> None:
        self.dtype = dtype
        self._parts: dict[int, tuple[Arena, Callable | None]] = {}

    def of(self, parameter: Tensor) -> Array:
        """The values of `parameter`, a leaf on CUDA, in this dtype."""
        with on_device_of(parameter.array):
            buffer = parameter.grad_buffer
            renewal = None if buffer is None else buffer.__dict__.get("renew")
            arena = None if renewal is None else renewal.arena()
            if arena is None or arena.short:
                return _cast(parameter.array, self.dtype)
            start = arena.want_short(parameter)
            part = None if start is None else self._part_of(arena)
            if part is None:
                return _cast(parameter.array, self.dtype)
            return part(start, parameter.array.shape)

    def _part_of(self, arena: Arena) -> Callable | None:
        """What cuts the short copy of an arena; None where each of its parameters is cast alone."""
        known = self._parts.get(id(arena))
        if known is None:
            part = None
            if arena.is_mostly_short():
                part = arena.backend.cut(_cast(arena.data, self.dtype))
            known = self._parts[id(arena)] = (arena, part)
        return known[1]


def _cast(x: Array, dtype: Any) -> Array:
    return unit("cast", array_backend((x,)).cast, x, dtype)
