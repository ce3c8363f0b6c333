"""Links of chains: calls of a recording that compute element by element, as C++ expressions.

A kernel of the families in `kernel_links` is a link by itself: its own formula runs (see
`kernels/fused.h`). What the array libraries compute is one where the result has but one right value
(`EXACT`): a sum, a quotient, a comparison. So a chain has the bits of its links.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, NamedTuple

from tensorlite.backend.base import Backend
from tensorlite.recording.nodes import Node
from tensorlite.recording.views import SHORT, View, as_row, broadcast, computed, view_of

_EXACT_DOUBLES = 1 << 53  # whole numbers up to it are handed to a kernel as doubles


class Link(NamedTuple):
    """One operation on elements.

    `text` has a field for the variable of each input, ``{0}``, ``{1}``; ``{T}`` for the type it
    computes in, ``{S}`` for the type of the result. It is an expression, or with ``{out}``
    statements. `numbers` are inputs that are no arrays, ``{n0}`` and so on. `type` is the dtype it
    computes in.

    `reduces` says in which order it adds up the rows of its one input, which is then the field:
    "pairwise", as NumPy, or "team", as kernels do; else it is empty. `draws` says which random
    words it takes, one an element: (seed, offset, the view of what is added to that, or None).
    """

    name: str
    text: str
    inputs: tuple[View, ...]
    output: View
    numbers: tuple[float, ...] = ()
    type: str = "f"
    reduces: str = ""
    draws: tuple[int, int, View | None] | None = None

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
WHOLE = frozenset({"add", "sub", "mul", "neg", "abs", "square", "maximum", "minimum", "positive"})
"""Those of EXACT that whole numbers have, too, besides `where`."""


# --- what Python calls ----------------------------------------------------------------------------


def link_of_node(node: Node) -> Link | None:
    """What Python calls at a replay on the CPU, if it is a link."""
    if node.streams or node.moving or len(node.outputs) > 1:
        return None
    output = node.outputs[0] if node.outputs else None
    link = link_of_unit(node.name, node.function, node.arguments, output)
    return link or _numpys_sum(node)


def link_of_unit(name: str, function: Any, arguments: Any, output: Any) -> Link | None:
    """What a unit does that no kernel of ours takes part in, if it is a link."""
    kind = getattr(function, "__name__", "")
    if is_copy(function, arguments):
        return link_of("positive", arguments, {}, output)
    if kind == "_add_to":  # a gradient's, in place
        return link_of("add", arguments, {}, arguments[0])
    if kind in ("put", "_overwrite"):
        to, x = arguments
        return link_of("positive", (x,), {}, to) if to.shape == x.shape else None
    primitive = getattr(function, "__self__", None)
    if kind != "computed" or primitive is None:
        return None
    raw, static, _ = arguments
    return link_of(primitive.name, raw, static, output)


def is_copy(function: Any, arguments: Any) -> bool:
    """Whether an array is copied, which gets gaps nowhere."""
    method = isinstance(getattr(function, "__self__", None), Backend)
    return method and function.__name__ == "copy" and len(arguments) == 1


def link_of(name: str, raw: Sequence[Any], static: dict, output: Any) -> Link | None:
    """The link that a primitive is, for these inputs and this output."""
    views: list[Any] = [view_of(x) if hasattr(x, "dtype") else x for x in raw]
    made = view_of(output)
    if made is None or not made.dense or any(v is None for v in views):
        return None
    arrays = [v for v in views if isinstance(v, View)]
    if not all(isinstance(v, (View, int, float)) for v in views) or not arrays:
        return None
    types = {v.type for v in arrays if v.type != "B"}
    text = _text_of(name, static, arrays, types, made)
    if text is None or len(types) > 1:
        return None
    compute = made.type if made.type != "B" else (types or {"f"}).pop()
    fields: list[str] = []
    inputs: list[View] = []
    numbers: list[float] = []

    def field(number: float) -> str:
        numbers.append(float(number))
        shown = f"{{T}}({{n{len(numbers) - 1}}})"  # a short float's partner is one, too
        return f"rounded<{{S}}>({shown}, zero)" if compute in SHORT else shown

    for v in views:
        if isinstance(v, View):
            fields.append(f"{{{len(inputs)}}}")
            inputs.append(broadcast(v, made.shape))
        elif compute == "q" and (v != int(v) or abs(v) > _EXACT_DOUBLES):
            return None
        else:
            fields.append(field(v))
    text = re.sub(r"\{(\d)\}", lambda match: fields[int(match[1])], text)
    if "{alpha}" in text:
        text = text.replace("{alpha}", field(static["alpha"]))
    return Link(name, text, tuple(inputs), made, tuple(numbers), compute)


def _text_of(
    name: str, static: dict, arrays: list[View], types: set[str], made: View
) -> str | None:
    """The expression of a primitive; None where the dtypes are not those it is for."""
    masks = [v for v in arrays if v.type == "B"]
    if name in COMPARISONS:
        right = made.type == "B" and types and not masks
        return f"float({COMPARISONS[name]})" if right else None
    if name in LOGIC:
        return f"float({LOGIC[name]})" if made.type == "B" and not types else None
    if name == "where":
        right = made.type != "B" and types <= {made.type} and len(masks) <= 1
        return EXACT[name] if right and (not masks or arrays[0] is masks[0]) else None
    if name == "cast":
        return text_of_cast(arrays[0].type, made.type) if len(arrays) == 1 else None
    if name == "positive" and masks and made.type == "B":
        return EXACT[name]
    whole = made.type == "q" and name not in WHOLE
    if name not in EXACT or types != {made.type} or masks or whole:
        return None
    if static.get("alpha", 1) != 1:
        return EXACT[name].replace("{1}", "rounded<{S}>(times({1}, {alpha}), zero)")
    return EXACT[name]


def text_of_cast(given: str, made: str) -> str | None:
    """The expression of a cast; None of floats to whole numbers, of which not all have one."""
    if made == "B":
        return "float({0} != 0)"
    if made == "q" and given not in "qB":
        return None
    if made in SHORT and given == "d":
        return "halfway({0})"
    if given == "B" and made != "q":  # or a compiler would make 0 of 0 times a negative number
        return f"apart({computed(made)}({{0}}), zero)"
    # A short float of a whole number is that of the float nearest to it, or is not: NumPy decides.
    return None if made in SHORT and given == "q" else f"{computed(made)}({{0}})"


# --- sums -----------------------------------------------------------------------------------------


def _numpys_sum(node: Node) -> Link | None:
    """A sum over the last axis or over all, where NumPy adds up what lies one behind the other."""
    if node.name == "sum to shape":
        x, shape, _ = node.arguments
        rows = shape == (*x.shape[:-1], 1)
        return _sum_of_rows(node.name, x, node.outputs[0]) if rows else None
    primitive = getattr(node.function, "__self__", None)
    if getattr(node.function, "__name__", "") != "computed" or primitive is None:
        return None
    raw, static, _ = node.arguments
    if primitive.name not in ("sum", "mean") or static["dtype"] is not None:
        return None
    axis, ndim = static["axis"], raw[0].ndim
    axes = tuple(range(ndim)) if axis is None else axis if isinstance(axis, tuple) else (axis,)
    axes = tuple(sorted(i % ndim for i in axes)) if ndim else ()
    if axes == (ndim - 1,) or (ndim and axes == tuple(range(ndim))):
        return _sum_of_rows(primitive.name, raw[0], node.outputs[0], len(axes) == ndim)
    return None


def _sum_of_rows(name: str, x: Any, output: Any, all_of_it: bool = False) -> Link | None:
    given, made = view_of(x), view_of(output)
    if given is None or made is None or not given.dense or not made.dense:
        return None
    if given.type not in "fd" or made.type != given.type or given.shape[-1] < 2:
        return None
    if all_of_it:
        given = as_row(given)
    text = "over({0}, {T}(columns))" if name == "mean" else "{0}"
    return Link(name, text, (given,), made, (), given.type, "pairwise")
