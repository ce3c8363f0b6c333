"""Scans: running sums, products and extremes along an axis.

Short floats are added and multiplied in float32, and float32 is added up in float64 where there are
many: a running sum is one chain, whose error would grow with its length (see `ops.totals`).
"""

from __future__ import annotations

import math
from types import ModuleType
from typing import Any

import numpy as np
from numpy.lib.array_utils import normalize_axis_index

from tensorlite import return_types
from tensorlite.backend import Array
from tensorlite.backend.dims import lifts_numbers, one_dim
from tensorlite.backend.dtypes import as_dtype, float32, is_short
from tensorlite.backend.totals import BLOCK, total_dtype
from tensorlite.ops.arithmetic import share
from tensorlite.ops.compiled.arrays import packed, widened_on_host
from tensorlite.ops.elementwise import cast
from tensorlite.ops.faces import takes_axis
from tensorlite.ops.fused import float32_inside, widened
from tensorlite.ops.index import take_along_axis
from tensorlite.ops.padding import pad_constant
from tensorlite.primitive import primitive

__all__ = ["cummax", "cummin", "cumprod", "cumsum", "logcumsumexp"]


def _ahead(axis: int, reverse: bool) -> tuple[slice, ...]:
    """The index that turns an axis around, or leaves all as it is."""
    return (slice(None),) * axis + (slice(None, None, -1 if reverse else None),)


# --- sums ---------------------------------------------------------------------------------------


@primitive(name="cumsum")
@float32_inside
def running_sum(xp: ModuleType, x: Array, *, axis: int, reverse: bool = False) -> Array:
    """Sum up to each element along `axis`, in reverse from it on; of integers an int64."""
    turn = _ahead(normalize_axis_index(axis, x.ndim), reverse)
    long = xp is np and x.dtype.char == "f" and x.shape[axis] > BLOCK
    sums = xp.cumsum(x[turn], axis, dtype=np.float64 if long else total_dtype(x.dtype))
    return sums[turn].astype(total_dtype(x.dtype), copy=False)


running_sum.defvjp(x=lambda g, axis, reverse: running_sum(g, axis=axis, reverse=not reverse))


_KERNEL_FROM = 1 << 12  # elements from which on its call pays


@widened_on_host()
def _running_sum(k: Any, x: Array, *, axis: int, reverse: bool) -> Any:
    """By all threads of the CPU, in float64."""
    arrays = packed(x) if k.on_host and -x.ndim <= axis < x.ndim else None
    if arrays is None:
        return NotImplemented
    axis %= x.ndim
    y = k.empty(x.shape, x.dtype)
    lengths = math.prod(x.shape[:axis]), x.shape[axis], math.prod(x.shape[axis + 1 :])
    k.running_sum(*arrays, y, *lengths, reverse)
    return y


running_sum.kernel(_running_sum, from_size=_KERNEL_FROM, exact=False)  # NumPy adds up in float32


@takes_axis
@lifts_numbers
def cumsum(input: Any, dim: int, *, dtype: Any = None) -> Any:
    """Running sum along `dim`: each element plus all before it.

    Parameters
    ----------
    input : Tensor
        Any shape.
    dim : int
        The axis to go along.
    dtype : dtype, optional
        What the elements are cast to first; booleans and integers are added up in int64.

    Returns
    -------
    Tensor
        Of `input`'s shape.

    Examples
    --------
    >>> tl.cumsum(tl.tensor([1.0, 2.0, 3.0]), dim=0)
    tensor([1., 3., 6.])
    """
    if dtype is not None:
        input = cast(input, as_dtype(dtype))
    return _in_dtype(running_sum(input, axis=one_dim(dim, len(input.shape), "cumsum")), dtype)


def _in_dtype(y: Any, dtype: Any) -> Any:
    """A result in the dtype that was given, if one was: integers come as int64."""
    return y if dtype is None else cast(y, dtype)


# --- products -----------------------------------------------------------------------------------


