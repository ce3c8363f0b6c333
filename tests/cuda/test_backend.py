"""Devices, memory, copies and streams of the CUDA backend."""

from __future__ import annotations

import gc
import importlib.util
import subprocess
import sys

import cupy as cp
import ml_dtypes
import numpy as np
import pytest

from tensorlite import cuda
from tensorlite.backend import Device, array_backend, backend_for, device, driver
from tensorlite.backend.upload import Prefetcher

ZERO, ONE = Device("cuda", 0), Device("cuda", 1)


# --- placement --------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float32", "float16", ml_dtypes.bfloat16, "int64", "bool"])
@pytest.mark.parametrize("shape", [(), (0, 3), (2, 3)])
def test_host_to_device_and_back(shape, dtype):
    host = np.arange(6)[: int(np.prod(shape))].reshape(shape).astype(dtype)
    backend = backend_for("cuda")
    array = backend.asarray(host)
    assert isinstance(array, cp.ndarray)
    assert array_backend((array,)) is backend
    assert backend.device_of(array) == ZERO
    back = backend.to_host(array)
    assert back.dtype == host.dtype
    np.testing.assert_array_equal(back, host)


def test_asarray_does_not_copy_what_is_there():
    array = cp.arange(3.0)
    backend = backend_for("cuda")
    assert backend.asarray(array) is array
    assert backend.asarray(array, device=ZERO) is array
    assert backend.asarray([1, 2], dtype="float32").dtype == np.float32


def test_two_devices(two_devices):
    backend = backend_for("cuda:1")
    assert str(device("cuda:1")) == "cuda:1"
    host = np.arange(4.0)
    first, second = (backend.asarray(host, device=d) for d in (ZERO, ONE))
    assert [backend.device_of(a) for a in (first, second)] == [ZERO, ONE]
    moved = backend.asarray(first, device=ONE)
    assert backend.device_of(moved) == ONE
    first += 1
    np.testing.assert_array_equal(backend.to_host(moved), host)
    np.testing.assert_array_equal(backend.to_host(second), host)
    with backend.on(ONE):
        assert backend.device_of(backend.xp.zeros(1)) == ONE
    assert backend.device_of(backend.xp.zeros(1)) == ZERO


def test_matmul_on_and_across_devices(two_devices):
    backend = backend_for("cuda")
    a = np.arange(6.0).reshape(2, 3)
    first, second = (backend.asarray(a, device=d) for d in (ZERO, ONE))
    product = backend.matmul(second, second.T)
    assert backend.device_of(product) == ONE
    np.testing.assert_allclose(backend.to_host(product), a @ a.T)
    with pytest.raises(ValueError, match=r"shape \(2, 3\) on cuda:0, shape \(3, 2\) on cuda:1"):
        backend.matmul(first, second.T)


def test_byte_bounds():
    array = cp.zeros((4, 6), "f4")
    view = array[1:3, 2:4]
    low, high = backend_for("cuda").byte_bounds(view)
    assert (low, high) == (array.data.ptr + 32, array.data.ptr + 64)


# --- what is missing --------------------------------------------------------------------------


def test_missing_device_is_named():
    count = cuda.device_count()
    with pytest.raises(RuntimeError, match=rf"cuda:{count} is not there: there"):
        device(f"cuda:{count}")


@pytest.mark.parametrize("name", ["cpu", "tpu"])
def test_cuda_functions_want_a_cuda_device(name):
    with pytest.raises(ValueError, match=name):
        cuda.synchronize(name)


