"""Samples of activations after a bias, and their backward passes."""

from __future__ import annotations

import numpy as np

from samples.activation import backward_of, off_corners, tanh_gelu
from samples.base import Sample, normal
from tensorlite.ops import bias_activation


def with_bias(f):
    return lambda x, bias: f(x + bias)


def bias_gelu_backward(dy, x, bias):
    dx = backward_of(tanh_gelu)(dy, x + bias)
    return dx, dx.reshape(-1, dx.shape[-1]).sum(axis=0)


def bias_relu_backward(dy, out):
    dx = np.where(out > 0, dy, 0)
    return dx, dx.reshape(-1, dx.shape[-1]).sum(axis=0)


SAMPLES = [
    *[
        Sample(op, [x, bias], reference=with_bias(f), saves=saves, zero=[zero, bias], tolerance=4)
        for op, f, saves in (
            (bias_activation.bias_relu, lambda x: np.maximum(x, 0), ("y",)),
            (bias_activation.bias_gelu, tanh_gelu, ("x", "bias")),
        )
        for x, bias, zero in (
            (off_corners, normal(5), normal(0, 5)),
            (normal(2, 3, 5), normal(5), normal(2, 0, 5)),
            (normal(5), normal(5), normal(0, 5)),
        )
    ],
    Sample(
        bias_activation.bias_relu_backward,
        [normal(3, 5), off_corners],
        reference=bias_relu_backward,
        grad=(0,),
        keeps_dtype=False,
        tolerance=4,
    ),
    Sample(
        bias_activation.bias_gelu_backward,
        [normal(3, 5), normal(3, 5), normal(5)],
        reference=bias_gelu_backward,
        keeps_dtype=False,
        tolerance=100,
    ),
]