@primitive(name="cumprod")
@float32_inside
def running_product(xp: ModuleType, x: Array, *, axis: int) -> Array:
    """Product up to each element; its gradient is right where factors are 0, too."""
    return xp.cumprod(x, axis, dtype=total_dtype(x.dtype))


def _running_product_vjp(g: Any, x: Any, y: Any, axis: int) -> Any:
    """``dx[i] = y[i - 1] * s[i]``, ``s[i] = g[i] + x[i + 1] * s[i + 1]``: without a division."""
    s = recurrence(neighbour(x, axis, 1), g, axis, reverse=True)
    return neighbour(y, axis, -1, edge=1) * s


running_product.defvjp(x=_running_product_vjp)


@takes_axis
@lifts_numbers
def cumprod(input: Any, dim: int, *, dtype: Any = None) -> Any:
    """Running product along `dim`; its gradient is right where factors are 0, too.

    Parameters are those of `cumsum`.

    Parameters
    ----------
    input : Tensor
        Of any shape.

    Returns
    -------
    Tensor
        Of `input`'s shape.

    Examples
    --------
    >>> tl.cumprod(tl.tensor([1.0, 2.0, 3.0]), dim=0)
    tensor([1., 2., 6.])
    """
    if dtype is not None:
        input = cast(input, as_dtype(dtype))
    return _in_dtype(running_product(input, axis=one_dim(dim, len(input.shape), "cumprod")), dtype)


def neighbour(x: Any, axis: int, step: int, edge: float = 0) -> Any:
    """``x[i + step]`` at each i along `axis`, for a step of 1 or -1; `edge` where there is none."""
    axis = normalize_axis_index(axis, len(x.shape))
    n = x.shape[axis]
    widths = [(0, 0)] * len(x.shape)
    widths[axis] = (0, 1) if step > 0 else (1, 0)
    kept = slice(1, None) if step > 0 else slice(0, n)
    return pad_constant(x, tuple(widths), edge)[(slice(None),) * axis + (kept,)]


@primitive
@float32_inside
def recurrence(xp: ModuleType, a: Array, b: Array, *, axis: int, reverse: bool = False) -> Array:
    """``r[i] = b[i] + a[i] * r[i - 1]`` along `axis`; in reverse, of ``r[i + 1]``.

    Each pass doubles the span that r[i] covers, so that there are log2(n) passes of array
    operations (Hillis and Steele, "Data parallel algorithms", CACM 29 (1986) 1170-1183).
    """
    a, r = (xp.moveaxis(v, axis, -1).copy() for v in (a, b))
    if reverse:
        a, r = a[..., ::-1], r[..., ::-1]
    step = 1
    while step < r.shape[-1]:
        r[..., step:] += a[..., step:] * r[..., :-step]
        a[..., step:] = a[..., step:] * a[..., :-step]
        step *= 2
    return xp.moveaxis(r[..., ::-1] if reverse else r, -1, axis)


@recurrence.defvjp_joint
def _recurrence_vjp(
    g: Any, needs: tuple[bool, ...], y: Any, a: Any, axis: int, reverse: bool
) -> tuple:
    step = -1 if reverse else 1
    s = recurrence(neighbour(a, axis, step), g, axis, reverse=not reverse)
    return s * neighbour(y, axis, -step) if needs[0] else None, s if needs[1] else None


# --- exponentials -------------------------------------------------------------------------------


@primitive(name="logcumsumexp")
@float32_inside
def running_logsumexp(xp: ModuleType, x: Array, *, axis: int) -> Array:
    """``log(cumsum(exp(x)))`` without overflow."""
    if x.dtype.kind in "biu":
        raise TypeError(f"{x.dtype} has no logarithm: use x.float()")
    if xp is np:
        wide = np.float64 if x.dtype.char == "f" else None
        return np.logaddexp.accumulate(x, axis, dtype=wide).astype(x.dtype, copy=False)
    return _by_doubling(xp, xp.logaddexp, x, axis)


