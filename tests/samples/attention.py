"""Samples of attention and rotary positions."""

from __future__ import annotations

import numpy as np

from samples.base import Sample, integers, normal
from tensorlite.ops.attention import attention, attention_backward, rotate


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


def attend(query, key, value, mask=None, is_causal=False, scale=1.0):
    return weights_of(query, key, mask, is_causal, scale)[0] @ value


def attend_backward(dy, query, key, value, mask, out, lse, is_causal, scale):
    """Each row of weights has the Jacobian diag(w) - w wᵀ."""
    weights, _ = weights_of(query, key, mask, is_causal, scale)
    dweights = np.einsum("...lv,...sv->...ls", dy, value)
    dscores = np.empty_like(weights)
    for row in np.ndindex(weights.shape[:-1]):
        w = weights[row]
        dscores[row] = (np.diag(w) - np.outer(w, w)) @ dweights[row] * scale
    return (
        np.einsum("...ls,...sd->...ld", dscores, key),
        np.einsum("...ls,...ld->...sd", dscores, query),
        np.einsum("...ls,...lv->...sv", weights, dy),
    )


generator = np.random.default_rng(9)
Q, K = generator.standard_normal((2, 3, 5, 4)), generator.standard_normal((2, 3, 6, 4))
V = generator.standard_normal((2, 3, 6, 3))
MASK = generator.random((2, 1, 5, 6)) > 0.3
MASK[0, 0, 1] = False  # a query with nothing to attend to
BIAS = generator.standard_normal((5, 6))


def saved(mask, is_causal, scale):
    """Output and log-sum-exp of the forward pass at Q, K, V."""
    scores = weights_of(Q, K, mask, is_causal, scale)[1]
    with np.errstate(divide="ignore"):
        lse = np.log(np.exp(scores).sum(-1, keepdims=True))
    lse[lse == -np.inf] = np.inf
    return attend(Q, K, V, mask, is_causal, scale), lse


CASES = [(None, False, 0.5), (None, True, 0.7), (MASK, False, 0.5), (BIAS, True, 0.5)]

ATTENTION = [
    *[
        Sample(
            attention,
            [normal(2, 3, 5, 4), normal(2, 3, 6, 4), normal(2, 3, 6, 3), mask],
            dict(is_causal=is_causal, scale=scale),
            reference=attend,
            grad=(0, 1, 2),
            zero=[normal(2, 3, 0, 4), normal(2, 3, 6, 4), normal(2, 3, 6, 3), None],
            tolerance=8,
            saves=("query", "key", "value", "mask", "y", "lse", "is_causal", "scale"),
        )
        for mask, is_causal, scale in CASES
    ],
    *[
        Sample(
            attention_backward,
            [normal(2, 3, 5, 3), Q, K, V, mask, *saved(mask, is_causal, scale)],
            dict(is_causal=is_causal, scale=scale),
            reference=attend_backward,
            grad=(0,),
            zero=[normal(0, 3, 5, 3), Q[:0], K[:0], V[:0], None, V[:0, :, :5], Q[:0, ..., :1]],
            dtypes=("float64", "float32"),
            tolerance=16,
        )
        for mask, is_causal, scale in CASES
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
