"""Attention, and rotary positions."""

from __future__ import annotations

import math
from types import ModuleType
from typing import Any

import numpy as np

from tensorlite.backend import Array, array_backend
from tensorlite.ops.compare import where
from tensorlite.ops.dropout import check_probability, dropout
from tensorlite.ops.extremes import amax
from tensorlite.ops.fused import float32_inside
from tensorlite.ops.linalg import matmul
from tensorlite.ops.reduce import sum
from tensorlite.ops.shape import broadcast_to
from tensorlite.ops.softmax import softmax
from tensorlite.primitive import primitive
from tensorlite.random import default_generator, philox_uniform
from tensorlite.tensor import Tensor

__all__ = ["rope", "scaled_dot_product_attention"]


@primitive(aux=("lse",))
@float32_inside
def attention(
    xp: ModuleType,
    query: Array,
    key: Array,
    value: Array,
    mask: Array | None = None,
    *,
    is_causal: bool,
    scale: float,
    p: float,
    seed: tuple[int, int],
    offset: int,
    save: bool,
) -> tuple[Array, Array]:
    """Softmax of the scores, times `value`; and the log-sum-exp of each row of scores, (…, L, 1).

    A row with nothing to attend to gives zeros; its log-sum-exp counts as inf. Heads of key and
    value may be fewer: each serves neighbouring heads of `query`. Weights are dropped with
    probability `p`: see `_kept`.
    """
    scores = _scores(query, key, mask, is_causal, scale)
    peak = scores.max(axis=-1, keepdims=True) if scores.size else 0.0
    peak = xp.where(peak == -math.inf, 0, peak)
    weights = xp.exp(scores - peak)
    total = weights.sum(axis=-1, keepdims=True)
    divisor = xp.where(total == 0, 1, total)
    lse = xp.where(total == 0, math.inf, peak + xp.log(divisor))
    weights = _dropped(weights, p, seed, offset)
    return matmul(weights, _for_all_heads(value, query)) / divisor, lse


def _scores(query: Any, key: Any, mask: Any, is_causal: bool, scale: float) -> Any:
    """Scaled products of queries and keys, -inf where the mask forbids; arrays or Tensors."""
    scores = matmul(query * scale, _for_all_heads(key, query).mT)
    if is_causal:
        xp = _module_of(query)
        rows, columns = scores.shape[-2:]
        scores = where(xp.arange(columns) <= xp.arange(rows)[:, None], scores, -math.inf)
    if mask is None:
        return scores
    return where(mask, scores, -math.inf) if mask.dtype == bool else scores + mask


def _module_of(x: Any) -> ModuleType:
    return array_backend((x.array if isinstance(x, Tensor) else x,)).xp


