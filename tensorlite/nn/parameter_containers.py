"""Modules that hold parameters: ParameterList and ParameterDict."""

from __future__ import annotations

import operator
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Self

from tensorlite.nn.module import Module
from tensorlite.nn.parameter import Parameter
from tensorlite.tensor import Tensor


def _as_member(value: Any) -> Any:
    """A Tensor as a Parameter; anything else as it is."""
    if isinstance(value, Tensor) and not isinstance(value, Parameter):
        return Parameter(value.detach())
    return value


def _described(value: Any) -> str:
    if not isinstance(value, Tensor):
        return f"Object of type: {type(value).__name__}"
    kind = "Parameter" if isinstance(value, Parameter) else "Tensor"
    return f"{kind} containing: [{value.dtype} of size {'x'.join(map(str, value.shape))}]"


class ParameterList(Module):
    """A list of parameters that belong to the module it is assigned to.

    Tensors become parameters; other values may stand in it, but are no part of the state.

    Parameters may have any shapes.

    Parameters
    ----------
    values : iterable
        The first members; more come with `append`, `extend` and ``+=``.

    Examples
    --------
    >>> nn.ParameterList([tl.zeros(2, 3), tl.zeros(4)])[0].shape
    (2, 3)

    >>> members = nn.ParameterList([tl.zeros(2)])
    >>> members.append(tl.ones(3)).extend([tl.ones(4)]).pop().shape
    (4,)
    """

    def __init__(self, values: Iterable[Any] | None = None) -> None:
        super().__init__()
        self._length = 0
        if values is not None:
            self.extend(values)

    def __len__(self) -> int:
        return self._length

    def __iter__(self) -> Iterator[Any]:
        return (getattr(self, str(i)) for i in range(self._length))

    def _at(self, index: Any) -> str:
        index = operator.index(index)
        if not -self._length <= index < self._length:
            raise IndexError(
                f"ParameterList: index {index} is out of range for {self._length} members"
            )
        return str(index % self._length)

    def __getitem__(self, index: int | slice) -> Any:
        if isinstance(index, slice):
            return type(self)(list(self)[index])
        return getattr(self, self._at(index))

    def __setitem__(self, index: int, value: Any) -> None:
        setattr(self, self._at(index), _as_member(value))

    def append(self, value: Any) -> Self:
        """Add a member at the end; return the container.

        Parameters
        ----------
        value : object
        """
        setattr(self, str(self._length), _as_member(value))
        self._length += 1
        return self

    def extend(self, values: Iterable[Any]) -> Self:
        """Add several members at the end; return the container.

        Parameters
        ----------
        values : iterable

        Raises
        ------
        TypeError
            If it is none.
        """
        if not isinstance(values, Iterable) or isinstance(values, Tensor):
            raise TypeError(
                f"ParameterList.extend takes a list of values, not a {type(values).__name__}"
            )
        for value in list(values):
            self.append(value)
        return self

    def pop(self, index: int = -1) -> Any:
        """Take a member out, and return it.

        Parameters
        ----------
        index : int
        """
        self._at(index)
        members = list(self)
        member = members.pop(index)
        for i in range(self._length):
            delattr(self, str(i))
        self._length = 0
        self.extend(members)
        return member

    def __iadd__(self, values: Iterable[Any]) -> Self:
        return self.extend(values)

    def __dir__(self) -> list[str]:
        return [name for name in super().__dir__() if not name.isdigit()]

    def extra_repr(self) -> str:
        """Dtypes and shapes of the members."""
        return "".join(f"\n({i}): {_described(value)}" for i, value in enumerate(self))

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Refused: a list of parameters computes nothing."""
        raise RuntimeError("ParameterList should not be called.")


class ParameterDict(Module):
    """A dictionary of parameters that belong to the module it is assigned to.

    Tensors become parameters; other values may stand in it, but are no part of the state.

    Parameters may have any shapes.

    Parameters
    ----------
    parameters : mapping of str to values, or iterable of pairs
        The first members.

    Examples
    --------
    >>> nn.ParameterDict({"left": tl.zeros(2, 3)})["left"].shape
    (2, 3)

    >>> members = nn.ParameterDict.fromkeys(nn.ParameterDict(), ["a", "b"], tl.zeros(2))
    >>> members.update({"c": tl.ones(2)})
    >>> list(members.keys()), len(list(members.values())), len(list(members.items()))
    (['a', 'b', 'c'], 3, 3)
    >>> members.get("z"), members.setdefault("c").tolist(), members.pop("a").shape
    (None, [1.0, 1.0], (2,))
    >>> members.copy().popitem()[0]
    'c'
    >>> members.clear()
    """

    def __init__(self, parameters: Any = None) -> None:
        super().__init__()
        self._names: dict[str, None] = {}
        if parameters is not None:
            self.update(parameters)

    def __getitem__(self, key: str) -> Any:
        if key not in self._names:
            raise KeyError(f"ParameterDict has no {key!r}; it has {list(self._names)}")
        return getattr(self, key)

    def __setitem__(self, key: str, value: Any) -> None:
        if not isinstance(key, str):
            raise TypeError(f"ParameterDict: a name is a str, not {key!r}")
        if key not in self._names and hasattr(self, key):
            raise KeyError(f"ParameterDict already has an attribute {key!r}: use another name")
        setattr(self, key, _as_member(value))
        self._names[key] = None

    def __delitem__(self, key: str) -> None:
        self[key]  # raises where there is none
        del self._names[key]
        delattr(self, key)

    def __len__(self) -> int:
        return len(self._names)

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __reversed__(self) -> Iterator[str]:
        return reversed(list(self._names))

    def __contains__(self, key: object) -> bool:
        return key in self._names

    def keys(self) -> Iterable[str]:
        """Names of the members, in order."""
        return self._names.keys()

    def values(self) -> Iterable[Any]:
        """The members, in order."""
        return (self[key] for key in self._names)

    def items(self) -> Iterable[tuple[str, Any]]:
        """Names and members, in order."""
        return ((key, self[key]) for key in self._names)

    def get(self, key: str, default: Any = None) -> Any:
        """The member of that name, or `default`.

        Parameters
        ----------
        key : str
        """
        return self[key] if key in self._names else default

    def setdefault(self, key: str, default: Any = None) -> Any:
        """The member of that name; `default` becomes it where there is none.

        Parameters
        ----------
        key : str
        """
        if key not in self:
            self[key] = default
        return self[key]

    def pop(self, key: str) -> Any:
        """Take a member out, and return it.

        Parameters
        ----------
        key : str
        """
        value = self[key]
        del self[key]
        return value

    def popitem(self) -> tuple[str, Any]:
        """Take the last member out, and return its name and itself."""
        key = next(reversed(self))
        return key, self.pop(key)

    def clear(self) -> None:
        """Take out all members."""
        for key in list(self):
            del self[key]

    def copy(self) -> ParameterDict:
        """Another ParameterDict with the same members."""
        return ParameterDict(dict(self.items()))

    def fromkeys(self, keys: Iterable[str], default: Any = None) -> ParameterDict:
        """A ParameterDict with one value under several names.

        Parameters
        ----------
        keys : iterable of str
        default : object
        """
        return ParameterDict(dict.fromkeys(keys, default))

    def update(self, parameters: Any) -> None:
        """Add or replace members; of a mapping that is no ParameterDict or OrderedDict sorted.

        Parameters
        ----------
        parameters : mapping of str to values, or iterable of pairs

        Raises
        ------
        TypeError
            If it is something else.
        """
        if not isinstance(parameters, Iterable) or isinstance(parameters, Tensor):
            raise TypeError(
                "ParameterDict.update takes a mapping or pairs of name and value, not a "
                f"{type(parameters).__name__}"
            )
        if isinstance(parameters, (OrderedDict, ParameterDict)):
            parameters = parameters.items()
        elif isinstance(parameters, Mapping):
            parameters = sorted(parameters.items())  # as torch does
        for pair in parameters:
            if not isinstance(pair, Iterable):
                raise TypeError(f"ParameterDict.update: {pair!r} is no pair of name and value")
            key, value = pair
            self[key] = value

    def __or__(self, other: ParameterDict) -> ParameterDict:
        made = self.copy()
        made.update(other)
        return made

    def __ror__(self, other: ParameterDict) -> ParameterDict:
        made = ParameterDict(other)
        made.update(self)
        return made

    def __ior__(self, other: ParameterDict) -> Self:
        self.update(other)
        return self

    def extra_repr(self) -> str:
        """Dtypes and shapes of the members."""
        return "".join(f"\n({key}): {_described(value)}" for key, value in self.items())

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Refused: a dictionary of parameters computes nothing."""
        raise RuntimeError("ParameterDict should not be called.")
