"""Attention of several heads as one function with torch's many arguments."""

from __future__ import annotations

import math
from typing import Any

from tensorlite.backend import array_backend
from tensorlite.ops.attention import attend, attention_weights
from tensorlite.ops.compare import where
from tensorlite.ops.dropout import dropout
from tensorlite.ops.elementwise import cast
from tensorlite.ops.joining import cat
from tensorlite.ops.linalg import matmul
from tensorlite.ops.linear import linear
from tensorlite.ops.reduce import mean
from tensorlite.ops.shape import broadcast_to
from tensorlite.tensor import Tensor, tensor_of

__all__ = ["multi_head_attention_forward"]

_OP = "multi_head_attention_forward"


def multi_head_attention_forward(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    embed_dim_to_check: int,
    num_heads: int,
    in_proj_weight: Tensor | None,
    in_proj_bias: Tensor | None,
    bias_k: Tensor | None,
    bias_v: Tensor | None,
    add_zero_attn: bool,
    dropout_p: float,
    out_proj_weight: Tensor,
    out_proj_bias: Tensor | None,
    training: bool = True,
    key_padding_mask: Tensor | None = None,
    need_weights: bool = True,
    attn_mask: Tensor | None = None,
    use_separate_proj_weight: bool = False,
    q_proj_weight: Tensor | None = None,
    k_proj_weight: Tensor | None = None,
    v_proj_weight: Tensor | None = None,
    static_k: Tensor | None = None,
    static_v: Tensor | None = None,
    average_attn_weights: bool = True,
    is_causal: bool = False,
) -> tuple[Tensor, Tensor | None]:
    """Project, attend with several heads, and project again; see `nn.MultiheadAttention`.

    Parameters
    ----------
    query, key, value
        Shapes (L, N, E), (S, N, K) and (S, N, V), or all without N.
    embed_dim_to_check, num_heads
        E, which divides by the number of heads.
    in_proj_weight, in_proj_bias
        Projections of the three below each other, (3E, E) and (3E,).
    bias_k, bias_v
        A further key and value for all, (1, 1, E), or None.
    add_zero_attn
        Whether there is a further key and value of zeros.
    dropout_p, training
        Probability to drop a weight when training.
    out_proj_weight, out_proj_bias
        Projection of the joined heads, (E, E) and (E,).
    key_padding_mask
        (N, S) or (S,): True leaves a key out; floats are added to the scores.
    need_weights, average_attn_weights
        Whether to return the weights, and their mean over the heads.
    attn_mask
        (L, S) or (N · num_heads, L, S): True keeps a query from a key; floats are added.
    use_separate_proj_weight, q_proj_weight, k_proj_weight, v_proj_weight
        Three projections instead of `in_proj_weight`.
    static_k, static_v
        Keys and values of the heads as they are, (N · num_heads, S, E / num_heads).
    is_causal
        That `attn_mask`, which must be given, is the causal one.

    Returns
    -------
    output : Tensor, shape (L, N, E) or (L, E)
    weights : Tensor, shape (N, L, S), or (N, num_heads, L, S) if not averaged; or None
        Without N where the inputs have none. A query that may attend to nothing has zeros.

    Raises
    ------
    ValueError
        If the shapes do not fit each other, or `num_heads` does not divide E.

    Examples
    --------
    >>> q, w, o = tl.zeros(5, 2, 8), tl.zeros(24, 8), tl.zeros(8, 8)
    >>> y, _ = F.multi_head_attention_forward(
    ...     q, q, q, 8, 2, w, None, None, None, False, 0.0, o, None
    ... )
    >>> y.shape
    (5, 2, 8)
    """
    batched = len(query.shape) == 3
    query, key, value = _with_batches(query, key, value)
    length, n, width = query.shape
    if width != embed_dim_to_check or width % num_heads:
        raise ValueError(
            f"{_OP}: query of width {width}; it must be {embed_dim_to_check}, and divide by "
            f"{num_heads} heads"
        )
    if is_causal and attn_mask is None:
        raise ValueError(f"{_OP}: is_causal=True says what attn_mask is: give that, too")
    weights: tuple[Tensor | None, ...] = (q_proj_weight, k_proj_weight, v_proj_weight)
    if not use_separate_proj_weight:
        weights = _thirds("in_proj_weight", in_proj_weight, width)
    biases = (None,) * 3 if in_proj_bias is None else _thirds("in_proj_bias", in_proj_bias, width)
    q, k, v = (
        linear(x, w, b) for x, w, b in zip((query, key, value), weights, biases, strict=True)
    )
    extra = 0
    if bias_k is not None and bias_v is not None:
        k, v = (
            cat([x, broadcast_to(row, (1, n, width))], 0) for x, row in ((k, bias_k), (v, bias_v))
        )
        extra += 1
    q = _heads(q, num_heads)
    k, v = (
        _heads(x, num_heads) if static is None else _given(name, static, n, num_heads, width)
        for name, x, static in (("static_k", k, static_k), ("static_v", v, static_v))
    )
    if add_zero_attn:
        k, v = (_with_zeros(x) for x in (k, v))
        extra += 1
    mask = _mask(q, k, attn_mask, key_padding_mask, extra)
    dropout_p = dropout_p if training else 0.0
    found = None
    if need_weights:
        found = attention_weights(q, k, mask, False, 1 / math.sqrt(q.shape[-1]))
        found = dropout(found, dropout_p)
        out = matmul(found, v)
        found = mean(found, axis=1) if average_attn_weights else found
        found = found if batched else found.reshape(found.shape[1:])
    else:
        out = attend(q, k, v, mask, dropout_p)
    out = out.permute(2, 0, 1, 3).reshape(length, n, width)
    out = linear(out, out_proj_weight, out_proj_bias)
    return (out if batched else out.reshape(length, out.shape[-1])), found


