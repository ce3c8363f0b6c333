"""Layers around functions of one line, compared with torch."""

from __future__ import annotations

from torch_cases import Case
from torch_cases_more import X4, twice

LAYERS = [
    ("bilinear", lambda nn: nn.Bilinear(3, 4, 2), [(5, 3), (5, 4)]),
    ("conv2d, reflect", lambda nn: nn.Conv2d(4, 3, 3, padding=2, padding_mode="reflect"), X4),
    (
        "conv2d, circular",
        lambda nn: nn.Conv2d(4, 3, 3, padding=(1, 2), padding_mode="circular", stride=2),
        X4,
    ),
    (
        "conv1d, replicate, same",
        lambda nn: nn.Conv1d(4, 3, 4, padding="same", padding_mode="replicate", dilation=2),
        [(2, 4, 9)],
    ),
    ("reflection pad", lambda nn: nn.ReflectionPad2d((1, 2, 0, 1)), X4),
    ("replication pad", lambda nn: nn.ReplicationPad1d(2), [(2, 3, 4)]),
    ("constant pad", lambda nn: nn.ConstantPad3d((1, 0, 2, 1, 0, 1), 3.5), [(1, 2, 3, 2, 2)]),
    ("zero pad", lambda nn: nn.ZeroPad2d((1, -1, 0, 2)), X4),
    ("circular pad", lambda nn: nn.CircularPad2d(1), X4),
    ("pixel shuffle", lambda nn: nn.PixelShuffle(2), X4),
    ("pixel unshuffle", lambda nn: nn.PixelUnshuffle(2), [(2, 3, 4, 6)]),
    ("channel shuffle", lambda nn: nn.ChannelShuffle(2), X4),
    ("unfold", lambda nn: nn.Unfold((2, 3), dilation=(1, 2), padding=1, stride=2), X4),
    ("fold", lambda nn: nn.Fold((5, 4), 2, padding=1, stride=2), [(2, 8, 9)]),
    ("cosine similarity", lambda nn: nn.CosineSimilarity(), [(3, 5), (3, 5)]),
    ("pairwise distance", lambda nn: nn.PairwiseDistance(3.0, keepdim=True), [(3, 5), (3, 5)]),
    ("prelu", lambda nn: nn.PReLU(4), X4),
    ("prelu, one weight", lambda nn: nn.PReLU(), X4),
    ("log sigmoid", lambda nn: nn.LogSigmoid(), [(5, 6)]),
    ("softsign", lambda nn: nn.Softsign(), [(5, 6)]),
    ("tanhshrink", lambda nn: nn.Tanhshrink(), [(5, 6)]),
    ("hardshrink", lambda nn: nn.Hardshrink(0.7), [(5, 6)]),
    ("softshrink", lambda nn: nn.Softshrink(0.7), [(5, 6)]),
    ("threshold", lambda nn: nn.Threshold(0.3, -2.0), [(5, 6)]),
    ("softplus, threshold", lambda nn: nn.Softplus(3.0, 2.0), [(5, 6)]),
    ("softmin", lambda nn: nn.Softmin(1), [(5, 6)]),
    ("local response norm", lambda nn: nn.LocalResponseNorm(3, 0.1, 0.6, 1.5), X4),
]

CASES = [
    *[Case(name, build, shapes) for name, build, shapes in LAYERS],
    Case(
        "instance norm, running",
        lambda nn: nn.InstanceNorm2d(3, track_running_stats=True),
        [(2, 3, 4, 5)],
        run=twice,
    ),
    Case(
        "embedding, max norm",
        lambda nn: nn.Embedding(6, 3, max_norm=0.8),
        [(4, 5)],
        integers={0: 6},
    ),
    Case(
        "embedding, by frequency",
        lambda nn: nn.Embedding(6, 3, scale_grad_by_freq=True),
        [(4, 5)],
        integers={0: 6},
    ),
    *[
        Case(
            f"embedding bag, {mode}",
            lambda nn, mode=mode: nn.EmbeddingBag(6, 3, mode=mode, padding_idx=1),
            [(4, 5)],
            integers={0: 6},
        )
        for mode in ("sum", "mean", "max")
    ],
]
