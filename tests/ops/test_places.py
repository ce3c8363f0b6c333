"""Places, patches, distances and attention: what the comparison with torch leaves open."""

from __future__ import annotations

import math

import numpy as np
import pytest

import tensorlite as tl
from tensorlite.nn import functional as F
from tensorlite.testing import gradcheck

generator = np.random.default_rng(5)


@pytest.fixture
def tensor(device):
    """Make a Tensor on the device under test."""
    return lambda array, **options: tl.tensor(np.asarray(array), device=device, **options)


def host(t: tl.Tensor) -> np.ndarray:
    return t.detach().to("cpu").numpy()


# --- grids --------------------------------------------------------------------------------------


@pytest.mark.parametrize("aligned", [False, True])
@pytest.mark.parametrize("mode", ["bilinear", "nearest", "bicubic"])
@pytest.mark.parametrize("padding_mode", ["zeros", "border", "reflection"])
def test_the_plain_grid_shows_the_image(mode, padding_mode, aligned, tensor) -> None:
    x = generator.standard_normal((2, 3, 4, 5))
    theta = tensor(np.tile(np.eye(2, 3), (2, 1, 1)))
    grid = F.affine_grid(theta, x.shape, align_corners=aligned)
    y = F.grid_sample(tensor(x), grid, mode, padding_mode, aligned)
    np.testing.assert_allclose(host(y), x, atol=1e-12)


def test_gradients_of_a_grid(tensor) -> None:
    x = tensor(generator.standard_normal((1, 2, 4, 5)), requires_grad=True)
    grid = tensor(generator.uniform(-1.2, 1.2, (1, 3, 2, 2)), requires_grad=True)
    for mode in ("bilinear", "bicubic"):
        for padding_mode in ("zeros", "border", "reflection"):
            gradcheck(lambda x, g: F.grid_sample(x, g, mode, padding_mode), [x, grid], order=2)  # noqa: B023
    volume = tensor(generator.standard_normal((1, 1, 3, 2, 3)), requires_grad=True)
    places = tensor(generator.uniform(-1.2, 1.2, (1, 2, 2, 1, 3)), requires_grad=True)
    gradcheck(F.grid_sample, [volume, places], order=2)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x, g: F.grid_sample(x, g[0]), r"grid of shape \(3, 3, 2\) must be"),
        (lambda x, g: F.grid_sample(x, g, "cubic"), "mode 'cubic' is none of"),
        (lambda x, g: F.grid_sample(x, g, padding_mode="wrap"), "padding_mode 'wrap' is none of"),
        (
            lambda x, g: F.grid_sample(tl.zeros(1, 1, 2, 2, 2), tl.zeros(1, 1, 1, 1, 3), "bicubic"),
            "'bicubic' is for images",
        ),
        (lambda x, g: F.affine_grid(tl.zeros(1, 2, 2), (1, 1, 4, 4)), "theta of shape"),
        (lambda x, g: F.affine_grid(tl.zeros(1, 2, 3), (1, 1, 4, 0)), "has a length below 1"),
    ],
)
def test_grids_that_do_not_fit(call, message) -> None:
    with pytest.raises(ValueError, match=message):
        call(tl.zeros(1, 1, 4, 4), tl.zeros(1, 3, 3, 2))
    with pytest.raises(TypeError, match="input is float32, but grid float64"):
        F.grid_sample(tl.zeros(1, 1, 4, 4), tl.zeros(1, 3, 3, 2).double())


# --- patches and pixels -------------------------------------------------------------------------


def test_fold_counts_the_windows(tensor) -> None:
    """Folding what was unfolded multiplies each element by the windows that it is in."""
    x = tensor(generator.standard_normal((2, 3, 6, 5)))
    options = dict(kernel_size=3, padding=1, stride=2)
    ones = F.fold(F.unfold(tl.ones_like(x), **options), (6, 5), **options)
    back = F.fold(F.unfold(x, **options), (6, 5), **options)
    np.testing.assert_allclose(host(back), host(x * ones))


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_many_windows_are_added_up(dtype, tensor) -> None:
    """A pixel in 10,000 windows."""
    image = tensor(np.ones((1, 1, 1, 20_000), np.float32)).to(dtype).requires_grad_()
    y = F.unfold(image, (1, 10_001))
    y.backward(tl.ones_like(y))
    found = host(image.grad).astype(np.float64).ravel()
    assert abs(found.max() / 10_000 - 1) < 0.004


