"""Operations that move elements: shapes, parts, places."""

from __future__ import annotations

from typing import Any

import numpy as np

from tensorlite.onnx.graph import Graph, converts
from tensorlite.onnx.sizes import Dim, Step
from tensorlite.onnx.trace import ExportError, Value
from tensorlite.ops.index import ARRAY

END = np.iinfo(np.int64).max


@converts("reshape")
def _reshape(g: Graph, s: Step, x: str, shape: Any) -> str:
    lengths = [shape] if isinstance(shape, int) else list(shape)
    if -1 not in lengths:
        known = s.shape()
        for i, n in enumerate(lengths):
            if isinstance(n, Dim) and i < len(known) and n == known[i]:
                lengths[i] = 0  # as it is in the input
        if sum(isinstance(n, Dim) for n in lengths) == 1:
            lengths = [-1 if isinstance(n, Dim) else n for n in lengths]
    return g.node("Reshape", x, g.ints(lengths))


@converts("transpose_axes")
def _transpose(g: Graph, s: Step, x: str, axes: tuple[int, ...] | None) -> str:
    n = s.ndim()
    return g.node("Transpose", x, perm=[a % n for a in axes] if axes else list(range(n))[::-1])


@converts("swapaxes")
def _swapaxes(g: Graph, s: Step, x: str, axis0: int, axis1: int) -> str:
    order = list(range(s.ndim()))
    if order:
        order[axis0], order[axis1] = order[axis1], order[axis0]
    return g.node("Transpose", x, perm=order)


@converts("broadcast_to")
def _broadcast(g: Graph, s: Step, x: str, size: tuple) -> str:
    return g.node("Expand", x, g.ints(size))


@converts("concat_arrays")
def _concat(g: Graph, s: Step, *xs: str, axis: int) -> str:
    return g.node("Concat", *xs, axis=axis)


@converts("stack_arrays")
def _stack(g: Graph, s: Step, *xs: str, axis: int) -> str:
    axis %= s.output().ndim
    return g.node("Concat", *[g.node("Unsqueeze", x, g.ints([axis])) for x in xs], axis=axis)


@converts("split_at")
def _split(g: Graph, s: Step, x: str, cuts: tuple, axis: int) -> list[str]:
    axis %= s.ndim()
    starts, ends = [0, *cuts], [*cuts, END]
    return [part(g, x, [a], [b], [axis]) for a, b in zip(starts, ends, strict=True)]


@converts("unbind")
def _unbind(g: Graph, s: Step, x: str, axis: int) -> list[str]:
    return [g.node("Gather", x, np.int64(i), axis=axis) for i in range(len(s.outputs))]


def part(g: Graph, x: str, starts: list, ends: list, axes: list, steps: list | None = None) -> str:
    """``x[start:end:step]`` along some axes."""
    return g.node(
        "Slice", x, *[g.ints(each) for each in (starts, ends, axes, steps or [1] * len(axes))]
    )


@converts("reverse")
def _reverse(g: Graph, s: Step, x: str, axis: Any) -> str:
    axes = range(s.ndim()) if axis is None else [axis] if isinstance(axis, int) else axis
    n = len(axes)
    return part(g, x, [END] * n, [-END] * n, [a % s.ndim() for a in axes], [-1] * n)


@converts("roll_axes")
def _roll(g: Graph, s: Step, x: str, shift: Any, axis: Any) -> str:
    if axis is None:
        flat = g.node("Reshape", x, g.ints([-1]))
        count = g.node("Shape", x)
        return g.node(
            "Reshape", _rolled(g, flat, shift if isinstance(shift, int) else shift[0], 0), count
        )
    pairs = [(shift, axis)] if isinstance(axis, int) else list(zip(shift, axis, strict=True))
    for by, along in pairs:
        n = s.fixed("rolled axes", s.shape())[along]
        x = _rolled(g, x, by % max(n, 1), along % s.ndim())
    return x


def _rolled(g: Graph, x: str, by: int, axis: int) -> str:
    if not by:
        return x
    return g.node(
        "Concat", part(g, x, [-by], [END], [axis]), part(g, x, [0], [-by], [axis]), axis=axis
    )


# --- indices ------------------------------------------------------------------------------------


def _whole(parts: tuple, ndim: int) -> list:
    """One entry per axis, and None where a new axis is to be."""
    used = sum(p is not None and p is not Ellipsis for p in parts)
    at = parts.index(Ellipsis) if Ellipsis in parts else len(parts)
    return [*parts[:at], *[slice(None)] * (ndim - used), *parts[at + 1 :]]


def _basic(g: Graph, x: str, parts: list) -> str:
    """Slices, integers and new axes; index arrays stand for whole axes."""
    starts, ends, axes, steps, gone, axis = [], [], [], [], [], 0
    for p in parts:
        if p is None:
            continue
        if type(p) is int:
            gone.append(axis)
            p = slice(p, p + 1 if p != -1 else None)
        if isinstance(p, slice) and p != slice(None):
            back = type(p.step) is int and p.step < 0
            starts.append(p.start if p.start is not None else END if back else 0)
            ends.append(p.stop if p.stop is not None else -END if back else END)
            axes.append(axis)
            steps.append(1 if p.step is None else p.step)
        axis += 1
    if axes:
        x = part(g, x, starts, ends, axes, steps)
    if gone:
        x = g.node("Squeeze", x, g.ints(gone))
    left = [p for p in parts if type(p) is not int]
    new = [i for i, p in enumerate(left) if p is None]
    return g.node("Unsqueeze", x, g.ints(new)) if new else x


