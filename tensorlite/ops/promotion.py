"""Casting, and bringing the operands of an operation to one dtype before it runs.

A primitive says which rule holds for its inputs: ``@primitive(operands=same_dtype)``. The rule
runs at the call, on Tensors, so that a cast is recorded like any other operation.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tensorlite.backend import Array, array_backend, is_array
from tensorlite.backend.dtypes import as_dtype, default_dtype, is_floating, result_type
from tensorlite.backend.mixed import differ_in_width
from tensorlite.primitive import primitive
from tensorlite.tape import mode, unit
from tensorlite.tensor import Tensor, tensor_of


@primitive(name="cast", any_float=True)
def cast_float(xp: Any, x: Array, *, dtype: np.dtype) -> Array:
    """The same numbers as another float dtype: the differentiable part of `cast`."""
    return array_backend((x,)).cast(x, dtype)


cast_float.defvjp(x=lambda g: g)  # the engine casts it back


def cast(x: Any, dtype: Any) -> Any:
    """The same numbers as another dtype, rounded or cut where that holds less.

    To a float dtype it is differentiable; the result for an integer dtype has no history. Where
    the dtype is right already, `x` itself is returned.

    Parameters
    ----------
    x : Tensor
        Of any shape.
    dtype
        A dtype, such as ``tl.float16``.

    Returns
    -------
    Tensor
        Of `x`'s shape.

    Examples
    --------
    >>> tl.cast(tl.tensor([1.7, -1.7]), tl.int64)
    tensor([ 1, -1])
    """
    dtype = as_dtype(dtype)
    if x.dtype == dtype:
        return x
    if is_floating(dtype):
        return cast_float(x, dtype=dtype)
    if not isinstance(x, Tensor):
        return x.astype(dtype)
    if mode.switches.recorder is not None and x.node is None:
        mode.switches.recorder.seen(x)
    return tensor_of(unit("cast", _as_integers, x.array, dtype))


def _as_integers(x: Array, dtype: np.dtype) -> Array:
    return x.astype(dtype)


class Operands:
    """A rule for the dtypes of a primitive's inputs; `kernels/host/call.h` knows the common case.

    Attributes
    ----------
    first
        The inputs before this one are left alone.
    floats
        Whether integers become the default dtype.
    """

    def __init__(self, first: int = 0, floats: bool = False) -> None:
        self.first = first
        self.floats = floats

    def __call__(self, args: tuple) -> tuple:
        """The inputs of a call: Tensors and arrays cast to one dtype, numbers as they are."""
        if all(x.__class__ in (int, float, bool) for x in args):
            raise TypeError(f"{', '.join(map(repr, args))}: at least one must be a Tensor")
        # Beside a Tensor one of NumPy's numbers is a number; in a rule, which runs on arrays, it is
        # what arithmetic made of an array without axes.
        number = np.generic.item if any(isinstance(x, Tensor) for x in args) else np.asarray
        args = tuple([number(x) if isinstance(x, np.generic) else x for x in args])
        mixed = [x for x in args[self.first :] if _counts(x)]
        if not any(hasattr(x, "dtype") for x in mixed):
            return args
        dtype = result_type(*mixed)
        if self.floats and not is_floating(dtype):
            dtype = default_dtype()
        return tuple(
            [
                cast(x, dtype) if i >= self.first and (isinstance(x, Tensor) or is_array(x)) else x
                for i, x in enumerate(args)
            ]
        )


def _counts(x: Any) -> bool:
    return isinstance(x, (Tensor, bool, int, float)) or is_array(x)


class MixedOnCuda(Operands):
    """`same_dtype`, but for float32 and 16 bits on CUDA, where kernels read both as they are."""

    def __call__(self, args: tuple) -> tuple:
        """Bring the operands to one dtype, or leave them."""
        x1, x2 = [x.array if isinstance(x, Tensor) else x for x in args]
        alike = is_array(x1) and is_array(x2) and x1.shape == x2.shape
        if alike and not (isinstance(x1, np.ndarray) or isinstance(x2, np.ndarray)):
            kernels = array_backend((x1,)).kernels
            if kernels is not None and differ_in_width(x1.dtype, x2.dtype):
                return tuple(args)
        return super().__call__(args)


same_dtype = Operands()
floats = Operands(floats=True)
choices = Operands(first=1)  # what comes after a condition