@pytest.mark.parametrize("r", [1, 2, 3])
def test_pixels_go_back(r, tensor) -> None:
    x = generator.standard_normal((2, 2 * r * r, 3, 4))
    y = F.pixel_shuffle(tensor(x), r)
    np.testing.assert_array_equal(host(F.pixel_unshuffle(y, r)), x)
    for i, j in np.ndindex(r, r):
        np.testing.assert_array_equal(host(y)[:, 1, i::r, j::r], x[:, r * r + i * r + j])


# --- distances ----------------------------------------------------------------------------------


@pytest.mark.parametrize("p", [0.0, 0.5, 1.0, 2.0, 3.0, math.inf])
def test_all_distances(p, tensor) -> None:
    a, b = generator.standard_normal((2, 4, 3)), generator.standard_normal((5, 3))
    d = np.abs(a[:, :, None] - b)
    expected = {0.0: (d != 0).sum(-1), math.inf: d.max(-1)}.get(p)
    if expected is None:
        expected = (d**p).sum(-1) ** (1 / p)
    np.testing.assert_allclose(host(tl.cdist(tensor(a), tensor(b), p)), expected)
    rows = host(F.pdist(tensor(a[0]), p))
    itself = host(tl.cdist(tensor(a[0]), tensor(a[0]), p))
    np.testing.assert_allclose(rows, itself[np.triu_indices(4, 1)])


@pytest.mark.parametrize("rows", [4, 30])
def test_slopes_of_no_distance(rows, tensor) -> None:
    """Equal rows: 0, whichever way distances are computed."""
    x = tensor(generator.integers(-2, 3, (rows, 3)).astype(np.float64), requires_grad=True)
    d = tl.cdist(x, x)
    assert (np.diagonal(host(d)) == 0).all()
    d.sum().backward()
    assert np.isfinite(host(x.grad)).all()
    always = tl.cdist(x, x, compute_mode="use_mm_for_euclid_dist")
    never = tl.cdist(x, x, compute_mode="donot_use_mm_for_euclid_dist")
    np.testing.assert_allclose(host(always), host(never), atol=1e-12)


def test_vectors_of_no_length(tensor) -> None:
    x = tensor(np.zeros((2, 3)), requires_grad=True)
    for y in (F.normalize(x), F.cosine_similarity(x, x.detach() + 1)):
        assert (host(y) == 0).all()
        (d,) = tl.grad(y.sum(), [x])
        assert np.isfinite(host(d)).all()


# --- attention ----------------------------------------------------------------------------------


def test_fewer_heads_of_keys(tensor) -> None:
    q, k, v = (tensor(generator.standard_normal((2, h, 5, 4))) for h in (6, 2, 2))
    y = F.scaled_dot_product_attention(q, k, v, enable_gqa=True)
    wide = [tensor(host(x).repeat(3, axis=1)) for x in (k, v)]
    np.testing.assert_allclose(host(y), host(F.scaled_dot_product_attention(q, *wide)), rtol=1e-12)
    with pytest.raises(ValueError, match=r"key of shape \(2, 4, 5, 4\) with enable_gqa"):
        other = tl.zeros(2, 4, 5, 4)
        F.scaled_dot_product_attention(tl.zeros(2, 6, 5, 4), other, other, enable_gqa=True)


@pytest.mark.parametrize("dtype", ["int64", "int32", "uint8"])
def test_masks_of_integers_are_refused(dtype) -> None:
    """A tokenizer's ones and zeros would be added to the scores."""
    x = tl.zeros(1, 2, 3, 4)
    mask = tl.ones(3, 3).to(dtype)
    with pytest.raises(TypeError, match=f"attn_mask is {dtype}; give booleans"):
        F.scaled_dot_product_attention(x, x, x, mask)


def test_attention_to_no_keys(tensor) -> None:
    q = tensor(generator.standard_normal((1, 2, 3, 4)), requires_grad=True)
    none = tensor(np.zeros((1, 2, 0, 4)))
    for options in (dict(), dict(dropout_p=0.5)):
        y = F.scaled_dot_product_attention(q, none, none, **options)
        assert y.shape == (1, 2, 3, 4) and (host(y) == 0).all()
        (d,) = tl.grad(y.sum(), [q])
        assert (host(d) == 0).all()
    weight, bias = tensor(np.ones((12, 4))), tensor(np.zeros(12))
    out, weights = F.multi_head_attention_forward(
        *(q[0, 0][:, None], none[0, 0][:, None], none[0, 0][:, None], 4, 2, weight, bias),
        *(None, None, False, 0.0, weight[:4], bias[:4]),
    )
    assert out.shape == (3, 1, 4) and weights.shape == (1, 3, 0)
    assert (host(out) == 0).all()
