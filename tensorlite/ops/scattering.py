"""Values written, added and reduced into numbered places of a copy."""

from __future__ import annotations

from typing import Any

from tensorlite.backend import Array, array_backend
from tensorlite.backend.dims import one_dim
from tensorlite.ops.faces import takes_axis
from tensorlite.ops.gathering import checked_numbers, cropped, raw, with_axis
from tensorlite.ops.index import (
    along,
    getitem_backward,
    with_item,
)
from tensorlite.ops.places import reduced_into, scattered
from tensorlite.ops.shape import broadcast_to, reshape
from tensorlite.tensor import Tensor

__all__ = [
    "index_add",
    "index_copy",
    "index_fill",
    "index_reduce",
    "scatter",
    "scatter_add",
    "scatter_reduce",
]

# --- by number along an axis --------------------------------------------------------------------


def _prepared(name: str, input: Tensor, dim: int, index: Any, src: Any) -> tuple:
    """The arguments as the primitives take them: with axes, cropped to the index, of one dtype."""
    axis = one_dim(dim, len(input.shape), name)
    n = input.shape[axis] if input.shape else 1
    index = with_axis(checked_numbers(name, input, index, n))
    x, shape = with_axis(input), tuple(index.shape)
    if isinstance(src, Tensor):
        if src.dtype != input.dtype:
            raise RuntimeError(f"{name}: src is {src.dtype}, and input {input.dtype}: cast one")
        src = with_axis(src)
        if 0 not in shape:
            src = cropped(name, src, shape, None)
    elif src is not None:
        src = broadcast_to(_number_like(input, src), shape)
    if 0 in shape:  # nothing is written, and nothing must fit
        return None, None, None, 0
    cropped(name, x, shape, axis)
    return x, index, src, axis


def _number_like(x: Tensor, value: Any) -> Array:
    array = raw(x)
    return array_backend((array,)).xp.full((), value, array.dtype)


@takes_axis
def scatter(
    input: Tensor,
    dim: int,
    index: Tensor,
    src: Tensor | float | None = None,
    *,
    value: float | None = None,
    reduce: str | None = None,
) -> Tensor:
    """Write by number along `dim` of a copy: ``y[index[i, j], j] = src[i, j]`` for dim 0.

    Parameters
    ----------
    input : Tensor
    dim : int
    index : integer Tensor
        With as many axes as `input`, and nowhere longer than it (but along `dim`) nor than `src`.
    src : Tensor or number
        What is written, of `input`'s dtype. A number may also be given as `value`.
    reduce : {"add", "multiply"}, optional
        Combine with what is there, instead of writing over it.

    Returns
    -------
    Tensor
        Of `input`'s shape and dtype.

    Raises
    ------
    TypeError
        If neither or both of `src` and `value` are given.
    RuntimeError
        If the dtypes differ, shapes do not fit, or there is no such `reduce`.

    Notes
    -----
    Of several values for one place the last stays (on CUDA, any), and it alone has a gradient.

    Examples
    --------
    >>> tl.scatter(tl.tensor([[0.0, 0.0]]), 1, tl.tensor([[1]]), tl.tensor([[9.0]]))
    tensor([[0., 9.]])
    """
    if (src is None) == (value is None):
        raise TypeError("scatter: give src, or value=")
    x, index, src, axis = _prepared("scatter", input, dim, index, value if src is None else src)
    if x is None:
        return input.clone()
    if reduce is None:
        y = scattered(x, index, src, axis)
    elif reduce in ("add", "multiply"):
        y = reduced_into(x, index, src, axis, "sum" if reduce == "add" else "prod")
    else:
        raise RuntimeError(f"scatter: reduce is 'add' or 'multiply', not {reduce!r}")
    return y if input.shape else reshape(y, ())


@takes_axis
def scatter_add(input: Tensor, dim: int, index: Tensor, src: Tensor) -> Tensor:
    """Add by number along `dim`: ``y[index[i, j], j] += src[i, j]`` for dim 0, from `input`.

    `index` has as many axes as `input` and `src`, and is nowhere longer than `src`, nor than
    `input` but along `dim`. Numbers may repeat: all of theirs are added, in order.

    Parameters
    ----------
    input : Tensor
        Of any shape.
    dim : int
        The axis.
    index : integer Tensor
    src : Tensor
        Of `input`'s dtype.

    Returns
    -------
    Tensor
        Of `input`'s shape and dtype.

    Examples
    --------
    >>> tl.scatter_add(tl.tensor([[0.0, 0.0]]), 1, tl.tensor([[1, 1]]), tl.tensor([[9.0, 1.0]]))
    tensor([[ 0., 10.]])
    """
    return _reduced("scatter_add", input, dim, index, src, "sum", True)


