"""The largest and the smallest elements, and where they are.

NaN counts as both: it is the largest element and the smallest wherever there is one.
"""

from __future__ import annotations

from types import ModuleType
from typing import Any

from tensorlite import return_types
from tensorlite.backend import Array
from tensorlite.backend.dims import (
    Axis,
    all_dims,
    check_not_empty,
    is_plain,
    kept,
    lifts_numbers,
    one_dim,
)
from tensorlite.backend.dtypes import float32, int64
from tensorlite.ops.compare import where
from tensorlite.ops.elementwise import cast
from tensorlite.ops.faces import takes_axis
from tensorlite.ops.fused import float32_inside, widened
from tensorlite.ops.limits import maximum, minimum
from tensorlite.ops.pick import pick
from tensorlite.ops.reduce import sum
from tensorlite.primitive import primitive

__all__ = ["amax", "amin", "aminmax", "argmax", "argmin", "max", "min"]


@primitive
@float32_inside
def amax(xp: ModuleType, x: Array, *, axis: Axis = None, keepdims: bool = False) -> Array:
    """Largest element; NaN if one is. Equal largest elements share the gradient equally.

    Parameters
    ----------
    input : Tensor
        Of any shape.
    dim : int or tuple of int, optional
        The axes; by default all.
    keepdim : bool
        Whether these axes stay, with length 1.

    Returns
    -------
    Tensor
        Without the axes `dim`, of `input`'s dtype.

    Raises
    ------
    IndexError or RuntimeError
        Of no elements.

    Examples
    --------
    >>> tl.amax(tl.tensor([[1.0, 3.0], [2.0, 0.0]]), dim=1)
    tensor([3., 2.])
    """
    if is_plain(x, axis):
        return x.max(axis=axis, keepdims=keepdims)
    check_not_empty("amax", x.shape, axis)
    return x.max(axis=all_dims(axis, x.ndim), keepdims=keepdims)


@primitive
@float32_inside
def amin(xp: ModuleType, x: Array, *, axis: Axis = None, keepdims: bool = False) -> Array:
    """Smallest element; NaN if one is. Equal smallest elements share the gradient equally.

    Parameters
    ----------
    input : Tensor
        Of any shape.
    dim : int or tuple of int, optional
        The axes; by default all.
    keepdim : bool
        Whether these axes stay, with length 1.

    Returns
    -------
    Tensor
        Without the axes `dim`, of `input`'s dtype.

    Raises
    ------
    IndexError or RuntimeError
        Of no elements.

    Examples
    --------
    >>> tl.amin(tl.tensor([[1.0, 3.0], [2.0, 0.0]]), dim=1)
    tensor([1., 0.])
    """
    if is_plain(x, axis):
        return x.min(axis=axis, keepdims=keepdims)
    check_not_empty("amin", x.shape, axis)
    return x.min(axis=all_dims(axis, x.ndim), keepdims=keepdims)


def _extreme_vjp(g: Any, x: Any, y: Any, axis: Axis, keepdims: bool) -> Any:
    g, y = (kept(r, x.shape, axis, keepdims) for r in (g, y))
    return to_equal(g, x, y, axis)


def to_equal(g: Any, x: Any, y: Any, axis: Axis) -> Any:
    """Divide `g` equally among the elements of `x` that equal `y`."""
    equal = x == y
    # In float32: float16 holds no count above 65,504.
    count = sum(cast(equal, float32), axis=axis, keepdims=True)
    return where(equal, g / maximum(count, 1), 0)  # none is equal to NaN


amax.defvjp(x=_extreme_vjp)
amin.defvjp(x=_extreme_vjp)


@takes_axis
def aminmax(input: Any, *, dim: int | None = None, keepdim: bool = False) -> Any:
    """Smallest and largest elements, in all or along `dim`.

    Parameters
    ----------
    input : Tensor
        Of any shape.
    dim : int, optional
        The axis; by default all.
    keepdim : bool
        Whether this axis stays, with length 1.

    Returns
    -------
    min, max : Tensor
        A named tuple. Equal elements share the gradient equally.

    Examples
    --------
    >>> tl.aminmax(tl.tensor([3.0, 1.0, 2.0]))
    aminmax(min=tensor(1.), max=tensor(3.))
    """
    check_not_empty("aminmax", input.shape, dim)
    smallest, largest = (f(input, axis=dim, keepdims=keepdim) for f in (amin, amax))
    return return_types.aminmax(smallest, largest)


# --- with places --------------------------------------------------------------------------------


@primitive
def argmax(xp: ModuleType, x: Array, *, axis: int | None = None, keepdims: bool = False) -> Array:
    """Index (int64) of the first largest element: along `dim`, or (None) in the flattened `input`.

    Parameters
    ----------
    input : Tensor
        Of any shape.
    dim : int, optional
        The axis.
    keepdim : bool
        Whether this axis stays, with length 1.

    Returns
    -------
    Tensor of int64
        Without the axis `dim`.

    Raises
    ------
    TypeError
        Of booleans.

    Examples
    --------
    >>> tl.argmax(tl.tensor([-1.5, 0.0, 2.0]))
    tensor(2)
    """
    if is_plain(x, axis) and x.dtype.char in "fdli":
        return x.argmax(axis=axis, keepdims=keepdims)
    return _place_of_extreme("argmax", x, axis, keepdims)


