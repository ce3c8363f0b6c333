"""Every kind of chain, in every dtype and on both devices: fused, it has eager's bits."""

import numpy as np
import pytest
from captured import device_kind, here
from fused_kinds import KINDS, drawn

import tensorlite as tl

SEEDS = range(4)


def flat(item):
    if isinstance(item, (list, tuple)):
        return [array for part in item for array in flat(part)]
    return [item.cpu().numpy().copy()]


def all_kinds(given):
    return [function(*each) for (function, *_), each in zip(KINDS.values(), given, strict=True)]


def arguments(dtype, seed):
    return [[here(x) for x in drawn(wanted, dtype, seed)] for _, wanted, _ in KINDS.values()]


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", "bfloat16"])
def test_every_kind_has_eagers_bits(dtype):
    if device_kind() == "cuda" and dtype in ("float64", "bfloat16"):
        pytest.skip("the emulator compiles a kernel in a second: two dtypes are enough")
    dtype = tl.bfloat16 if dtype == "bfloat16" else dtype
    captured = tl.capture(all_kinds)
    for seed in SEEDS:
        tl.manual_seed(5)
        expected = flat(all_kinds(arguments(dtype, seed)))
        tl.manual_seed(5)
        actual = flat(captured(arguments(dtype, seed)))
        for i, (one, other) in enumerate(zip(actual, expected, strict=True)):
            assert (one.shape, one.dtype) == (other.shape, other.dtype)
            same = one.tobytes() == other.tobytes() or np.array_equal(one, other, equal_nan=True)
            assert same, f"result {i}, seed {seed}: {one} captured, {other} eager"
    (recording,) = captured.recordings
    assert recording.replays >= 2
    assert recording.unfused == ""
    lines = recording.lines()
    assert len(lines) <= sum(most for *_, most in KINDS.values()), str(recording)
    alone = {line.name for line in lines if not line.name.startswith("fused[")}
    assert not alone & {"tanh", "dropout", "select", "where", "gt", "le", "cast", "multiply"}


def test_every_kind_is_near_float64():
    captured = tl.capture(all_kinds)
    for seed in range(3):
        tl.manual_seed(5)
        found = flat(captured(arguments("float32", seed)))
    tl.manual_seed(5)
    given = []
    for _, wanted, _ in KINDS.values():
        values = drawn(wanted, "float32", 2)
        given.append([here(x.astype("f8") if x.dtype == np.float32 else x) for x in values])
    for one, other in zip(found, flat(all_kinds(given)), strict=True):
        np.testing.assert_allclose(one.astype("f8"), other.astype("f8"), rtol=2e-4, atol=2e-5)
