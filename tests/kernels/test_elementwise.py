"""Activations, casts and scaling against NumPy in float64."""

from __future__ import annotations

import numpy as np
import pytest
from reference import DTYPES, SIZES, close, erf, normal, sigmoid


def _phi(x):
    return (1 + erf(x / np.sqrt(2))) / 2


def _density(x):
    return np.exp(-x * x / 2) / np.sqrt(2 * np.pi)


def _u(x):
    return 2 * np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)


# name: forward, derivative, whether the gradient kernel takes the output, further arguments
ACTIVATIONS = {
    "relu": (lambda x: np.maximum(x, 0), lambda x: x > 0, True, ()),
    "leaky_relu": (
        lambda x: np.where(x > 0, x, 0.1 * x),
        lambda x: np.where(x > 0, 1, 0.1),
        False,
        (0.1,),
    ),
    "gelu": (lambda x: x * _phi(x), lambda x: _phi(x) + x * _density(x), False, ()),
    "gelu_tanh": (
        lambda x: x * sigmoid(_u(x)),
        lambda x: (
            sigmoid(_u(x))
            + x * sigmoid(_u(x)) * sigmoid(-_u(x)) * np.sqrt(8 / np.pi) * (1 + 0.134145 * x * x)
        ),
        False,
        (),
    ),
    "silu": (
        lambda x: x * sigmoid(x),
        lambda x: sigmoid(x) * (1 + x * sigmoid(-x)),
        False,
        (),
    ),
    "tanh": (np.tanh, lambda x: 1 - np.tanh(x) ** 2, True, ()),
    "sigmoid": (sigmoid, lambda x: sigmoid(x) * sigmoid(-x), True, ()),
    "elu": (
        lambda x: np.where(x > 0, x, 1.5 * np.expm1(x)),
        lambda x: np.where(x > 0, 1, 1.5 * np.exp(x)),
        False,
        (1.5,),
    ),
    "softplus": (lambda x: np.logaddexp(x, 0), sigmoid, False, (40.0,)),
    "logsigmoid": (lambda x: -np.logaddexp(-x, 0), lambda x: sigmoid(-x), False, ()),
}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activation(run, name, dtype):
    dtype, tolerance = DTYPES[dtype]
    forward, derivative, from_output, extra = ACTIVATIONS[name]
    for n in SIZES:
        x, g = (3 * normal(1, n)).astype(dtype), normal(2, n).astype(dtype)
        exact, slope = forward(x.astype(float)), derivative(x.astype(float)) * g.astype(float)
        y = run(name, x, ((n,), dtype), n, *extra)
        close(y, exact, tolerance)
        saved = y.astype(dtype) if from_output else x
        close(run(f"{name}_backward", g, saved, ((n,), dtype), n, *extra), slope, 4 * tolerance)


@pytest.mark.parametrize("name", ["gelu", "gelu_tanh"])
def test_gelu_to_its_stated_error(run, name):
    exact, derivative, _, _ = ACTIVATIONS[name]
    n = 100_001
    x = np.linspace(-12, 12, n).astype(np.float32)
    wide, out = x.astype(float), ((n,), x.dtype)
    error = np.abs(run(name, x, out, n) - exact(wide))
    assert (error <= 2.2e-7 * np.maximum(1, np.abs(wide))).all()
    slope = run(f"{name}_backward", np.ones_like(x), x, out, n)
    assert np.abs(slope - derivative(wide)).max() <= 2.5e-7
    far = np.array([-1e30, -50, 50, 1e30], np.float32)
    np.testing.assert_array_equal(run(name, far, ((4,), far.dtype), 4), np.maximum(far, 0))
    slope = run(f"{name}_backward", np.ones_like(far), far, ((4,), far.dtype), 4)
    np.testing.assert_array_equal(slope, far > 0)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_nan_and_infinity(run, name):
    forward, _, _, extra = ACTIVATIONS[name]
    for dtype in (np.float32, np.float64):
        x = np.array([np.nan, np.inf, 0, -np.inf], dtype)
        with np.errstate(invalid="ignore"):
            expected = forward(x.astype(float)).astype(dtype)
        if name in ("gelu", "gelu_tanh", "silu"):
            expected[3] = 0  # by limit; the formula has 0 · inf
        np.testing.assert_array_equal(run(name, x, ((4,), dtype), 4, *extra), expected)


