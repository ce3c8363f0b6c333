"""Samples of normalization, sums and scales of channels."""

from __future__ import annotations

import numpy as np

from samples.base import Sample, normal
from tensorlite.ops import channel_norm as by_channels
from tensorlite.ops.channels import (
    channel_affine,
    channel_affine_relu,
    channel_sum,
    scale_and_shift_gradients,
)
from tensorlite.ops.row_norm import (
    layer_norm_backward,
    layer_norm_rows,
    rms_norm_backward,
    rms_norm_rows,
)

EPS = 1e-3
NO_MEAN = "the mean of nothing is not a number"


def standardized(x, axes, eps):
    shifted = x - np.mean(x, axes, keepdims=True)
    return shifted / np.sqrt(np.mean(shifted**2, axes, keepdims=True) + eps)


def layer_norm(x, weight=None, bias=None, eps=EPS):
    y = standardized(x, -1, eps)
    y = y if weight is None else y * weight
    return y if bias is None else y + bias


def rms_norm(x, weight=None, eps=EPS):
    y = x / np.sqrt(np.mean(x**2, -1, keepdims=True) + eps)
    return y if weight is None else y * weight


def by_channel(values, x):
    return values.reshape(-1, *[1] * (x.ndim - 2))


def all_but_channels(x):
    return (0, *range(2, x.ndim))


def batch_norm(x, weight=None, bias=None, eps=EPS, relu=False):
    axes = all_but_channels(x)
    y = standardized(x, axes, eps)
    y = y if weight is None else y * by_channel(weight, x)
    y = y if bias is None else y + by_channel(bias, x)
    return np.maximum(y, 0) if relu else y, np.mean(x, axes), np.var(x, axes)


def jacobian_product(f, x, dy):
    """The cotangent of `x`, by central differences of sixth order along each element."""
    dx = np.empty_like(x)
    for i in np.ndindex(x.shape):
        step = np.zeros_like(x)
        step[i] = 1e-2
        terms = ((1, 45), (2, -9), (3, 1))
        d = sum(c * (f(x + k * step) - f(x - k * step)) for k, c in terms) / (60 * 1e-2)
        dx[i] = np.sum(d * dy)
    return dx


def exact_layer_norm_backward(dy, x, weight, center, rstd, eps, affine):
    dx = jacobian_product(lambda v: layer_norm(v, weight, eps=eps), x, dy)
    if not affine:
        return dx
    z = standardized(x, -1, eps)
    return dx, np.sum(dy * z, (0, 1)), np.sum(dy, (0, 1))


def exact_rms_norm_backward(dy, x, weight, rstd, eps, affine):
    dx = jacobian_product(lambda v: rms_norm(v, weight, eps=eps), x, dy)
    return (dx, np.sum(dy * rms_norm(x, eps=eps), (0, 1))) if affine else dx


def batch_norm_backward(dy, x, weight, bias, center, rstd, eps, relu):
    dy = dy * (batch_norm(x, weight, bias, eps)[0] > 0) if relu else dy
    dx = jacobian_product(lambda v: batch_norm(v, weight, eps=eps)[0], x, dy)
    axes = all_but_channels(x)
    return dx, np.sum(dy * standardized(x, axes, eps), axes), np.sum(dy, axes)


# What the forward passes save is a function of x, which a sample's inputs can only say as arrays.
X = np.random.default_rng(3).standard_normal((2, 3, 4)) + 0.5
ROW_STATISTICS = (X.mean(-1, keepdims=True), 1 / np.sqrt(X.var(-1, keepdims=True) + EPS))
ROW_RMS = 1 / np.sqrt(np.mean(X**2, -1, keepdims=True) + EPS)
CHANNEL_STATISTICS = (X.mean((0, 2)), 1 / np.sqrt(X.var((0, 2)) + EPS))
EXACT = ("float64", "float32")

