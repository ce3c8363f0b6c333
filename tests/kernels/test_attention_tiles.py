"""Attention on tensor cores against the whole matrix of scores in float64."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest
from guards import assert_close
from test_attention import SCALE, draw, reference

import tensorlite as tl
from tensorlite.nn import functional as F

DTYPES = {"float16": (np.dtype(np.float16), 2e-3), "bfloat16": (np.dtype(ml_dtypes.bfloat16), 2e-2)}
# batch, heads, queries, keys, dim
SHAPES = [
    (1, 1, 1, 1, 1),
    (2, 3, 31, 33, 8),
    (1, 2, 3, 100, 33),
    (1, 1, 70, 3, 100),
    (1, 1, 129, 97, 64),
    (1, 1, 33, 65, 128),
    (1, 1, 65, 40, 72),
]
MASKS = ["none", "causal", "bias", "allowed", "nothing allowed"]
ORDERS = [(0, 1, 2, 3), (0, 2, 1, 3)]


@pytest.fixture
def tiles(kernels):
    """The kernels of a GPU that has them: 8.0 and newer."""
    if kernels.on_host:
        pytest.skip("tensor cores are CUDA's (--device cuda)")
    import cupy

    if not kernels.has_tiles(cupy.empty(1)):
        pytest.skip("tensor cores for these tiles are there from compute capability 8.0 on")
    return kernels


def run(kernels, backend, guarded, shape, operands, causal, order=ORDERS[0], offset=0, scale=SCALE):
    """Both passes; heads lie in memory in this order of axes, from an odd element on or not."""

    def laid_out(a):
        dense = np.ascontiguousarray(a.transpose(order))
        block = backend.asarray(np.append(np.zeros(offset, a.dtype), dense.ravel()))
        return block[offset:].reshape(dense.shape).transpose(np.argsort(order))

    def room(a):
        dense = guarded.empty([a.shape[axis] for axis in order], a.dtype)
        return dense.transpose(np.argsort(order))

    q, k, v, g = map(laid_out, operands[:4])
    bias, allowed = (None if a is None else backend.asarray(a) for a in operands[4:])
    mask = bias if bias is not None else allowed
    mask_shape = (1, 1, 1) if mask is None else mask.shape[:3]
    geometry = (*shape, *mask_shape, scale, causal)
    width = 64 if shape[-1] <= 64 else 128
    names = (f"attention_tiles{part}_{width}" for part in ("", "_queries", "_keys"))
    forward, of_queries, of_keys = (getattr(kernels, name) for name in names)
    y, (dq, dk, dv) = room(q), map(room, (q, k, v))
    lse, mean = (guarded.empty(q.shape[:3], "float32") for _ in range(2))
    forward(q, k, v, bias, allowed, y, lse, *geometry)
    inputs = (g, q, k, v, bias, allowed)
    of_queries(*inputs, y, lse, dq, mean, *geometry)
    of_keys(*inputs, lse, mean, dk, dv, *geometry)
    return [backend.to_host(a) for a in (y, lse, dq, dk, dv)]


def check(actual, expected, tolerance):
    finite = np.isfinite(expected[1])
    assert (np.isfinite(actual[1]) == finite).all()
    actual[1], lse = np.where(finite, actual[1], 0), np.where(finite, expected[1], 0)
    for got, wanted in zip(actual, (expected[0], lse, *expected[2:]), strict=True):
        assert_close(got, wanted, tolerance)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("mask", MASKS)
@pytest.mark.parametrize("shape", SHAPES)
def test_against_all_scores(tiles, backend, guarded, shape, mask, dtype):
    dtype, tolerance = DTYPES[dtype]
    operands = draw(shape, dtype, mask)
    actual = run(tiles, backend, guarded, shape, operands, mask == "causal")
    check(actual, reference(*operands, mask == "causal"), tolerance)


@pytest.mark.parametrize("offset", [0, 1])
@pytest.mark.parametrize("order", ORDERS)
def test_rows_may_lie_anywhere(tiles, backend, guarded, order, offset):
    dtype, tolerance = DTYPES["float16"]
    shape = (2, 2, 33, 35, 16)
    operands = draw(shape, dtype, "causal")
    actual = run(tiles, backend, guarded, shape, operands, True, order, offset)
    check(actual, reference(*operands, True), tolerance)


@pytest.mark.parametrize("scale", [-SCALE, 0.0, 40.0])
def test_scales(tiles, backend, guarded, scale):
    """A negative one turns the order of scores round; a large one leaves a single key."""
    dtype, tolerance = DTYPES["float16"]
    shape = (1, 1, 33, 35, 16)
    q, k, *others = draw(shape, dtype, "none")
    operands = ((q * 4).round() / 4, (k * 4).round() / 4, *others)
    actual = run(tiles, backend, guarded, shape, operands, False, scale=scale)
    factor = scale / SCALE  # of the reference's queries; its gradient of them comes without
    scaled = (operands[0].astype(float) * factor, *operands[1:])
    y, lse, dq, dk, dv = reference(*scaled, False)
    check(actual, (y, lse, dq * factor, dk, dv), 2 * tolerance * max(1, abs(scale)))


def test_gradients_in_a_program(tiles, device):
    """The primitive takes these kernels for short floats, and float32's otherwise."""
    rng = np.random.default_rng(0)
    values = [rng.standard_normal((2, 3, 40, 24)).astype(np.float32) for _ in range(3)]
    found = []
    for dtype in (tl.float16, tl.float32):
        x = [tl.tensor(v, device=device, dtype=dtype, requires_grad=True) for v in values]
        y = F.scaled_dot_product_attention(*x, is_causal=True)
        (y.float() ** 2).sum().backward()
        found.append([y.detach().float().cpu().numpy(), *(t.grad.float().cpu().numpy() for t in x)])
    for short, full in zip(*found, strict=True):
        assert_close(short, full, 5e-3)
