"""What a convolution needs beside its operands and results is counted, through the primitives."""

from __future__ import annotations

import numpy as np
import pytest

import tensorlite as tl
from tensorlite.nn import functional as F


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_no_copy_of_the_windows_is_made(dtype, device) -> None:
    """Forward and backward take a part of what the windows of a 3 × 3 filter would, ninefold."""
    if device.type != "cuda":
        pytest.skip("memory is counted on CUDA (--device cuda)")
    import cupy

    rng = np.random.default_rng(0)
    x, w, d = (rng.standard_normal(s) for s in ((9, 16, 12, 12), (16, 16, 3, 3), (9, 16, 12, 12)))
    image = tl.tensor(x, dtype=dtype, device=device, requires_grad=True)
    weight = tl.tensor(w, dtype=dtype, device=device, requires_grad=True)
    gradient = tl.tensor(d, dtype=dtype, device=device)
    sizes, taken = [], cupy.cuda.get_allocator()

    def noted(size):
        sizes.append(size)
        return taken(size)

    with cupy.cuda.using_allocator(noted):
        y = F.conv2d(image, weight, padding=1)
        y.backward(gradient)
    least = 2 * image.array.nbytes + weight.array.nbytes  # y, and both gradients
    # Sums of parts of the weight's gradient take no more than the output; filters are turned round.
    assert least <= sum(sizes) <= least + 2 * image.array.nbytes + 3 * weight.array.nbytes

    wide = tl.tensor(x, requires_grad=True), tl.tensor(w, requires_grad=True)
    F.conv2d(*wide, padding=1).backward(tl.tensor(d))
    tolerance = 1e-5 if dtype == "float32" else 2e-2
    for short, reference in zip((image, weight), wide, strict=True):
        np.testing.assert_allclose(
            short.grad.cpu().double().numpy(), reference.grad.numpy(), tolerance, 20 * tolerance
        )