ROWS = [
    *[
        Sample(
            layer_norm_rows,
            [normal(3, 2, 5), *parameters],
            dict(eps=EPS),
            reference=layer_norm,
            tolerance=4,
            saves=("x", "weight", "center", "rstd", "eps"),
        )
        for parameters in ((), (normal(5),), (None, normal(5)), (normal(5), normal(5)))
    ],
    *[
        Sample(
            rms_norm_rows,
            [normal(3, 2, 5), *parameters],
            dict(eps=EPS),
            reference=rms_norm,
            tolerance=4,
            saves=("x", "weight", "rstd", "eps"),
        )
        for parameters in ((), (normal(5),))
    ],
    *[
        Sample(
            layer_norm_backward,
            [normal(2, 3, 4), X, weight, *ROW_STATISTICS],
            dict(eps=EPS, affine=affine),
            reference=exact_layer_norm_backward,
            grad=(0,) if weight is None else (0, 2),
            zero=[normal(0, 3, 4), X[:0], weight, *(s[:0] for s in ROW_STATISTICS)],
            dtypes=EXACT,
            tolerance=1e3,
        )
        for weight in (None, normal(4))
        for affine in (False, True)
    ],
    *[
        Sample(
            rms_norm_backward,
            [normal(2, 3, 4), X, weight, ROW_RMS],
            dict(eps=EPS, affine=affine),
            reference=exact_rms_norm_backward,
            grad=(0,) if weight is None else (0, 2),
            zero=[normal(0, 3, 4), X[:0], weight, ROW_RMS[:0]],
            dtypes=EXACT,
            tolerance=1e3,
        )
        for weight in (None, normal(4))
        for affine in (False, True)
    ],
]

CHANNELS = [
    *[
        Sample(
            by_channels.batch_norm_channels,
            [x, *parameters],
            dict(eps=EPS, relu=relu),
            reference=batch_norm,
            no_zero=NO_MEAN,
            keeps_dtype=False,  # the statistics stay in float32
            tolerance=4,
            saves=("x", "weight", "bias", "center", "rstd", "eps", "relu"),
        )
        for relu in (False, True)
        for x in (normal(6, 3), normal(2, 3, 4, 2))
        for parameters in ((), (normal(3), normal(3)))
    ],
    *[
        Sample(
            by_channels.batch_norm_backward,
            [normal(2, 3, 4), X, weight, bias, *CHANNEL_STATISTICS],
            dict(eps=EPS, relu=relu),
            reference=batch_norm_backward,
            grad=(0,) if weight is None else (0, 2),
            no_zero=NO_MEAN,
            dtypes=EXACT,
            tolerance=1e3,
        )
        for relu in (False, True)
        for weight, bias in ((None, None), (normal(3), normal(3)))
    ],
    *[
        Sample(
            channel_sum,
            [x],
            reference=lambda x: np.sum(x, all_but_channels(x)),
            saves=("x_shape",),
        )
        for x in (normal(5, 3), normal(2, 3, 4), normal(2, 3, 4, 2))
    ],
    *[
        Sample(
            scale_and_shift_gradients,
            [x, x],
            reference=lambda g, x: (
                np.sum(g * x, all_but_channels(x)),
                np.sum(g, all_but_channels(x)),
            ),
            keeps_dtype=False,  # in float32
            saves=("dy", "x"),
        )
        for x in (normal(5, 3), normal(2, 3, 4))
    ],
    Sample(
        channel_affine,
        [normal(2, 3, 4), normal(3), normal(3)],
        reference=lambda x, scale, shift: x * scale[:, None] + shift[:, None],
        saves=("x", "scale"),
    ),
    Sample(
        channel_affine_relu,
        [normal(2, 3, 4), normal(3), normal(3)],
        reference=lambda x, scale, shift: np.maximum(x * scale[:, None] + shift[:, None], 0),
        saves=("x", "scale", "y"),
    ),
    Sample(
        channel_affine_relu,
        [normal(5, 3), None, normal(3)],
        reference=lambda x, scale, shift: np.maximum(x + shift, 0),
    ),
    Sample(
        channel_affine,
        [normal(5, 3), None, normal(3)],
        reference=lambda x, scale, shift: x + shift,
    ),
    Sample(channel_affine, [normal(5, 3), normal(3)], reference=lambda x, scale: x * scale),
]

SAMPLES = ROWS + CHANNELS
