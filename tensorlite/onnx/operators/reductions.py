"""Sums and the like along axes."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tensorlite.onnx.graph import Graph, converts, element_type
from tensorlite.onnx.operators.pointwise import number
from tensorlite.onnx.sizes import Dim, Step
from tensorlite.onnx.trace import ExportError


def reduced(g: Graph, s: Step, op: str, x: str, axis: Any, keepdims: bool) -> str:
    """A reduction along some axes, or all."""
    axes = None if axis is None else [axis] if isinstance(axis, int) else list(axis)
    if axes is not None and not axes:  # along none: ONNX would take all
        return g.node(op, x, g.ints([]), keepdims=0, noop_with_empty_axes=1)
    return g.node(op, x, None if axes is None else g.ints(axes), keepdims=int(keepdims))


@converts("sum", "mean", "prod")
def _total(g: Graph, s: Step, x: str, axis: Any, keepdims: bool, dtype: Any) -> str:
    if s.output().dtype != s.dtype():
        x = g.cast(x, s.output().dtype)
    op = {"sum": "ReduceSum", "mean": "ReduceMean", "prod": "ReduceProd"}[s.primitive.name]
    return reduced(g, s, op, x, axis, keepdims)


@converts("amax", "amin")
def _extreme(g: Graph, s: Step, x: str, axis: Any, keepdims: bool) -> str:
    op = {"amax": "ReduceMax", "amin": "ReduceMin"}[s.primitive.name]
    return reduced(g, s, op, x, axis, keepdims)


@converts("any", "all")
def _truth(g: Graph, s: Step, x: str, axis: Any, keepdims: bool) -> str:
    x = g.cast(x if s.dtype().kind == "b" else g.cast(x, bool), np.int32)
    op = {"any": "ReduceMax", "all": "ReduceMin"}[s.primitive.name]
    return g.cast(reduced(g, s, op, x, axis, keepdims), bool)


@converts("logsumexp")
def _logsumexp(g: Graph, s: Step, x: str, axis: Any, keepdims: bool) -> str:
    return reduced(g, s, "ReduceLogSumExp", x, axis, keepdims)


@converts("argmax", "argmin", "place_of_largest", "place_of_smallest")
def _place(g: Graph, s: Step, x: str, axis: int | None, keepdims: bool = True) -> str:
    op = "ArgMax" if s.primitive.name in ("argmax", "max") else "ArgMin"
    if axis is None:
        x, ndim = g.node("Reshape", x, g.ints([-1])), s.ndim()
        place = g.node(op, x, axis=0, keepdims=0)
        return g.node("Reshape", place, g.ints([1] * ndim)) if keepdims else place
    return g.node(op, x, axis=axis, keepdims=int(keepdims))


@converts("variance", "deviation")
def _variance(g: Graph, s: Step, x: str, axis: Any, correction: float, keepdims: bool) -> str:
    axes = range(s.ndim()) if axis is None else [axis] if isinstance(axis, int) else axis
    center = reduced(g, s, "ReduceMean", x, axis, True)
    away = g.node("Sub", x, center)
    total = reduced(g, s, "ReduceSumSquare", away, axis, keepdims)
    lengths = [s.shape()[a] for a in axes]
    if any(isinstance(n, Dim) for n in lengths):
        count = g.node("Cast", g.node("ReduceProd", g.ints(lengths), keepdims=0), to=_of(s))
        divisor = g.node("Sub", count, number(s, correction))
    else:
        divisor = g.constant(number(s, max(math.prod(lengths) - correction, 0)))
    found = g.node("Div", total, divisor)
    return found if s.primitive.name == "var" else g.node("Sqrt", found)


def _of(s: Step) -> int:
    return element_type(s.dtype())


@converts("vector_norm")
def _norm(g: Graph, s: Step, x: str, ord: float, axis: Any, keepdims: bool) -> str:
    if ord in (1, 2):
        return reduced(g, s, f"ReduceL{int(ord)}", x, axis, keepdims)
    size = g.node("Abs", x)
    if math.isinf(ord):
        return reduced(g, s, "ReduceMax" if ord > 0 else "ReduceMin", size, axis, keepdims)
    if ord == 0:
        there = g.cast(g.node("Greater", size, number(s, 0)), s.dtype())
        return reduced(g, s, "ReduceSum", there, axis, keepdims)
    total = reduced(g, s, "ReduceSum", g.node("Pow", size, number(s, ord)), axis, keepdims)
    return g.node("Pow", total, number(s, 1 / ord))


@converts("softmax_along", "log_softmax_along")
def _softmax(g: Graph, s: Step, x: str, axis: int) -> str:
    return g.node(
        {"softmax": "Softmax", "log_softmax": "LogSoftmax"}[s.primitive.name], x, axis=axis
    )


@converts("running_sum")
def _cumsum(g: Graph, s: Step, x: str, axis: int, reverse: bool) -> str:
    x = x if s.output().dtype == s.dtype() else g.cast(x, s.output().dtype)
    return g.node("CumSum", x, np.int64(axis), reverse=int(reverse))


@converts("argtopk")
def _topk(g: Graph, s: Step, x: str, k: Any, axis: int, largest: bool) -> str:
    _, places = g.node("TopK", x, g.ints([k]), outputs=2, axis=axis, largest=int(largest))
    return places


@converts("order_of")
def _sort(g: Graph, s: Step, x: str, axis: int, descending: bool) -> str:
    return _topk(g, s, x, s.shape()[axis], axis, descending)


@converts("channel_sum")
def _channel_sum(g: Graph, s: Step, x: str) -> str:
    return reduced(g, s, "ReduceSum", x, [0, *range(2, s.ndim())], False)


@converts("nll_rows")
def _nll(
    g: Graph, s: Step, x: str, labels: str, weight: str | None, ignore_index: int, mean: bool
) -> str:
    if s.output().ndim:
        raise ExportError(f"export: {s.primitive.name} at {s.line} of single rows has no form")
    return g.node(
        "NegativeLogLikelihoodLoss",
        *(x, labels, weight),
        ignore_index=ignore_index,
        reduction="mean" if mean else "sum",
    )
