"""Every primitive, on its samples: value, gradients, broadcasting, strides, zero size, dtype.

The device and the kind of kernels are the run's (see `conftest.py`).
"""

from __future__ import annotations

import importlib
import pkgutil
import warnings
from collections.abc import Callable
from dataclasses import replace
from itertools import groupby
from typing import Any

import numpy as np
import pytest
from samples import SAMPLES
from samples.base import Sample

import tensorlite
from tensorlite.backend import Backend, Device
from tensorlite.call import listed
from tensorlite.differentiate import grad
from tensorlite.primitive import PRIMITIVES
from tensorlite.tensor import Tensor, tensor_of
from tensorlite.testing import gradcheck

TOLERANCE = {"float64": 1e-12, "float32": 4e-6, "float16": 2e-3, "bfloat16": 1.6e-2}


def per_operation(check: Callable) -> Callable:
    """One test per operation, over all its samples: hundreds of tests, not thousands."""
    ordered = sorted(SAMPLES, key=lambda sample: sample.name)
    groups = {name: list(samples) for name, samples in groupby(ordered, lambda s: s.name)}
    return pytest.mark.parametrize("samples", groups.values(), ids=groups.keys())(check)


def here(samples: list[Sample], device: Device) -> list[Sample]:
    """The samples of operations that exist on the device."""
    return [sample for sample in samples if device.type in sample.devices]


class Case:
    """A sample's arguments on a device, in one dtype."""

    def __init__(
        self, sample: Sample, backend: Backend, dtype: str = "float64", inputs: Any = None
    ) -> None:
        self.sample = sample
        self.backend = backend
        exact = sample.draw(inputs)
        self.places = sample.differentiated(exact)
        self.host = [a.astype(_dtype(dtype)) if _is_float(a) else a for a in exact]

    def arguments(self, view: Callable = lambda a: a, needs: Any = None) -> list[Any]:
        """Tensors on the device; those at `needs` (default: all that can) require grad."""
        arguments = []
        for i, value in enumerate(self.host):
            if isinstance(value, np.ndarray):
                value = tensor_of(self.backend.asarray(view(self.backend.asarray(value))))
                if i in (self.places if needs is None else needs):
                    value.requires_grad_()
            arguments.append(value)
        return arguments

    def run(self, arguments: list[Any]) -> list[Tensor]:
        """Outputs of the operation."""
        return listed(self.sample.op(*arguments, **self.sample.static))

    def expected(self) -> list[np.ndarray]:
        """Outputs of the reference, in float64."""
        host = [a.astype(np.float64) if _is_float(a) else a for a in self.host]
        return [np.asarray(v) for v in listed(self.sample.reference(*host, **self.sample.static))]

    def gradients(self, arguments: list[Any], view: Callable = lambda a: a) -> dict[int, Tensor]:
        """Gradients by the inputs that require grad, for random cotangents."""
        places = [i for i, a in enumerate(arguments) if isinstance(a, Tensor) and a.requires_grad]
        outputs = [y for y in self.run(arguments) if y.requires_grad]
        generator = np.random.default_rng(11)
        cotangents = []
        for y in outputs:
            # Numbers that float16 and bfloat16 hold exactly, so that all dtypes have the same ones.
            values = generator.integers(-8, 9, y.shape) / 8
            cotangents.append(tensor_of(view(self.backend.asarray(values, dtype=y.dtype))))
        found = grad(outputs, [arguments[i] for i in places], cotangents, allow_unused=True)
        return {i: d for i, d in zip(places, found, strict=True) if d is not None}


def _is_float(value: Any) -> bool:
    return isinstance(value, np.ndarray) and value.dtype.kind in "fV"


def _dtype(name: str) -> np.dtype:
    if name == "bfloat16":
        import ml_dtypes

        return np.dtype(ml_dtypes.bfloat16)
    return np.dtype(name)


def assert_close(actual: Any, expected: Any, tolerance: float, what: str) -> None:
    """Agree to `tolerance`, relative to each value and to the typical one."""
    actual, expected = np.asarray(actual), np.asarray(expected)
    assert actual.shape == expected.shape, f"{what}: shape {actual.shape}, not {expected.shape}"
    if expected.dtype.kind not in "fV":
        np.testing.assert_array_equal(actual, expected, what)
        return
    actual, expected = actual.astype(np.float64), expected.astype(np.float64)
    finite = np.abs(expected[np.isfinite(expected)])
    scale = np.sqrt(np.mean(finite**2)) if finite.size else 0.0
    np.testing.assert_allclose(actual, expected, tolerance, tolerance * scale, err_msg=what)


