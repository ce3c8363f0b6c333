"""What operations ask of the device: no library of CuPy's, no wait for a value.

The emulator counts library calls, copies to the host and synchronisations; a GPU does not, and
CuPy's own products, random numbers and waits cannot be captured in a CUDA graph.
"""

from __future__ import annotations

import ctypes
import json

import numpy as np
import pytest
from samples import SAMPLES

import tensorlite as tl
from tensorlite.backend import backend_for
from tensorlite.tensor import Tensor, tensor_of

# Their results, or the shapes of these, depend on values; what they need to know they must read.
READS_VALUES = {
    "counting.counts_of",
    "counting.histogram_counts",
    "gamma.zeta",
    "index.advanced_getitem",
    "index.getitem_backward",
    "index.last_writes",
    "index.places_of_nonzero",
    "index.with_item",
    "distinct.different_rows",
}
WAITS = ("memcpyD2H", "stream_synchronize", "event_synchronize", "device_synchronize")


@pytest.fixture(scope="module")
def emulator():
    library = ctypes.CDLL("libcuda.so.1")
    if not hasattr(library, "cuda_emulator_profile_json"):
        pytest.skip("counting needs the CUDA emulator")
    library.cuda_emulator_profile_json.restype = ctypes.c_char_p
    return library


def counted(emulator, action):
    """Run `action` with warm caches; return the emulator's profile of it."""
    action()
    emulator.cuda_emulator_profile_reset()
    result = action()
    profile = json.loads(emulator.cuda_emulator_profile_json())
    del result
    return profile


def call(sample):
    """Forward and backward of a sample in float32, its inputs already on the device."""
    backend = backend_for("cuda")
    drawn = sample.draw()
    places = sample.differentiated(drawn)
    arguments = []
    for i, value in enumerate(drawn):
        if isinstance(value, np.ndarray):
            dtype = np.float32 if value.dtype.kind == "f" else None
            value = tensor_of(backend.asarray(value, dtype=dtype), requires_grad=i in places)
        arguments.append(value)

    def action():
        results = sample.op(*arguments, **sample.static)
        outputs = results if isinstance(results, (tuple, list)) else [results]
        outputs = [y for y in outputs if y.requires_grad]
        if outputs:
            inputs = [a for a in arguments if isinstance(a, Tensor) and a.requires_grad]
            ones = [tensor_of(backend.xp.ones(y.shape, y.dtype)) for y in outputs]
            tl.grad(outputs, inputs, ones, allow_unused=True)
        return results

    return action


HERE = [sample for sample in SAMPLES if "cuda" in sample.devices and "float32" in sample.dtypes]


@pytest.mark.parametrize("name", sorted({sample.name for sample in HERE}))
def test_operations_read_no_values_and_call_no_library_but_cublaslt(name, emulator):
    for sample in HERE:
        if sample.name != name:
            continue
        profile = counted(emulator, call(sample))
        called = [c.split()[0] for c in profile["library_calls"]]
        foreign = [c for c in called if not c.startswith(("cublasLt", "thrust"))]  # thrust sorts
        assert not foreign, f"{sample} calls {foreign}"
        if name not in READS_VALUES:
            waits = {k: v for k, v in profile["counts"].items() if k in WAITS and v}
            assert not waits, f"{sample} waits for the device: {waits}"


def test_sums_of_segments_do_not_lose_digits_beside_large_ones(device):
    """As CuPy's `reduceat` would, which subtracts running totals."""
    values = np.array([1e4, 3e4, 1e-4, 2e-4, np.inf, 1.0, 2.0], np.float32)
    index = tl.tensor([0, 0, 1, 1, 2, 3, 3], device=device)
    x = tl.tensor(values, device=device)
    for sums in (
        tl.zeros(4, device=device).scatter_add(0, index, x),
        tl.zeros(4, device=device).index_add(0, index, x),
        tl.zeros(4, 1, device=device).index_add(0, index, x[:, None])[:, 0],
    ):
        np.testing.assert_allclose(sums.cpu().numpy(), [4e4, 3e-4, np.inf, 3], rtol=1e-6)


def test_long_sums_into_one_place_are_no_chain_in_float32(device):
    """Which would stand still at 2**24."""
    values = np.ones((70_001, 1), np.float32)
    values[0] = 2**24
    index = tl.zeros(70_001, dtype=tl.int64, device=device)
    total = tl.zeros(1, 1, device=device).index_add(0, index, tl.tensor(values, device=device))
    assert total.item() == 2**24 + 70_000
