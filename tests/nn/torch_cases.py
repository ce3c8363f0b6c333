"""Layers that are compared with torch: how each is built and what it is fed.

``build`` is given either namespace, `torch.nn` or `tensorlite.nn`, and must not see a difference.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np


@dataclass
class Case:
    """A layer, shapes of the inputs that are differentiated, and other arguments."""

    name: str
    build: Callable[[Any], Any]
    shapes: list[tuple[int, ...]]
    integers: dict[int, int] = field(default_factory=dict)  # input -> exclusive upper bound
    arguments: dict[str, np.ndarray | bool] = field(default_factory=dict)  # given by keyword
    state: list[tuple[int, ...]] = field(default_factory=list)  # shapes of (h, c), given as a tuple
    training: bool = True
    run: Callable[..., Any] | None = None  # instead of calling: of namespace, module and inputs

    def inputs(self, seed: int) -> list[np.ndarray]:
        """Random inputs, the state's parts last."""
        rng = np.random.default_rng(seed)
        return [
            rng.integers(0, self.integers[i], shape)
            if i in self.integers
            else np.round(rng.normal(size=shape) * 64).astype(np.float32) / 64
            for i, shape in enumerate([*self.shapes, *self.state])
        ]

    def call(
        self, nn: Any, module: Any, inputs: list[Any], convert: Callable[[Any], Any]
    ) -> list[Any]:
        """Outputs of `module`, nested tuples flattened, None left out."""
        if self.run is not None:
            return flat(self.run(nn, module, *inputs))
        n = len(self.shapes)
        state = inputs[n:]
        extra = [tuple(state) if len(state) > 1 else state[0]] if state else []
        arguments = {
            k: convert(v) if isinstance(v, np.ndarray) else v for k, v in self.arguments.items()
        }
        return flat(module(*inputs[:n], *extra, **arguments))


def flat(outputs: Any) -> list[Any]:
    """Nested tuples as one list, without None."""
    if isinstance(outputs, tuple):
        return [leaf for output in outputs for leaf in flat(output)]
    return [] if outputs is None else [outputs]


def padding(*lengths: int, longest: int) -> np.ndarray:
    """True behind the end of each sequence."""
    return np.arange(longest) >= np.array(lengths)[:, None]


def causal(n: int) -> np.ndarray:
    """True where a position would look ahead."""
    return np.triu(np.ones((n, n), bool), 1)


BIAS = np.random.default_rng(3).normal(size=(4, 5)).astype(np.float32)
EVAL = dict(training=False)

