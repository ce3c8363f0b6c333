"""Resampling kernels against sums written out in float64."""

from __future__ import annotations

import numpy as np
import pytest
from guards import assert_close

TOLERANCE = {"float16": 2e-3, "float32": 1e-6, "float64": 1e-14}

# outer, length, inner, size, taps
MIXTURES = [
    (3, 7, 1, 12, 2),
    (2, 5, 33, 9, 4),
    (1, 1, 1, 1, 1),
    (4, 300, 3, 70, 3),
    (2, 9, 17, 2, 5),
]
# planes, height, width, out height, out width
PLANES = [
    (3, 4, 5, 8, 10),
    (2, 7, 9, 3, 4),
    (1, 1, 20, 1, 33),
    (2, 6, 4, 18, 12),
    (2, 3, 40, 7, 13),
]


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("shape", MIXTURES)
def test_mixture(kernels, backend, guarded, shape, dtype):
    outer, length, inner, size, taps = shape
    rng = np.random.default_rng(0)
    x = rng.standard_normal((outer, length, inner)).astype(dtype)
    place = rng.integers(0, length, (taps, size)).astype(np.int32)
    weight = rng.standard_normal((taps, size)) * (rng.random((taps, size)) > 0.2)
    weight = weight.astype("float64" if dtype == "float64" else "float32")
    expected = np.zeros((outer, size, inner))
    for k, j in np.ndindex(taps, size):
        expected[:, j] += weight[k, j].astype(np.float64) * x[:, place[k, j]]
    y = guarded.empty(expected.shape, dtype)
    arrays = [backend.asarray(a) for a in (x, place, weight)]
    kernels.resample(*arrays, y, outer, length, inner, size, taps)
    assert_close(backend.to_host(y), expected, TOLERANCE[dtype])


@pytest.mark.parametrize("inner", [1, 5])
def test_what_has_no_weight_does_not_count(kernels, backend, guarded, inner):
    x = np.full((1, 2, inner), np.inf, np.float32)
    x[0, 1] = 3
    place = np.array([[0, 1], [1, 0]], np.int32)
    weight = np.array([[0, 1], [2, 0]], np.float32)
    y = guarded.empty(x.shape, "float32")
    kernels.resample(*map(backend.asarray, (x, place, weight)), y, 1, 2, inner, 2, 2)
    assert (backend.to_host(y)[0].T == [6, 3]).all()


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("shape", PLANES)
def test_nearest(kernels, backend, guarded, shape, dtype):
    planes, h, w, out_h, out_w = shape
    rng = np.random.default_rng(1)
    x = rng.standard_normal((planes, h, w)).astype(dtype)
    g = rng.standard_normal((planes, out_h, out_w)).astype(dtype)
    rows, columns = (np.arange(o) * n // o for n, o in ((h, out_h), (w, out_w)))
    repeat = out_w // w if out_w % w == 0 else 0
    gradient = np.zeros(x.shape)
    for i, j in np.ndindex(out_h, out_w):
        gradient[:, rows[i], columns[j]] += g[:, i, j]
    starts = [np.searchsorted(m, np.arange(n + 1)) for m, n in ((rows, h), (columns, w))]
    rows, columns, *starts = (backend.asarray(a.astype(np.int32)) for a in (rows, columns, *starts))
    y, dx = guarded.empty(g.shape, dtype), guarded.empty(x.shape, dtype)
    kernels.nearest2d(backend.asarray(x), rows, columns, y, *shape, repeat)
    kernels.nearest2d_backward(backend.asarray(g), *starts, columns, dx, *shape, repeat)
    wanted = x[:, backend.to_host(rows)][:, :, backend.to_host(columns)]
    assert (backend.to_host(y) == wanted).all()
    assert_close(backend.to_host(dx), gradient, TOLERANCE[dtype])
