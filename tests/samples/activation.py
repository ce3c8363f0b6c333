"""Samples of activation functions and their backward passes."""

from __future__ import annotations

import math

import numpy as np

from samples.base import Sample, distinct, normal, uniform
from tensorlite.ops import activation as ops
from tensorlite.ops import rectifiers

erf = np.vectorize(math.erf, otypes=[float])


def numerical(f, x):
    """The derivative of `f`, by central differences of sixth order: good to about 1e-11."""
    h = 1e-3
    terms = ((1, 45), (2, -9), (3, 1))
    return np.sum([c * (f(x + k * h) - f(x - k * h)) for k, c in terms], axis=0) / (60 * h)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def softplus(x, beta=1.0):
    return np.log(1 + np.exp(beta * x)) / beta


def gelu(x, approximate="none"):
    if approximate == "tanh":
        return 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))
    return 0.5 * x * (1 + erf(x / math.sqrt(2)))


def tanh_gelu(x):
    return gelu(x, "tanh")


def elu(x, alpha=1.0, scale=1.0, steepness=1.0):
    return scale * np.where(x > 0, x, alpha * (np.exp(steepness * np.minimum(x, 0)) - 1))


def leaky_relu(x, negative_slope=0.01):
    return np.where(x > 0, x, negative_slope * x)


def log_sigmoid(x):
    return np.log(sigmoid(x))


def softsign(x):
    return x / (1 + np.abs(x))


def prelu(x, weight):
    if len(weight) == 1:
        return np.where(x > 0, x, weight[0] * x)
    return np.where(x > 0, x, np.moveaxis(np.moveaxis(x, 1, -1) * weight, -1, 1))


def prelu_backward(dy, x, weight):
    if len(weight) == 1:
        return dy * np.where(x > 0, 1, weight[0]), np.array([np.sum(dy * np.minimum(x, 0))])
    dw = [np.sum((dy * np.minimum(x, 0))[:, c]) for c in range(len(weight))]
    return dy * np.where(x > 0, 1, prelu(-np.ones(x.shape), -weight)), np.array(dw)


def silu(x):
    return x * sigmoid(x)


def mish(x):
    return x * np.tanh(softplus(x))


def backward_of(f):
    return lambda dy, x, **static: dy * numerical(lambda v: f(v, **static), x)


# None of these lies within 0.01 of a corner.
off_corners = distinct(3, 5)

ACTIVATIONS = [
    Sample(rectifiers.relu, [off_corners], reference=lambda x: np.where(x > 0, x, 0), saves=("y",)),
    Sample(
        rectifiers.leaky_relu, [off_corners], reference=leaky_relu, saves=("x", "negative_slope")
    ),
    Sample(rectifiers.leaky_relu, [off_corners], dict(negative_slope=-0.2), reference=leaky_relu),
    Sample(
        rectifiers.hardtanh,
        [off_corners],
        dict(min_val=-0.7, max_val=1.3),
        reference=lambda x, min_val, max_val: np.minimum(np.maximum(x, min_val), max_val),
        saves=("x", "min_val", "max_val"),
    ),
    Sample(
        rectifiers.hardsigmoid,
        [uniform(3, 5, low=-6, high=6)],
        reference=lambda x: np.minimum(np.maximum(x / 6 + 0.5, 0), 1),
        saves=("x",),
    ),
    Sample(
        rectifiers.hardswish,
        [uniform(3, 5, low=-6, high=6)],
        reference=lambda x: x * np.minimum(np.maximum(x + 3, 0), 6) / 6,
        saves=("x",),
    ),
    Sample(ops.sigmoid, [normal(3, 5)], reference=sigmoid, saves=("y",)),
    Sample(ops.softplus, [normal(3, 5)], reference=softplus, saves=("x", "beta", "threshold")),
    Sample(
        ops.softplus,
        [normal(3, 5)],
        dict(beta=2.0, threshold=0.5),
        reference=lambda x, beta, threshold: np.where(2 * x > 0.5, x, softplus(x, 2.0)),
    ),
    Sample(ops.logsigmoid, [normal(3, 5)], reference=log_sigmoid, saves=("x",)),
    Sample(ops.softsign, [normal(3, 5)], reference=softsign, saves=("x",)),
    *[
        Sample(
            rectifiers.prelu_of_channels,
            [x, normal(*weight)],
            reference=prelu,
            saves=("x", "weight"),
            zero=[normal(0, 4), normal(4)],
        )
        for x, weight in (
            (off_corners, (5,)),
            (distinct(2, 3, 3), (1,)),
            (distinct(2, 4, 3), (4,)),
            (distinct(2, 4, 3, 5), (4,)),
        )
    ],
    Sample(ops.softplus, [normal(3, 5)], dict(beta=2.5), reference=softplus),
    Sample(ops.silu, [normal(3, 5)], reference=silu, saves=("x",)),
    Sample(ops.mish, [normal(3, 5)], reference=mish, saves=("x",)),
    Sample(ops.gelu, [normal(3, 5)], reference=gelu, saves=("x", "approximate")),
    Sample(ops.gelu, [normal(3, 5)], dict(approximate="tanh"), reference=gelu),
    Sample(
        ops.scaled_elu, [off_corners], reference=elu, saves=("x", "alpha", "scale", "steepness")
    ),
    Sample(ops.scaled_elu, [off_corners], dict(alpha=0.7, scale=1.1, steepness=1.4), reference=elu),
    Sample(
        ops.glu,
        [normal(4, 6)],
        dict(dim=-1),
        reference=lambda x, dim: x[:, :3] * sigmoid(x[:, 3:]),
    ),
    Sample(
        ops.glu,
        [normal(4, 6)],
        dict(dim=0),
        reference=lambda x, dim: x[:2] * sigmoid(x[2:]),
    ),
]

