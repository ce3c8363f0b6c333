"""Parameter: a Tensor that a module owns and an optimizer changes."""

from __future__ import annotations

from typing import Any

import numpy as np

from tensorlite.backend import array_backend
from tensorlite.plan import is_float
from tensorlite.tensor import Tensor


class Parameter(Tensor):
    """A leaf Tensor that becomes part of the `Module` it is assigned to.

    Parameters
    ----------
    data : Tensor or array
        The initial values; they are shared, not copied.
    requires_grad : bool
        Whether the parameter is trained.

    Raises
    ------
    TypeError
        If `data` is not floating point.
    """

    __slots__ = ()

    def __init__(self, data: Any, requires_grad: bool = True) -> None:
        array = data.array if isinstance(data, Tensor) else array_backend((data,)).asarray(data)
        if not is_float(array):
            raise TypeError(
                f"a Parameter of dtype {array.dtype} cannot be trained: give floating point values"
                ", or use register_buffer() for what is not trained"
            )
        self.array, self.node, self.requires_grad = array, None, requires_grad
        self.view_of = None

    def __repr__(self) -> str:
        return f"Parameter({super().__repr__()})"


def empty(*shape: int) -> Parameter:
    """A float32 parameter whose values are still to be written."""
    return Parameter(np.empty(shape, np.float32))
