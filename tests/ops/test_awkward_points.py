"""Gradients and values at corners, poles and edges: finite where promised, and silent.

A NumPy RuntimeWarning anywhere fails the run (see `conftest.py`).
"""

from __future__ import annotations

import math

import numpy as np
import pytest

import tensorlite as tl
from tensorlite import ops
from tensorlite.backend import Backend
from tensorlite.ops.arithmetic import share
from tensorlite.tensor import tensor_of

inf, nan = math.inf, math.nan


@pytest.fixture
def gradient(backend: Backend):
    """``gradient(fn, *numbers)``: what each array gets from ``sum(fn(...))``."""

    def run(fn, *values):
        leaves = [
            tensor_of(backend.asarray(np.array(v, np.float64)), requires_grad=True) for v in values
        ]
        found = tl.grad(ops.sum(fn(*leaves)), leaves)
        return [backend.to_host(d.array).tolist() for d in found]

    return run


@pytest.mark.parametrize(
    ("fn", "x", "expected"),
    [
        (ops.abs, [-2.0, 0.0, 2.0], [-1, 0, 1]),
        (ops.sign, [0.0, 3.0], [0, 0]),
        (ops.sqrt, [0.0, 4.0], [0, 0.25]),
        (ops.asin, [-1.0, 0.0, 1.0], [0, 1, 0]),
        (ops.acos, [-1.0, 0.0, 1.0], [0, -1, 0]),
        (ops.acosh, [1.0], [0]),
        (ops.floor, [nan, inf], [0, 0]),
        (ops.exp, [-inf], [0]),
        (ops.tanh, [-inf, inf, 800.0], [0, 0, 0]),
        (ops.erf, [-inf, inf, 40.0], [0, 0, 0]),
        (ops.erfc, [inf, 40.0], [0, 0]),
        (lambda x: ops.clip(x, 0, 1), [-1.0, 0.0, 0.5, 1.0, 2.0], [0, 1, 1, 1, 0]),
        (lambda x: x**0, [0.0, 2.0], [0, 0]),
        (lambda x: x**0.5, [0.0, 4.0], [0, 0.25]),
        (lambda x: x**1, [0.0, -2.0], [1, 1]),
        (lambda x: 0.0**x, [0.0, 1.0, 2.0], [0, 0, 0]),
        (lambda x: (-10.0) ** x, [-1.0, 0.0, 1.0], [nan, nan, nan]),
        (lambda x: ops.clamp(x, 3, 1), [0.0, 2.0, 4.0], [0, 0, 0]),
        (ops.asinh, [1e200], [1e-200]),
        (ops.acosh, [1e200], [1e-200]),
        (ops.log10, [1e308], [1 / math.log(10) / 1e308]),
        (ops.sinc, [0.0, 1e-200, 0.5], [0, -(math.pi**2) / 3 * 1e-200, -4 / math.pi]),
        (lambda x: ops.maximum(x, 0), [-1.0, 0.0, 1.0], [0, 0.5, 1]),
        (lambda x: ops.minimum(x, 0), [-1.0, 0.0, 1.0], [1, 0.5, 0]),
        (ops.max, [1.0, 3.0, 3.0, 0.0], [0, 0.5, 0.5, 0]),
        (ops.min, [1.0, 3.0, 1.0, 1.0], [1 / 3, 0, 1 / 3, 1 / 3]),
        (ops.max, [1.0, nan], [0, 0]),
        (ops.norm, [0.0, 0.0], [0, 0]),
        (ops.norm, [3.0, 4.0], [0.6, 0.8]),
        (lambda x: ops.norm(x, p=1), [0.0, -2.0], [0, -1]),
        (lambda x: ops.norm(x, p=3), [0.0, 0.0], [0, 0]),
        (lambda x: ops.norm(x, p=inf), [-2.0, 2.0, 1.0], [-0.5, 0.5, 0]),
        (ops.std, [2.0, 2.0], [0, 0]),
        (ops.prod, [0.0, 2.0, 3.0], [6, 0, 0]),
        (ops.prod, [0.0, 0.0, 3.0], [0, 0, 0]),
        (lambda x: ops.cumprod(x, axis=0), [2.0, 0.0, 3.0], [1, 8, 0]),
        (lambda x: ops.logsumexp(x, 0), [-inf, -inf], [0, 0]),
        (lambda x: ops.logsumexp(x, 0), [-inf, 0.0], [0, 1]),
        (lambda x: ops.logsumexp(x, 0), [1e5, 1e5], [0.5, 0.5]),
        (lambda x: ops.where(x > 0, ops.log(ops.where(x > 0, x, 1)), 0), [-1.0, 2.0], [0, 0.5]),
        (ops.median, [1.0, 2.0, 4.0, 9.0], [0, 1, 0, 0]),
        (ops.median, [2.0, 1.0, 2.0, 9.0], [0.5, 0, 0.5, 0]),
        (lambda x: ops.median(x, 0).values, [2.0, 1.0, 2.0, 9.0], [1, 0, 0, 0]),
        (lambda x: ops.max(x, 0).values, [1.0, 3.0, 3.0, 0.0], [0, 1, 0, 0]),
        (lambda x: ops.cummax(x, 0).values, [1.0, 3.0, 3.0, 0.0], [1, 1, 2, 0]),
    ],
)
def test_gradient(gradient, fn, x, expected):
    (d,) = gradient(fn, x)
    assert d == pytest.approx(expected, abs=1e-11, nan_ok=True)


