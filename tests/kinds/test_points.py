"""Arrays without axes keep their dtype in gradient rules, where NumPy makes numbers of them."""

from __future__ import annotations

import numpy as np
import pytest
from samples import SAMPLES

import tensorlite as tl
from tensorlite.backend import Backend, Device

POINTWISE = {sample.name: sample for sample in SAMPLES if sample.broadcasts}


@pytest.mark.parametrize("name", POINTWISE)
def test_gradients_are_as_exact_as_those_of_one_element(name, device: Device, backend: Backend):
    """Of float64: a float32 in between would cost half of the digits."""
    sample = POINTWISE[name]
    if device.type not in sample.devices:
        return
    values = sample.draw([i.of_shape(()) if hasattr(i, "of_shape") else i for i in sample.inputs])
    places = sample.differentiated(values)
    found = []
    for shape in ((), (1,)):
        arguments = [
            tl.tensor(v.reshape(shape), device=device, requires_grad=i in places)
            if isinstance(v, np.ndarray)
            else v
            for i, v in enumerate(values)
        ]
        y = sample.op(*arguments, **sample.static)
        leaves = [arguments[i] for i in places]
        if not getattr(y, "requires_grad", False):
            return
        gradients = tl.grad(y, leaves, tl.full(y.shape, 0.7, dtype=y.dtype, device=device))
        found.append([backend.to_host(d.array).reshape(()) for d in gradients])
    for point, one in zip(*found, strict=True):
        np.testing.assert_allclose(point, one, rtol=1e-14)
