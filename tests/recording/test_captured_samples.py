"""Every primitive on its samples, captured: replayed over other inputs it gives eager's bits."""

from __future__ import annotations

from itertools import groupby
from typing import Any

import numpy as np
import pytest
from samples import SAMPLES
from samples.base import Input, Sample

import tensorlite as tl
from tensorlite.backend import HOST
from tensorlite.call import listed
from tensorlite.differentiate import grad
from tensorlite.recording import CaptureError
from tensorlite.tensor import Tensor, tensor_of

pytestmark = pytest.mark.skipif(HOST.kernels is None, reason="capture needs compiled kernels")

SEEDS = (7, 8, 9, 10)  # two are recorded, two replayed


def _is_refused(sample: Sample) -> bool:
    """Whether the shape of the result depends on values, which a recording cannot do again."""
    if sample.name == "index.advanced_getitem":
        return any(isinstance(x, np.ndarray) and x.dtype == bool for x in sample.draw())
    if sample.name == "counting.counts_of":
        return not sample.static.get("minlength")
    return sample.name in ("index.places_of_nonzero", "distinct.different_rows")


def _drawn(sample: Sample, seed: int, dtype: str) -> list[Any]:
    generator = np.random.default_rng(seed)
    found = []
    for value in sample.inputs:
        if isinstance(value, Input):
            value = np.asarray(value.draw(generator, value.shape))
        if isinstance(value, np.ndarray) and value.dtype.kind == "f":
            value = value.astype(dtype)
        found.append(value)
    return found


def _tensors(values: list[Any]) -> list[Any]:
    return [tensor_of(x.copy()) if isinstance(x, np.ndarray) else x for x in values]


def _call(sample: Sample, places: tuple[int, ...]) -> Any:
    """The operation and the gradients at `places`, as a function of Tensors."""

    def call(*given: Any) -> Any:
        args = [x.detach().requires_grad_() if i in places else x for i, x in enumerate(given)]
        outputs = listed(sample.op(*args, **sample.static))
        smooth = [y for y in outputs if y.requires_grad]
        if not smooth:
            return outputs, ()
        generator = np.random.default_rng(11)
        cotangents = [
            tensor_of(np.asarray(generator.integers(-8, 9, y.shape) / 8).astype(y.dtype))
            for y in smooth
        ]
        found = grad(smooth, [args[i] for i in places], cotangents, allow_unused=True)
        return outputs, [d for d in found if d is not None]

    return call


def _flat(item: Any) -> list[np.ndarray]:
    if isinstance(item, (list, tuple)):
        return [array for part in item for array in _flat(part)]
    return [np.array(item.array if isinstance(item, Tensor) else item)]


def _assert_same_bits(actual: list[np.ndarray], expected: list[np.ndarray], what: str) -> None:
    assert len(actual) == len(expected), what
    for one, other in zip(actual, expected, strict=True):
        assert (one.shape, one.dtype) == (other.shape, other.dtype), what
        same = one.tobytes() == other.tobytes()
        if not same and one.dtype.kind in "fc":  # a NaN has many bits
            same = np.array_equal(one, other, equal_nan=True)
        assert same, f"{what}: {one} captured, {other} eager"


def _check(sample: Sample, dtype: str) -> None:
    places = sample.differentiated(_drawn(sample, 7, dtype))
    call = _call(sample, places)
    captured = tl.capture(call, fuse=False)  # a compiler for each would take minutes
    for seed in SEEDS:
        values = _drawn(sample, seed, dtype)
        expected = _flat(call(*_tensors(values)))
        actual = _flat(captured(*_tensors(values)))
        _assert_same_bits(actual, expected, f"{sample} in {dtype}, seed {seed}")
    (recording,) = captured.recordings
    # An input that was the same twice by chance is recorded once more.
    assert recording.replays >= len(SEEDS) - 3, f"{sample}: {captured.reason}"


_ORDERED = sorted((s for s in SAMPLES if "cpu" in s.devices), key=lambda sample: sample.name)
_GROUPS = {name: list(samples) for name, samples in groupby(_ORDERED, lambda s: s.name)}


@pytest.mark.parametrize("name", _GROUPS)
def test_replays_have_eagers_bits(name: str) -> None:
    for sample in _GROUPS[name]:
        for dtype in ("float32", "float16"):
            if dtype in sample.dtypes and not _is_refused(sample):
                _check(sample, dtype)


ELEMENTWISE = ("activation", "arithmetic", "compare", "elementwise", "limits", "rectifiers")


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_all_that_goes_element_by_element_is_fused_with_eagers_bits(dtype: str) -> None:
    samples = [s for s in _ORDERED if s.name.split(".")[0] in ELEMENTWISE and dtype in s.dtypes]
    calls = [_call(s, s.differentiated(_drawn(s, 7, dtype))) for s in samples]

    def together(given: list) -> list:
        return [call(*values) for call, values in zip(calls, given, strict=True)]

    captured = tl.capture(together)
    for seed in range(7, 13):
        values = [_drawn(s, seed, dtype) for s in samples]
        expected = together(list(map(_tensors, values)))
        actual = captured(list(map(_tensors, values)))
        for sample, one, other in zip(samples, actual, expected, strict=True):
            _assert_same_bits(_flat(one), _flat(other), f"{sample} in {dtype}, seed {seed}")
    (recording,) = captured.recordings
    assert recording.replays >= 1
    fused = [line.name for line in recording.lines() if line.name.startswith("fused[")]
    assert len(fused) > len(samples) / 4


@pytest.mark.parametrize("sample", list(filter(_is_refused, _ORDERED)), ids=str)
def test_shapes_that_depend_on_values_are_refused(sample: Sample) -> None:
    with pytest.raises(CaptureError, match="whose result depends on values"):
        _check(sample, sample.dtypes[0])
