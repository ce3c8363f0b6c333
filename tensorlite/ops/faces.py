"""Decorators of public functions: they take torch's argument names, and NumPy's beside them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from types import FunctionType
from typing import Any, NoReturn

import numpy as np

from tensorlite.decorate import named_as
from tensorlite.plan import parameters_of
from tensorlite.tensor import Tensor
from tensorlite.wording import no_tensor

ALSO = {"axis": "dim", "keepdims": "keepdim"}  # NumPy's name, and torch's
NAMES = {"x": "input", "x1": "input", "x2": "other", **ALSO}


def name_as_torch(functions: Iterable[Any]) -> None:
    """Let the primitives among public functions be called with torch's names of parameters."""
    for function in functions:
        made = getattr(function, "primitive", None)
        if made is not None and not made.names:
            made.rename(NAMES)


def name_wrong_types(names: dict[str, Any]) -> None:
    """Let the functions of a namespace name the argument that should be a Tensor and is not.

    Arguments are not checked beforehand: only if a function fails are they looked at. Modules
    below call each other's functions without this.
    """
    for name, function in names.items():
        names[name] = naming_wrong_types(function)


def naming_wrong_types(function: Any) -> Any:
    """`name_wrong_types` of one function; anything else as it is."""
    if type(function) is not FunctionType or hasattr(function, "primitive"):
        return function
    if hasattr(function, "names_wrong_types"):
        return function
    inner = function
    while hasattr(inner, "__wrapped__"):
        inner = inner.__wrapped__
    first = inner.__code__.co_varnames[:1]
    return _naming_wrong_types(function) if first and first[0] in _TENSORS else function


# What functions call their first argument where it is a Tensor, or several.
_TENSORS = {"A", "anchor", "args", "condition", "input", "input1", "matrices", "query", "tensor"}
_TENSORS |= {"operands", "tensors", "x1"}


def _naming_wrong_types(function: Callable) -> Callable:
    @named_as(function)
    def face(*args: Any, **kwargs: Any) -> Any:
        try:
            return function(*args, **kwargs)
        except AttributeError as error:
            found = error
        import inspect  # for the message alone

        try:
            given = inspect.signature(function).bind(*args, **kwargs).arguments
        except TypeError:
            raise found from None
        name_wrong_type(function.__name__, given, found)

    return face


def names_wrong_types(function: Callable) -> Callable:
    """Mark a function that calls `name_wrong_type` itself, which saves a call each time."""
    function.names_wrong_types = True  # type: ignore[attr-defined]  # functions take attributes
    return function


def name_wrong_type(name: str, given: dict[str, Any], error: AttributeError) -> NoReturn:
    """Raise what a missing attribute means: which argument is no Tensor, if one is none.

    `given` are the arguments of the function called `name`.
    """
    wrong = error.obj
    if not isinstance(wrong, Tensor):
        for argument, value in given.items():
            if value is wrong:
                raise no_tensor(name, argument, wrong) from error
            if _holds(value, wrong):
                raise no_tensor(name, f"an element of {argument}", wrong) from error
    raise error


def _holds(value: Any, wanted: Any) -> bool:
    several = value if isinstance(value, (tuple, list)) else ()
    return any(part is wanted or _holds(part, wanted) for part in several)


def takes_axis(function: Callable) -> Callable:
    """Let a function with ``dim`` (or ``dims``) and ``keepdim`` take NumPy's names, too."""
    also = dict(ALSO)
    if "dims" in [name for name, _, _ in parameters_of(function)]:
        also["axis"] = "dims"

    @named_as(function)
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
    """Copy the result of a function if it would otherwise share memory with the first argument.

    A write to the result must not change the argument.
    """

    @named_as(function)
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
        @named_as(function)
        def face(*args: Any, **kwargs: Any) -> Any:
            return function(*args, **{names.get(key, key): value for key, value in kwargs.items()})

        return face

    return decorate


def one_by_one(values: tuple) -> tuple:
    """Numbers given one by one, ``f(2, 3)``, or as one sequence, ``f((2, 3))``."""
    if len(values) == 1 and isinstance(values[0], (tuple, list)):
        return tuple(values[0])
    return values
