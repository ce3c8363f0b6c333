"""A graph of ONNX while it is built: nodes, constants, and lengths worked out by the graph."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import Any

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from tensorlite.onnx.sizes import Counted, Dim, Filled, Step
from tensorlite.onnx.trace import ExportError, Value

SMALL = 1024  # bytes: such constants are kept once, however often they are used


class Graph:
    """Nodes and constants under names.

    Attributes
    ----------
    opset
        The version of ONNX's operators.
    names
        Of each value's number; a string that tells why, for one that has no form.
    """

    def __init__(self, opset: int, parameters: dict[int, str]) -> None:
        self.opset = opset
        self.nodes: list[Any] = []
        self.initializers: list[Any] = []
        self.names: dict[int, str] = {}
        self.missing: dict[int, str] = {}
        self.entries: dict[tuple[int, int], str] = {}  # x[i] of values that have no other form
        self._parameters = parameters
        self._constants: dict[Any, str] = {}
        self._shapes: dict[int, str] = {}
        self._taken: set[str] = set()
        self._kept: list[np.ndarray] = []
        self.step: Any = None  # that is being written down

    def fresh(self, stem: str) -> str:
        """A name that nothing has."""
        name, i = stem, 0
        while name in self._taken:
            i += 1
            name = f"{stem}_{i}"
        self._taken.add(name)
        return name

    def node(self, op: str, *inputs: Any, outputs: int = 1, **attributes: Any) -> Any:
        """Add an operator; inputs are names, arrays or None. The name of its output, or names."""
        given = ["" if x is None else x if isinstance(x, str) else self.constant(x) for x in inputs]
        while given and not given[-1]:
            given.pop()
        made = [self.fresh(op.lower()) for _ in range(outputs)]
        attributes = {k: v for k, v in attributes.items() if v is not None}
        for name, value in attributes.items():
            if isinstance(value, list) and any(isinstance(n, Dim) for n in value):
                raise ExportError(
                    f"export: {self.step.primitive.name} at {self.step.line} needs fixed {name}: "
                    "leave the axes that they come from out of dynamic_axes"
                )
        self.nodes.append(helper.make_node(op, given, made, self.fresh(f"/{op}"), **attributes))
        return made[0] if outputs == 1 else made

    def constant(self, array: Any) -> str:
        """Name of an array that is part of the file; a parameter under its own name."""
        array = np.asarray(array)
        key: tuple = ("parameter", id(array))
        if id(array) not in self._parameters and array.nbytes <= SMALL:
            key = (array.dtype.str, array.dtype.name, array.shape, array.tobytes())
        if key not in self._constants:
            name = self.fresh(self._parameters.get(id(array), "constant"))
            self.initializers.append(_tensor(array, name))
            self._constants[key] = name
            self._kept.append(array)
        return self._constants[key]

    def read(self, x: Any, like: np.dtype, step: Step) -> str | None:
        """Name of an operand; Python's numbers become constants of the dtype `like`."""
        if x is None:
            return None
        if isinstance(x, Value):
            if x.number in self.missing:
                raise ExportError(
                    f"export: {step.primitive.name} at {step.line} uses "
                    f"{self.missing[x.number]}, which has no form in ONNX"
                )
            return self.names[x.number]
        if isinstance(x, Filled):
            number = numpy_helper.from_array(x.number.reshape(1))
            return self.node("ConstantOfShape", self.ints(x.shape), value=number)
        if isinstance(x, Counted):
            return self.counted(x.length, x.dtype)
        if isinstance(x, np.ndarray):
            return self.constant(x)
        return self.constant(np.array(x, like))

    def counted(self, length: Any, dtype: Any = np.int64) -> str:
        """0, 1, … up to `length`, a number or a `Dim`."""
        if not isinstance(length, Dim):
            return self.constant(np.arange(length, dtype=dtype))
        end = self.node("Squeeze", self.ints([length]))
        found = self.node("Range", np.int64(0), end, np.int64(1))
        return found if np.dtype(dtype) == np.int64 else self.cast(found, dtype)

    def cast(self, x: str, dtype: Any) -> str:
        """`x` as another dtype."""
        return self.node("Cast", x, to=element_type(dtype))

    # --- lengths ------------------------------------------------------------------------------

    def ints(self, numbers: Sequence[Any]) -> str:
        """An int64 vector of numbers and lengths."""
        if not any(isinstance(n, Dim) for n in numbers):
            return self.constant(np.array(numbers, np.int64))
        parts: list[str] = []
        run: list[int] = []
        for n in numbers:
            if isinstance(n, Dim):
                if run:
                    parts.append(self.constant(np.array(run, np.int64)))
                parts.append(self.length(n))
                run = []
            else:
                run.append(n)
        if run:
            parts.append(self.constant(np.array(run, np.int64)))
        return parts[0] if len(parts) == 1 else self.node("Concat", *parts, axis=0)

    def length(self, dim: Dim) -> str:
        """A `Dim` as a vector of one number."""
        if dim.value not in self._shapes:
            self._shapes[dim.value] = self.node("Shape", self.names[dim.value])
        shape = self._shapes[dim.value]
        found = self.node("Gather", shape, np.array(dim.axes, np.int64))
        if len(dim.axes) > 1:
            found = self.node("ReduceProd", found, keepdims=1)
        times = Fraction(dim.times)
        if times.numerator != 1:
            found = self.node("Mul", found, np.array([times.numerator], np.int64))
        if times.denominator != 1:
            found = self.node("Div", found, np.array([times.denominator], np.int64))
        return found if not dim.plus else self.node("Add", found, np.array([dim.plus], np.int64))


