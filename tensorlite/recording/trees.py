"""Nested containers of Tensors and arrays: taken apart, and put together again."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from tensorlite.backend import is_array
from tensorlite.tensor import Tensor


def mapped(item: Any, change: Callable[[Any], Any]) -> Any:
    """The same nesting of lists, tuples and dictionaries, with `change` of each leaf."""
    if isinstance(item, dict):
        pairs = {key: mapped(value, change) for key, value in item.items()}
        return pairs if type(item) is dict else type(item)(pairs)
    if isinstance(item, (tuple, list)):
        parts = [mapped(value, change) for value in item]
        return type(item)(*parts) if hasattr(item, "_fields") else type(item)(parts)
    return change(item)


def leaves(item: Any) -> Iterator[Any]:
    """Everything that is no container, from left to right."""
    if isinstance(item, dict):
        for value in item.values():
            yield from leaves(value)
    elif isinstance(item, (tuple, list)):
        for value in item:
            yield from leaves(value)
    else:
        yield item


def arrays_in(item: Any) -> list[np.ndarray]:
    """NumPy arrays with elements, each once."""
    found = {id(x): x for x in leaves(item) if isinstance(x, np.ndarray) and x.size}
    return list(found.values())


def form(item: Any, dynamic: Callable[[Any], Any]) -> Any:
    """A key for the nesting: of each leaf what `dynamic` says, or itself if that is None."""
    if isinstance(item, dict):
        return (type(item), *[(key, form(value, dynamic)) for key, value in item.items()])
    if isinstance(item, (tuple, list)):
        return (type(item), *[form(value, dynamic) for value in item])
    known = dynamic(item)
    if known is not None:
        return known
    try:
        hash(item)
    except TypeError:
        return (type(item), id(item))
    return (type(item), item)


def is_input(leaf: Any) -> bool:
    """Whether a leaf's values may differ from call to call."""
    return isinstance(leaf, Tensor) or is_array(leaf)
