"""Layers that find the size of their input at the first call."""

from __future__ import annotations

import numpy as np
import pytest

import tensorlite as tl
from tensorlite import nn


@pytest.mark.parametrize(
    ("lazy", "known", "shape"),
    [
        (lambda: nn.LazyLinear(3), lambda: nn.Linear(4, 3), (2, 4)),
        (lambda: nn.LazyConv1d(4, 3, groups=2), lambda: nn.Conv1d(2, 4, 3, groups=2), (2, 5)),
        (
            lambda: nn.LazyConv2d(4, 3, bias=False),
            lambda: nn.Conv2d(2, 4, 3, bias=False),
            (1, 2, 5, 5),
        ),
        (lambda: nn.LazyConv3d(4, 1), lambda: nn.Conv3d(2, 4, 1), (1, 2, 3, 3, 3)),
        (
            lambda: nn.LazyConvTranspose2d(4, 3, stride=2),
            lambda: nn.ConvTranspose2d(2, 4, 3, stride=2),
            (1, 2, 3, 3),
        ),
        (lambda: nn.LazyBatchNorm2d(), lambda: nn.BatchNorm2d(2), (3, 2, 3, 3)),
        (
            lambda: nn.LazyInstanceNorm1d(),
            lambda: nn.InstanceNorm1d(2, affine=True, track_running_stats=True),
            (3, 2, 3),
        ),
    ],
)
def test_a_lazy_layer_becomes_the_known_one(lazy, known, shape, device):
    layer, known = lazy().to(device), known().to(device)
    assert layer.has_uninitialized_params()
    with tl.no_grad():
        if not isinstance(layer, nn.LazyInstanceNorm1d):
            layer(tl.ones(shape, device=device))
        else:
            layer.initialize_parameters(tl.ones(shape, device=device))
            layer.__class__ = nn.InstanceNorm1d
    assert type(layer) is type(known)
    assert layer.extra_repr() == known.extra_repr()
    assert {n: v.shape for n, v in layer.state_dict().items()} == {
        n: v.shape for n, v in known.state_dict().items()
    }
    assert {t.device for t in layer.parameters()} == {t.device for t in known.parameters()}


def test_a_lazy_layer_loads_a_state_dict():
    layer = nn.Sequential(nn.LazyLinear(3))
    known = nn.Sequential(nn.Linear(4, 3))
    layer.load_state_dict(known.state_dict())
    x = tl.ones((2, 4))
    np.testing.assert_array_equal(layer(x).detach().numpy(), known(x).detach().numpy())
    assert type(layer[0]) is nn.Linear
    assert layer[0].in_features == 4
