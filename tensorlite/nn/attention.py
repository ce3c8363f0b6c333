"""Multi-head attention."""

from __future__ import annotations

import functools
import math
import operator
from collections.abc import Sequence
from typing import Any

import numpy as np

from tensorlite.nn import functional as F
from tensorlite.nn import init
from tensorlite.nn.linear import Linear
from tensorlite.nn.module import Module
from tensorlite.nn.parameter import empty
from tensorlite.ops.attention import attend, attention_weights
from tensorlite.ops.compare import where
from tensorlite.ops.creation import as_tensor, full
from tensorlite.ops.joining import cat
from tensorlite.plan import is_float
from tensorlite.tensor import Tensor


class MultiheadAttention(Module):
    """Attention of `num_heads` heads to parts of the features [1]_.

    Queries (L, N, embed_dim), keys (S, N, kdim) and values (S, N, vdim); it returns the output (L,
    N, embed_dim) and the mean weights (N, L, S), or None with ``need_weights=False``. Without a
    batch the axis N is left out.

    Parameters
    ----------
    embed_dim : int
        Features of queries and of the output.
    num_heads : int
        Heads; each sees embed_dim / num_heads features.
    dropout : float
        Probability of zeroing an attention weight in training.
    bias : bool
        Whether the projections have biases.
    add_bias_kv : bool
        Whether a key and a value that are learnt stand behind all others.
    add_zero_attn : bool
        Whether a key and a value of zeros stand behind all others.
    kdim, vdim : int, optional
        Features of keys and values; by default `embed_dim`.
    batch_first : bool
        Whether the batch is the first axis (N, L, E), not the second (L, N, E).
    device, dtype
        Of the parameters.

    Attributes
    ----------
    in_proj_weight : Parameter, shape (3 · embed_dim, embed_dim), or None
        Projections of queries, keys and values; drawn by `init.xavier_uniform_`.
    q_proj_weight, k_proj_weight, v_proj_weight : Parameter, or None
        Of shape (embed_dim, features) instead, where keys or values have other features.
    in_proj_bias : Parameter, shape (3 · embed_dim,), or None
        Zeros.
    bias_k, bias_v : Parameter, shape (1, 1, embed_dim), or None
        Drawn by `init.xavier_normal_`.
    out_proj : Linear
        Projection of the heads' joined outputs; its bias starts as zeros.

    Raises
    ------
    ValueError
        If `num_heads` does not divide `embed_dim`.

    References
    ----------
    .. [1] Vaswani et al., "Attention is all you need", NeurIPS 2017.

    Examples
    --------
    >>> attention = nn.MultiheadAttention(8, 2, batch_first=True)
    >>> output, weights = attention(h8 := tl.zeros(3, 5, 8), h8, h8)
    >>> output.shape, weights.shape
    ((3, 5, 8), (3, 5, 5))

    >>> nn.MultiheadAttention(8, 2).reset_parameters()
    """

    def __init__(
        self,
        embed_dim: int,
        num_heads: int,
        dropout: float = 0.0,
        bias: bool = True,
        add_bias_kv: bool = False,
        add_zero_attn: bool = False,
        kdim: int | None = None,
        vdim: int | None = None,
        batch_first: bool = False,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        if embed_dim <= 0 or num_heads <= 0:
            raise ValueError(
                "MultiheadAttention: embed_dim and num_heads must be greater than 0, not "
                f"{embed_dim} and {num_heads}"
            )
        if embed_dim % num_heads:
            raise ValueError(
                f"MultiheadAttention: embed_dim must be divisible by num_heads: embed_dim = "
                f"{embed_dim} is not divisible by {num_heads} heads"
            )
        self.embed_dim = embed_dim
        self.kdim = embed_dim if kdim is None else kdim
        self.vdim = embed_dim if vdim is None else vdim
        self._qkv_same_embed_dim = self.kdim == embed_dim and self.vdim == embed_dim
        self.num_heads = num_heads
        self.dropout = dropout
        self.batch_first = batch_first
        self.head_dim = embed_dim // num_heads
        kind = {"device": device, "dtype": dtype}
        same = self._qkv_same_embed_dim
        for name, columns in (("q", embed_dim), ("k", self.kdim), ("v", self.vdim)):
            made = None if same else empty(embed_dim, columns, **kind)
            self.register_parameter(f"{name}_proj_weight", made)
        together = empty(3 * embed_dim, embed_dim, **kind) if same else None
        self.register_parameter("in_proj_weight", together)
        self.register_parameter("in_proj_bias", empty(3 * embed_dim, **kind) if bias else None)
        self.out_proj = Linear(embed_dim, embed_dim, bias, **kind)
        for name in ("bias_k", "bias_v"):
            self.register_parameter(name, empty(1, 1, embed_dim, **kind) if add_bias_kv else None)
        self.add_zero_attn = add_zero_attn
        self._reset_parameters()

    def _reset_parameters(self) -> None:
        """Draw the initial values anew."""
        for weight in (
            self.in_proj_weight,
            self.q_proj_weight,
            self.k_proj_weight,
            self.v_proj_weight,
        ):
            if weight is not None:
                init.xavier_uniform_(weight)
        self.out_proj.reset_parameters()
        if self.in_proj_bias is not None:
            init.zeros_(self.in_proj_bias)
            init.zeros_(self.out_proj.bias)
        for bias in (self.bias_k, self.bias_v):
            if bias is not None:
                init.xavier_normal_(bias)

    reset_parameters = _reset_parameters

    def forward(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        key_padding_mask: Tensor | None = None,
        need_weights: bool = True,
        attn_mask: Tensor | None = None,
        average_attn_weights: bool = True,
        is_causal: bool = False,
    ) -> tuple[Tensor, Tensor | None]:
        """Attend from `query` to `key` and `value`.

        Parameters
        ----------
        query : Tensor, shape (L, N, E), with `batch_first` (N, L, E), or (L, E)
        key, value : Tensor, shape (S, N, E), with `batch_first` (N, S, E), or (S, E)
        key_padding_mask : Tensor, shape (N, S) or (S,), optional
            True leaves a key out (the opposite of `F.scaled_dot_product_attention`, as in torch);
            floats are added to the scores.
        need_weights : bool
            Whether to return the attention weights; without them it is faster.
        attn_mask : Tensor, shape (L, S) or (N · num_heads, L, S), optional
            True keeps a query from a key; floats are added to the scores.
        average_attn_weights : bool
            Whether the weights are averaged over the heads.
        is_causal : bool
            Keep each query from later keys. An `attn_mask` beside it is taken to say the same.

        Returns
        -------
        output : Tensor, shape of `query`
        weights : Tensor, shape (N, L, S) or (N, num_heads, L, S), or None
            Without N where `query` has none.
        """
        self._check_inputs(query, key, value)
        batched = query.ndim == 3
        q, k, v = self._projected(query, key, value)
        k, v = (self._with_row(x, row) for x, row in ((k, self.bias_k), (v, self.bias_v)))
        q, k, v = map(self._heads, (q, k, v))  # (N, H, L or S, D)
        extra = k.shape[2] - (key.shape[0] if not batched else key.shape[self._steps])
        if self.add_zero_attn:
            k, v, extra = _with_zeros(k), _with_zeros(v), extra + 1
        if is_causal and not need_weights and key_padding_mask is None and extra == 0:
            attn_mask = None
        mask = _joined(_masks(q, k, attn_mask, key_padding_mask, extra))
        if extra and is_causal:
            raise ValueError(
                "MultiheadAttention: is_causal with add_bias_kv or add_zero_attn is not defined: "
                "give an attn_mask"
            )
        dropout = self.dropout if self.training else 0.0
        weights = None
        if need_weights:
            weights = attention_weights(q, k, mask, is_causal, 1 / math.sqrt(q.shape[-1]))
            weights = F.dropout(weights, dropout)
            out = weights @ v
            weights = weights.mean(1) if average_attn_weights else weights
            weights = weights if batched else weights[0]
        else:
            out = attend(q, k, v, mask, dropout, is_causal)
        out = out.swapaxes(1, 2)  # (N, L, H, D)
        if batched and not self.batch_first:
            out = out.swapaxes(0, 1)
        return self.out_proj(out.reshape(query.shape)), weights

    @property
    def _steps(self) -> int:
        """The axis of the positions in a batch."""
        return 1 if self.batch_first else 0

    def _check_inputs(self, query: Tensor, key: Tensor, value: Tensor) -> None:
        batch = 0 if self.batch_first else 1
        if (
            query.ndim not in (2, 3)
            or query.ndim != key.ndim
            or key.shape[:-1] != value.shape[:-1]
            or (query.ndim == 3 and query.shape[batch] != key.shape[batch])
        ):
            layout = "(N, L, E) and (N, S, E)" if self.batch_first else "(L, N, E) and (S, N, E)"
            raise ValueError(
                f"MultiheadAttention: query of shape {query.shape}, key of {key.shape} and value "
                f"of {value.shape}; the query, and the others, must be {layout}, or without N"
            )
        features = (query.shape[-1], key.shape[-1], value.shape[-1])
        if features != (self.embed_dim, self.kdim, self.vdim):
            raise ValueError(
                f"MultiheadAttention: was expecting embedding dimensions of "
                f"{(self.embed_dim, self.kdim, self.vdim)} of query, key and value, but got "
                f"{features}"
            )

    def _projected(self, *inputs: Tensor) -> Sequence[Tensor]:
        """Queries, keys and values; in one product where all inputs are the same."""
        weight, bias = self.in_proj_weight, self.in_proj_bias
        if weight is not None and inputs[0] is inputs[1] is inputs[2]:
            return F.linear(inputs[0], weight, bias).chunk(3, -1)
        biases = [None] * 3 if bias is None else bias.chunk(3)
        if weight is None:
            weights = (self.q_proj_weight, self.k_proj_weight, self.v_proj_weight)
        else:
            weights = weight.chunk(3)
        return [F.linear(*args) for args in zip(inputs, weights, biases, strict=True)]

    def _with_row(self, x: Tensor, row: Tensor | None) -> Tensor:
        """Keys or values with the learnt one behind them."""
        if row is None:
            return x
        if x.ndim == 2:
            return cat([x, row[0]])
        axis = self._steps
        shape = [*x.shape]
        shape[axis] = 1
        return cat([x, row.broadcast_to(tuple(shape))], axis)

    def _heads(self, x: Tensor) -> Tensor:
        """A projection of any of the three layouts as (N, num_heads, length, features)."""
        x = x.reshape((*x.shape[:-1], self.num_heads, self.head_dim))
        if x.ndim == 3:
            x = x.unsqueeze(0)
        elif not self.batch_first:
            x = x.swapaxes(0, 1)
        return x.swapaxes(1, 2)


def _with_zeros(x: Tensor) -> Tensor:
    """Keys or values (N, H, S, D) with one of zeros behind them."""
    return cat([x, full((*x.shape[:2], 1, x.shape[3]), 0, dtype=x.dtype, device=x.device)], 2)


def _masks(
    q: Tensor, k: Tensor, attn_mask: Tensor | None, padding: Tensor | None, extra: int
) -> list[Tensor]:
    """The masks that are given, in shapes that broadcast over the scores (N, H, L, S)."""
    n, heads, queries, _ = q.shape
    keys = k.shape[2] - extra
    masks = []
    if attn_mask is not None:
        attn_mask = _mask(attn_mask, q)
        _check_mask("attn_mask", attn_mask, (queries, keys), (n * heads, queries, keys))
        attn_mask = _seen(attn_mask, extra)
        if attn_mask.ndim == 3:
            attn_mask = attn_mask.reshape((n, heads, queries, keys + extra))
        masks.append(attn_mask)
    if padding is not None:
        padding = _mask(padding, q)
        _check_mask("key_padding_mask", padding, (n, keys), *[(keys,)] * (n == 1))
        masks.append(_seen(padding, extra).reshape((n, 1, 1, keys + extra)))
    return masks


def _mask(mask: Any, q: Tensor) -> Tensor:
    return mask if isinstance(mask, Tensor) else as_tensor(mask, device=q.device)


def _seen(mask: Tensor, extra: int) -> Tensor:
    """A mask that leaves `extra` keys behind the others visible."""
    if not extra:
        return mask
    zeros = full((*mask.shape[:-1], extra), 0, dtype=mask.dtype, device=mask.device)
    return cat([mask, zeros], -1)


def _check_mask(name: str, mask: Tensor, *shapes: tuple[int, ...]) -> None:
    if mask.dtype != np.bool_ and not is_float(mask.array):
        raise TypeError(
            f"MultiheadAttention: {name} of dtype {mask.dtype}; only bool masks, where True leaves "
            f"out, and floats, which are added, are supported: write {name}.bool(), or its "
            "opposite where 1 takes part"
        )
    if tuple(mask.shape) not in shapes:
        wanted = " or ".join(map(str, shapes))
        raise ValueError(f"MultiheadAttention: {name} of shape {mask.shape}; it must be {wanted}")


def _joined(masks: list[Tensor]) -> Tensor | None:
    """All masks as one in the sense of `scaled_dot_product_attention`: True takes part."""
    hidden = [mask for mask in masks if mask.dtype == np.bool_]
    added = [mask for mask in masks if mask.dtype != np.bool_]
    blocked = functools.reduce(operator.or_, hidden) if hidden else None
    if not added:
        return None if blocked is None else ~blocked
    bias = functools.reduce(operator.add, added)
    return bias if blocked is None else where(blocked, -math.inf, bias)
