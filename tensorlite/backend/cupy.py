"""CUDA: CuPy arrays, matrix products by cuBLASLt, kernels compiled by NVRTC.

CuPy is imported when CUDA is first used, never before. Where it differs from NumPy, this module
makes up for it, so that the floors above see one interface.
"""

from __future__ import annotations

import functools
import sys
import threading
from collections.abc import Callable, Sequence
from functools import cached_property
from types import ModuleType
from typing import Any

import numpy as np

from tensorlite.backend.base import Array, Backend, Device, home
from tensorlite.backend.driver import device_count, is_available, load_cupy
from tensorlite.backend.kernels.library import library
from tensorlite.backend.mixed import add_by_kernel, differ_in_width


class _Uploads(threading.local):
    """What handles the copies from the host of each thread (a recorder); None: nothing."""

    handler: Callable[[Any, Any, int], Array] | None = None


UPLOADS = _Uploads()


def cuda_backend(device: Device) -> CudaBackend:
    """Return the backend, after checking that `device` exists.

    Raises
    ------
    RuntimeError
        If CuPy, the driver or the device is missing; the message says which.
    """
    count = device_count()
    if device.index >= count:
        there = "is one device, cuda:0" if count == 1 else f"are devices cuda:0 to cuda:{count - 1}"
        raise RuntimeError(f"{device} is not there: there {there}")
    return _backend()


@functools.cache
def _backend() -> CudaBackend:
    use_home()
    return CudaBackend()


def use_home() -> None:
    """Let this thread compute on the process's own device: CUDA gives a new one the first."""
    if home() and "cupy" in sys.modules and is_available():
        load_cupy().cuda.runtime.setDevice(home())


