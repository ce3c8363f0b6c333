"""Links of chains: calls of a recording that compute element by element, as C++ expressions.

A kernel of the families below is a link by itself: its own formula runs (see `kernels/fused.h`).
What NumPy computes is one where the result has but one right value (`EXACT`): a sum, a quotient, a
comparison. So a chain has the bits of its links.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache
from typing import Any, NamedTuple

import numpy as np

from tensorlite.backend import HOST
from tensorlite.backend.kernels.declarations import Kernel, families
from tensorlite.recording.recorder import Node

FAMILIES = ("elementwise", "activation")
C_NAMES = {"f": "float", "d": "double", "B": "uint8_t"}
SIZES = {"f": 4, "d": 8, "B": 1}


class View(NamedTuple):
    """Elements of memory, as a link sees them; strides in elements. Type ``B`` is a boolean."""

    address: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    type: str

    @property
    def size(self) -> int:
        """How many elements it shows."""
        n = 1
        for length in self.shape:
            n *= length
        return n

    @property
    def span(self) -> tuple[int, int]:
        """The addresses that it may touch: from the first up to the second."""
        low = high = 0
        for length, stride in zip(self.shape, self.strides, strict=True):
            if stride < 0:
                low += (length - 1) * stride
            else:
                high += (length - 1) * stride
        size = SIZES[self.type]
        return self.address + low * size, self.address + (high + 1) * size

    @property
    def dense(self) -> bool:
        """Whether the elements lie one behind the other."""
        wanted = zip(self.shape, self.strides, dense_strides(self.shape), strict=True)
        return all(n == 1 or ours == dense for n, ours, dense in wanted)


def dense_strides(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Strides, in elements, of an array without gaps."""
    strides, n = [], 1
    for length in reversed(shape):
        strides.append(n)
        n *= length
    return tuple(reversed(strides))


