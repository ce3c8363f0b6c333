"""Multi-head attention, and the encoder of the transformer."""

from __future__ import annotations

import copy
import functools
import math
import operator
from collections.abc import Callable, Sequence

import numpy as np

from tensorlite.nn import functional as F
from tensorlite.nn import init
from tensorlite.nn.containers import ModuleList
from tensorlite.nn.dropout import Dropout
from tensorlite.nn.linear import Linear
from tensorlite.nn.module import Module
from tensorlite.nn.norm import LayerNorm
from tensorlite.nn.parameter import empty
from tensorlite.ops.attention import attention_weights
from tensorlite.ops.compare import where
from tensorlite.tensor import Tensor


class MultiheadAttention(Module):
    """Attention of `num_heads` heads to parts of the features [1]_.

    Parameters
    ----------
    embed_dim : int
        Features of queries, keys and values.
    num_heads : int
        Heads; each sees embed_dim / num_heads features.
    dropout : float
        Probability of zeroing an attention weight in training.
    bias : bool
        Whether the projections have biases.
    batch_first : bool
        Whether the batch is the first axis (N, L, E), not the second (L, N, E).

    Attributes
    ----------
    in_proj_weight : Parameter, shape (3 · embed_dim, embed_dim)
        Projections of queries, keys and values; drawn by `init.xavier_uniform_`.
    in_proj_bias : Parameter, shape (3 · embed_dim,), or None
        Zeros.
    out_proj : Linear
        Projection of the heads' joined outputs; its bias starts as zeros.

    References
    ----------
    .. [1] Vaswani et al., "Attention is all you need", NeurIPS 2017.
    """

    def __init__(
        self,
        embed_dim: int,
        num_heads: int,
        dropout: float = 0.0,
        bias: bool = True,
        *,
        batch_first: bool = False,
    ) -> None:
        if embed_dim % num_heads:
            raise ValueError(
                f"MultiheadAttention: embed_dim = {embed_dim} is not divisible by {num_heads} heads"
            )
        self.embed_dim = embed_dim
        self.num_heads = num_heads
        self.dropout = dropout
        self.batch_first = batch_first
        self.in_proj_weight = empty(3 * embed_dim, embed_dim)
        self.in_proj_bias = empty(3 * embed_dim) if bias else None
        self.out_proj = Linear(embed_dim, embed_dim, bias)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the initial values anew."""
        init.xavier_uniform_(self.in_proj_weight)
        self.out_proj.reset_parameters()
        if self.in_proj_bias is not None:
            init.zeros_(self.in_proj_bias)
            init.zeros_(self.out_proj.bias)

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
            Keep each query from later keys; no `attn_mask` is needed for it.

        Returns
        -------
        output : Tensor, shape of `query`
        weights : Tensor, shape (N, L, S) or (N, num_heads, L, S), or None
            Without N where `query` has none.
        """
        self._check_inputs(query, key, value)
        batched = query.ndim == 3
        q, k, v = map(self._heads, self._projected(query, key, value))  # (N, H, L or S, D)
        mask = _joined(_masks(q, k, attn_mask, key_padding_mask))
        dropout = self.dropout if self.training else 0.0
        weights = None
        if need_weights:
            weights = attention_weights(q, k, mask, is_causal, 1 / math.sqrt(q.shape[-1]))
            weights = F.dropout(weights, dropout)
            out = weights @ v
            weights = weights.mean(axis=1) if average_attn_weights else weights
            weights = weights if batched else weights[0]
        else:
            out = F.scaled_dot_product_attention(q, k, v, mask, dropout, is_causal)
        out = out.swapaxes(1, 2)  # (N, L, H, D)
        if batched and not self.batch_first:
            out = out.swapaxes(0, 1)
        return self.out_proj(out.reshape(query.shape)), weights

    def _check_inputs(self, query: Tensor, key: Tensor, value: Tensor) -> None:
        batch = 0 if self.batch_first else 1
        if (
            query.ndim not in (2, 3)
            or query.ndim != key.ndim
            or key.shape != value.shape
            or (query.ndim == 3 and query.shape[batch] != key.shape[batch])
        ):
            layout = "(N, L, E) and (N, S, E)" if self.batch_first else "(L, N, E) and (S, N, E)"
            raise ValueError(
                f"MultiheadAttention: query of shape {query.shape}, key of {key.shape} and value "
                f"of {value.shape}; the query, and the others, must be {layout}, or without N"
            )

    def _projected(self, *inputs: Tensor) -> Sequence[Tensor]:
        """Queries, keys and values; in one product where all inputs are the same."""
        weight, bias = self.in_proj_weight, self.in_proj_bias
        if inputs[0] is inputs[1] is inputs[2]:
            return F.linear(inputs[0], weight, bias).chunk(3, axis=-1)
        biases = [None] * 3 if bias is None else bias.chunk(3)
        return [F.linear(*args) for args in zip(inputs, weight.chunk(3), biases, strict=True)]

    def _heads(self, x: Tensor) -> Tensor:
        """A projection of any of the three layouts as (N, num_heads, length, features)."""
        x = x.reshape(*x.shape[:-1], self.num_heads, self.embed_dim // self.num_heads)
        if x.ndim == 3:
            x = x.unsqueeze(0)
        elif not self.batch_first:
            x = x.swapaxes(0, 1)
        return x.swapaxes(1, 2)


def _masks(q: Tensor, k: Tensor, attn_mask: Tensor | None, padding: Tensor | None) -> list[Tensor]:
    """The masks that are given, in shapes that broadcast over the scores (N, H, L, S)."""
    n, heads, queries, _ = q.shape
    keys = k.shape[2]
    masks = []
    if attn_mask is not None:
        _check_mask("attn_mask", attn_mask, (queries, keys), (n * heads, queries, keys))
        each = attn_mask.ndim == 3
        masks.append(attn_mask.reshape(n, heads, queries, keys) if each else attn_mask)
    if padding is not None:
        _check_mask("key_padding_mask", padding, (n, keys), *[(keys,)] * (n == 1))
        masks.append(padding.reshape(n, 1, 1, keys))
    return masks


def _check_mask(name: str, mask: Tensor, *shapes: tuple[int, ...]) -> None:
    if mask.shape not in shapes:
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


class TransformerEncoderLayer(Module):
    """Self-attention and two linear layers, each with dropout, a residual path and a norm.

    Parameters
    ----------
    d_model : int
        Features of each position.
    nhead : int
        Heads of the attention.
    dim_feedforward : int
        Features between the two linear layers.
    dropout : float
        Probability of zeroing, in four places.
    activation : {"relu", "gelu"} or callable
        What is between the two linear layers.
    layer_norm_eps : float
        Added to the variance in the norms.
    batch_first : bool
        Whether the batch is the first axis (N, L, E), not the second (L, N, E).
    norm_first : bool
        Whether the norms come before the attention and the linear layers, not after the sums.
    bias : bool
        Whether the linear layers and norms have biases.
    """

    def __init__(
        self,
        d_model: int,
        nhead: int,
        dim_feedforward: int = 2048,
        dropout: float = 0.1,
        activation: str | Callable[[Tensor], Tensor] = "relu",
        layer_norm_eps: float = 1e-5,
        batch_first: bool = False,
        norm_first: bool = False,
        bias: bool = True,
    ) -> None:
        named = {"relu": F.relu, "gelu": F.gelu}
        if isinstance(activation, str) and activation not in named:
            raise ValueError(
                f"TransformerEncoderLayer: activation {activation!r} is not 'relu', 'gelu' or a "
                "function"
            )
        self.self_attn = MultiheadAttention(d_model, nhead, dropout, bias, batch_first=batch_first)
        self.linear1 = Linear(d_model, dim_feedforward, bias)
        self.dropout = Dropout(dropout)
        self.linear2 = Linear(dim_feedforward, d_model, bias)
        self.norm1 = LayerNorm(d_model, layer_norm_eps, bias=bias)
        self.norm2 = LayerNorm(d_model, layer_norm_eps, bias=bias)
        self.dropout1 = Dropout(dropout)
        self.dropout2 = Dropout(dropout)
        self.norm_first = norm_first
        self.activation = named[activation] if isinstance(activation, str) else activation

    def forward(
        self,
        src: Tensor,
        src_mask: Tensor | None = None,
        src_key_padding_mask: Tensor | None = None,
        is_causal: bool = False,
    ) -> Tensor:
        """Return a Tensor of the shape of `src`; the masks are `MultiheadAttention`'s."""
        masks = (src_mask, src_key_padding_mask, is_causal)
        if self.norm_first:
            src = src + self._attend(self.norm1(src), *masks)
            return src + self._feed_forward(self.norm2(src))
        src = self.norm1(src + self._attend(src, *masks))
        return self.norm2(src + self._feed_forward(src))

    def _attend(
        self, x: Tensor, mask: Tensor | None, padding: Tensor | None, is_causal: bool
    ) -> Tensor:
        out, _ = self.self_attn(
            x,
            x,
            x,
            attn_mask=mask,
            key_padding_mask=padding,
            need_weights=False,
            is_causal=is_causal,
        )
        return self.dropout1(out)

    def _feed_forward(self, x: Tensor) -> Tensor:
        return self.dropout2(self.linear2(self.dropout(self.activation(self.linear1(x)))))


class TransformerEncoder(Module):
    """A stack of encoder layers.

    Parameters
    ----------
    encoder_layer : TransformerEncoderLayer
        Copied for each layer of the stack, initial values included.
    num_layers : int
        How many layers.
    norm : Module, optional
        Applied to the result.
    """

    def __init__(self, encoder_layer: Module, num_layers: int, norm: Module | None = None) -> None:
        self.layers = ModuleList(copy.deepcopy(encoder_layer) for _ in range(num_layers))
        self.num_layers = num_layers
        self.norm = norm

    def forward(
        self,
        src: Tensor,
        mask: Tensor | None = None,
        src_key_padding_mask: Tensor | None = None,
        is_causal: bool = False,
    ) -> Tensor:
        """Return a Tensor of the shape of `src`; the masks are `MultiheadAttention`'s."""
        for layer in self.layers:
            src = layer(src, mask, src_key_padding_mask, is_causal)
        return src if self.norm is None else self.norm(src)
