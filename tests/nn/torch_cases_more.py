"""More layers that are compared with torch: those whose inputs need a word of explanation."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch_cases import EVAL, Case, causal, padding

LENGTHS = [3, 6, 1, 4]
SORTED = sorted(LENGTHS, reverse=True)


def packed(
    lengths: list[int] = LENGTHS, batch_first: bool = False, enforce_sorted: bool = False
) -> Callable[..., Any]:
    """Call a recurrent layer with a packed batch, and pad what it returns."""

    def run(nn: Any, layer: Any, x: Any, *state: Any) -> Any:
        rnn = nn.utils.rnn
        sequence = rnn.pack_padded_sequence(x, lengths, batch_first, enforce_sorted)
        extra = [tuple(state) if len(state) > 1 else state[0]] if state else []
        output, final = layer(sequence, *extra)
        padded, found = rnn.pad_packed_sequence(output, batch_first, padding_value=0.5)
        assert found.tolist() == list(lengths)
        return padded, final

    return run


def in_turn(nn: Any, cell: Any, x: Any, *state: Any) -> Any:
    """Let a cell read a sequence."""
    state = state[0] if len(state) == 1 else tuple(state)
    for t in range(x.shape[0]):
        state = cell(x[t], state)
    return state


def twice(nn: Any, module: Any, x: Any) -> Any:
    """In training, and then in evaluation."""
    first = module(x)
    module.eval()
    return first, module(x)


def frozen_statistics(nn: Any) -> Any:
    """A batch norm whose statistics are left alone from now on."""
    layer = nn.BatchNorm2d(3)
    layer.track_running_stats = False
    return layer


def pooled_back(size: int) -> Callable[..., Any]:
    """Max pooling with its places, and back."""

    def run(nn: Any, module: Any, x: Any) -> Any:
        unpool = getattr(nn, f"MaxUnpool{size}d")(2, 2)
        y, places = module(x)
        return unpool(y, places, output_size=x.shape)

    return run


X4 = [(2, 4, 6, 5)]
LAYERS = [
    ("conv1d, unbatched", lambda nn: nn.Conv1d(4, 6, 3), [(4, 9)]),
    (
        "conv transpose 3d",
        lambda nn: nn.ConvTranspose3d(2, 3, 2, stride=(1, 2, 1), output_padding=(0, 1, 0)),
        [(1, 2, 2, 3, 3)],
    ),
    ("max pool 2d, ceil", lambda nn: nn.MaxPool2d(2, ceil_mode=True), [(2, 3, 5, 7)]),
    ("max pool 3d", lambda nn: nn.MaxPool3d(2, stride=1), [(1, 2, 3, 4, 3)]),
    ("avg pool 2d, divisor", lambda nn: nn.AvgPool2d(2, divisor_override=3), X4),
    ("avg pool 3d", lambda nn: nn.AvgPool3d(2), [(1, 2, 4, 4, 2)]),
    ("lp pool 1d", lambda nn: nn.LPPool1d(2, 3, 2), [(2, 3, 7)]),
    ("lp pool 2d", lambda nn: nn.LPPool2d(2, 2), X4),
    ("adaptive avg pool 3d", lambda nn: nn.AdaptiveAvgPool3d((2, None, 1)), [(1, 2, 3, 4, 3)]),
    ("adaptive max pool 3d", lambda nn: nn.AdaptiveMaxPool3d(2), [(1, 2, 4, 4, 4)]),
    ("upsample", lambda nn: nn.Upsample(scale_factor=2), X4),
    ("upsample, bicubic", lambda nn: nn.Upsample((9, 8), mode="bicubic"), X4),
    ("upsampling, bilinear", lambda nn: nn.UpsamplingBilinear2d(scale_factor=2), X4),
    ("softmax 2d", lambda nn: nn.Softmax2d(), X4),
    ("batch norm, no shift", lambda nn: nn.BatchNorm2d(4, bias=False), X4),
    ("group norm, no shift", lambda nn: nn.GroupNorm(2, 4, bias=False), X4),
    ("instance norm 3d, unbatched", lambda nn: nn.InstanceNorm3d(2, affine=True), [(2, 3, 2, 2)]),
]

CASES = [
    *[Case(name, build, shapes) for name, build, shapes in LAYERS],
    Case(
        "conv transpose, output size",
        lambda nn: nn.ConvTranspose2d(3, 2, 3, stride=2, padding=1),
        [(1, 3, 3, 4)],
        run=lambda nn, layer, x: layer(x, output_size=[6, 7]),
    ),
    *[
        Case(
            f"max unpool {n}d",
            lambda nn, n=n: getattr(nn, f"MaxPool{n}d")(2, 2, return_indices=True),
            [(2, 3, *(5, 4, 6)[:n])],
            run=pooled_back(n),
        )
        for n in (1, 2, 3)
    ],
    Case("batch norm, statistics frozen later", frozen_statistics, [(4, 3, 2, 2)], run=twice),
    # one step at a time
    Case(
        "rnn cell",
        lambda nn: nn.RNNCell(4, 5, nonlinearity="relu"),
        [(6, 3, 4), (3, 5)],
        run=in_turn,
    ),
    Case("lstm cell", lambda nn: nn.LSTMCell(4, 5), [(6, 3, 4), (3, 5), (3, 5)], run=in_turn),
    Case("gru cell", lambda nn: nn.GRUCell(4, 5), [(6, 3, 4), (3, 5)], run=in_turn),
    Case(
        "gru cell, one sequence",
        lambda nn: nn.GRUCell(4, 5, bias=False),
        [(6, 4), (5,)],
        run=in_turn,
    ),
    # packed
    Case("rnn, packed", lambda nn: nn.RNN(3, 5, 2, "relu"), [(6, 4, 3)], run=packed()),
    Case(
        "lstm, packed",
        lambda nn: nn.LSTM(3, 5, 2, bidirectional=True),
        [(6, 4, 3)],
        state=[(4, 4, 5), (4, 4, 5)],
        run=packed(),
    ),
    Case(
        "lstm, packed and sorted",
        lambda nn: nn.LSTM(3, 5, batch_first=True, bias=False),
        [(4, 6, 3)],
        run=packed(SORTED, True, True),
    ),
    Case(
        "gru, packed",
        lambda nn: nn.GRU(3, 5, 2, batch_first=True, bidirectional=True),
        [(4, 6, 3)],
        state=[(4, 4, 5)],
        run=packed([6, 2, 2, 5], batch_first=True),
    ),
    # projected
    Case(
        "lstm, projected",
        lambda nn: nn.LSTM(3, 5, 2, proj_size=2, bidirectional=True),
        [(4, 3, 3)],
        state=[(4, 3, 2), (4, 3, 5)],
    ),
    Case(
        "lstm, projected and packed",
        lambda nn: nn.LSTM(3, 5, proj_size=2),
        [(6, 4, 3)],
        run=packed(),
    ),
    # attention
    Case(
        "attention, other features",
        lambda nn: nn.MultiheadAttention(8, 2, kdim=3, vdim=5, add_bias_kv=True),
        [(4, 3, 8), (5, 3, 3), (5, 3, 5)],
        arguments=dict(key_padding_mask=padding(5, 3, 4, longest=5)),
    ),
    Case(
        "attention, zeros beside",
        lambda nn: nn.MultiheadAttention(8, 2, add_zero_attn=True, batch_first=True),
        [(3, 4, 8), (3, 4, 8), (3, 4, 8)],
        arguments=dict(attn_mask=causal(4)),
    ),
    Case(
        "decoder layer",
        lambda nn: nn.TransformerDecoderLayer(8, 2, 12, dropout=0.0),
        [(4, 3, 8), (5, 3, 8)],
        arguments=dict(tgt_mask=causal(4), memory_key_padding_mask=padding(5, 3, 4, longest=5)),
    ),
    Case(
        "decoder, norm first",
        lambda nn: nn.TransformerDecoder(
            nn.TransformerDecoderLayer(
                8,
                2,
                12,
                dropout=0.0,
                activation="gelu",
                batch_first=True,
                norm_first=True,
                bias=False,
            ),
            2,
            nn.LayerNorm(8),
        ),
        [(3, 4, 8), (3, 5, 8)],
        arguments=dict(tgt_mask=causal(4), tgt_is_causal=True),
    ),
    Case(
        "transformer",
        lambda nn: nn.Transformer(8, 2, 1, 2, 12, dropout=0.0, batch_first=True),
        [(3, 5, 8), (3, 4, 8)],
        run=lambda nn, model, src, tgt: model(
            src,
            tgt,
            tgt_mask=nn.Transformer.generate_square_subsequent_mask(4, src.device, src.dtype),
        ),
    ),
    # parametrized
    Case(
        "weight norm",
        lambda nn: nn.utils.parametrizations.weight_norm(nn.Conv1d(3, 4, 2)),
        [(2, 3, 5)],
    ),
    Case(
        "weight norm, one length",
        lambda nn: nn.utils.parametrizations.weight_norm(nn.Linear(3, 4), dim=None),
        [(2, 3)],
    ),
    Case(
        "spectral norm",
        lambda nn: nn.utils.parametrizations.spectral_norm(nn.Linear(3, 4)),
        [(2, 3)],
    ),
    Case(
        "spectral norm, evaluation",
        lambda nn: nn.utils.parametrizations.spectral_norm(nn.ConvTranspose1d(3, 4, 2)),
        [(2, 3, 5)],
        **EVAL,
    ),
    Case(
        "spectral norm by hooks",
        lambda nn: nn.utils.spectral_norm(nn.Linear(3, 4), n_power_iterations=2),
        [(2, 3)],
    ),
]