BACKWARD = [
    Sample(
        rectifiers.relu_backward,
        [normal(3, 5), off_corners],
        reference=lambda dy, out: np.where(out > 0, dy, 0),
        grad=(0,),
        saves=("out",),
    ),
    Sample(
        ops.sigmoid_backward,
        [normal(3, 5), uniform(3, 5, low=0.1, high=0.9)],
        reference=lambda dy, out: dy * (out - out**2),
    ),
    Sample(
        rectifiers.leaky_relu_backward,
        [normal(3, 5), off_corners],
        dict(negative_slope=0.1),
        reference=backward_of(leaky_relu),
    ),
    Sample(
        ops.softplus_backward,
        [normal(3, 5), normal(3, 5)],
        dict(beta=1.5, threshold=20.0),
        reference=backward_of(lambda x, beta, threshold: softplus(x, beta)),
        tolerance=100,
    ),
    Sample(
        ops.logsigmoid_backward,
        [normal(3, 5), normal(3, 5)],
        reference=backward_of(log_sigmoid),
        tolerance=100,
    ),
    Sample(
        ops.softsign_backward,
        [normal(3, 5), distinct(3, 5)],
        reference=lambda dy, x: dy / (1 + np.abs(x)) ** 2,
    ),
    *[
        Sample(
            rectifiers.prelu_backward,
            [normal(*shape), distinct(*shape), normal(weights)],
            reference=prelu_backward,
            keeps_dtype=False,
            zero=[normal(0, 4), normal(0, 4), normal(4)],
            tolerance=4,
        )
        for shape, weights in (((3, 5), 5), ((2, 3, 2), 1), ((2, 4, 3), 4))
    ],
    Sample(
        ops.silu_backward,
        [normal(3, 5), normal(3, 5)],
        reference=backward_of(silu),
        tolerance=100,
    ),
    Sample(
        ops.mish_backward,
        [normal(3, 5), normal(3, 5)],
        reference=backward_of(mish),
        tolerance=100,
    ),
    *[
        Sample(
            ops.gelu_backward,
            [normal(3, 5), normal(3, 5)],
            dict(approximate=approximate),
            reference=backward_of(gelu),
            tolerance=100,
        )
        for approximate in ("none", "tanh")
    ],
    Sample(
        ops.elu_backward,
        [normal(3, 5), off_corners],
        dict(alpha=0.7, scale=1.1, steepness=1.4),
        reference=backward_of(elu),
        tolerance=100,
    ),
]

SAMPLES = ACTIVATIONS + BACKWARD
