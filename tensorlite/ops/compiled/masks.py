"""Dropout: its mask is drawn in the kernel, and nothing of it is kept."""

from __future__ import annotations

from typing import Any

from tensorlite.backend import Array
from tensorlite.ops.compiled.arrays import packed
from tensorlite.ops.dropout import philox_dropout
from tensorlite.random import base_of


@philox_dropout.kernel
def _dropout(k: Any, x: Array, *, p: float, key: tuple[int, int], offset: int) -> Any:
    arrays = packed(x)
    if arrays is None:
        return NotImplemented
    y = k.empty(x.shape, x.dtype)
    k.dropout(*arrays, y, base_of(key), x.size, p, key[0] | key[1] << 32, offset)
    return y
