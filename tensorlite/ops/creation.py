"""Making Tensors: from values, and of one value.

Tensors are made on their device, the CPU by default. Floats are of the default dtype, float32,
unless another is given. `layout` and `pin_memory` are taken as torch has them, and change nothing.
"""

from __future__ import annotations

import operator
from typing import Any

import numpy as np

from tensorlite import backend
from tensorlite.backend import Array, Device, array_backend, backend_for
from tensorlite.backend.dtypes import as_dtype, default_dtype
from tensorlite.ops.convert import to_device_array
from tensorlite.ops.faces import one_by_one
from tensorlite.outside import check_dtype, check_fits, is_plain, plain, shared
from tensorlite.tensor import Tensor, fill, tensor_of

__all__ = [
    "as_tensor",
    "asarray",
    "empty",
    "eye",
    "from_dlpack",
    "from_numpy",
    "full",
    "ones",
    "scalar_tensor",
    "tensor",
    "zeros",
]

Where = str | Device | int | None


def place(device: Where) -> Device:
    """The device to make a Tensor on; the default one unless it is given."""
    return backend.device(device)  # type: ignore[arg-type]  # it takes an int, too


def leaf(data: Array, requires_grad: bool) -> Tensor:
    """Wrap an array, refusing a gradient that its dtype cannot have."""
    made = tensor_of(data)
    return made.requires_grad_() if requires_grad else made


def as_shape(shape: tuple) -> tuple[int, ...]:
    """A shape given as several numbers or as one sequence."""
    lengths = one_by_one(shape)
    try:
        lengths = tuple(map(operator.index, lengths))
    except TypeError as error:
        raise TypeError(f"a shape is made of integers, not {lengths}") from error
    if any(n < 0 for n in lengths):
        raise RuntimeError(f"a shape has no negative length: {lengths}")
    return lengths


def given_shape(name: str, shape: tuple, size: Any) -> tuple[int, ...]:
    """The shape from positional arguments or from ``size=``, one of which is there."""
    if size is not None:
        if shape:
            raise TypeError(f"{name}() got its size twice")
        return as_shape((size,))
    if not shape:
        raise TypeError(f"{name}() needs a size: {name}(2, 3), or {name}(()) for a single number")
    return as_shape(shape)


def tensor_dtype(dtype: Any, default: np.dtype | None = None) -> np.dtype:
    """The dtype that was given, or else the default one; refuse dtypes that no Tensor has."""
    if dtype is None:
        return default_dtype() if default is None else default
    dtype = as_dtype(dtype)
    check_dtype(dtype, "dtype")
    return dtype


def dtype_of(*numbers: Any) -> np.dtype:
    """The dtype of a Tensor made from Python numbers: bool, int64, or the default dtype."""
    dtype = np.result_type(*numbers)
    return default_dtype() if dtype == np.float64 else dtype


def initialise(self: Tensor, *values: Any) -> None:
    """``Tensor(*values)``: nothing, memory of a shape that is not set, or copied values."""
    if len(values) == 1 and not isinstance(values[0], int):
        made = tensor(values[0], dtype=default_dtype())
    else:
        made = empty(*values) if values else empty(0)
    fill(self, made.array)


# --- from values --------------------------------------------------------------------------------


def tensor(
    data: Any,
    dtype: Any = None,
    device: Where = None,
    requires_grad: bool = False,
    pin_memory: bool = False,
) -> Tensor:
    """Copy values into a new Tensor.

    Parameters
    ----------
    data
        A number, nested sequences of numbers, an array of any library, or a Tensor.
    dtype
        By default arrays and Tensors keep theirs (float64 stays float64); Python numbers make
        the default dtype, int64 or bool.
    device
        By default where `data` is, else the CPU.
    requires_grad
        Whether operations on it are recorded.

    Returns
    -------
    Tensor
        Of the shape of `data`.

    Raises
    ------
    TypeError
        For what no Tensor holds: complex numbers, text, times, objects.
    RuntimeError
        If a number does not fit the integer dtype that is asked for.

    Examples
    --------
    >>> tl.tensor([[1, 2.5]])
    tensor([[1. , 2.5]])
    """
    made = _converted(data, dtype, device, "tensor()")
    if _may_share(made, data):
        where = array_backend((made,))
        with where.on(where.device_of(made)):
            made = where.copy(made)
    return leaf(made, requires_grad)


def _converted(data: Any, dtype: Any, device: Where, name: str) -> Array:
    """The values as an array of a dtype and on a device; the same memory where that is possible."""
    wanted = None if dtype is None else tensor_dtype(dtype)
    values = plain(data, name, None if wanted is None else np.dtype(np.float64))
    wanted = values.dtype if wanted is None else wanted
    if wanted != values.dtype:
        if isinstance(data, (list, tuple, bool, int, float)):
            check_fits(values, wanted, name)
        values = _cast(values, wanted)
    source = array_backend((values,)).device_of(values)
    stays = device is None and hasattr(data, "dtype")
    target = source if stays else place(device)
    return values if target == source else to_device_array(values, target, source)


