"""Reductions: sums, means, products, and whether all or any.

`axis` is an int, a tuple of ints, or None for all axes; negative ones count from the end.
``keepdims=True`` leaves the reduced axes with length 1. How numbers are added up is said in
`tensorlite.backend.totals`. An axis that is not there raises an IndexError.
"""

from __future__ import annotations

from types import ModuleType
from typing import Any

import numpy as np

from tensorlite.backend import Array
from tensorlite.backend.dims import Axis, all_dims, dropped, is_plain, kept, reduced_count
from tensorlite.backend.dtypes import as_dtype, float32, is_short, uint8
from tensorlite.backend.totals import BLOCK, total, total_dtype
from tensorlite.ops.arithmetic import share
from tensorlite.ops.compare import isnan, where
from tensorlite.ops.compiled.arrays import packed
from tensorlite.ops.elementwise import cast
from tensorlite.ops.faces import takes_axis
from tensorlite.ops.fused import float32_inside, widened
from tensorlite.ops.promotion import floats
from tensorlite.ops.scan import cumprod, neighbour
from tensorlite.ops.shape import broadcast_to, reverse, transpose_axes
from tensorlite.primitive import primitive

__all__ = [
    "all",
    "any",
    "count_nonzero",
    "logsumexp",
    "mean",
    "nanmean",
    "nansum",
    "prod",
    "sum",
]


add_reduce = np.add.reduce  # what `ndarray.sum` calls in the end


def in_float32(x: Any) -> Any:
    """A float16 or bfloat16 array or Tensor in float32; anything else as it is."""
    return cast(x, float32) if is_short(x.dtype) else x


# --- sums ---------------------------------------------------------------------------------------


@primitive
def sum(
    xp: ModuleType, x: Array, *, axis: Axis = None, keepdims: bool = False, dtype: Any = None
) -> Array:
    """Sum of the elements; of booleans and integers an int64.

    `dtype` is what the elements are cast to before they are added.

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
        Without the axes `dim`.

    Examples
    --------
    >>> tl.sum(tl.tensor([-1.5, 0.0, 2.0]))
    tensor(0.5)
    """
    if dtype is None and x.__class__ is np.ndarray and x.dtype.char in "fd":
        shape = x.shape  # the commonest, made fast
        if axis is None:
            plain = x.flags.c_contiguous
        else:
            plain = axis.__class__ is int and -len(shape) <= axis < len(shape)
            plain = plain and shape[axis] <= BLOCK
        if plain:
            return add_reduce(x, axis, None, None, keepdims)  # type: ignore[call-overload]  # the ufunc's stub lacks None
    if dtype is not None:
        x = x.astype(as_dtype(dtype), copy=False)
    y = total(xp, x, axis, keepdims)
    return y.astype(total_dtype(x.dtype) if dtype is None else x.dtype, copy=False)


sum.defvjp(
    x=lambda g, x_shape, axis, keepdims: broadcast_to(kept(g, x_shape, axis, keepdims), x_shape)
)


@primitive
def mean(
    xp: ModuleType, x: Array, *, axis: Axis = None, keepdims: bool = False, dtype: Any = None
) -> Array:
    """Arithmetic mean of floats, NaN if there are none.

    `dtype` is what the elements are cast to before they are added.

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
        Without the axes `dim`.

    Raises
    ------
    TypeError
        Of integers and booleans, if `dtype` is not a float dtype.

    Examples
    --------
    >>> tl.mean(tl.tensor([-1.5, 0.0, 2.0]))
    tensor(0.16666667)
    """
    if dtype is not None:
        x = x.astype(as_dtype(dtype), copy=False)
    if x.dtype.kind in "biu":
        raise TypeError(
            f"the mean of {x.dtype} is no {x.dtype}: make it floats first, x.float(), "
            "or say dtype=tl.float32"
        )
    with np.errstate(invalid="ignore"):  # 0 / 0
        y = total(xp, x, axis, keepdims) / reduced_count(x.shape, axis)
    return y.astype(x.dtype, copy=False)


def _mean_vjp(g: Any, x_shape: tuple, axis: Axis, keepdims: bool) -> Any:
    count = reduced_count(x_shape, axis)
    # float16 holds no count above 65,504, and few of its reciprocals.
    each = cast(in_float32(g) / count, g.dtype) if is_short(g.dtype) else g / count
    return broadcast_to(kept(each, x_shape, axis, keepdims), x_shape)


