"""Kernels' declarations, read from the sources in ``kernels/``.

A declaration is all that is said about a kernel: its element types, its parameters with their
numbers of elements, how it is launched. The bindings of both devices are made from it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path

from .c_types import FLOATS, SHORT


@dataclass(frozen=True)
class Parameter:
    """One parameter of a kernel: an array with its number of elements, or a scalar.

    Of an array of heads, of which only the last axis must be dense, `count` is its four lengths.
    `word` is OF, OPTIONAL, AXES, LIKE, PER_ROW, SUMS or HYPER, and `of` what stands after it;
    `names` are the names of its elements, if they have some.
    """

    name: str
    type: str
    is_array: bool = False
    is_heads: bool = False
    is_input: bool = False
    optional: bool = False
    count: str = ""
    word: str = ""
    of: str = ""
    names: tuple[str, ...] = ()


@dataclass(frozen=True)
class Kernel:
    """A kernel's declaration: how it is launched, its element types, its parameters."""

    name: str
    family: str
    launch: str
    extents: tuple[str, ...]
    types: dict[str, tuple[str, ...]]
    parameters: tuple[Parameter, ...]
    stored: frozenset[str] = frozenset()
    shared: int = 0
    """Bytes of shared memory that the launch gives to each block, besides the kernel's own."""

    @property
    def host_types(self) -> dict[str, tuple[str, ...]]:
        """What is compiled for the CPU: 16-bit floats only for a type that is declared ``STORED``.

        Arrays of any other type are widened before the kernel runs, and what it wrote is rounded.
        """
        return {
            name: types if name in self.stored else tuple(t for t in types if t not in SHORT)
            for name, types in self.types.items()
        }

    @property
    def widened(self) -> frozenset[str]:
        """Type parameters whose 16-bit arrays are handed to the CPU's kernel as float."""
        return frozenset(name for name in self.types if self.types[name] != self.host_types[name])

    @property
    def signature(self) -> str:
        """The call as Python sees it: ``softmax(x, y, rows, columns)``.

        An array whose elements have names shows them: ``lion(p, g, m, hyper{lr decay …}, n)``.
        """
        shown = [p.name + (f"{{{' '.join(p.names)}}}" if p.names else "") for p in self.parameters]
        return f"{self.name}({', '.join(shown)})"

    @property
    def mapped(self) -> int:
        """How many arrays it maps to one, all of one shape and dtype, if that is all it does; or 0.

        Its parameters are then the inputs, the output, their size `n`, and scalars.
        """
        arrays = [p for p in self.parameters if p.is_array]
        alike = self.launch == "EACH" and all(
            p.type == "T" and p.count == "n" and not p.optional for p in arrays
        )
        inputs = sum(p.is_input for p in arrays)
        in_order = [*arrays, *(p for p in self.parameters if not p.is_array)]
        ordered = list(self.parameters) == in_order and in_order[len(arrays)].name == "n"
        return inputs if alike and ordered and inputs == len(arrays) - 1 else 0

    @property
    def traits(self) -> str:
        """What a recording's plan may do with a call, in C++."""
        outputs = [p for p in self.parameters if p.is_array and not p.is_input]
        quick = self.launch in ("EACH", "ROWS") and all(
            p.word in ("LIKE", "PER_ROW") for p in outputs
        )
        traits = ["kCheap"] * quick + ["kOverwrites"] * bool(self.mapped)
        return " | ".join(traits) or "0"


