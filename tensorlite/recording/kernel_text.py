"""The kernels that are written for chains, in the language of `kernels/`."""

from __future__ import annotations

import math
import re
from typing import NamedTuple

from tensorlite.recording.chains import Chain
from tensorlite.recording.links import (
    C_NAMES,
    FAMILIES,
    SIZES,
    Link,
    View,
    dense_strides,
)

MOST_AXES = 4  # of the shape, neighbours that lie one behind the other taken together
_FIELD = re.compile(r"(&?)\{(\d+)(?::(\w))?\}")


class Written(NamedTuple):
    """The kernel of a chain: its links, its text, and what it is called with."""

    links: list[Link]
    text: str
    arrays: list[View]
    outputs: list[View]
    numbers: list[float]
    sizes: list[int]


def written(chain: Chain, index: int, stored: set[int]) -> Written | None:
    """Write a kernel that stores what the chain makes at the addresses `stored`."""
    shape = (chain.size,) if chain.shape is None else chain.shape
    values: dict[int, tuple[str, str]] = {}  # by address: variable, type
    inputs: dict[View, str] = {}
    numbers: list[float] = []
    lines: list[str] = []
    total: Total | None = None
    links = _needed(chain, stored)
    for link in links:
        given = []
        for view in link.inputs:
            known = values.get(view.address)
            if known is not None and view.dense and view.size == chain.size:
                given.append(known)
                continue
            own = _in_shape(view, shape)
            given.append((inputs.setdefault(own, f"a{len(inputs)}"), view.type))
        name = f"v{len(lines)}"
        used = any(v.address == link.output.address for later in links for v in later.inputs)
        if link.reduces:
            total = Total(link, given[0][0])
            continue
        lines.append(_line(link, name, given, numbers, used))
        values[link.output.address] = (name, link.output.type)
    outputs = [
        View(at, shape, dense_strides(shape), made.type)
        for at, made in chain.made.items()
        if at in stored and at in values
    ]
    results = [values[view.address][0] for view in outputs]
    laid = _laid_out([*inputs, *outputs], shape, total is not None)
    if laid is None:
        return None
    lengths, strides = laid
    body = _Body(list(inputs.items()), outputs, results, lines, len(numbers), total)
    make = body.flat if len(lengths) == 1 else body.rows
    made = outputs if total is None else [*outputs, total.link.output]
    return Written(
        links,
        make(index, lengths, strides),
        [*inputs, *made],
        made,
        numbers,
        _sizes(lengths, strides),
    )


class Total(NamedTuple):
    """The sum of each row that a chain ends in, and the variable that is added up."""

    link: Link
    variable: str


def _needed(chain: Chain, stored: set[int]) -> list[Link]:
    """The links that what is stored depends on."""
    wanted, found = set(stored), []
    for _, link in reversed(chain.members):
        if link.output.address in wanted:
            wanted.discard(link.output.address)
            wanted.update(view.address for view in link.inputs)
            found.append(link)
    return found[::-1]


def _sizes(lengths: list[int], strides: list[list[int]]) -> list[int]:
    """What a kernel is told of its shape: rows, columns, outer lengths, and outer strides."""
    if len(lengths) == 1:
        return list(lengths)
    found = [math.prod(lengths[:-1]), lengths[-1], *lengths[1:-1]]
    for own in strides:
        found += own
    return found


def _in_shape(view: View, shape: tuple[int, ...]) -> View:
    if view.shape == shape:
        return view
    if view.size == 1 or not any(view.strides):
        return View(view.address, shape, (0,) * len(shape), view.type)
    return View(view.address, shape, dense_strides(shape), view.type)