mean.defvjp(x=_mean_vjp)


_ONE_ROW = 1 << 16  # elements that one team may add up; beyond, NumPy's pairwise sums are better


def _give_total(primitive: Any, is_mean: bool) -> None:
    """Let `row_sum` add up all elements of an array that is not large; on CUDA rows, too."""

    @primitive.kernel
    def run(k: Any, x: Array, *, axis: Any, keepdims: bool, dtype: Any) -> Any:
        if dtype is not None:
            return NotImplemented
        rows, columns = 1, x.size
        if axis is not None:
            if k.on_host or not x.size or axis not in (-1, x.ndim - 1, (-1,), (x.ndim - 1,)):
                return NotImplemented
            rows, columns = x.size // x.shape[-1], x.shape[-1]
        arrays = packed(x) if columns <= _ONE_ROW else None
        if arrays is None:
            return NotImplemented
        kept = (1,) * x.ndim if axis is None else (*x.shape[:-1], 1)
        shape = kept if keepdims else () if axis is None else kept[:-1]
        y = k.empty(shape, x.dtype)
        k.row_sum(*arrays, y, rows, columns, 1 / columns if is_mean else 1.0)
        return y


_give_total(sum, is_mean=False)
_give_total(mean, is_mean=True)


@takes_axis
def nansum(input: Any, dim: Axis = None, keepdim: bool = False, *, dtype: Any = None) -> Any:
    """Sum of the elements that are not NaN, for which the gradient is 0.

    Parameters
    ----------
    input : Tensor
        Any shape.
    dim : int or tuple of int, optional
        Axes to add up along; by default all.
    keepdim : bool
        Leave those axes with length 1.
    dtype : dtype, optional
        What the elements are cast to first.

    Returns
    -------
    Tensor
        Without the axes `dim`.

    Examples
    --------
    >>> tl.nansum(tl.tensor([-1.5, 0.0, 2.0]))
    tensor(0.5)
    """
    if input.dtype.kind not in "biu":
        input = where(isnan(input), 0, input)
    return sum(input, axis=dim, keepdims=keepdim, dtype=dtype)


@takes_axis
def nanmean(input: Any, dim: Axis = None, keepdim: bool = False, *, dtype: Any = None) -> Any:
    """Mean of the elements that are not NaN; NaN if all are.

    Parameters are those of `nansum`.

    Parameters
    ----------
    dim : int or tuple of int, optional
        The axes; by default all.
    keepdim : bool
        Whether these axes stay, with length 1.

    Returns
    -------
    Tensor
        Without the axes `dim`.

    Raises
    ------
    TypeError
        If `input` has no float dtype.

    Examples
    --------
    >>> tl.nanmean(tl.tensor([-1.5, 0.0, 2.0]))
    tensor(0.16666667)
    """
    if input.dtype.kind in "biu":
        raise TypeError(f"nanmean: {input.dtype} has no NaN: use x.float().mean()")
    if dtype is not None:
        input = cast(input, dtype)
    count = sum(cast(~isnan(input), float32), axis=dim, keepdims=keepdim)
    return cast(nansum(in_float32(input), dim, keepdim) / count, input.dtype)


@takes_axis
def count_nonzero(input: Any, dim: Axis = None) -> Any:
    """How many elements are not 0 (int64), in all or along `dim`, an int or a tuple of them.

    Parameters
    ----------
    input : Tensor
        Of any shape.

    Returns
    -------
    Tensor of int64
        Without the axes `dim`.

    Examples
    --------
    >>> tl.count_nonzero(tl.tensor([-1.5, 0.0, 2.0]))
    tensor(2)
    """
    return sum(input != 0, axis=dim)


# --- products -----------------------------------------------------------------------------------


@primitive
@float32_inside
def prod(
    xp: ModuleType, x: Array, *, axis: Axis = None, keepdims: bool = False, dtype: Any = None
) -> Array:
    """Product of the elements; its gradient is right where factors are 0, too.

    Of booleans and integers it is an int64. `dtype` is what the elements are cast to first.

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
    Tensor
        Without the axis `dim`.

    Examples
    --------
    >>> tl.prod(tl.tensor([1.0, 2.0, 3.0]))
    tensor(6.)
    """
    if dtype is not None:
        x = x.astype(as_dtype(dtype), copy=False)
    inner = widened(x)
    y = inner.prod(axis=all_dims(axis, x.ndim), keepdims=keepdims, dtype=total_dtype(inner.dtype))
    return y if dtype is None else y.astype(x.dtype, copy=False)