@per_operation
def test_forward(samples: list[Sample], device: Device, backend: Backend) -> None:
    for sample in here(samples, device):
        for dtype in sample.dtypes:
            case = Case(sample, backend, dtype)
            outputs = case.run(case.arguments(needs=()))
            expected = case.expected()
            assert len(outputs) == len(expected)
            for y, value in zip(outputs, expected, strict=True):
                what = f"{sample} in {dtype}"
                assert isinstance(y, Tensor), what
                if value.dtype.kind == "f":
                    assert not sample.keeps_dtype or y.dtype == _dtype(dtype), what
                else:
                    assert y.dtype.kind == value.dtype.kind, what
                tolerance = TOLERANCE[dtype] * sample.tolerance
                assert_close(backend.to_host(y.array), value, tolerance, what)


@per_operation
def test_arrays_in_arrays_out(samples: list[Sample], device: Device, backend: Backend) -> None:
    for sample in here(samples, device):
        if not hasattr(sample.op, "primitive"):
            continue
        case = Case(sample, backend)
        arguments = case.arguments(needs=())
        raw = [a.array if isinstance(a, Tensor) else a for a in arguments]
        outputs = listed(sample.op(*raw, **sample.static))
        for array, y in zip(outputs, case.run(arguments), strict=True):
            assert type(array) is backend.xp.ndarray
            np.testing.assert_array_equal(backend.to_host(array), backend.to_host(y.array))


@per_operation
def test_gradients(samples: list[Sample], device: Device, backend: Backend) -> None:
    for sample in here(samples, device):
        case = Case(sample, backend)
        if case.places:
            fn = lambda *a, sample=sample: sample.op(*a, **sample.static)  # noqa: E731
            gradcheck(fn, case.arguments(), order=2)


@per_operation
def test_gradients_share_no_memory(samples: list[Sample], device: Device, backend: Backend) -> None:
    """With a leaf's gradient one may do as one likes: nothing else is in its memory."""
    for sample in here(samples, device):
        case = Case(sample, backend, "float32")
        arguments = case.arguments()
        leaves = [a for a in arguments if isinstance(a, Tensor) and a.requires_grad]
        y = case.run(arguments)[0]
        if y.node is None:
            continue
        seed = tensor_of(backend.xp.ones(y.shape, y.dtype))
        y.backward(seed, retain_graph=True)
        gradients = [leaf.grad.array for leaf in leaves if leaf.grad is not None]
        tensors = [a for a in arguments if isinstance(a, Tensor)]
        others = [seed.array, y.array, *(t.array for t in tensors)]
        for i, gradient in enumerate(gradients):
            for other in (*others, *gradients[:i]):
                assert not backend.xp.may_share_memory(gradient, other), sample.name


@per_operation
def test_each_input_alone(samples: list[Sample], device: Device, backend: Backend) -> None:
    """A gradient is the same whether or not the other inputs need theirs."""
    for sample in here(samples, device):
        case = Case(sample, backend)
        if len(case.places) < 2:
            continue
        together = case.gradients(case.arguments())
        for i in case.places:
            alone = case.gradients(case.arguments(needs=(i,)))
            assert alone.keys() == {i} & together.keys(), f"{sample}, input {i}"
            for d in alone.values():
                expected = backend.to_host(together[i].array)
                assert_close(backend.to_host(d.array), expected, 1e-12, f"{sample}, input {i}")


@per_operation
def test_gradient_dtype(samples: list[Sample], device: Device, backend: Backend) -> None:
    """The gradient has its input's dtype, and the value that float64 gives, rounded."""
    for sample in here(samples, device):
        for dtype in sample.dtypes:
            case = Case(sample, backend, dtype)
            if not case.places or dtype == "float64":
                continue
            found = case.gradients(case.arguments())
            case.host = [a.astype(np.float64) if _is_float(a) else a for a in case.host]
            exact = case.gradients(case.arguments())
            for i, d in found.items():
                what = f"{sample} in {dtype}, gradient by input {i}"
                assert d.dtype == _dtype(dtype), what
                tolerance = 8 * TOLERANCE[dtype] * sample.tolerance
                expected = backend.to_host(exact[i].array)
                assert_close(backend.to_host(d.array), expected, tolerance, what)


