"""Pooling functions: what `nn/test_functional` and the samples leave open."""

from __future__ import annotations

import numpy as np
import pytest

import tensorlite as tl
from tensorlite.nn import functional as F

generator = np.random.default_rng(5)


@pytest.fixture
def tensor(device):
    """Make a Tensor on the device under test."""
    return lambda array, **options: tl.tensor(np.asarray(array), device=device, **options)


def host(t: tl.Tensor) -> np.ndarray:
    return t.detach().to("cpu").numpy()


def test_a_window_over_the_end_counts_no_more_than_the_padding(tensor) -> None:
    """torch 2.13: avg_pool1d(arange(1, 6), 2, 2, ceil_mode=True) and with padding=1, kernel 3."""
    x = tensor(np.arange(1.0, 6).reshape(1, 1, 5))
    assert host(F.avg_pool1d(x, 2, 2, ceil_mode=True)).ravel().tolist() == [1.5, 3.5, 5.0]
    y = F.avg_pool1d(x[..., :4], 3, 2, padding=1, ceil_mode=True)
    np.testing.assert_allclose(host(y).ravel(), [1, 3, 2])
    y = F.avg_pool1d(x[..., :4], 3, 2, padding=1, ceil_mode=True, count_include_pad=False)
    np.testing.assert_allclose(host(y).ravel(), [1.5, 3, 4])


def test_no_window_begins_behind_the_end(tensor) -> None:
    """torch 2.13: of length 2, not 3, as rounding up alone would give."""
    x = tensor(np.arange(3.0).reshape(1, 1, 3))
    assert host(F.max_pool1d(x, 1, 3, ceil_mode=True)).ravel().tolist() == [0.0]
    assert host(F.max_pool1d(x, 2, 2, ceil_mode=True)).ravel().tolist() == [1.0, 2.0]


@pytest.mark.parametrize("out", [2, 3, 4, 6])
def test_ties_of_adaptive_max_pooling(out, tensor) -> None:
    """The first of equal elements takes the gradient, in windows of any sizes."""
    x = generator.integers(0, 2, (2, 3, 6)).astype(np.float64)
    t = tensor(x, requires_grad=True)
    y, index = F.adaptive_max_pool1d(t, out, return_indices=True)
    y.sum().backward()
    places, gradient = np.empty(y.shape, np.int64), np.zeros(x.shape)
    for i in range(out):
        start = i * 6 // out
        places[..., i] = start + x[..., start : -(-(i + 1) * 6 // out)].argmax(-1)
        for n, c in np.ndindex(2, 3):
            gradient[n, c, places[n, c, i]] += 1
    assert index.dtype == np.int64
    np.testing.assert_array_equal(host(index), places)
    np.testing.assert_array_equal(host(t.grad), gradient)


@pytest.mark.parametrize("axes", [1, 2, 3])
def test_unpooling_puts_back(axes, tensor) -> None:
    size = (6, 5, 7)[:axes]
    x = generator.standard_normal((2, 3, *size))
    pool, unpool = getattr(F, f"max_pool{axes}d"), getattr(F, f"max_unpool{axes}d")
    y, index = pool(tensor(x), 2, return_indices=True)
    back = host(unpool(y, index, 2, output_size=x.shape))
    kept = back != 0
    np.testing.assert_array_equal(back[kept], x[kept])
    assert kept.sum() == y.numel()
    single = unpool(*(pool(tensor(x[0]), 2, return_indices=True)), 2, output_size=size)
    np.testing.assert_array_equal(host(single), back[0])


def test_unpooling_refuses_places_outside() -> None:
    with pytest.raises(ValueError, match="index 9 lies outside"):
        F.max_unpool1d(tl.zeros(1, 1, 2), tl.tensor([[[0, 9]]]), 2)


def test_integers_are_pooled_exactly(tensor) -> None:
    x = tensor(np.array([[[-9, 2**40, 3, 2**40 + 1]]]))
    y = F.max_pool1d(x, 3, 2, padding=1)
    assert y.dtype == np.int64
    assert host(y).ravel().tolist() == [2**40, 2**40 + 1]


def test_means_of_integers_are_cut_off(tensor) -> None:
    """torch 2.13: toward 0."""
    x = tensor(np.array([[[5, 6, -5, -6]]]))
    y = F.avg_pool1d(x, 2, 1)
    assert y.dtype == np.int64
    assert host(y).ravel().tolist() == [5, 0, -5]


def test_a_root_of_nothing_has_no_slope(tensor) -> None:
    x = tensor(np.zeros((1, 1, 4)), requires_grad=True)
    F.lp_pool1d(x, 2, 2).sum().backward()
    assert host(x.grad).ravel().tolist() == [0, 0, 0, 0]
