"""Running sums on the CPU by all threads, in float64."""

from __future__ import annotations

import math
from typing import Any

from tensorlite.backend import Array
from tensorlite.ops.compiled.arrays import packed, widened_on_host
from tensorlite.ops.scan import running_sum

FROM = 1 << 12  # elements from which on a call pays


@widened_on_host()
def _running_sum(k: Any, x: Array, *, axis: int, reverse: bool) -> Any:
    arrays = packed(x) if k.on_host and -x.ndim <= axis < x.ndim else None
    if arrays is None:
        return NotImplemented
    axis %= x.ndim
    y = k.empty(x.shape, x.dtype)
    lengths = math.prod(x.shape[:axis]), x.shape[axis], math.prod(x.shape[axis + 1 :])
    k.running_sum(*arrays, y, *lengths, reverse)
    return y


running_sum.kernel(_running_sum, from_size=FROM, exact=False)  # NumPy adds up in float32
