"""Attention kernels against the whole matrix of scores in float64."""

from __future__ import annotations

import math

import numpy as np
import pytest
from guards import assert_close

import tensorlite as tl
from tensorlite.nn import functional as F
from tensorlite.ops import shape as shapes
from tensorlite.random import philox_uniform

# batch, heads, queries, keys, dim
SHAPES = [
    (1, 1, 1, 1, 1),
    (2, 3, 31, 33, 8),
    (1, 2, 3, 100, 33),
    (1, 1, 40, 3, 100),
    (1, 2, 0, 3, 4),
    (1, 1, 3, 0, 4),
]
MASKS = ["none", "causal", "bias", "allowed", "nothing allowed"]
TOLERANCE = {"float16": 1e-2, "float32": 1e-5, "float64": 1e-13}
SCALE = 0.3
ORDERS = [(0, 1, 2, 3), (0, 2, 1, 3), (2, 1, 0, 3)]
NOTHING_DROPPED = (0.0, 0, 0)  # the probability, the seed, the offset
DROPPED = (0.3, 5 | 3 << 32, 7)


def counted(shape, kv_heads=None):
    """The numbers that kernels take: heads, then those of keys and values."""
    return *shape[:2], kv_heads or shape[1], *shape[2:]


def draw(shape, dtype, mask, kv_heads=None):
    """Queries, keys, values, the gradient, bias, allowed."""
    batch, heads, queries, keys, dim = shape
    rng = np.random.default_rng(0)
    q, g = (rng.standard_normal((batch, heads, queries, dim)).astype(dtype) for _ in range(2))
    of_keys = (batch, kv_heads or heads, keys, dim)
    k, v = (rng.standard_normal(of_keys).astype(dtype) for _ in range(2))
    bias = rng.standard_normal((batch, 1, queries, keys)).astype(dtype) if mask == "bias" else None
    allowed = rng.random((1, heads, 1, keys)) < 0.7 if mask == "allowed" else None
    if mask == "nothing allowed":
        allowed = np.ones((batch, heads, queries, keys), bool)
        allowed[:, :, : queries // 2 + 1] = False
    return q, k, v, g, bias, allowed


def kept(shape, dropped):
    """What weights of this shape are multiplied by: rows take whole blocks of random numbers."""
    p, seed, offset = dropped
    wide = (*shape[:-1], -(-shape[-1] // 4) * 4)
    numbers = philox_uniform(np, math.prod(wide), (seed & 0xFFFFFFFF, seed >> 32), offset)
    return (numbers.reshape(wide)[..., : shape[-1]] >= np.float32(p)) / (1 - p)


def reference(q, k, v, g, bias, allowed, causal, dropped=NOTHING_DROPPED):
    """Output, log-sum-exp and gradients."""
    q, k, v, g = (a.astype(np.float64) for a in (q, k, v, g))
    kv_heads, sharing = k.shape[1], q.shape[1] // k.shape[1]
    k, v = (a.repeat(sharing, 1) for a in (k, v))
    scores = q @ k.swapaxes(-1, -2) * SCALE
    if bias is not None:
        scores += bias
    if allowed is not None:
        scores = np.where(allowed, scores, -np.inf)
    if causal:
        scores = np.where(np.tri(*scores.shape[-2:], dtype=bool), scores, -np.inf)
    peak = scores.max(-1, keepdims=True, initial=-1e300)
    exponentials = np.exp(scores - peak)
    total = exponentials.sum(-1, keepdims=True)
    p = exponentials / np.where(total == 0, 1, total)
    factor = kept(p.shape, dropped)
    y = (p * factor) @ v
    dscores = p * (g @ v.swapaxes(-1, -2) * factor - (g * y).sum(-1, keepdims=True)) * SCALE
    with np.errstate(divide="ignore"):
        lse = (peak + np.log(total))[..., 0]
    of_keys = dscores.swapaxes(-1, -2) @ q, (p * factor).swapaxes(-1, -2) @ g
    shape = (len(q), kv_heads, sharing, *k.shape[2:])
    return y, lse, dscores @ k, *(a.reshape(shape).sum(2) for a in of_keys)


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16"])
@pytest.mark.parametrize("mask", MASKS)
@pytest.mark.parametrize("shape", SHAPES)
def test_attention_and_its_gradient(kernels, backend, device, guarded, shape, mask, dtype):
    if device.type == "cpu" and dtype == "float16":
        with pytest.raises(TypeError, match="float16"):
            run(kernels, backend, device, guarded, shape, draw(shape, dtype, mask), False)
        return
    operands = draw(shape, dtype, mask)
    actual = run(kernels, backend, device, guarded, shape, operands, mask == "causal")
    expected = reference(*operands, mask == "causal")
    check(actual, expected, TOLERANCE[dtype])


def check(actual, expected, tolerance):
    """The log-sum-exp of a row with nothing to attend to is inf."""
    finite = np.isfinite(expected[1])
    np.testing.assert_array_equal(actual[1][~finite], np.inf)
    actual[1], lse = np.where(finite, actual[1], 0), np.where(finite, expected[1], 0)
    for got, wanted in zip(actual, (expected[0], lse, *expected[2:]), strict=True):
        assert_close(got, wanted, tolerance)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("dropped", [NOTHING_DROPPED, DROPPED])
@pytest.mark.parametrize(("kv_heads", "mask"), [(6, "bias"), (2, "causal"), (1, "allowed")])
def test_shared_heads_and_dropout(
    kernels, backend, device, guarded, kv_heads, mask, dropped, dtype
):
    shape = (2, 6, 37, 33, 8)
    operands = draw(shape, dtype, mask, kv_heads)
    causal = mask == "causal"
    actual = run(kernels, backend, device, guarded, shape, operands, causal, dropped=dropped)
    check(actual, reference(*operands, causal, dropped), TOLERANCE[dtype])


@pytest.mark.parametrize("order", ORDERS)
def test_heads_may_lie_anywhere(kernels, backend, device, guarded, order):
    shape = SHAPES[1]
    operands = draw(shape, "float32", "causal")
    actual = run(kernels, backend, device, guarded, shape, operands, True, order)
    for got, wanted in zip(actual, reference(*operands, True), strict=True):
        assert_close(got, wanted, TOLERANCE["float32"])


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda q: q[..., ::2], "q must have 4 axes, the last without gaps"),
        (lambda q: q[0], "q must have 4 axes, the last without gaps"),
        (
            lambda q: q[:, :, 1:, :4],
            r"q has shape \(1, 2, 2, 4\), not \(1, 2, 3, 4\)|axis 2 of q has length 2, not 3",
        ),
    ],
)
def test_heads_that_do_not_fit_are_refused(kernels, backend, wrong, message):
    shape = (1, 2, 3, 5, 4)
    q, k, v, *_ = (backend.asarray(a) for a in draw((1, 2, 3, 5, 8), "float32", "none")[:3])
    y, lse = backend.xp.zeros((1, 2, 3, 4), "float32"), backend.xp.zeros((1, 2, 3), "float32")
    k, v = k[..., :4], v[..., :4]  # the gaps are between rows
    geometry = (*counted(shape), 1, 1, 1, SCALE, False, *NOTHING_DROPPED)
    kernels.attention(q[..., :4], k, v, None, None, None, y, lse, *geometry)
    with pytest.raises(ValueError, match=message):
        kernels.attention(wrong(q), k, v, None, None, None, y, lse, *geometry)