def _cast(values: Array, dtype: np.dtype) -> Array:
    """The values in another dtype, on the device where they are."""
    where = array_backend((values,))
    with where.on(where.device_of(values)):
        return where.cast(values, dtype)


def _may_share(made: Array, data: Any) -> bool:
    """Whether an array made from `data` may show memory that is not its own."""
    if isinstance(data, (list, tuple, bool, int, float, np.generic)):
        return False
    source = data.array if isinstance(data, Tensor) else data
    if isinstance(source, np.ndarray):
        return isinstance(made, np.ndarray) and np.may_share_memory(made, source)
    return True


def as_tensor(data: Any, dtype: Any = None, device: Where = None) -> Tensor:
    """Wrap values as a Tensor, in the same memory where that is possible; a Tensor as it is.

    Parameters
    ----------
    data : object
        As of `tensor`.
    dtype, device
        By default those of `data`.

    Returns
    -------
    Tensor
        Of the shape of `data`.

    Examples
    --------
    >>> tl.as_tensor([1, 2, 3])
    tensor([1, 2, 3])
    """
    if isinstance(data, Tensor):
        dtype = data.dtype if dtype is None else dtype
        return data.to(data.device if device is None else place(device), dtype)
    return tensor_of(_converted(data, dtype, device, "as_tensor()"))


def asarray(
    obj: Any,
    *,
    dtype: Any = None,
    device: Where = None,
    copy: bool | None = None,
    requires_grad: bool = False,
) -> Tensor:
    """Wrap values as a Tensor; `copy` says whether into memory of its own (default: if needed).

    Parameters
    ----------
    obj : object
        A number, nested sequences, an array of any library, or a Tensor.
    copy : bool, optional
        As above.

    Returns
    -------
    Tensor
        Of the shape of `obj`.

    Raises
    ------
    ValueError
        If `copy` is False and a copy is needed.

    Examples
    --------
    >>> tl.asarray([1, 2, 3])
    tensor([1, 2, 3])
    """
    if copy:
        return tensor(obj, dtype, device, requires_grad)
    made = as_tensor(obj, dtype, device)
    if copy is False:
        source = obj.array if isinstance(obj, Tensor) else obj
        if not isinstance(source, np.ndarray) or not np.may_share_memory(made.array, source):
            raise ValueError("asarray: there is no way to this dtype and device without a copy")
    return made.requires_grad_() if requires_grad and not made.requires_grad else made


def scalar_tensor(s: float, dtype: Any = None, device: Where = None, **options: Any) -> Tensor:
    """Make a Tensor with no axes, of the default dtype unless another is given.

    Parameters
    ----------
    s : number
    **options
        As of `tensor`.

    Returns
    -------
    Tensor, shape ()

    Examples
    --------
    >>> tl.scalar_tensor(3)
    tensor(3.)
    """
    return tensor(s, tensor_dtype(dtype), device, **options)


def from_numpy(ndarray: np.ndarray) -> Tensor:
    """Wrap a NumPy array; the Tensor shares its memory and dtype.

    Parameters
    ----------
    ndarray : numpy.ndarray

    Returns
    -------
    Tensor
        Of its shape.

    Raises
    ------
    TypeError
        If it is no array, or of a dtype that Tensors do not have.
    ValueError
        If its memory cannot be used as it is: in another byte order, or not aligned.

    Examples
    --------
    >>> import numpy as np
    >>> tl.from_numpy(np.arange(3))
    tensor([0, 1, 2])
    """
    if not isinstance(ndarray, np.ndarray):
        raise TypeError(f"from_numpy() of a {type(ndarray).__name__}: use tensor() to copy values")
    check_dtype(ndarray.dtype, "from_numpy()")
    if not is_plain(ndarray):
        raise ValueError(
            "from_numpy() of an array in another byte order, or whose elements are not aligned: "
            "use tensor() to copy it"
        )
    return tensor_of(np.asarray(ndarray))


def from_dlpack(ext_tensor: Any) -> Tensor:
    """Wrap an array of another library through DLPack, without a copy, on its device.

    Parameters
    ----------
    ext_tensor : object
        An array with ``__dlpack__``.

    Returns
    -------
    Tensor
        Of its shape and dtype.

    Raises
    ------
    TypeError
        If it has none.

    Examples
    --------
    >>> import numpy as np
    >>> tl.from_dlpack(np.arange(3))
    tensor([0, 1, 2])
    """
    if isinstance(ext_tensor, Tensor):
        return tensor_of(ext_tensor.array)
    if not hasattr(ext_tensor, "__dlpack__"):
        raise TypeError(f"from_dlpack: a {type(ext_tensor).__name__} has no __dlpack__")
    return tensor_of(shared(ext_tensor, "from_dlpack"))


