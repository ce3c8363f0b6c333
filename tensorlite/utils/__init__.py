"""What torch has in ``torch.utils``: `data` and `checkpoint`."""

import importlib
from typing import Any

_MODULES = ("checkpoint", "data")


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return importlib.import_module(f"tensorlite.utils.{name}")
    raise AttributeError(f"module 'tensorlite.utils' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *_MODULES])
