"""Facts about dtypes: their limits, and which can be cast to which."""

from __future__ import annotations

from typing import Any

import numpy as np

from tensorlite.backend.dtypes import (
    as_dtype,
    category,
    default_dtype,
    get_default_dtype,
    is_floating,
    promote_types,
    result_type,
    set_default_dtype,
)
from tensorlite.tensor import Tensor

__all__ = [
    "can_cast",
    "finfo",
    "get_default_dtype",
    "iinfo",
    "is_complex",
    "is_floating_point",
    "is_tensor",
    "numel",
    "promote_types",
    "result_type",
    "set_default_dtype",
]


def can_cast(from_: Any, to: Any) -> bool:
    """Whether values of one dtype may be written to another: never to a lower category.

    Parameters
    ----------
    from_, to : dtype

    Examples
    --------
    >>> tl.can_cast(tl.float32, tl.int64), tl.can_cast(tl.int64, tl.float16)
    (False, True)
    """
    return category(as_dtype(from_)) <= category(as_dtype(to))


def is_tensor(obj: Any) -> bool:
    """Whether `obj` is a Tensor.

    Parameters
    ----------
    obj : object

    Examples
    --------
    >>> tl.is_tensor([1.0])
    False
    """
    return isinstance(obj, Tensor)


def is_floating_point(input: Tensor) -> bool:
    """Whether the Tensor's dtype holds fractions.

    Parameters
    ----------
    input : Tensor
        Of any shape.

    Examples
    --------
    >>> tl.is_floating_point(tl.tensor([1.0]))
    True
    """
    return is_floating(input.dtype)


def is_complex(input: Tensor) -> bool:
    """Whether the Tensor's dtype is complex: no Tensor's is.

    Parameters
    ----------
    input : Tensor
        Of any shape.

    Examples
    --------
    >>> tl.is_complex(tl.tensor([1.0]))
    False
    """
    return False


def numel(input: Tensor) -> int:
    """Return the number of elements.

    Parameters
    ----------
    input : Tensor
        Of any shape.

    Examples
    --------
    >>> tl.numel(tl.zeros(2, 3))
    6
    """
    return input.numel()


class finfo:
    """Limits of a float dtype: ``bits``, ``eps``, ``max``, ``min``, ``tiny``, ``resolution``.

    Parameters
    ----------
    type : dtype, optional
        By default the default dtype.

    Raises
    ------
    TypeError
        If it is no float dtype.

    Examples
    --------
    >>> tl.finfo(tl.float16).max
    65504.0
    """

    def __init__(self, type: Any = None) -> None:
        dtype = default_dtype() if type is None else as_dtype(type)
        if not is_floating(dtype):
            raise TypeError(f"finfo: {dtype} is not a float dtype; use iinfo")
        if dtype.kind == "V":
            import ml_dtypes

            limits: Any = ml_dtypes.finfo(dtype)
        else:
            limits = np.finfo(dtype)
        self.dtype, self.bits = dtype.name, dtype.itemsize * 8
        self.eps, self.resolution = float(limits.eps), float(limits.resolution)
        self.max, self.min = float(limits.max), float(limits.min)
        self.tiny = self.smallest_normal = float(limits.smallest_normal)

    def __repr__(self) -> str:
        names = ("resolution", "min", "max", "eps", "smallest_normal", "tiny")
        values = ", ".join(f"{name}={getattr(self, name):g}" for name in names)
        return f"finfo({values}, dtype={self.dtype})"


class iinfo:
    """Limits of an integer dtype: ``bits``, ``max``, ``min``.

    Parameters
    ----------
    type : dtype

    Raises
    ------
    TypeError
        If it is no integer dtype.

    Examples
    --------
    >>> tl.iinfo(tl.int8).max
    127
    """

    def __init__(self, type: Any) -> None:
        dtype = as_dtype(type)
        if dtype.kind not in "iu":
            raise TypeError(f"iinfo: {dtype} is not an integer dtype; use finfo")
        limits = np.iinfo(dtype)
        self.dtype, self.bits = dtype.name, limits.bits
        self.max, self.min = int(limits.max), int(limits.min)

    def __repr__(self) -> str:
        return f"iinfo(min={self.min}, max={self.max}, dtype={self.dtype})"
