"""The state of an optimizer on arenas, as dictionaries by parameter."""

from __future__ import annotations

from collections.abc import Iterator, MutableMapping
from typing import TYPE_CHECKING, Any

import numpy as np

from tensorlite.optim.foreign import as_array, as_number, is_tensor
from tensorlite.tape import on_device_of
from tensorlite.tensor import Tensor, tensor_of

if TYPE_CHECKING:
    from tensorlite.optim.arena import Arena
    from tensorlite.optim.flat import FlatOptimizer


class States(MutableMapping):
    """`state` of an optimizer on arenas: by parameter, what is kept about it.

    As torch's, it knows a parameter from its first step on; reading another makes it an empty
    dictionary.
    """

    def __init__(self, optimizer: FlatOptimizer) -> None:
        self._optimizer = optimizer
        self._places = {
            id(place.parameter): (flat.group, arena, i)
            for flat in optimizer._flats
            for arena in flat.arenas
            for i, place in enumerate(arena.places)
        }
        for flat in optimizer._flats:
            for arena in flat.arenas:
                arena.settle()

    def _of(self, parameter: Any) -> ParameterState:
        return ParameterState(self._optimizer, *self._places[id(parameter)])

    def __getitem__(self, parameter: Any) -> Any:
        if id(parameter) in self._places:
            return self._of(parameter)
        return self._optimizer._foreign.setdefault(parameter, {})

    def __setitem__(self, parameter: Any, values: Any) -> None:
        if id(parameter) not in self._places:
            self._optimizer._foreign[parameter] = values
            return
        own = self._of(parameter)
        own.clear()
        own.update(values)

    def __delitem__(self, parameter: Any) -> None:
        if id(parameter) in self._places:
            self._of(parameter).clear()
        else:
            del self._optimizer._foreign[parameter]

    def __contains__(self, parameter: object) -> bool:
        if id(parameter) in self._places:
            return len(self._of(parameter)) > 0
        return parameter in self._optimizer._foreign

    def __iter__(self) -> Iterator[Any]:
        for flat in self._optimizer._flats:
            for parameter in flat.parameters:
                if len(self._of(parameter)) > 0:
                    yield parameter
        yield from self._optimizer._foreign

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({[dict(value) for value in self.values()]})"


class ParameterState(MutableMapping):
    """What is kept about one parameter: Tensors in the arena's memory, and keys of the user's."""

    def __init__(
        self, optimizer: FlatOptimizer, group: dict[str, Any], arena: Arena, index: int
    ) -> None:
        self._optimizer, self._group = optimizer, group
        self._arena, self._index = arena, index

    def _began(self) -> bool:
        return self._arena.steps[self._index] > 0 or self._optimizer.starts_with_state

    def _own(self) -> list[str]:
        """Names of what the optimizer keeps now."""
        if not self._began():
            return []
        optimizer = self._optimizer
        needed = optimizer.state_of(self._group)
        arrays = [n for n in optimizer.state_names if n in needed or n in self._arena.state]
        return ["step"] * optimizer.counts + list(optimizer.scalar_names) + arrays

    def __getitem__(self, name: str) -> Any:
        if name not in self._own():
            return self._arena.extra.get(self._index, {})[name]
        if name == "step":
            return tensor_of(np.array(self._arena.steps[self._index], np.float32))
        if name in self._optimizer.scalar_names:
            at = self._optimizer.scalar_names.index(name)
            return tensor_of(np.array(self._arena.scalars[self._index][at], np.float32))
        self._need(name)
        return tensor_of(self._arena.view(name, self._index))

    def _need(self, name: str) -> None:
        self._arena.need(name, self._optimizer.initial(name, self._group))

    def __setitem__(self, name: str, value: Any) -> None:
        arena, i, optimizer = self._arena, self._index, self._optimizer
        if name == "step" and optimizer.counts:
            arena.steps[i] = int(as_number(value))
        elif name in optimizer.scalar_names:
            scalars = list(arena.scalars[i] or optimizer.first_scalars(self._group))
            scalars[optimizer.scalar_names.index(name)] = float(as_number(value))
            arena.scalars[i] = tuple(scalars)
        elif name in optimizer.state_names and is_tensor(value):
            self._need(name)
            view = arena.view(name, i)
            inside = value.array if isinstance(value, Tensor) else value
            if inside.__class__ is not view.__class__:
                inside = arena.backend.asarray(as_array(value), device=arena.device)
            with on_device_of(view):
                view[...] = arena.backend.asarray(inside, device=arena.device)
            if not optimizer.counts:
                arena.steps[i] = max(arena.steps[i], 1)
        elif not (name in optimizer.state_names and value is None):
            arena.extra.setdefault(i, {})[name] = value

    def __delitem__(self, name: str) -> None:
        if name not in self._own():
            del self._arena.extra[self._index][name]
        elif name in self._arena.state:
            self._arena.view(name, self._index)[...] = self._optimizer.initial(name, self._group)

    def clear(self) -> None:
        """Forget everything, as if no step had been taken."""
        for name in list(self._arena.state):
            self._arena.view(name, self._index)[...] = self._optimizer.initial(name, self._group)
        self._arena.steps[self._index] = 0
        self._arena.scalars[self._index] = ()
        self._arena.extra.pop(self._index, None)

    def __iter__(self) -> Iterator[str]:
        yield from self._own()
        yield from self._arena.extra.get(self._index, {})

    def __len__(self) -> int:
        return len(self._own()) + len(self._arena.extra.get(self._index, {}))

    def __repr__(self) -> str:
        return repr(dict(self))
