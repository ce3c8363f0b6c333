"""What public functions share: torch's names of arguments, NumPy's beside them."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from tensorlite.tensor import Tensor

ALSO = {"axis": "dim", "keepdims": "keepdim"}  # NumPy's name, and torch's
NAMES = {"x": "input", "x1": "input", "x2": "other", **ALSO}


def name_as_torch(functions: Iterable[Any]) -> None:
    """Let the primitives among public functions be called with torch's names of parameters."""
    for function in functions:
        made = getattr(function, "primitive", None)
        if made is not None and not made.names:
            made.rename(NAMES)


def takes_axis(function: Callable) -> Callable:
    """Let a function with ``dim`` (or ``dims``) and ``keepdim`` take NumPy's names, too."""
    also = dict(ALSO)
    if "dims" in inspect.signature(function).parameters:
        also["axis"] = "dims"

    @functools.wraps(function)
    def face(*args: Any, **kwargs: Any) -> Any:
        if kwargs:
            for ours, torchs in also.items():
                if ours in kwargs:
                    if torchs in kwargs:
                        name = function.__name__
                        raise TypeError(f"{name}() got both {torchs!r} and {ours!r}: give one")
                    kwargs[torchs] = kwargs.pop(ours)
        return function(*args, **kwargs)

    return face


def copies(function: Callable) -> Callable:
    """Let a function give memory of its own where its steps would only show its first argument's.

    Whoever writes into the result must not change what it was made from.
    """

    @functools.wraps(function)
    def face(input: Any, *args: Any, **kwargs: Any) -> Any:
        y = function(input, *args, **kwargs)
        both = isinstance(y, Tensor) and isinstance(input, Tensor)
        shared = both and _memory(y.array) is _memory(input.array)
        return y.clone() if shared else y

    return face


def _memory(array: Any) -> Any:
    """The object whose memory an array shows."""
    if not isinstance(array, np.ndarray):
        return array.data.mem  # CuPy's: its views do not always know their base
    while (base := getattr(array, "base", None)) is not None:
        array = base
    return array


def also_named(**others: tuple[str, ...]) -> Callable:
    """Let keyword arguments have other names, too: ``also_named(cut=("indices", "sections"))``."""
    names = {other: name for name, several in others.items() for other in several}

    def decorate(function: Callable) -> Callable:
        @functools.wraps(function)
        def face(*args: Any, **kwargs: Any) -> Any:
            return function(*args, **{names.get(key, key): value for key, value in kwargs.items()})

        return face

    return decorate


def one_by_one(values: tuple) -> tuple:
    """Numbers given one by one, ``f(2, 3)``, or as one sequence, ``f((2, 3))``."""
    if len(values) == 1 and isinstance(values[0], (tuple, list)):
        return tuple(values[0])
    return values
