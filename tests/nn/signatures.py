"""Arguments of functions as text, to be compared with torch's, which are stored."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

FILE = Path(__file__).with_name("signatures.json")


def load() -> dict[str, str]:
    """Torch's, by dotted name below ``torch.nn``."""
    return json.loads(FILE.read_text())


def arguments(function: Callable) -> str:
    """Names, kinds and defaults, without annotations and ``self``."""
    shown = []
    star = False
    for p in inspect.signature(function).parameters.values():
        if p.name == "self":
            continue
        if p.kind is p.KEYWORD_ONLY and not star:
            shown.append("*")
            star = True
        mark = {p.VAR_POSITIONAL: "*", p.VAR_KEYWORD: "**"}.get(p.kind, "")
        star = star or p.kind is p.VAR_POSITIONAL
        shown.append(mark + p.name + ("" if p.default is p.empty else f"={_text(p.default)}"))
    return ", ".join(shown)


def _text(default: Any) -> str:
    return default.__name__ if callable(default) else repr(default)