SLOPES = {"gelu": (1, 0), "gelu_tanh": (1, 0), "silu": (1, 0), "softplus": (1, 0), "elu": (1, 0)}


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", SLOPES)
def test_slopes_at_infinity(run, name, dtype):
    extra = ACTIVATIONS[name][3]
    x = np.array([np.inf, -np.inf, 1e30, -1e30], dtype)
    slope = run(f"{name}_backward", np.ones_like(x), x, ((4,), dtype), 4, *extra)
    np.testing.assert_array_equal(slope, 2 * SLOPES[name])


@pytest.mark.parametrize("dtype", DTYPES)
def test_powers(run, dtype):
    dtype, tolerance = DTYPES[dtype]
    for n in SIZES:
        x, g = (np.abs(normal(1, n)) + 0.5).astype(dtype), normal(2, n).astype(dtype)
        x[::2] *= -1
        wide, out = x.astype(float), ((n,), dtype)
        for exponent in (-2, -1, 2, 3, 4):
            close(run("power", x, out, n, exponent), wide**exponent, tolerance)
            slope = g.astype(float) * exponent * wide ** (exponent - 1)
            close(run("power_slope", g, x, out, n, exponent), slope, 2 * tolerance)


@pytest.mark.parametrize("dtype", DTYPES)
def test_choices(run, dtype):
    dtype, _ = DTYPES[dtype]
    for n in SIZES:
        x, y, g = (normal(i, n).astype(dtype) for i in range(3))
        y[::3] = x[::3]
        chosen = normal(4, n) > 0
        out = ((n,), dtype)
        same = np.testing.assert_array_equal
        a, b, d = (v.astype(float) for v in (x, y, g))
        same(run("select", chosen.view(np.uint8), x, y, out, n), np.where(chosen, a, b))
        same(run("select_or", chosen.view(np.uint8), x, out, n, 0.5, 0.0), np.where(chosen, a, 0.5))
        same(
            run("select_or", chosen.view(np.uint8), x, out, n, np.inf, 1.0),
            np.where(chosen, np.inf, a),
        )
        half = np.where(a == b, d / 2, d)
        same(run("of_larger", g, x, y, out, n, 1.0), np.where(a < b, 0, half))
        same(run("of_larger", g, x, y, out, n, -1.0), np.where(a > b, 0, half))
        within = (a >= -0.5) & (a <= 1)
        same(run("clamp", x, out, n, -0.5, 1.0), np.clip(a, -0.5, 1))
        same(run("within", g, x, out, n, -0.5, 1.0), np.where(within, d, 0))
        x[::3] = 0.5
        half = np.where(x == 0.5, d / 2, d)
        same(run("of_larger_than", g, x, out, n, 0.5, 1.0), np.where(x < 0.5, 0, half))
        same(run("of_larger_than", g, x, out, n, 0.5, -1.0), np.where(x > 0.5, 0, half))


@pytest.mark.parametrize("dtype", DTYPES)
def test_prelu(run, dtype):
    dtype, tolerance = DTYPES[dtype]
    for rows, columns, channels in ((0, 3, 3), (4, 1, 2), (6, 33, 3), (5, 1000, 5)):
        x, g = (normal(i, rows, columns).astype(dtype) for i in range(2))
        weight = normal(3, channels).astype(dtype)
        out, sums = ((rows, columns), dtype), ((rows,), _accumulator(dtype))
        a, d, w = x.astype(float), g.astype(float), np.resize(weight.astype(float), rows)[:, None]
        y = run("prelu", x, weight, out, rows, columns, channels)
        close(y, np.where(a > 0, a, w * a), tolerance)
        dx, partial = run("prelu_backward", g, x, weight, out, sums, rows, columns, channels)
        close(dx, np.where(a > 0, d, w * d), tolerance)
        close(partial, np.where(a > 0, 0, d * a).sum(axis=1), 4 * tolerance)
        w, weight = normal(4, columns), normal(4, columns).astype(dtype)
        y = run("prelu_columns", x, weight, out, rows, columns)
        close(y, np.where(a > 0, a, w * a), 2 * tolerance)
        parts = run.parts(rows)
        sums = ((parts, columns), _accumulator(dtype))
        dx, partial = run("prelu_columns_backward", g, x, weight, out, sums, rows, columns, parts)
        close(dx, np.where(a > 0, d, w * d), 2 * tolerance)
        close(partial.sum(axis=0), np.where(a > 0, 0, d * a).sum(axis=0), 4 * tolerance)


