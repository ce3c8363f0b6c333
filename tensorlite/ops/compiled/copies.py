"""Large arrays put in order and joined on the CPU by all threads, where NumPy has one."""

from __future__ import annotations

from typing import Any

import numpy as np

from tensorlite.backend import HOST, Array
from tensorlite.backend.numpy import LARGE
from tensorlite.ops.padding import pad_constant, pad_edges, pad_edges_backward
from tensorlite.ops.shape import concat_arrays, reshape, stack_arrays


def _reshape(k: Any, x: Array, *, shape: Any) -> Any:
    if x.flags.c_contiguous or not k.on_host:
        return NotImplemented
    try:
        return x.reshape(shape, copy=False)
    except ValueError:
        return HOST.copy(x).reshape(shape)


reshape.on_host("new_reshape")
reshape.kernel(_reshape, from_size=LARGE)


pad_constant.on_host("new_pad")
pad_edges.on_host("new_pad")
pad_edges_backward.on_host("new_pad_backward")


def _alike(k: Any, xs: tuple[Array, ...]) -> bool:
    """Whether these are arrays of the CPU that joined are large, of one dtype."""
    return (
        k.on_host
        and all(x.__class__ is np.ndarray and x.dtype == xs[0].dtype for x in xs)
        and sum(x.size for x in xs) >= LARGE
    )


@stack_arrays.kernel
def _stack(k: Any, *xs: Array, axis: int) -> Any:
    shape = xs[0].shape
    if (
        not _alike(k, xs)
        or any(x.shape != shape for x in xs)
        or not -len(shape) <= axis + 1 <= len(shape) + 1
    ):
        return NotImplemented
    axis %= len(shape) + 1
    y = k.empty((*shape[:axis], len(xs), *shape[axis:]), xs[0].dtype)
    for i, x in enumerate(xs):
        k.copy(y[(slice(None),) * axis + (i,)], x)
    return y


@concat_arrays.kernel
def _concat(k: Any, *xs: Array, axis: int) -> Any:
    shape = xs[0].shape
    if not _alike(k, xs) or not -len(shape) <= axis < len(shape):
        return NotImplemented
    axis %= len(shape)
    before, after = shape[:axis], shape[axis + 1 :]
    if any(x.shape[:axis] != before or x.shape[axis + 1 :] != after for x in xs):
        return NotImplemented
    y = k.empty((*before, sum(x.shape[axis] for x in xs), *after), xs[0].dtype)
    start = 0
    for x in xs:
        end = start + x.shape[axis]
        k.copy(y[(slice(None),) * axis + (slice(start, end),)], x)
        start = end
    return y
