"""The kernels that are written for chains, in the language of `kernels/`."""

from __future__ import annotations

import math
import re
from typing import NamedTuple

from tensorlite.recording.chains import Chain
from tensorlite.recording.kernel_links import FAMILIES
from tensorlite.recording.links import Link
from tensorlite.recording.views import C_NAMES, SHORT, SIZES, View, computed, dense_strides

MOST_AXES = 4  # of the shape, neighbours that lie one behind the other taken together
_FIELD = re.compile(r"(&?)\{(\d+)(?::(\w))?\}")


class Written(NamedTuple):
    """The kernel of a chain: its links, its text, and what it is called with.

    `text` has ``@`` where the kernel's name belongs. `team` is the type of the rows that teams
    add up; "" where the kernel goes over elements.
    """

    links: list[Link]
    text: str
    team: str
    shape: tuple[int, int]  # rows and columns
    arrays: list[View]
    outputs: list[View]
    numbers: list[float]
    sizes: list[int]


def written(chain: Chain, stored: set[int]) -> Written | None:
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
            numbers.extend(link.numbers)
            total = Total(link, given[0][0], len(numbers) - len(link.numbers))
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
    draws = next((link.draws for link in links if link.draws), None)
    if draws and len(lengths) > 1:
        return None
    sizes = _sizes(lengths, strides)
    if draws:
        seed, offset, base = draws
        sizes += [_signed(seed), _signed(offset)]
        if base is not None:
            inputs[base] = "base"
    body = _Body(list(inputs.items()), outputs, results, lines, len(numbers), total, draws)
    make = body.flat if len(lengths) == 1 else body.rows
    made = outputs if total is None else [*outputs, total.link.output]
    team = "" if total is None else C_NAMES[total.link.inputs[0].type]
    text = make(lengths, strides)
    rows = math.prod(lengths[:-1]), lengths[-1]
    return Written(links, text, team, rows, [*inputs, *made], made, numbers, sizes)


class Total(NamedTuple):
    """The sum of each row that a chain ends in, and the variable that is added up."""

    link: Link
    variable: str
    first: int  # of its numbers

    def text(self) -> str:
        """The sum of a row, in the place where it is stored."""
        text = self.link.text.replace("{T}", computed(self.link.type)).replace("{0}", "sum")
        for i in range(len(self.link.numbers)):
            text = text.replace(f"{{n{i}}}", f"x{self.first + i}")
        return f"{C_NAMES[self.link.output.type]}({text})"


def _signed(bits: int) -> int:
    """64 bits as a number with a sign."""
    return bits - (1 << 64) if bits >> 63 else bits


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
    first = len(numbers)
    numbers.extend(link.numbers)
    before: list[str] = []

    def variable(match: re.Match[str]) -> str:
        text, kind = given[int(match[2])]
        if match[1] and kind == "B":  # a kernel reads a mask as bytes
            before.append(f"const uint8_t {name}_{match[2]} = uint8_t({text});")
            return f"&{name}_{match[2]}"
        return match[1] + text

    text = link.text.replace("{T}", computed(link.type)).replace("{S}", C_NAMES[link.type])
    text = text.replace("{out}", name)
    for i in range(len(link.numbers)):
        text = text.replace(f"{{n{i}}}", f"x{first + i}")
    text = _FIELD.sub(variable, text)
    kind, stored = computed(link.output.type), C_NAMES[link.output.type]
    short = link.output.type in SHORT
    if "{out}" in link.text:
        statement = f"{kind} {name}; {text};"
        statement += f" {name} = rounded<{stored}>({name}, zero);" * (used or short)
    elif short or (used and text.startswith(("times", "dropped"))):
        statement = f"const {kind} {name} = rounded<{stored}>({text}, zero);"
    else:
        statement = f"const {kind} {name} = {text};"
    return " ".join([*before, statement])


