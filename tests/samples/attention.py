"""Samples of attention and rotary positions."""

from __future__ import annotations

import math

import numpy as np

from samples.base import Sample, integers, normal
from tensorlite.ops.attention import attention, attention_backward, rotate
from tensorlite.random import philox_uniform


def weights_of(query, key, mask, is_causal, scale):
    """Attention weights, row by row over the keys that take part."""
    scores = scale * np.einsum("...ld,...sd->...ls", query, key)
    allowed = np.ones(scores.shape, bool)
    if is_causal:
        allowed &= np.tri(*scores.shape[-2:], dtype=bool)
    if mask is not None and mask.dtype == bool:
        allowed = allowed & mask
    elif mask is not None:
        scores = scores + mask
    weights = np.zeros(scores.shape)
    for row in np.ndindex(scores.shape[:-1]):
        e = np.exp(scores[row][allowed[row]])
        weights[row][allowed[row]] = e / e.sum()
    return weights, np.where(allowed, scores, -np.inf)


def shared(x, heads):
    """Keys or values with each head repeated for those that it serves."""
    return x.repeat(heads // x.shape[-3], -3)


def factors(shape, p, seed, offset):
    """What weights of this shape are multiplied by: rows take whole blocks of random numbers."""
    wide = (*shape[:-1], -(-shape[-1] // 4) * 4)
    drawn = philox_uniform(np, math.prod(wide), seed, offset).reshape(wide)
    return np.where(drawn[..., : shape[-1]] < np.float32(p), 0, 1 / (1 - p))


def attend(query, key, value, mask=None, is_causal=False, scale=1.0, p=0.0, seed=(0, 0), offset=0):
    key, value = (shared(x, query.shape[-3]) for x in (key, value))
    weights, _ = weights_of(query, key, mask, is_causal, scale)
    return (weights * factors(weights.shape, p, seed, offset)) @ value


def attend_backward(dy, query, key, value, mask, out, lse, is_causal, scale, p, seed, offset):
    """Each row of weights has the Jacobian diag(w) - w wᵀ."""
    kv_heads, heads = key.shape[-3], query.shape[-3]
    key, value = (shared(x, heads) for x in (key, value))
    weights, _ = weights_of(query, key, mask, is_causal, scale)
    factor = factors(weights.shape, p, seed, offset)
    dweights = np.einsum("...lv,...sv->...ls", dy, value) * factor
    dscores = np.empty_like(weights)
    for row in np.ndindex(weights.shape[:-1]):
        w = weights[row]
        dscores[row] = (np.diag(w) - np.outer(w, w)) @ dweights[row] * scale
    of_keys = (
        np.einsum("...ls,...ld->...sd", dscores, query),
        np.einsum("...ls,...lv->...sv", weights * factor, dy),
    )
    of_keys = (
        x.reshape(*x.shape[:-3], kv_heads, heads // kv_heads, *x.shape[-2:]).sum(-3)
        for x in of_keys
    )
    return np.einsum("...ls,...sd->...ld", dscores, key), *of_keys


generator = np.random.default_rng(9)
Q, K = generator.standard_normal((2, 3, 5, 4)), generator.standard_normal((2, 3, 6, 4))
V = generator.standard_normal((2, 3, 6, 3))
MASK = generator.random((2, 1, 5, 6)) > 0.3
MASK[0, 0, 1] = False  # a query with nothing to attend to
BIAS = generator.standard_normal((5, 6))
FEW = [generator.standard_normal((2, heads, n, 4)) for heads, n in ((4, 5), (2, 6), (2, 6))]


def saved(inputs, mask, static):
    """Output and log-sum-exp of the forward pass at such inputs."""
    query, key, _ = inputs
    key = shared(key, query.shape[-3])
    scores = weights_of(query, key, mask, static["is_causal"], static["scale"])[1]
    with np.errstate(divide="ignore"):
        lse = np.log(np.exp(scores).sum(-1, keepdims=True))
    lse[lse == -np.inf] = np.inf
    return attend(*inputs, mask, **static), lse


def options(is_causal, scale, p=0.0):
    return dict(is_causal=is_causal, scale=scale, p=p, seed=(7, 8), offset=11)


# Where heads of keys and values are fewer, queries, keys and values are as long, as kernels want.
CASES = [
    ([Q, K, V], None, options(False, 0.5)),
    ([Q, K, V], None, options(True, 0.7)),
    ([Q, K, V], MASK, options(False, 0.5)),
    ([Q, K, V], BIAS, options(True, 0.5)),
    (FEW, MASK, options(False, 0.5)),
    (FEW, None, options(True, 0.5, 0.3)),
]

ATTENTION = [
    *[
        Sample(
            attention,
            [*(normal(*x.shape) for x in inputs), mask],
            static,
            reference=attend,
            grad=(0, 1, 2),
            zero=[normal(2, 3, 0, 4), normal(2, 3, 6, 4), normal(2, 3, 6, 3), None],
            tolerance=8,
            saves=("query", "key", "value", "mask", "y", "lse", *static),
        )
        for inputs, mask, static in CASES
    ],
    *[
        Sample(
            attention_backward,
            [
                normal(*inputs[0].shape[:-1], inputs[2].shape[-1]),
                *(*inputs, mask),
                *saved(inputs, mask, static),
            ],
            static,
            reference=attend_backward,
            grad=(0,),
            zero=[normal(0, 3, 5, 3), Q[:0], K[:0], V[:0], None, V[:0, :, :5], Q[:0, ..., :1]],
            dtypes=("float64", "float32"),
            tolerance=16,
        )
        for inputs, mask, static in CASES
    ],
]


def turned(x, positions=None, base=10000.0, inverse=False):
    """Pairs as complex numbers, turned by multiplication."""
    half = x.shape[-1] // 2
    if positions is None:
        positions = np.arange(x.shape[-2])
    turn = np.exp(
        (-1j if inverse else 1j) * np.multiply.outer(positions, base ** (-np.arange(half) / half))
    )
    z = (x[..., :half] + 1j * x[..., half:]) * turn
    return np.concatenate((z.real, z.imag), -1)


SAMPLES = [
    *ATTENTION,
    *[
        Sample(
            rotate,
            [normal(2, 3, 5, 6), *positions],
            dict(base=100.0, inverse=inverse),
            reference=turned,
            saves=("positions", "base", "inverse"),
            tolerance=2,
        )
        for positions in ((), (integers(5, high=50),))
        for inverse in (False, True)
    ],
]
