"""Making Tensors like another: of its shape, or of its dtype on its device."""

from __future__ import annotations

from typing import Any

from tensorlite.ops.creation import Where, empty, full, ones, tensor, zeros
from tensorlite.ops.shape import broadcast_to
from tensorlite.tensor import Tensor

__all__ = ["empty_like", "fill", "full_like", "ones_like", "zeros_like"]


def _as(x: Tensor, dtype: Any, device: Where) -> dict[str, Any]:
    """The dtype and device of `x`, unless others are given."""
    if not isinstance(x, Tensor):
        raise TypeError(f"of a Tensor another like it is made, not of a {type(x).__name__}")
    return {
        "dtype": x.dtype if dtype is None else dtype,
        "device": x.device if device is None else device,
    }


def zeros_like(
    input: Tensor,
    *,
    dtype: Any = None,
    layout: Any = None,
    device: Where = None,
    requires_grad: bool = False,
    memory_format: Any = None,
) -> Tensor:
    """Return zeros of `input`'s shape, and of its dtype and device unless others are given.

    Parameters
    ----------
    input : Tensor
        Of any shape.

    Returns
    -------
    Tensor
        Of `input`'s shape.

    Raises
    ------
    TypeError
        If `input` is no Tensor.

    Examples
    --------
    >>> tl.zeros_like(tl.tensor([-1.5, 0.0, 2.0]))
    tensor([0., 0., 0.])
    """
    return zeros(input.shape, requires_grad=requires_grad, **_as(input, dtype, device))


def ones_like(
    input: Tensor,
    *,
    dtype: Any = None,
    layout: Any = None,
    device: Where = None,
    requires_grad: bool = False,
    memory_format: Any = None,
) -> Tensor:
    """Return ones of `input`'s shape, and of its dtype and device unless others are given.

    Parameters
    ----------
    input : Tensor
        Of any shape.

    Returns
    -------
    Tensor
        Of `input`'s shape.

    Raises
    ------
    TypeError
        If `input` is no Tensor.

    Examples
    --------
    >>> tl.ones_like(tl.tensor([-1.5, 0.0, 2.0]))
    tensor([1., 1., 1.])
    """
    return ones(input.shape, requires_grad=requires_grad, **_as(input, dtype, device))


def empty_like(
    input: Tensor,
    *,
    dtype: Any = None,
    layout: Any = None,
    device: Where = None,
    requires_grad: bool = False,
    memory_format: Any = None,
) -> Tensor:
    """Return unset memory of `input`'s shape, and of its dtype and device unless others are.

    Parameters
    ----------
    input : Tensor
        Of any shape.

    Returns
    -------
    Tensor
        Of `input`'s shape.

    Raises
    ------
    TypeError
        If `input` is no Tensor.

    Examples
    --------
    >>> tl.empty_like(tl.tensor([1, 2])).dtype
    dtype('int64')
    """
    return empty(input.shape, requires_grad=requires_grad, **_as(input, dtype, device))


def full_like(
    input: Tensor,
    fill_value: Any,
    *,
    dtype: Any = None,
    layout: Any = None,
    device: Where = None,
    requires_grad: bool = False,
    memory_format: Any = None,
) -> Tensor:
    """Return one value in `input`'s shape, and of its dtype and device unless others are given.

    Parameters
    ----------
    input : Tensor
        Of any shape.
    fill_value : number

    Returns
    -------
    Tensor
        Of `input`'s shape.

    Raises
    ------
    TypeError
        If `input` is no Tensor.

    Examples
    --------
    >>> tl.full_like(tl.tensor([1.0, 2.0]), 0.5)
    tensor([0.5, 0.5])
    """
    like = _as(input, dtype, device)
    return full(input.shape, fill_value, requires_grad=requires_grad, **like)