def _sharing(x: Any, query: Any) -> int:
    """How many heads of the queries each head of keys or values serves; 1 where axes broadcast."""
    if len(x.shape) < 3 or len(query.shape) < 3 or x.shape[-3] < 2:
        return 1
    return max(1, query.shape[-3] // x.shape[-3])


def _for_all_heads(x: Any, query: Any) -> Any:
    """Keys or values with each head repeated for the query's that it serves."""
    times = _sharing(x, query)
    if times == 1:
        return x
    *before, heads, length, width = x.shape
    wide = broadcast_to(
        x.reshape((*before, heads, 1, length, width)), (*before, heads, times, length, width)
    )
    return wide.reshape((*before, heads * times, length, width))


def _of_shared_heads(dx: Any, x: Any, query: Any) -> Any:
    """The gradient of keys or values from that of all heads that they serve."""
    times = _sharing(x, query)
    if times == 1:
        return dx
    *before, heads, length, width = dx.shape
    return sum(dx.reshape((*before, heads // times, times, length, width)), axis=-3)


def _kept(xp: ModuleType, shape: tuple[int, ...], p: float, seed: Any, offset: int) -> Array:
    """Which weights of this shape dropout leaves, as booleans.

    The numbers of a row begin with a block of four (see `tensorlite.random`), counted from
    `offset` on: where the number of keys is a multiple of four it is `dropout` of the weights.
    """
    *rows, keys = shape
    wide = (*rows, _words(keys))
    return (philox_uniform(xp, math.prod(wide), seed, offset).reshape(wide) >= p)[..., :keys]


def _words(keys: int) -> int:
    """How many random numbers a row takes."""
    return -(-keys // 4) * 4


def _dropped(weights: Any, p: float, seed: tuple[int, int], offset: int) -> Any:
    """Weights, arrays or Tensors, of which some are 0 and the others larger."""
    if p == 0:
        return weights
    kept = _kept(_module_of(weights), weights.shape, p, seed, offset)
    return where(kept, weights * (1 / (1 - p)), 0.0)


def _attention_gradients(
    dy: Any,
    query: Any,
    key: Any,
    value: Any,
    weights: Any,
    scale: float,
    p: float,
    seed: tuple[int, int],
    offset: int,
) -> tuple:
    dropped = _dropped(weights, p, seed, offset)
    dweights = matmul(dy, _for_all_heads(value, query).mT)
    mean = sum(dweights * dropped, axis=-1, keepdims=True)
    dscores = weights * (_dropped(dweights, p, seed, offset) - mean) * scale
    return (
        matmul(dscores, _for_all_heads(key, query)),
        _of_shared_heads(matmul(dscores.mT, query), key, query),
        _of_shared_heads(matmul(dropped.mT, dy), value, query),
    )


@primitive
@float32_inside
def attention_backward(
    xp: ModuleType,
    dy: Array,
    query: Array,
    key: Array,
    value: Array,
    mask: Array | None,
    out: Array,
    lse: Array,
    *,
    is_causal: bool,
    scale: float,
    p: float,
    seed: tuple[int, int],
    offset: int,
) -> tuple[Array, Array, Array]:
    """Cotangents of query, key and value; the weights are computed again from `lse`."""
    weights = xp.exp(_scores(query, key, mask, is_causal, scale) - lse)
    return _attention_gradients(dy, query, key, value, weights, scale, p, seed, offset)


@attention_backward.defvjp_composite
def _attention_backward(
    dy: Any,
    query: Any,
    key: Any,
    value: Any,
    mask: Any,
    out: Any,
    lse: Any,
    *,
    is_causal: bool,
    scale: float,
    p: float,
    seed: tuple[int, int],
    offset: int,
) -> tuple:
    weights = _weights(_scores(query, key, mask, is_causal, scale))
    return _attention_gradients(dy, query, key, value, weights, scale, p, seed, offset)


def _weights(scores: Any) -> Any:
    """Softmax of each row, 0 where all scores are -inf."""
    if 0 in scores.shape:
        return scores
    empty = amax(scores, axis=-1, keepdims=True) == -math.inf
    return where(empty, 0.0, softmax(where(empty, 0.0, scores), axis=-1))


@attention.defvjp_joint
def _attention_vjp(
    g: Any,
    needs: tuple,
    query: Any,
    key: Any,
    value: Any,
    mask: Any,
    y: Any,
    lse: Any,
    is_causal: bool,
    scale: float,
    p: float,
    seed: tuple[int, int],
    offset: int,
) -> tuple:
    static = {"is_causal": is_causal, "scale": scale, "p": p, "seed": seed, "offset": offset}
    return *attention_backward(g, query, key, value, mask, y, lse, **static), None


def scaled_dot_product_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Tensor:
    """softmax(query @ keyᵀ · scale) @ value (Vaswani et al. 2017).

    Parameters
    ----------
    query, key, value
        Shapes (…, L, E), (…, S, E) and (…, S, V); leading axes broadcast.
    attn_mask
        Broadcasts to (…, L, S). Booleans: True takes part. Floats: added to the scores.
    dropout_p
        Probability to drop an attention weight, drawn from the default generator: the same
        weights on every device.
    is_causal
        Whether position i sees keys up to position i only (both counted from the start).
    scale
        Default: 1/√E.
    enable_gqa
        Whether the heads of `key` and `value`, (…, H, S, E), may be fewer: each then serves
        neighbouring heads of `query` (Ainslie et al. 2023). Nothing is copied for it.

    Returns
    -------
    Tensor, shape (…, L, V)
        A query that may attend to nothing gives zeros.

    Raises
    ------
    ValueError
        If the shapes do not fit each other, or there are both a mask and `is_causal`.
    TypeError
        If `attn_mask` is no Tensor.

    Examples
    --------
    >>> q = tl.zeros(2, 4, 5, 8)
    >>> F.scaled_dot_product_attention(q, q, q, is_causal=True).shape
    (2, 4, 5, 8)
    """
    op = "scaled_dot_product_attention"
    q, k, v = query.array.shape, key.array.shape, value.array.shape
    if min(len(q), len(k), len(v)) < 2 or q[-1] != k[-1] or k[-2] != v[-2]:
        raise ValueError(
            f"{op}: query {q}, key {k} and value {v} must be (…, L, E), (…, S, E) and (…, S, V)"
        )
    check_probability(op, dropout_p)
    if enable_gqa:
        for name, x in (("key", k), ("value", v)):
            if len(x) < 3 or len(q) < 3 or q[-3] % max(x[-3], 1):
                raise ValueError(
                    f"{op}: {name} of shape {x} with enable_gqa=True: its number of heads must "
                    f"divide that of query {q}"
                )
    elif len({x[-3] for x in (q, k, v) if len(x) > 2} - {1}) > 1:
        raise ValueError(
            f"{op}: query {q}, key {k} and value {v} have different numbers of heads; where one "
            "of key and value serves several of the query's, say enable_gqa=True"
        )
    if attn_mask is not None:
        _check_mask(op, attn_mask, (q[-2], k[-2]))
    return attend(query, key, value, attn_mask, dropout_p, is_causal, scale)


def _check_mask(op: str, mask: Tensor, scores_shape: tuple[int, int]) -> None:
    if not hasattr(mask, "dtype"):
        raise TypeError(f"{op}: attn_mask must be a Tensor or an array, not {type(mask).__name__}")
    if mask.dtype.kind not in "bfV":
        raise TypeError(
            f"{op}: attn_mask is {mask.dtype}; give booleans (True takes part), such as "
            "attn_mask.bool(), or floats to add to the scores"
        )
    if any(
        n not in (1, wanted)
        for n, wanted in zip(mask.shape[::-1], scores_shape[::-1], strict=False)
    ):
        raise ValueError(
            f"{op}: attn_mask of shape {mask.shape} does not broadcast to the scores "
            f"(…, {scores_shape[0]}, {scores_shape[1]})"
        )


def attend(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
) -> Tensor:
    """`scaled_dot_product_attention` of what is known to fit."""
    if scale is None:
        scale = 1 / math.sqrt(query.array.shape[-1])
    if dropout_p == 1 or getattr(attn_mask, "requires_grad", False):
        weights = attention_weights(query, key, attn_mask, is_causal, scale)
        return matmul(dropout(weights, dropout_p), _for_all_heads(value, query))
    seed, offset = (0, 0), 0
    if dropout_p:
        shared = _sharing(key, query) > 1
        rows = np.broadcast_shapes(
            query.shape[:-2],
            (*key.shape[:-3], 1) if shared else key.shape[:-2],
            () if attn_mask is None else attn_mask.shape[:-2],
        )
        words = math.prod(rows) * query.shape[-2] * _words(key.shape[-2])
        seed, offset = default_generator.reserve(words)
    static = {"is_causal": is_causal, "scale": scale, "seed": seed, "offset": offset}
    return attention(query, key, value, attn_mask, p=dropout_p, **static)


def attention_weights(
    query: Tensor, key: Tensor, attn_mask: Tensor | None, is_causal: bool, scale: float
) -> Tensor:
    """Weights (…, L, S) that `scaled_dot_product_attention` gives to values."""
    return _weights(_scores(query, key, attn_mask, is_causal, scale))


# --- rotary positions ---------------------------------------------------------------------------


@primitive
@float32_inside
def rotate(
    xp: ModuleType, x: Array, positions: Array | None = None, *, base: float, inverse: bool
) -> Array:
    """Rotate each pair (x_i, x_{i + D/2}) by its angle, position · base^(-2i/D), or back."""
    half = x.shape[-1] // 2
    if positions is None:
        positions = xp.arange(x.shape[-2])
    angles = positions[..., None] * base ** (-xp.arange(half) / half)
    cos, sin = xp.cos(angles).astype(x.dtype), xp.sin(angles).astype(x.dtype)
    if inverse:
        sin = -sin
    a, b = x[..., :half], x[..., half:]
    return xp.concatenate((a * cos - b * sin, b * cos + a * sin), axis=-1)


rotate.defvjp(
    x=lambda g, positions, base, inverse: rotate(g, positions, base=base, inverse=not inverse)
)


def rope(x: Tensor, positions: Tensor | None = None, base: float = 10000.0) -> Tensor:
    """Rotary position embedding (Su et al. 2021) of queries or keys.

    Parameters
    ----------
    x
        Shape (…, T, D), D even; element i is paired with element i + D/2.
    positions
        Integers that broadcast to (…, T) (default: 0 … T-1).
    base
        Position p turns pair i by p · base^(-2i/D).

    Returns
    -------
    Tensor
        Of the shape of `x`.

    Raises
    ------
    ValueError
        If D is odd.

    Examples
    --------
    >>> F.rope(tl.ones(3, 4)).shape
    (3, 4)
    """
    if len(x.shape) < 2 or x.shape[-1] % 2:
        raise ValueError(f"rope: x of shape {x.shape} is not (…, T, D) with an even D")
    return rotate(x, positions, base=base, inverse=False)