def _laid_out(
    views: list[View], shape: tuple[int, ...], by_rows: bool
) -> tuple[list[int], list[list[int]]] | None:
    """The fewest axes that all views have in common: lengths, and strides of each view.

    The last one stays as it is if `by_rows`.
    """
    axes = [i for i, n in enumerate(shape) if n > 1]
    lengths: list[int] = []
    strides: list[list[int]] = [[] for _ in views]
    for i in axes:
        together = bool(lengths) and all(
            own[-1] == v.strides[i] * shape[i] for own, v in zip(strides, views, strict=True)
        )
        together = together and not (by_rows and i == len(shape) - 1)
        if together:
            lengths[-1] *= shape[i]
        else:
            lengths.append(shape[i])
        for own, v in zip(strides, views, strict=True):
            if together:
                own[-1] = v.strides[i]
            else:
                own.append(v.strides[i])
    if not lengths:
        lengths, strides = [1], [[1] for _ in views]
    if len(lengths) == 1 and (by_rows or any(own[0] not in (0, 1) for own in strides)):
        lengths, strides = [1, *lengths], [[0, *own] for own in strides]
    if any(stride < 0 for own in strides for stride in own) or len(lengths) > MOST_AXES:
        return None
    return lengths, strides


def _line(
    link: Link, name: str, given: list[tuple[str, str]], numbers: list[float], used: bool
) -> str:
    """A link as statements that give the variable `name` its value, which others may use."""
    compute = C_NAMES[link.type]
    first = len(numbers)
    numbers.extend(link.numbers)
    before: list[str] = []

    def variable(match: re.Match[str]) -> str:
        text, kind = given[int(match[2])]
        if match[1] and kind == "B":  # a kernel reads a mask as bytes
            before.append(f"const uint8_t {name}_{match[2]} = uint8_t({text});")
            return f"&{name}_{match[2]}"
        return match[1] + text

    text = link.text.replace("{T}", compute).replace("{out}", name)
    for i in range(len(link.numbers)):
        text = text.replace(f"{{n{i}}}", f"x{first + i}")
    text = _FIELD.sub(variable, text)
    kind = "float" if link.output.type == "B" else C_NAMES[link.output.type]
    if "{out}" in link.text:
        statement = f"{kind} {name}; {text};" + f" {name} = apart({name}, zero);" * used
    elif used and text.startswith("times"):
        statement = f"const {kind} {name} = apart({text}, zero);"
    else:
        statement = f"const {kind} {name} = {text};"
    return " ".join([*before, statement])


