"""Write signatures.json: the arguments of torch's modules, as they are typed.

Run with torch 2.13: ``python tests/nn/make_signatures.py``.
"""

from __future__ import annotations

import inspect
import json
import typing
from collections.abc import Callable

import torch
from signatures import FILE, arguments


def constructor(cls: type) -> Callable:
    """``__init__``, or the first of its overloads: of recurrent layers that is what is typed."""
    return next(iter(typing.get_overloads(cls.__init__)), cls.__init__)


def main() -> None:
    """Write the file."""
    found = {}
    for name, cls in vars(torch.nn).items():
        if isinstance(cls, type) and issubclass(cls, torch.nn.Module):
            found[name] = arguments(constructor(cls))
            if cls.forward is not torch.nn.Module.forward:
                found[f"{name}.forward"] = arguments(cls.forward)
    for name, function in vars(torch.nn.Module).items():
        if inspect.isfunction(function) and not name.startswith("_"):
            found[f"Module.{name}"] = arguments(function)
    for family in ("init", "utils", "utils.rnn", "utils.parametrize", "utils.parametrizations"):
        module = getattr(torch.nn, family.split(".")[0])
        if "." in family:
            module = getattr(module, family.split(".")[1])
        for name, function in vars(module).items():
            own = getattr(function, "__module__", "").startswith(f"torch.nn.{family}")
            if inspect.isfunction(function) and own and not name.startswith("_"):
                found[f"{family}.{name}"] = arguments(function)
    FILE.write_text(json.dumps(found, indent=0) + "\n")


if __name__ == "__main__":
    main()
