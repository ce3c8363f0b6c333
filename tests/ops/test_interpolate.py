"""Resampling: what the samples leave open."""

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


@pytest.mark.parametrize("bad", [np.inf, -np.inf, np.nan])
@pytest.mark.parametrize("mode", ["nearest", "bilinear", "bicubic"])
def test_infinity_stays_where_it_is(mode, bad, tensor) -> None:
    """Results that an element has no part in do not know of it; neither do gradients."""
    x = generator.standard_normal((1, 1, 8, 8)).astype(np.float32)
    expected = host(F.interpolate(tensor(x), (24, 20), mode=mode))
    broken = x.copy()
    broken[0, 0, 0, 0] = bad
    y = host(F.interpolate(tensor(broken), (24, 20), mode=mode))
    reach = {"nearest": (3, 3), "bilinear": (5, 5), "bicubic": (9, 8)}[mode]
    outside = np.ones(y.shape, bool)
    outside[..., : reach[0], : reach[1]] = False
    np.testing.assert_array_equal(y[outside], expected[outside])
    assert not np.isfinite(y[0, 0, 0, 0])
    t = tensor(x, requires_grad=True)
    g = np.ones(y.shape, np.float32)
    g[0, 0, 0, 0] = bad
    F.interpolate(t, (24, 20), mode=mode).backward(tensor(g))
    assert np.isfinite(host(t.grad)[..., 4:, 4:]).all()
    assert not np.isfinite(host(t.grad)[0, 0, 0, 0])


def test_an_infinite_element_on_a_result(tensor) -> None:
    """Aligned ends: elements and results coincide, and the neighbour has no weight."""
    x = tensor([[[np.inf, 1.0, 2.0, 3.0]]])
    y = F.interpolate(x, 7, mode="linear", align_corners=True)
    assert host(y).ravel().tolist() == [np.inf, np.inf, 1, 1.5, 2, 2.5, 3]


@pytest.mark.parametrize("dtype", ["uint8", "int32", "int64", "bool"])
def test_integers_have_nearest_elements_only(dtype, tensor) -> None:
    x = generator.integers(0, 2, (1, 2, 3, 4)).astype(dtype)
    y = F.interpolate(tensor(x), scale_factor=2)
    assert y.dtype == np.dtype(dtype)
    np.testing.assert_array_equal(host(y), x.repeat(2, 2).repeat(2, 3))
    for mode in ("area",) if dtype == "uint8" else ("bilinear", "bicubic", "area"):
        with pytest.raises(TypeError, match=f"mixes elements, which {dtype} cannot hold"):
            F.interpolate(tensor(x), scale_factor=2, mode=mode)


@pytest.mark.parametrize("mode", ["bilinear", "bicubic"])
@pytest.mark.parametrize("smooth", [False, True])
def test_bytes_are_rounded_once_an_axis(mode, smooth, tensor) -> None:
    x = generator.integers(0, 256, (1, 2, 7, 9)).astype(np.uint8)
    options = dict(mode=mode, antialias=smooth)
    y = F.interpolate(tensor(x), (5, 9), **options)
    exact = host(F.interpolate(tensor(x.astype(np.float64)), (5, 9), **options))
    assert y.dtype == np.uint8
    assert np.abs(host(y) - np.clip(exact, 0, 255)).max() < 0.51
    last = F.interpolate(tensor(x), (7, 12), **options)  # the last axis comes first
    both = F.interpolate(tensor(x), (5, 12), **options)
    np.testing.assert_array_equal(host(F.interpolate(last, (5, 12), **options)), host(both))


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize("mode", ["nearest", "linear", "area"])
def test_many_short_cotangents_are_added_up(mode, dtype, tensor) -> None:
    """20,000 equal ones: in 16 bits a sum would stop at 2,048 or 256."""
    x = tensor(np.ones((1, 1, 1), np.float32)).to(dtype).requires_grad_()
    y = F.interpolate(x, 20_000, mode=mode)
    y.backward(tl.ones_like(y))
    assert abs(host(x.grad).astype(np.float64).item() / 20_000 - 1) < 0.004


def test_area_is_the_mean(tensor) -> None:
    x = generator.standard_normal((2, 3, 6, 8))
    y = F.interpolate(tensor(x), (3, 2), mode="area")
    np.testing.assert_allclose(host(y), x.reshape(2, 3, 3, 2, 2, 4).mean((3, 5)))


def test_the_exact_nearest_of_a_rising_line(tensor) -> None:
    """torch 2.13 on arange(5): sizes 3 and 7."""
    x = tensor(np.arange(5.0).reshape(1, 1, 5))
    for size, plain, exact in (
        (3, [0, 1, 3], [0, 2, 4]),
        (7, [0, 0, 1, 2, 2, 3, 4], [0, 1, 1, 2, 3, 3, 4]),
    ):
        assert host(F.interpolate(x, size)).ravel().tolist() == plain
        assert host(F.interpolate(x, size, mode="nearest-exact")).ravel().tolist() == exact


def test_gradient_of_scale_factors_in_three_axes(tensor) -> None:
    """Each element gets one for each place where it went."""
    x = np.arange(120.0).reshape(1, 1, 5, 6, 4)
    t = tensor(x, requires_grad=True)
    y = F.interpolate(t, scale_factor=(1.3, 0.7, 2.2))
    y.sum().backward()
    counts = np.bincount(host(y).astype(int).ravel(), minlength=120)
    np.testing.assert_array_equal(host(t.grad).ravel(), counts)