@takes_axis
def scatter_reduce(
    input: Tensor,
    dim: int,
    index: Tensor,
    src: Tensor,
    reduce: str,
    *,
    include_self: bool = True,
) -> Tensor:
    """Combine by number along `dim` the values of `src` for each place.

    Parameters
    ----------
    input : Tensor
    dim : int
    index : integer Tensor
        As of `scatter`.
    src : Tensor
        Of `input`'s dtype.
    reduce : {"sum", "prod", "mean", "amax", "amin"}
    include_self : bool
        Whether the number of `input` at a place counts, too.

    Returns
    -------
    Tensor
        Of `input`'s shape and dtype.

    Raises
    ------
    RuntimeError
        If dtypes or shapes do not fit, or there is no such `reduce`.

    Examples
    --------
    >>> tl.scatter_reduce(tl.tensor([0, 0]), 0, tl.tensor([1, 1]), tl.tensor([9, 1]), "amax")
    tensor([0, 9])
    """
    _check_reduction("scatter_reduce", reduce, ("sum", "prod", "mean", "amax", "amin"))
    return _reduced("scatter_reduce", input, dim, index, src, reduce, include_self)


def _reduced(
    name: str, input: Tensor, dim: int, index: Any, src: Any, reduce: str, include_self: bool
) -> Tensor:
    x, index, src, axis = _prepared(name, input, dim, index, src)
    if x is None:
        return input.clone()
    y = reduced_into(x, index, src, axis, reduce, include_self)
    return y if input.shape else reshape(y, ())


def _check_reduction(name: str, reduce: str, known: tuple[str, ...]) -> None:
    if reduce not in known:
        raise RuntimeError(f"{name}: reduce is one of {', '.join(known)}, not {reduce!r}")


# --- sub-arrays along an axis -------------------------------------------------------------------


def _fitting(
    name: str, input: Tensor, dim: int, index: Any, source: Any, least: int = 0
) -> tuple[Any, int]:
    """The index with one axis, and the axis; `source` has `input`'s shape but along it."""
    axis = one_dim(dim, len(input.shape), name)
    n = input.shape[axis] if input.shape else 1
    index = checked_numbers(name, input, index, n, -n if least else 0)
    if len(index.shape) > 1:
        raise IndexError(f"{name}: index of shape {tuple(index.shape)} has several axes")
    index = with_axis(index)
    if source is None:
        return index, axis
    if source.dtype != input.dtype:
        raise RuntimeError(f"{name}: source is {source.dtype}, and input {input.dtype}: cast one")
    shape = tuple(input.shape)
    expected = (*shape[:axis], *index.shape, *shape[axis + 1 :])
    if tuple(source.shape) != expected and not (not shape and raw(source).size == raw(index).size):
        raise RuntimeError(
            f"{name}: index of shape {tuple(index.shape)} and source of shape "
            f"{tuple(source.shape)} do not fit a Tensor of shape {shape} along axis {axis}: source "
            "is of the Tensor's shape, with the index's length there"
        )
    return index, axis


@takes_axis
def index_add(
    input: Tensor, dim: int, index: Tensor, source: Tensor, *, alpha: float = 1
) -> Tensor:
    """Add the sub-arrays of `source` along `dim` to those of `input` that `index` numbers.

    Parameters
    ----------
    input : Tensor
    dim : int
    index : integer Tensor, shape (n,)
        Numbers may repeat: all of theirs are added, in order.
    source : Tensor
        Of `input`'s shape and dtype, with length n along `dim`.
    alpha : number
        A factor on `source`.

    Returns
    -------
    Tensor
        Of `input`'s shape and dtype.

    Raises
    ------
    IndexError
        If `index` has several axes, or a number is out of range (on the CPU).
    RuntimeError
        If dtypes or shapes do not fit.

    Examples
    --------
    >>> tl.index_add(tl.tensor([1.0, 1.0]), 0, tl.tensor([0, 0]), tl.tensor([2.0, 3.0]))
    tensor([6., 1.])
    """
    index, axis = _fitting("index_add", input, dim, index, source)
    source = with_axis(source if alpha == 1 else source * alpha)
    x = with_axis(input)
    y = x + getitem_backward(source, index, shape=tuple(x.shape), parts=along(axis))
    return y if input.shape else reshape(y, ())


