"""The weight gradient of a convolution needs no more memory than the windows it reads."""

from __future__ import annotations

import numpy as np
import pytest

import tensorlite as tl
from tensorlite.nn import functional as F
from tensorlite.ops.compiled import columns


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_gradients_an_image_are_made_a_few_at_a_time(dtype, device, monkeypatch) -> None:
    rng = np.random.default_rng(0)
    x, w, d = (rng.standard_normal(s) for s in ((9, 4, 3, 3), (32, 4, 3, 3), (9, 32, 3, 3)))
    sizes = []

    def noted(a, b):
        y = tl.matmul(a, b)
        sizes.append(y.size)
        return y

    monkeypatch.setattr(columns, "matmul", noted)
    weight = tl.tensor(w, dtype=dtype, device=device, requires_grad=True)
    y = F.conv2d(tl.tensor(x, dtype=dtype, device=device), weight, padding=1)
    sizes.clear()
    y.backward(tl.tensor(d, dtype=dtype, device=device))
    windows = 9 * (4 * 9) * 9  # images, elements and places of a window
    assert len(sizes) > 1 and max(sizes) <= windows

    reference = tl.tensor(w, requires_grad=True)
    F.conv2d(tl.tensor(x), reference, padding=1).backward(tl.tensor(d))
    tolerance = 1e-5 if dtype == "float32" else 2e-2
    np.testing.assert_allclose(
        weight.grad.cpu().double().numpy(), reference.grad.numpy(), tolerance, 20 * tolerance
    )