def _prod_vjp(g: Any, x: Any, axis: Axis, keepdims: bool) -> Any:
    """Each factor's slope is the product of those before it and those after it: no division."""
    ndim = len(x.shape)
    axes = all_dims(axis, ndim)
    order = tuple([i for i in range(ndim) if i not in axes]) + axes
    ordered = transpose_axes(in_float32(x), order)
    rows = ordered.reshape((*ordered.shape[: ndim - len(axes)], reduced_count(x.shape, axis)))
    before = neighbour(cumprod(rows, -1), -1, -1, edge=1)
    after = neighbour(reverse(cumprod(reverse(rows, -1), -1), -1), -1, 1, edge=1)
    others = transpose_axes(
        (before * after).reshape(ordered.shape), tuple(map(order.index, range(ndim)))
    )
    return kept(g, x.shape, axis, keepdims) * others


prod.defvjp(x=_prod_vjp)

# --- exponentials -------------------------------------------------------------------------------


@primitive(operands=floats)
@float32_inside
def logsumexp(xp: ModuleType, x: Array, *, axis: Axis, keepdims: bool = False) -> Array:
    """``log(sum(exp(input)))`` along `dim`, without overflow; -inf where all elements are -inf.

    Parameters
    ----------
    input : Tensor
        Of any shape.
    dim : int or tuple of int
        The axes.
    keepdim : bool
        Whether these axes stay, with length 1.

    Returns
    -------
    Tensor
        Without the axes `dim`, of a float dtype.

    Examples
    --------
    >>> tl.logsumexp(tl.tensor([0.0, 0.0]), dim=0)
    tensor(0.6931472)
    """
    axes = all_dims(axis, x.ndim)
    # CuPy's max has no ``initial``; where there is nothing, any shift will do.
    largest = x.max(axis=axes, keepdims=True) if x.size else total(xp, x, axes, keepdims=True)
    shift = xp.where(xp.isfinite(largest), largest, 0)
    sums = total(xp, xp.exp(x - shift), axes, keepdims=True)
    with np.errstate(divide="ignore"):  # log(0) is the -inf we want
        result = xp.log(sums) + shift
    return dropped(result, x.shape, axis, keepdims)


def _logsumexp_vjp(g: Any, x: Any, y: Any, axis: Axis, keepdims: bool) -> Any:
    g, y = (kept(r, x.shape, axis, keepdims) for r in (g, y))
    return g * share(x, y)


logsumexp.defvjp(x=_logsumexp_vjp)

# --- truth --------------------------------------------------------------------------------------


@primitive
def any(xp: ModuleType, x: Array, *, axis: Axis = None, keepdims: bool = False) -> Array:
    """Whether at least one element is nonzero; of uint8 as 0 or 1 in uint8, else a bool.

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
        Without the axes `dim`: of bool, or of uint8 for uint8.

    Examples
    --------
    >>> tl.any(tl.tensor([-1.5, 0.0, 2.0]))
    tensor(True)
    """
    if is_plain(x, axis) and x.dtype.char != "B":
        return x.any(axis=axis, keepdims=keepdims)
    return _truth(x.any(axis=_truth_dims(axis, x.ndim), keepdims=keepdims), x.dtype)


@primitive
def all(xp: ModuleType, x: Array, *, axis: Axis = None, keepdims: bool = False) -> Array:
    """Whether every element is nonzero; of uint8 as 0 or 1 in uint8, else a bool.

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
        Without the axes `dim`: of bool, or of uint8 for uint8.

    Examples
    --------
    >>> tl.all(tl.tensor([-1.5, 0.0, 2.0]))
    tensor(False)
    """
    if is_plain(x, axis) and x.dtype.char != "B":
        return x.all(axis=axis, keepdims=keepdims)
    return _truth(x.all(axis=_truth_dims(axis, x.ndim), keepdims=keepdims), x.dtype)


def _truth_dims(axis: Axis, ndim: int) -> Axis:
    """The axes, of which ``()`` is none here, unlike in sums."""
    return () if axis is not None and axis in ((), []) else all_dims(axis, ndim)


def _truth(y: Any, dtype: np.dtype) -> Any:
    return y.astype(uint8) if dtype == uint8 else y