def run(
    kernels,
    backend,
    device,
    guarded,
    shape,
    operands,
    causal,
    order=ORDERS[0],
    dropped=NOTHING_DROPPED,
):
    """Both passes through the device's kernels, heads in memory in this order of axes."""

    def laid_out(a):
        dense = np.ascontiguousarray(a.transpose(order))
        return backend.asarray(dense).transpose(np.argsort(order))

    def room(a):
        dense = guarded.empty([a.shape[axis] for axis in order], a.dtype)
        return dense.transpose(np.argsort(order))

    q, k, v, g = map(laid_out, operands[:4])
    bias, allowed = (None if a is None else backend.asarray(a) for a in operands[4:])
    mask = bias if bias is not None else allowed
    mask_shape = (1, 1, 1) if mask is None else mask.shape[:3]
    geometry = (*counted(shape, k.shape[1]), *mask_shape, SCALE, causal, *dropped)
    wide = "float64" if q.dtype == "float64" else "float32"
    y, lse = room(q), guarded.empty(q.shape[:3], wide)
    dq, dk, dv = map(room, (q, k, v))
    kernels.attention(q, k, v, bias, allowed, None, y, lse, *geometry)
    inputs = (g, q, k, v, bias, allowed, None)
    if device.type == "cpu":
        kernels.attention_backward(*inputs, y, lse, dq, dk, dv, *geometry)
    else:
        levels = guarded.empty((*q.shape[:3], 2), wide)
        kernels.attention_backward_queries(*inputs, y, lse, dq, levels, *geometry)
        kernels.attention_backward_keys(*inputs, levels, dk, dv, *geometry)
    return [backend.to_host(a) for a in (y, lse, dq, dk, dv)]


