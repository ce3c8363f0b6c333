"""Modules that hold modules, ModuleList and ModuleDict, one after another, Sequential."""

from __future__ import annotations

import operator
from collections.abc import Iterable, Iterator, KeysView, Mapping
from typing import Any, Self, cast

from tensorlite.nn import registry
from tensorlite.nn.fused_pairs import fused
from tensorlite.nn.module import Module
from tensorlite.nn.registry import Kind

_MODULE = Kind.MODULE


class _List(Module):
    """Modules under the names "0", "1", …, which are their names in a state dict."""

    def _members(self) -> list[tuple[str, Any]]:
        return list(registry.entries(self, Kind.MODULE))

    def __len__(self) -> int:
        return len(self._members())

    def __iter__(self) -> Iterator[Any]:
        return iter([module for _, module in self._members()])

    def _at(self, index: Any) -> str:
        names = [name for name, _ in self._members()]
        index = operator.index(index)
        if not -len(names) <= index < len(names):
            raise IndexError(
                f"{type(self).__name__}: index {index} is out of range for {len(names)} members"
            )
        return names[index]

    def _next_name(self) -> str:
        """The number after all that are taken: a slice keeps its members' numbers."""
        numbers = [int(name) for name, _ in self._members() if name.isdigit()]
        return str(max([len(self) - 1, *numbers]) + 1)

    def _renamed(self, members: Iterable[Any]) -> None:
        """Hold `members` instead, under the numbers from 0."""
        members = list(members)
        for name, _ in self._members():
            registry.remove(self, name)
        for i, member in enumerate(members):
            self.add_module(str(i), member)

    def __setitem__(self, index: int, module: Module) -> None:
        setattr(self, self._at(index), module)

    def __delitem__(self, index: int | slice) -> None:
        members = list(self)
        if isinstance(index, slice):
            del members[index]
        else:
            self._at(index)
            del members[index]
        self._renamed(members)

    def append(self, module: Module) -> Self:
        """Add a member at the end; return the container."""
        self.add_module(self._next_name(), module)
        return self

    def extend(self, modules: Iterable[Module]) -> Self:
        """Add several members at the end; return the container."""
        if not isinstance(modules, Iterable):
            raise TypeError(
                f"{type(self).__name__}.extend takes modules, not a {type(modules).__name__}"
            )
        # Counted here: to look for the next number looks at all members.
        for number, module in enumerate(list(modules), int(self._next_name())):
            self.add_module(str(number), module)
        return self

    def pop(self, key: int | slice = -1) -> Any:
        """Take a member out, and return it."""
        member = self[key]  # type: ignore[index]  # a Tensor's index cannot be one
        del self[key]
        return member

    def __dir__(self) -> list[str]:
        return [name for name in super().__dir__() if not name.isdigit()]


class ModuleList(_List):
    """A list of modules that belong to the module it is assigned to.

    Its members, of any shapes, are called by the code around it: it has no `forward`.

    Parameters
    ----------
    modules : iterable of Module
        The first members; more come with `append`, `extend`, `insert` and ``+=``.

    Examples
    --------
    >>> layers = nn.ModuleList([nn.Linear(4, 4) for _ in range(3)])
    >>> len(layers), layers[0]
    (3, Linear(in_features=4, out_features=4, bias=True)  # 20 parameters)

    >>> layers = nn.ModuleList([nn.Linear(4, 4)])
    >>> layers.insert(0, nn.Identity())
    """

    def __init__(self, modules: Iterable[Module] | None = None) -> None:
        super().__init__()
        if modules is not None:
            self.extend(modules)

    def __getitem__(self, index: int | slice) -> Any:
        if isinstance(index, slice):
            return type(self)(list(self)[index])
        return registry.value_of(self, self._at(index))

    def __iadd__(self, modules: Iterable[Module]) -> Self:
        return self.extend(modules)

    def __add__(self, other: Iterable[Module]) -> ModuleList:
        return ModuleList([*self, *other])

    def insert(self, index: int, module: Module) -> None:
        """Put a member before that at `index`.

        Parameters
        ----------
        index : int
        module : Module
        """
        members = list(self)
        members.insert(index, module)
        self._renamed(members)