def element_type(dtype: Any) -> int:
    """ONNX's number of a dtype.

    Raises
    ------
    ExportError
        If it has none.
    """
    dtype = np.dtype(dtype)
    if dtype.name == "bfloat16":
        return TensorProto.BFLOAT16
    try:
        return helper.np_dtype_to_tensor_dtype(dtype)
    except (KeyError, ValueError):
        raise ExportError(f"export: ONNX has no dtype {dtype}") from None


def _tensor(array: np.ndarray, name: str) -> Any:
    raw = np.ascontiguousarray(array).tobytes()
    return helper.make_tensor(name, element_type(array.dtype), array.shape, raw, raw=True)


#: By the name of a primitive's function: what writes it down.
CONVERTERS: dict[str, Callable] = {}


def converts(*names: str) -> Callable:
    """Register ``convert(graph, step, *operands, **static)``; it returns names of the outputs."""

    def register(convert: Callable) -> Callable:
        for name in names:
            if name in CONVERTERS:
                raise ValueError(f"two converters of {name}")
            CONVERTERS[name] = convert
        return convert

    return register


def write(graph: Graph, step: Step) -> None:
    """Add what a step does to the graph.

    Raises
    ------
    ExportError
        If the operation has no form in ONNX.
    """
    graph.step = step
    convert = CONVERTERS.get(step.primitive.reference.__name__)
    if convert is None:
        raise ExportError(
            f"export: {step.primitive.name} at {step.line} has no form in ONNX: write it with "
            "other operations, or leave it out of what is exported"
        )
    arrays = [
        x if isinstance(x, np.ndarray) else step.arrays(x.number)[0]
        for x in step.inputs
        if isinstance(x, (Value, np.ndarray))
    ]
    like = arrays[0].dtype if arrays else np.dtype(np.float32)
    if step.primitive.name == "where":  # whose first operand is the condition
        like = step.output().dtype
    if (special := _entry(graph, step)) is not None:
        graph.names[step.outputs[0]] = special
        return
    operands = [graph.read(x, like, step) for x in step.inputs]
    found = convert(graph, step, *operands, **step.static)
    for number, name in zip(
        step.outputs, [found] if isinstance(found, str) else found, strict=True
    ):
        if name.startswith("!"):
            graph.missing[number] = name[1:]
        else:
            graph.names[number] = name


def _entry(graph: Graph, step: Step) -> str | None:
    """``x[i]`` of a value of which nothing else can be had."""
    x = step.inputs[0] if step.inputs else None
    parts = step.static.get("parts")
    if isinstance(x, Value) and x.number in graph.missing and parts and type(parts[0]) is int:
        return graph.entries.get((x.number, parts[0])) if parts[1:] == (Ellipsis,) else None
    return None