def _unbound(x):
    """Queries, keys and values of (batch, rows, 3 · heads · columns)."""
    return [part.swapaxes(1, 2) for part in x.reshape(2, 40, 3, 4, 8).unbind(2)]


def _chunks(x):
    return [part.reshape(2, 40, 4, 8).swapaxes(1, 2) for part in x.chunk(3, -1)]


@pytest.mark.parametrize("parts_of", [_unbound, _chunks])
@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1), (0, 0, 2)])
def test_gradients_of_parts_of_one_array(kernels, device, monkeypatch, order, parts_of):
    """They are left side by side, and nobody has to join them, unless a part is used twice."""
    name = "stack_arrays" if parts_of is _unbound else "concat_arrays"
    join, joined = getattr(shapes, name), []
    monkeypatch.setattr(shapes, name, lambda *xs, axis: joined.append(xs) or join(*xs, axis=axis))
    values = np.random.default_rng(0).standard_normal((2, 40, 96)).astype("float32")
    gradients = []
    for copy in (False, True):
        x = tl.tensor(values, device=device, requires_grad=True)
        parts = parts_of(x * 1)
        if copy:
            parts = [part.clone() for part in parts]
        y = F.scaled_dot_product_attention(*[parts[i] for i in order], is_causal=True)
        (y * y).sum().backward()
        gradients.append(x.grad.cpu().numpy())
    assert len(joined) == (1 if len(set(order)) == 3 else 2)
    np.testing.assert_array_equal(*gradients)


@pytest.mark.parametrize("cuts", [[2, 3, 5], [5, 5], [0, 4, 6], [10]])
def test_parts_whose_gradients_lie_elsewhere_are_joined(backend, device, cuts):
    """Views of one array count as a whole only in their order, and with nothing left out."""
    values = backend.asarray(np.arange(60, dtype="float32").reshape(2, 10, 3))
    ends = np.cumsum(cuts)
    parts = tuple(values[:, end - n : end] for n, end in zip(cuts, ends, strict=True))
    for given in (parts, parts[::-1], tuple(p.copy() for p in parts)):
        if [p.shape for p in given] != [p.shape for p in parts]:
            continue
        x = tl.zeros(2, 10, 3, device=device, requires_grad=True)
        tensors = (x * 1).split(cuts, 1)
        tl.autograd.backward(tensors, [tl.as_tensor(g) for g in given])
        wanted = np.concatenate([backend.to_host(g) for g in given], 1)
        np.testing.assert_array_equal(x.grad.cpu().numpy(), wanted)