@pytest.mark.parametrize(
    ("fn", "x1", "x2", "expected"),
    [
        (ops.hypot, 0.0, 0.0, (0, 0)),
        (ops.atan2, 0.0, 0.0, (0, 0)),
        (ops.maximum, 1.0, 1.0, (0.5, 0.5)),
        (ops.hypot, inf, 1.0, (1, 0)),
        (ops.hypot, -1.0, -inf, (0, -1)),
        (ops.atan2, inf, 1.0, (0, 0)),
        (ops.atan2, 1.0, inf, (0, 0)),
        (ops.copysign, 0.0, -1.0, (0, 0)),
        (ops.logaddexp, inf, 0.0, (1, 0)),
        (ops.logaddexp, 1e17, 1e17, (0.5, 0.5)),
        (ops.logaddexp2, 0.0, inf, (0, 1)),
        (ops.xlogy, 0.0, 0.0, (0, 0)),
        (ops.xlogy, 0.0, -1.0, (0, 0)),
        (ops.fmax, nan, 1.0, (0, 1)),
        (ops.fmin, 1.0, nan, (1, 0)),
        (ops.clamp, 0.0, 1.0, (0, 1)),
        (ops.pow, inf, -1.0, (0, 0)),
        (ops.pow, 0.5, inf, (0, 0)),
        (ops.pow, 0.0, 0.0, (0, 0)),
        (ops.pow, 0.0, 2.0, (0, 0)),
        (ops.pow, -2.0, 2.0, (-4, nan)),
        (ops.logaddexp, -inf, -inf, (0, 0)),
        (ops.logaddexp, -inf, 0.0, (0, 1)),
        (ops.floor_divide, 7.0, 2.0, (0, 0)),
    ],
)
def test_gradients_of_two(gradient, fn, x1, x2, expected):
    assert gradient(fn, x1, x2) == pytest.approx(list(expected), nan_ok=True)


def test_the_branch_not_taken_gives_no_nan(gradient):
    with np.errstate(all="ignore"):  # sqrt of a negative number warns, as in NumPy
        (d,) = gradient(lambda x: ops.where(x > 0, ops.log(x) * ops.sqrt(x), x), [-1.0, 0.0, 1.0])
    assert d[2] == 1.0
    # By the chain rule 0 * nan is nan: only `where` itself can stop it, before the chain.
    _, chosen = gradient(lambda a, b: ops.where(b > 0, a, b), [nan, inf], [-1.0, -2.0])
    assert chosen == [1, 1]


@pytest.mark.parametrize("fn", [ops.sqrt, ops.norm, ops.std, ops.abs, lambda x: x**0.5])
def test_second_order_is_finite_at_zero(backend, fn):
    x = tensor_of(backend.asarray(np.zeros(3)), requires_grad=True)
    (d,) = tl.grad(ops.sum(fn(x)), x, create_graph=True)
    (dd,) = tl.grad(ops.sum(d), x, allow_unused=True)
    assert dd is None or np.isfinite(backend.to_host(dd.array)).all()


