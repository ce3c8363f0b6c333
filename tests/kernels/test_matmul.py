"""The host's matrix product against NumPy in float64."""

from __future__ import annotations

import numpy as np
import pytest
from guards import assert_close

TOLERANCE = {"float32": 1e-5, "float64": 1e-14}
SIZES = [0, 1, 3, 31, 33, 100]


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("rows", SIZES)
def test_every_edge_and_transpose(host_kernels, host_guarded, rng, rows, dtype):
    for cols in SIZES:
        for depth in [0, 1, 33, 400]:  # 400: more than one block of the depth
            a = rng.standard_normal((rows, depth)).astype(dtype)
            b = rng.standard_normal((depth, cols)).astype(dtype)
            expected = a.astype(np.float64) @ b
            tolerance = TOLERANCE[dtype] * max(1, depth) ** 0.5
            for left in (a, np.asfortranarray(a)):
                for right in (b, np.asfortranarray(b)):
                    out = host_guarded.empty((rows, cols), dtype)
                    host_kernels.matmul(left, right, out, None, False)
                    assert_close(out, expected, tolerance)
                    host_kernels.matmul(left, right, out, None, True)
                    assert_close(out, 2 * expected, tolerance)


# Blocks of rows and of columns, with one operand or the other packed for all; more depth than is
# packed at once; so few columns that the product is computed as its transpose.
@pytest.mark.parametrize(
    "shape",
    [
        (150, 700, 900),
        (700, 150, 900),
        (31, 999, 500),
        (640, 600, 4000),
        (300, 7, 900),
        (2500, 3, 200),
    ],
)
def test_blocks_of_large_products(host_kernels, host_guarded, rng, shape):
    rows, cols, depth = shape
    a = rng.standard_normal((rows, depth)).astype("float32")
    b = rng.standard_normal((depth, cols)).astype("float32")
    bias = rng.standard_normal(cols).astype("float32")
    expected = a.astype(np.float64) @ b
    for left in (a, np.asfortranarray(a)):
        for right in (b, np.asfortranarray(b)):
            out = host_guarded.empty((rows, cols), "float32")
            host_kernels.matmul(left, right, out, bias, False)
            assert_close(out, expected + bias, 1e-5 * depth**0.5)
            host_kernels.matmul(left, right, out, None, True)
            assert_close(out, 2 * expected + bias, 1e-5 * depth**0.5)


@pytest.mark.parametrize("shape", [(5, 4), (100, 400), (300, 70)])
def test_starts_from_the_bias(host_kernels, host_guarded, rng, shape):
    a, b = rng.standard_normal(shape), rng.standard_normal((shape[1], 37))
    bias = rng.standard_normal(37)
    out = host_guarded.empty((shape[0], 37), "float64")
    host_kernels.matmul(a, b, out, bias, False)
    assert_close(out, a @ b + bias, 1e-13)


@pytest.mark.parametrize("outputs", [3, 40])
def test_linear_with_relu(host_kernels, rng, outputs):
    x, weight, bias = (rng.standard_normal(s) for s in ((50, 70), (outputs, 70), outputs))
    x[0, 0] = np.nan
    y = host_kernels.new_linear(x, weight, bias)
    assert_close(y[1:], x[1:] @ weight.T + bias, 1e-13)
    clipped = host_kernels.new_linear_relu(x, weight, bias)
    assert np.isnan(clipped[0]).all()
    np.testing.assert_array_equal(clipped, np.maximum(y, 0))


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ((8, 7, 3, 4), (4, 5)),
        ((8, 1, 3, 4), (7, 4, 5)),
        ((4, 5), (2, 3, 5, 6)),
        ((64, 40, 50), (64, 50, 40)),
        ((3, 100, 200), (3, 200, 90)),
        ((0, 3, 4), (4, 5)),
    ],
)
def test_batches_broadcast(host_kernels, host_guarded, rng, left, right):
    a, b = rng.standard_normal(left), rng.standard_normal(right)
    expected = a @ b
    out = host_guarded.empty(expected.shape, "float64")
    host_kernels.matmul(a, b, out, None, False)
    assert_close(out, expected, 1e-13)


def test_reads_views_where_they_are(host_kernels, host_guarded, rng):
    qkv = rng.standard_normal((2, 16, 3, 4, 8))
    q, k = qkv[:, :, 0].swapaxes(1, 2), qkv[:, :, 1].swapaxes(1, 2)
    out = host_guarded.empty((2, 4, 16, 16), "float64")
    host_kernels.matmul(q[..., ::2], k[..., ::2].mT, out, None, False)
    assert_close(out, q[..., ::2] @ k[..., ::2].mT, 1e-13)


def test_writes_rows_wherever_they_begin(host_kernels, rng):
    a, b = rng.standard_normal((50, 60)), rng.standard_normal((60, 70))
    wide = np.full((50, 100), 7.0)
    host_kernels.matmul(a, b, wide[:, 3:73], None, False)
    assert_close(wide[:, 3:73], a @ b, 1e-13)
    assert (wide[:, :3] == 7).all()
    assert (wide[:, 73:] == 7).all()


def test_same_bits_for_any_number_of_threads(host_kernels, rng):
    a = rng.standard_normal((130, 900)).astype("float32")
    b = rng.standard_normal((900, 250)).astype("float32")
    before, results = host_kernels.get_num_threads(), []
    try:
        for threads in (1, 2, 5):
            host_kernels.set_num_threads(threads)
            results.append(np.empty((130, 250), "float32"))
            host_kernels.matmul(a, b, results[-1], None, False)
    finally:
        host_kernels.set_num_threads(before)
    assert (results[0] == results[1]).all()
    assert (results[0] == results[2]).all()


@pytest.mark.parametrize(
    ("a", "b", "out", "error", "message"),
    [
        (np.ones((3, 4)), np.ones((5, 6)), np.ones((3, 6)), ValueError, r"\(3, 4\), b \(5, 6\)"),
        (np.ones((3, 4)), np.ones((4, 5)), np.ones((3, 4)), ValueError, "do not fit"),
        (np.ones((3, 4)), np.ones((4, 5), "f"), np.ones((3, 5)), TypeError, "one dtype"),
        (np.ones(3), np.ones((3, 3)), np.ones(3), ValueError, "matrices"),
        (np.ones((2, 3, 4)), np.ones((3, 4, 5)), np.ones((2, 3, 5)), ValueError, "batch"),
        (np.ones((2, 2)), np.ones((2, 2)), np.ones((2, 2)).T, ValueError, "dense rows"),
        (np.ones((2, 2), int), np.ones((2, 2), int), np.ones((2, 2), int), TypeError, "float32"),
        ([[1.0]], np.ones((1, 1)), np.ones((1, 1)), TypeError, "NumPy arrays"),
    ],
)
def test_refuses_what_it_does_not_understand(host_kernels, a, b, out, error, message):
    with pytest.raises(error, match=message):
        host_kernels.matmul(a, b, out, None, False)
