"""Comparisons, logic, bits, and choosing between two arrays. Shapes broadcast."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tensorlite.backend import Array, array_backend, is_array
from tensorlite.backend.dtypes import is_floating, result_type, weak
from tensorlite.ops.compiled.arrays import host_number, packed
from tensorlite.ops.promotion import cast, choices, same_dtype
from tensorlite.primitive import primitive
from tensorlite.tensor import Tensor

__all__ = [
    "allclose",
    "bitwise_and",
    "bitwise_left_shift",
    "bitwise_not",
    "bitwise_or",
    "bitwise_right_shift",
    "bitwise_xor",
    "eq",
    "equal",
    "ge",
    "greater",
    "greater_equal",
    "gt",
    "isclose",
    "isfinite",
    "isinf",
    "isnan",
    "isneginf",
    "isposinf",
    "isreal",
    "le",
    "less",
    "less_equal",
    "logical_and",
    "logical_not",
    "logical_or",
    "logical_xor",
    "lt",
    "masked_fill",
    "ne",
    "not_equal",
]


@primitive(operands=same_dtype)
def eq(xp: Any, x1: Array, x2: Array) -> Array:
    """Whether ``input == other``, element by element.

    Examples
    --------
    >>> tl.eq(tl.tensor([5.0, -3.0]), tl.tensor([2.0, 2.0]))
    tensor([False, False])
    """
    return xp.equal(x1, x2)


@primitive(operands=same_dtype)
def ne(xp: Any, x1: Array, x2: Array) -> Array:
    """Whether ``input != other``, element by element.

    Examples
    --------
    >>> tl.ne(tl.tensor([5.0, -3.0]), tl.tensor([2.0, 2.0]))
    tensor([ True,  True])
    """
    return xp.not_equal(x1, x2)


@primitive(operands=same_dtype)
def lt(xp: Any, x1: Array, x2: Array) -> Array:
    """Whether ``input < other``, element by element.

    Examples
    --------
    >>> tl.lt(tl.tensor([5.0, -3.0]), tl.tensor([2.0, 2.0]))
    tensor([False,  True])
    """
    return xp.less(x1, x2)


@primitive(operands=same_dtype)
def le(xp: Any, x1: Array, x2: Array) -> Array:
    """Whether ``input <= other``, element by element.

    Examples
    --------
    >>> tl.le(tl.tensor([5.0, -3.0]), tl.tensor([2.0, 2.0]))
    tensor([False,  True])
    """
    return xp.less_equal(x1, x2)


@primitive(operands=same_dtype)
def gt(xp: Any, x1: Array, x2: Array) -> Array:
    """Whether ``input > other``, element by element.

    Examples
    --------
    >>> tl.gt(tl.tensor([5.0, -3.0]), tl.tensor([2.0, 2.0]))
    tensor([ True, False])
    """
    return xp.greater(x1, x2)


@primitive(operands=same_dtype)
def ge(xp: Any, x1: Array, x2: Array) -> Array:
    """Whether ``input >= other``, element by element.

    Examples
    --------
    >>> tl.ge(tl.tensor([5.0, -3.0]), tl.tensor([2.0, 2.0]))
    tensor([ True, False])
    """
    return xp.greater_equal(x1, x2)


not_equal, less, less_equal, greater, greater_equal = ne, lt, le, gt, ge


@primitive
def isnan(xp: Any, x: Array) -> Array:
    """Whether each element is NaN.

    Examples
    --------
    >>> tl.isnan(tl.tensor([-1.5, 0.0, 2.0]))
    tensor([False, False, False])
    """
    return xp.isnan(x)


@primitive
def isinf(xp: Any, x: Array) -> Array:
    """Whether each element is infinite.

    Examples
    --------
    >>> tl.isinf(tl.tensor([-1.5, 0.0, 2.0]))
    tensor([False, False, False])
    """
    return xp.isinf(x)


@primitive
def isfinite(xp: Any, x: Array) -> Array:
    """Whether each element is neither infinite nor NaN.

    Examples
    --------
    >>> tl.isfinite(tl.tensor([-1.5, 0.0, 2.0]))
    tensor([ True,  True,  True])
    """
    return xp.isfinite(x)


def isposinf(input: Any) -> Any:
    """Whether each element is positive infinity.

    Examples
    --------
    >>> tl.isposinf(tl.tensor([-1.5, 0.0, 2.0]))
    tensor([False, False, False])
    """
    return eq(input, math.inf)


def isneginf(input: Any) -> Any:
    """Whether each element is negative infinity.

    Examples
    --------
    >>> tl.isneginf(tl.tensor([-1.5, 0.0, 2.0]))
    tensor([False, False, False])
    """
    return eq(input, -math.inf)


def isreal(input: Any) -> Any:
    """Whether each element is a real number: all are.

    Examples
    --------
    >>> tl.isreal(tl.tensor([-1.5, 0.0, 2.0]))
    tensor([ True,  True,  True])
    """
    return eq(input, input) | isnan(input)


@primitive
def logical_and(xp: Any, x1: Array, x2: Array) -> Array:
    """Whether both elements are nonzero.

    Examples
    --------
    >>> tl.logical_and(tl.tensor([5.0, -3.0]), tl.tensor([2.0, 2.0]))
    tensor([ True,  True])
    """
    return xp.logical_and(x1, x2)


@primitive
def logical_or(xp: Any, x1: Array, x2: Array) -> Array:
    """Whether at least one of two elements is nonzero.

    Examples
    --------
    >>> tl.logical_or(tl.tensor([5.0, -3.0]), tl.tensor([2.0, 2.0]))
    tensor([ True,  True])
    """
    return xp.logical_or(x1, x2)


@primitive
def logical_xor(xp: Any, x1: Array, x2: Array) -> Array:
    """Whether exactly one of two elements is nonzero.

    Examples
    --------
    >>> tl.logical_xor(tl.tensor([5.0, -3.0]), tl.tensor([2.0, 2.0]))
    tensor([False, False])
    """
    return xp.logical_xor(x1, x2)


@primitive
def logical_not(xp: Any, x: Array) -> Array:
    """Whether each element is zero.

    Examples
    --------
    >>> tl.logical_not(tl.tensor([-1.5, 0.0, 2.0]))
    tensor([False,  True, False])
    """
    return xp.logical_not(x)


@primitive(operands=same_dtype)
def bitwise_and(xp: Any, x1: Array, x2: Array) -> Array:
    """Bits set in both integers (``&``); of booleans: both.

    Examples
    --------
    >>> tl.bitwise_and(tl.tensor([6, 3]), tl.tensor([4, 1]))
    tensor([4, 1])
    """
    return xp.bitwise_and(x1, x2)


@primitive(operands=same_dtype)
def bitwise_or(xp: Any, x1: Array, x2: Array) -> Array:
    """Bits set in either integer (``|``); of booleans: either.

    Examples
    --------
    >>> tl.bitwise_or(tl.tensor([6, 3]), tl.tensor([4, 1]))
    tensor([6, 3])
    """
    return xp.bitwise_or(x1, x2)


@primitive(operands=same_dtype)
def bitwise_xor(xp: Any, x1: Array, x2: Array) -> Array:
    """Bits set in exactly one of two integers (``^``).

    Examples
    --------
    >>> tl.bitwise_xor(tl.tensor([6, 3]), tl.tensor([4, 1]))
    tensor([2, 2])
    """
    return xp.bitwise_xor(x1, x2)


@primitive
def bitwise_not(xp: Any, x: Array) -> Array:
    """Bits not set in an integer (``~``); of booleans: not.

    Examples
    --------
    >>> tl.bitwise_not(tl.tensor([True, False]))
    tensor([False,  True])
    """
    return xp.invert(x)


@primitive(operands=same_dtype)
def bitwise_left_shift(xp: Any, x1: Array, x2: Array) -> Array:
    """The bits of `input`, moved up by `other` places (``<<``).

    Examples
    --------
    >>> tl.bitwise_left_shift(tl.tensor([6, 3]), tl.tensor([4, 1]))
    tensor([96,  6])
    """
    _refuse_booleans(x1, x2)
    return xp.left_shift(x1, x2)


@primitive(operands=same_dtype)
def bitwise_right_shift(xp: Any, x1: Array, x2: Array) -> Array:
    """The bits of `input`, moved down by `other` places (``>>``).

    Examples
    --------
    >>> tl.bitwise_right_shift(tl.tensor([6, 3]), tl.tensor([4, 1]))
    tensor([0, 1])
    """
    _refuse_booleans(x1, x2)
    return xp.right_shift(x1, x2)


def _refuse_booleans(x1: Any, x2: Any) -> None:
    if np.result_type(x1).kind == np.result_type(x2).kind == "b":
        raise TypeError("booleans have no bits to move: use t.int() first")


@primitive(name="where", operands=choices)
def select(xp: Any, condition: Array, x1: Array, x2: Array) -> Array:
    """`x1` where `condition` holds, `x2` elsewhere: `where` of three."""
    _check_condition(condition)
    if condition.__class__ is np.ndarray and condition.dtype == np.bool_:
        if _is_zero(x2) and x1.__class__ is np.ndarray and is_floating(x1.dtype):
            return or_zero(x1, condition)
        if _is_zero(x1) and x2.__class__ is np.ndarray and is_floating(x2.dtype):
            return or_zero(x2, ~condition)
    return xp.where(condition, *weak(x1, x2))


def _is_zero(x: Any) -> bool:
    return x.__class__ in (int, float) and x == 0 and math.copysign(1, x) == 1


def or_zero(x: np.ndarray, condition: np.ndarray) -> np.ndarray:
    """`x` where `condition` holds, 0 elsewhere, by its bits.

    Of masks without a pattern `numpy.where` guesses half of all elements wrong: it takes forty
    times as long. A product with the mask would keep NaN and infinity.
    """
    return (x.view(_BITS[x.itemsize]) * condition).view(x.dtype)


_BITS = {n: np.dtype(f"i{n}") for n in (2, 4, 8)}


select.defvjp(
    x1=lambda g, condition: select(condition, g, 0),
    x2=lambda g, condition: select(condition, 0, g),
)


def _select(k: Any, condition: Array, x1: Any, x2: Any) -> Any:
    numbers = [host_number(k, x) for x in (x1, x2)]
    given = [x for x, number in zip((x1, x2), numbers, strict=True) if number is None]
    if not given or not is_array(condition) or condition.dtype.char != "?":
        return NotImplemented
    arrays = packed(*given)
    if arrays is None or arrays[0].shape != arrays[-1].shape:
        return NotImplemented
    shape = arrays[0].shape
    if condition.shape != shape:
        if condition.ndim > len(shape) or not _fits(condition.shape, shape):
            return NotImplemented
        condition = array_backend((condition,)).xp.broadcast_to(condition, shape)
    if not condition.flags.c_contiguous:
        condition = array_backend((condition,)).copy(condition)
    condition = condition.view(np.uint8)
    y = k.empty(shape, arrays[0].dtype)
    if len(arrays) == 2:
        k.select(condition, *arrays, y, y.size)
    else:
        second = numbers[0] is None
        k.select_or(condition, *arrays, y, y.size, float(numbers[second]), float(not second))
    return y


select.kernel(_select, from_size=512)  # fewer NumPy has chosen before a kernel is called


def _fits(shape: tuple, target: tuple) -> bool:
    """Whether a shape of no more axes broadcasts to another without enlarging it."""
    return all(n in (1, m) for n, m in zip(reversed(shape), reversed(target), strict=False))


def _check_condition(condition: Any) -> None:
    dtype = getattr(condition, "dtype", np.dtype(bool))
    if dtype.kind != "b" and dtype != np.uint8:
        raise TypeError(f"condition is {dtype}: it must be bool; write condition != 0")


def where(condition: Any, input: Any, other: Any) -> Any:
    """`input` where `condition` holds, `other` elsewhere; see `ops.gathering.where`."""
    chosen = select(condition, input, other)
    if isinstance(condition, Tensor):
        numbers = isinstance(input, (int, float)) and isinstance(other, (int, float))
    else:  # in a rule, where one of NumPy's numbers is an array without axes
        numbers = not (hasattr(input, "dtype") or hasattr(other, "dtype"))
    return cast(chosen, result_type(input, other)) if numbers else chosen


def masked_fill(input: Any, mask: Any, value: Any) -> Any:
    """`input` with `value` where `mask` holds.

    Parameters
    ----------
    input : Tensor
        Any shape and dtype, which the result has too.
    mask : Tensor of bool
        Broadcasts with `input`.
    value : number or Tensor of no axes
        Rounded or cut to `input`'s dtype.

    Returns
    -------
    Tensor
        A copy, of `input`'s shape and dtype.

    Raises
    ------
    TypeError
        If `mask` is not of bool.
    ValueError
        If `value` has axes.

    Examples
    --------
    >>> tl.masked_fill(tl.tensor([1.0, 2.0, 3.0]), tl.tensor([True, False, True]), 0.0)
    tensor([0., 2., 0.])
    """
    dtype = getattr(mask, "dtype", None)
    if dtype is None or dtype.kind != "b":
        raise TypeError(f"masked_fill: mask is {dtype or type(mask)}: it must be of bool")
    if getattr(value, "ndim", 0):
        raise ValueError(
            f"masked_fill: value of shape {value.shape}: it must be one number; for several, "
            "use tl.where(mask, value, input)"
        )
    if isinstance(value, (int, float)) and input.dtype.kind in "iub":
        value = bool(value) if input.dtype.kind == "b" else int(value)
    elif getattr(value, "dtype", input.dtype) != input.dtype:
        value = cast(value, input.dtype)
    return select(mask, value, input)


# --- alike ------------------------------------------------------------------------------------


def isclose(
    input: Any, other: Any, rtol: float = 1e-05, atol: float = 1e-08, equal_nan: bool = False
) -> Any:
    """Whether ``|input - other| <= atol + rtol * |other|``, element by element.

    Parameters
    ----------
    input, other : Tensor
        Of one dtype; they broadcast. Infinities are close to themselves alone.
    rtol, atol
        Not negative.
    equal_nan
        Whether NaN is close to NaN.

    Examples
    --------
    >>> tl.isclose(tl.tensor([5.0, -3.0]), tl.tensor([2.0, 2.0]))
    tensor([False, False])
    """
    if rtol < 0 or atol < 0:
        raise ValueError(f"isclose: rtol={rtol} and atol={atol} must not be negative")
    for x in (input, other):
        if not hasattr(x, "dtype"):
            raise TypeError(f"isclose: {x!r} is no Tensor")
    dtypes = [input.dtype, other.dtype]
    if dtypes[0] != dtypes[1]:
        raise TypeError(f"isclose: input is {dtypes[0]}, other {dtypes[1]}: make them of one dtype")
    return close(input, other, rtol=rtol, atol=atol, equal_nan=equal_nan)


@primitive(name="isclose")
def close(xp: Any, x1: Array, x2: Array, *, rtol: float, atol: float, equal_nan: bool) -> Array:
    """`isclose` of arrays."""
    same = x1 == x2
    if equal_nan:
        same = same | (xp.isnan(x1) & xp.isnan(x2))
    if np.result_type(x1, x2).kind == "b" or (rtol == 0 and atol == 0):
        return same
    with np.errstate(invalid="ignore", over="ignore"):
        return same | (xp.isfinite(x2) & (xp.abs(x1 - x2) <= atol + rtol * xp.abs(x2)))


def allclose(
    input: Any, other: Any, rtol: float = 1e-05, atol: float = 1e-08, equal_nan: bool = False
) -> bool:
    """Whether all elements are close, see `isclose`.

    Parameters
    ----------
    input, other : Tensor
        Of shapes that broadcast.
    rtol, atol, equal_nan
        As of `isclose`.

    Raises
    ------
    RuntimeError
        If the dtypes differ.

    Examples
    --------
    >>> tl.allclose(tl.tensor([1.0, 2.0]), tl.tensor([1.0, 2.000001]))
    True
    """
    return bool(isclose(input, other, rtol, atol, equal_nan).all())


def equal(input: Any, other: Any) -> bool:
    """Whether two Tensors have the same shape and equal elements; NaN does not equal NaN.

    Parameters
    ----------
    input, other : Tensor
        Of any shapes.

    Raises
    ------
    TypeError
        If `other` is no Tensor.

    Examples
    --------
    >>> tl.equal(tl.tensor([1, 2]), tl.tensor([1, 2]))
    True
    """
    if not hasattr(other, "shape"):
        raise TypeError(f"equal: other is {type(other).__name__}: it must be a Tensor")
    if tuple(input.shape) != tuple(other.shape):
        return False
    return bool(eq(input, other).all())
