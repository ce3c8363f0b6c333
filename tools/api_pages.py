"""The site's reference: what Python says of public names, as Markdown. A hook of mkdocs.

A line ``::: tensorlite.nn`` of a page becomes the functions and classes of that module, each with
its signature, its docstring (in NumPy's form) and an anchor ``#tensorlite.nn.Linear``. A thing with
several names is described once, and linked from the others. Names in backticks are links, too.
"""

from __future__ import annotations

import importlib
import inspect
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

from public_names import identity, members_of, names_of, rooms

from tensorlite.tensor import Tensor

MARK = re.compile(r"^::: (tensorlite[\w.]*)$", re.MULTILINE)
TITLE = re.compile(r"^([A-Z]\w+)\n-{3,}$", re.MULTILINE)
CODE = re.compile(r"(``.+?``|`[^`\n]+`)", re.DOTALL)
WIDTH = 88  # of a signature on one line


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Put the reference in the place of its marks."""
    return MARK.sub(lambda mark: of_module(mark[1], page.file.src_uri), markdown)


# --- what is where ------------------------------------------------------------------------------


@dataclass
class Places:
    """The page and the name of everything that is described: by identity, and by what is typed."""

    of: dict[int, tuple[str, str]] = field(default_factory=dict)
    typed: dict[str, tuple[str, str]] = field(default_factory=dict)

    def add(self, page: str, name: str, value: Any) -> None:
        """Note a thing, whose home is where it comes first."""
        self.typed[name] = self.of.setdefault(identity(value), (page, name))

    def link(self, name: str, page: str, near: str = "") -> str | None:
        """Where `name`, as somebody writes it in the docstring of `near`, is described."""
        if name in _parameters_of(near):
            return None
        name = name.removesuffix("()").removeprefix("tl.").removeprefix("tensorlite.")
        room = near
        while room:
            room = room.rpartition(".")[0]
            if found := self.typed.get(f"{room}.{name}".lstrip(".")):
                return _address(*found, page)
        return None


def _address(to: str, name: str, page: str) -> str:
    """The link to a name from a page; all pages of the reference are in one folder."""
    return f"{'' if to == page else Path(to).name}#tensorlite.{name}"


@cache
def places() -> Places:
    """Walk through the modules, those first that are documented first."""
    found = Places()
    folder = Path(__file__).parents[1] / "docs" / "api"
    pages = {m: f"api/{p.name}" for p in folder.glob("*.md") for m in MARK.findall(p.read_text())}
    found.add(pages["tensorlite.tensor"], "Tensor", Tensor)
    for room, module in rooms().items():
        page = pages[f"tensorlite.{room}".rstrip(".")]
        for name in names_of(module):
            found.add(page, f"{room}.{name}".lstrip("."), getattr(module, name))
    for name, (page, home) in list(found.typed.items()):
        if name == home and isinstance(cls := _value(name), type):
            for member, value in members_of(cls):
                found.add(page, f"{name}.{member}", value)
    return found


def _value(name: str) -> Any:
    """The thing of a dotted name, of which the front may be modules."""
    module, value = importlib.import_module("tensorlite"), None
    for part in name.split("."):
        value = getattr(module if value is None else value, part)
    return value


@cache
def _parameters_of(name: str) -> frozenset[str]:
    """What a function calls its parameters: in its docstring they are no functions of that name."""
    try:
        return frozenset(inspect.signature(_value(name)).parameters)
    except (TypeError, ValueError):  # a module, a property
        return frozenset()


# --- modules, functions, classes ----------------------------------------------------------------


def of_module(dotted: str, page: str) -> str:
    """The description of a module, and of all that has its home there."""
    if dotted == "tensorlite.tensor":
        return of_class("Tensor", Tensor, page)
    module, room = importlib.import_module(dotted), dotted.removeprefix("tensorlite").lstrip(".")
    parts = []
    if room:
        text, _ = _split(inspect.cleandoc(module.__doc__ or ""))
        parts += [f"## {dotted} {{ #{dotted} }}", _prose(text, room, page)]
    elsewhere = []
    for name in sorted(names_of(module), key=str.lower):
        full, value = f"{room}.{name}".lstrip("."), getattr(module, name)
        home = places().of[identity(value)]
        if home != (page, full):
            elsewhere.append(f"[`{name}`]({_address(*home, page)})")
        elif isinstance(value, type):
            parts.append(of_class(full, value, page))
        else:
            parts.append(_thing(full, value, page, "###"))
    if elsewhere:
        parts.append(f"Here, too, and described elsewhere: {', '.join(elsewhere)}.")
    return "\n\n".join(parts)


def of_class(full: str, cls: type, page: str) -> str:
    """A class with its members; those that are described elsewhere as links."""
    parts, elsewhere = [_thing(full, cls, page, "###")], []
    for name, value in sorted(members_of(cls)):
        home = places().of[identity(value)]
        if home == (page, f"{full}.{name}"):
            parts.append(_thing(f"{full}.{name}", value, page, "####"))
        else:
            elsewhere.append(f"[`{name}`]({_address(*home, page)})")
    if elsewhere:
        text = f"Methods that are functions, too, and described there: {', '.join(elsewhere)}."
        parts.insert(1, text)
    return "\n\n".join(parts)


def _thing(full: str, value: Any, page: str, heading: str) -> str:
    """A heading, the signature, the bases, the docstring."""
    parts = [f"{heading} {full} {{ #tensorlite.{full} }}", signature(full, value)]
    if isinstance(value, type):
        bases = [b.__name__ for b in value.__bases__ if b.__module__.startswith("tensorlite")]
        if bases:
            parts.append("Of " + ", ".join(_named(f"`{b}`", full, page) for b in bases) + ".")
    made = vars(value).get("__init__") if isinstance(value, type) else None
    texts = [value.__doc__, getattr(made, "__doc__", None)]
    parts += [docstring(text, full, page) for text in texts if text]
    return "\n\n".join(part for part in parts if part)


def signature(full: str, value: Any) -> str:
    """A call with its parameters, in a block of code; of a property nothing."""
    if isinstance(value, property):
        return ""
    try:
        found = inspect.signature(value)
    except (TypeError, ValueError):
        return ""
    parts = [_plain(str(p)) for p in _with_marks(list(found.parameters.values()))]
    returned = found.return_annotation
    tail = "" if returned in (found.empty, None, "None") else f" -> {_annotation(returned)}"
    head = f"{'class ' if isinstance(value, type) else ''}{full}"
    line = f"{head}({', '.join(parts)}){tail}"
    if len(line) > WIDTH:
        line = f"{head}(\n" + "".join(f"    {part},\n" for part in parts) + f"){tail}"
    return f"```text\n{line}\n```"


def _with_marks(parameters: list[inspect.Parameter]) -> list[Any]:
    """Parameters without `self`, with the ``*`` from which on they go by name."""
    shown: list[Any] = []
    for p in parameters:
        if p.name in ("self", "cls") and not shown:
            continue
        marks = any(q == "*" or getattr(q, "kind", None) is p.VAR_POSITIONAL for q in shown)
        if p.kind is p.KEYWORD_ONLY and not marks:
            shown.append("*")
        shown.append(p)
    return shown


def _plain(parameter: str) -> str:
    """A parameter without the quotes of its annotation, and without addresses of objects."""
    parameter = re.sub(r"<[^>]*>", "…", parameter)
    return re.sub(r": '([^']*)'(?= = |$)", r": \1", parameter)


def _annotation(annotation: Any) -> str:
    return annotation if isinstance(annotation, str) else inspect.formatannotation(annotation)


# --- docstrings ---------------------------------------------------------------------------------


def docstring(text: str, full: str, page: str) -> str:
    """A docstring in NumPy's form as Markdown."""
    prose, sections = _split(inspect.cleandoc(text))
    parts = [_prose(prose, full, page)]
    for title, body in sections:
        write = SECTIONS.get(title, _prose)
        parts.append(f"**{title}**\n\n{write(body, full, page)}")
    return "\n\n".join(part for part in parts if part)