class CudaBackend(Backend):
    """CuPy on NVIDIA GPUs."""

    name = "cuda"

    @cached_property
    def xp(self) -> ModuleType:
        """`cupy`, with NumPy's behaviour where CuPy's is another; see `namespace`."""
        load_cupy()
        from tensorlite.backend.cupy_functions import cupy_functions

        return cupy_functions()

    @cached_property
    def kernels(self) -> Any:
        """The kernels that NVRTC compiles (None: the references run)."""
        return library("cuda")

    def asarray(self, value: Any, dtype: Any = None, device: Device | None = None) -> Array:
        """Bring `value` to `device`, by default the current one, without a copy where possible.

        Host memory travels through a pinned buffer and the call returns before it has arrived;
        between devices, the copy waits for the work that writes the array.
        """
        index = self.xp.cuda.runtime.getDevice() if device is None else device.index
        if isinstance(value, self.xp.ndarray):
            if value.device.id != index:
                value = self._copied(value, index)
        elif UPLOADS.handler is not None:
            return UPLOADS.handler(value, dtype, index)
        with self.xp.cuda.Device(index):
            return self.xp.asarray(value, dtype=dtype)

    def _copied(self, array: Array, index: int) -> Array:
        """Copy to another device, in order with the work queued on both."""
        with array.device:
            source = self.xp.cuda.get_current_stream()
            # Copying packs a strided array first, on the source's stream: before `written`.
            array = self.xp.ascontiguousarray(array)
            written = source.record()
        with self.xp.cuda.Device(index):
            target = self.xp.cuda.get_current_stream()
            target.wait_event(written)
            copy = array.copy()
            read = target.record()
        with array.device:
            source.wait_event(read)  # or the memory might be used again too early
        return copy

    def to_host(self, array: Array) -> np.ndarray:
        """Copy the values to the host; waits for the work that writes them."""
        with array.device:
            return array.get()

    def device_of(self, array: Array) -> Device:
        """Return the device the array was allocated on."""
        return Device("cuda", array.device.id)

    def byte_bounds(self, array: Array) -> tuple[int, int]:
        """Lowest and one past the highest address that `array` can touch."""
        return self.xp.byte_bounds(array)

    def address(self, array: Array) -> int:
        """Where the first element of `array` is."""
        return array.data.ptr

    def whole(self, parts: Sequence[Array], shape: tuple[int, ...]) -> Array | None:
        """The array of `shape` in the memory that `parts` share."""
        first = parts[0]
        memory = first.data.mem
        if any(x.data.mem is not memory for x in parts):
            return None
        return self.xp.ndarray(shape, first.dtype, first.data)

    def cut(self, flat: Array) -> Callable[[int, tuple[int, ...]], Array]:
        """Return ``part(start, shape)``; the memory is freed when the last array of it is."""
        return lambda start, shape: self.xp.ndarray(
            shape, flat.dtype, flat.data + start * flat.itemsize
        )

    def plus(self, x1: Array, x2: Array, small: bool = False) -> Array:
        """``x1 + x2``, by a kernel of ours, whose launch takes half of the time of CuPy's."""
        if self.kernels is not None:
            y = add_by_kernel(self.kernels, x1, x2, 1.0)
            if y is not NotImplemented:
                return y
        return x1 + x2

    def scale(self, x: Array, factor: Array) -> Array:
        """`Backend.scale`; the factor of 16-bit floats may be float32."""
        if self.kernels is not None and differ_in_width(x.dtype, factor.dtype):
            if x.dtype == np.float32:
                factor = factor.astype(np.float32)
            else:
                self.kernels.scale_short(x, factor, x.size)
                return x
        return super().scale(x, factor)

    def write(self, to: Array, x: Array) -> None:
        """``to[...] = x``; as a plain copy of memory where that is all."""
        alike = to.shape == x.shape and to.dtype == x.dtype
        if alike and x._c_contiguous and to._c_contiguous and x.data.device_id == to.data.device_id:
            to.data.copy_from_device_async(x.data, x.nbytes)
        else:
            to[...] = x

    def matmul(
        self, a: Array, b: Array, bias: Array | None = None, out: Array | None = None
    ) -> Array:
        """Multiply by cuBLASLt, which adds the bias."""
        from tensorlite.backend.blas import if_fit, matmul

        return matmul(a, b, bias=bias, out=if_fit(out, a, b))

    def matmul_and_row_sums(
        self, a: Array, b: Array, out: Array | None = None, sums: Array | None = None
    ) -> tuple[Array, Array]:
        """The product of two matrices, and the sum of each row of `a`: one call of cuBLASLt."""
        from tensorlite.backend.blas import if_fit, matmul

        out, sums = if_fit(out, a, b), if_fit(sums, a, b)
        given = next((x for x in (out, sums) if x is not None), a)  # one call writes both
        if sums is None or sums.dtype != given.dtype:
            sums = self.xp.empty(a.shape[0], given.dtype)
        return matmul(a, b, row_sums=sums, out=out), sums

    def on(self, device: Device) -> Any:
        """Context manager: new arrays are made on `device`."""
        return self.xp.cuda.Device(device.index)

    def follow(self, array: Array) -> None:
        """Make the device of `array` the current one."""
        self.xp.cuda.runtime.setDevice(array.data.device_id)

    def synchronize(self) -> None:
        """Wait until all work queued on the current device has finished."""
        self.xp.cuda.Device().synchronize()

    def stream_made(self, device: int, stream: int) -> None:
        """Keep a new stream apart from the work of a destroyed one that had its address."""
        from tensorlite.backend.cublaslt import stream_made

        stream_made(device, stream)

    def empty_cache(self) -> None:
        """Give memory that no array uses back to the driver, on all devices."""
        from tensorlite.backend.cublaslt import release_workspaces

        for index in range(device_count()):
            with self.xp.cuda.Device(index) as device:
                device.synchronize()  # a product may still be using its workspace
        release_workspaces()
        for index in range(device_count()):
            with self.xp.cuda.Device(index):
                self.xp.get_default_memory_pool().free_all_blocks()
        self.xp.get_default_pinned_memory_pool().free_all_blocks()
