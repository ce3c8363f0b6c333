"""Attention on tensor cores against the whole matrix of scores in float64."""

from __future__ import annotations

import math

import ml_dtypes
import numpy as np
import pytest
from guards import assert_close
from test_attention import DROPPED, NOTHING_DROPPED, SCALE, check, counted, draw, reference

import tensorlite as tl
from tensorlite.nn import functional as F

# Kernels, their element type, elements in 16 bytes, tolerance, the longest rows of each pass.
KINDS = {
    "float16": ("tiles", np.dtype(np.float16), 8, 2e-3, 256, 128),
    "bfloat16": ("tiles", np.dtype(ml_dtypes.bfloat16), 8, 2e-2, 256, 128),
    "tf32": ("tf32", np.dtype(np.float32), 4, 3e-3, 128, 128),
}
# batch, heads, queries, keys, dim
SHAPES = [
    (1, 1, 1, 1, 1),
    (2, 3, 31, 33, 8),
    (1, 2, 3, 100, 33),
    (1, 1, 70, 3, 100),
    (1, 1, 129, 97, 64),
    (1, 1, 200, 70, 24),
    (1, 1, 33, 65, 128),
    (1, 1, 65, 40, 72),
    (1, 1, 67, 35, 200),
    (1, 1, 20, 50, 256),
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


def run(
    kernels,
    backend,
    guarded,
    kind,
    shape,
    operands,
    causal,
    order=ORDERS[0],
    offset=0,
    scale=SCALE,
    dropped=NOTHING_DROPPED,
):
    """Both passes; heads lie in memory in this order of axes, some packs of 16 bytes later."""
    name, _, pack, _, _, longest = KINDS[kind]
    dim = shape[-1]
    wide = -(-dim // pack) * pack

    def laid_out(a):
        padded = np.zeros((*a.shape[:-1], wide), a.dtype)
        padded[..., :dim] = a
        dense = np.ascontiguousarray(padded.transpose(order))
        block = backend.asarray(np.append(np.zeros(offset * pack, a.dtype), dense.ravel()))
        return block[offset * pack :].reshape(dense.shape).transpose(np.argsort(order))

    def room(a):
        dense = guarded.empty([a.shape[axis] for axis in order], a.dtype)
        return dense.transpose(np.argsort(order))

    q, k, v, g = map(laid_out, operands[:4])
    bias, allowed = (None if a is None else backend.asarray(a) for a in operands[4:])
    mask = bias if bias is not None else allowed
    mask_shape = (1, 1, 1) if mask is None else mask.shape[:3]
    numbers = counted((*shape[:-1], wide), k.shape[1])
    numbers = (*numbers, *mask_shape, scale, causal, *dropped)
    width = 64 if dim <= 64 else -(-dim // 128) * 128
    masks = (bias, allowed, None)
    y, lse = room(q), guarded.empty(q.shape[:3], "float32")
    getattr(kernels, f"attention_{name}_{width}")(q, k, v, *masks, y, lse, *numbers)
    results = [y, lse]
    if dim <= longest:
        levels = guarded.empty((*q.shape[:3], 2), "float32")
        dq, dk, dv = map(room, (q, k, v))
        of_queries, of_keys = (
            getattr(kernels, f"attention_{name}_{part}_{width}") for part in ("queries", "keys")
        )
        of_queries(g, q, k, v, *masks, y, lse, dq, levels, *numbers)
        of_keys(g, q, k, v, *masks, levels, dk, dv, *numbers)
        results += [dq, dk, dv]
    results = [backend.to_host(a) for a in results]
    for a in results[:1] + results[2:]:
        assert not a[..., dim:].any()
    return [a if a is results[1] else a[..., :dim] for a in results]


def fitting(kind, shape):
    if shape[-1] > KINDS[kind][4]:
        pytest.skip("rows are longer than any that these kernels take")


def compare(kind, actual, expected, tolerance=None):
    check(actual, expected[: len(actual)], tolerance or KINDS[kind][3])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("mask", MASKS)
@pytest.mark.parametrize("shape", SHAPES)
def test_against_all_scores(tiles, backend, guarded, shape, mask, kind):
    fitting(kind, shape)
    operands = draw(shape, KINDS[kind][1], mask)
    actual = run(tiles, backend, guarded, kind, shape, operands, mask == "causal")
    compare(kind, actual, reference(*operands, mask == "causal"))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dropped", [NOTHING_DROPPED, DROPPED])
@pytest.mark.parametrize(("kv_heads", "mask"), [(6, "none"), (2, "causal"), (1, "bias")])
@pytest.mark.parametrize("dim", [40, 128])
def test_shared_heads_and_dropout(tiles, backend, guarded, kv_heads, mask, dropped, kind, dim):
    shape = (2, 6, 41, 39, dim)
    operands = draw(shape, KINDS[kind][1], mask, kv_heads)
    causal = mask == "causal"
    actual = run(tiles, backend, guarded, kind, shape, operands, causal, dropped=dropped)
    compare(kind, actual, reference(*operands, causal, dropped))


@pytest.mark.parametrize("kind", ["float16", "tf32"])
@pytest.mark.parametrize("offset", [0, 1])
@pytest.mark.parametrize("order", ORDERS)
def test_rows_may_lie_anywhere(tiles, backend, guarded, order, offset, kind):
    shape = (2, 2, 33, 35, 16)
    operands = draw(shape, KINDS[kind][1], "causal")
    actual = run(tiles, backend, guarded, kind, shape, operands, True, order, offset)
    compare(kind, actual, reference(*operands, True))


@pytest.mark.parametrize("scale", [-SCALE, 0.0, 40.0])
def test_scales(tiles, backend, guarded, scale):
    """A negative one turns the order of scores round; a large one leaves a single key."""
    kind, shape = "float16", (1, 1, 33, 70, 16)
    q, k, *others = draw(shape, KINDS[kind][1], "none")
    operands = ((q * 4).round() / 4, (k * 4).round() / 4, *others)
    actual = run(tiles, backend, guarded, kind, shape, operands, False, scale=scale)
    factor = scale / SCALE  # of the reference's queries; its gradient of them comes without
    scaled = (operands[0].astype(float) * factor, *operands[1:])
    y, lse, dq, dk, dv = reference(*scaled, False)
    compare(kind, actual, (y, lse, dq * factor, dk, dv), 2 * KINDS[kind][3] * max(1, abs(scale)))


def program(device, dtype, values, dim, **options):
    """Attention's result and gradients, of views that begin anywhere."""
    x = [tl.tensor(v, device=device, dtype=dtype, requires_grad=True) for v in values]
    y = F.scaled_dot_product_attention(*(t[..., 1 : dim + 1] for t in x), **options)
    (y.float() ** 2).sum().backward()
    return [y.detach().float().cpu().numpy(), *(t.grad.float().cpu().numpy() for t in x)]


@pytest.mark.parametrize("dim", [24, 37, 130])
@pytest.mark.parametrize("options", [{}, {"dropout_p": 0.4, "enable_gqa": True}])
@pytest.mark.parametrize("name", ["attention_tiles", "attention_tf32"])
def test_gradients_in_a_program(tiles, device, monkeypatch, name, options, dim):
    """The primitive takes these kernels, and with them what NumPy computes in float64."""
    rng = np.random.default_rng(0)
    heads = (6, 2, 2) if options else (3, 3, 3)
    values = [rng.standard_normal((2, n, 40, dim + 2)).astype(np.float32) for n in heads]
    short = name == "attention_tiles"
    called = []
    for width in (64, 128, 256):
        kernel = getattr(tiles, f"{name}_{width}", None)
        if kernel is not None:
            monkeypatch.setattr(
                tiles,
                f"{name}_{width}",
                lambda *a, kernel=kernel: called.append(1) or kernel(*a),
                raising=False,
            )
    found = []
    for where, dtype in ((device, tl.float16 if short else tl.float32), ("cpu", tl.float64)):
        tl.manual_seed(3)
        tl.set_float32_matmul_precision("highest" if short else "high")
        try:
            found.append(program(where, dtype, values, dim, is_causal=True, **options))
        finally:
            tl.set_float32_matmul_precision("highest")
    assert bool(called) == (short or dim <= 128)
    for got, wanted in zip(*found, strict=True):
        assert_close(got, wanted, 1e-2)


def test_the_same_bits_each_time(tiles, device):
    rng = np.random.default_rng(1)
    values = [rng.standard_normal((1, 2, 200, 42)).astype(np.float32) for _ in range(3)]

    def once():
        tl.manual_seed(0)
        return program(device, tl.bfloat16, values, 40, dropout_p=0.1)

    for a, b in zip(once(), once(), strict=True):
        assert math.isfinite(a.sum())
        np.testing.assert_array_equal(a, b)
