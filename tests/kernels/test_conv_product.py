"""CUDA's convolution against sums over the filter's taps in float64."""

from __future__ import annotations

import itertools
import math
from typing import NamedTuple

import ml_dtypes
import numpy as np
import pytest
from guards import assert_close

import tensorlite as tl
from tensorlite.ops.compiled.convolution import convolve, correlate, spread
from tensorlite.ops.conv import Geometry

DTYPES = {
    "float16": (np.dtype(np.float16), 2e-3),
    "bfloat16": (np.dtype(ml_dtypes.bfloat16), 1.6e-2),
    "float32": (np.dtype(np.float32), 1e-5),
    "float64": (np.dtype(np.float64), 1e-13),
}


class Case(NamedTuple):
    """Channels and filters are those of one group."""

    images: int
    channels: int
    filters: int
    size: tuple[int, ...]
    kernel: tuple[int, ...]
    stride: tuple[int, ...]
    padding: tuple[int, ...]
    dilation: tuple[int, ...]
    groups: int = 1

    @property
    def geometry(self):
        return Geometry(self.stride, self.padding, self.dilation, self.groups)


CASES = {
    "odd": Case(2, 3, 5, (9, 9), (3, 3), (1, 1), (0, 0), (1, 1)),
    "one place": Case(1, 1, 1, (1, 1), (1, 1), (2, 2), (0, 0), (1, 1)),
    "packs": Case(3, 16, 72, (8, 8), (3, 3), (1, 1), (1, 1), (1, 1)),
    "many filters": Case(2, 8, 130, (7, 9), (3, 3), (1, 1), (1, 1), (1, 1)),
    "groups, strides": Case(1, 2, 3, (7, 5), (2, 3), (2, 1), (1, 2), (1, 1), 2),
    "dilation": Case(3, 2, 3, (12, 11), (3, 3), (2, 2), (1, 1), (2, 1), 3),
    "strides and dilation": Case(1, 2, 3, (13, 17), (5, 4), (4, 3), (2, 1), (2, 3)),
    "one dimension": Case(1, 1, 3, (100,), (7,), (3,), (3,), (1,)),
    "one dimension, even": Case(2, 4, 33, (31,), (4,), (2,), (1,), (1,)),
    "three dimensions": Case(2, 3, 4, (5, 6, 7), (3, 2, 3), (2, 1, 2), (1, 0, 1), (1, 2, 1)),
    "groups of some": Case(2, 4, 5, (7, 5), (2, 3), (2, 1), (1, 2), (1, 1), 2),
    "dilation of some": Case(1, 3, 4, (13, 17), (5, 4), (4, 3), (2, 1), (2, 3)),
    "depthwise, 5 × 5": Case(3, 1, 1, (11, 9), (5, 5), (2, 1), (2, 2), (1, 1), 3),
    "depthwise, one axis": Case(2, 1, 1, (300,), (31,), (1,), (15,), (1,), 2),
    "depthwise, three axes": Case(
        1, 1, 2, (5, 6, 7), (3, 2, 3), (2, 1, 2), (1, 0, 1), (1, 2, 1), 2
    ),
    "depthwise, many taps": Case(1, 1, 1, (20, 13), (11, 7), (2, 1), (3, 3), (1, 1), 2),
    "depthwise": Case(2, 1, 1, (10, 10), (3, 3), (1, 1), (1, 1), (1, 1), 6),
    "depthwise, two filters": Case(2, 1, 2, (9, 10), (3, 3), (2, 2), (1, 1), (1, 1), 3),
    "stride beyond the filter": Case(2, 3, 4, (7, 7), (3, 3), (4, 4), (3, 3), (1, 1)),
    "padding beyond the filter": Case(1, 2, 2, (3, 3), (3, 3), (1, 1), (5, 5), (1, 1)),
    "many taps": Case(1, 2, 5, (20, 13), (11, 7), (2, 1), (3, 3), (1, 1)),
    "a long filter": Case(1, 3, 4, (200,), (80,), (4,), (0,), (1,)),
    "deep": Case(1, 130, 20, (4, 4), (3, 3), (1, 1), (1, 1), (1, 1)),
    "plain": Case(2, 5, 33, (6, 6), (1, 1), (1, 1), (0, 0), (1, 1)),
    "plain, strides": Case(2, 16, 33, (6, 6), (1, 1), (2, 2), (0, 0), (1, 1)),
}


def seen(padded, case, out):
    """For each tap, its place in the filter and the view of what all windows see through it."""
    for tap in itertools.product(*map(range, case.kernel)):
        places = zip(tap, case.dilation, case.stride, out, strict=True)
        view = tuple(slice(t * d, t * d + (n - 1) * s + 1, s) for t, d, s, n in places)
        yield (..., *tap), padded[(..., *view)]