@takes_axis
def index_copy(input: Tensor, dim: int, index: Tensor, source: Tensor) -> Tensor:
    """Write the sub-arrays of `source` along `dim` over those of `input` that `index` numbers.

    Parameters
    ----------
    input : Tensor
        Of at least one axis.
    dim : int
        The axis.
    index : integer Tensor, shape (n,)
    source : Tensor
        Of `input`'s shape and dtype, with length n along `dim`.

    Returns
    -------
    Tensor
        Of `input`'s shape and dtype.

    Raises
    ------
    IndexError
        If `index` has several axes, or a number is out of range (on the CPU).
    RuntimeError
        If dtypes or shapes do not fit.

    Examples
    --------
    >>> tl.index_copy(tl.tensor([1.0, 1.0, 1.0]), 0, tl.tensor([0, 2]), tl.tensor([5.0, 6.0]))
    tensor([5., 1., 6.])
    """
    index, axis = _fitting("index_copy", input, dim, index, source)
    if not input.shape:
        return reshape(
            with_item(with_axis(input), reshape(source, (-1,)), index, parts=along(0)), ()
        )
    return with_item(input, source, index, parts=along(axis))


@takes_axis
def index_fill(input: Tensor, dim: int, index: Tensor, value: float | Tensor) -> Tensor:
    """Write one value over the sub-arrays along `dim` that `index` numbers.

    Parameters
    ----------
    input : Tensor
        Of at least one axis.
    dim : int
        The axis.
    index : integer Tensor, shape (n,)
    value : number, or Tensor without axes

    Returns
    -------
    Tensor
        Of `input`'s shape and dtype.

    Raises
    ------
    IndexError
        If `index` has several axes, or a number is out of range (on the CPU).
    RuntimeError
        If `value` is a Tensor of several elements.

    Examples
    --------
    >>> tl.index_fill(tl.tensor([1.0, 1.0, 1.0]), 0, tl.tensor([0, 2]), 5.0)
    tensor([5., 1., 5.])
    """
    if isinstance(value, Tensor) and value.shape:
        raise RuntimeError(f"index_fill: value of shape {tuple(value.shape)} is not one number")
    index, axis = _fitting("index_fill", input, dim, index, None, least=-1)
    y = with_item(with_axis(input), value, index, parts=along(axis))
    return y if input.shape else reshape(y, ())


@takes_axis
def index_reduce(
    input: Tensor,
    dim: int,
    index: Tensor,
    source: Tensor,
    reduce: str,
    *,
    include_self: bool = True,
) -> Tensor:
    """Combine the sub-arrays of `source` along `dim` that have one number; see `scatter_reduce`.

    `reduce` is "prod", "mean", "amax" or "amin".

    Parameters
    ----------
    input : Tensor
        Of at least one axis.
    dim : int
        The axis.
    index : integer Tensor, shape (n,)
    source : Tensor
        Of `input`'s shape and dtype, with length n along `dim`.
    reduce : {"prod", "mean", "amax", "amin"}
    include_self : bool
        Whether `input`'s own numbers count, too.

    Returns
    -------
    Tensor
        Of `input`'s shape and dtype.

    Raises
    ------
    IndexError
        If `index` has several axes, or a number is out of range (on the CPU).
    RuntimeError
        If dtypes or shapes do not fit, or there is no such `reduce`.

    Examples
    --------
    >>> tl.index_reduce(tl.tensor([1.0, 2.0]), 0, tl.tensor([0, 0]), tl.tensor([5.0, 6.0]), "amax")
    tensor([6., 2.])
    """
    _check_reduction("index_reduce", reduce, ("prod", "mean", "amax", "amin"))
    index, axis = _fitting("index_reduce", input, dim, index, source)
    x, source = with_axis(input), with_axis(source)
    ones = (1,) * axis, (1,) * (len(x.shape) - axis - 1)
    wide = broadcast_to(reshape(index, (*ones[0], -1, *ones[1])), tuple(source.shape))
    y = reduced_into(x, wide, source, axis, reduce, include_self)
    return y if input.shape else reshape(y, ())
