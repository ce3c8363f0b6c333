"""What carries CUDA arrays: all devices in one process, and the order of its stream."""

from __future__ import annotations

import ctypes
import threading
from types import SimpleNamespace

import numpy as np
import pytest

from tensorlite.backend import backend_for
from tensorlite.bench.counts import emulator
from tensorlite.cuda import device_count
from tensorlite.distributed import nccl


@pytest.fixture(autouse=True)
def on_cuda(device):
    if device.type != "cuda":
        pytest.skip("with --device cuda")


@pytest.fixture
def cupy():
    return backend_for("cuda").xp


def test_all_devices_in_one_process(cupy):
    size = device_count()
    if size < 2:
        pytest.skip("two devices")
    identity, found, errors = nccl.unique_id(), {}, []

    def work(rank):
        try:
            with cupy.cuda.Device(rank):
                link = nccl.NCCLLink(rank, size, identity, rank)
                others = [r for r in range(size) if r != rank]
                mine = {r: cupy.full(1000, 10 * rank + r, np.float16) for r in others}
                theirs = {r: cupy.zeros(1000, np.float16) for r in others}
                transfer = link.exchange(list(mine.items()), list(theirs.items()), "numbers")
                transfer.wait()
                sums = link.gather_array(sum(theirs.values()), "sums")
                found[rank] = [float(row[0]) for row in sums]
                assert link.sent == 1000 * 2 * 2 * (size - 1)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(rank,)) for rank in range(size)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
    expected = [float(sum(10 * r + rank for r in range(size) if r != rank)) for rank in range(size)]
    assert found == dict.fromkeys(range(size), expected)


class Loop:
    """A communicator of one: what it sends it receives, by copies in the stream it is given."""

    def __init__(self, cupy, *ranks):
        self.cupy, self.calls = cupy, []
        self.box = cupy.zeros(1000, np.uint8)

    def send(self, pointer, size, kind, rank, stream):
        self.calls.insert(0, (self.box.data.ptr, pointer, size, stream))

    def recv(self, pointer, size, kind, rank, stream):
        self.calls.append((pointer, self.box.data.ptr, size, stream))

    def end(self):
        copy, across = self.cupy.cuda.runtime.memcpyAsync, 3  # device to device
        for to, source, size, stream in self.calls:
            copy(to, source, size, across, stream)
        self.calls.clear()


@pytest.mark.skipif(emulator() is None, reason="only the emulator puts work off")
@pytest.mark.parametrize("broken", [None, "_follow", "wait"])
def test_streams_wait_for_one_another(broken, cupy, monkeypatch):
    loop = Loop(cupy)
    library = SimpleNamespace(
        NCCL_INT8=0,
        NcclCommunicator=lambda *of: loop,
        groupStart=lambda: None,
        groupEnd=loop.end,
    )
    monkeypatch.setattr(nccl, "library", lambda: library)
    link = nccl.NCCLLink(0, 1, (), 0)
    if broken == "_follow":
        monkeypatch.setattr(nccl.NCCLLink, "_follow", lambda self: None)
    if broken == "wait":
        monkeypatch.setattr(nccl.Queued, "wait", lambda self: None)
    stream = cupy.cuda.Stream(non_blocking=True)
    x, y = cupy.zeros(100, np.float32), cupy.zeros(100, np.float32)
    z = cupy.zeros(100, np.float32)
    cupy.cuda.Device().synchronize()
    driver = ctypes.CDLL("libcuda.so.1")
    driver.cuda_emulator_set_async(1)
    try:
        with stream:
            x += 3
            transfer = link.exchange([(0, x)], [(0, y)], "numbers")
            transfer.wait()
            cupy.multiply(y, 2, out=z)
        if broken == "_follow":  # nothing else makes the stream of the link wait
            link.stream.synchronize()
        stream.synchronize()
        values = z.get().tolist() if broken != "_follow" else y.get().tolist()
    finally:
        driver.cuda_emulator_set_async(0)
    right = 3.0 if broken == "_follow" else 6.0
    assert (values == [right] * 100) is (broken is None)