def test_large_sums_of_short_floats(backend):
    """10,000 times 1 is 10,000 in float16, where adding 1 to 2048 changes nothing."""
    x = tensor_of(backend.asarray(np.ones(10_000, np.float16)))
    assert float(ops.sum(x)) == 10_000
    assert float(ops.mean(x)) == 1
    assert float(ops.norm(x * 4)) == 400
    assert float(ops.cumsum(x, 0)[-1]) == 10_000


def test_nan_is_not_lost(backend):
    x = tensor_of(backend.asarray(np.array([1.0, nan, 2.0])))
    for fn in (ops.max, ops.min, ops.amax, ops.amin, ops.sum, ops.median, ops.norm):
        assert math.isnan(float(fn(x))), fn.__name__
    assert math.isnan(float(ops.logsumexp(x, 0)))
    for fn in (ops.max, ops.min, ops.median):
        assert (math.isnan(fn(x, 0).values.item()), fn(x, 0).indices.item()) == (True, 1)
    assert math.isnan(ops.sort(x).values.tolist()[-1])
    assert math.isnan(ops.maximum(x, 5.0).tolist()[1])
    assert math.isnan(ops.clip(x, 0, 1).tolist()[1])


def test_share_sums_to_one():
    x = np.array([-inf, 0.0, 700.0, -700.0])
    assert share(x, ops.logsumexp(x, None)).sum() == 1
    assert share(np.full(2, -inf), np.array(-inf)).tolist() == [0, 0]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x: ops.sum(x, axis=2), r"sum: dim 2 is out of range.*2 axes.*\(2, 3\)"),
        (lambda x: ops.sum(x, axis=(0, 0)), "sum: dim=.0, 0. names an axis twice"),
        (lambda x: ops.max(x[:0]), r"max: the input of shape \(0, 3\) has no elements"),
        (lambda x: ops.max(x[:0], 0), r"max: dim 0 of shape \(0, 3\) has no elements"),
        (lambda x: ops.mean(ops.cast(x, "int64")), "mean: the mean of int64 is no int64"),
        (lambda x: ops.norm(x, "two"), "norm: p='two'"),
        (lambda x: ops.add(x, x[:, :2]), r"add: .*broadcast.*\(2, 3\).*\(2, 2\)"),
        (lambda x: ops.masked_fill(x, x > 0, x), r"masked_fill: value of shape \(2, 3\)"),
        (lambda x: ops.topk(x, 4), "topk: k=4 of an axis with 3"),
        (lambda x: ops.median(x[:, :0], axis=1), r"median: dim 1 of shape \(2, 0\)"),
        (lambda x: ops.cumsum(x, 5), "cumsum: dim 5 is out of range"),
        (lambda x: ops.pow(ops.cast(x, "int64"), -1), "pow: .*negative integer power -1"),
    ],
)
def test_errors_name_operation_and_shapes(backend, call, message):
    x = tensor_of(backend.asarray(np.ones((2, 3))))
    with pytest.raises((ValueError, IndexError, TypeError, RuntimeError), match=message):
        call(x)


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize("zero", [0, 0.0, -0.0])
def test_zero_instead_of_what_is_not_chosen_to_the_bit(backend, dtype, zero) -> None:
    x = np.array([1.5, -inf, nan, -2.0, -0.0, inf], dtype)
    mask = np.array([True, False, True, True, True, False])
    t, m = tensor_of(backend.asarray(x)), tensor_of(backend.asarray(mask))
    expected = [np.where(mask, x, zero).astype(dtype), np.where(mask, zero, x).astype(dtype)]
    for y, wanted in zip([tl.where(m, t, zero), tl.where(m, zero, t)], expected, strict=True):
        found = backend.to_host(y.array)
        assert y.dtype == dtype and np.array_equal(np.isnan(found), np.isnan(wanted))
        known = ~np.isnan(wanted)  # on a GPU a float16 has one NaN
        assert found[known].tobytes() == wanted[known].tobytes()
