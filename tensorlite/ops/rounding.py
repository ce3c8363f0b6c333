"""Signs and rounding: functions of one number that are flat, or a straight line, almost everywhere.

Of integers they return integers, as they are.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from tensorlite.backend import Array
from tensorlite.ops.compare import isfinite, where
from tensorlite.ops.subgradients import zero
from tensorlite.primitive import primitive

__all__ = [
    "ceil",
    "fix",
    "floor",
    "frac",
    "frexp",
    "nan_to_num",
    "positive",
    "round",
    "sgn",
    "sign",
    "signbit",
    "trunc",
]


def _is_whole(x: Array) -> bool:
    return x.dtype.kind in "iub"


@primitive
def sign(xp: Any, x: Array) -> Array:
    """-1, 0 or 1; its gradient is 0.

    Examples
    --------
    >>> tl.sign(tl.tensor([-1.5, 0.0, 2.0]))
    tensor([-1.,  0.,  1.])
    """
    return x.copy() if x.dtype.kind == "b" else xp.sign(x)


sign.defvjp(x=zero)


def sgn(input: Any) -> Any:
    """-1, 0 or 1, as `sign`: there are no complex numbers, of which it would be a direction.

    Examples
    --------
    >>> tl.sgn(tl.tensor([-1.5, 0.0, 2.0]))
    tensor([-1.,  0.,  1.])
    """
    return sign(input)


@primitive
def signbit(xp: Any, x: Array) -> Array:
    """Whether the sign is a minus, which -0.0 has too.

    Examples
    --------
    >>> tl.signbit(tl.tensor([-1.5, 0.0, 2.0]))
    tensor([ True, False, False])
    """
    return x < 0 if _is_whole(x) else xp.signbit(x)


@primitive
def positive(xp: Any, x: Array) -> Array:
    """`input` itself.

    Raises
    ------
    TypeError
        For booleans.

    Examples
    --------
    >>> tl.positive(tl.tensor([-1.5, 0.0, 2.0]))
    tensor([-1.5,  0. ,  2. ])
    """
    return xp.positive(x)


positive.defvjp(x=lambda g: g)


@primitive
def floor(xp: Any, x: Array) -> Array:
    """The largest integer not above `input`; its gradient is 0.

    Examples
    --------
    >>> tl.floor(tl.tensor([-1.5, 0.0, 2.0]))
    tensor([-2.,  0.,  2.])
    """
    return x.copy() if _is_whole(x) else xp.floor(x)


floor.defvjp(x=zero)


@primitive
def ceil(xp: Any, x: Array) -> Array:
    """The smallest integer not below `input`; its gradient is 0.

    Examples
    --------
    >>> tl.ceil(tl.tensor([-1.5, 0.0, 2.0]))
    tensor([-1.,  0.,  2.])
    """
    return x.copy() if _is_whole(x) else xp.ceil(x)


ceil.defvjp(x=zero)


@primitive
def trunc(xp: Any, x: Array) -> Array:
    """`input` without its fraction; its gradient is 0.

    Examples
    --------
    >>> tl.trunc(tl.tensor([-1.5, 0.0, 2.0]))
    tensor([-1.,  0.,  2.])
    """
    return x.copy() if _is_whole(x) else xp.trunc(x)


trunc.defvjp(x=zero)
fix = trunc


@primitive
def round(xp: Any, x: Array, *, decimals: int = 0) -> Array:
    """`input` rounded to `decimals` places, halves to even; its gradient is 0.

    Parameters
    ----------
    decimals : int
        Places after the point; negative ones are before it.

    Examples
    --------
    >>> tl.round(tl.tensor([-1.5, 0.0, 2.0]))
    tensor([-2.,  0.,  2.])
    """
    return x.copy() if x.dtype.kind == "b" else xp.round(x, decimals)


round.defvjp(x=zero)


def frac(input: Any) -> Any:
    """The fraction of `input`, with its sign: ``input - trunc(input)``.

    Examples
    --------
    >>> tl.frac(tl.tensor([-1.5, 0.0, 2.0]))
    tensor([-0.5,  0. ,  0. ])
    """
    return input - trunc(input)


@primitive
def nan_to_num(
    xp: Any,
    x: Array,
    *,
    nan: float | None = 0.0,
    posinf: float | None = None,
    neginf: float | None = None,
) -> Array:
    """`input` with numbers in place of NaN and the infinities, where the gradient is 0.

    Parameters
    ----------
    input
        Any shape; integers stay as they are.
    nan
        For NaN; None is 0.
    posinf, neginf
        For the infinities; by default the largest and the smallest finite number of the dtype.

    Returns
    -------
    Tensor
        Of `input`'s shape and dtype.

    Examples
    --------
    >>> tl.nan_to_num(tl.tensor([-1.5, 0.0, 2.0]))
    tensor([-1.5,  0. ,  2. ])
    """
    if _is_whole(x):
        return x.copy()
    largest = float(_finfo(x.dtype).max)
    x = xp.where(xp.isnan(x), x.dtype.type(0.0 if nan is None else nan), x)
    x = xp.where(x == xp.inf, x.dtype.type(largest if posinf is None else posinf), x)
    return xp.where(x == -xp.inf, x.dtype.type(-largest if neginf is None else neginf), x)


nan_to_num.defvjp(x=lambda g, x: where(isfinite(x), g, 0))


def _finfo(dtype: np.dtype) -> Any:
    if dtype.kind == "f":
        return np.finfo(dtype)
    import ml_dtypes

    return ml_dtypes.finfo(dtype)


class Frexp(NamedTuple):
    """What `frexp` returns."""

    mantissa: Any
    exponent: Any


@primitive(name="frexp")
def mantissa_and_exponent(xp: Any, x: Array) -> tuple[Array, Array]:
    """The two parts of `frexp`."""
    if _is_whole(x):
        raise TypeError("only floats have a mantissa")
    mantissa, exponent = xp.frexp(x if x.dtype.kind == "f" else x.astype(np.float32))
    return mantissa.astype(x.dtype, copy=False), exponent.astype(np.int32, copy=False)


def _of_mantissa(g: Any, needs: Any, y: Any) -> tuple[Any]:
    if g[0] is None:
        return (None,)
    # 2 to the power -exponent, by halves: the whole power overflows for the smallest numbers.
    half = -y[1] // 2
    return (g[0] * 2.0**half * 2.0 ** (-y[1] - half),)


mantissa_and_exponent.defvjp_joint(_of_mantissa)


def frexp(input: Any) -> Frexp:
    """Mantissa in ±[0.5, 1) and exponent: ``input = mantissa * 2**exponent``.

    Parameters
    ----------
    input : Tensor
        Floats of any shape.

    Returns
    -------
    Frexp
        A named tuple of `mantissa` (the dtype of `input`) and `exponent` (int32).
    mantissa, exponent : Tensor
        A named tuple, both of `input`'s shape: of its dtype, and int32.

    Raises
    ------
    TypeError
        If `input` is not floating point.

    Examples
    --------
    >>> tl.frexp(tl.tensor([3.0, 8.0]))
    Frexp(mantissa=tensor([0.75, 0.5 ]), exponent=tensor([2, 4], dtype=int32))
    """
    return Frexp(*mantissa_and_exponent(input))
