"""Elements of memory, as the links of chains see them: on either device."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from tensorlite.backend import array_backend, is_array

#: Types that chains have, as in NumPy's `dtype.char`, and in C++. ``B`` is a boolean.
C_NAMES = {"f": "float", "d": "double", "e": "f16", "E": "bf16", "q": "Index", "B": "uint8_t"}
SIZES = {"f": 4, "d": 8, "e": 2, "E": 2, "q": 8, "B": 1}
SHORT = frozenset("eE")


def computed(type: str) -> str:
    """The type of the variable that an element is in: short floats and booleans are floats."""
    return {"d": "double", "q": "Index"}.get(type, "float")


class View(NamedTuple):
    """Elements of memory, as a link sees them; strides in elements."""

    address: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    type: str

    @property
    def size(self) -> int:
        """How many elements it shows."""
        n = 1
        for length in self.shape:
            n *= length
        return n

    @property
    def span(self) -> tuple[int, int]:
        """The addresses that it may touch: from the first up to the second."""
        low = high = 0
        for length, stride in zip(self.shape, self.strides, strict=True):
            if stride < 0:
                low += (length - 1) * stride
            else:
                high += (length - 1) * stride
        size = SIZES[self.type]
        return self.address + low * size, self.address + (high + 1) * size

    @property
    def dense(self) -> bool:
        """Whether the elements lie one behind the other."""
        wanted = zip(self.shape, self.strides, dense_strides(self.shape), strict=True)
        return all(n == 1 or ours == dense for n, ours, dense in wanted)


def dense_strides(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Strides, in elements, of an array without gaps."""
    strides, n = [], 1
    for length in reversed(shape):
        strides.append(n)
        n *= length
    return tuple(reversed(strides))


def view_of(x: Any) -> View | None:
    """An array as a view; None if its elements are not of a type that chains have."""
    if not is_array(x) or isinstance(x, np.generic):  # a NumPy scalar lies nowhere
        return None
    kind = "B" if x.dtype.char == "?" else "q" if x.dtype == np.int64 else x.dtype.char
    if kind not in SIZES or (kind == "B" and x.dtype.char == "B"):
        return None
    if not x.size or any(s % x.itemsize for s in x.strides):
        return None
    strides = tuple(s // x.itemsize for s in x.strides)
    return View(array_backend((x,)).address(x), x.shape, strides, kind)


def broadcast(view: View, shape: tuple[int, ...]) -> View:
    """The same elements, repeated to another shape."""
    strides = [0] * (len(shape) - len(view.shape))
    for length, stride in zip(view.shape, view.strides, strict=True):
        strides.append(stride if length > 1 else 0)
    return View(view.address, shape, tuple(strides), view.type)


def as_row(view: View) -> View:
    """A dense array as one row."""
    return View(view.address, (1, view.size), (view.size, 1), view.type)
