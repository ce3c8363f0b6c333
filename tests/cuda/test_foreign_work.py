"""Work that CuPy queues between operations while links of a chain wait: it keeps its place."""

from __future__ import annotations

import ctypes
import json
from types import SimpleNamespace

import cupy
import numpy as np
import pytest

import tensorlite as tl
from tensorlite.backend import HOST, driver
from tensorlite.bench.counts import emulator
from tensorlite.recording import CaptureError, graph_chains


@pytest.fixture(autouse=True)
def counted(monkeypatch):
    if tl.backend.backend_for("cuda").kernels is None or HOST.kernels is None:
        pytest.skip("graphs are made of compiled kernels")
    if (library := emulator()) is not None:  # which has no function for it

        def captured_nodes(stream):
            counts = json.loads(library.cuda_emulator_profile_json())["counts"]
            return counts.get("captured_nodes", {"count": 0})["count"]

        monkeypatch.setattr(graph_chains, "captured_nodes", captured_nodes)


ROOMS: dict = {}


class Tripled(tl.autograd.Function):
    """Forward and backward by CuPy, in memory that is there."""

    @staticmethod
    def times_three(x):
        room = ROOMS.setdefault(x.shape, cupy.empty(x.shape, "f"))
        cupy.multiply(x.array, 3, out=room)
        return tl.from_dlpack(room)

    @staticmethod
    def forward(ctx, x):
        return Tripled.times_three(x)

    @staticmethod
    def backward(ctx, g):
        return Tripled.times_three(g)


def own_function(x, room):
    y = Tripled.apply(x * 2 + 1) * 0.5 - 1
    return y, y * 2


def own_function_backwards(x, room):
    x = (x * 1).requires_grad_()
    y = Tripled.apply((x * 2 + 1) * x)
    (y * y + y).sum().backward()
    return y.detach(), x.grad


def raw_kernel(x, room):
    y = x * 2 + 1
    twice = "{ y[threadIdx.x] = 2 * x[threadIdx.x]; }"
    code = 'extern "C" __global__ void twice(const float* x, float* y)' + twice
    cupy.RawKernel(code, "twice")((1,), (x.numel(),), (y.array, room.array))
    return y - 1, room * 1


def over_what_is_read(x, room):
    y = (x + room) * 2
    room.array.fill(0)  # a link that waits reads it
    return y, room + x


def memory_copied(x, room):
    y = (x * 3 - 1) * x
    room.array.data.copy_from_device_async(y.array.data, y.array.nbytes)
    y = y * 2
    room.array.data.memset_async(0, 4)
    return y, room * 1


def stream():
    return cupy.cuda.Stream(non_blocking=True)


def another_stream(x, room):
    y = x * 3 - 1
    here, aside = cupy.cuda.get_current_stream(), ROOMS.setdefault("aside", stream())
    aside.wait_event(here.record())
    with aside:
        cupy.negative(y.array, out=room.array)
        done = aside.record()
    z = y * 2 + 1
    here.wait_event(done)
    return z, room * 1


KINDS = [
    own_function,
    own_function_backwards,
    raw_kernel,
    over_what_is_read,
    memory_copied,
    another_stream,
]


@pytest.mark.parametrize("function", KINDS, ids=lambda f: f.__name__)
def test_work_of_cupys_keeps_its_place(function):
    given = [np.random.default_rng(i).standard_normal((3, 5)).astype("f") for i in range(5)]
    found = []
    for call in (function, tl.capture(function)):
        room = tl.zeros(3, 5, device="cuda")
        for x in given:
            results = call(tl.tensor(x, device="cuda"), room)
            found.append(b"".join(y.cpu().numpy().tobytes() for y in results))
    assert found[:5] == found[5:]
    (recording,) = call.recordings
    assert recording.replays and "fused[" in str(recording)


@pytest.mark.parametrize("what", ["product", "copy to the host"])
def test_what_cupy_does_not_capture_is_a_refusal(what):
    room, seen = cupy.empty((4, 4), "f"), []

    def call(x):
        y = x * 2 + 1
        if what == "product":
            cupy.matmul(y.array, y.array, out=room)
        else:
            seen.append(float(y.array.get()[0, 0]))
        return y

    captured = tl.capture(call, strict=False)
    for i in range(4):
        x = tl.full((4, 4), float(i), device="cuda")
        assert (captured(x) == 2 * x + 1).all()
    assert "CUDA refuses it" in captured.reason and "captur" in captured.reason
    with pytest.raises(CaptureError, match="CUDA refuses it"):
        strict = tl.capture(call)
        [strict(tl.ones(4, 4, device="cuda")) for _ in range(2)]
    assert what == "product" or seen == [1.0, 3.0, 5.0, 7.0, 3.0, 3.0]


def test_a_stream_that_is_destroyed_meanwhile_is_a_refusal():
    def call(x):
        y = x * 3 - 1
        here, aside = cupy.cuda.get_current_stream(), stream()
        aside.wait_event(here.record())
        here.wait_event(aside.record())
        del aside
        return y * 2

    captured = tl.capture(call, strict=False)
    for _ in range(3):
        assert (captured(tl.ones(2, device="cuda")) == 4).all()
    assert "CUDA refuses it" in captured.reason


def test_where_it_comes_elsewhere_every_time_nothing_waits(monkeypatch):
    seen = iter(range(10**6))
    monkeypatch.setattr(graph_chains, "captured_nodes", lambda stream: next(seen))
    captured = tl.capture(lambda x: (x * 2 + 1) * (x - 3) * 0.5)
    for i in range(8):
        x = tl.full((2, 3), float(i), device="cuda")
        y = captured(x)
        assert (y == (x * 2 + 1) * (x - 3) * 0.5).all()
    (recording,) = captured.recordings
    assert recording.replays and "fused[" not in str(recording)


def test_the_driver_is_asked_as_cuda_declares_it(monkeypatch):
    pointer, size = ctypes.c_void_p, ctypes.POINTER(ctypes.c_size_t)

    @ctypes.CFUNCTYPE(ctypes.c_int, *[pointer] * 6)
    def info(stream, state, number, graph, nodes, count):
        if stream != 77:
            return 400
        ctypes.cast(state, ctypes.POINTER(ctypes.c_int))[0] = 1
        ctypes.cast(number, ctypes.POINTER(ctypes.c_uint64))[0] = 2**63
        ctypes.cast(graph, ctypes.POINTER(pointer))[0] = 2**40 + 1
        assert nodes is None and count is None
        return 0

    @ctypes.CFUNCTYPE(ctypes.c_int, pointer, pointer, size)
    def nodes(graph, found, count):
        assert graph == 2**40 + 1 and found is None
        count[0] = 5
        return 0

    library = SimpleNamespace(cuStreamGetCaptureInfo_v2=info, cuGraphGetNodes=nodes)
    driver._capture_calls.cache_clear()
    monkeypatch.setattr(ctypes, "CDLL", lambda name: library)
    try:
        assert driver.captured_nodes(77) == 5
        assert driver.captured_nodes(78) is None
    finally:
        driver._capture_calls.cache_clear()
