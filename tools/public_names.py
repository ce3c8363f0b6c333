"""Which names are public: those that the tests hold to their docstrings, and the site shows."""

from __future__ import annotations

import importlib
import inspect
import types
from collections.abc import Iterator
from functools import cache
from typing import Any

import tensorlite as tl

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
INSIDE = {"primitive.primitive", "answers_for", "name_as_torch", "name_wrong_types", "Any"}


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
        and n not in INSIDE
        and (
            listed is not None or module is tl or module is tl.nn.functional or _made_in(module, v)
        )
    ]


def _made_in(module: types.ModuleType, value: Any) -> bool:
    return value.__module__ == module.__name__


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


def rooms() -> dict[str, types.ModuleType]:
    """The public modules by name; tensorlite itself is ""."""
    return {"": tl} | {m: importlib.import_module(f"tensorlite.{m}") for m in MODULES}


@cache
def public() -> dict[str, tuple[Any, type | None]]:
    """Every public name, and the class that it is a member of.

    Names that stand for the same thing (aliases, what a class inherits) are there once.
    """
    found: dict[str, tuple[Any, type | None]] = {}
    seen: set[int] = set()

    def add(name: str, value: Any, owner: type | None = None) -> None:
        key = identity(value)
        if key not in seen:
            seen.add(key)
            found[name] = value, owner

    classes: dict[type, str] = {}
    for room, module in rooms().items():
        for name in names_of(module):
            value = getattr(module, name)
            add(f"{room}.{name}".lstrip("."), value)
            if isinstance(value, type) and value.__module__ != "tensorlite.return_types":
                classes.setdefault(value, f"{room}.{name}".lstrip("."))
    for cls, name in classes.items():
        for member, value in members_of(cls):
            add(f"{name}.{member}", value, cls)
    return found


def identity(value: Any) -> int:
    """Which thing a name stands for: a wrapper with the same docstring is what it wraps."""
    while getattr(inner := getattr(value, "__wrapped__", None), "__doc__", "") == value.__doc__:
        value = inner
    return id(value)


def documentation(value: Any) -> str:
    """The docstring, with that of a class's ``__init__`` if it has one of its own."""
    made = vars(value).get("__init__") if isinstance(value, type) else None
    texts = [value.__doc__, getattr(made, "__doc__", None)]
    return "\n\n".join(inspect.cleandoc(text) for text in texts if text)