# --- of one value -------------------------------------------------------------------------------


def made(name: str, args: tuple, dtype: np.dtype, device: Where, requires_grad: bool) -> Tensor:
    """Call a function of the array namespace on a device."""
    target = place(device)
    where = backend_for(target)
    with where.on(target):
        return leaf(getattr(where.xp, name)(*args, dtype=dtype), requires_grad)


def zeros(
    *shape: Any,
    size: Any = None,
    dtype: Any = None,
    layout: Any = None,
    device: Where = None,
    requires_grad: bool = False,
    pin_memory: bool = False,
) -> Tensor:
    """Return a Tensor of zeros.

    Parameters
    ----------
    *shape : int, or one sequence of int
        Lengths of the axes.
    size : sequence of int
        The same by name.

    Returns
    -------
    Tensor
        Of that shape and `dtype`, by default the default one.

    Examples
    --------
    >>> tl.zeros(2, 3)
    tensor([[0., 0., 0.],
            [0., 0., 0.]])
    """
    shape = given_shape("zeros", shape, size)
    return made("zeros", (shape,), tensor_dtype(dtype), device, requires_grad)


def ones(
    *shape: Any,
    size: Any = None,
    dtype: Any = None,
    layout: Any = None,
    device: Where = None,
    requires_grad: bool = False,
    pin_memory: bool = False,
) -> Tensor:
    """Return a Tensor of ones.

    Parameters
    ----------
    *shape : int, or one sequence of int
        Lengths of the axes.
    size : sequence of int
        The same by name.

    Returns
    -------
    Tensor
        Of that shape and `dtype`, by default the default one.

    Examples
    --------
    >>> tl.ones(2, 3)
    tensor([[1., 1., 1.],
            [1., 1., 1.]])
    """
    shape = given_shape("ones", shape, size)
    return made("ones", (shape,), tensor_dtype(dtype), device, requires_grad)


def empty(
    *shape: Any,
    size: Any = None,
    dtype: Any = None,
    layout: Any = None,
    device: Where = None,
    requires_grad: bool = False,
    pin_memory: bool = False,
    memory_format: Any = None,
) -> Tensor:
    """Return a Tensor whose memory is not set.

    Parameters
    ----------
    *shape : int, or one sequence of int
        Lengths of the axes.
    size : sequence of int
        The same by name.

    Returns
    -------
    Tensor
        Of that shape and `dtype`, by default the default one.

    Examples
    --------
    >>> tl.empty(2, 3).shape
    (2, 3)
    """
    shape = given_shape("empty", shape, size)
    return made("empty", (shape,), tensor_dtype(dtype), device, requires_grad)


def full(
    size: Any,
    fill_value: Any,
    dtype: Any = None,
    layout: Any = None,
    device: Where = None,
    requires_grad: bool = False,
    pin_memory: bool = False,
) -> Tensor:
    """Return a Tensor of one value, whose kind gives the dtype: bool, int64 or the default.

    Parameters
    ----------
    size : int or sequence of int
        The shape.
    fill_value : number

    Returns
    -------
    Tensor, shape `size`

    Raises
    ------
    RuntimeError
        If the value does not fit the integer dtype that is asked for.

    Examples
    --------
    >>> tl.full((2, 2), 0.5)
    tensor([[0.5, 0.5],
            [0.5, 0.5]])
    """
    if isinstance(fill_value, Tensor):
        dtype = fill_value.dtype if dtype is None else dtype
        fill_value = fill_value.item()
    if isinstance(fill_value, complex):
        raise TypeError("full: no Tensor holds complex numbers")
    dtype = tensor_dtype(dtype, dtype_of(fill_value))
    check_fits(np.asarray(fill_value), dtype, "full")
    if dtype.kind in "iu":
        fill_value = np.asarray(fill_value).astype(dtype)[()]
    return made("full", (as_shape((size,)), fill_value), dtype, device, requires_grad)


def eye(
    n: int,
    m: int | None = None,
    *,
    dtype: Any = None,
    layout: Any = None,
    device: Where = None,
    requires_grad: bool = False,
    pin_memory: bool = False,
) -> Tensor:
    """Return the n × m matrix (default n × n) with ones on its diagonal.

    Parameters
    ----------
    n, m : int
        Rows and columns.

    Returns
    -------
    Tensor, shape (n, m)
        Of `dtype`, by default the default one.

    Raises
    ------
    RuntimeError
        If one is negative.

    Examples
    --------
    >>> tl.eye(2)
    tensor([[1., 0.],
            [0., 1.]])
    """
    for name, length in (("n", n), ("m", m)):
        if length is not None and length < 0:
            raise RuntimeError(f"eye: {name} is at least 0, not {length}")
    return made("eye", (n, m), tensor_dtype(dtype), device, requires_grad)
