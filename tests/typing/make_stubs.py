"""Write the stubs of what is put together when tensorlite is imported.

``python tests/typing/make_stubs.py`` writes ``tensorlite/tensor.pyi``, ``tensorlite/__init__.pyi``
and ``tensorlite/nn/functional.pyi`` from the signatures that the running package shows;
`test_stubs.py` fails where they are out of step. Type checkers and editors read them.
"""

from __future__ import annotations

import inspect
import re
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

import tensorlite as tl
from tensorlite.nn import functional
from tensorlite.unknown import Missing

PACKAGE = Path(tl.__file__).parent
HEAD = '"""Made by tests/typing/make_stubs.py: change the functions, not this file."""\n\n'
IMPORTS = """from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from tensorlite.backend.base import Device
from tensorlite.random import Generator
"""
APART = "\n_bool = bool\n_int = int\n_float = float\n\n"
# What an annotation of the source is called in a stub; others that are not listed become Any.
KNOWN = {
    "Array": "Tensor",
    "Array | None": "Tensor | None",
    "Axis": "int | tuple[int, ...] | None",
    **{
        name: name
        for name in (
            *("Any", "Tensor", "Tensor | None", "bool", "int", "float", "str", "None", "Device"),
            *("int | None", "float | None", "bool | None", "str | None", "Generator", "np.dtype"),
            *("Sequence[int]", "Sequence[Tensor]", "int | Sequence[int]", "str | Device | None"),
            *("int | Sequence[int] | None", "tuple[Tensor, ...]", "Tensor | float", "Callable"),
            *("float | Tensor", "int | Tensor", "Tensor | float | None", "Sequence[float] | None"),
            *("tuple[Tensor, Tensor]", "Tensor | Sequence[Tensor]", "np.ndarray", "Size"),
            *("Generator | None", "str | Device", "np.dtype | None", "HookHandle"),
        )
    },
}
# What returns neither a Tensor nor what its annotation says.
SEVERAL = {
    *tl.return_types.FIELDS,
    "item",
    "tolist",
    "size",
    "unique",
    "unique_consecutive",
    "grad",
}
SEVERAL |= {"vjp", "hvp", "jacobian", "hessian", "load", "save", "checkpoint", "primitive", "type"}
# Attributes that `members` writes out, since they are set on instances.
STATED = ("array", "node", "view_of", "home", "renew", "grad_buffer", "hooks", "after_grad")
STATED += ("grad", "requires_grad", "shape")
BINARY = ("add", "sub", "mul", "truediv", "floordiv", "mod", "pow", "matmul", "and", "or", "xor")
SHIFTS = ("lshift", "rshift")


def annotation(found: Any, default: str) -> str:
    """The stub's word for an annotation."""
    if found is inspect.Parameter.empty:
        return default
    text = found if isinstance(found, str) else getattr(found, "__name__", str(found))
    return KNOWN.get(text.replace("tl.", ""), "Any")


def value(default: Any) -> str:
    """A default as it can stand in a stub."""
    plain = default is None or isinstance(default, (bool, int, float, str))
    return repr(default) if plain and default == default and abs_is_finite(default) else "..."


def abs_is_finite(default: Any) -> bool:
    """Whether a number has a literal."""
    return not isinstance(default, float) or bool(np.isfinite(default))