def _running_logsumexp_vjp(g: Any, x: Any, y: Any, axis: int) -> Any:
    """``dx[i] = exp(x[i] - y[i]) * s[i]``, ``s[i] = g[i] + exp(y[i] - y[i + 1]) * s[i + 1]``."""
    if is_short(x.dtype):  # whose y are rounded to steps of a tenth and more
        x = cast(x, float32)
        y = running_logsumexp(x, axis=axis)
    s = recurrence(share(y, neighbour(y, axis, 1, edge=np.inf)), g, axis, reverse=True)
    return share(x, y) * s


running_logsumexp.defvjp(x=_running_logsumexp_vjp)


@takes_axis
@lifts_numbers
def logcumsumexp(input: Any, dim: int) -> Any:
    """``log(cumsum(exp(input), dim))`` without overflow.

    Parameters
    ----------
    input : Tensor
        Of any shape.
    dim : int
        The axis.

    Returns
    -------
    Tensor
        Of `input`'s shape and float dtype.

    Examples
    --------
    >>> tl.logcumsumexp(tl.tensor([0.0, 0.0, 0.0]), dim=0)
    tensor([0.       , 0.6931472, 1.0986123])
    """
    return running_logsumexp(input, axis=one_dim(dim, len(input.shape), "logcumsumexp"))


def _by_doubling(xp: ModuleType, join: Any, x: Array, axis: int) -> Array:
    """A scan of an associative function of two arrays, in log2(n) passes, as in `recurrence`."""
    y = xp.moveaxis(x, axis, -1).copy()
    step = 1
    while step < y.shape[-1]:
        y[..., step:] = join(y[..., step:], y[..., :-step])
        step *= 2
    return xp.moveaxis(y, -1, axis)


# --- extremes -----------------------------------------------------------------------------------


@primitive
def place_of_running_extreme(xp: ModuleType, x: Array, *, axis: int, largest: bool) -> Array:
    """Index of the last of the largest (or smallest) elements so far; of the last NaN, if any."""
    x = widened(x)
    best = running_extreme(xp, x, axis, largest)
    newest = x == best
    if x.dtype.kind == "f":
        newest |= xp.isnan(x)
    shape = [1] * x.ndim
    shape[axis] = -1
    return running_extreme(xp, xp.where(newest, xp.arange(x.shape[axis]).reshape(shape), 0), axis)


def running_extreme(xp: ModuleType, x: Array, axis: int, largest: bool = True) -> Array:
    """Largest (or smallest) element so far; NaN from the first NaN on."""
    join = xp.maximum if largest else xp.minimum
    return join.accumulate(x, axis) if xp is np else _by_doubling(xp, join, x, axis)


def _running(input: Any, dim: int, largest: bool, pair: Any) -> Any:
    axis = one_dim(dim, len(input.shape), pair.__name__)
    indices = place_of_running_extreme(input, axis=axis, largest=largest)
    return pair(take_along_axis(input, indices, axis=axis), indices)


@takes_axis
@lifts_numbers
def cummax(input: Any, dim: int) -> Any:
    """Largest element so far along `dim`, and where it is.

    Parameters
    ----------
    input : Tensor
        Of any shape.

    Returns
    -------
    values, indices : Tensor
        A named tuple. Of equal elements the last counts, to which the gradient goes; from the first
        NaN on all values are NaN.

    Examples
    --------
    >>> tl.cummax(tl.tensor([1.0, 3.0, 2.0]), dim=0)
    cummax(values=tensor([1., 3., 3.]), indices=tensor([0, 1, 1]))
    """
    return _running(input, dim, True, return_types.cummax)


@takes_axis
@lifts_numbers
def cummin(input: Any, dim: int) -> Any:
    """Smallest element so far along `dim`, and where it is; results are those of `cummax`.

    Parameters
    ----------
    input : Tensor
        Of any shape.

    Returns
    -------
    values, indices : Tensor
        A named tuple.

    Examples
    --------
    >>> tl.cummin(tl.tensor([3.0, 1.0, 2.0]), dim=0)
    cummin(values=tensor([3., 1., 1.]), indices=tensor([0, 1, 1]))
    """
    return _running(input, dim, False, return_types.cummin)
