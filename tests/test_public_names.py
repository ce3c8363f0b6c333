"""Every public name says what it does, takes, returns and refuses, and shows it.

Names that stand for the same thing (aliases, what a class inherits) count once::

    python tests/test_public_names.py            # how many names lack what
    python tests/test_public_names.py nn.Linear  # what these lack
"""

from __future__ import annotations

import ast
import inspect
import re
import sys
from collections import Counter
from functools import cache
from pathlib import Path
from typing import Any

import tensorlite as tl

sys.path.insert(0, str(Path(__file__).parents[1] / "tools"))

from public_names import MODULES, documentation, public

PAGES = Path(__file__).parents[1] / "docs" / "api"
# Parameters that mean the same wherever they stand, many of them for torch's sake alone.
EVERYWHERE = {"device", "dtype", "requires_grad", "generator", "memory_format", "size_average"}
EVERYWHERE |= {"reduce", "layout", "pin_memory", "_stacklevel", "args", "kwargs", "keepdims"}
EVERYWHERE |= {"validate_args", "cache_size"}  # of `Distribution` and `Transform`
SHAPE = re.compile(
    r"\((?:\*|\.\.\.|…|[A-Z]\w*)(?:,[^)]*)?\)|\bshapes?\b|\blengths?\b|\bone element\b|\bscalar\b"
    r"|\bvectors?\b|\bmatri(?:x|ces)\b|\bno axes\b|\bnumber of elements\b"
)


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


def test_every_public_name_has_a_whole_docstring():
    found = undocumented()
    assert not found, "\n".join(f"{n} lacks: {', '.join(m)}" for n, m in found.items())


def test_the_site_has_every_public_module():
    pages = "".join(path.read_text() for path in PAGES.glob("*.md"))
    assert [m for m in MODULES if f"::: tensorlite.{m}\n" not in pages] == []


def main(arguments: list[str]) -> None:
    """What the first lines of this file say."""
    found = undocumented()
    if arguments:
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
