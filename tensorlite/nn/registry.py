"""What a module holds, by kind: parameters, buffers and submodules.

The values are ordinary attributes, so that reading one costs no more than reading any; beside them
a module keeps the kind of each name, in the order of registration. If the class has a
method or property of that name, the value is kept apart and does not hide it.
"""

from __future__ import annotations

import enum
from collections.abc import Iterator, MutableMapping
from types import FunctionType
from typing import TYPE_CHECKING, Any

from tensorlite.nn.parameter import Parameter
from tensorlite.tensor import Tensor

if TYPE_CHECKING:
    from tensorlite.nn.module import Module


class Kind(enum.Enum):
    """What a registered name stands for."""

    PARAMETER = "parameter"
    BUFFER = "buffer"
    MODULE = "module"

    def fits(self, value: Any) -> bool:
        """Whether `value` may be registered as this kind."""
        if self is Kind.PARAMETER:
            return isinstance(value, Parameter)
        if self is Kind.BUFFER:
            return isinstance(value, Tensor)
        return getattr(value, "_is_module", False)


_WRAPPERS = (FunctionType, property, staticmethod, classmethod)


def is_behind(owner: type, name: str) -> bool:
    """Whether a class has a method or property that an attribute must not hide."""
    for base in owner.__mro__:
        if name in base.__dict__:
            return isinstance(base.__dict__[name], _WRAPPERS)
    return False


def place(module: Module, name: str, value: Any, kind: Kind) -> None:
    """Register a value; a name of the same kind keeps its position."""
    if not name or "." in name:
        owner = type(module).__name__
        raise KeyError(f"{owner}: {name!r} is no name for a {kind.value}: no dots, not ''")
    state = module.__dict__
    kinds = module._kinds
    if kinds.get(name) is not kind:
        remove(module, name)
        kinds[name] = kind
    if is_behind(type(module), name):
        state.setdefault("_hidden", {})[name] = value
    else:
        state[name] = value


def remove(module: Module, name: str) -> None:
    """Forget a name and its value; nothing happens where there is none."""
    state = module.__dict__
    module._kinds.pop(name, None)
    state.pop(name, None)
    state.get("_hidden", {}).pop(name, None)
    if name in module._fleeting:
        module._fleeting = module._fleeting - {name}


def value_of(module: Module, name: str) -> Any:
    """The value of a registered name."""
    state = module.__dict__
    return state[name] if name in state else state["_hidden"][name]


def entries(module: Any, kind: Kind) -> Iterator[tuple[str, Any]]:
    """Names and values of one kind, None included, in the order of registration."""
    return ((name, value_of(module, name)) for name, k in tuple(module._kinds.items()) if k is kind)


class Held(MutableMapping):
    """The parameters, buffers or submodules of one module as a live dictionary.

    Writing to it is registering, without the checks of names.
    """

    def __init__(self, module: Module, kind: Kind) -> None:
        self._module = module
        self._kind = kind

    def __getitem__(self, name: str) -> Any:
        if self._module._kinds.get(name) is not self._kind:
            raise KeyError(name)
        return value_of(self._module, name)

    def __setitem__(self, name: str, value: Any) -> None:
        if value is not None and not self._kind.fits(value):
            raise TypeError(
                f"{type(self._module).__name__}.{name}: a {type(value).__name__} is no "
                f"{self._kind.value}"
            )
        place(self._module, name, value, self._kind)

    def __delitem__(self, name: str) -> None:
        self[name]
        remove(self._module, name)

    def __iter__(self) -> Iterator[str]:
        return (name for name, _ in entries(self._module, self._kind))

    def __len__(self) -> int:
        return sum(kind is self._kind for kind in self._module._kinds.values())

    def copy(self) -> dict[str, Any]:
        """An ordinary dictionary of what it has now."""
        return dict(self)

    def __repr__(self) -> str:
        return repr(dict(self))
