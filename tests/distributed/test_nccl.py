"""NCCL, on the emulator or on as many GPUs: the same bits, the bytes of a ring, no wait."""

from __future__ import annotations

import json
import re

import pytest
from launching import HAS_MPI, WITHOUT, digests, run

from tensorlite.bench.counts import emulator
from tensorlite.cuda import device_count

EMULATED = {
    "DEVICE": "cuda",
    "CUDA_EMULATOR_DEVICES": "4",
    "CUDA_EMULATOR_STRICT": "1",
    "CUDA_EMULATOR_TIMEOUT": "60",
}

pytestmark = [
    pytest.mark.skipif(not HAS_MPI, reason=WITHOUT),
    pytest.mark.skipif(
        device_count() < 4 and emulator() is None, reason="four CUDA devices, or the emulator"
    ),
]


@pytest.fixture(autouse=True)
def on_cuda(device):
    if device.type != "cuda":
        pytest.skip("with --device cuda")


@pytest.mark.parametrize(("kind", "sizes"), [("cnn", (0, 2)), ("gpt", (0, 2, 4))])
def test_bits_do_not_depend_on_the_number_of_devices(kind, sizes):
    found = [digests(ranks, kind, 4, 6, **EMULATED) for ranks in sizes]
    assert len(found[0]) == 1 and all(other == found[0] for other in found)


def test_bits_of_short_floats():
    one, two = (digests(ranks, "mlp", 2, 4, DTYPE="bfloat16", **EMULATED) for ranks in (0, 2))
    assert len(one) == 1 and one == two


def test_nothing_depends_on_the_order_of_what_may_run_at_the_same_time():
    orders = [
        {"CUDA_EMULATOR_ORDER": "forward"},
        {"CUDA_EMULATOR_ASYNC": "lazy", "CUDA_EMULATOR_ORDER": "reverse"},
        {"CUDA_EMULATOR_ASYNC": "random:1", "CUDA_EMULATOR_ORDER": "random:2"},
    ]
    found = [digests(2, "cnn", 2, 4, **EMULATED, **order) for order in orders]
    assert len(found[0]) == 1 and all(other == found[0] for other in found)


@pytest.mark.skipif(emulator() is None, reason="counted by the emulator only")
@pytest.mark.parametrize(
    ("ranks", "kind", "dtype"),
    [
        (4, "mlp", "float32"),
        (2, "mlp", "bfloat16"),
        (2, "amp", "float32"),
        (2, "cnn", "float32"),
    ],
)
def test_bytes_of_a_ring_and_no_wait_on_the_host(ranks, kind, dtype):
    done = run(ranks, "counts.py", kind, dtype, **EMULATED)
    assert done.returncode == 0, done.stderr
    told = [json.loads(line) for line in re.findall(r"\{.*\}", done.stdout)]
    assert len(told) == ranks
    size, steps = told[0]["parameters"], [one["steps"] for one in told]
    statistics = 0 if kind != "cnn" else 2 * 20 * 4 * (ranks - 1)
    for of_all in zip(*steps, strict=True):
        assert all(step["waits"] == 0 for step in of_all)
        assert all(step["sent"] == step["emulated"] for step in of_all)
        mean = sum(step["sent"] for step in of_all) / ranks - statistics
        least = 2 * (ranks - 1) / ranks * size
        assert least * 0.999 < mean <= least * 1.01
