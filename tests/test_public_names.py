"""Every public name says what it does, takes, returns and refuses, and shows it.

`tests/undocumented.txt` lists the names that still lack some of this. It only shrinks: a listed
name that lacks nothing fails, as does one that lacks something and is not listed. Names that stand
for the same thing (aliases, what a class inherits) count once. After writing docstrings::

    python tests/test_public_names.py            # how many names lack what
    python tests/test_public_names.py nn.Linear  # what these lack
    python tests/test_public_names.py --update   # take off the list what lacks nothing any more
"""

from __future__ import annotations

import ast
import importlib
import inspect
import re
import sys
import textwrap
import types
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import tensorlite as tl

LIST = Path(__file__).parent / "undocumented.txt"
# Modules whose names people type. `tensorlite.array_api` is not among them: its functions are those
# of the array API standard, which documents them.
MODULES = (
    *("accelerator", "amp", "autograd", "backends", "cuda", "data", "debug", "distributed"),
    *("distributions", "distributions.constraints", "distributions.transforms", "fft", "func"),
    *("io", "linalg", "nn", "nn.functional", "nn.init", "nn.utils", "nn.utils.parametrizations"),
    *("nn.utils.parametrize", "nn.utils.rnn", "onnx", "optim", "optim.lr_scheduler"),
    *("optim.swa_utils", "profiler", "recording", "signal.windows", "special", "testing"),
    *("training", "utils.checkpoint", "utils.data"),
)
# Parameters that mean the same wherever they stand, many of them for torch's sake alone.
EVERYWHERE = {"device", "dtype", "requires_grad", "generator", "memory_format", "size_average"}
EVERYWHERE |= {"reduce", "layout", "pin_memory", "_stacklevel", "args", "kwargs", "keepdims"}
EVERYWHERE |= {"validate_args", "cache_size"}  # of `Distribution` and `Transform`
SHAPE = re.compile(
    r"\((?:\*|\.\.\.|…|[A-Z]\w*)(?:,[^)]*)?\)|\bshapes?\b|\blengths?\b|\bone element\b|\bscalar\b"
    r"|\bvectors?\b|\bmatri(?:x|ces)\b|\bno axes\b|\bnumber of elements\b"
)


def names_of(module: types.ModuleType) -> list[str]:
    """The public functions and classes of a module: of its ``__all__``, or what is made in it."""
    listed = getattr(module, "__all__", None)
    names = [n for n in (dir(module) if listed is None else listed) if n[0] != "_"]
    values = {n: getattr(module, n) for n in names}
    return [
        n
        for n, v in values.items()
        if (isinstance(v, type) or inspect.isroutine(v))
        and str(getattr(v, "__module__", "")).startswith("tensorlite")
        and (
            listed is not None or module is tl or module is tl.nn.functional or _made_in(module, v)
        )
    ]


def _made_in(module: types.ModuleType, value: Any) -> bool:
    return value.__module__ == module.__name__


INSIDE = {"primitive.primitive", "answers_for", "name_as_torch", "name_wrong_types", "Any"}


def members_of(cls: type) -> Iterator[tuple[str, Any]]:
    """Methods and properties that a class has first: not those that a base has, too."""
    above = {name for base in cls.__mro__[1:] for name in vars(base)}
    for name in list(vars(cls)):
        if name[0] == "_" or name in above:
            continue
        getattr(cls, name, None)  # many of Tensor's methods are made when one asks for them
        value = vars(cls)[name]
        if isinstance(value, (staticmethod, classmethod)):
            value = value.__func__
        if isinstance(value, property) or inspect.isfunction(value):
            yield name, value


@cache
def public() -> dict[str, tuple[Any, type | None]]:
    """Every public name, and the class that it is a member of."""
    found: dict[str, tuple[Any, type | None]] = {}
    seen: set[int] = set()

    def add(name: str, value: Any, owner: type | None = None) -> None:
        key = id(_below(value))
        if key not in seen:
            seen.add(key)
            found[name] = value, owner

    rooms = {"": tl} | {m: importlib.import_module(f"tensorlite.{m}") for m in MODULES}
    classes = {}
    for room, module in rooms.items():
        for name in names_of(module):
            if name in INSIDE:
                continue
            value = getattr(module, name)
            add(f"{room}.{name}".lstrip("."), value)
            if isinstance(value, type) and value.__module__ != "tensorlite.return_types":
                classes[value] = f"{room}.{name}".lstrip(".")
    for cls, name in classes.items():
        for member, value in members_of(cls):
            add(f"{name}.{member}", value, cls)
    return found


def _below(value: Any) -> Any:
    """What a wrapper with the same docstring stands for."""
    while getattr(inner := getattr(value, "__wrapped__", None), "__doc__", "") == value.__doc__:
        value = inner
    return value


def documentation(value: Any) -> str:
    """The docstring, with that of a class's ``__init__`` if it has one of its own."""
    text = value.__doc__ or ""
    if isinstance(value, type):
        made = vars(value).get("__init__")
        text += "\n" + textwrap.dedent(getattr(made, "__doc__", None) or "")
    return text


