"""Torch's old names of Tensors by their dtype: `FloatTensor`, `LongTensor` and so on."""

from __future__ import annotations

from typing import Any

from tensorlite.backend.dtypes import as_dtype
from tensorlite.ops.convert import KINDS
from tensorlite.ops.creation import empty, tensor
from tensorlite.tensor import Tensor

__all__ = [
    "BFloat16Tensor",
    "BoolTensor",
    "ByteTensor",
    "CharTensor",
    "DoubleTensor",
    "FloatTensor",
    "HalfTensor",
    "IntTensor",
    "LongTensor",
    "ShortTensor",
]


class Kind(type):
    """The class of such names: calls make Tensors, and ``isinstance`` compares the dtype."""

    @property
    def dtype(cls) -> Any:
        """The dtype of the kind."""
        return as_dtype(KINDS[cls.__name__.removesuffix("Tensor")])

    def __call__(cls, *values: Any) -> Tensor:
        """Make a Tensor: of values, or unset memory of a shape."""
        if len(values) == 1 and not isinstance(values[0], int):
            return tensor(values[0], dtype=cls.dtype)
        return empty(values or (0,), dtype=cls.dtype)

    def __instancecheck__(cls, value: Any) -> bool:
        return isinstance(value, Tensor) and value.dtype == cls.dtype


def _kind(name: str) -> Kind:
    dtype = KINDS[name.removesuffix("Tensor")]
    text = f"""Tensors of dtype {dtype}: a call makes one, and ``isinstance`` looks at the dtype.

    Parameters
    ----------
    *values : object
        Nested sequences of numbers, or the lengths of the axes of unset memory.

    Examples
    --------
    >>> isinstance(tl.{name}([[0, 1]]), tl.{name})
    True
    """
    return Kind(name, (), {"__doc__": text})


BFloat16Tensor = _kind("BFloat16Tensor")
BoolTensor = _kind("BoolTensor")
ByteTensor = _kind("ByteTensor")
CharTensor = _kind("CharTensor")
DoubleTensor = _kind("DoubleTensor")
FloatTensor = _kind("FloatTensor")
HalfTensor = _kind("HalfTensor")
IntTensor = _kind("IntTensor")
LongTensor = _kind("LongTensor")
ShortTensor = _kind("ShortTensor")