CASES = [
    Case("linear", lambda nn: nn.Linear(5, 4), [(2, 3, 5)]),
    Case("linear without bias", lambda nn: nn.Linear(5, 4, bias=False), [(3, 5)]),
    Case("conv1d", lambda nn: nn.Conv1d(4, 6, 3, padding=1, groups=2), [(2, 4, 9)]),
    Case("conv2d", lambda nn: nn.Conv2d(3, 4, 3, stride=2, padding=1), [(2, 3, 8, 7)]),
    Case(
        "conv2d dilated",
        lambda nn: nn.Conv2d(4, 4, (3, 2), padding="same", dilation=(2, 1), groups=2, bias=False),
        [(2, 4, 6, 5)],
    ),
    Case("conv3d", lambda nn: nn.Conv3d(2, 3, 2, stride=(1, 2, 1)), [(2, 2, 4, 5, 3)]),
    Case(
        "conv transpose 1d",
        lambda nn: nn.ConvTranspose1d(4, 3, 3, stride=2, padding=1),
        [(2, 4, 5)],
    ),
    Case(
        "conv transpose 2d",
        lambda nn: nn.ConvTranspose2d(
            4, 6, 3, stride=2, padding=1, output_padding=(1, 0), groups=2, dilation=(1, 2)
        ),
        [(2, 4, 4, 3)],
    ),
    Case("max pool 1d", lambda nn: nn.MaxPool1d(3, stride=2, padding=1), [(2, 3, 9)]),
    Case("max pool 2d", lambda nn: nn.MaxPool2d(2), [(2, 3, 6, 7)]),
    Case("avg pool 1d", lambda nn: nn.AvgPool1d(2), [(2, 3, 7)]),
    Case(
        "avg pool 2d",
        lambda nn: nn.AvgPool2d(3, 2, 1, count_include_pad=False),
        [(2, 3, 6, 7)],
    ),
    Case("adaptive avg pool 1d", lambda nn: nn.AdaptiveAvgPool1d(3), [(2, 3, 7)]),
    Case("adaptive avg pool 2d", lambda nn: nn.AdaptiveAvgPool2d((3, 2)), [(2, 3, 7, 5)]),
    Case("adaptive max pool 1d", lambda nn: nn.AdaptiveMaxPool1d(3), [(2, 3, 7)]),
    Case("adaptive max pool 2d", lambda nn: nn.AdaptiveMaxPool2d(2), [(2, 3, 7, 5)]),
    Case("batch norm 1d", lambda nn: nn.BatchNorm1d(4), [(6, 4)]),
    Case("batch norm 1d, sequences", lambda nn: nn.BatchNorm1d(4), [(3, 4, 5)]),
    Case("batch norm 2d", lambda nn: nn.BatchNorm2d(3), [(4, 3, 5, 4)]),
    Case("batch norm 2d, evaluation", lambda nn: nn.BatchNorm2d(3), [(4, 3, 5, 4)], **EVAL),
    Case(
        "batch norm 2d, plain average", lambda nn: nn.BatchNorm2d(3, momentum=None), [(4, 3, 2, 2)]
    ),
    Case(
        "batch norm 2d, bare",
        lambda nn: nn.BatchNorm2d(3, affine=False, track_running_stats=False),
        [(4, 3, 2, 2)],
        **EVAL,
    ),
    Case("batch norm 3d", lambda nn: nn.BatchNorm3d(2), [(3, 2, 2, 3, 2)]),
    Case("layer norm", lambda nn: nn.LayerNorm((3, 4)), [(2, 5, 3, 4)]),
    Case("layer norm without bias", lambda nn: nn.LayerNorm(4, bias=False), [(5, 4)]),
    Case("group norm", lambda nn: nn.GroupNorm(2, 6), [(2, 6, 3, 2)]),
    Case("instance norm 1d", lambda nn: nn.InstanceNorm1d(3), [(2, 3, 5)]),
    Case("instance norm 2d", lambda nn: nn.InstanceNorm2d(3, affine=True), [(2, 3, 4, 5)]),
    Case("rms norm", lambda nn: nn.RMSNorm(4), [(3, 5, 4)]),
    Case("embedding", lambda nn: nn.Embedding(6, 3), [(4, 5)], integers={0: 6}),
    Case(
        "embedding with padding",
        lambda nn: nn.Embedding(6, 3, padding_idx=2),
        [(4, 5)],
        integers={0: 6},
    ),
    Case("rnn", lambda nn: nn.RNN(4, 5), [(6, 3, 4)]),
    Case("rnn, relu", lambda nn: nn.RNN(4, 5, nonlinearity="relu", batch_first=True), [(3, 6, 4)]),
    Case("lstm", lambda nn: nn.LSTM(4, 5, num_layers=2, bidirectional=True), [(6, 3, 4)]),
    Case(
        "lstm with state",
        lambda nn: nn.LSTM(4, 5, 2, batch_first=True),
        [(3, 6, 4)],
        state=[(2, 3, 5), (2, 3, 5)],
    ),
    Case("lstm, one sequence", lambda nn: nn.LSTM(4, 5, bias=False), [(6, 4)]),
    Case("gru", lambda nn: nn.GRU(4, 5, num_layers=2, bidirectional=True), [(6, 3, 4)]),
    Case("gru with state", lambda nn: nn.GRU(4, 5), [(6, 3, 4)], state=[(1, 3, 5)]),
    Case(
        "attention",
        lambda nn: nn.MultiheadAttention(8, 2),
        [(4, 3, 8), (5, 3, 8), (5, 3, 8)],
        arguments=dict(attn_mask=BIAS),
    ),
    Case(
        "attention, batch first",
        lambda nn: nn.MultiheadAttention(8, 2, bias=False, batch_first=True),
        [(3, 4, 8), (3, 5, 8), (3, 5, 8)],
        arguments=dict(
            attn_mask=np.arange(5) > np.arange(4)[:, None] + 1,
            key_padding_mask=padding(5, 3, 4, longest=5),
            need_weights=False,
        ),
    ),
    Case(
        "attention, weights by head",
        lambda nn: nn.MultiheadAttention(8, 2),
        [(4, 8), (5, 8), (5, 8)],
        arguments=dict(average_attn_weights=False),
    ),
    Case(
        "encoder layer",
        lambda nn: nn.TransformerEncoderLayer(8, 2, 12, dropout=0.0),
        [(5, 3, 8)],
        arguments=dict(src_key_padding_mask=padding(5, 3, 4, longest=5)),
    ),
    Case(
        "encoder layer, norm first",
        lambda nn: nn.TransformerEncoderLayer(
            8, 2, 12, dropout=0.0, activation="gelu", batch_first=True, norm_first=True
        ),
        [(3, 5, 8)],
        arguments=dict(src_mask=causal(5), is_causal=True),
    ),
    Case(
        "encoder",
        lambda nn: nn.TransformerEncoder(
            nn.TransformerEncoderLayer(8, 2, 12, dropout=0.3, batch_first=True),
            2,
            norm=nn.LayerNorm(8),
        ),
        [(3, 5, 8)],
        arguments=dict(mask=causal(5)),
        **EVAL,
    ),
]