@converts("basic_getitem")
def _getitem(g: Graph, s: Step, x: str, parts: tuple) -> str:
    return _basic(g, x, _whole(parts, s.ndim()))


@converts("advanced_getitem")
def _advanced(g: Graph, s: Step, x: str, *indices: str, parts: tuple) -> str:
    masks = [s.dtype(i + 1).kind == "b" for i in range(len(indices))]
    if len(indices) == 1 and masks[0] and parts[0] is ARRAY:
        places = g.node("Transpose", g.node("NonZero", indices[0]), perm=[1, 0])
        rest = _whole(parts, s.ndim() - s.ndim(1) + 1)
        if all(p is ARRAY or p == slice(None) for p in rest):
            return g.node("GatherND", x, places)
    whole = _whole(parts, s.ndim())
    x = _basic(g, x, [slice(None) if p is ARRAY else p for p in whole])
    at = [i for i, p in enumerate(p for p in whole if type(p) is not int) if p is ARRAY]
    if not any(masks) and len(at) == 1:
        return g.node("Gather", x, indices[0], axis=at[0])
    if not any(masks) and at == list(range(len(at))):
        ndim = max(s.ndim(i + 1) for i in range(len(indices)))
        shapes = [g.node("Shape", i) for i in indices]
        zero = g.node("ConstantOfShape", shapes[0])
        for shape in shapes[1:]:
            zero = g.node("Add", zero, g.node("ConstantOfShape", shape))
        zero = g.cast(zero, np.int64)
        wide = [g.node("Add", zero, g.cast(i, np.int64)) for i in indices]
        stacked = [g.node("Unsqueeze", i, g.ints([ndim])) for i in wide]
        return g.node("GatherND", x, g.node("Concat", *stacked, axis=ndim))
    raise ExportError(
        f"export: this index at {s.line} has no form in ONNX: one index array, or several for the "
        "first axes, or one mask for the first axes, has"
    )


@converts("take_along")
def _take(g: Graph, s: Step, x: str, index: str, axis: int) -> str:
    return g.node("Gather", x, index, axis=axis)


@converts("take_along_axis", "picked", "pick")
def _take_along_axis(g: Graph, s: Step, x: str, index: str, axis: int) -> str:
    return g.node("GatherElements", x, index, axis=axis)


@converts("table_rows")
def _embedding(g: Graph, s: Step, indices: str, weight: str, **static: Any) -> str:
    return g.node("Gather", weight, indices, axis=0)


@converts("one_hot_array")
def _one_hot(g: Graph, s: Step, labels: str, num_classes: int, dtype: Any) -> str:
    return g.node("OneHot", labels, np.int64(num_classes), np.array([0, 1], dtype), axis=-1)


@converts("tril", "triu")
def _triangle(g: Graph, s: Step, x: str, diagonal: int) -> str:
    upper = int(s.primitive.name == "triu")
    if s.dtype().kind != "b":
        return g.node("Trilu", x, np.int64(diagonal), upper=upper)
    return g.cast(g.node("Trilu", g.cast(x, np.float32), np.int64(diagonal), upper=upper), bool)


# --- padding ------------------------------------------------------------------------------------


@converts("pad_constant", "pad_edges")
def _pad(g: Graph, s: Step, x: str, widths: tuple, value: float = 0, mode: str = "constant") -> str:
    mode = {"replicate": "edge", "circular": "wrap"}.get(mode, mode)
    pads = g.ints([before for before, _ in widths] + [after for _, after in widths])
    if mode == "wrap" and g.opset < 19:
        raise ExportError(f"export: circular padding at {s.line} needs opset_version=19 or above")
    fill = np.array(value, s.dtype()) if mode == "constant" else None
    return g.node("Pad", x, pads, fill, mode=mode)


@converts("unpool")
def _unpool(g: Graph, s: Step, x: str, index: str, size: tuple[int, ...]) -> str:
    n, c = s.shape()[:2]
    flat = g.ints([0, 0, -1])
    lengths = s.fixed("the planes", size)
    zeros = g.node("ConstantOfShape", g.ints([n, c, int(np.prod(lengths))]), value=_zero(s))
    places, values = g.node("Reshape", index, flat), g.node("Reshape", x, flat)
    planes = g.node("ScatterElements", zeros, places, values, axis=2)
    return g.node("Reshape", planes, g.ints([0, 0, *lengths]))


def _zero(s: Step) -> Any:
    from onnx import numpy_helper

    return numpy_helper.from_array(np.zeros(1, s.dtype()))


@converts("scattered")
def _scatter(g: Graph, s: Step, x: str, index: str, src: str, axis: int) -> str:
    source = s.inputs[2]
    if not isinstance(source, (Value, np.ndarray)):
        src = g.node("Expand", src, g.node("Shape", index))
    return g.node("ScatterElements", x, index, src, axis=axis)
