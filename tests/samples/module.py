"""The primitive behind backward hooks of modules."""

from __future__ import annotations

from samples.base import Sample, normal
from tensorlite.nn.hooks import pass_through


def unchanged(gradients: tuple) -> tuple:
    """What a hook does that only looks."""
    return gradients


SAMPLES = [
    Sample(
        pass_through,
        [normal(2, 3), normal(4)],
        dict(tell=unchanged),
        reference=lambda *xs, tell: xs,
        saves=("tell",),
        zero=[normal(0, 3), normal(4)],
    ),
]