class Link(NamedTuple):
    """One operation on elements.

    `text` has a field for the variable of each input, ``{0}``, ``{1}``, and ``{T}`` for the type it
    computes in. It is an expression, or with ``{out}`` statements. `numbers` are inputs that are no
    arrays, ``{n0}`` and so on.
    """

    name: str
    text: str
    inputs: tuple[View, ...]
    output: View
    numbers: tuple[float, ...] = ()
    type: str = "f"
    reduces: bool = False  # it adds up the rows of its one input

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape that it goes through."""
        return self.inputs[0].shape if self.reduces else self.output.shape

    @property
    def size(self) -> int:
        """How many elements that are."""
        return self.inputs[0].size if self.reduces else self.output.size

    @property
    def flat(self) -> bool:
        """Whether its shape does not matter: each input is like the output, or one element."""
        alike = all(v.dense and v.size in (1, self.output.size) for v in self.inputs)
        return alike and not self.reduces


# What the array libraries compute with one right result, by the primitive's name. Fields are the
# primitive's inputs, arrays or numbers; `mask` stands for a boolean result.
EXACT = {
    "add": "plus({0}, {1})",
    "sub": "minus({0}, {1})",
    "mul": "times({0}, {1})",
    "true_divide": "over({0}, {1})",
    "neg": "-{0}",
    "abs": "abs({0})",
    "square": "times({0}, {0})",
    "sqrt": "sqrt({0})",
    "reciprocal": "over({T}(1), {0})",
    "rsqrt": "over({T}(1), sqrt({0}))",
    "maximum": "larger({0}, {1})",
    "minimum": "smaller({0}, {1})",
    "positive": "{0}",
    "sign": "{0} > 0 ? {T}(1) : {0} < 0 ? {T}(-1) : {0} == 0 ? {T}(0) : {0}",
    "where": "{0} != 0 ? {1} : {2}",
}
COMPARISONS = {
    "eq": "{0} == {1}",
    "ne": "{0} != {1}",
    "lt": "{0} < {1}",
    "le": "{0} <= {1}",
    "gt": "{0} > {1}",
    "ge": "{0} >= {1}",
    "isnan": "{0} != {0}",
    "isinf": "abs({0}) == {T}(INFINITY)",
    "isfinite": "abs({0}) < {T}(INFINITY)",
}
LOGIC = {
    "logical_and": "{0} != 0 && {1} != 0",
    "logical_or": "{0} != 0 || {1} != 0",
    "logical_xor": "({0} != 0) != ({1} != 0)",
    "logical_not": "{0} == 0",
    "bitwise_and": "{0} != 0 && {1} != 0",
    "bitwise_or": "{0} != 0 || {1} != 0",
    "bitwise_xor": "({0} != 0) != ({1} != 0)",
    "bitwise_not": "{0} == 0",
}


# --- what Python calls ----------------------------------------------------------------------------


def link_of_node(node: Node) -> Link | None:
    """What a primitive that Python calls at a replay does, if it is a link."""
    if is_copy(node):
        return link_of("positive", node.arguments, {}, node.outputs[0])
    if getattr(node.function, "__name__", "") == "_add_to":  # a gradient's, in place
        return link_of("add", node.arguments, {}, node.arguments[0])
    if node.name == "sum to shape":
        x, shape, _ = node.arguments
        rows = shape == (*x.shape[:-1], 1)
        return _sum_of_rows("sum to shape", x, node.outputs[0]) if rows else None
    primitive = getattr(node.function, "__self__", None)
    if getattr(node.function, "__name__", "") != "computed" or primitive is None:
        return None
    if node.streams or node.moving or len(node.outputs) != 1:
        return None
    raw, static, _ = node.arguments
    if primitive.name in ("sum", "mean"):
        last = static["axis"] in (-1, raw[0].ndim - 1, (-1,), (raw[0].ndim - 1,))
        plain = last and static["dtype"] is None
        return _sum_of_rows(primitive.name, raw[0], node.outputs[0]) if plain else None
    return link_of(primitive.name, raw, static, node.outputs[0])


def _sum_of_rows(name: str, x: Any, output: Any) -> Link | None:
    """A sum over the last axis, where NumPy adds up what lies one behind the other."""
    given, made = view_of(x), view_of(output)
    if given is None or made is None or not given.dense or not made.dense:
        return None
    if given.type == "B" or made.type != given.type or given.shape[-1] < 2 or not given.shape[:-1]:
        return None
    text = "over({0}, {T}(columns))" if name == "mean" else "{0}"
    return Link(name, text, (given,), made, (), given.type, True)


def is_copy(node: Node) -> bool:
    """Whether Python copies an array, which gets gaps nowhere."""
    return node.function == HOST.copy and len(node.arguments) == len(node.outputs) == 1


def link_of(name: str, raw: Sequence[Any], static: dict, output: Any) -> Link | None:
    """The link that a primitive is, for these inputs and this output."""
    views = [view_of(x) if hasattr(x, "dtype") else x for x in raw]
    made = view_of(output)
    if made is None or not made.dense or any(v is None for v in views):
        return None
    arrays = [v for v in views if isinstance(v, View)]
    if not all(isinstance(v, (View, int, float)) for v in views) or not arrays:
        return None
    floats = {v.type for v in arrays if v.type != "B"}
    text = _text_of(name, static, arrays, floats, made)
    if text is None or len(floats) > 1:
        return None
    compute = made.type if made.type != "B" else (floats or {"f"}).pop()
    fields: list[str] = []
    inputs: list[View] = []
    numbers: list[float] = []
    for v in views:
        if isinstance(v, View):
            fields.append(f"{{{len(inputs)}}}")
            inputs.append(broadcast(v, made.shape))
        elif v is not None:
            fields.append(f"{{T}}({{n{len(numbers)}}})")
            numbers.append(float(v))
    text = re.sub(r"\{(\d)\}", lambda match: fields[int(match[1])], text)
    if "{alpha}" in text:
        text = text.replace("{alpha}", f"{{T}}({{n{len(numbers)}}})")
        numbers.append(float(static["alpha"]))
    return Link(name, text, tuple(inputs), made, tuple(numbers), compute)


def _text_of(
    name: str, static: dict, arrays: list[View], floats: set[str], made: View
) -> str | None:
    """The expression of a primitive; None where the dtypes are not those it is for."""
    masks = [v for v in arrays if v.type == "B"]
    if name in COMPARISONS:
        right = made.type == "B" and floats and not masks
        return f"float({COMPARISONS[name]})" if right else None
    if name in LOGIC:
        return f"float({LOGIC[name]})" if made.type == "B" and not floats else None
    if name == "where":
        right = made.type != "B" and floats <= {made.type} and len(masks) <= 1
        return EXACT[name] if right and (not masks or arrays[0] is masks[0]) else None
    if name == "cast":
        right = made.type != "B" and len(arrays) == 1
        return f"{C_NAMES[made.type]}({{0}})" if right else None
    if name not in EXACT or floats != {made.type} or masks:
        return None
    alpha = static.get("alpha", 1)
    if alpha != 1:
        return EXACT[name].replace("{1}", "apart(times({1}, {alpha}), zero)")
    return EXACT[name]


def view_of(x: Any) -> View | None:
    """An array as a view; None if its elements are not of a type that chains have."""
    if not isinstance(x, np.ndarray):  # a NumPy scalar, which lies nowhere
        return None
    kind = "B" if x.dtype.char == "?" else x.dtype.char
    if kind not in SIZES or not x.size or any(s % x.itemsize for s in x.strides):
        return None
    strides = tuple(s // x.itemsize for s in x.strides)
    return View(x.__array_interface__["data"][0], x.shape, strides, kind)


def broadcast(view: View, shape: tuple[int, ...]) -> View:
    """The same elements, repeated to another shape."""
    strides = [0] * (len(shape) - len(view.shape))
    for length, stride in zip(view.shape, view.strides, strict=True):
        strides.append(stride if length > 1 else 0)
    return View(view.address, shape, tuple(strides), view.type)


# --- what kernels do ------------------------------------------------------------------------------


@cache
def _kernels() -> dict[str, Kernel]:
    """The kernels that may be links: maps over arrays of one size, or of one element."""
    found = {}
    for family in FAMILIES:
        for kernel in families("cpu")[family]:
            arrays = [p for p in kernel.parameters if p.is_array]
            counts = {p.count for p in arrays}
            outputs = [p for p in arrays if not p.is_input]
            plain = not any(p.optional or p.is_heads for p in arrays) and len(outputs) == 1
            if kernel.launch == "EACH" and counts <= {"n", "1"} and plain:
                found[kernel.name] = kernel
    return found


def link_of_call(name: str, arrays: list, numbers: list, types: str) -> Link | None:
    """What a noted call does, if it is a link."""
    if name == "copy":
        return _copy(arrays, numbers, types)
    if name == "bias_add":
        return _bias_add(arrays, numbers, types)
    kernel = _kernels().get(name)
    if kernel is None:
        return None
    scalars = iter(numbers)
    values = {p.name: next(scalars) for p in kernel.parameters if not p.is_array}
    n = values["n"]
    chosen: dict[str, str] = {}
    inputs: list[View] = []
    arguments: list[str] = []
    outputs: list[View] = []
    reals: list[float] = []
    of_arrays = iter(zip(arrays, types, strict=True))
    for p in kernel.parameters:
        if not p.is_array:
            arguments.append(_scalar(p, values[p.name], reals))
            continue
        (address, size, _), letter = next(of_arrays)
        count = n if p.count == "n" else 1
        if letter not in SIZES or size != count * SIZES[letter]:
            return None
        if p.type in kernel.types and chosen.setdefault(p.type, letter) != letter:
            return None
        view = View(address, (count,), (1,), letter)
        if p.is_input:
            arguments.append(f"&{{{len(inputs)}:{letter}}}")
            inputs.append(view if count == n else broadcast(view, (n,)))
        else:
            arguments.append("&{out}")
            outputs.append(view)
    if any(v.address == outputs[0].address for v in inputs if name == "scale_by"):
        return None  # which in place does something else
    letters = [chosen[t] for t in kernel.types]
    template = ", ".join(C_NAMES[letter] for letter in letters)
    text = f"tl::{name}<{template}>({', '.join(arguments)})"
    return Link(name, text, tuple(inputs), outputs[0], tuple(reals), outputs[0].type)


def _scalar(p: Any, value: Any, reals: list[float]) -> str:
    """A number of a call: whole ones stand in the text, as they decide what is computed."""
    if p.name == "n":
        return "1"
    if p.type not in ("float", "double"):
        return str(int(value))
    reals.append(float(value))
    return f"{{n{len(reals) - 1}}}"


def _copy(arrays: list, numbers: list, types: str) -> Link | None:
    """A copy that spreads, or puts in order."""
    (to, _, _), (source, _, _) = arrays
    kind = {"?": "B"}.get(types[0], types[0])
    if kind not in SIZES:
        return None
    size = SIZES[kind]
    shape, ours, theirs = (tuple(numbers[i::3]) for i in range(3))
    if any(s % size for s in (*ours, *theirs)) or any(s < 0 for s in (*ours, *theirs)):
        return None
    made = View(to, shape, tuple(s // size for s in ours), kind)
    given = View(source, shape, tuple(s // size for s in theirs), kind)
    if not made.dense or made.size < 1:
        return None
    return Link("copy", "{0}", (given,), made, (), kind if kind != "B" else "f")


def _bias_add(arrays: list, numbers: list, types: str) -> Link | None:
    """A row added to every row."""
    rows, columns = (int(n) for n in numbers)
    if len(set(types)) > 1 or types[0] not in "fd":
        return None
    shape = rows, columns
    x, bias, y = (address for address, _, _ in arrays)
    full = dense_strides(shape)
    views = View(x, shape, full, types[0]), View(bias, shape, (0, 1), types[0])
    return Link("bias_add", "plus({0}, {1})", views, View(y, shape, full, types[0]), (), types[0])


def as_type(value: Any) -> np.dtype:
    """The dtype of a view's elements."""
    return np.dtype({"f": np.float32, "d": np.float64, "B": np.uint8}[value.type])
