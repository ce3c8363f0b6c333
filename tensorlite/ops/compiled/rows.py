"""Sums that take more than one launch: of all elements, and of all but the channels."""

from __future__ import annotations

from typing import Any

from tensorlite.backend import Array, array_backend
from tensorlite.ops import reduce
from tensorlite.ops.channels import channel_sum
from tensorlite.ops.compiled.arrays import packed, plane_sizes

_ONE_ROW = 1 << 16  # elements that one team may add up; beyond, NumPy's pairwise sums are better


def _give_total(primitive: Any, is_mean: bool) -> None:
    """Let `row_sum` add up all elements of an array that is not large."""

    @primitive.kernel
    def run(k: Any, x: Array, *, axis: Any, keepdims: bool, dtype: Any) -> Any:
        size = x.size
        if axis is not None or size > _ONE_ROW or dtype is not None:
            return NotImplemented
        arrays = packed(x)
        if arrays is None:
            return NotImplemented
        y = k.empty((1,) * x.ndim if keepdims else (), x.dtype)
        k.row_sum(*arrays, y, 1, size, 1 / size if is_mean else 1.0)
        return y


_give_total(reduce.sum, is_mean=False)
_give_total(reduce.mean, is_mean=True)


@channel_sum.kernel
def _channel_sum(k: Any, x: Array) -> Any:
    n, channels, size = plane_sizes(x)
    if size == 1 and x.size:
        return array_backend((x,)).column_sums(x.reshape(n, channels))
    if x.dtype.char not in "fd" or (arrays := packed(x)) is None:
        return NotImplemented
    partial = k.empty((n, channels), x.dtype)
    k.row_sum(*arrays, partial, n * channels, size, 1.0)
    sums = k.empty((channels,), x.dtype)
    k.column_total(partial, sums, 1, n, channels)
    return sums