def _with_batches(*inputs: Tensor) -> tuple[Tensor, ...]:
    """Query, key and value with three axes."""
    query, key, value = inputs
    ndims = {len(x.shape) for x in inputs}
    if ndims not in ({2}, {3}) or key.shape[:-1] != value.shape[:-1]:
        raise ValueError(
            f"{_OP}: query {query.shape}, key {key.shape} and value {value.shape} must be "
            "(L, N, E), (S, N, K) and (S, N, V), or all without N"
        )
    if ndims == {2}:
        return tuple(x.reshape(x.shape[0], 1, x.shape[1]) for x in inputs)
    if query.shape[1] != key.shape[1]:
        raise ValueError(f"{_OP}: query {query.shape} and key {key.shape} of different batches")
    return inputs


def _thirds(name: str, x: Tensor | None, width: int) -> tuple[Tensor, ...]:
    if x is None or x.shape[0] != 3 * width:
        shape = None if x is None else x.shape
        raise ValueError(f"{_OP}: {name} of shape {shape} must have {3 * width} rows")
    return tuple(x[i * width : (i + 1) * width] for i in range(3))


def _heads(x: Tensor, num_heads: int) -> Tensor:
    """(S, N, E) as (N, num_heads, S, E / num_heads)."""
    length, n, width = x.shape
    return x.reshape(length, n, num_heads, width // num_heads).permute(1, 2, 0, 3)


def _given(name: str, x: Tensor, n: int, num_heads: int, width: int) -> Tensor:
    if len(x.shape) != 3 or x.shape[0] != n * num_heads or x.shape[2] != width // num_heads:
        raise ValueError(
            f"{_OP}: {name} of shape {x.shape} must be ({n * num_heads}, S, {width // num_heads})"
        )
    return x.reshape(n, num_heads, *x.shape[1:])


def _with_zeros(x: Tensor) -> Tensor:
    """Keys or values with one of zeros behind them."""
    xp = array_backend((x.array,)).xp
    zeros = xp.zeros((*x.shape[:2], 1, x.shape[3]), x.array.dtype)
    return cat([x, tensor_of(zeros)], 2)


def _mask(
    q: Tensor, k: Tensor, attn_mask: Tensor | None, padding: Tensor | None, extra: int
) -> Tensor | None:
    """What is added to the scores (N, num_heads, L, S); the last `extra` keys are open to all."""
    n, heads, length, _ = q.shape
    keys = k.shape[2] - extra
    parts: list[Any] = []
    if attn_mask is not None:
        if attn_mask.shape not in ((length, keys), (n * heads, length, keys)):
            raise ValueError(
                f"{_OP}: attn_mask of shape {attn_mask.shape} must be {(length, keys)} or "
                f"{(n * heads, length, keys)}"
            )
        each = len(attn_mask.shape) == 3
        parts.append(attn_mask.reshape(n if each else 1, heads if each else 1, length, keys))
    if padding is not None:
        if padding.shape != (n, keys) and not (n == 1 and padding.shape == (keys,)):
            raise ValueError(
                f"{_OP}: key_padding_mask of shape {padding.shape} must be {(n, keys)}"
            )
        parts.append(padding.reshape(n, 1, 1, keys))
    total = None
    for part in parts:
        if part.dtype.kind not in "bfV":
            raise TypeError(f"{_OP}: a mask is {part.dtype}; give booleans (True is left out)")
        if part.dtype == bool:
            part = cast(where(part, -math.inf, 0.0), q.dtype)
        total = part if total is None else total + part
    if total is None:
        return None
    total = cast(total, q.dtype)
    if not extra:
        return total
    xp = array_backend((q.array,)).xp
    return cat([total, tensor_of(xp.zeros((*total.shape[:3], extra), q.array.dtype))], 3)
