"""Chains of links, and the kernels that are written for them."""

from __future__ import annotations

import math
import re
from typing import NamedTuple

from tensorlite.recording.links import (
    C_NAMES,
    FAMILIES,
    SIZES,
    Link,
    View,
    dense_strides,
)

MOST_LINKS = 48
MOST_INPUTS = 20
MOST_AXES = 4  # of the shape, neighbours that lie one behind the other taken together
_FIELD = re.compile(r"(&?)\{(\d+)(?::(\w))?\}")


def _overlap(one: tuple[int, int], other: tuple[int, int]) -> bool:
    return one[0] < other[1] and other[0] < one[1]


class Chain:
    """Links over one shape that may run as one kernel, at the place of the last of them.

    Attributes
    ----------
    members : list of (int, Link)
        With their places in the program.
    """

    def __init__(self) -> None:
        self.members: list[tuple[int, Link]] = []
        self.size = 0
        self.shape: tuple[int, ...] | None = None  # None: any with so many elements
        self.made: dict[int, View] = {}  # what the chain writes, by address
        self.read: dict[View, None] = {}  # what it reads from memory

    def takes(self, link: Link, strange: bool = False) -> bool:
        """Whether a link can be added at the end; if `strange`, one that shares nothing with it."""
        if not self.members:
            return True
        fits = self.shape is None or link.flat or self.shape == link.output.shape
        if link.output.size != self.size or not fits or len(self.members) >= MOST_LINKS:
            return False
        if len(self.read) + len(link.inputs) > MOST_INPUTS:
            return False
        if not strange and not self._related(link):
            return False
        if not link.flat and self.shape is None and self.size == 1:
            return False
        return all(self._in_register(v) or not self._touches(v) for v in link.inputs) and (
            self._writable(link.output)
        )

    def with_(self, other: Chain) -> Chain | None:
        """Both as one, which runs where the later one does; None where that cannot be."""
        both = Chain()
        for at, link in sorted(self.members + other.members, key=lambda member: member[0]):
            if not both.takes(link, strange=True):
                return None
            both.add(at, link)
        return both

    def _related(self, link: Link) -> bool:
        addresses = {v.address for v in self.read}
        return any(v.address in self.made or v.address in addresses for v in link.inputs)

    def _in_register(self, view: View) -> bool:
        """Whether a view shows, element by element, what the chain has just computed."""
        made = self.made.get(view.address)
        return made is not None and made.type == view.type and view.dense and view.size == self.size

    def _touches(self, view: View) -> bool:
        return any(_overlap(view.span, made.span) for made in self.made.values())

    def _writable(self, view: View) -> bool:
        """Whether what else the chain has at a place lies there element by element, too."""
        others = [*self.made.values(), *self.read]
        return all(
            (v.address == view.address and v.type == view.type and v.dense and v.size == view.size)
            or not _overlap(v.span, view.span)
            for v in others
        )

    def add(self, at: int, link: Link) -> None:
        """Add a link that `takes` was asked about."""
        self.members.append((at, link))
        self.size = link.output.size
        if not link.flat:
            self.shape = link.output.shape
        for view in link.inputs:
            if not self._in_register(view):
                self.read[view] = None
        self.made[link.output.address] = link.output

    def conflicts(self, reads: list[tuple[int, int]], writes: list[tuple[int, int]]) -> bool:
        """Whether a call that is no member may not run before the chain does."""
        made = [view.span for view in self.made.values()]
        used = made + [view.span for view in self.read]
        return any(_overlap(a, b) for a in reads for b in made) or any(
            _overlap(a, b) for a in writes for b in used
        )


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
        lines.append(_line(link, name, given, numbers, used))
        values[link.output.address] = (name, link.output.type)
    outputs = [
        View(at, shape, dense_strides(shape), made.type)
        for at, made in chain.made.items()
        if at in stored
    ]
    results = [values[view.address][0] for view in outputs]
    laid = _laid_out([*inputs, *outputs], shape)
    if laid is None:
        return None
    lengths, strides = laid
    body = _Body(list(inputs.items()), outputs, results, lines, len(numbers))
    make = body.flat if len(lengths) == 1 else body.rows
    return Written(
        links,
        make(index, lengths, strides),
        [*inputs, *outputs],
        outputs,
        numbers,
        _sizes(lengths, strides),
    )


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
    views: list[View], shape: tuple[int, ...]
) -> tuple[list[int], list[list[int]]] | None:
    """The fewest axes that all views have in common: lengths, and strides of each view."""
    axes = [i for i, n in enumerate(shape) if n > 1]
    lengths: list[int] = []
    strides: list[list[int]] = [[] for _ in views]
    for i in axes:
        together = bool(lengths) and all(
            own[-1] == v.strides[i] * shape[i] for own, v in zip(strides, views, strict=True)
        )
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
    if len(lengths) == 1 and any(own[0] not in (0, 1) for own in strides):
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
    ) -> None:
        self.inputs, self.outputs, self.results, self.lines = inputs, outputs, results, lines
        self.parameters = [f"const {C_NAMES[v.type]}* {name}" for v, name in inputs]
        self.parameters += [f"{C_NAMES[v.type]}* y{i}" for i, v in enumerate(outputs)]
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
        large = max((v.type for v in self.outputs), key=lambda t: SIZES[t])
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
        lines.append("            team.each([&](Slot j) {")
        lines += [f"                {line}" for line in [*inner, *self.lines]]
        for (v, name), result in zip(self._named(), self.results, strict=True):
            lines.append(f"                {name}_row[column(j)] = {C_NAMES[v.type]}({result});")
        lines += ["            });", "        }", "    });"]
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