def reference(x, w, bias, g, case):
    """Output and gradients, with the groups as an axis of their own."""
    out = g.shape[2:]
    x, g = (a.reshape(len(a), case.groups, -1, *a.shape[2:]) for a in (x, g))
    w = w.reshape(case.groups, -1, *w.shape[1:])
    padded = np.pad(x, [(0, 0)] * 3 + [(p, p) for p in case.padding])
    y = np.zeros(g.shape) + bias.reshape(case.groups, -1, *[1] * len(out))
    dpadded, dw = np.zeros(padded.shape), np.zeros(w.shape)
    parts = zip(seen(padded, case, out), seen(dpadded, case, out), strict=True)
    for (tap, view), (_, dview) in parts:
        y += np.einsum("ngc...,gfc->ngf...", view, w[tap])
        flat = (view.reshape(*view.shape[:3], -1), g.reshape(*g.shape[:3], -1))
        dw[tap] = np.einsum("ngcp,ngfp->gfc", *flat)
        dview += np.einsum("ngf...,gfc->ngc...", g, w[tap])
    inside = tuple(slice(p, p + n) for p, n in zip(case.padding, case.size, strict=True))
    dx = dpadded[(..., *inside)]
    n = len(x)
    return (
        y.reshape(n, -1, *out),
        dx.reshape(n, -1, *case.size),
        dw.reshape(-1, *dw.shape[2:]),
    )


def draw(case, dtype):
    """Image, filters, bias and the output's gradient."""
    rng = np.random.default_rng(0)
    out = case.geometry.output_size(case.size, case.kernel)
    filters = case.groups * case.filters
    shapes = (
        (case.images, case.groups * case.channels, *case.size),
        (filters, case.channels, *case.kernel),
        (filters,),
        (case.images, filters, *out),
    )
    return [rng.standard_normal(shape).astype(dtype) for shape in shapes]


@pytest.fixture
def cuda_kernels(kernels):
    """The kernels, where they are CUDA's."""
    if kernels.on_host:
        pytest.skip("the CPU's convolution is in test_conv.py (--device cuda)")
    return kernels


def run(kernels, backend, case, operands):
    x, w, bias, g = map(backend.asarray, operands)
    results = (
        convolve(kernels, x, w, bias, geometry=case.geometry),
        spread(kernels, g, w, size=x.shape[2:], geometry=case.geometry),
        correlate(kernels, g, x, kernel=case.kernel, geometry=case.geometry),
    )
    return [backend.to_host(a) for a in results]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", CASES)
def test_convolution_and_its_gradients(cuda_kernels, backend, name, dtype):
    dtype, tolerance = DTYPES[dtype]
    operands = draw(CASES[name], dtype)
    actual = run(cuda_kernels, backend, CASES[name], operands)
    expected = reference(*(a.astype(np.float64) for a in operands), CASES[name])
    for got, wanted in zip(actual, expected, strict=True):
        assert got.dtype == dtype
        assert_close(got, wanted, tolerance)


@pytest.mark.parametrize("name", ["packs", "groups of some", "three dimensions"])
def test_tf32(cuda_kernels, backend, name):
    """Operands of 10 bits: nearer to float32 than that they need not be, and are not."""
    operands = draw(CASES[name], np.float32)
    tl.set_float32_matmul_precision("high")
    try:
        actual = run(cuda_kernels, backend, CASES[name], operands)
    finally:
        tl.set_float32_matmul_precision("highest")
    expected = reference(*(a.astype(np.float64) for a in operands), CASES[name])
    for got, wanted in zip(actual, expected, strict=True):
        assert_close(got, wanted, 2e-3)
        assert np.abs(got - wanted).max() > 1e-6 * np.abs(wanted).max()


@pytest.mark.parametrize("images", [1, 40])
def test_weight_gradient_needs_no_more_than_the_output(cuda_kernels, backend, images, monkeypatch):
    """Partial sums of the weight gradient are few where weights are many."""
    case = CASES["packs"]._replace(images=images)
    x, _, _, g = map(backend.asarray, draw(case, np.float32))
    sizes, empty = [], cuda_kernels.empty
    monkeypatch.setattr(
        cuda_kernels,
        "empty",
        lambda shape, dtype: (
            sizes.append(math.prod(shape) * np.dtype(dtype).itemsize) or empty(shape, dtype)
        ),
    )
    correlate(cuda_kernels, g, x, kernel=case.kernel, geometry=case.geometry)
    weight = case.filters * case.channels * 9 * 4
    assert weight in sizes
    assert sum(sizes) - weight <= max(weight, g.nbytes)


def test_infinities_stay_where_they_are_seen(cuda_kernels, backend):
    case = CASES["packs"]
    x, w, bias, g = draw(case, np.float16)
    x[0, 0, 4, 4] = np.inf
    y = run(cuda_kernels, backend, case, (x, np.abs(w), bias, g))[0]
    infinite = np.isinf(y.astype(np.float32))
    assert infinite[0, :, 3:6, 3:6].all()
    assert infinite.sum() == case.filters * 9