@per_operation
def test_broadcasting(samples: list[Sample], device: Device, backend: Backend) -> None:
    for sample in here(samples, device):
        for inputs in sample.broadcast_inputs() if sample.broadcasts else []:
            case = Case(sample, backend, inputs=inputs)
            (y,), (value,) = case.run(case.arguments()), case.expected()
            what = f"{sample}, broadcast: {[a.shape for a in case.host]}"
            assert_close(backend.to_host(y.array), value, 1e-12, what)
            if case.places:
                gradcheck(sample.op, case.arguments(), order=2)


def every_second(a: Any) -> Any:
    """The same values with a gap after each, and off the start of the memory."""
    if a.ndim == 0:
        return a
    buffer = np.empty if isinstance(a, np.ndarray) else type(a)
    gaps = buffer((*a.shape[:-1], 2 * a.shape[-1] + 1), a.dtype)
    gaps[..., 1::2] = a
    return gaps[..., 1::2]


def backwards(a: Any) -> Any:
    """The same values with negative strides."""
    flip = (slice(None, None, -1),) * a.ndim
    return a[flip].copy()[flip]


def transposed(a: Any) -> Any:
    """The same values in Fortran's order."""
    return a.T.copy().T


def misaligned(a: Any) -> Any:
    """The same values, contiguous, one element off the start of the memory."""
    buffer = np.empty if isinstance(a, np.ndarray) else type(a)
    memory = buffer((a.size + 1,), a.dtype)
    memory[1:] = a.ravel()
    return memory[1:].reshape(a.shape)


@per_operation
def test_strides(samples: list[Sample], device: Device, backend: Backend) -> None:
    """The memory's layout changes nothing, neither of inputs nor of cotangents."""
    for sample in here(samples, device):
        dtype = "float32" if "float32" in sample.dtypes else sample.dtypes[0]
        case = Case(sample, backend, dtype)
        tolerance = 4 * TOLERANCE[dtype] * sample.tolerance
        expected = case.run(case.arguments())
        gradients = case.gradients(case.arguments()) if case.places else {}
        for view in (every_second, backwards, transposed, misaligned):
            what = f"{sample}, {view.__name__}"
            for y, value in zip(case.run(case.arguments(view)), expected, strict=True):
                assert_close(
                    backend.to_host(y.array), backend.to_host(value.array), tolerance, what
                )
            found = case.gradients(case.arguments(view), view) if case.places else {}
            assert found.keys() == gradients.keys(), what
            for i, d in found.items():
                value = backend.to_host(gradients[i].array)
                assert_close(backend.to_host(d.array), value, tolerance, f"{what}: gradient {i}")


@per_operation
def test_zero_size(samples: list[Sample], device: Device, backend: Backend) -> None:
    for sample in here(samples, device):
        if sample.no_zero:
            continue
        static = sample.static if sample.zero_static is None else sample.zero_static
        sample = replace(sample, inputs=sample.zero_inputs(), static=static)
        case = Case(sample, backend, sample.dtypes[0])
        arguments = case.arguments()
        with warnings.catch_warnings(action="ignore"):
            expected = case.expected()
        assert any(a.array.size == 0 for a in arguments if isinstance(a, Tensor)), f"{sample}"
        for y, value in zip(case.run(arguments), expected, strict=True):
            assert y.shape == value.shape, f"{sample}: {y.shape}, not {value.shape}"
        for i, d in case.gradients(arguments).items() if case.places else ():
            assert d.shape == arguments[i].shape, f"{sample}: gradient {i}"
            assert np.isfinite(backend.to_host(d.array).astype(np.float64)).all()


@per_operation
def test_saved(samples: list[Sample], device: Device, backend: Backend) -> None:
    """The tape keeps what the sample says, and nothing else."""
    for sample in here(samples, device):
        if sample.saves is None:
            continue
        case = Case(sample, backend)
        node = next(y.node for y in case.run(case.arguments()) if y.node is not None)
        node = node if node.plan is not None else node.parents[0]
        assert {r.name for r in node.plan.residuals} == set(sample.saves), f"{sample}"


def test_every_primitive_has_samples(device: Device) -> None:
    for module in pkgutil.walk_packages(tensorlite.__path__, "tensorlite."):
        if module.name.endswith("__main__"):
            continue
        try:
            importlib.import_module(module.name)
        except ModuleNotFoundError as error:
            optional = {"jax", "einops", "sklearn"} | ({"cupy"} if device.type == "cpu" else set())
            assert error.name in optional
    tested = {getattr(sample.op, "primitive", None) for sample in SAMPLES}
    missing = [
        name
        for name, primitive in PRIMITIVES.items()
        if name.startswith("tensorlite.") and primitive not in tested
    ]
    assert not missing, f"primitives without samples in tests/samples: {missing}"
