"""Arrays in the form that kernels need: one float dtype, no gaps, aligned."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tensorlite.backend import BACKENDS, HOST, Array, array_backend, is_array
from tensorlite.backend.base import KERNEL_FLOATS
from tensorlite.backend.dtypes import is_short
from tensorlite.ops.fused import widened
from tensorlite.tape import mode

_FLOAT32 = np.dtype(np.float32)


def packed(*arrays: Any) -> list | None:
    """The arrays, without gaps and aligned; None if they are empty or not of one float dtype.

    An input that was left out is None, and stays None.
    """
    if not alike(*arrays):
        return None
    result = []
    for array in arrays:
        if array is not None:
            flags = array.flags  # as in `plain`, without a call
            if not (flags.c_contiguous and (array.__class__ is not np.ndarray or flags.aligned)):
                array = array_backend((array,)).copy(array)
        result.append(array)
    return result


def plain(array: Any) -> bool:
    """Whether an array's elements lie one behind the other, each where its dtype may begin."""
    flags = array.flags
    return flags.c_contiguous and (array.__class__ is not np.ndarray or flags.aligned)


def alike(*arrays: Any) -> bool:
    """Whether the arrays share one float dtype and none is empty; None among them passes."""
    dtype = arrays[0].dtype
    if dtype.char not in KERNEL_FLOATS:
        return False
    array: Any
    for array in arrays:
        if array is not None and (
            array.__class__ not in BACKENDS or array.dtype != dtype or not array.size
        ):
            return False
    return True


def kernel_sum_dtype(dtype: np.dtype) -> np.dtype:
    """The dtype in which kernels sum: float64 for float64, else float32."""
    return dtype if dtype.itemsize == 8 else _FLOAT32


def room(
    k: Any, shape: tuple[int, ...], dtype: np.dtype, into: Array | None, wide: Any = None
) -> Array:
    """`into`, if a gradient of that shape and dtype can be written there, else a new array.

    `wide`: what sums are computed in, and a place may have, too, which then gets them unrounded.
    """
    fits = into is not None and into.shape == shape and into.dtype in (dtype, wide or dtype)
    return into if fits and plain(into) else k.empty(shape, dtype)


def widened_on_host(*, statistics_in: int = 0, statistics_out: int = 0) -> Callable:
    """Let a kernel that the CPU has for float32 and float64 alone take short floats.

    They are widened for it, if all arrays of floats are of one dtype, and what it returns is
    rounded. So many arrays at the end are statistics, and stay in float32.
    """

    def decorate(kernel: Callable) -> Callable:
        @functools.wraps(kernel)
        def run(k: Any, *arrays: Any, **static: Any) -> Any:
            dtype = arrays[0].dtype
            if not k.on_host or not is_short(dtype):
                return kernel(k, *arrays, **static)
            operands = arrays[: len(arrays) - statistics_in]
            if any(is_array(x) and x.dtype not in (dtype, bool) for x in operands):
                return NotImplemented
            result = kernel(k, *map(widened, arrays), **static)
            if result is NotImplemented:
                return result
            if not isinstance(result, tuple):
                return HOST.cast(result, dtype)
            rounded = len(result) - statistics_out
            return *(HOST.cast(y, dtype) for y in result[:rounded]), *result[rounded:]

        return run

    return decorate


def pair(values: Sequence[int], missing: int) -> tuple[int, ...]:
    """Of one spatial axis or two, as two."""
    return (*values,) if len(values) == 2 else (missing, *values)


def three(values: Sequence[int], missing: int = 1) -> tuple[int, ...]:
    """Of up to three spatial axes, as three."""
    return (*(missing,) * (3 - len(values)), *values)


def plane_sizes(x: Array) -> tuple[int, int, int]:
    """Of an array (N, C, …): images, channels, and the elements of one channel of one image."""
    return *x.shape[:2], math.prod(x.shape[2:])


def host_number(k: Any, x: Any) -> Any:
    """A Python number for what is one in the host's memory, else None."""
    if isinstance(x, (int, float)):
        return x
    if mode.switches.recorder is not None:  # the array may hold another number at a replay
        return None
    return x.item() if k.on_host and is_array(x) and not x.ndim else None