class _Body:
    """The text of one kernel and of the function that calls it."""

    def __init__(
        self,
        inputs: list[tuple[View, str]],
        outputs: list[View],
        results: list[str],
        lines: list[str],
        numbers: int,
        total: Total | None,
    ) -> None:
        self.inputs, self.outputs, self.results, self.lines = inputs, outputs, results, lines
        self.parameters = [f"const {C_NAMES[v.type]}* {name}" for v, name in inputs]
        self.parameters += [f"{C_NAMES[v.type]}* y{i}" for i, v in enumerate(outputs)]
        self.total = total
        if total is not None:
            self.parameters.append(f"{C_NAMES[total.link.output.type]}* total")
        self.numbers = [f"double x{i}" for i in range(numbers)]

    def flat(self, index: int, lengths: list[int], strides: list[list[int]]) -> str:
        """Over elements one behind the other."""
        mapped = [
            (v, name)
            for (v, name), own in zip(self.inputs, strides, strict=False)
            if own != [0] or lengths == [1]
        ]
        single = [(v, name) for v, name in self.inputs if (v, name) not in mapped]
        arguments = [f"{_computed(v)} {name}" for v, name in mapped]
        arguments += [f"{_computed(v)}& {name}" for v, name in self._named()]
        # A buffer of results, as large outputs are written through, is there for one output alone.
        word = "out" if len(self.outputs) == 1 else "inout"
        passed = [name for _, name in mapped] + [f"{word}({name})" for _, name in self._named()]
        lines = [f"    const {_computed(v)} {n}_ = {_computed(v)}(*{n});" for v, n in single]
        lines.append(f"    auto rule = [=]({', '.join(arguments)}) {{")
        lines += [f"        const {_computed(v)} {n} = {n}_;" for v, n in single]
        lines += [f"        {line}" for line in self.lines]
        lines += [
            f"        {name} = {result};"
            for (_, name), result in zip(self._named(), self.results, strict=True)
        ]
        lines += ["    };", f"    map_arrays(n, rule, {', '.join(passed)});"]
        return self._function(index, ["Index n"], lines)

    def rows(self, index: int, lengths: list[int], strides: list[list[int]]) -> str:
        """Over rows that lie anywhere."""
        outer = len(lengths) - 1
        sizes = ["rows", "columns", *(f"n{i}" for i in range(1, outer))]
        names = [name for _, name in self.inputs] + [name for _, name in self._named()]
        views = [v for v, _ in self.inputs] + self.outputs
        lines = []
        for name, own in zip(names, strides, strict=True):
            sizes += [f"{name}_s{i}" for i in range(len(own))]
        large = max((v.type for v in views), key=lambda t: SIZES[t])
        lines.append(f"    each_team<{C_NAMES[large]}>(rows, columns, [=](auto team) {{")
        lines.append("        for (Index r : team) {")
        rest = "r"
        for i in range(outer - 1, 0, -1):
            lines.append(f"            const Index i{i} = {rest} % n{i}, q{i} = {rest} / n{i};")
            rest = f"q{i}"
        lines.append(f"            const Index i0 = {rest};")
        inner = []
        for v, name, own in zip(views, names, strides, strict=True):
            is_input = name.startswith("a")
            terms = [f"i{i} * {name}_s{i}" for i in range(outer) if own[i]]
            start = " + ".join([name, *terms])
            kind = C_NAMES[v.type]
            if is_input and own[-1] == 0:
                inner.append(f"const {_computed(v)} {name} = {name}_;")
                lines.append(
                    f"            const {_computed(v)} {name}_ = {_computed(v)}(*({start}));"
                )
                continue
            const = "const " * is_input
            lines.append(f"            {const}{kind}* {name}_row = {start};")
            step = "" if own[-1] == 1 else f" * {name}_s{outer}"
            if is_input:
                inner.append(
                    f"const {_computed(v)} {name} = {_computed(v)}({name}_row[column(j){step}]);"
                )
        lines.append("            auto element = [&](Slot j) {")
        lines += [f"                {line}" for line in [*inner, *self.lines]]
        for (v, name), result in zip(self._named(), self.results, strict=True):
            lines.append(f"                {name}_row[column(j)] = {C_NAMES[v.type]}({result});")
        if self.total is None:
            lines += ["            };", "            team.each(element);"]
        else:
            kind = C_NAMES[self.total.link.type]
            text = self.total.link.text.replace("{T}", kind).replace("{0}", "sum")
            lines.append(f"                return {kind}({self.total.variable});")
            lines.append("            };")
            lines.append(f"            const {kind} sum = row_total<{kind}>(element, 0, columns);")
            lines.append(f"            total[r] = {text};")
        lines += ["        }", "    });"]
        return self._function(index, [f"Index {name}" for name in sizes], lines)

    def _named(self) -> list[tuple[View, str]]:
        return [(v, f"y{i}") for i, v in enumerate(self.outputs)]

    def _function(self, index: int, sizes: list[str], lines: list[str]) -> str:
        everything = [*self.parameters, *sizes, *self.numbers]
        types = [p.rpartition(" ")[0] for p in self.parameters]
        passed = [f"({kind})at[{i}]" for i, kind in enumerate(types)]
        passed += [f"n[{i}]" for i in range(len(sizes))]
        passed += [f"x[{i}]" for i in range(len(self.numbers))]
        return "\n".join(
            [
                f"static void fused_{index}({', '.join(everything)}) {{",
                "    const uint64_t zero = opaque_zero;",
                *lines,
                "}",
                f'extern "C" EXPORT void call_{index}'
                "(void* const* at, const double* x, const Index* n) {",
                f"    fused_{index}({', '.join(passed)});",
                "}",
            ]
        )


def _computed(view: View) -> str:
    """The type of the variable that an element is in."""
    return "double" if view.type == "d" else "float"


def source(kernels: list[str]) -> str:
    """One source with these kernels."""
    return "\n".join(
        [
            "#define TL_FUSED",
            '#include "tensorlite.h"',
            '#include "connect.h"',
            *(f'#include "{family}.cu"' for family in FAMILIES),
            '#define EXPORT __attribute__((visibility("default")))',
            "namespace tl {",
            *kernels,
            "}  // namespace tl",
            "",
        ]
    )
