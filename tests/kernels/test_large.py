"""Outputs of 16 MB and more, which the CPU writes past its caches: the bits of small ones."""

from __future__ import annotations

import numpy as np
import pytest
from reference import normal

ROWS = 4100
FLOAT = np.dtype(np.float32)


@pytest.mark.parametrize("offset", [0, 1], ids=["aligned", "misaligned"])
@pytest.mark.parametrize("name", ["relu", "gelu", "exp"])
def test_maps(host_kernels, host_guarded, name, offset):
    n = (4 << 20) + 1003
    x = normal(1, n).astype(FLOAT)
    whole = host_guarded.empty((n + offset,), FLOAT)[offset:]
    kernel = getattr(host_kernels, name)
    kernel(x, whole, n)
    parts = np.empty_like(x)
    for part in np.array_split(np.arange(n), 9):
        of = slice(part[0], part[-1] + 1)
        kernel(x[of], parts[of], part.size)
    np.testing.assert_array_equal(whole, parts)


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.float16])
def test_casts(host_kernels, host_guarded, dtype):
    x = normal(2, (8 << 20) + 5).astype(np.float32)
    y = host_guarded.empty(x.shape, np.dtype(dtype))
    host_kernels.cast(x, y, x.size)
    np.testing.assert_array_equal(y, x.astype(dtype))


@pytest.mark.parametrize("columns", [1024, 1032, 1031], ids=["blocks", "rest", "misaligned"])
def test_rows(host_kernels, host_guarded, columns):
    k = host_kernels
    x, g = (normal(i, ROWS, columns).astype(FLOAT) for i in (3, 4))
    weight, bias = (normal(i, columns).astype(FLOAT) for i in (5, 6))
    labels = np.random.default_rng(7).integers(0, columns, ROWS)

    def outputs(of: slice) -> list[np.ndarray]:
        rows = x[of].shape[0]
        y, dy, z, dlogits = (host_guarded.empty((rows, columns), FLOAT) for _ in range(4))
        mean, rstd, loss = (host_guarded.empty((rows,), FLOAT) for _ in range(3))
        k.softmax(x[of], y, rows, columns)
        k.softmax_backward(g[of], y, dy, rows, columns)
        k.layer_norm(x[of], weight, bias, z, mean, rstd, rows, columns, 1e-5)
        k.cross_entropy(x[of], labels[of], None, None, loss, dlogits, rows, columns, -1, 0.0)
        return [y, dy, z, mean, rstd, loss, dlogits]

    middle = slice(0, ROWS // 2), slice(ROWS // 2, ROWS)
    for whole, *halves in zip(outputs(slice(None)), *map(outputs, middle), strict=True):
        np.testing.assert_array_equal(whole, np.concatenate(halves))


@pytest.mark.parametrize("columns", [1024, 1032, 1031], ids=["blocks", "rest", "misaligned"])
def test_layer_norm_backward(host_kernels, host_guarded, columns):
    x, g = (normal(i, ROWS, columns).astype(FLOAT) for i in (3, 4))
    weight = normal(5, columns).astype(FLOAT)
    mean, rstd = np.full(ROWS, 0.25, FLOAT), np.full(ROWS, 1.5, FLOAT)

    def dx(of: slice) -> np.ndarray:
        rows = x[of].shape[0]
        out = host_guarded.empty((rows, columns), FLOAT)
        partial = np.empty((2, 32, columns), FLOAT)
        host_kernels.layer_norm_backward(
            g[of], x[of], mean[of], rstd[of], weight, out, *partial, rows, columns, 32
        )
        return out

    halves = dx(slice(0, ROWS // 2)), dx(slice(ROWS // 2, ROWS))
    np.testing.assert_array_equal(dx(slice(None)), np.concatenate(halves))
