"""Convolution kernels against sums over the filter's taps in float64."""

from __future__ import annotations

import numpy as np
import pytest
from guards import assert_close

# images, groups, channels, height, width, filters, kernel, stride, pad, dilation;
# channels and filters are those of one group
SHAPES = {
    "odd": (2, 1, 3, 9, 9, 5, (3, 3), (1, 1), (0, 0), (1, 1)),
    "groups and strides": (1, 2, 2, 7, 5, 3, (2, 3), (2, 1), (1, 2), (1, 1)),
    "dilation": (3, 3, 2, 12, 11, 3, (3, 3), (2, 2), (1, 1), (2, 1)),
    "wide filters": (2, 1, 8, 33, 31, 17, (5, 5), (1, 1), (2, 2), (1, 1)),
    "one dimension": (1, 1, 1, 1, 100, 3, (1, 7), (1, 3), (0, 3), (1, 1)),
    "1 by 1": (2, 1, 5, 6, 6, 33, (1, 1), (1, 1), (0, 0), (1, 1)),
    "depthwise": (2, 6, 1, 10, 10, 1, (3, 3), (1, 1), (1, 1), (1, 1)),
    "stride beyond the filter": (2, 1, 3, 5, 5, 4, (3, 3), (4, 4), (3, 3), (1, 1)),
    "padding beyond the filter": (1, 1, 2, 3, 3, 2, (3, 3), (1, 1), (5, 5), (1, 1)),
    "deep": (1, 1, 500, 4, 4, 20, (3, 3), (1, 1), (1, 1), (1, 1)),
    "no image": (0, 1, 3, 5, 5, 4, (3, 3), (1, 1), (1, 1), (1, 1)),
    "winograd": (2, 1, 16, 8, 8, 24, (3, 3), (1, 1), (1, 1), (1, 1)),
    "winograd, odd": (3, 1, 17, 13, 31, 33, (3, 3), (1, 1), (1, 1), (1, 1)),
    "winograd, wide": (1, 1, 18, 100, 101, 18, (3, 3), (1, 1), (2, 0), (1, 1)),
    "winograd, chunks": (70, 1, 18, 5, 6, 40, (3, 3), (1, 1), (1, 1), (1, 1)),
    "winograd, padding": (2, 1, 18, 5, 6, 40, (3, 3), (1, 1), (4, 3), (1, 1)),
}


def out_size(size, kernel, stride, pad, dilation):
    return (size + 2 * pad - dilation * (kernel - 1) - 1) // stride + 1


def windows(padded, kernel, stride, dilation, out):
    """For each tap, its indices and the view of what all outputs see through it."""
    for i in range(kernel[0]):
        for j in range(kernel[1]):
            rows = slice(i * dilation[0], i * dilation[0] + (out[0] - 1) * stride[0] + 1, stride[0])
            cols = slice(j * dilation[1], j * dilation[1] + (out[1] - 1) * stride[1] + 1, stride[1])
            yield i, j, padded[..., rows, cols]


def reference(x, w, bias, g, stride, pad, dilation):
    """Output and gradients; x (N, G, C, H, W), w (G, F, C, KH, KW), g (N, G, F, OH, OW)."""
    padded = np.pad(x, [(0, 0)] * 3 + [(pad[0],) * 2, (pad[1],) * 2])
    y = np.zeros(g.shape) + bias[:, :, None, None]
    dpadded, dw = np.zeros(padded.shape), np.zeros(w.shape)
    seen = windows(padded, w.shape[3:], stride, dilation, g.shape[3:])
    filled = windows(dpadded, w.shape[3:], stride, dilation, g.shape[3:])
    for (i, j, view), (_, _, dview) in zip(seen, filled, strict=True):
        y += np.einsum("ngchw,gfc->ngfhw", view, w[..., i, j])
        dw[..., i, j] = np.einsum("ngchw,ngfhw->gfc", view, g)
        dview += np.einsum("ngfhw,gfc->ngchw", g, w[..., i, j])
    height, width = x.shape[3:]
    dx = dpadded[..., pad[0] : pad[0] + height, pad[1] : pad[1] + width]
    return y, dx, dw, g.sum((0, 3, 4))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", SHAPES)
def test_convolution_and_its_gradients(host_kernels, host_guarded, name, dtype):
    n, groups, c, h, w, f, kernel, stride, pad, dilation = SHAPES[name]
    out = [out_size(*axis) for axis in zip((h, w), kernel, stride, pad, dilation, strict=True)]
    rng = np.random.default_rng(0)
    x = rng.standard_normal((n, groups, c, h, w)).astype(dtype)
    weight = rng.standard_normal((groups, f, c, *kernel)).astype(dtype)
    bias = rng.standard_normal((groups, f)).astype(dtype)
    g = rng.standard_normal((n, groups, f, *out)).astype(dtype)
    geometry = (n, groups, c, h, w, f, *kernel, *stride, *pad, *dilation, *out)

    y, dx = host_guarded.empty(g.shape, dtype), host_guarded.empty(x.shape, dtype)
    dw, dbias = host_guarded.empty(weight.shape, dtype), host_guarded.empty(bias.shape, dtype)
    host_kernels.conv2d(x, weight, bias, y, *geometry)
    host_kernels.conv2d_input_gradient(g, weight, dx, *geometry)
    host_kernels.conv2d_weight_gradient(g, x, dw, dbias, *geometry)

    expected = reference(
        *(a.astype(np.float64) for a in (x, weight, bias, g)), stride, pad, dilation
    )
    for actual, wanted in zip((y, dx, dw, dbias), expected, strict=True):
        assert_close(actual, wanted, 2e-5 if dtype == "float32" else 1e-13)


@pytest.mark.parametrize("name", ["odd", "winograd, odd"])
def test_same_bits_for_any_number_of_threads(host_kernels, name):
    n, groups, c, h, w, f, kernel, stride, pad, dilation = SHAPES[name]
    out = [out_size(*axis) for axis in zip((h, w), kernel, stride, pad, dilation, strict=True)]
    rng = np.random.default_rng(0)
    x = rng.standard_normal((n, c, h, w)).astype("float32")
    g = rng.standard_normal((n, f, *out)).astype("float32")
    geometry = (n, groups, c, h, w, f, *kernel, *stride, *pad, *dilation, *out)
    before, results = host_kernels.get_num_threads(), []
    try:
        for threads in (1, 3):
            host_kernels.set_num_threads(threads)
            results.append(np.empty((f, c, *kernel), "float32"))
            host_kernels.conv2d_weight_gradient(g, x, results[-1], None, *geometry)
    finally:
        host_kernels.set_num_threads(before)
    assert (results[0] == results[1]).all()
