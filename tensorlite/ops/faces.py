"""What public functions share: torch's names of arguments, NumPy's beside them."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

ALSO = {"axis": "dim", "keepdims": "keepdim"}  # NumPy's name, and torch's


def takes_axis(function: Callable) -> Callable:
    """Let a function with ``dim`` and ``keepdim`` take ``axis`` and ``keepdims``, too."""

    @functools.wraps(function)
    def face(*args: Any, **kwargs: Any) -> Any:
        if kwargs:
            for ours, torchs in ALSO.items():
                if ours in kwargs:
                    if torchs in kwargs:
                        name = function.__name__
                        raise TypeError(f"{name}() got both {torchs!r} and {ours!r}: give one")
                    kwargs[torchs] = kwargs.pop(ours)
        return function(*args, **kwargs)

    return face
