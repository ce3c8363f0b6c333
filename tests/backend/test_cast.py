"""Casts on the host: the numbers are NumPy's, and so is the order in memory."""

from __future__ import annotations

from itertools import permutations

import ml_dtypes
import numpy as np
import pytest

import tensorlite as tl
from tensorlite.backend import HOST

FLOATS = [np.float16, ml_dtypes.bfloat16, np.float32, np.float64]
VIEWS = [
    lambda x: x,
    lambda x: x[:, 1:, ::2],
    lambda x: x[::-1],
    lambda x: x[..., ::-1],
    lambda x: x[0, 0, 0],
    lambda x: x[:0],
    lambda x: np.broadcast_to(x[:1], x.shape),
    *(lambda x, axes=axes: x.transpose(axes) for axes in permutations(range(3))),
]


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("target", FLOATS)
@pytest.mark.parametrize("source", FLOATS)
def test_every_layout_is_cast_as_numpy_does(source, target, view):
    values = np.random.default_rng(0).normal(size=(4, 5, 6)) * 1000
    values.ravel()[:6] = 0, -0.0, np.inf, -np.inf, np.nan, 1e-6
    x = view(values.astype(source))
    y, expected = HOST.cast(x, target), np.asarray(x).astype(target)
    assert y.dtype == expected.dtype
    np.testing.assert_array_equal(y.astype(np.float64), expected.astype(np.float64))
    if 0 not in np.asarray(x).strides:
        assert np.asarray(y).strides == expected.strides


@pytest.mark.parametrize("short", [np.float16, ml_dtypes.bfloat16])
def test_what_is_too_small_or_large_for_float32(short, device):
    """On the way from float64 to a short float, float32 is met, where these are 0 or infinite."""
    sizes = np.array([*(10.0**-k for k in range(30, 324, 3)), 5e-324, 1e39, 1e300, 1.7e308])
    for x in (sizes, -sizes):
        with np.errstate(over="ignore"):
            y = tl.tensor(x, device=device).to(tl.tensor(np.zeros(1, short)).dtype)
            expected = x.astype(np.float32).astype(short).astype(np.float64)
        if str(device) != "cpu":  # where subnormal numbers may be flushed
            expected[np.abs(x) < 1.2e-38] = 0
        np.testing.assert_array_equal(y.double().to("cpu").numpy(), expected)


def test_integers_are_left_to_numpy():
    assert HOST.cast(np.arange(3), np.float16).dtype == np.float16
    assert HOST.cast(np.ones(3, np.float16), np.int64).dtype == np.int64
