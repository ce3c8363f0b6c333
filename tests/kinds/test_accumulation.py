"""No result depends on how many numbers were added up for it, in dtypes too short to count.

float16 stands still at 2,048 ones and ends at 65,504, bfloat16 stands still at 256. The rule is in
`tensorlite.backend.totals`. Here it is held against every primitive there is: its samples are
repeated to 20,000 rows, and results and gradients compared with those in float64 on the CPU.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
from samples import SAMPLES
from samples.base import Input, Sample

from tensorlite import ops
from tensorlite.backend import Backend, Device, backend_for
from tensorlite.call import listed
from tensorlite.differentiate import grad
from tensorlite.ops.norms import vector_norm
from tensorlite.primitive import PRIMITIVES
from tensorlite.tensor import Tensor, tensor_of

ROWS = 20_000
TOLERANCE = {"float16": 1e-2, "bfloat16": 6e-2}
LARGEST = {"float16": 65504.0, "bfloat16": 3.38e38}
FORMS = 2  # samples of one primitive, of which most differ in the axis


# Their samples cannot be repeated, and why; what their gradients add up is in other samples.
NOT_REPEATED = {
    "ops.index.slice_backward": "its shape is static",
    "ops.shape.broadcast_to": "its shape is static",
    "ops.diagonals.diagonal_backward": "its shape is static",
    "ops.strides.sliding_window_backward": "its shape is static",
    "ops.decompositions.cholesky": "square",
    "ops.decompositions.eigh": "square",
    "ops.recurrent.lstm_backward": "its arguments depend on each other; see lstm",
    "ops.recurrent.gru_backward": "its arguments depend on each other; see gru",
}


# Repeated, their input is not ascending, as it has to be; and they add nothing up.
ORDERED = {"tensorlite.ops.search.sorted_places"}


def of_primitives() -> dict[str, list[Sample]]:
    """The samples of each primitive with drawn inputs."""
    found = {}
    for name, primitive in PRIMITIVES.items():
        of_it = [s for s in SAMPLES if getattr(s.op, "primitive", None) is primitive]
        of_it = [s for s in of_it if any(isinstance(i, Input) and i.shape for i in s.inputs)]
        if name.startswith("tensorlite.") and of_it and name not in ORDERED:
            found[name.removeprefix("tensorlite.")] = of_it
    return found


CASES = of_primitives()


def is_short(sample: Sample) -> bool:
    """Whether there are float16 and bfloat16 of it."""
    return set(TOLERANCE) <= set(sample.dtypes)


def dtype_of(name: str) -> np.dtype:
    if name == "bfloat16":
        return np.dtype(pytest.importorskip("ml_dtypes").bfloat16)
    return np.dtype(name)


def is_float(value: Any) -> bool:
    return isinstance(value, np.ndarray) and value.dtype.kind in "fV"


def repeated(sample: Sample) -> list[Any]:
    """The sample's arguments, with 20,000 rows: along the axis that it works on, or the first."""
    arguments = sample.draw()
    first = next(a for a in arguments if isinstance(a, np.ndarray) and a.ndim)
    axis = sample.static.get("axis")
    axis = (axis[0] if isinstance(axis, (tuple, list)) else axis or 0) % first.ndim
    length = first.shape[axis]
    for i, a in enumerate(arguments):
        if isinstance(a, np.ndarray) and a.ndim > axis and a.shape[axis] == length:
            arguments[i] = np.concatenate([a] * -(-ROWS // length), axis)
    return arguments


def run(
    sample: Sample, backend: Backend, arguments: list[Any], places: tuple[int, ...]
) -> tuple[list, list]:
    """Results and gradients, as float64 on the host; the cotangents are between 0.5 and 1."""
    tensors = []
    for i, a in enumerate(arguments):
        if isinstance(a, np.ndarray):
            a = tensor_of(backend.asarray(a))
            a.requires_grad_(i in places)
        tensors.append(a)
    outputs = listed(sample.op(*tensors, **sample.static))
    recorded = [y for y in outputs if y.requires_grad]
    generator = np.random.default_rng(5)
    cotangents = [
        tensor_of(backend.asarray(generator.integers(4, 9, y.shape) / 8, dtype=y.dtype))
        for y in recorded
    ]
    leaves = [t for t in tensors if isinstance(t, Tensor) and t.requires_grad]
    found = grad(recorded, leaves, cotangents, allow_unused=True) if recorded else ()
    return ([on_host(backend, y) for y in outputs], [on_host(backend, d) for d in found])


def on_host(backend: Backend, t: Tensor | None) -> np.ndarray | None:
    return None if t is None else np.asarray(backend.to_host(t.array)).astype(np.float64)


def assert_as_exact(actual: list, exact: list, dtype: np.dtype, what: str) -> None:
    """As in float64, to a few units in the last place of what `dtype` holds."""
    largest = LARGEST[dtype.name]
    for a, e in zip(actual, exact, strict=True):
        if e is None or not e.size:
            continue
        assert a.shape == e.shape, what
        sure = np.isfinite(e) & (np.abs(e) < 0.9 * largest)
        tolerance = TOLERANCE[dtype.name]
        typical = np.sqrt(np.mean(e[sure] ** 2)) if sure.any() else 0.0
        wrong = ~np.isclose(a[sure], e[sure], tolerance, 3 * tolerance * typical)
        # In large arrays, which are no sums, a few numbers may have been rounded across a kink.
        assert wrong.sum() <= e.size // 1000, (
            f"{what}: {wrong.sum()} of {e.size} differ, such as {a[sure][wrong][0]} from "
            f"{e[sure][wrong][0]}"
        )


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("name", CASES)
def test_20000_rows(name: str, dtype: str, device: Device, backend: Backend) -> None:
    dtype = dtype_of(dtype)
    ran = 0
    for sample in CASES[name]:
        if device.type not in sample.devices or dtype.name not in sample.dtypes or ran == FORMS:
            continue
        arguments = repeated(sample)
        places = sample.differentiated(arguments)
        short = [a.astype(dtype) if is_float(a) else a for a in arguments]
        exact = [a.astype(np.float64) if is_float(a) else a for a in short]
        with warnings.catch_warnings(action="ignore"):
            try:
                expected = run(sample, backend_for("cpu"), exact, places)
            except (ValueError, IndexError, np.linalg.LinAlgError):
                continue  # a sample that cannot be repeated; one has to be
            found = run(sample, backend, short, places)
        what = f"{sample} in {dtype}, 20,000 rows"
        assert_as_exact(found[0], expected[0], dtype, f"{what}: result")
        # What is too large for the dtype, such as 20,000 factors of 2, has no gradient in it.
        if all((np.abs(y) < LARGEST[dtype.name]).all() for y in expected[0]):
            assert_as_exact(found[1], expected[1], dtype, f"{what}: gradient")
        ran += 1
    short = [s for s in CASES[name] if dtype.name in s.dtypes and device.type in s.devices]
    assert ran or not short or name in NOT_REPEATED, f"no sample of {name} could be repeated"


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize(
    "name",
    [n for n, samples in CASES.items() if any(s.broadcasts and is_short(s) for s in samples)],
)
def test_broadcast_operands(name: str, dtype: str, device: Device, backend: Backend) -> None:
    """Gradients of operands that were spread over 20,000 rows are sums, too."""
    dtype = dtype_of(dtype)
    sample = next(s for s in CASES[name] if s.broadcasts and is_short(s))
    drawn = [i for i, x in enumerate(sample.inputs) if isinstance(x, Input)]
    for small in ((), (1,), (2,), (2, 1), (1, 2, 1)):
        for large in drawn:
            inputs = [
                x.of_shape((ROWS // 2, 2, 2) if i == large else small) if i in drawn else x
                for i, x in enumerate(sample.inputs)
            ]
            arguments = sample.draw(inputs)
            places = sample.differentiated(arguments)
            short = [a.astype(dtype) if is_float(a) else a for a in arguments]
            exact = [a.astype(np.float64) if is_float(a) else a for a in short]
            with warnings.catch_warnings(action="ignore"):
                expected = run(sample, backend_for("cpu"), exact, places)[1]
                found = run(sample, backend, short, places)[1]
            assert_as_exact(found, expected, dtype, f"{sample} with operands of shape {small}")


MANY = 2**24 + 2**22  # in float32 a chain of so many ones stands still at 2**24


def many(backend: Backend) -> int:
    """As many, and fewer on CUDA, where sums are no chains and the emulator's memory is short.

    What is a chain there too, sums into places, `tests/cuda/test_op_layer.py` has.
    """
    return MANY if backend.xp is np else 2**21


@pytest.mark.parametrize("kernels", [True, False])
@pytest.mark.parametrize("name", ["sum", "mean", "norm"])
def test_float32_is_not_added_up_in_a_chain(
    name: str, kernels: bool, backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not kernels:
        monkeypatch.setitem(backend.__dict__, "kernels", None)
    length = many(backend)
    x = backend.xp.broadcast_to(backend.xp.ones((), "float32"), (length, 2))
    call, exact = {
        "sum": (ops.sum, lambda n: n),
        "mean": (ops.mean, lambda n: 1),
        "norm": (lambda x, axis: vector_norm(x, ord=1, axis=axis), lambda n: n),
    }[name]
    halves = x.reshape(2, length // 2, 2)
    copied = [halves.copy()] if backend.xp is np and name == "sum" else []
    for layout in (x, x.T, halves, *copied):
        axis = int(np.argmax(layout.shape))
        y = backend.to_host(call(tensor_of(layout), axis=axis).array)
        np.testing.assert_allclose(y, exact(layout.shape[axis]), 1e-6)
    y = backend.to_host(call(tensor_of(halves), axis=None).array)
    np.testing.assert_allclose(y, exact(halves.size), 1e-6)


def test_gradients_in_float32_are_not_added_up_in_a_chain(backend: Backend) -> None:
    """Of a bias under many rows, of a number spread over as many, of one row picked as often."""
    length = many(backend)
    rows = tensor_of(backend.xp.broadcast_to(backend.xp.ones((), "float32"), (length, 1)))
    for shape in ((1,), (), (1, 1)):
        w = tensor_of(backend.xp.ones(shape, "float32"), requires_grad=True)
        (d,) = grad(rows + w, w, rows)
        assert d.sum().item() == pytest.approx(length, 1e-5)
    picked = tensor_of(backend.xp.zeros(length, "int64"))
    w = tensor_of(backend.xp.ones((2, 1), "float32"), requires_grad=True)
    (d,) = grad(w[picked], w, rows)
    assert d[:, 0].tolist() == [pytest.approx(length, 1e-5), 0]
