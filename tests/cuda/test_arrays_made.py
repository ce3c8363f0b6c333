"""Arrays that the extension makes on CUDA are those that CuPy's class would make."""

from __future__ import annotations

import gc
import weakref

import cupy
import numpy as np
import pytest

import tensorlite as tl
from tensorlite.backend import HOST
from tensorlite.backend.driver import OutOfMemoryError
from tensorlite.backend.kernels.library import library

SHAPES = [(), (1,), (7,), (3, 5), (1, 5), (5, 1), (1, 1), (2, 3, 4), (2, 1, 4), (0,), (3, 0, 2)]
SEEN = ["shape", "strides", "size", "ndim", "nbytes", "itemsize", "dtype", "base"]
SEEN += ["_c_contiguous", "_f_contiguous", "_index_32_bits"]


@pytest.fixture
def empty():
    kernels = library("cuda")
    if kernels is None or HOST.kernels is None:
        pytest.skip("arrays are made by the extension")
    return kernels.empty


def dtypes():
    yield from map(np.dtype, "fdelIi?BbH")
    if (bf16 := getattr(tl, "bfloat16", None)) is not None:
        yield np.dtype(bf16)


@pytest.mark.parametrize("shape", SHAPES)
def test_they_are_cupys(empty, shape):
    for dtype in dtypes():
        theirs = cupy.ndarray(shape, dtype)
        for ours in (empty(shape, dtype), empty(shape, dtype, theirs.data)):
            assert type(ours) is cupy.ndarray
            for name in SEEN:
                assert getattr(ours, name) == getattr(theirs, name), name
            assert ours.flags.owndata == theirs.flags.owndata
        assert ours.data is theirs.data
        if dtype.char in "fdliB":
            made = empty(shape, dtype)
            made.fill(3)
            assert (made.get() == 3).all() and (made.T + 1).shape == shape[::-1]
            assert (made.reshape(-1)[:1] + 1).get().sum() == 4 * min(made.size, 1)


def test_what_is_no_plain_shape_or_dtype_is_left_to_cupy(empty):
    assert empty(3, "f").shape == (3,)
    assert empty([2, np.int64(3)], np.float32).shape == (2, 3)
    assert empty((np.int32(2),), np.dtype(">f4").newbyteorder("=")).shape == (2,)
    assert empty((2, 3), np.dtype("f"), None, (4, 8)).strides == (4, 8)
    assert empty((2,), np.dtype("F")).dtype == np.complex64
    for wrong in [((-1,), np.dtype("f")), ((2,) * 70, np.dtype("f")), ((2,), np.dtype("U3"))]:
        with pytest.raises((ValueError, TypeError)):
            empty(*wrong)


def test_the_current_allocator_gives_the_memory_and_gets_it_back(empty):
    pool = cupy.cuda.MemoryPool()
    asked = []

    def allocate(size):
        asked.append(size)
        return pool.malloc(size)

    with cupy.cuda.using_allocator(allocate):
        x = empty((5, 3), np.dtype("d"))
    assert asked == [120] and pool.used_bytes() == 512
    memory = weakref.ref(x)
    view = x[1:]
    del x
    gc.collect()
    assert pool.used_bytes() == 512 and view.base is memory()
    del view
    gc.collect()
    assert pool.used_bytes() == 0 and memory() is None


def test_an_allocator_that_gives_no_memory_of_cupys_is_refused(empty):
    with cupy.cuda.using_allocator(lambda size: "mine"), pytest.raises(TypeError, match="mine"):
        empty((2,), np.dtype("f"))


def test_no_memory_is_said_as_ever(empty):
    used = tl.cuda.memory_allocated()
    with pytest.raises(OutOfMemoryError, match="GiB asked"):
        empty((1 << 38,), np.dtype("f"))
    assert tl.cuda.memory_allocated() == used