def fill(input: Tensor, value: Any) -> Tensor:
    """Return one value in `input`'s shape and dtype; a Tensor with no axes has its gradient.

    Parameters
    ----------
    input : Tensor
        Of any shape.
    value : number, or Tensor without axes

    Returns
    -------
    Tensor
        Of `input`'s shape and dtype.

    Raises
    ------
    RuntimeError
        If `value` is a Tensor of several elements.

    Examples
    --------
    >>> tl.fill(tl.tensor([1.0, 2.0]), 0.5)
    tensor([0.5, 0.5])
    """
    if isinstance(value, Tensor):
        if value.shape:
            raise RuntimeError(f"fill: value of shape {tuple(value.shape)} is not one number")
        return broadcast_to(value.to(input.device, input.dtype), tuple(input.shape)).clone()
    return full_like(input, value)


# --- methods ------------------------------------------------------------------------------------


def new_zeros(self: Tensor, *shape: Any, size: Any = None, **options: Any) -> Tensor:
    """Return zeros, of this Tensor's dtype and device unless others are given.

    Parameters
    ----------
    *shape : int, or one sequence of int
        Lengths of the axes.
    size : sequence of int
        The same by name.
    **options
        As of `empty`.

    Returns
    -------
    Tensor
        Of that shape.

    Examples
    --------
    >>> tl.tensor([1, 2]).new_zeros(2, 3).shape
    (2, 3)
    """
    return zeros(*shape, size=size, **_options(self, options))


def new_ones(self: Tensor, *shape: Any, size: Any = None, **options: Any) -> Tensor:
    """Return ones, of this Tensor's dtype and device unless others are given.

    Parameters
    ----------
    *shape : int, or one sequence of int
        Lengths of the axes.
    size : sequence of int
        The same by name.
    **options
        As of `empty`.

    Returns
    -------
    Tensor
        Of that shape.

    Examples
    --------
    >>> tl.tensor([1, 2]).new_ones(2, 3).shape
    (2, 3)
    """
    return ones(*shape, size=size, **_options(self, options))


def new_empty(self: Tensor, *shape: Any, size: Any = None, **options: Any) -> Tensor:
    """Return unset memory, of this Tensor's dtype and device unless others are given.

    Parameters
    ----------
    *shape : int, or one sequence of int
        Lengths of the axes.
    size : sequence of int
        The same by name.
    **options
        As of `empty`.

    Returns
    -------
    Tensor
        Of that shape.

    Examples
    --------
    >>> tl.tensor([1, 2]).new_empty(2, 3).shape
    (2, 3)
    """
    return empty(*shape, size=size, **_options(self, options))


def new_full(self: Tensor, size: Any, fill_value: Any, **options: Any) -> Tensor:
    """Return one value, of this Tensor's dtype and device unless others are given.

    Parameters
    ----------
    size : sequence of int
        Lengths of the axes.
    fill_value : number
    **options
        As of `full`.

    Returns
    -------
    Tensor
        Of that shape.

    Examples
    --------
    >>> tl.tensor([1.5]).new_full((2,), 3)
    tensor([3., 3.])
    """
    return full(size, fill_value, **_options(self, options))


def new(self: Tensor, *values: Any) -> Tensor:
    """Make a Tensor of this one's dtype and device: of values, or unset memory of a shape.

    Torch's old name; `new_tensor`, `new_empty` and `new_zeros` say which of the two is meant.

    Parameters
    ----------
    *values : object
        Nested sequences of numbers, or the lengths of the axes.

    Returns
    -------
    Tensor

    Examples
    --------
    >>> tl.zeros(1).new([1, 2])
    tensor([1., 2.])
    """
    if len(values) == 1 and not isinstance(values[0], int):
        return new_tensor(self, values[0])
    return new_empty(self, values or (0,))


def new_tensor(self: Tensor, data: Any, **options: Any) -> Tensor:
    """Copy values, as this Tensor's dtype and to its device unless others are given.

    Parameters
    ----------
    data : object
        As of `tensor`.
    **options
        As of `tensor`.

    Returns
    -------
    Tensor
        Of the shape of `data`.

    Examples
    --------
    >>> tl.tensor([1.5]).new_tensor([1, 2])
    tensor([1., 2.])
    """
    return tensor(data, **_options(self, options))


def _options(x: Tensor, options: dict[str, Any]) -> dict[str, Any]:
    kept = {key: value for key, value in options.items() if value is not None}
    return {**_as(x, None, None), **kept}


METHODS = (new, new_empty, new_full, new_ones, new_tensor, new_zeros)