class Sequential(_List):
    """Modules one after another, each fed what the one before returns.

    Some neighbours without hooks are computed as one, with the same result; see `nn.fused_pairs`.

    Inputs of any shapes that the first module takes.

    Parameters
    ----------
    *args : Module
        In order; or one mapping from names to modules.

    Examples
    --------
    >>> model = nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))
    >>> model[0]
    Linear(in_features=64, out_features=32, bias=True)  # 2,080 parameters

    >>> len(nn.Sequential(nn.Linear(64, 32)).insert(0, nn.Identity()))
    2
    """

    def __init__(self, *args: Module | Mapping[str, Module]) -> None:
        super().__init__()
        if len(args) == 1 and isinstance(args[0], Mapping):
            for name, module in args[0].items():
                self.add_module(name, module)
        else:
            self.extend(cast("tuple[Module, ...]", args))

    def add_module(self, name: str, module: Module | None) -> None:
        """Add a member under a name; one of that name is replaced."""
        if module is None:
            raise TypeError(f"{type(self).__name__}: None is no module; leave it out")
        super().add_module(name, module)

    def __getitem__(self, index: int | slice) -> Any:
        if isinstance(index, slice):  # the members keep their names
            return type(self)(dict(self._members()[index]))
        return registry.value_of(self, self._at(index))

    def __add__(self, other: Sequential) -> Sequential:
        self._check_sequential(other)
        return Sequential(*self, *other)

    def __iadd__(self, other: Sequential) -> Self:
        self._check_sequential(other)
        return self.extend(other)

    def _check_sequential(self, other: Any) -> None:
        if not isinstance(other, Sequential):
            raise ValueError(f"Sequential + {type(other).__name__}: only a Sequential can be added")

    def __mul__(self, times: int) -> Sequential:
        return Sequential(*list(self) * self._checked_times(times))

    __rmul__ = __mul__

    def __imul__(self, times: int) -> Self:
        members = list(self)
        return self.extend(members * (self._checked_times(times) - 1))

    @staticmethod
    def _checked_times(times: int) -> int:
        if not isinstance(times, int):
            raise TypeError(f"Sequential * {type(times).__name__}: give a whole number")
        if times <= 0:
            raise ValueError(f"Sequential * {times}: give a positive number")
        return times

    def insert(self, index: int, module: Module) -> Self:
        """Put a member before that at `index`; return the container.

        Parameters
        ----------
        index : int
        module : Module

        Raises
        ------
        TypeError
            If `module` is none.
        """
        if not isinstance(module, Module):
            raise AssertionError(f"module should be of type: {Module}")
        n = len(self)
        if not -n <= index <= n:
            raise IndexError(f"Sequential.insert: index {index} is out of range for {n} members")
        members = list(self)
        members.insert(index, module)
        self._renamed(members)
        return self

    def forward(self, input: Any) -> Any:
        """Feed `input` through all modules."""
        before = None  # a module that may be computed as one with the next
        given = input  # others may read it: one that overwrites it does so by itself
        own = self.__dict__
        for name, kind in list(self._kinds.items()):  # as a list: a hook may add to them
            if kind is not _MODULE:
                continue
            # One that is not its own stands behind a method of its name.
            module = own[name] if name in own else registry.value_of(self, name)
            if before is not None:
                as_one = fused(before, module)
                if as_one is not None and not (input is given and before.__dict__.get("inplace")):
                    input = as_one(before, module, input)
                    before = None
                    continue
                input = before(input)
            before = module
        return input if before is None else before(input)


class ModuleDict(Module):
    """A dictionary of modules that belong to the module it is assigned to.

    Its members, of any shapes, are called by the code around it: it has no `forward`.

    Parameters
    ----------
    modules : mapping of str to Module, or iterable of pairs
        The first members.

    Examples
    --------
    >>> heads = nn.ModuleDict({"age": nn.Linear(4, 1), "name": nn.Linear(4, 9)})
    >>> heads["age"](tl.zeros(2, 4)).shape
    (2, 1)

    >>> heads = nn.ModuleDict({"age": nn.Linear(4, 1)})
    >>> heads.update({"name": nn.Identity()})
    >>> list(heads.keys()), list(heads.values()) == [m for _, m in heads.items()]
    (['age', 'name'], True)
    >>> heads.pop("name")
    Identity()
    >>> heads.clear()
    """

    def __init__(self, modules: Mapping[str, Module] | Iterable | None = None) -> None:
        super().__init__()
        if modules is not None:
            self.update(modules)

    def update(self, modules: Mapping[str, Module] | Iterable) -> None:
        """Add or replace members.

        Parameters
        ----------
        modules : mapping of str to Module, or iterable of pairs

        Raises
        ------
        TypeError
            If it is something else.
        """
        if not isinstance(modules, Iterable):
            raise TypeError(
                "ModuleDict.update takes a mapping or pairs of name and module, not a "
                f"{type(modules).__name__}"
            )
        mapping = isinstance(modules, (Mapping, ModuleDict))
        pairs: Any = modules.items() if mapping else modules  # type: ignore[union-attr]  # a mapping has items
        for i, pair in enumerate(pairs):
            if not isinstance(pair, Iterable):
                raise TypeError(f"ModuleDict.update: element {i} is no pair of name and module")
            name, module = pair
            self[name] = module

    def keys(self) -> KeysView[str]:
        """Names of the members, in order."""
        return dict(registry.entries(self, Kind.MODULE)).keys()

    def values(self) -> Iterable[Module]:
        """The members, in order."""
        return dict(registry.entries(self, Kind.MODULE)).values()

    def items(self) -> Iterable[tuple[str, Module]]:
        """Names and members, in order."""
        return dict(registry.entries(self, Kind.MODULE)).items()

    def __iter__(self) -> Iterator[str]:
        return iter(self.keys())

    def __len__(self) -> int:
        return len(self.keys())

    def __contains__(self, key: object) -> bool:
        return key in self.keys()

    def __getitem__(self, key: str) -> Module:
        if key not in self:
            raise KeyError(f"ModuleDict has no {key!r}; it has {list(self)}")
        return registry.value_of(self, key)

    def __setitem__(self, key: str, module: Module) -> None:
        self.add_module(key, module)

    def __delitem__(self, key: str) -> None:
        self[key]  # raises where there is none
        registry.remove(self, key)

    def pop(self, key: str) -> Module:
        """Take a member out, and return it.

        Parameters
        ----------
        key : str
        """
        member = self[key]
        del self[key]
        return member

    def clear(self) -> None:
        """Take out all members."""
        for key in list(self):
            del self[key]
