"""The CPU: NumPy arrays, with compiled kernels where a compiler is there."""

from __future__ import annotations

import ctypes
import math
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from functools import cached_property
from types import ModuleType
from typing import Any

import numpy as np

from tensorlite.backend.base import KERNEL_FLOATS, Array, Backend, Device
from tensorlite.backend.kernels.library import library

CPU = Device("cpu")
# Elements from which on one thread's work takes longer than handing it to all. NumPy has one.
LARGE = 1 << 16
_PAGE, _LANE = 4096, 512  # bytes


class NumpyBackend(Backend):
    """NumPy on the host."""

    name = "cpu"

    @cached_property
    def xp(self) -> ModuleType:
        """The `numpy` module."""
        return np

    @cached_property
    def kernels(self) -> Any:
        """The host extension, built at first use (None: the references run)."""
        return library("cpu")

    def asarray(self, value: Any, dtype: Any = None, device: Device | None = None) -> Array:
        """Return `value` as a NumPy array, without a copy where possible."""
        return np.asarray(value, dtype=dtype)

    def to_host(self, array: Array) -> np.ndarray:
        """Return `array` itself."""
        return array

    def device_of(self, array: Array) -> Device:
        """Return the one CPU."""
        return CPU

    def byte_bounds(self, array: Array) -> tuple[int, int]:
        """Lowest and one past the highest address that `array` can touch."""
        return np.lib.array_utils.byte_bounds(array)

    def address(self, array: Array) -> int:
        """Where the first element of `array` is."""
        return array.__array_interface__["data"][0]

    def whole(self, parts: Sequence[Array], shape: tuple[int, ...]) -> Array | None:
        """The array of `shape` that all of `parts` are views of."""
        base = parts[0].base
        if base.__class__ is not np.ndarray or not base.flags.c_contiguous:
            return None
        if base.size != math.prod(shape) or any(x.base is not base for x in parts):
            return None
        return base.reshape(shape)

    def broadcast_to(self, x: Array, shape: tuple[int, ...]) -> Array:
        """View `x` in a larger shape; a single number, as a loss spreads it, fast."""
        if x.size != 1 or x.dtype.kind != "f" or x.ndim > len(shape):
            return np.broadcast_to(x, shape)
        view = np.ndarray(shape, x.dtype, x, 0, (0,) * len(shape))
        view.flags.writeable = False
        return view

    def lane(self, number: int, size: int, dtype: Any, value: float = 0) -> Array:
        """A new flat array filled with `value`, the number of a lane times 512 B into a page.

        If the last 12 bits of a load's address equal those of a store a few iterations earlier,
        the processor takes the two for the same address and waits ("4K aliasing"): this costs up to
        a third of a step's time.
        """
        dtype = np.dtype(dtype)
        memory = np.zeros(size * dtype.itemsize + _PAGE, np.uint8)
        start = (number * _LANE - memory.__array_interface__["data"][0]) % _PAGE
        lane = memory[start : start + size * dtype.itemsize].view(dtype)
        if value:
            lane.fill(value)
        return lane

    def give_back(self) -> None:
        """Let the system have the memory of freed arrays that is kept for later ones."""
        if self.__dict__.get("kernels") is not None:  # without them nothing is kept
            self.kernels.empty_cache()

    def cut(self, flat: Array) -> Callable[[int, tuple[int, ...]], Array]:
        """Return ``part(start, shape)``; NumPy looks for the owner of memory among arrays only."""
        memory = (ctypes.c_char * flat.nbytes).from_buffer(flat.view(np.uint8))
        return lambda start, shape: np.ndarray(shape, flat.dtype, memory, start * flat.itemsize)

    def copy(self, x: Array) -> Array:
        """The values of `x` in memory of their own, without gaps."""
        if x.size < LARGE or self.kernels is None:
            return x.copy()
        y = np.empty(x.shape, x.dtype)
        self.kernels.copy(y, x)
        return y

    def cast(self, x: Array, dtype: Any) -> Array:
        """The same numbers in another dtype, laid out as they are.

        NumPy converts float16 and bfloat16 one number at a time.
        """
        dtype = np.dtype(dtype)
        short = 2 in (x.dtype.itemsize, dtype.itemsize)
        floats = x.dtype.char in KERNEL_FLOATS and dtype.char in KERNEL_FLOATS
        if not (short and floats and x.size and x.__class__ is np.ndarray and self.kernels):
            return x.astype(dtype)
        order = sorted(range(x.ndim), key=lambda axis: -abs(x.strides[axis]))
        dense = x.transpose(order)
        if not (dense.flags.c_contiguous and dense.flags.aligned):
            dense = self.copy(dense)
        y = np.empty(dense.shape, dtype)
        self.kernels.cast(dense, y, y.size)
        return y.transpose(np.argsort(order)) if x.ndim > 1 else y

    def write(self, to: Array, x: Array) -> None:
        """``to[...] = x``."""
        alike = to.size >= LARGE and to.shape == x.shape and to.dtype == x.dtype
        if alike and self.kernels is not None and not np.may_share_memory(to, x):
            self.kernels.copy(to, x)
        else:
            to[...] = x

    def plus(self, x1: Array, x2: Array, small: bool = False) -> Array:
        """``x1 + x2``; of large arrays on all threads, and of `small` ones by a kernel, too."""
        if (small or x1.size >= LARGE) and self.kernels is not None:
            y = self.kernels.new_axpy(x2, x1, 1.0)
            if y is not NotImplemented:
                return y
        return x1 + x2

    def matmul(
        self, a: Array, b: Array, bias: Array | None = None, out: Array | None = None
    ) -> Array:
        """Multiply; short floats in float32, and a stack times a matrix at once.

        NumPy has no fast product of float16, none of bfloat16, and one BLAS call for each matrix.
        """
        whole = a.dtype == b.dtype and a.dtype.char in "fd" and a.ndim and b.ndim
        if whole and self.kernels is not None:
            return self._pooled_matmul(a, b, bias)
        if a.dtype == b.dtype and a.dtype.itemsize == 2 and a.dtype.kind in "fV":
            wide = [x if x is None else self.cast(x, np.float32) for x in (a, b, bias)]
            return self.cast(self.matmul(*wide), a.dtype)
        if bias is not None:
            y = self.matmul(a, b)
            return np.add(y, bias, out=y)
        if b.ndim == 2 and a.ndim > 2 and a.flags.c_contiguous:
            rows = a.reshape(math.prod(a.shape[:-1]), a.shape[-1])
            return np.matmul(rows, b).reshape(*a.shape[:-1], b.shape[1])
        return np.matmul(a, b)

    def _pooled_matmul(self, a: Array, b: Array, bias: Array | None) -> Array:
        """Multiply on the kernels' pool of threads, which NumPy's own must not compete with."""
        if not (a.flags.aligned and b.flags.aligned):
            a, b = a.copy(), b.copy()
        left = a if a.ndim > 1 else a[None]
        right = b if b.ndim > 1 else b[:, None]
        lead = ()
        if left.ndim > 2 or right.ndim > 2:
            lead = np.broadcast_shapes(left.shape[:-2], right.shape[:-2])
        y = np.empty((*lead, left.shape[-2], right.shape[-1]), a.dtype)
        bias = bias if bias is None else np.require(bias, requirements=["C", "A"])
        self.kernels.matmul(left, right, y, bias, False)
        if a.ndim == 1:
            y = y[..., 0, :]
        return y if b.ndim > 1 else y[..., 0]

    def on(self, device: Device) -> Any:
        """Nothing to switch: there is one CPU."""
        return nullcontext()

    def follow(self, array: Array) -> None:
        """Nothing to switch: there is one CPU."""

    def synchronize(self) -> None:
        """Nothing to wait for: NumPy computes at the call."""
