"""Calls of kernels as links of chains: each runs the kernel's own formula."""

from __future__ import annotations

from functools import cache
from typing import Any

from tensorlite.backend.kernels.declarations import Kernel, kernels_of
from tensorlite.recording.links import Link, text_of_cast
from tensorlite.recording.views import C_NAMES, SIZES, View, broadcast, computed
from tensorlite.recording.views import dense_strides as dense

FAMILIES = ("elementwise", "arithmetic", "activation", "rectifiers")
_LETTERS = {"?": "B", "l": "q"}  # of what is copied; others are as they are

Arrays = list[tuple[int, int, bool]]  # address, bytes, whether it is written


@cache
def _kernels() -> dict[str, Kernel]:
    """The kernels that may be links: maps over arrays of one size, or of one element."""
    found = {}
    for family in FAMILIES:
        for kernel in kernels_of(family, "cpu"):
            arrays = [p for p in kernel.parameters if p.is_array]
            counts = {p.count for p in arrays}
            outputs = [p for p in arrays if not p.is_input]
            plain = not any(p.optional or p.is_heads for p in arrays) and len(outputs) == 1
            if kernel.launch == "EACH" and counts <= {"n", "1"} and plain:
                found[kernel.name] = kernel
    return found


def link_of_call(name: str, arrays: Arrays, numbers: list, types: str) -> Link | None:
    """What a noted call does, if it is a link.

    Parameters
    ----------
    numbers
        Of the call, in the order of the declaration.
    types
        A letter for each array; see `views.C_NAMES`.
    """
    special = {"copy": _copy, "bias_add": _bias_add, "row_sum": _row_sum, "dropout": _dropout}
    if name in special:
        return special[name](arrays, numbers, types)
    kernel = _kernels().get(name)
    return None if kernel is None else _map(kernel, arrays, numbers, types)


def _map(kernel: Kernel, arrays: Arrays, numbers: list, types: str) -> Link | None:
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
    made = outputs[0]
    if any(v.address == made.address for v in inputs if kernel.name == "scale_by"):
        return None  # which in place does something else
    if kernel.name == "cast":
        text = text_of_cast(inputs[0].type, made.type)
        return Link("cast", text, tuple(inputs), made, (), made.type) if text else None
    # Short floats are floats in registers, and their formula is that of floats.
    template = ", ".join(computed(chosen[t]) for t in kernel.types)
    text = f"tl::{kernel.name}<{template}>({', '.join(arguments)})"
    return Link(kernel.name, text, tuple(inputs), made, tuple(reals), made.type)


def _scalar(p: Any, value: Any, reals: list[float]) -> str:
    """A number of a call: whole ones stand in the text, as they decide what is computed."""
    if p.name == "n":
        return "1"
    if p.type not in ("float", "double"):
        return str(int(value))
    reals.append(float(value))
    return f"{{n{len(reals) - 1}}}"


def _copy(arrays: Arrays, numbers: list, types: str) -> Link | None:
    """A copy that spreads, or puts in order."""
    (to, _, _), (source, _, _) = arrays
    kind = _LETTERS.get(types[0], types[0])
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


def _bias_add(arrays: Arrays, numbers: list, types: str) -> Link | None:
    """A row added to every row."""
    rows, columns = (int(n) for n in numbers)
    kind = types[0]
    if len(set(types)) > 1 or kind not in C_NAMES or kind in "qB":
        return None
    shape = rows, columns
    x, bias, y = (address for address, _, _ in arrays)
    views = View(x, shape, dense(shape), kind), View(bias, shape, (0, 1), kind)
    return Link("bias_add", "plus({0}, {1})", views, View(y, shape, dense(shape), kind), (), kind)


MOST_OF_ONE_ROW = 1 << 14  # elements; more are better computed by all threads


def _row_sum(arrays: Arrays, numbers: list, types: str) -> Link | None:
    """Sums of rows by a kernel of ours, in the order of its words."""
    rows, columns, factor = int(numbers[0]), int(numbers[1]), float(numbers[2])
    kind = types[0]
    if len(set(types)) > 1 or kind not in C_NAMES or kind in "qB":
        return None
    if rows < 1 or columns < 2 or (rows == 1 and columns > MOST_OF_ONE_ROW):
        return None
    (x, _, _), (y, _, _) = arrays
    given = View(x, (rows, columns), (columns, 1), kind)
    text = "times({0}, {T}({n0}))"
    return Link("sum", text, (given,), View(y, (rows,), (1,), kind), (factor,), kind, "team")


def _dropout(arrays: Arrays, numbers: list, types: str) -> Link | None:
    """Dropout by the same random words."""
    n, p, seed, offset = numbers
    if types[0] != types[1] or types[0] not in C_NAMES or types[0] in "qB" or n < 1:
        return None
    (x, _, _), (y, _, _), (base, size, _) = arrays
    given, made = (View(at, (int(n),), (1,), types[0]) for at in (x, y))
    moved = View(base, (1,), (1,), "q") if size else None
    return dropout_link(given, made, float(p), int(seed), int(offset), moved)


def dropout_link(
    given: View, made: View, p: float, seed: int, offset: int, base: View | None
) -> Link | None:
    """The link that dropout of a dense array is."""
    if not (given.dense and made.dense):
        return None
    text = "dropped(word, least_kept({n0}), times({0}, {T}(1 / (1 - {n0}))))"
    draws = (seed, offset, base)
    return Link("dropout", text, (given,), made, (p,), made.type, "", draws)
