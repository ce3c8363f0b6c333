"""Parameter: a Tensor that a module owns and an optimizer changes; Buffer: one it only keeps."""

from __future__ import annotations

from typing import Any

import numpy as np

from tensorlite.backend import array_backend
from tensorlite.backend.dtypes import default_dtype
from tensorlite.ops import creation
from tensorlite.plan import is_float
from tensorlite.tensor import Tensor, fill


class Parameter(Tensor):
    """A leaf Tensor that becomes part of the `Module` it is assigned to.

    Parameters
    ----------
    data : Tensor or array, optional
        The initial values; they are shared, not copied. By default there are none, shape (0,).
    requires_grad : bool
        Whether the parameter is trained.

    Raises
    ------
    TypeError
        If `data` is not floating point and `requires_grad` is true.

    Examples
    --------
    >>> nn.Parameter(tl.zeros(2, 3)).requires_grad
    True
    """

    __slots__ = ()

    def __init__(self, data: Any = None, requires_grad: bool = True) -> None:
        array = _array_of(data)
        if requires_grad and not is_float(array):
            raise TypeError(
                f"a Parameter of dtype {array.dtype} cannot be trained: give floating point values"
                ", requires_grad=False, or use register_buffer() for what is not trained"
            )
        fill(self, array, requires_grad)

    def __repr__(self) -> str:
        return f"Parameter({super().__repr__()})"


class Buffer(Tensor):
    """A Tensor that becomes part of a module's state when it is assigned, but is not trained.

    Parameters
    ----------
    data : Tensor or array, optional
        The values; they are shared, not copied.
    persistent : bool
        Whether the module's `state_dict` has it.

    Examples
    --------
    >>> module = nn.Module()
    >>> module.mean = nn.Buffer(tl.zeros(3))
    >>> list(module.state_dict())
    ['mean']
    """

    __slots__ = ()

    persistent: bool = True

    def __init__(self, data: Any = None, *, persistent: bool = True) -> None:
        fill(self, _array_of(data))
        self.persistent = persistent


def _array_of(data: Any) -> Any:
    if data is None:
        return np.empty(0, default_dtype())
    if isinstance(data, Tensor):
        return data.array
    return array_backend((data,)).asarray(data)


def float_dtype(dtype: Any = None) -> Any:
    """The dtype of a layer's parameters where none is given."""
    return default_dtype() if dtype is None else dtype


def empty(*shape: int, device: Any = None, dtype: Any = None) -> Parameter:
    """A parameter whose values are still to be written."""
    return Parameter(_unset(shape, device, dtype))


def filled(value: float, *shape: int, device: Any = None, dtype: Any = None) -> Parameter:
    """A parameter with one value everywhere."""
    return Parameter(new_buffer(value, *shape, device=device, dtype=dtype))


def new_buffer(value: float, *shape: int, device: Any = None, dtype: Any = None) -> Tensor:
    """A Tensor for a buffer, with one value everywhere."""
    return creation.full(shape, value, dtype=float_dtype(dtype), device=device)


def _unset(shape: tuple[int, ...], device: Any, dtype: Any) -> Tensor:
    return creation.empty(*shape, device=device, dtype=float_dtype(dtype))


class UninitializedParameter(Parameter):
    """A parameter whose shape a lazy module finds at its first input.

    Examples
    --------
    >>> nn.LazyLinear(3).weight.__class__.__name__
    'UninitializedParameter'
    >>> parameter = nn.UninitializedParameter()
    >>> parameter.materialize((2, 3))
    >>> parameter.shape
    (2, 3)
    """

    __slots__ = ()

    def __init__(self, requires_grad: bool = True, device: Any = None, dtype: Any = None) -> None:
        super().__init__(_unset((0,), device, dtype), requires_grad)

    def materialize(self, shape: tuple[int, ...], device: Any = None, dtype: Any = None) -> None:
        """Become an ordinary parameter of this shape, with values still to be written.

        Parameters
        ----------
        shape : tuple of int
            The lengths of its axes.
        """
        _materialize(self, shape, device, dtype)
        self.__class__ = Parameter  # type: ignore[assignment]  # it has a shape now, and is an ordinary one

    def __repr__(self) -> str:
        return "<UninitializedParameter>"


class UninitializedBuffer(Tensor):
    """A buffer whose shape a lazy module finds at its first input.

    Examples
    --------
    >>> nn.LazyBatchNorm1d().running_mean.__class__.__name__
    'UninitializedBuffer'
    >>> buffer = nn.UninitializedBuffer()
    >>> buffer.materialize((2, 3))
    >>> buffer.shape
    (2, 3)
    """

    __slots__ = ()

    def __init__(self, device: Any = None, dtype: Any = None) -> None:
        fill(self, _unset((0,), device, dtype).array)

    def materialize(self, shape: tuple[int, ...], device: Any = None, dtype: Any = None) -> None:
        """Become an ordinary Tensor of this shape, with values still to be written."""
        _materialize(self, shape, device, dtype)
        self.__class__ = Tensor  # type: ignore[assignment]  # it has a shape now, and is an ordinary one


def _materialize(tensor: Tensor, shape: tuple[int, ...], device: Any, dtype: Any) -> None:
    device = tensor.device if device is None else device
    tensor.array = _unset(tuple(shape), device, tensor.dtype if dtype is None else dtype).array


def is_uninitialized(tensor: Any) -> bool:
    """Whether a parameter or buffer waits for the first input to know its shape."""
    return isinstance(tensor, (UninitializedParameter, UninitializedBuffer))
