"""Chains of operations in a CUDA graph: fewer launches, the same bits, and what is not used."""

from __future__ import annotations

import json

import numpy as np
import pytest
from fused_kinds import (
    KINDS,
    drawn,
    gelu,
    huber,
    layer_norm,
    with_gradient,
    written_in_place,
)

import tensorlite as tl
from tensorlite.backend import HOST
from tensorlite.bench.counts import emulator
from tensorlite.tensor import tensor_of

ARCHITECTURES = [75, 80, 86, 89, 90, 100, 120]


@pytest.fixture(autouse=True)
def compiled():
    if tl.backend.backend_for("cuda").kernels is None or HOST.kernels is None:
        pytest.skip("graphs are made of compiled kernels")


def _inputs(*shapes, count=4):
    rng = np.random.default_rng(3)
    for _ in range(count):
        values = [rng.standard_normal(shape).astype("f") for shape in shapes]
        yield [tl.tensor(x, device="cuda") for x in values]


def _replayed(function, *shapes, fuse=True):
    captured = tl.capture(function, fuse=fuse)
    for given in _inputs(*shapes):
        result = captured(*given)
    return captured, given, result


def _chains(captured):
    (recording,) = captured.recordings
    return recording._recorder.chains


@pytest.mark.skipif(emulator() is None, reason="counted by the emulator only")
@pytest.mark.parametrize(
    ("function", "shapes", "before", "most"),
    [
        (with_gradient(gelu), [(9, 14)], 20, 3),
        (with_gradient(huber), [(9, 14)] * 2, 20, 6),
        (with_gradient(layer_norm), [(9, 14)], 25, 14),
    ],
    ids=["gelu", "huber", "layer norm"],
)
def test_a_formula_is_few_nodes_of_one_launch(function, shapes, before, most):
    nodes = []
    for fuse in (False, True):
        captured, given, _ = _replayed(function, *shapes, fuse=fuse)
        driver = emulator()
        tl.cuda.synchronize()
        driver.cuda_emulator_profile_reset()
        held = captured(*given)
        tl.cuda.synchronize()
        counts = json.loads(driver.cuda_emulator_profile_json())["counts"]
        assert counts["graph_launches"]["count"] == 1
        assert counts.get("malloc", {"count": 0})["count"] == 0
        nodes.append(counts["graph_nodes_run"]["count"])
        del held
    assert nodes[0] >= before
    assert nodes[1] <= most


def test_what_is_written_in_place_or_read_elsewhere_keeps_its_order():
    state = tl.zeros(6, 8, device="cuda")
    call = written_in_place(state)
    found = []
    for step in (tl.capture(call), call):
        state.zero_()
        found.append([])
        for given in _inputs((6, 8), (8, 8), count=5):
            found[-1] += [x.cpu().numpy().tobytes() for x in step(*given)]
    assert found[0] == found[1]


def test_a_kernel_with_other_bits_is_not_used(monkeypatch):
    from tensorlite.recording import graph_kernels

    monkeypatch.setattr(graph_kernels, "_alike", lambda x, view: False)
    captured, (x,), y = _replayed(gelu, (9, 15))
    assert y.cpu().numpy().tobytes() == gelu(x).cpu().numpy().tobytes()
    assert _chains(captured).unproven
    assert "one by one" in captured.recordings[0].unfused
    assert "other bits" in str(captured.recordings[0])


def test_a_kernel_that_cannot_be_compiled_is_not_used(monkeypatch):
    from tensorlite.recording import graph_kernels

    monkeypatch.setattr(graph_kernels, "source", lambda texts: "#error mine\n")
    captured, (x,), y = _replayed(gelu, (9, 16))
    assert y.cpu().numpy().tobytes() == gelu(x).cpu().numpy().tobytes()
    assert "cannot be compiled" in str(captured.recordings[0])


def test_a_recording_names_the_links_and_the_line():
    captured, *_ = _replayed(gelu, (9, 14))
    text = str(captured.recordings[0])
    assert "fused[scale mul power mul axpy mul tanh add multiply]" in text or "fused[" in text
    assert "fused_kinds.py" in text


def test_generated_kernels_compile_for_every_architecture(monkeypatch):
    """Those of the CPU are of the same text."""
    from cupy_backends.cuda.libs import nvrtc as library

    from tensorlite.backend.kernels.nvrtc import generated_source
    from tensorlite.recording import reading

    original, texts = reading.source, []
    monkeypatch.setattr(reading, "source", lambda made: texts.extend(made) or original(made))

    def together(given):
        return [f(*each) for (f, *_), each in zip(KINDS.values(), given, strict=True)]

    captured = tl.capture(together)
    for seed in range(2):
        given = [drawn(wanted, "float16", seed) for _, wanted, _ in KINDS.values()]
        captured([[tensor_of(x) for x in each] for each in given])
    assert captured.wait()
    on_device = [text for text in texts if "row_total" not in text and "whole_total" not in text]
    assert len(on_device) > 8
    code = generated_source(original(on_device))
    for architecture in ARCHITECTURES:
        program = library.createProgram(code, "fused.cu", [], [])
        flags = ["-std=c++17", f"-arch=sm_{architecture}", "-default-device", "-ftz=true"]
        library.compileProgram(program, flags)
        library.destroyProgram(program)
