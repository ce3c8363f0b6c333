"""The transformer: its encoder, its decoder, and both together."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from typing import Any

from tensorlite.nn import functional as F
from tensorlite.nn import init
from tensorlite.nn.attention import MultiheadAttention
from tensorlite.nn.containers import ModuleList
from tensorlite.nn.dropout import Dropout
from tensorlite.nn.linear import Linear
from tensorlite.nn.module import Module
from tensorlite.nn.norm import LayerNorm
from tensorlite.nn.parameter import float_dtype
from tensorlite.ops.creation import full
from tensorlite.ops.diagonals import triu
from tensorlite.tensor import Tensor

Activation = str | Callable[[Tensor], Tensor]


def _activation(owner: str, activation: Activation) -> Callable[[Tensor], Tensor]:
    named: dict[str, Callable] = {"relu": F.relu, "gelu": F.gelu}
    if not isinstance(activation, str):
        return activation
    if activation not in named:
        raise RuntimeError(
            f"{owner}: activation should be relu/gelu or a function, not {activation!r}"
        )
    return named[activation]


class _Layer(Module):
    """What the layers of encoder and decoder share."""

    def _attend(self, attention: MultiheadAttention, x: Tensor, memory: Tensor, *masks: Any) -> Any:
        mask, padding, is_causal = masks
        return attention(
            x,
            memory,
            memory,
            attn_mask=mask,
            key_padding_mask=padding,
            is_causal=is_causal,
            need_weights=False,
        )[0]

    def _feed_forward(self, x: Tensor) -> Tensor:
        return self.linear2(self.dropout(self.activation(self.linear1(x))))


class TransformerEncoderLayer(_Layer):
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
    device, dtype
        Of the parameters.

    Raises
    ------
    RuntimeError
        If there is no such `activation`.

    Examples
    --------
    >>> nn.TransformerEncoderLayer(8, 2, 16)(tl.zeros(5, 3, 8)).shape
    (5, 3, 8)
    """

    def __init__(
        self,
        d_model: int,
        nhead: int,
        dim_feedforward: int = 2048,
        dropout: float = 0.1,
        activation: Activation = F.relu,
        layer_norm_eps: float = 1e-5,
        batch_first: bool = False,
        norm_first: bool = False,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        kind = {"device": device, "dtype": dtype}
        self.self_attn = MultiheadAttention(
            d_model, nhead, dropout, bias, batch_first=batch_first, **kind
        )
        self.linear1 = Linear(d_model, dim_feedforward, bias, **kind)
        self.dropout = Dropout(dropout)
        self.linear2 = Linear(dim_feedforward, d_model, bias, **kind)
        self.norm_first = norm_first
        self.norm1 = LayerNorm(d_model, layer_norm_eps, bias=bias, **kind)
        self.norm2 = LayerNorm(d_model, layer_norm_eps, bias=bias, **kind)
        self.dropout1 = Dropout(dropout)
        self.dropout2 = Dropout(dropout)
        self.activation = _activation("TransformerEncoderLayer", activation)

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
            src = src + self._sa_block(self.norm1(src), *masks)
            return src + self._ff_block(self.norm2(src))
        src = self.norm1(src + self._sa_block(src, *masks))
        return self.norm2(src + self._ff_block(src))

    def _sa_block(self, x: Tensor, *masks: Any) -> Tensor:
        return self.dropout1(self._attend(self.self_attn, x, x, *masks))

    def _ff_block(self, x: Tensor) -> Tensor:
        return self.dropout2(self._feed_forward(x))


class TransformerDecoderLayer(_Layer):
    """Self-attention, attention to the encoder's output, and two linear layers.

    Parameters are `TransformerEncoderLayer`'s.

    Targets (T, N, E) and the encoder's output (S, N, E); the output has the shape of the targets.

    Parameters
    ----------
    d_model, nhead, dim_feedforward, dropout
        As of `TransformerEncoderLayer`.
    activation, layer_norm_eps, batch_first, norm_first, bias
        As of `TransformerEncoderLayer`.

    Raises
    ------
    RuntimeError
        If there is no such `activation`.

    Examples
    --------
    >>> nn.TransformerDecoderLayer(8, 2, 16)(tl.zeros(4, 3, 8), tl.zeros(5, 3, 8)).shape
    (4, 3, 8)
    """

    def __init__(
        self,
        d_model: int,
        nhead: int,
        dim_feedforward: int = 2048,
        dropout: float = 0.1,
        activation: Activation = F.relu,
        layer_norm_eps: float = 1e-5,
        batch_first: bool = False,
        norm_first: bool = False,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        kind = {"device": device, "dtype": dtype}
        heads = {"batch_first": batch_first, **kind}
        self.self_attn = MultiheadAttention(d_model, nhead, dropout, bias, **heads)
        self.multihead_attn = MultiheadAttention(d_model, nhead, dropout, bias, **heads)
        self.linear1 = Linear(d_model, dim_feedforward, bias, **kind)
        self.dropout = Dropout(dropout)
        self.linear2 = Linear(dim_feedforward, d_model, bias, **kind)
        self.norm_first = norm_first
        self.norm1 = LayerNorm(d_model, layer_norm_eps, bias=bias, **kind)
        self.norm2 = LayerNorm(d_model, layer_norm_eps, bias=bias, **kind)
        self.norm3 = LayerNorm(d_model, layer_norm_eps, bias=bias, **kind)
        self.dropout1 = Dropout(dropout)
        self.dropout2 = Dropout(dropout)
        self.dropout3 = Dropout(dropout)
        self.activation = _activation("TransformerDecoderLayer", activation)

    def forward(
        self,
        tgt: Tensor,
        memory: Tensor,
        tgt_mask: Tensor | None = None,
        memory_mask: Tensor | None = None,
        tgt_key_padding_mask: Tensor | None = None,
        memory_key_padding_mask: Tensor | None = None,
        tgt_is_causal: bool = False,
        memory_is_causal: bool = False,
    ) -> Tensor:
        """Return a Tensor of the shape of `tgt`; the masks are `MultiheadAttention`'s."""
        own = (tgt_mask, tgt_key_padding_mask, tgt_is_causal)
        others = (memory_mask, memory_key_padding_mask, memory_is_causal)
        x = tgt
        if self.norm_first:
            x = x + self._sa_block(self.norm1(x), *own)
            x = x + self._mha_block(self.norm2(x), memory, *others)
            return x + self._ff_block(self.norm3(x))
        x = self.norm1(x + self._sa_block(x, *own))
        x = self.norm2(x + self._mha_block(x, memory, *others))
        return self.norm3(x + self._ff_block(x))

    def _sa_block(self, x: Tensor, *masks: Any) -> Tensor:
        return self.dropout1(self._attend(self.self_attn, x, x, *masks))

    def _mha_block(self, x: Tensor, memory: Tensor, *masks: Any) -> Tensor:
        return self.dropout2(self._attend(self.multihead_attn, x, memory, *masks))

    def _ff_block(self, x: Tensor) -> Tensor:
        return self.dropout3(self._feed_forward(x))


def _copies(layer: Module, n: int) -> ModuleList:
    return ModuleList([copy.deepcopy(layer) for _ in range(n)])


class TransformerEncoder(Module):
    """A stack of encoder layers.

    Input and output (L, N, E), or (N, L, E) with `batch_first` of the layer.

    Parameters
    ----------
    encoder_layer : TransformerEncoderLayer
        Copied for each layer of the stack, initial values included.
    num_layers : int
        How many layers.
    norm : Module, optional
        Applied to the result.
    enable_nested_tensor, mask_check : bool
        Taken as in torch, and without effect.

    Examples
    --------
    >>> encoder = nn.TransformerEncoder(nn.TransformerEncoderLayer(8, 2, 16), 2)
    >>> encoder(tl.zeros(5, 3, 8)).shape
    (5, 3, 8)
    """

    def __init__(
        self,
        encoder_layer: Module,
        num_layers: int,
        norm: Module | None = None,
        enable_nested_tensor: bool = True,
        mask_check: bool = True,
    ) -> None:
        super().__init__()
        self.layers = _copies(encoder_layer, num_layers)
        self.num_layers = num_layers
        self.norm = norm
        self.enable_nested_tensor = enable_nested_tensor
        self.mask_check = mask_check

    def forward(
        self,
        src: Tensor,
        mask: Tensor | None = None,
        src_key_padding_mask: Tensor | None = None,
        is_causal: bool | None = None,
    ) -> Tensor:
        """Return a Tensor of the shape of `src`; the masks are `MultiheadAttention`'s."""
        for layer in self.layers:
            src = layer(
                src,
                src_mask=mask,
                src_key_padding_mask=src_key_padding_mask,
                is_causal=bool(is_causal),
            )
        return src if self.norm is None else self.norm(src)


class TransformerDecoder(Module):
    """A stack of decoder layers.

    Targets (T, N, E) and the encoder's output (S, N, E); the output has the shape of the targets.

    Parameters
    ----------
    decoder_layer : TransformerDecoderLayer
        Copied for each layer of the stack, initial values included.
    num_layers : int
        How many layers.
    norm : Module, optional
        Applied to the result.

    Examples
    --------
    >>> decoder = nn.TransformerDecoder(nn.TransformerDecoderLayer(8, 2, 16), 2)
    >>> decoder(tl.zeros(4, 3, 8), tl.zeros(5, 3, 8)).shape
    (4, 3, 8)
    """

    def __init__(self, decoder_layer: Module, num_layers: int, norm: Module | None = None) -> None:
        super().__init__()
        self.layers = _copies(decoder_layer, num_layers)
        self.num_layers = num_layers
        self.norm = norm

    def forward(
        self,
        tgt: Tensor,
        memory: Tensor,
        tgt_mask: Tensor | None = None,
        memory_mask: Tensor | None = None,
        tgt_key_padding_mask: Tensor | None = None,
        memory_key_padding_mask: Tensor | None = None,
        tgt_is_causal: bool | None = None,
        memory_is_causal: bool = False,
    ) -> Tensor:
        """Return a Tensor of the shape of `tgt`; the masks are `MultiheadAttention`'s."""
        x = tgt
        for layer in self.layers:
            x = layer(
                x,
                memory,
                tgt_mask=tgt_mask,
                memory_mask=memory_mask,
                tgt_key_padding_mask=tgt_key_padding_mask,
                memory_key_padding_mask=memory_key_padding_mask,
                tgt_is_causal=bool(tgt_is_causal),
                memory_is_causal=memory_is_causal,
            )
        return x if self.norm is None else self.norm(x)


class Transformer(Module):
    """An encoder and a decoder [1]_; all matrices are drawn by `init.xavier_uniform_`.

    Sources (S, N, E) and targets (T, N, E), or (N, S, E) and (N, T, E) with `batch_first`; the
    output has the shape of the targets.

    Parameters
    ----------
    d_model, nhead : int
        Features of each position, and heads.
    num_encoder_layers, num_decoder_layers : int
        Layers of both stacks.
    dim_feedforward, dropout, activation
        As in `TransformerEncoderLayer`.
    custom_encoder, custom_decoder : Module, optional
        Instead of the stacks.
    layer_norm_eps, batch_first, norm_first, bias, device, dtype
        As in `TransformerEncoderLayer`.

    Raises
    ------
    RuntimeError
        If batches differ, or features are not `d_model`.

    References
    ----------
    .. [1] Vaswani et al., "Attention is all you need", NeurIPS 2017.

    Examples
    --------
    >>> model = nn.Transformer(8, 2, 1, 1, 16, batch_first=True)
    >>> model(tl.zeros(3, 5, 8), tl.zeros(3, 4, 8)).shape
    (3, 4, 8)
    """

    def __init__(
        self,
        d_model: int = 512,
        nhead: int = 8,
        num_encoder_layers: int = 6,
        num_decoder_layers: int = 6,
        dim_feedforward: int = 2048,
        dropout: float = 0.1,
        activation: Activation = F.relu,
        custom_encoder: Module | None = None,
        custom_decoder: Module | None = None,
        layer_norm_eps: float = 1e-5,
        batch_first: bool = False,
        norm_first: bool = False,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        options: tuple = (d_model, nhead, dim_feedforward, dropout, activation)
        options += (layer_norm_eps, batch_first, norm_first, bias, device, dtype)
        norm: dict[str, Any] = {
            "eps": layer_norm_eps,
            "bias": bias,
            "device": device,
            "dtype": dtype,
        }
        if custom_encoder is None:
            custom_encoder = TransformerEncoder(
                TransformerEncoderLayer(*options), num_encoder_layers, LayerNorm(d_model, **norm)
            )
        if custom_decoder is None:
            custom_decoder = TransformerDecoder(
                TransformerDecoderLayer(*options), num_decoder_layers, LayerNorm(d_model, **norm)
            )
        self.encoder = custom_encoder
        self.decoder = custom_decoder
        self._reset_parameters()
        self.d_model = d_model
        self.nhead = nhead
        self.batch_first = batch_first

    def _reset_parameters(self) -> None:
        """Draw all matrices anew."""
        for parameter in self.parameters():
            if parameter.ndim > 1:
                init.xavier_uniform_(parameter)

    def forward(
        self,
        src: Tensor,
        tgt: Tensor,
        src_mask: Tensor | None = None,
        tgt_mask: Tensor | None = None,
        memory_mask: Tensor | None = None,
        src_key_padding_mask: Tensor | None = None,
        tgt_key_padding_mask: Tensor | None = None,
        memory_key_padding_mask: Tensor | None = None,
        src_is_causal: bool | None = None,
        tgt_is_causal: bool | None = None,
        memory_is_causal: bool = False,
    ) -> Tensor:
        """Encode `src`, and decode `tgt` beside it; return a Tensor of the shape of `tgt`.

        Both are (L, N, d_model), with `batch_first` (N, L, d_model), or (L, d_model).
        """
        batch = 0 if self.batch_first else 1
        if src.ndim == tgt.ndim == 3 and src.shape[batch] != tgt.shape[batch]:
            raise RuntimeError(
                "Transformer: the batch number of src and tgt must be equal, not "
                f"{src.shape[batch]} and {tgt.shape[batch]}"
            )
        if src.shape[-1] != self.d_model or tgt.shape[-1] != self.d_model:
            raise RuntimeError(
                f"Transformer: the feature number of src and tgt must be equal to d_model = "
                f"{self.d_model}, not {src.shape[-1]} and {tgt.shape[-1]}"
            )
        memory = self.encoder(
            src, mask=src_mask, src_key_padding_mask=src_key_padding_mask, is_causal=src_is_causal
        )
        return self.decoder(
            tgt,
            memory,
            tgt_mask=tgt_mask,
            memory_mask=memory_mask,
            tgt_key_padding_mask=tgt_key_padding_mask,
            memory_key_padding_mask=memory_key_padding_mask,
            tgt_is_causal=tgt_is_causal,
            memory_is_causal=memory_is_causal,
        )

    @staticmethod
    def generate_square_subsequent_mask(sz: int, device: Any = None, dtype: Any = None) -> Tensor:
        """A mask (sz, sz) that keeps each position from later ones: 0, and −inf above.

        Parameters
        ----------
        sz : int

        Returns
        -------
        Tensor, shape (sz, sz)

        Examples
        --------
        >>> nn.Transformer.generate_square_subsequent_mask(2)
        tensor([[  0., -inf],
                [  0.,   0.]])
        """
        return triu(full((sz, sz), -math.inf, dtype=float_dtype(dtype), device=device), 1)