_DECLARATION = re.compile(
    r"^(?:template <(?P<types>[^>]*)>\s+)?"
    r"(?P<launch>EACH|ROWS|BLOCKS|TOGETHER|HOST)\b(?:\((?P<extents>(?:[^()]|\([^()]*\))*)\))?\s+"
    r"void (?P<name>\w+)\((?P<parameters>.*?)\) \{",
    re.DOTALL | re.MULTILINE,
)
_PARAMETER = re.compile(
    r"(?P<heads>Heads<)?(?P<const>const )?(?P<type>[\w<>]+?)(?(heads)>|(?P<star>\*)?) (?P<name>\w+)"
    r"(?: (?P<presence>OF|OPTIONAL|AXES|LIKE|PER_ROW|SUMS|HYPER)"
    r"\((?P<count>(?:[^()]|\([^()]*\))*)\))?"
    r"\s*(?:,\s*|$)"
)
_NAMES = re.compile(r"^struct (\w+) NAMES\(([^)]*)\);", re.MULTILINE)
_LIST = re.compile(
    r"^#define (\w+)(?:\((\w+)\))?\s+(?:\\\n\s*)?PARAMETERS\(((?:.*\\\n)*.*)\)$", re.MULTILINE
)
_LISTED = re.compile(r"([A-Z][A-Z_]+)(?:\((\w+)\))?\s*(?=,|$)")
_INCLUDE = re.compile(r'^#include "([^"]+)"\n', re.MULTILINE)


def kernels_folder() -> Path:
    """Find the kernel sources: inside an installed package, or beside it in a source tree."""
    package = Path(__file__).resolve().parents[2]
    inside = package / "kernels"
    return inside if inside.is_dir() else package.parent / "kernels"


def parse(source: str, family: str) -> list[Kernel]:
    """Read the declarations of all kernels in a source text."""
    named = {m[1]: tuple(m[2].replace(",", " ").split()) for m in _NAMES.finditer(source)}
    lists = _parameter_lists(source) if " PARAMETERS(" in source else {}
    return [
        _parse_declaration(match, family, named, lists) for match in _DECLARATION.finditer(source)
    ]


def _parameter_lists(source: str) -> dict[str, tuple[str, str]]:
    """The lists of parameters that a text defines: what their type is called, and their text."""
    return {m[1]: (m[2] or "", m[3].replace("\\\n", " ").strip()) for m in _LIST.finditer(source)}


def _written_out(text: str, lists: dict[str, tuple[str, str]]) -> str:
    """A declaration's parameters with those in the place of a list's name that it stands for."""

    def replace(match: re.Match[str]) -> str:
        if match[1] not in lists:
            return match[0]
        name, parameters = lists[match[1]]
        if not name:
            return parameters
        parameters = re.sub(rf"\b{name}\b", match[2], parameters)
        return re.sub(r"Acc<(float|double)>", r"\1", parameters)

    written = _LISTED.sub(replace, text) if lists else text
    return written if written == text else _written_out(written, lists)  # a list may name another


@lru_cache(maxsize=64)
def names_read_by(kernel: Callable) -> tuple[str, ...]:
    """The names of the elements of a kernel's HYPER array, in order; `kernel` is a library's."""
    shown = re.search(r"{(.*?)}", kernel.__doc__ or "")
    if shown is None:
        raise TypeError(f"{kernel.__doc__}: none of its parameters is declared HYPER, with names")
    return tuple(shown[1].split())


