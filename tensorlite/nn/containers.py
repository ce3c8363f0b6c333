"""Modules that hold modules: Sequential, ModuleList, ModuleDict; and ParameterList."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from tensorlite.nn.module import Module
from tensorlite.nn.pairs import together
from tensorlite.nn.parameter import Parameter


class _Container(Module):
    """Holds members of one kind as attributes, in the order of insertion."""

    _kind: type = Module

    def _named(self) -> dict[str, Any]:
        return {n: value for n, value in self.__dict__.items() if isinstance(value, self._kind)}

    def _add(self, name: str, member: Any) -> None:
        if member is None:
            raise TypeError(f"{type(self).__name__}: None is no {self._kind.__name__}")
        self._check_new(name, member, self._kind)
        setattr(self, name, member)

    def __len__(self) -> int:
        return len(self._named())


class _List(_Container):
    """Members under the names "0", "1", …, which are their names in a state dict."""

    def __init__(self, members: Iterable[Any] = ()) -> None:
        self.extend(members)

    def __iter__(self) -> Iterator[Any]:
        return iter(self._named().values())

    def _at(self, index: int) -> str:
        names = list(self._named())
        if not -len(names) <= index < len(names):
            raise IndexError(
                f"{type(self).__name__}: index {index} is out of range for {len(names)} members"
            )
        return names[index]

    def __getitem__(self, index: int | slice) -> Any:
        if isinstance(index, slice):
            return type(self)(list(self)[index])
        return getattr(self, self._at(index))

    def __setitem__(self, index: int, member: Any) -> None:
        setattr(self, self._at(index), member)

    def append(self, member: Any) -> Any:
        """Add a member at the end; return the container."""
        self._add(str(len(self)), member)
        return self

    def extend(self, members: Iterable[Any]) -> Any:
        """Add several members at the end; return the container."""
        for member in members:
            self.append(member)
        return self


class ModuleList(_List):
    """A list of modules that belong to the module it is assigned to.

    Parameters
    ----------
    members : iterable of Module
        The first members; more come with `append` and `extend`.
    """


class ParameterList(_List):
    """A list of parameters that belong to the module it is assigned to.

    Parameters
    ----------
    members : iterable of Parameter
        The first members; more come with `append` and `extend`.
    """

    _kind = Parameter

    def extra_repr(self) -> str:
        """Shapes of the members."""
        return ", ".join(str(parameter.shape) for parameter in self)


class Sequential(_List):
    """Modules one after another, each fed what the one before returns.

    Some neighbours without hooks are computed as one, with the same result; see `nn.pairs`.

    Parameters
    ----------
    *modules : Module
        In order; or one mapping from names to modules.

    Examples
    --------
    >>> model = nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))
    >>> model[0]
    Linear(in_features=64, out_features=32, bias=True)  # 2,080 parameters
    """

    def __init__(self, *modules: Module | Mapping[str, Module]) -> None:
        if len(modules) == 1 and isinstance(modules[0], Mapping):
            for name, module in modules[0].items():
                self._add(name, module)
        else:
            self.extend(modules)

    def __getitem__(self, index: int | slice) -> Any:
        if isinstance(index, slice):  # the members keep their names
            return Sequential(dict(list(self._named().items())[index]))
        return super().__getitem__(index)

    def forward(self, x: Any) -> Any:
        """Feed `x` through all modules."""
        before = None  # a module that may be computed as one with the next
        for module in list(self.__dict__.values()):  # which a hook may add to
            if not isinstance(module, Module):
                continue
            if before is not None:
                as_one = together(before, module)
                if as_one is not None:
                    x = as_one(before, module, x)
                    before = None
                    continue
                x = before(x)
            before = module
        return x if before is None else before(x)


class ModuleDict(_Container):
    """A dictionary of modules that belong to the module it is assigned to.

    Parameters
    ----------
    modules : mapping of str to Module
        The first members.
    """

    def __init__(self, modules: Mapping[str, Module] | None = None) -> None:
        self.update(modules or {})

    def update(self, modules: Mapping[str, Module]) -> None:
        """Add or replace members."""
        for name, module in modules.items():
            self[name] = module

    def keys(self) -> Iterable[str]:
        """Names of the members, in order."""
        return self._named().keys()

    def values(self) -> Iterable[Module]:
        """The members, in order."""
        return self._named().values()

    def items(self) -> Iterable[tuple[str, Module]]:
        """Names and members, in order."""
        return self._named().items()

    def __iter__(self) -> Iterator[str]:
        return iter(self._named())

    def __contains__(self, name: str) -> bool:
        return name in self._named()

    def __getitem__(self, name: str) -> Module:
        if name not in self:
            raise KeyError(f"ModuleDict has no {name!r}; it has {list(self)}")
        return self.__dict__[name]

    def __setitem__(self, name: str, module: Module) -> None:
        if name in self:
            setattr(self, name, module)
        else:
            self._add(name, module)

    def __delitem__(self, name: str) -> None:
        self[name]  # raises where there is none
        delattr(self, name)
