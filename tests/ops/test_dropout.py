"""The family of dropout: what is dropped together, and what is kept of mean and variance."""

from __future__ import annotations

import numpy as np
import pytest

import tensorlite as tl
from tensorlite.nn import functional as F

FAMILY = (
    F.dropout,
    F.dropout1d,
    F.dropout2d,
    F.dropout3d,
    F.alpha_dropout,
    F.feature_alpha_dropout,
)
SHAPES = {F.dropout1d: (40, 30, 6), F.dropout3d: (40, 30, 2, 2, 2)}
WHOLE = (F.dropout1d, F.dropout2d, F.dropout3d, F.feature_alpha_dropout)


@pytest.fixture
def ones(device):
    """Make a Tensor of ones on the device under test."""
    return lambda *shape: tl.ones(*shape, device=device)


def host(t: tl.Tensor) -> np.ndarray:
    return t.detach().to("cpu").numpy()


@pytest.mark.parametrize("drop", FAMILY)
def test_what_is_dropped(drop, ones) -> None:
    """A part p of the elements or channels, the same ones with the same seed."""
    shape = SHAPES.get(drop, (40, 30, 3, 2))
    x = ones(*shape).requires_grad_()
    y = host(drop(x, 0.3, True, generator=tl.Generator(3)))
    again = drop(x, 0.3, True, generator=tl.Generator(3))
    np.testing.assert_array_equal(host(again), y)
    values = np.unique(y)
    assert len(values) == 2
    dropped = y == values[0]
    assert abs(dropped.mean() - 0.3) < 0.03
    if drop in WHOLE:
        flat = dropped.reshape(40, 30, -1)
        assert (flat.all(-1) == flat.any(-1)).all()
    again.sum().backward()
    slope = host(x.grad)
    assert (slope[dropped] == 0).all() and len(np.unique(slope[~dropped])) == 1


@pytest.mark.parametrize("drop", [F.alpha_dropout, F.feature_alpha_dropout])
def test_mean_and_variance_are_kept(drop, device) -> None:
    x = tl.randn(20_000, 10, device=device)
    y = host(drop(x, 0.4, True))
    assert abs(y.mean()) < 0.02 and abs(y.var() - 1) < 0.03


@pytest.mark.parametrize("drop", FAMILY)
def test_nothing_and_everything(drop, ones) -> None:
    shape = SHAPES.get(drop, (4, 3, 3, 2))
    x = ones(*shape)
    assert drop(x, 0.5, False) is x
    assert drop(x, 0.0, True) is x
    x[0] = np.inf
    assert (host(drop(x, 1.0, True)) == 0).all()
    for p in (-0.1, 1.5):
        with pytest.raises(ValueError, match=f"{drop.__name__}: p is a probability"):
            drop(x, p, True)


@pytest.mark.parametrize("drop", FAMILY)
def test_in_place(drop, ones) -> None:
    x = ones(*SHAPES.get(drop, (40, 30, 3, 2)))
    assert drop(x, 0.5, True, inplace=True) is x
    assert len(np.unique(host(x))) == 2
    w = ones(40, 30, 2, 2, 2) if drop is F.dropout3d else ones(40, 30, 6)
    w.requires_grad_()
    y = w * 1
    assert drop(y, 0.5, True, True) is y
    y.sum().backward()
    assert len(np.unique(host(w.grad))) == 2


def test_infinity_is_dropped(ones) -> None:
    x = ones(1000) * np.inf
    y = host(F.dropout(x, 0.5))
    assert set(np.unique(y)) == {0, np.inf}


def test_channels_of_single_examples(ones) -> None:
    """(C, L) and (C, D, H, W); of three axes dropout2d takes the first for N."""
    for drop, shape, axes in (
        (F.dropout1d, (500, 3), 1),
        (F.dropout3d, (500, 2, 2, 2), 1),
        (F.dropout2d, (50, 10, 4), 2),
    ):
        y = host(drop(ones(*shape), 0.5))
        flat = y.reshape(*shape[:axes], -1)
        assert (flat.min(-1) == flat.max(-1)).all()
        assert 0.4 < (flat[..., 0] == 0).mean() < 0.6
    with pytest.raises(ValueError, match="dropout1d: input of shape"):
        F.dropout1d(ones(4))
    with pytest.raises(ValueError, match=r"dropout2d: input of shape .* has no channels"):
        F.dropout2d(ones(4))


@pytest.mark.parametrize("dim", [-1, 0])
def test_gumbel_softmax(dim, device) -> None:
    """Frequencies are the probabilities; hard samples have the gradient of the soft ones."""
    p = np.array([0.1, 0.2, 0.7])
    logits = np.broadcast_to(np.log(p), (20_000, 3))
    logits = np.ascontiguousarray(logits if dim == -1 else logits.T)
    x = tl.tensor(logits, device=device, requires_grad=True)
    y = F.gumbel_softmax(x, 0.5, hard=True, dim=dim, generator=tl.Generator(1))
    samples = host(y)
    assert set(np.unique(np.round(samples, 12))) == {0, 1}
    np.testing.assert_allclose(samples.mean(0 if dim == -1 else 1), p, atol=0.02)
    soft = F.gumbel_softmax(x, 0.5, dim=dim, generator=tl.Generator(1))
    np.testing.assert_allclose(host(soft).sum(dim), 1)
    (hard_slope,) = tl.grad((y * x.detach()).sum(), [x])
    (soft_slope,) = tl.grad((soft * x.detach()).sum(), [x])
    np.testing.assert_array_equal(host(hard_slope), host(soft_slope))
