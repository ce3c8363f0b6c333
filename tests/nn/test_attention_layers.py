"""Attention and the encoder: masks in their combinations, layouts, errors."""

from __future__ import annotations

import numpy as np
import pytest

import tensorlite as tl
from tensorlite import nn

E, H, L, S, N = 8, 2, 4, 5, 3


@pytest.fixture
def attention(device) -> nn.MultiheadAttention:
    tl.manual_seed(0)
    return nn.MultiheadAttention(E, H, batch_first=True).to(device)


def normal(*shape: int, device) -> tl.Tensor:
    return tl.tensor(np.random.default_rng(1).normal(size=shape).astype(np.float32), device=device)


def host(x: tl.Tensor) -> np.ndarray:
    return x.detach().to("cpu").numpy()


def by_hand(module, query, key, value, blocked=None, added=None):
    """Outputs and weights (N, H, L, S) by loops over batch and heads."""
    w, b = host(module.in_proj_weight), host(module.in_proj_bias)
    q, k, v = (
        x @ w[i * E : (i + 1) * E].T + b[i * E : (i + 1) * E]
        for i, x in enumerate((query, key, value))
    )
    d = E // H
    out = np.zeros(query.shape)
    weights = np.zeros((len(query), H, query.shape[1], key.shape[1]))
    for n in range(len(query)):
        for h in range(H):
            part = slice(h * d, (h + 1) * d)
            scores = q[n, :, part] @ k[n, :, part].T / np.sqrt(d)
            if added is not None:
                scores += added[n, h]
            e = np.exp(scores)
            if blocked is not None:
                e[blocked[n, h]] = 0
            total = e.sum(-1, keepdims=True)
            weights[n, h] = np.divide(e, total, out=np.zeros_like(e), where=total > 0)
            out[n, :, part] = weights[n, h] @ v[n, :, part]
    return out @ host(module.out_proj.weight).T + host(module.out_proj.bias), weights


CAUSAL = np.arange(S) > np.arange(L)[:, None]
PADDING = np.arange(S) >= np.array([5, 3, 1])[:, None]
EVERYTHING = np.ones((N, H, L, S), bool)
BIAS = np.random.default_rng(2).normal(size=(N * H, L, S)).astype(np.float32)


@pytest.mark.parametrize("need_weights", [True, False])
@pytest.mark.parametrize(
    ("arguments", "blocked", "added"),
    [
        ({}, None, None),
        (dict(is_causal=True), CAUSAL & EVERYTHING, None),
        (dict(key_padding_mask=PADDING), PADDING[:, None, None] & EVERYTHING, None),
        (
            dict(key_padding_mask=PADDING, is_causal=True),
            (PADDING[:, None, None] | CAUSAL) & EVERYTHING,
            None,
        ),
        (dict(attn_mask=BIAS), None, BIAS.reshape(N, H, L, S)),
        (
            dict(attn_mask=BIAS, key_padding_mask=PADDING),
            PADDING[:, None, None] & EVERYTHING,
            BIAS.reshape(N, H, L, S),
        ),
        (
            dict(attn_mask=BIAS[0], key_padding_mask=PADDING * np.float32(-1e9)),
            PADDING[:, None, None] & EVERYTHING,
            BIAS[0] * np.ones((N, H, 1, 1)),
        ),
    ],
)
def test_masks(attention, device, arguments, blocked, added, need_weights):
    query, memory = normal(N, L, E, device=device), normal(N, S, E, device=device)
    masks = {
        k: tl.tensor(v, device=device) if isinstance(v, np.ndarray) else v
        for k, v in arguments.items()
    }
    out, weights = attention(
        query, memory, memory, need_weights=need_weights, average_attn_weights=False, **masks
    )
    wanted, wanted_weights = by_hand(attention, *map(host, (query, memory, memory)), blocked, added)
    np.testing.assert_allclose(host(out), wanted, atol=2e-6)
    if need_weights:
        np.testing.assert_allclose(host(weights), wanted_weights, atol=2e-6)
    else:
        assert weights is None


@pytest.mark.parametrize("need_weights", [True, False])
def test_a_query_that_sees_nothing_gets_zeros_and_finite_gradients(attention, device, need_weights):
    x = normal(1, 2, E, device=device).requires_grad_()
    nothing = tl.tensor([[True, True], [False, True]], device=device)
    out, _ = attention(x, x, x, attn_mask=nothing, need_weights=need_weights)
    np.testing.assert_allclose(host(out)[0, 0], host(attention.out_proj.bias), atol=1e-6)
    out.sum().backward()
    assert np.isfinite(host(x.grad)).all()


def test_the_same_input_thrice_and_three_inputs_agree(attention, device):
    x = normal(N, L, E, device=device)
    together, _ = attention(x, x, x)
    apart, _ = attention(x, x + 0.0, x + 0.0)
    np.testing.assert_allclose(host(together), host(apart), atol=1e-6)


def test_an_additive_mask_is_differentiated(attention, device):
    x = normal(1, L, E, device=device)
    bias = tl.zeros((L, L), device=device).requires_grad_()
    attention(x, x, x, attn_mask=bias, need_weights=False)[0].square().sum().backward()
    assert bias.grad.shape == (L, L)
    np.testing.assert_allclose(host(bias.grad).sum(-1), 0, atol=1e-5)  # softmax ignores shifts
    assert np.abs(host(bias.grad)).max() > 1e-4


