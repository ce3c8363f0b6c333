"""Checks of the arguments of linear algebra: shapes, dtypes, square matrices."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from tensorlite.backend.dtypes import is_floating


def also_called(**names: str) -> Callable:
    """Let arguments be given by the names that torch's documentation has, beside those it takes."""

    def decorate(function: Callable) -> Callable:
        @functools.wraps(function)
        def face(*args: Any, **kwargs: Any) -> Any:
            for other, name in names.items():
                if other in kwargs:
                    if name in kwargs:
                        raise TypeError(
                            f"{function.__name__}() got both {name!r} and {other!r}: give one"
                        )
                    kwargs[name] = kwargs.pop(other)
            return function(*args, **kwargs)

        return face

    return decorate


def check_floats(name: str, *tensors: Any) -> None:
    """Refuse integers and booleans.

    Raises
    ------
    RuntimeError
        Naming the function and the dtype.
    """
    for x in tensors:
        if not is_floating(x.dtype):
            raise RuntimeError(f"{name}: floats are needed, not {x.dtype}: use x.float()")


def check_matrices(name: str, x: Any, square: bool = False) -> None:
    """Refuse what has no float matrices in its last two axes, or no square ones.

    Raises
    ------
    RuntimeError
        Naming the function, and the shape or dtype.
    """
    check_floats(name, x)
    if len(x.shape) < 2:
        raise RuntimeError(f"{name}: matrices are needed, at least two axes, not {tuple(x.shape)}")
    if square and x.shape[-1] != x.shape[-2]:
        raise RuntimeError(f"{name}: square matrices are needed, not {tuple(x.shape)}")


def check_ndim(name: str, what: str, x: Any, ndim: int) -> None:
    """Refuse another number of axes.

    Raises
    ------
    RuntimeError
        Naming the function, the argument and the shape.
    """
    if len(x.shape) != ndim:
        axes = "one axis" if ndim == 1 else f"{ndim} axes"
        raise RuntimeError(f"{name}: {what} has {axes}, not shape {tuple(x.shape)}")


def check_one_dtype(name: str, *tensors: Any) -> None:
    """Refuse Tensors of several dtypes.

    Raises
    ------
    RuntimeError
        Naming the function and the dtypes.
    """
    if len({x.dtype for x in tensors}) > 1:
        dtypes = " and ".join(str(x.dtype) for x in tensors)
        raise RuntimeError(f"{name}: Tensors of {dtypes}: cast them to one dtype")


def check_same_lengths(name: str, a: Any, b: Any) -> None:
    """Refuse shapes that differ.

    Raises
    ------
    RuntimeError
        Naming the function and the shapes.
    """
    if tuple(a.shape) != tuple(b.shape):
        raise RuntimeError(f"{name}: shapes {tuple(a.shape)} and {tuple(b.shape)} differ")
