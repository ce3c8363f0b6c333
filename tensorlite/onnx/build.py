"""From runs of a model to the file's contents."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import helper

import tensorlite
from tensorlite.io.files import is_path, write_to
from tensorlite.nn.module import Module
from tensorlite.onnx.graph import Graph, element_type, write
from tensorlite.onnx.operators import layers, pointwise, reductions, shapes  # noqa: F401
from tensorlite.onnx.runs import Axes, Call, Run
from tensorlite.onnx.sizes import Dim, Sizes
from tensorlite.onnx.trace import ExportError, Value
from tensorlite.recording.trees import leaves
from tensorlite.tensor import Tensor

LARGEST = 2**31 - 2**20
"""Bytes that fit in one file of protobuf; what is larger keeps its constants beside it."""


def built(
    call: Call, runs: Sequence[Run], output_names: Sequence[str] | None, axes: Axes, opset: int
) -> onnx.ModelProto:
    """The model as ONNX has it, checked."""
    traces, results = zip(*runs, strict=True)
    sizes = Sizes(traces, len(call.inputs))
    graph = Graph(opset, _parameters(call.model))
    given = []
    for number, (name, array) in enumerate(zip(call.names, call.inputs, strict=True)):
        graph.names[number] = graph.fresh(name)
        shape = _said(axes, name, array.shape)
        given.append(helper.make_tensor_value_info(name, element_type(array.dtype), shape))
    outputs = [_outputs(result) for result in results]
    if not outputs[0] or len({len(each) for each in outputs}) > 1:
        raise ExportError("export: the model returns no Tensor, or not always as many")
    names = _names(output_names, len(outputs[0]), graph)
    for step in sizes.steps:
        write(graph, step)
    returned = []
    for name, arrays in zip(names, zip(*outputs, strict=True), strict=True):
        values = [t.read(x, "an output") for t, x in zip(traces, arrays, strict=True)]
        source = sizes.same(values, [])
        if isinstance(source, Value) and source.number in graph.missing:
            raise ExportError(f"export: the model returns {graph.missing[source.number]}")
        found = graph.names[source.number] if isinstance(source, Value) else graph.constant(source)
        graph.nodes.append(helper.make_node("Identity", [found], [name]))
        lengths = sizes.shape(source.number) if isinstance(source, Value) else arrays[0].shape
        shape = _said(axes, name, lengths)
        shape = [
            _name_of(sizes.origin(n), call, axes) or f"{name}_{a}" if isinstance(n, Dim) else n
            for a, n in enumerate(shape)
        ]
        returned.append(helper.make_tensor_value_info(name, element_type(arrays[0].dtype), shape))
    return _model(_without_unused(graph, returned), graph, given, returned)


def _model(nodes: list, graph: Graph, given: list, returned: list) -> onnx.ModelProto:
    read = {name for node in nodes for name in node.input}
    constants = [tensor for tensor in graph.initializers if tensor.name in read]
    imports = [helper.make_opsetid("", graph.opset)]
    proto = helper.make_model(
        helper.make_graph(nodes, "main", given, returned, constants),
        opset_imports=imports,
        ir_version=helper.find_min_ir_version_for(imports),
        producer_name="tensorlite",
        producer_version=tensorlite.__version__,
    )
    if proto.ByteSize() < LARGEST:
        onnx.checker.check_model(proto, full_check=True)
    return proto


def _parameters(model: Any) -> dict[int, str]:
    """Names of a Module's arrays."""
    if not isinstance(model, Module):
        return {}
    named = [*model.named_parameters(), *model.named_buffers()]
    return {id(t.array): name for name, t in named}


def _outputs(result: Any) -> list[np.ndarray]:
    return [x.array for x in leaves(result) if isinstance(x, Tensor)]


def _names(said: Sequence[str] | None, count: int, graph: Graph) -> list[str]:
    names = [*(said or []), *[f"output_{i}" for i in range(len(said or []), count)]]
    if len(names) > count:
        raise ValueError(f"output_names {names}: the model returns {count} Tensors")
    if len(set(names)) < count or any(graph.fresh(name) != name for name in names):
        raise ValueError(f"output_names {names}: each must be of its own, and of no input")
    return names


def _said(axes: Axes, name: str, shape: Sequence[Any]) -> list[Any]:
    """A shape with the names of its dynamic axes."""
    of = axes.get(name, {})
    return [of.get(a, of.get(a - len(shape), n)) for a, n in enumerate(shape)]


def _name_of(place: tuple[int, int], call: Call, axes: Axes) -> str | None:
    """What the user calls an axis, if it is one of an input."""
    number, axis = place
    if number >= len(call.inputs):
        return None
    return _said(axes, call.names[number], call.inputs[number].shape)[axis]


def _without_unused(graph: Graph, returned: list) -> list:
    """The nodes that lead to what is returned."""
    needed = {output.name for output in returned}
    kept = []
    for node in reversed(graph.nodes):
        if needed.intersection(node.output):
            needed.update(node.input)
            kept.append(node)
    return kept[::-1]


def save(proto: onnx.ModelProto, f: Any) -> None:
    """Write to a path or a file object; above 2 GB the constants go to a file beside it."""
    if not is_path(f) or proto.ByteSize() < LARGEST:
        write_to(f, lambda file: file.write(proto.SerializeToString()))
        return
    onnx.save(proto, f, save_as_external_data=True, location=f"{Path(f).name}.data")
