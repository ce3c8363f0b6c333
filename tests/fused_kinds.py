"""Chains of every kind: what a test of fusion tries, on either device and in every dtype.

Each is a function of Tensors; its arguments are drawn by the shapes beside it. "x" is the dtype
that is tried, "i" whole numbers, "b" booleans. A kind of chain that is new belongs here.
"""

import math

import numpy as np

import tensorlite as tl
import tensorlite.nn.functional as F


def with_gradient(formula):
    def call(x, *more):
        x = (x * 1).requires_grad_()
        y = formula(x, *more)
        y.backward(tl.ones_like(y))
        return y.detach(), x.grad

    return call


def gelu(x):
    return 0.5 * x * (1 + tl.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


def layer_norm(x):
    centred = x - x.mean(dim=-1, keepdim=True)
    return centred / tl.sqrt((centred * centred).mean(dim=-1, keepdim=True) + 1e-2)


def huber(x, y):
    error = (x - y).abs()
    return tl.where(error < 1, 0.5 * error * error, error - 0.5) * 0.1 + 0.01 * x**2


def dropout_add_gelu(x, y):
    return F.gelu(F.dropout(x, 0.25) + y) * 0.5


def spread(x, row, column, number):
    return tl.maximum(x * row - column, number) / (column.abs() + 2.5), (x + row).mT * 2


def written_in_place(state):
    """Links whose results are read elsewhere, and writes over them and over what stays."""

    def call(x, w):
        a = x * 2 + 1
        b = a @ w  # reads a
        c = a * b.sum() + a[0]
        c += a
        c *= 3
        state.mul_(0.9).add_(c)
        d = c - state
        c.fill_(1)
        return a, c + d, state * 1

    return call


def masks(x, y, b):
    chosen = tl.where((x > y) & b | tl.isnan(x), x, y * 0.25)
    return chosen, (x <= 0).to(x.dtype) * y, tl.logical_not(b) | (x != y)


def whole_numbers(i, j, x):
    some = tl.where(i > j, i + j * 3, i - 2) * i
    return some, (i >= 2) & (j < 1), tl.maximum(some.abs(), j), (i == j).to(x.dtype) * x


def sums(x, y):
    return (x * y + 1).sum(), (x - y).mean(), (tl.exp(x) * 0.5).sum(dim=-1) + 1


def casts(x):
    return (x.float() * 3 + 1).to(x.dtype) - x, (x.double() / 3).to(x.dtype) * 2


#: Of each the function, the arguments, and how many calls of the recording it may be at most.
KINDS = {
    "gelu": (gelu, [("x", 9, 14)], 1),
    "gelu with gradient": (with_gradient(gelu), [("x", 9, 14)], 4),
    "huber": (huber, [("x", 9, 14), ("x", 9, 14)], 1),
    "huber with gradient": (with_gradient(huber), [("x", 9, 14), ("x", 9, 14)], 5),
    "layer norm": (layer_norm, [("x", 9, 14)], 6),
    "dropout": (with_gradient(dropout_add_gelu), [("x", 9, 14), ("x", 9, 14)], 5),
    "spread": (spread, [("x", 9, 14), ("x", 14), ("x", 9, 1), ("x",)], 3),
    "masks": (masks, [("x", 9, 14), ("x", 9, 14), ("b", 9, 14)], 3),
    "whole numbers": (whole_numbers, [("i", 9, 14), ("i", 9, 14), ("x", 9, 14)], 3),
    "sums": (sums, [("x", 9, 14), ("x", 9, 14)], 7),
    "casts": (casts, [("x", 9, 14)], 3),
}


def drawn(wanted, dtype, seed):
    """The arguments of a kind."""
    rng = np.random.default_rng(seed)
    found = []
    for kind, *shape in wanted:
        if kind == "b":
            found.append(rng.random(shape) < 0.5)
        elif kind == "i":
            found.append(rng.integers(-4, 5, shape))
        else:
            found.append(np.asarray(rng.standard_normal(shape)).astype(dtype))
    return found