def _parse_declaration(
    match: re.Match[str],
    family: str,
    named: dict[str, tuple[str, ...]],
    lists: dict[str, tuple[str, str]],
) -> Kernel:
    types, stored = {}, set()
    for parameter in filter(None, (match["types"] or "").split(",")):
        kind, name = parameter.split()
        # REAL stands for the types worth having where 16 bits are not supported.
        chosen = {"REAL": ("float", "double"), "SHORT": ("f16", "bf16")}
        types[name] = chosen.get(kind, tuple(FLOATS.values()))
        if kind == "STORED":
            stored.add(name)
    text = _written_out(match["parameters"].strip(), lists)
    parameters: list[Parameter] = []
    position = 0
    while position < len(text):
        found = _PARAMETER.match(text, position)
        is_array = bool(found and (found["star"] or found["heads"]))
        if not found or is_array != bool(found["presence"]):
            raise ValueError(f"{family}.cu: cannot read {match['name']}'s parameters: {text!r}")
        position = found.end()
        of = " ".join((found["count"] or "").split())
        names = named.get(of, ()) if found["presence"] == "HYPER" else ()
        if found["presence"] == "HYPER" and not names:
            raise ValueError(f"{family}.cu: HYPER({of}): no struct {of} NAMES(...) is before it")
        parameters.append(
            Parameter(
                name=found["name"],
                type=found["type"],
                is_array=is_array,
                is_heads=bool(found["heads"]),
                is_input=bool(found["const"]),
                optional=found["presence"] == "OPTIONAL",
                count=str(len(names)) if names else _count(found["presence"], of, parameters),
                word=found["presence"] or "",
                of=of,
                names=names,
            )
        )
    # What follows the number of threads tells the assembler how many blocks to make room for; then
    # the bytes of shared memory, which depend on the call where blocks run together.
    extents = tuple(e.strip() for e in (match["extents"] or "").split(",") if e.strip())
    together = match["launch"] == "TOGETHER"
    return Kernel(
        match["name"],
        family,
        match["launch"],
        (*extents[:2], extents[3]) if together else extents[:2],
        types,
        tuple(parameters),
        frozenset(stored),
        math.prod(map(int, extents[3].split("*"))) if len(extents) > 3 and not together else 0,
    )


def _count(word: str | None, of: str, before: list[Parameter]) -> str:
    """The number of elements that a word stands for."""
    if word == "SUMS":
        return " * ".join(part.strip() for part in of.split(","))
    if word not in ("LIKE", "PER_ROW"):
        return of
    like = next((p.count for p in before if p.name == of), None)
    if like is None:
        raise ValueError(f"{word}({of}): no parameter {of} stands before it")
    return like if word == "LIKE" else " * ".join(like.split(" * ")[:-1])


@cache
def families(device: str) -> dict[str, list[Kernel]]:
    """All kernels of a device, by the name of the source file they are in."""
    named = [path.stem for path in sorted(kernels_folder().glob("*.cu"))]
    found = {family: kernels_of(family, device) for family in named}
    return {family: kernels for family, kernels in found.items() if kernels}


def kernels_of(family: str, device: str) -> list[Kernel]:
    """The kernels of one family that are for a device; for 16-bit floats alone they are CUDA's."""
    others = {"cpu": ("BLOCKS", "TOGETHER"), "cuda": ("HOST",)}[device]
    declared = declared_in(kernels_folder() / f"{family}.cu")
    kernels = [kernel for kernel in parse(declared, family) if kernel.launch not in others]
    if device == "cpu":  # which computes with no 16-bit floats
        kernels = [kernel for kernel in kernels if all(kernel.host_types.values())]
    return kernels


def declared_in(path: Path) -> str:
    """The text to `parse`: with its own headers if declarations may name lists from there."""
    text = path.read_text()
    return flatten(path) if "_PARAMETERS" in text else text


def flatten(path: Path) -> str:
    """Return a source with its own headers put in place of their ``#include`` lines.

    Each is guarded by a macro, so that it counts once, where the compiler first comes to it: an
    ``#if`` may choose between two that include a third.
    """
    return flattened(path.read_text(), path)


def flattened(text: str, path: Path) -> str:
    """The same of the text of a source that lies, or would lie, at `path`."""

    def replace(match: re.Match[str]) -> str:
        for folder in (path.parent, kernels_folder(), kernels_folder() / "host"):
            header = (folder / match[1]).resolve()
            if header.is_file():
                name = header.relative_to(kernels_folder().resolve())
                guard = "TL_HAS_" + re.sub(r"\W", "_", str(name))
                return f"#if !defined({guard})\n#define {guard}\n{flatten(header)}\n#endif\n"
        raise FileNotFoundError(f"{path.name} includes {match[1]}, which is not there")

    return _INCLUDE.sub(replace, text.replace("#pragma once\n", ""))