def lacks(name: str, value: Any, owner: type | None) -> list[str]:
    """What a name lacks, in words."""
    text = documentation(value)
    missing = []
    if not re.match(r"\s*\S.*?[.:!](\s|$)", text.split("\n\n")[0], re.DOTALL):
        missing.append("summary")
    if ">>> " not in text and not _shown_by_class(name, owner):
        missing.append("example")
    if isinstance(value, property):
        return missing
    try:
        signature = inspect.signature(value)
    except (TypeError, ValueError):
        return missing
    missing += [
        f"parameter {p}" for p in _parameters(signature, value, owner) if not _says(text, p)
    ]
    tensors = hasattr(value, "primitive") or _has_tensors(signature, owner)
    module = isinstance(value, type) and issubclass(value, tl.nn.Module)
    if (tensors or module) and not SHAPE.search(text):
        missing.append("shapes")
    given = not isinstance(value, type) and _gives_tensors(value, str(signature.return_annotation))
    if given and not re.search(r"\b[Rr]eturns\b", text):
        missing.append("returns")
    if raises(value) and not re.search(r"^ *Raises\n *---", text, re.MULTILINE):
        missing.append("errors")
    return missing


def _has_tensors(signature: inspect.Signature, owner: type | None) -> bool:
    """Whether Tensors are taken, beside the one whose method this is, or returned."""
    taken = list(signature.parameters.values())[1 if owner is not None else 0 :]
    annotations = [p.annotation for p in taken] + [signature.return_annotation]
    return any("Tensor" in str(a) or "Array" in str(a) for a in annotations)


def _gives_tensors(function: Any, annotation: str) -> bool:
    made = hasattr(function, "primitive") or "Tensor" in annotation
    return made or (annotation == "Any" and str(function.__module__).startswith("tensorlite.ops"))


def _says(text: str, parameter: str) -> bool:
    return re.search(rf"(?<!\w){re.escape(parameter)}(?!\w)", text) is not None


def _shown_by_class(name: str, owner: type | None) -> bool:
    """Whether an example of the class, or of a class below it, uses the member."""
    member = name.rpartition(".")[2]
    if owner is None:
        return False
    lines = re.findall(r"^ *(?:>>>|\.\.\.) (.*)", documentation(owner), re.MULTILINE)
    return any(re.search(rf"(\.|def ){member}\b", line) for line in lines)


def _parameters(signature: inspect.Signature, value: Any, owner: type | None) -> list[str]:
    collected = inspect.Parameter.VAR_KEYWORD
    names = [n for n, p in signature.parameters.items() if p.kind is not collected]
    names = [n for n in names if n not in EVERYWHERE]
    if owner is not None and names[:1] and names[0] in ("self", "cls", "x", "input"):
        names = names[1:]
    return [n for n in names if n[0] != "_"]


def raises(value: Any) -> bool:
    """Whether the body of a function, of a class's ``__init__`` or ``forward``, or of a private
    function of the same file that it calls, raises an error."""
    if isinstance(value, type):
        own = [vars(value).get(name) for name in ("__init__", "forward")]
        return any(raises(function) for function in own if inspect.isfunction(function))
    made = getattr(value, "primitive", None)
    value = made.reference if made is not None else value
    while hasattr(value, "__wrapped__"):
        value = value.__wrapped__
    if not inspect.isfunction(value):
        return False
    body = _functions(value.__code__.co_filename).get(
        (value.__name__, value.__code__.co_firstlineno)
    )
    return body is not None and _raises(body, value.__code__.co_filename)


def _raises(body: ast.AST, file: str) -> bool:
    for node in ast.walk(body):
        if _is_refusal(node):
            return True
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            helper = _private(file).get(node.func.id)
            if helper is not None and any(map(_is_refusal, ast.walk(helper))):
                return True
    return False


def _is_refusal(node: ast.AST) -> bool:
    """Whether it raises an error, and not because a subclass is to do the work."""
    raised = node.exc if isinstance(node, ast.Raise) else None
    return raised is not None and "NotImplementedError" not in ast.unparse(raised)


@cache
def _functions(file: str) -> dict[tuple[str, int], ast.AST]:
    found = {}
    if Path(file).is_file():
        for node in ast.walk(ast.parse(Path(file).read_text())):
            if isinstance(node, ast.FunctionDef):
                first = min([node.lineno, *(d.lineno for d in node.decorator_list)])
                found[node.name, first] = node
    return found


@cache
def _private(file: str) -> dict[str, ast.AST]:
    return {name: node for (name, _), node in _functions(file).items() if name[0] == "_"}


def undocumented() -> dict[str, list[str]]:
    """The names that lack something, and what."""
    found = {name: lacks(name, *value) for name, value in public().items()}
    return {name: missing for name, missing in sorted(found.items()) if missing}


def listed() -> list[str]:
    return LIST.read_text().split()


def test_what_is_new_has_a_whole_docstring():
    new = {n: missing for n, missing in undocumented().items() if n not in set(listed())}
    assert not new, "\n".join(f"{n} lacks: {', '.join(m)}" for n, m in new.items())


def test_the_list_of_names_that_lack_something_only_shrinks():
    done = set(listed()) - set(undocumented())
    assert not done, f"take off tests/undocumented.txt: {sorted(done)}"


def test_the_site_has_every_public_module():
    pages = "".join(path.read_text() for path in (LIST.parents[1] / "docs/api").glob("*.md"))
    assert [m for m in MODULES if f"::: tensorlite.{m}\n" not in pages] == []


def main(arguments: list[str]) -> None:
    """What the first lines of this file say."""
    found = undocumented()
    if arguments == ["--update"]:
        LIST.write_text("".join(f"{name}\n" for name in listed() if name in found))
    elif arguments:
        for name in found:
            if any(name == a or name.startswith(f"{a}.") for a in arguments):
                print(f"{name}: {', '.join(found[name])}")
    else:
        print(f"{len(public())} public names, {len(found)} of them lack something:")
        kinds = Counter(m.split()[0] for missing in found.values() for m in set(missing))
        for kind, number in kinds.most_common():
            print(f"{number:5} {kind}")


if __name__ == "__main__":
    main(sys.argv[1:])