def definition(name: str, function: Any, first: str | None = None) -> str:
    """``def name(…) -> …: ...``; of a method the first parameter is `first`."""
    signature = inspect.signature(function)
    parts, starred = [], False
    for i, p in enumerate(signature.parameters.values()):
        if i == 0 and first is not None:
            parts.append(first)
            continue
        if p.kind is p.VAR_POSITIONAL:
            starred = True
            parts.append(f"*{p.name}: Any")
        elif p.kind is p.VAR_KEYWORD:
            parts.append(f"**{p.name}: Any")
        else:
            if p.kind is p.KEYWORD_ONLY and not starred:
                starred = True
                parts.append("*")
            given = "" if p.default is p.empty else f" = {value(p.default)}"
            kind = (
                "Any" if given and p.name in ("input", "other") else annotation(p.annotation, "Any")
            )
            if kind in ("Tensor", "Tensor | None") and i > 0:
                kind = kind.replace("Tensor", "Tensor | float")
            parts.append(f"{p.name}: {kind}{given}")
    names = {p.name for p in signature.parameters.values()}
    also = [ours for ours, torchs in (("axis", "dim"), ("keepdims", "keepdim")) if torchs in names]
    if also and not any(part.startswith("**") for part in parts):
        parts += ["*"] * (not starred) + [
            f"{ours}: Any = ..." for ours in also if ours not in names
        ]
    returned = annotation(signature.return_annotation, "Tensor")
    if returned == "Any" and name not in SEVERAL:
        returned = "Tensor"
    return f"def {name}({', '.join(parts)}) -> {returned}: ..."


def is_function(found: Any) -> bool:
    """Whether a value of a namespace gets a definition."""
    return isinstance(found, (types.FunctionType, types.BuiltinFunctionType))


def module_stub(module: types.ModuleType, rest: str = "") -> str:
    """The stub of a module of functions; `rest` stands before them."""
    public = {n: getattr(module, n) for n in sorted(dir(module)) if n[0] != "_"}
    functions = [n for n in public if is_function(public[n])]
    functions = [n for n in functions if f" as {n}\n" not in rest]
    lines = [definition(name, public[name]) for name in functions]
    classes = ("Size", "Tensor")
    tensor = "".join(f"from tensorlite.tensor import {name} as {name}\n" for name in classes)
    return HEAD + IMPORTS + tensor + rest + "\n".join(lines)


def package_stub() -> str:
    """The stub of the package itself."""
    names = package_names()
    made = module_stub(tl, names + APART)
    functions = made.index("\ndef ")
    made = made[:functions] + apart(made[functions:])
    for name in ("no_grad", "enable_grad", "inference_mode", "set_grad_enabled"):
        made = re.sub(rf"\ndef {name}\(.*", f"\ndef {name}(mode: Any = True) -> Any: ...", made)
    dtypes = [*tl._DTYPES, "bfloat16", *(n for n in vars(tl) if isinstance(vars(tl)[n], np.dtype))]
    kinds = "\n".join(f"{name}: np.dtype" for name in sorted(set(dtypes)))
    values = "\n".join(
        f"{name}: {apart(type(value).__name__) if value is not None else None}"
        for name, value in sorted(tl._VALUES.items())
    )
    return f"{made}\n{kinds}\n{values}\ndevice = Device\ndtype = np.dtype\n__version__: str\n"


def package_names() -> str:
    """Imports of the modules and the classes that the package shows."""
    modules = "".join(f"from tensorlite import {name} as {name}\n" for name in sorted(tl._MODULES))
    classes = "".join(
        f"from {found.__module__} import {name} as {name}\n"
        for name, found in ((name, getattr(tl, name)) for name in sorted(dir(tl)))
        if isinstance(found, type) and found.__name__ == name not in ("Tensor", "Size", "Device")
        if found.__module__.startswith("tensorlite.") and name not in tl._NAMES
    )
    later = "".join(
        f"from tensorlite.{module} import {name} as {name}\n"
        for name, module in sorted(tl._NAMES.items())
    )
    return modules + classes + later + "\n"