class _Body:
    """The text of one kernel, and on the CPU of the function that calls it."""

    def __init__(
        self,
        inputs: list[tuple[View, str]],
        outputs: list[View],
        results: list[str],
        lines: list[str],
        numbers: int,
        total: Total | None,
        draws: tuple | None,
    ) -> None:
        self.inputs, self.outputs, self.results, self.lines = inputs, outputs, results, lines
        self.parameters = [f"const {C_NAMES[v.type]}* {name}" for v, name in inputs]
        self.parameters += [f"{C_NAMES[v.type]}* y{i}" for i, v in enumerate(outputs)]
        self.total, self.draws = total, draws
        if total is not None:
            self.parameters.append(f"{C_NAMES[total.link.output.type]}* total")
        self.numbers = [f"double x{i}" for i in range(numbers)]

    def flat(self, lengths: list[int], strides: list[list[int]]) -> str:
        """Over elements one behind the other."""
        mapped = [
            (v, name)
            for (v, name), own in zip(self.inputs, strides, strict=False)
            if (own != [0] or lengths == [1]) and name != "base"
        ]
        single = [(v, n) for v, n in self.inputs if (v, n) not in mapped and n != "base"]
        arguments = ["uint32_t word"] * bool(self.draws)
        arguments += [f"{_kind(v)} {name}" for v, name in mapped]
        arguments += [f"{_kind(v)}& {name}" for v, name in self._named()]
        passed = [name for _, name in mapped] + [f"out({name})" for _, name in self._named()]
        lines = [f"    const {_kind(v)} {n}_ = {_kind(v)}(*{n});" for v, n in single]
        lines.append(f"    auto rule = [=]({', '.join(arguments)}) RULE {{")
        lines += [f"        const {_kind(v)} {n} = {n}_;" for v, n in single]
        lines += [f"        {line}" for line in self.lines]
        lines += [
            f"        {name} = {result};"
            for (_, name), result in zip(self._named(), self.results, strict=True)
        ]
        lines.append("    };")
        sizes = ["Index n"]
        if self.draws is None:
            lines.append(f"    map_arrays(n, rule, {', '.join(passed)});")
        else:
            sizes += ["Index seed", "Index offset"]
            start = "uint64_t(offset)" + " + *base" * (self.draws[2] is not None)
            passed = [f"uint64_t(seed), {start}", "rule", *passed]
            lines.append(f"    map_random<Words>(n, {', '.join(passed)});")
        return self._function("FUSED_EACH", sizes, lines)

    def rows(self, lengths: list[int], strides: list[list[int]]) -> str:
        """Over rows that lie anywhere."""
        outer = len(lengths) - 1
        sizes = ["rows", "columns", *(f"n{i}" for i in range(1, outer))]
        named = [(name, v) for v, name in self.inputs] + [(n, v) for v, n in self._named()]
        for (name, _), own in zip(named, strides, strict=True):
            sizes += [f"{name}_s{i}" for i in range(len(own))]
        lines, rest = [], "r"
        for i in range(outer - 1, 0, -1):
            lines.append(f"const Index q{i} = quotient({rest}, n{i}), i{i} = {rest} - q{i} * n{i};")
            rest = f"q{i}"
        lines.append(f"const Index i0 = {rest};")
        at = "column(j)" if self.total is None else "inside(j, columns)"
        inner = []
        for (name, v), own in zip(named, strides, strict=True):
            terms = [f"i{i} * {name}_s{i}" for i in range(outer) if own[i]]
            start = " + ".join([name, *terms])
            if name.startswith("y"):
                lines.append(f"{C_NAMES[v.type]}* {name}_row = {start};")
            elif own[-1] == 0:
                lines.append(f"const {_kind(v)} {name}_ = {_kind(v)}(*({start}));")
                inner.append(f"const {_kind(v)} {name} = {name}_;")
            else:
                step = "" if own[-1] == 1 else f" * {name}_s{outer}"
                lines.append(f"const {C_NAMES[v.type]}* {name}_row = {start};")
                inner.append(f"const {_kind(v)} {name} = {_kind(v)}({name}_row[{at}{step}]);")
        inner += self.lines
        given = zip(self._named(), self.results, strict=True)
        results = [(name, f"{C_NAMES[v.type]}({result});") for (v, name), result in given]
        parameters = [f"Index {name}" for name in sizes]
        if self.total is None:
            large = max((v.type for _, v in named), key=lambda t: SIZES[t])
            head = f"each_element<{C_NAMES[large]}>(rows, columns, [=](Index r, const auto& run) {{"
            inner += [f"{name} = {result}" for name, result in results]
            slots = "".join(f", {C_NAMES[v.type]}& {name}" for v, name in self._named())
            rows = "".join(f", {name}_row" for name, _ in results)
            element = [*(f"        {line}" for line in inner), f"    }}{rows});", "});"]
            run = f"    run([&](Slot j{slots}) RULE {{"
            body = [head, *(f"    {line}" for line in lines), run, *element]
            return self._function("FUSED_EACH", parameters, [f"    {line}" for line in body])
        inside = "if (is_inside(j, columns)) "
        inner += [f"{inside}{name}_row[column(j)] = {result}" for name, result in results]
        body = self._added_up(self.total, lengths[0] == 1 and outer == 1, lines, inner)
        stored = C_NAMES[self.total.link.inputs[0].type]
        return self._function(f"FUSED_ROWS({stored})", parameters, body)

    def _added_up(self, total: Total, alone: bool, lines: list[str], inner: list[str]) -> list[str]:
        """Over rows, each of which is added up."""
        kind = computed(total.link.type)
        element = ["auto element = [&](Slot j) {", *(f"    {line}" for line in inner)]
        element += [f"    return {kind}({total.variable});", "};"]
        lines = [*lines, *element]
        if total.link.reduces == "team":
            lines.append("const auto sum = team.sum(element);")
            lines.append(f"if (team.leader()) total[r] = {total.text()};")
        elif alone:  # whose parts all threads add up
            lines.append(f"const {kind} sum = whole_total<{kind}>(element, columns);")
            lines = ["const Index r = 0;", *lines, f"*total = {total.text()};"]
            return [f"    {line}" for line in lines]
        else:
            lines.append(f"const {kind} sum = row_total<{kind}>(element, 0, columns);")
            lines.append(f"total[r] = {total.text()};")
        stored = C_NAMES[total.link.inputs[0].type]
        body = [f"each_team<{stored}>(rows, columns, [=](auto team) {{"]
        body += [
            "    for (Index r : team) {",
            *(f"        {line}" for line in lines),
            "    }",
            "});",
        ]
        return [f"    {line}" for line in body]

    def _named(self) -> list[tuple[View, str]]:
        return [(v, f"y{i}") for i, v in enumerate(self.outputs)]

    def _function(self, launch: str, sizes: list[str], lines: list[str]) -> str:
        everything = [*self.parameters, *sizes, *self.numbers, "uint64_t zero"]
        types = [p.rpartition(" ")[0] for p in self.parameters]
        passed = [f"({kind})at[{i}]" for i, kind in enumerate(types)]
        passed += [f"n[{i}]" for i in range(len(sizes))]
        passed += [f"x[{i}]" for i in range(len(self.numbers))]
        return "\n".join(
            [
                f"{launch} void @({', '.join(everything)}) {{",
                *lines,
                "}",
                "#if !defined(__CUDACC__)",
                'extern "C" EXPORT void call_@(void* const* at, const double* x, const Index* n) {',
                f"    @({', '.join([*passed, 'opaque_zero'])});",
                "}",
                "#endif",
            ]
        )


def _kind(view: View) -> str:
    """The type of the variable that an element is in."""
    return computed(view.type)


def source(kernels: list[str]) -> str:
    """One source with these kernels, which are called ``fused_0``, ``fused_1`` and so on."""
    families = [f'#include "{family}.cu"' for family in FAMILIES]
    drawing = any("map_random" in text for text in kernels)
    return "\n".join(
        [
            "#define TL_FUSED",
            '#include "tensorlite.h"',
            "#if !defined(__CUDACC__)",
            '#include "connect.h"',
            '#define EXPORT __attribute__((visibility("default")))',
            "#endif",
            *families,
            *(['#include "philox.h"'] if drawing else []),
            "namespace tl {",
            *(text.replace("@", f"fused_{i}") for i, text in enumerate(kernels)),
            "}  // namespace tl",
            "",
        ]
    )
