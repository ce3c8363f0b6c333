"""The compiled launch on CUDA does what the one in Python does, and refuses what that does."""

from __future__ import annotations

import json

import numpy as np
import pytest

from tensorlite.backend import HOST
from tensorlite.backend.kernels.c_types import FLOATS
from tensorlite.backend.kernels.declarations import families
from tensorlite.bench.counts import emulator

KERNELS = {kernel.name: kernel for of in families("cuda").values() for kernel in of}
SCALARS = {"Index": 2, "int": 2, "uint64_t": 1, "bool": False, "float": 0.5, "double": 0.5}
OTHERS = [None, [1.0], np.ones(2, np.float32), 3, 2.5, True, "x", np.int64(2), np.array(2)]
OTHERS += [-1, np.float32(0.5), 2**70]


class Launched(Exception):
    """The arguments were accepted, for these element types."""


@pytest.fixture
def cuda(device):
    if device.type != "cuda":
        pytest.skip("of CUDA alone")
    from tensorlite.backend.kernels import cuda

    if cuda.launching(HOST.kernels) is None:
        pytest.skip("no compiler: launches are made in Python")
    return cuda


@pytest.fixture
def both(cuda, monkeypatch):
    """Make both calls of a kernel, neither of which gets as far as the device."""

    def make(name):
        def accepted(self, choice):
            raise Launched(choice)

        monkeypatch.setattr(cuda.CudaKernel, "_instance", accepted)
        plain = cuda.CudaKernel(KERNELS[name])
        compiled = plain.compiled(cuda.launching(HOST.kernels))
        assert compiled is not plain
        return plain.launch, compiled

    return make


def _outcome(call, arguments):
    try:
        return call(*arguments)
    except Exception as error:
        return type(error), str(error)


def _right(kernel, xp, dtype):
    """Arguments that a kernel takes: lengths of 2, and arrays as long as that makes them."""
    scalars = {p.name: SCALARS[p.type] for p in kernel.parameters if not p.is_array}
    fixed = {"Index": "q", "int": "i", "bool": "?", "uint8_t": "B", "uint32_t": "I"}
    arguments = []
    for p in kernel.parameters:
        if not p.is_array:
            arguments.append(scalars[p.name])
            continue
        count = eval(p.count, {}, dict(scalars))
        if p.type.startswith("Acc<"):
            own = "d" if dtype == "float64" else "f"
        else:
            own = {"float": "f", "double": "d"}.get(p.type) or fixed.get(p.type, dtype)
        arguments.append(xp.zeros(count, own))
    return arguments


def _wrong(p, value, xp):
    """Other arguments in the place of a right one."""
    yield from OTHERS
    if not p.is_array:
        return
    for dtype in ("e", "f", "d", "q", "i", "?", "B", "F"):
        yield value.astype(dtype)
    yield xp.zeros(value.size + 1, value.dtype)
    yield xp.zeros((2, *value.shape), value.dtype)
    yield xp.zeros((*value.shape[:-1], 2 * value.shape[-1]), value.dtype)[..., ::2]
    yield xp.zeros(value.shape[::-1], value.dtype).T
    yield value[..., ::-1]
    yield value[:0]
    yield value.reshape(1, -1)
    raw = xp.zeros(value.nbytes + 1, np.uint8)[1:]
    yield xp.ndarray(value.shape, value.dtype, raw.data)


def _two_dtypes(kernel):
    """float32 and float64, or those two that a kernel has instead."""
    having = [d for d, cpp in FLOATS.items() if all(cpp in of for of in kernel.types.values())]
    return having[:2]


@pytest.mark.parametrize(
    ("name", "dtype"), [(n, d) for n in KERNELS for d in _two_dtypes(KERNELS[n])]
)
def test_the_compiled_launch_refuses_what_the_plain_one_does(name, dtype, backend, both):
    kernel, xp = KERNELS[name], backend.xp
    plain, compiled = both(name)
    right = _right(kernel, xp, dtype)
    assert _outcome(compiled, right) == _outcome(plain, right)
    assert issubclass(_outcome(plain, right)[0], Launched)
    assert _outcome(compiled, right[:-1]) == _outcome(plain, right[:-1])
    assert _outcome(compiled, [*right, 1]) == _outcome(plain, [*right, 1])
    for i, p in enumerate(kernel.parameters):
        for other in _wrong(p, right[i], xp):
            arguments = [*right[:i], other, *right[i + 1 :]]
            assert _outcome(compiled, arguments) == _outcome(plain, arguments), (p, other)


def test_arrays_of_another_device_than_the_current_one(cuda, backend, both):
    if backend.xp.cuda.runtime.getDeviceCount() < 2:
        pytest.skip("one CUDA device")
    plain, compiled = both("relu")
    here = backend.xp.zeros(4, "f")
    with backend.xp.cuda.Device(1):
        there = backend.xp.zeros(4, "f")
    for arguments in ((there, there, 4), (here, there, 4), (there, here, 4)):
        assert _outcome(compiled, arguments) == _outcome(plain, arguments)


@pytest.mark.skipif(emulator() is None, reason="the emulator tells how a kernel was launched")
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    ("name", "extents"),
    [
        ("relu", [(1,), (256,), (257,), (2048 * 133,)]),
        ("softmax", [(1, 1), (5, 3), (9, 512), (9, 513), (3, 8000), (3, 9000), (40000, 1)]),
        ("column_total", [(2, 3, 300)]),
    ],
)
def test_both_launch_as_many_threads(name, extents, dtype, cuda, backend):
    driver, xp = emulator(), backend.xp
    kernel = cuda.CudaKernel(KERNELS[name])
    compiled = kernel.compiled(cuda.launching(HOST.kernels))
    for extent in extents:
        counts = [p for p in KERNELS[name].parameters if p.is_array]
        scalars = [p.name for p in KERNELS[name].parameters if not p.is_array]
        known = dict(zip(scalars, extent, strict=True))
        arrays = [xp.zeros(eval(p.count, {}, dict(known)), dtype) for p in counts]
        found = []
        for call in (kernel.launch, compiled):
            driver.cuda_emulator_profile_reset()
            call(*arrays, *extent)
            xp.cuda.Device().synchronize()
            found.append(json.loads(driver.cuda_emulator_profile_json())["kernels"])
        assert found[0] == found[1]
        assert sum(each["launches"] for each in found[0].values()) == 1


def test_a_zero_size_launches_nothing(cuda, backend, kernels):
    x = backend.xp.zeros(0, "f")
    assert kernels.relu(x, x, 0) is None