def test_missing_cupy(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    driver.load_cupy.cache_clear()
    with pytest.raises(RuntimeError, match=r'CuPy.*pip install "tensorlite\[cuda13\]"'):
        device("cuda")
    assert device("auto") == Device("cpu")
    assert not cuda.is_available()
    assert cuda.device_count() == 0


@pytest.mark.parametrize(
    ("status", "driver", "message"),
    [
        (35, 0, "no NVIDIA driver"),
        (35, 12040, r"driver is for CUDA 12\.4, CuPy for CUDA 13"),
        (100, 13000, "no device.*CUDA_VISIBLE_DEVICES"),
        (999, 13000, "cannot be used"),
    ],
)
def test_missing_driver_or_device(monkeypatch, status, driver, message):
    runtime = cp.cuda.runtime

    class Broken:
        CUDARuntimeError = runtime.CUDARuntimeError
        runtimeGetVersion = staticmethod(runtime.runtimeGetVersion)

        @staticmethod
        def getDeviceCount():
            raise runtime.CUDARuntimeError(status)

        @staticmethod
        def driverGetVersion():
            return driver

    monkeypatch.setattr(cp.cuda, "runtime", Broken)
    with pytest.raises(RuntimeError, match=message):
        device("cuda")
    assert not cuda.is_available()


def test_out_of_memory_tells_asked_held_and_free():
    with pytest.raises(cuda.OutOfMemoryError) as caught:
        cp.empty(1 << 50, "u1")
    text = str(caught.value)
    assert isinstance(caught.value, MemoryError)
    for part in ("cuda:0", "1048576.00 GiB asked", "this process holds", "are free"):
        assert part in text


def test_importing_tensorlite_leaves_cupy_alone():
    code = "import sys, tensorlite, tensorlite.cuda; assert 'cupy' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


# --- memory -----------------------------------------------------------------------------------


def test_memory_stats_and_empty_cache():
    pool = cp.cuda.MemoryPool()
    stats = cuda.memory_stats()
    assert set(stats) == {"device", "allocated", "reserved", "free", "total"}
    assert 0 <= stats["allocated"] <= stats["reserved"]
    assert 0 < stats["free"] <= stats["total"]
    del pool
    memory = cp.get_default_memory_pool().malloc(1 << 20)
    held = cuda.memory_stats()
    assert held["allocated"] == stats["allocated"] + (1 << 20)
    del memory
    cuda.empty_cache()
    assert cuda.memory_stats()["reserved"] <= held["reserved"] - (1 << 20)


# --- streams ----------------------------------------------------------------------------------


def test_streams():
    backend = backend_for("cuda")
    side, other = cuda.Stream(), cuda.Stream("cuda:0")
    x = backend.asarray(np.ones(1000, "f4"))
    default = cp.cuda.get_current_stream()
    side.wait()
    with side:
        assert cp.cuda.get_current_stream() != default
        y = x * 2
        with other:
            other.wait(side)
            z = y + 1
    assert cp.cuda.get_current_stream() == default
    other.synchronize()
    assert (backend.to_host(z) == 3).all()
    cuda.synchronize()
    assert repr(side) == "Stream('cuda:0')"


def test_stream_of_another_device(two_devices):
    stream = cuda.Stream("cuda:1")
    with stream:
        assert cp.cuda.runtime.getDevice() == 1
        y = cp.ones(3)
    assert cp.cuda.runtime.getDevice() == 0
    stream.wait(cuda.Stream("cuda:0"))
    assert y.device.id == 1


# --- batches ahead of their use ---------------------------------------------------------------


def batches(count, shape=(4, 3)):
    for i in range(count):
        yield [np.full(shape, i, "f4"), np.arange(i % 3), np.array(i).astype(ml_dtypes.bfloat16)]


@pytest.mark.parametrize("depth", [2, 3])
def test_prefetched_batches_are_the_batches(depth):
    prefetch = Prefetcher(ZERO, depth)
    for _ in range(2):  # a second epoch uses the same buffers
        seen = 0
        for (x, y, z), expected in zip(prefetch(batches(7)), batches(7), strict=True):
            for array, host in zip((x, y, z), expected, strict=True):
                assert array.dtype == host.dtype
                np.testing.assert_array_equal(cp.asnumpy(array), host)
                assert array.data.ptr % 256 == 0 or array.size == 0
            seen += 1
        assert seen == 7


def test_prefetched_memory_is_used_again():
    addresses = {batch[0].data.ptr for batch in Prefetcher(ZERO, 2)(batches(20))}
    assert len(addresses) == 3


def test_prefetched_batches_may_be_kept():
    kept = [x[1:, :2] for x, *_ in Prefetcher(ZERO, 2)(batches(9))]
    gc.collect()
    for i, x in enumerate(kept):
        assert (cp.asnumpy(x) == i).all()


def test_prefetching_waits_for_the_work_on_old_batches():
    """Results stay right although memory is used again while work is still queued."""
    results = []
    weight = cp.ones((3, 3), "f4")
    for x, *_ in Prefetcher(ZERO, 2)(batches(12)):
        results.append(x @ weight)
    for i, y in enumerate(results):
        assert (cp.asnumpy(y) == 3 * i).all()


def test_prefetching_batches_of_growing_size():
    sizes = [3, 0, 1000, 5]
    for x, n in zip(Prefetcher(ZERO)([np.ones(n)] for n in sizes), sizes, strict=True):
        assert x[0].shape == (n,)
        assert float(x[0].sum()) == n


def test_prefetcher_needs_to_be_ahead():
    with pytest.raises(ValueError, match="depth is 1"):
        Prefetcher(ZERO, 1)