def members() -> Iterator[str]:
    """What stands in the class: properties, methods, operators."""
    yield from (f"{name}: Any" for name in ("array", "node", "view_of", "home", "renew"))
    yield "grad_buffer: Tensor | None"
    yield "hooks: list[Callable] | None"
    yield "after_grad: list[Callable] | None"
    yield "requires_grad: bool"
    yield "grad: Tensor | None"
    yield "@property\ndef shape(self) -> Size: ..."  # in compiled code, where kernels are
    yield "def __init__(self, *values: Any) -> None: ..."
    for name in sorted(vars(tl.Tensor)):
        if isinstance(vars(tl.Tensor)[name], Missing):
            continue
        getattr(tl.Tensor, name)  # which makes it, if it was not needed so far
        found = vars(tl.Tensor)[name]
        if name[0] == "_" or name in STATED:
            continue
        if isinstance(found, property):
            kind = annotation(found.fget.__annotations__.get("return", ""), "Tensor")
            yield f"@property\ndef {name}(self) -> {'Tensor' if kind == 'Any' else kind}: ..."
            if found.fset is not None:
                yield f"@{name}.setter\ndef {name}(self, values: Any) -> None: ..."
        elif is_function(found):
            yield definition(name, found, "self")
    for name in (*BINARY, *SHIFTS):
        for kind in ("", "r", "i"):
            yield f"def __{kind}{name}__(self, other: Any) -> Tensor: ..."
    for name in ("lt", "le", "gt", "ge"):
        yield f"def __{name}__(self, other: Any) -> Tensor: ..."
    for name in ("eq", "ne"):
        yield f"def __{name}__(self, other: object) -> Tensor: ...  # type: ignore[override]"
    for name in ("neg", "pos", "abs", "invert"):
        yield f"def __{name}__(self) -> Tensor: ..."
    yield "def __getitem__(self, index: Any) -> Tensor: ..."
    yield "def __setitem__(self, index: Any, value: Any) -> None: ..."
    yield "def __iter__(self) -> Iterator[Tensor]: ..."
    yield "def __len__(self) -> int: ..."
    for name in ("bool", "int", "float"):
        yield f"def __{name}__(self) -> {name}: ..."
    yield "def __index__(self) -> int: ..."
    yield "def __hash__(self) -> int: ..."
    yield "def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray: ..."
    yield "def __dlpack__(self, **kwargs: Any) -> Any: ..."
    yield "def __dlpack_device__(self) -> tuple[int, int]: ..."


def apart(body: str) -> str:
    """The text with Python's bool, int and float under names that dtypes and methods don't hide."""
    for name in ("bool", "int", "float"):
        body = re.sub(rf"(?<![\w.]){name}(?=[ ,)\]:|]|$)(?!\()", f"_{name}", body, flags=re.M)
    return body


def tensor_stub() -> str:
    """The stub of `Tensor`; builtins that its methods hide are named apart."""
    body = "\n".join("    " + line for member in members() for line in member.splitlines())
    body = apart(body)
    size = (
        "class Size(tuple[_int, ...]):\n    def numel(self) -> _int: ...\n"
        "    def __getitem__(self, index: Any) -> Any: ...\n\n"
    )
    handle = (
        "class HookHandle:\n    def remove(self) -> None: ...\n"
        "    def __enter__(self) -> HookHandle: ...\n"
        "    def __exit__(self, *_: Any) -> None: ...\n\n"
    )
    wrap = (
        "\ndef tensor_of(array: Any, node: Any = None, requires_grad: _bool = ...) -> Tensor: ...\n"
        "def source_of(x: Tensor) -> Any: ...\n"
        "def fill(tensor: Tensor, array: Any, requires_grad: _bool = ...) -> None: ...\n\n"
        "class Views:\n    rewritten: _int\n\ndef views_of(x: Tensor) -> Views: ...\n"
    )
    return HEAD + IMPORTS + APART + size + handle + "class Tensor:\n" + body + "\n" + wrap


STUBS = {
    PACKAGE / "tensor.pyi": tensor_stub,
    PACKAGE / "__init__.pyi": package_stub,
    PACKAGE / "nn" / "functional.pyi": lambda: module_stub(functional) + "\n",
}

if __name__ == "__main__":
    for path, made in STUBS.items():
        path.write_text(made())
