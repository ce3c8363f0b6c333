"""Recordings as text, and as pictures."""

from __future__ import annotations

from typing import NamedTuple


class Line(NamedTuple):
    """One call of a recording, as it is shown."""

    name: str
    operation: str
    source: str
    reads: list[tuple[int, int]]  # (address, bytes)
    writes: list[tuple[int, int]]
    numbers: list[float]
    by_python: bool


def listed(lines: list[Line]) -> str:
    """A line of text for each call: what it makes of what, the operation, and the user's line."""
    names = _Names(lines)
    calls = []
    for line in lines:
        made = ", ".join(names(*span) for span in line.writes) or "-"
        read = ", ".join(names(*span) for span in line.reads)
        calls.append(f"{made} = {'python ' * line.by_python}{line.name}({read})")
    width = min(_WIDEST, max(map(len, calls), default=0))
    rows = []
    for i, (line, call) in enumerate(zip(lines, calls, strict=True)):
        what = "" if line.operation == line.name else f"{line.operation}, "
        where = f"  # {what}{line.source}" if line.source else ""
        rows.append(f"{i:4}  {call:{width}}{where}".rstrip())
    return "\n".join(rows)


_WIDEST = 72  # characters of a call before its comments stand apart


def drawn(lines: list[Line]) -> str:
    """The calls and what they hand to each other, in Graphviz's language."""
    last: dict[int, int] = {}
    text = ["digraph recording {", "  node [shape=box];"]
    for i, line in enumerate(lines):
        style = ' style="dashed"' if line.by_python else ""
        text.append(f'  c{i} [label="{line.name}"{style}];')
        for address, size in line.reads:
            if address in last:
                text.append(f'  c{last[address]} -> c{i} [label="{size} B"];')
        for address, _ in line.writes:
            last[address] = i
    return "\n".join([*text, "}"])


class _Names:
    """Short names of the memory that calls use."""

    def __init__(self, lines: list[Line]) -> None:
        self._known: dict[int, str] = {}
        made = {address for line in lines for address, _ in line.writes}
        self._made = made

    def __call__(self, address: int, size: int) -> str:
        kind = "t" if address in self._made else "p"
        name = self._known.setdefault(address, f"{kind}{len(self._known)}")
        return f"{name}[{size}]"
