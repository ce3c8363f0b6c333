"""Errors of whole layers against float64, beside those of torch 2.13 on the same numbers.

Torch's were measured by ``python tests/nn/test_accuracy.py``, on one thread of an AVX-512 CPU.
"""

from __future__ import annotations

import numpy as np
import pytest

import tensorlite as tl
from tensorlite import nn

STEPS, BATCH, FEATURES, HIDDEN, LAYERS = 30, 8, 32, 64, 3
TORCHS = {  # mean absolute error of the outputs, and of the gradient of the input
    "RNN": (3.7e-08, 5.7e-08),
    "LSTM": (3.7e-09, 2.3e-09),
    "GRU": (9.2e-09, 1.2e-08),
}


def errors(nn, kind: str, tensor, double) -> list[float]:
    """Mean errors of a layer with given weights: of float32 against float64."""
    rng = np.random.default_rng(0)
    layers = [getattr(nn, kind)(FEATURES, HIDDEN, LAYERS) for _ in range(2)]
    weights = {
        name: rng.uniform(-1, 1, p.shape).astype("f") / 8
        for name, p in layers[0].named_parameters()
    }
    x = rng.normal(size=(STEPS, BATCH, FEATURES)).astype("f")
    g = rng.normal(size=(STEPS, BATCH, HIDDEN)).astype("f")
    found = []
    for layer, convert in ((layers[0], tensor), (layers[1].double(), double)):
        layer.load_state_dict({name: convert(w) for name, w in weights.items()})
        given = convert(x).requires_grad_()
        y, _ = layer(given)
        (y * convert(g)).sum().backward()
        found.append([y.detach().numpy().astype("d"), given.grad.numpy().astype("d")])
    return [float(np.abs(a - b).mean()) for a, b in zip(*found, strict=True)]


@pytest.mark.parametrize("kind", TORCHS)
def test_recurrent_layers_are_as_exact_as_torchs(kind):
    found = errors(nn, kind, tl.tensor, lambda a: tl.tensor(a.astype("d")))
    for ours, torchs in zip(found, TORCHS[kind], strict=True):
        assert ours <= 1.5 * torchs


if __name__ == "__main__":
    import torch

    torch.set_num_threads(1)
    for kind in TORCHS:
        print(kind, errors(torch.nn, kind, torch.tensor, lambda a: torch.tensor(a).double()))
