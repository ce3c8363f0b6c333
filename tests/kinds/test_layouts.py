"""How an array lies in memory changes no result and no gradient, of any primitive.

Strides that are negative or larger than an element are tried in `test_primitives.py`; here those
that NumPy alone can make: 0, as of what was broadcast, and such that elements are not aligned; and
memory that must not be written.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
from samples import SAMPLES
from samples.base import Sample

from tensorlite.backend import Backend, Device
from tensorlite.call import listed
from tensorlite.differentiate import grad
from tensorlite.primitive import PRIMITIVES
from tensorlite.tensor import Tensor, tensor_of


def spread(a: np.ndarray) -> np.ndarray:
    """The first of the last axis in place of all, with stride 0."""
    return np.broadcast_to(a[..., :1], a.shape) if a.ndim else a


def unaligned(a: np.ndarray) -> np.ndarray:
    """The same values, each one byte behind where it should begin."""
    memory = np.empty(a.nbytes + 1, np.uint8)
    view = memory[1:].view(a.dtype).reshape(a.shape)
    view[...] = a
    return view


def read_only(a: np.ndarray) -> np.ndarray:
    """The same values where nothing may be written."""
    a = a.copy()
    a.flags.writeable = False
    return a


def packed(a: np.ndarray) -> np.ndarray:
    """The values of a view in memory of their own."""
    return np.ascontiguousarray(a).reshape(a.shape).copy()


# Matrices whose columns are all equal have no inverse.
SINGULAR = {f"ops.decompositions.{name}" for name in ["inv", "det", "slogdet", "solve", "cholesky"]}
SINGULAR.add("ops.elimination.lu_packed")

CASES = {
    name.removeprefix("tensorlite."): [
        s for s in SAMPLES if getattr(s.op, "primitive", None) is primitive
    ]
    for name, primitive in PRIMITIVES.items()
    if name.startswith("tensorlite.")
}


def run(sample: Sample, arguments: list[Any], places: tuple[int, ...]) -> list[np.ndarray]:
    """Results and gradients."""
    tensors = []
    for i, a in enumerate(arguments):
        if isinstance(a, np.ndarray):
            a = tensor_of(a)
            a.requires_grad_(i in places)
        tensors.append(a)
    outputs = listed(sample.op(*tensors, **sample.static))
    recorded = [y for y in outputs if y.requires_grad]
    leaves = [t for t in tensors if isinstance(t, Tensor) and t.requires_grad]
    cotangents = [tensor_of(np.full(y.shape, 0.5, y.dtype)) for y in recorded]
    found = grad(recorded, leaves, cotangents, allow_unused=True) if recorded else ()
    return [t.array for t in (*outputs, *found) if t is not None]


@pytest.mark.parametrize("layout", [spread, unaligned, read_only])
@pytest.mark.parametrize("name", CASES)
def test_layout(name: str, layout: Any, device: Device, backend: Backend) -> None:
    if device.type != "cpu":
        pytest.skip("CuPy has neither")
    ran = 0
    for sample in CASES[name]:
        drawn = sample.draw()
        places = sample.differentiated(drawn)
        dtype = "float32" if "float32" in sample.dtypes else sample.dtypes[0]
        drawn = [_in(dtype, a) for a in drawn]
        odd = [layout(a) if isinstance(a, np.ndarray) else a for a in drawn]
        even = [packed(a) if isinstance(a, np.ndarray) else a for a in odd]
        with warnings.catch_warnings(action="ignore"):
            try:
                expected = run(sample, even, places)
            except (ValueError, IndexError, np.linalg.LinAlgError):
                continue  # such values, all equal in a row, are refused
            found = run(sample, odd, places)
        for actual, value in zip(found, expected, strict=True):
            np.testing.assert_allclose(actual, value, 2e-4, 2e-5, err_msg=f"{sample}")
        ran += 1
    refused = layout is spread and name in SINGULAR
    assert ran or refused, f"no sample of {name} could be laid out so"


def _in(dtype: str, a: Any) -> Any:
    return a.astype(dtype) if isinstance(a, np.ndarray) and a.dtype.kind == "f" else a
