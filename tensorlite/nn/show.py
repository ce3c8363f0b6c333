"""How a module looks in text: its tree with parameter counts, and its place in an error."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from tensorlite.tensor import Tensor
from tensorlite.wording import no_tensor

if TYPE_CHECKING:
    from tensorlite.nn.module import Module

_WHERE = "raised in "


def text_of(module: Module) -> str:
    """The repr: a line per module, with counts of parameters in a column of their own."""
    lines = list(_tree(module, "", 0))
    width = max(len(text) for text, _ in lines)
    return "\n".join(f"{text:<{width}}  # {count}" if count else text for text, count in lines)


def _tree(module: Any, label: str, depth: int) -> Iterator[tuple[str, str]]:
    """Lines of the repr, each with a parameter count or nothing."""
    if not getattr(module, "_is_module", False):  # None, or what a name was given by force
        yield f"{'  ' * depth}{label}{module!r}", ""
        return
    opening = f"{'  ' * depth}{label}{module._get_name()}("
    first, *more = module.extra_repr().split("\n")
    children = list(module._modules.items())
    alone = not children and not more
    yield opening + first + (")" if alone else ""), count_of(module, "" if depth else " parameters")
    for line in more:
        yield "  " * (depth + 1) + line, ""
    for name, child in children:
        yield from _tree(child, f"({name}): ", depth + 1)
    if not alone:
        yield "  " * depth + ")", ""


def count_of(module: Module, unit: str) -> str:
    """Number of parameters; frozen ones are mentioned."""
    total = sum(p.numel() for p in module.parameters())
    frozen = sum(p.numel() for p in module.parameters() if not p.requires_grad)
    if total == 0:
        return ""
    return f"{total:,}{unit}" + (f" ({frozen:,} frozen)" if frozen else "")


def explained(error: Exception, module: Module, args: tuple) -> Exception:
    """The error; a better one where a module of the library was given what is no Tensor."""
    if not isinstance(error, AttributeError) or isinstance(error.obj, Tensor):
        return error
    ours = type(module).__module__.startswith("tensorlite.")
    if not ours or not any(value is error.obj for value in args):
        return error
    return no_tensor(type(module).__name__, "the input", error.obj)


def note_where(error: Exception, module: Module) -> None:
    """Note in which module an error arose; its path grows as the error passes outward."""
    origin = vars(error).setdefault("module", module)
    for name, child in module.named_modules():
        if child is origin:
            path = ".".join(part for part in (type(module).__name__, name) if part)
            notes = [n for n in getattr(error, "__notes__", []) if not n.startswith(_WHERE)]
            details = f": {type(origin).__name__}({origin.extra_repr()})" if name else ""
            error.__notes__ = [*notes, f"{_WHERE}{path}{details}"]
            return