def test_dropout_acts_in_training_only(device):
    layer = nn.TransformerEncoderLayer(E, H, 16, dropout=0.5, batch_first=True).to(device)
    x = normal(N, L, E, device=device)
    assert np.abs(host(layer(x)) - host(layer(x))).max() > 0.1
    layer.eval()
    np.testing.assert_array_equal(host(layer(x)), host(layer(x)))


def test_an_encoder_copies_its_layer(device):
    layer = nn.TransformerEncoderLayer(E, H, 16)
    encoder = nn.TransformerEncoder(layer, 3)
    assert len(list(encoder.parameters())) == 3 * len(list(layer.parameters()))
    first, second = encoder.layers[0].linear1.weight, encoder.layers[1].linear1.weight
    np.testing.assert_array_equal(host(first), host(second))
    assert not np.shares_memory(first.array, second.array)


INTEGERS = [[0, 1, 1, 0]] * N  # as tokenizers give them: 1 takes part


@pytest.mark.parametrize("dtype", ["int64", "int32", "uint8"])
@pytest.mark.parametrize("form", ["Tensor", "array"])
def test_masks_of_integers_are_refused(dtype, form, attention, device):
    """Added to the scores they would change results a little, and nobody would see it."""
    x = normal(N, L, E, device=device)
    mask = np.array(INTEGERS, dtype)
    mask = tl.tensor(mask, device=device) if form == "Tensor" else mask
    encoder = nn.TransformerEncoderLayer(E, H, 8, batch_first=True).to(device)
    decoder = nn.TransformerDecoderLayer(E, H, 8, batch_first=True).to(device)
    for refused in (
        lambda: attention(x, x, x, key_padding_mask=mask),
        lambda: attention(x[0], x[0], x[0], attn_mask=mask[0]),
        lambda: encoder(x, src_key_padding_mask=mask),
        lambda: nn.TransformerEncoder(encoder, 1)(x, src_key_padding_mask=mask),
        lambda: decoder(x, x, memory_key_padding_mask=mask),
        lambda: decoder(x, x, tgt_key_padding_mask=mask),
    ):
        with pytest.raises(TypeError, match=rf"of dtype {dtype}; only bool masks.*\.bool\(\)"):
            refused()
    if form == "Tensor":
        with pytest.raises(TypeError, match=f"attn_mask is {dtype}; give booleans"):
            nn.functional.scaled_dot_product_attention(x, x, x, attn_mask=mask[:, None])


def test_masks_may_be_arrays_and_lists(attention, device):
    x = normal(N, L, E, device=device)
    blocked = np.array(INTEGERS) == 0
    expected = host(attention(x, x, x, key_padding_mask=tl.tensor(blocked, device=device))[0])
    for mask in (blocked, blocked.tolist()):
        np.testing.assert_array_equal(host(attention(x, x, x, key_padding_mask=mask)[0]), expected)
    with pytest.raises(TypeError, match="must be a Tensor or an array, not list"):
        nn.functional.scaled_dot_product_attention(x, x, x, attn_mask=blocked.tolist())


@pytest.mark.parametrize("need_weights", [True, False])
@pytest.mark.parametrize(("queries", "keys"), [(0, 0), (0, 3), (2, 0)])
def test_lengths_of_zero(queries, keys, need_weights, attention, device):
    """With nothing to attend to, what comes out is the output layer's bias."""
    x = tl.ones(N, queries, E, device=device, requires_grad=True)
    memory = tl.ones(N, keys, E, device=device)
    y, weights = attention(x, memory, memory, need_weights=need_weights)
    assert y.shape == (N, queries, E)
    assert weights.shape == (N, queries, keys) if need_weights else weights is None
    if not keys:
        bias = np.broadcast_to(host(attention.out_proj.bias), y.shape)
        np.testing.assert_array_equal(host(y), bias)
    y.sum().backward()
    assert not host(x.grad).any() or keys


def test_errors_name_shapes(attention, device):
    x = normal(N, L, E, device=device)
    with pytest.raises(ValueError, match=r"query of shape \(3, 4, 8\), key of \(4, 8\)"):
        attention(x, x[0], x[0])
    with pytest.raises(ValueError, match=r"key of \(2, 4, 8\)"):
        attention(x, x[:2], x[:2])
    with pytest.raises(ValueError, match=r"attn_mask of shape \(4, 5\); it must be \(4, 4\) or"):
        attention(x, x, x, attn_mask=tl.zeros((L, S), device=device))
    with pytest.raises(ValueError, match=r"key_padding_mask of shape \(4,\); it must be \(3, 4\)"):
        attention(x, x, x, key_padding_mask=tl.zeros(L, device=device))
    with pytest.raises(ValueError, match="embed_dim = 8 is not divisible by 3"):
        nn.MultiheadAttention(8, 3)
    with pytest.raises(RuntimeError, match="not 'swish'"):
        nn.TransformerEncoderLayer(8, 2, activation="swish")
