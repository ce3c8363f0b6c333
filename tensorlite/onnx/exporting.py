"""`export`: a model as a file of ONNX."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from tensorlite.nn.module import Module
from tensorlite.onnx.runs import Call, all_runs, axes_of
from tensorlite.recording.capture import Captured
from tensorlite.tape import no_grad

OPSETS = range(18, 24)
DEFAULT_OPSET = 20


def export(
    model: Callable,
    args: Any,
    f: Any = None,
    *,
    kwargs: Mapping[str, Any] | None = None,
    input_names: Sequence[str] | None = None,
    output_names: Sequence[str] | None = None,
    dynamic_axes: Mapping[str, Any] | None = None,
    opset_version: int | None = None,
) -> Any:
    """Write a model as an ONNX graph; a Module in evaluation mode.

    Parameters
    ----------
    model : Module or callable
        Takes and returns Tensors, or tuples, lists and dictionaries of them.
    args : Tensor or tuple
        What to call it with: any values, of the shapes and dtypes that it shall be used with.
    f : str, path or file object, optional
        Where to write. A model above 2 GB keeps its parameters in a file ``NAME.data`` beside it.
    kwargs : dict, optional
        Arguments by name; Tensors among them are inputs, too.
    input_names, output_names : sequence of str, optional
        Names of the inputs and outputs, in order. Default: ``input_0``, …, ``output_0``, ….
    dynamic_axes : dict, optional
        By the name of an input or output its axes of any length, ``{"x": {0: "batch"}}`` or
        ``{"x": [0]}``. Axes of one name have one length. The model is also called with other
        lengths, so it must take them.
    opset_version : int, optional
        Version of ONNX's operators, 18 to 23; 20 where it is not said.

    Returns
    -------
    onnx.ModelProto
        The checked model, with the inferred shapes of its outputs.

    Raises
    ------
    ExportError
        If something in the model has no form in ONNX; nothing is written. The message names the
        operation and the line.
    ImportError
        Without the package ``onnx``.
    TypeError, ValueError
        For a captured function, or names that do not fit.

    Examples
    --------
    >>> model = tl.nn.Sequential(tl.nn.Linear(4, 8), tl.nn.ReLU(), tl.nn.Linear(8, 2))
    >>> x = tl.zeros(3, 4)
    >>> proto = tl.onnx.export(model, (x,), dynamic_axes={"input_0": {0: "batch"}})
    >>> [node.op_type for node in proto.graph.node]
    ['Gemm', 'Relu', 'Gemm', 'Identity']
    """
    _import_onnx()
    opset = DEFAULT_OPSET if opset_version is None else opset_version
    if opset not in OPSETS:
        raise ValueError(f"opset_version={opset}: {OPSETS.start} to {OPSETS.stop - 1} are written")
    _check_model(model)
    from tensorlite.onnx.build import built, save  # which needs the package

    call = Call(model, args, kwargs or {}, input_names)
    axes = axes_of(dynamic_axes or {}, call.names, output_names)
    with _evaluating(model), no_grad():
        runs = all_runs(call, axes)
    proto = built(call, runs, output_names, axes, opset)
    if f is not None:
        save(proto, f)
    return proto


def _import_onnx() -> None:
    try:
        import onnx  # noqa: F401
    except ImportError as error:
        raise ImportError(
            'export needs the package onnx: pip install "tensorlite[onnx]"'
        ) from error


def _check_model(model: Any) -> None:
    if isinstance(model, Captured) or isinstance(getattr(model, "forward", None), Captured):
        raise TypeError(
            "export of a captured function: a recording holds addresses and no operators; export "
            "the Module or function inside it, without tl.capture"
        )
    if not callable(model):
        raise TypeError(f"export of a {type(model).__name__}: a Module or a function is exported")


@contextlib.contextmanager
def _evaluating(model: Any) -> Iterator[None]:
    """In evaluation mode; afterwards each module is in its own again."""
    modules = [(m, m.training) for m in model.modules()] if isinstance(model, Module) else []
    if modules:
        model.eval()
    try:
        yield
    finally:
        for module, training in modules:
            module.training = training
