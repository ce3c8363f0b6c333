"""Every elementwise function of float16 and bfloat16 at every number there is, rounded once.

The table is that of the edges. What is right is the result in float64, rounded to the short float:
functions compute in float32 or longer, so their errors are hardly more than half a unit.
"""

from __future__ import annotations

import warnings
from functools import reduce

import ml_dtypes
import numpy as np
import pytest

import tensorlite as tl
from kinds.edges import cases
from tensorlite.tensor import tensor_of

CASES = cases()
SHORT = {"float16": np.dtype(np.float16), "bfloat16": np.dtype(ml_dtypes.bfloat16)}
ALMOST = 0.52  # units in the last place: float32's own error comes on top of the rounding
FLUSHED = 2.0**-119  # below, kernels may have met a subnormal number of float32
ELSE = {
    "nn.functional.gelu": "float32 loses digits where the result is nearly 0, as torch's does",
    "gelu tanh": "as gelu",
    "nn.functional.tanhshrink": "x - tanh(x), each rounded, as torch does",
    "sinc": "pi x is rounded before the sine is taken, as torch does",
    "div trunc": "truncates the rounded quotient, as torch does",
    "nextafter": "is about the neighbours in its own dtype",
}


def numbers(dtype: np.dtype, count: int, cuda: bool) -> list[np.ndarray]:
    """All finite numbers of a dtype, and as second operands the same in another order.

    CuPy compiles so that what is subnormal in float32 is 0: there the ends are left out.
    """
    every = np.arange(65536, dtype=np.uint16).view(dtype)
    size = np.abs(every.astype(np.float32))
    end = (size != 0) & ((size < 1e-15) | (size > 1e15))
    finite = every[np.isfinite(size) & ~(cuda & end)]
    rng = np.random.default_rng(0)
    return [finite, *(rng.permutation(finite) for _ in range(count - 1))]


@pytest.mark.parametrize("short", SHORT)
@pytest.mark.parametrize("name", [name for name in CASES if name not in ELSE])
def test_rounded_once(backend, name, short):
    function, before, after, keywords, given = CASES[name]
    dtype = SHORT[short]
    given = numbers(dtype, len(given), backend.name != "cpu")

    def result(inside):
        def wrapped(x):
            return tensor_of(backend.asarray(x.astype(dtype).astype(inside)))

        more = [wrapped(a) if isinstance(a, np.ndarray) else a for a in after]
        leaves = [wrapped(x) for x in given]
        call = reduce(getattr, function.split("."), tl)
        with np.errstate(all="ignore"), warnings.catch_warnings(action="ignore"):
            return call(*before, *leaves, *more, **keywords)

    y = result(dtype)
    if y.dtype.kind == "b":
        return
    assert y.dtype == dtype
    exact = backend.to_host(result(np.float64).array)
    found = backend.to_host(y.array).astype(np.float64)
    with np.errstate(over="ignore"):
        rounded = exact.astype(dtype).astype(np.float64)
    np.testing.assert_array_equal(np.isnan(found), np.isnan(exact))
    limit = float(ml_dtypes.finfo(dtype).max)
    edge = np.isinf(found) != np.isinf(rounded)  # float32 on the other side of the largest number
    assert np.allclose(np.abs(exact[edge]), limit, rtol=0.01, atol=0)
    small = np.abs(exact) < FLUSHED
    assert (np.abs(found[small]) <= 2 * FLUSHED).all()
    usual = np.isfinite(found) & np.isfinite(rounded) & ~small
    info = ml_dtypes.finfo(dtype)
    size = np.maximum(np.abs(exact[usual]), float(info.tiny))
    unit = 2.0 ** (np.floor(np.log2(size)) - info.nmant)
    error = np.abs(found[usual] - exact[usual]) / unit
    assert error.max(initial=0) <= ALMOST, given[0][usual][error.argmax()]


def test_what_is_else_is_of_the_table():
    assert ELSE.keys() <= CASES.keys()


SLOPES = {
    "float16": (0.01, 1e-3),
    "bfloat16": (0.06, 8e-3),
}  # relative, and near 0
STEPS = {
    **dict.fromkeys(("fmod", "remainder", "floor_divide", "div trunc"), "a quotient is rounded"),
    "nextafter": "is about the neighbours in its own dtype",
    "pow": "b * a ** (b - 1), each rounded, as torch does",
}


@pytest.mark.parametrize("short", SHORT)
@pytest.mark.parametrize("name", [name for name in CASES if name not in STEPS])
def test_slopes_of_usual_numbers(backend, name, short):
    """No step of a rule overflows, or cancels to nothing, where the slope is a usual number."""
    function, before, after, keywords, given = CASES[name]
    dtype = SHORT[short]
    given = numbers(dtype, len(given), backend.name != "cpu")
    usual = np.all([(abs(x) < 64) & (abs(x) > 1e-6) for x in (g.astype(float) for g in given)], 0)
    call = reduce(getattr, function.split("."), tl)

    def slopes(inside):
        def wrapped(x, **options):
            return tensor_of(backend.asarray(x.astype(dtype).astype(inside)), **options)

        more = [wrapped(a) if isinstance(a, np.ndarray) else a for a in after]
        leaves = [wrapped(x[usual], requires_grad=True) for x in given]
        with np.errstate(all="ignore"), warnings.catch_warnings(action="ignore"):
            y = call(*before, *leaves, *more, **keywords)
            if not y.requires_grad:
                return []
            found = tl.grad(y, leaves, tl.ones_like(y), allow_unused=True)
        return [backend.to_host(d.array).astype(np.float64) for d in found if d is not None]

    relative, absolute = SLOPES[short]
    for found, exact in zip(slopes(dtype), slopes(np.float64), strict=True):
        plain = np.abs(exact) < float(ml_dtypes.finfo(dtype).max) / 8
        np.testing.assert_allclose(found[plain], exact[plain], relative, absolute)
