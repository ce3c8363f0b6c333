"""Copies on all threads between arrays of any strides."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest

import tensorlite as tl
from tensorlite.backend import HOST

VIEWS = {
    "whole": lambda x: x,
    "swapped": lambda x: x.swapaxes(1, 2),
    "reversed axes": lambda x: x.T,
    "every second": lambda x: x[..., ::2],
    "backwards": lambda x: x[::-1, :, ::-1],
    "broadcast": lambda x: np.broadcast_to(x[:, :1], x.shape),
    "a part": lambda x: x[1:, 3:, :-1],
    "one element": lambda x: x[:1, :1, :1, :1],
    "nothing": lambda x: x[:0],
    "no axis": lambda x: x[0, 0, 0, 0, ...],
}


@pytest.mark.parametrize("dtype", ["uint8", "float16", "float32", "int64", "complex128"])
@pytest.mark.parametrize("view", VIEWS)
def test_copy(host_kernels, host_guarded, view, dtype):
    x = np.random.default_rng(1).integers(0, 100, (5, 31, 17, 64)).astype(dtype)
    source = VIEWS[view](x)
    dense = host_guarded.empty(source.shape, source.dtype)
    host_kernels.copy(dense, source)
    np.testing.assert_array_equal(dense, source)
    if view != "broadcast":  # its elements share memory
        target = VIEWS[view](np.zeros_like(x))
        host_kernels.copy(target, dense)
        np.testing.assert_array_equal(target, source)
        assert np.count_nonzero(target.base if target.base is not None else target) <= dense.size


@pytest.mark.parametrize("dtype", ["uint8", "float16", "float32", "int64"])
def test_every_order_of_axes(host_kernels, host_guarded, dtype):
    """Whole tiles, parts of tiles, and axes too short for one, wherever they stand."""
    for shape in ((3, 32, 2, 48), (2, 17, 9, 23), (8, 7, 16, 5)):
        x = np.random.default_rng(3).integers(0, 100, shape).astype(dtype)
        for order in permutations(range(4)):
            for source in (x.transpose(order), x.transpose(order)[:, ::-1]):
                y = host_guarded.empty(source.shape, source.dtype)
                host_kernels.copy(y, source)
                np.testing.assert_array_equal(y, source)


def test_large_copies(host_kernels, host_guarded):
    for shape in ((4200, 1031), (1031, 4200), ((4 << 20) + 77,)):
        x = np.random.default_rng(2).standard_normal(shape, np.float32)
        for source in (x, x.T, x[1:]):
            y = host_guarded.empty(source.shape, source.dtype)
            host_kernels.copy(y, source)
            np.testing.assert_array_equal(y, source)


@pytest.mark.parametrize(
    ("to", "source", "message"),
    [
        (np.zeros((2, 3)), np.zeros((3, 2)), "shapes and dtypes must agree"),
        (np.zeros(3), np.zeros(3, np.float32), "shapes and dtypes must agree"),
        (np.zeros(3, object), np.zeros(3, object), "shapes and dtypes must agree"),
        (np.broadcast_to(np.zeros(1), 3), np.zeros(3), "must be writeable"),
    ],
)
def test_copy_refuses(host_kernels, to, source, message):
    with pytest.raises(ValueError, match=message):
        host_kernels.copy(to, source)
    with pytest.raises(TypeError, match="two NumPy arrays"):
        host_kernels.copy(to, 1)


@pytest.mark.parametrize("axis", [0, 1, 2, -1, -2])
def test_joining_large_arrays(backend, axis):
    xs = [np.random.default_rng(i).standard_normal((41, 52, 63)) for i in range(3)]
    tensors = [tl.tensor(x.swapaxes(0, 1)) for x in xs]
    joined = tl.concat(tensors, axis).to("cpu").numpy()
    np.testing.assert_array_equal(joined, np.concatenate([x.swapaxes(0, 1) for x in xs], axis))
    stacked = tl.stack(tensors, axis).to("cpu").numpy()
    np.testing.assert_array_equal(stacked, np.stack([x.swapaxes(0, 1) for x in xs], axis))


def test_reshaping_copies_only_what_it_must():
    x = HOST.asarray(np.arange(120_000.0).reshape(8, 100, 150))
    split = tl.reshape(tl.tensor(x)[:, ::2], (8, 50, 15, 10))
    assert split.array.base is not None
    merged = tl.reshape(tl.tensor(x).swapaxes(0, 1), (100, -1))
    np.testing.assert_array_equal(merged.to("cpu").numpy(), x.swapaxes(0, 1).reshape(100, -1))
    with pytest.raises(ValueError, match="do not fill shape"):
        tl.reshape(tl.tensor(x).swapaxes(0, 1), (7, -1))
