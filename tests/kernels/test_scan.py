"""Running sums against NumPy in float64."""

from __future__ import annotations

import numpy as np
import pytest
from reference import normal


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize(
    "shape", [(1, 1, 1), (1, 5000, 1), (19, 37, 1), (600, 40, 1), (3, 50, 2), (2, 70, 700)]
)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_running_sum(host_kernels, host_guarded, dtype, shape, reverse):
    x = normal(1, *shape).astype(dtype)
    y = host_guarded.empty(shape, dtype)
    host_kernels.running_sum(x, y, *shape, reverse)
    turn = slice(None, None, -1 if reverse else 1)
    expected = np.cumsum(x.astype(float)[:, turn], 1)[:, turn].astype(dtype)
    np.testing.assert_allclose(y, expected, 1e-14, 1e-13)
    positive = np.abs(x)
    host_kernels.running_sum(positive, y, *shape, False)
    assert (np.diff(y, axis=1) >= 0).all(), "what only grows is never rounded down"