def _split(text: str) -> tuple[str, list[tuple[str, str]]]:
    """What stands before the first section, and the sections with their titles."""
    parts = TITLE.split(text)
    bodies = [inspect.cleandoc("\n" + body) for body in parts[2::2]]
    return parts[0].strip(), list(zip(parts[1::2], bodies, strict=True))


def _prose(text: str, full: str, page: str) -> str:
    """Paragraphs; examples among them are blocks."""
    parts = []
    for part in re.split(r"\n\s*\n", text):
        if part.lstrip().startswith(">>> "):
            parts.append(f"```pycon\n{inspect.cleandoc(part)}\n```")
        else:
            parts.append(_named(part, full, page))
    return "\n\n".join(parts)


def _named(text: str, full: str, page: str) -> str:
    """Text of which what is in backticks is linked, and nothing else is Markdown."""
    pieces = CODE.split(text)
    for i, piece in enumerate(pieces):
        if i % 2 == 0:
            piece = re.sub(r"(\[\d\])_", r"\1", piece)
            piece = re.sub(r"([*_\[\]\\])", r"\\\1", piece).replace("<", "&lt;")
            pieces[i] = re.sub(r"(?m)^(\s*)\\\* ", r"\1* ", piece).replace("{", "&#123;")
        elif not piece.startswith("``") and re.fullmatch(r"`[\w.]+(\(\))?`", piece):
            to = places().link(piece.strip("`"), page, full)
            pieces[i] = piece if to is None else f"[{piece}]({to})"
    return "".join(pieces)


def _entries(body: str) -> list[tuple[str, str]]:
    """The lines that are not indented, each with the indented text below it."""
    found: list[tuple[str, list[str]]] = []
    for line in body.split("\n"):
        if line.strip() and not line.startswith(" "):
            found.append((line, []))
        elif found:
            found[-1][1].append(line)
    return [(head, inspect.cleandoc("\n" + "\n".join(lines))) for head, lines in found]


def _list(body: str, full: str, page: str, head_of: Callable[[str], str]) -> str:
    items = []
    for head, text in _entries(body):
        text = _prose(text, full, page)
        item = f"* {head_of(head)}{': ' if text else ''}{text}"
        items.append(item.replace("\n", "\n    "))
    return "\n".join(items)


def _parameters(body: str, full: str, page: str) -> str:
    def head_of(line: str) -> str:
        names, _, kind = line.partition(" : ")
        code = ", ".join(f"`{name}`" for name in names.split(", "))
        return f"{code} ({_named(kind, full, page)})" if kind else code

    return _list(body, full, page, head_of)


def _returned(body: str, full: str, page: str) -> str:
    return _list(body, full, page, lambda line: _named(line, full, page))


def _raised(body: str, full: str, page: str) -> str:
    return _list(body, full, page, lambda line: f"`{line}`")


def _references(body: str, full: str, page: str) -> str:
    entries = re.split(r"^\.\. ", body, flags=re.MULTILINE)
    return "\n".join("* " + _named(" ".join(e.split()), full, page) for e in entries if e.strip())


SECTIONS: dict[str, Callable[[str, str, str], str]] = {
    "Parameters": _parameters,
    "Attributes": _parameters,
    "Returns": _returned,
    "Yields": _returned,
    "Raises": _raised,
    "Warns": _raised,
    "References": _references,
}