def _accumulator(dtype):
    return np.dtype(np.float64 if dtype == np.float64 else np.float32)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize(
    ("name", "shape"), [("gelu", (2048,)), ("gelu", (50_001,)), ("softmax", (301, 401))]
)
def test_the_host_computes_short_floats_in_float32(host_kernels, name, shape, dtype):
    kernel, dtype = getattr(host_kernels, name), DTYPES[dtype][0]
    x = (3 * normal(1, *shape)).astype(dtype)
    wide = x.astype(np.float32)
    y, exact = np.empty_like(x), np.empty_like(wide)
    kernel(x, y, *shape)
    kernel(wide, exact, *shape)
    np.testing.assert_array_equal(y, exact.astype(dtype))


@pytest.mark.parametrize("target", DTYPES)
@pytest.mark.parametrize("source", DTYPES)
def test_cast_rounds_as_numpy_does(run, source, target):
    source, target = DTYPES[source][0], DTYPES[target][0]
    # Ties, limits, and numbers that two roundings would take to the wrong side of a tie.
    awkward = [0, -0.0, 1, np.inf, -np.inf, np.nan, 65504, 65519.99, 65520, 6e-8, 2.9e-8, 1e-5]
    awkward += [s * (1 + t + e) for s in (1, -1) for t in (2**-11, 2**-9) for e in (1e-12, -1e-12)]
    with np.errstate(over="ignore"):
        x = np.concatenate([normal(3, 1001), awkward]).astype(source)
        expected = x.astype(target)
    y = run("cast", x, (x.shape, target), x.size)
    np.testing.assert_array_equal(y, expected.astype(float))


@pytest.mark.parametrize("dtype", DTYPES)
def test_scaling(run, dtype):
    dtype, tolerance = DTYPES[dtype]
    for n in SIZES:
        x, y = normal(1, n).astype(dtype), normal(2, n).astype(dtype)
        factor = np.array([0.5], dtype)
        close(run("scale", x, (x.shape, dtype), n, 1.5), 1.5 * x.astype(float), tolerance)
        close(run("scale_by", x, factor, (x.shape, dtype), n), 0.5 * x.astype(float), tolerance)
        close(run("axpy", x, y, (x.shape, dtype), n, -2.0), y - 2 * x.astype(float), tolerance)
        exact = x.astype(float) * y.astype(float)
        close(run("multiply", x, y, (x.shape, dtype), n), exact, tolerance)


def test_scaling_in_place(backend, kernels):
    for n in (33, 1 << 23):  # the second is written past the caches
        for factor in (1.0, -2.0):
            values = normal(1, n).astype(np.float32)
            x = backend.asarray(values.copy())
            kernels.scale_by(x, backend.asarray(np.full(1, factor, np.float32)), x, n)
            np.testing.assert_array_equal(backend.to_host(x), factor * values)


def test_large_and_misaligned(backend, kernels):
    """A view that starts between two vectors, and enough elements for every thread."""
    n = 1_000_003 if backend.name == "cpu" else 20_003
    block = backend.asarray(normal(4, n + 1).astype(np.float32))
    x, y = block[1:], kernels.empty((n + 3,), np.float32)
    y[...] = 7
    kernels.relu(x, y[1 : n + 1], n)
    result = backend.to_host(y)
    np.testing.assert_array_equal(result[1 : n + 1], np.maximum(backend.to_host(x), 0))
    assert result[0] == result[n + 1] == result[n + 2] == 7
