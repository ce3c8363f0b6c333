"""The bounds that kernels/math.h states, in units in the last place of the exact result."""

from __future__ import annotations

import numpy as np
import pytest
from reference import erf, sigmoid

N = 200_001
CASES = {
    "exp": (np.exp, np.linspace(-87.3, 88.72, N), 1.5),
    "expm1": (np.expm1, np.concatenate([np.linspace(-20, 88, N), np.logspace(-30, 0, N)]), 2),
    "log": (np.log, np.concatenate([np.logspace(-44, 38, N), np.linspace(0.5, 2, N)]), 1.5),
    "log1p": (
        np.log1p,
        np.concatenate([[0], np.logspace(-30, 30, N), np.linspace(-0.99, 0, N)]),
        2,
    ),
    "tanh": (np.tanh, np.concatenate([np.linspace(-12, 12, N), np.logspace(-30, 0, N)]), 2.5),
    "erf": (erf, np.concatenate([np.linspace(-6, 6, N), np.logspace(-30, 0, N)]), 1.2),
    "sigmoid": (sigmoid, np.linspace(-86, 86, N), 2.5),
}


def _run(backend, kernels, name, x):
    y = kernels.empty(x.shape, x.dtype)
    getattr(kernels, name)(backend.asarray(x), y, x.size)
    return backend.to_host(y)


@pytest.mark.parametrize("name", CASES)
def test_error_is_within_the_stated_bound(backend, kernels, name):
    function, points, bound = CASES[name]
    x = points.astype(np.float32)
    if backend.name != "cpu":
        x = x[np.abs(x) > 1.2e-38]  # CuPy compiles with subnormals flushed to zero
    exact = function(x.astype(np.float64))
    error = np.abs(_run(backend, kernels, name, x) - exact)
    ulp = np.spacing(np.abs(exact).astype(np.float32)).astype(np.float64)
    assert (error / ulp).max() <= bound


def test_double_exp_is_within_the_stated_bound(backend, kernels):
    x = np.linspace(-700, 709, N)
    exact = np.exp(x.astype(np.longdouble))
    error = np.abs(_run(backend, kernels, "exp", x) - exact) / np.spacing(exact.astype(np.float64))
    assert error.max() <= 1.5


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", CASES)
def test_limits(backend, kernels, name, dtype):
    x = np.array([0, 1000, np.inf, np.nan, -1000, -np.inf] + [-1] * (name == "log1p"), dtype)
    with np.errstate(all="ignore"):
        expected = CASES[name][0](x)
    np.testing.assert_array_equal(_run(backend, kernels, name, x), expected)