@primitive
def argmin(xp: ModuleType, x: Array, *, axis: int | None = None, keepdims: bool = False) -> Array:
    """Index (int64) of the first smallest element: along `dim`, or (None) in the flattened `input`.

    Parameters
    ----------
    input : Tensor
        Of any shape.
    dim : int, optional
        The axis.
    keepdim : bool
        Whether this axis stays, with length 1.

    Returns
    -------
    Tensor of int64
        Without the axis `dim`.

    Raises
    ------
    TypeError
        Of booleans.

    Examples
    --------
    >>> tl.argmin(tl.tensor([-1.5, 0.0, 2.0]))
    tensor(0)
    """
    if is_plain(x, axis) and x.dtype.char in "fdli":
        return x.argmin(axis=axis, keepdims=keepdims)
    return _place_of_extreme("argmin", x, axis, keepdims)


def _place_of_extreme(name: str, x: Array, axis: int | None, keepdims: bool) -> Array:
    if x.dtype == bool:
        raise TypeError("bool has no order: cast it to an integer dtype first")
    return _arg(name, x, axis, keepdims)


def _arg(name: str, x: Array, axis: int | None, keepdims: bool) -> Array:
    if axis is None:
        if not x.size:
            raise IndexError(f"{name}: an input of shape {x.shape} has no elements; give dim=…")
        place = getattr(widened(x).reshape(-1), name)(axis=0)
        return place.reshape((1,) * x.ndim if keepdims else ()).astype(int64, copy=False)
    axis = one_dim(axis, x.ndim)
    if x.ndim == 0:
        x, keepdims = x.reshape(1), False
    check_not_empty(name, x.shape, axis)
    return getattr(widened(x), name)(axis=axis, keepdims=keepdims).astype(int64, copy=False)


@primitive(name="max")
def place_of_largest(xp: ModuleType, x: Array, *, axis: int) -> Array:
    """Index of the first largest element along `axis`, which stays; of booleans too."""
    check_not_empty("max", x.shape, axis)
    return _arg("argmax", x, axis, keepdims=True)


@primitive(name="min")
def place_of_smallest(xp: ModuleType, x: Array, *, axis: int) -> Array:
    """Index of the first smallest element along `axis`, which stays; of booleans too."""
    check_not_empty("min", x.shape, axis)
    return _arg("argmin", x, axis, keepdims=True)


@takes_axis
def max(input: Any, dim: Any = None, keepdim: bool = False, *, other: Any = None) -> Any:
    """Largest element: of all, or along an axis together with its place; or the larger of two.

    Parameters
    ----------
    input : Tensor
        Any shape.
    dim : int, optional
        The axis to look along. A Tensor here is `other`.
    keepdim : bool
        Leave that axis with length 1.
    other : Tensor, optional
        Compare element by element instead, as `maximum`.

    Returns
    -------
    Tensor, or a named tuple (values, indices) of two
        With `dim` the indices (int64) are those of the first largest elements, to which the
        gradient goes. Of all elements, equal largest ones share it.

    Raises
    ------
    IndexError or RuntimeError
        Of no elements.

    Examples
    --------
    >>> values, indices = tl.max(tl.tensor([[1.0, 5.0], [3.0, 2.0]]), dim=1)
    >>> indices.tolist()
    [1, 0]
    """
    return _extreme("max", input, dim, keepdim, other)


@takes_axis
def min(input: Any, dim: Any = None, keepdim: bool = False, *, other: Any = None) -> Any:
    """Smallest element: of all, or along an axis together with its place; or the smaller of two.

    Parameters and results are those of `max`.

    Parameters
    ----------
    input : Tensor
        Of any shape.
    dim : int, or Tensor
        The axis, or the other of two.
    keepdim : bool
        Whether the axis stays, with length 1.
    other : Tensor
        The same by name.

    Returns
    -------
    Tensor, or with `dim` values, indices

    Raises
    ------
    TypeError
        If `input` is no Tensor, or the arguments do not fit each other.

    Examples
    --------
    >>> tl.min(tl.tensor([-1.5, 0.0, 2.0]))
    tensor(-1.5)
    """
    return _extreme("min", input, dim, keepdim, other)


_FORMS = {
    "max": (amax, maximum, place_of_largest, return_types.max),
    "min": (amin, minimum, place_of_smallest, return_types.min),
}


def _extreme(name: str, input: Any, dim: Any, keepdim: bool, other: Any) -> Any:
    of_all, of_two, place, pair = _FORMS[name]
    if not hasattr(input, "dtype"):
        raise TypeError(f"{name}(): input is a Tensor, not {type(input).__name__}")
    if hasattr(dim, "dtype"):
        dim, other = None, dim
    if other is not None:
        if dim is not None or keepdim:
            raise TypeError(f"{name}(): with another Tensor there is no dim and no keepdim")
        return of_two(input, other)
    if dim is None:
        if keepdim:
            raise TypeError(f"{name}(): keepdim without dim; use a{name}(x, keepdim=True)")
        check_not_empty(name, input.shape, None)
        return of_all(input)
    return _with_place(input, dim, keepdim, place, pair)


@lifts_numbers
def _with_place(input: Any, dim: int, keepdim: bool, place: Any, pair: Any) -> Any:
    axis = one_dim(dim, len(input.shape), pair.__name__)
    return chosen(input, place(input, axis=axis), axis, keepdim, pair)


def chosen(x: Any, indices: Any, axis: int, keepdim: bool, pair: Any) -> Any:
    """The elements of `x` at `indices`, one along `axis`, and these, as a named tuple `pair`."""
    values = pick(x, indices, axis=axis)
    if not keepdim:
        shape = (*x.shape[:axis], *x.shape[axis + 1 :])
        values, indices = values.reshape(shape), indices.reshape(shape)
    return pair(values, indices)
