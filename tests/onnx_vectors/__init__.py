"""Running ONNX's operator test vectors on our operations.

ONNX ships small graphs with inputs and outputs. Each node is run by the adapter of its operator:
a few lines that say how ONNX's names and conventions map onto ours, and nothing that computes.
"""

from __future__ import annotations

import importlib
import inspect
import math
import pkgutil
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from onnx import TensorProto, helper, numpy_helper
from onnx.backend.test.case.test_case import TestCase
from onnx.backend.test.loader import load_node_model_tests

from tensorlite.backend import Backend
from tensorlite.tensor import Tensor, tensor_of

ADAPTERS: dict[str, Callable] = {}
DTYPES = {"bool", "bfloat16", *(f"float{bits}" for bits in (16, 32, 64))}
DTYPES |= {f"{kind}{bits}" for kind in ("int", "uint") for bits in (8, 16, 32, 64)}


class NotCovered(Exception):
    """An operator, a setting or a dtype that we have not, or have with another meaning."""


def adapts(*names: str) -> Callable:
    """Register an adapter: positional parameters are inputs, keyword-only ones attributes."""

    def register(adapter: Callable) -> Callable:
        for name in names:
            assert name not in ADAPTERS, name
            ADAPTERS[name] = adapter
        return adapter

    return register


def same(**operations: Callable) -> None:
    """Register operations that ONNX has with the same meaning, without attributes."""
    for name, operation in operations.items():
        adapts(name)(lambda *inputs, operation=operation: operation(*inputs))


def numbers(x: Tensor | None, otherwise: Any = None) -> Any:
    """A small Tensor of axes, lengths and the like as Python numbers."""
    return otherwise if x is None else x.tolist()


def cases() -> list[TestCase]:
    """All of ONNX's cases of single operators; takes seconds, since ONNX computes them."""
    for module in pkgutil.iter_modules(__path__):
        importlib.import_module(f"{__name__}.{module.name}")
    with warnings.catch_warnings(action="ignore"):
        return load_node_model_tests()


def check(case: TestCase, backend: Backend) -> None:
    """Run one case and compare shapes, dtypes and values.

    Raises
    ------
    NotCovered
        If something in it has no counterpart here.
    AssertionError
        If a result differs.
    """
    graph = case.model.graph
    for given, expected in case.data_sets:
        values = _initial(graph, given, backend)
        with np.errstate(all="ignore"):  # the vectors look for NaN and infinity on purpose
            for node in graph.node:
                _run(node, values, backend)
        for declared, value in zip(graph.output, expected, strict=True):
            result, value = values[declared.name], _array(value)
            assert result.dtype == value.dtype, f"{case.name}: {result.dtype}, not {value.dtype}"
            host = backend.to_host(result.array)
            assert host.shape == value.shape, f"{case.name}: {host.shape}, not {value.shape}"
            # ONNX's tolerances are for float32; the others round more coarsely.
            rtol = max(case.rtol, {"float16": 4e-3, "bfloat16": 2e-2}.get(value.dtype.name, 0))
            if value.dtype.kind in "fV":
                host, value = host.astype(np.float64), value.astype(np.float64)
            np.testing.assert_allclose(host, value, rtol, case.atol, err_msg=case.name)


def _initial(graph: Any, given: list, backend: Backend) -> dict[str, Tensor | None]:
    """Tensors of a graph's inputs and constants, by name."""
    arrays = {i.name: value for i, value in zip(graph.input, given, strict=False)}
    arrays |= {t.name: t for t in graph.initializer}
    tensors = {name: tensor_of(backend.asarray(_array(value))) for name, value in arrays.items()}
    return {"": None} | tensors


def _array(value: Any) -> np.ndarray:
    """A NumPy array of a dtype that a Tensor has."""
    if isinstance(value, TensorProto):
        value = numpy_helper.to_array(value)
    if not isinstance(value, (np.ndarray, np.generic)):
        raise NotCovered(f"a value of type {type(value).__name__}")
    checked(value.dtype)
    return np.asarray(value)


def checked(dtype: np.dtype) -> np.dtype:
    """A dtype that a Tensor can have."""
    if dtype.name not in DTYPES:
        raise NotCovered(f"dtype {dtype}")
    return dtype


def _run(node: Any, values: dict[str, Tensor | None], backend: Backend) -> None:
    """Run one node: read its inputs from `values`, write its outputs there."""
    adapter = ADAPTERS.get(node.op_type)
    if adapter is None:
        raise NotCovered(node.op_type)
    attributes = {a.name: helper.get_attribute_value(a) for a in node.attribute}
    parameters = inspect.signature(adapter).parameters.values()
    known = {p.name for p in parameters if p.kind is p.KEYWORD_ONLY}
    if unknown := attributes.keys() - known:
        raise NotCovered(f"{node.op_type} with {sorted(unknown)}")
    if not any(p.kind is p.VAR_POSITIONAL for p in parameters):
        taken = sum(p.kind is p.POSITIONAL_OR_KEYWORD for p in parameters)
        if len(node.input) > taken:
            raise NotCovered(f"{node.op_type} with {len(node.input)} inputs")
    attributes = {k: v.decode() if isinstance(v, bytes) else v for k, v in attributes.items()}
    if "num_outputs" in known:
        attributes.setdefault("num_outputs", len(node.output))
    outputs = adapter(*[values[name] for name in node.input], **attributes)
    outputs = outputs if isinstance(outputs, (tuple, list)) else (outputs,)
    if any(node.output[len(outputs) :]):
        raise NotCovered(f"{node.op_type} with {len(node.output)} outputs")
    # What an adapter knows without computing comes as a NumPy array.
    outputs = [tensor_of(backend.asarray(y)) if isinstance(y, np.ndarray) else y for y in outputs]
    values.update(zip(node.output, outputs, strict=False))


def spatial_pads(pads: list[int]) -> list[tuple[int, int]]:
    """ONNX's [begin…, end…] as a (begin, end) for each axis."""
    half = len(pads) // 2
    return list(zip(pads[:half], pads[half:], strict=True))


def same_pads(
    auto_pad: str, size: tuple, kernel: list[int], strides: list[int], dilations: list[int]
) -> list[int]:
    """What SAME_UPPER and SAME_LOWER mean: ceil(size / stride) outputs."""
    begins, ends = [], []
    for n, k, s, d in zip(size, kernel, strides, dilations, strict=True):
        total = max(0, (math.ceil(n / s) - 1) * s + (k - 1) * d + 1 - n)
        small, large = total // 2, total - total // 2
        begins.append(small if auto_pad == "SAME_UPPER" else large)
        ends.append(large if auto_pad == "SAME_UPPER" else small)
    return begins + ends
