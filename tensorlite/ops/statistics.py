"""Variance and standard deviation, covariance and correlation."""

from __future__ import annotations

import math
import warnings
from types import ModuleType
from typing import Any

import numpy as np

from tensorlite.backend import Array
from tensorlite.backend.dims import Axis, all_dims, dropped, kept, reduced_count
from tensorlite.backend.dtypes import default_dtype
from tensorlite.backend.totals import total
from tensorlite.ops.compare import where
from tensorlite.ops.elementwise import cast
from tensorlite.ops.faces import takes_axis
from tensorlite.ops.fused import float32_inside
from tensorlite.ops.limits import clip
from tensorlite.ops.linalg import matmul
from tensorlite.ops.reduce import in_float32, mean, sum
from tensorlite.ops.subgradients import infinite_at_zero
from tensorlite.primitive import primitive

__all__ = ["corrcoef", "cov", "std", "std_mean", "var", "var_mean"]


@primitive(name="var")
@float32_inside
def variance(
    xp: ModuleType, x: Array, *, axis: Axis = None, correction: float = 1, keepdims: bool = False
) -> Array:
    """Sum of squared distances from the mean, divided by ``n - correction``."""
    return _variance(xp, "var", x, axis, correction, keepdims)


@primitive(name="std")
@float32_inside
def deviation(
    xp: ModuleType, x: Array, *, axis: Axis = None, correction: float = 1, keepdims: bool = False
) -> Array:
    """Square root of `variance`; gradient 0 where all elements are equal."""
    return xp.sqrt(_variance(xp, "std", x, axis, correction, keepdims))


def _variance(
    xp: ModuleType, name: str, x: Array, axis: Axis, correction: float, keepdims: bool
) -> Array:
    if x.dtype.kind in "biu":
        raise TypeError(f"the {name} of {x.dtype} is no {x.dtype}: use x.float().{name}()")
    axes = all_dims(axis, x.ndim)
    n = reduced_count(x.shape, axes)
    if n <= correction:
        warnings.warn(
            f"{name}(): {n} elements less a correction of {correction} leave no degree of freedom: "
            "the result is NaN or infinite",
            UserWarning,
            stacklevel=2,
        )
    with np.errstate(invalid="ignore", divide="ignore"):
        centred = x - total(xp, x, axes, keepdims=True) / n if n else x
        centred *= centred
        free = max(n - correction, 0)
        return dropped(
            total(xp, centred, axes, keepdims=True) / x.dtype.type(free), x.shape, axes, keepdims
        )


def _centred(x: Any, axis: Axis, correction: float) -> Any:
    """Distances from the mean over ``n - correction``, in float32 for short floats."""
    x = in_float32(x)
    free = reduced_count(x.shape, axis) - correction
    scale = 1 / free if free > 0 else math.inf
    return (x - mean(x, axis=axis, keepdims=True)) * scale


def _variance_vjp(g: Any, x: Any, axis: Axis, correction: float, keepdims: bool) -> Any:
    return 2 * kept(g, x.shape, axis, keepdims) * _centred(x, axis, correction)


def _deviation_vjp(g: Any, x: Any, y: Any, axis: Axis, correction: float, keepdims: bool) -> Any:
    each = kept(in_float32(g) / infinite_at_zero(in_float32(y)), x.shape, axis, keepdims)
    return each * _centred(x, axis, correction)


variance.defvjp(x=_variance_vjp)
deviation.defvjp(x=_deviation_vjp)


def _spread(
    name: str, of: Any, input: Any, dim: Any, unbiased: Any, correction: Any, keepdim: bool
) -> Any:
    """Read the two forms of torch's arguments: ``correction=``, or a bool `unbiased`."""
    if isinstance(dim, bool):
        if unbiased is not None:
            raise TypeError(f"{name}(): unbiased is given twice, and dim is not")
        dim, unbiased = None, dim
    if unbiased is not None and correction is not None:
        raise TypeError(f"{name}(): give correction or unbiased, not both")
    if correction is None:
        correction = 1 if unbiased is None else int(unbiased)
    return dim, of(input, axis=dim, correction=correction, keepdims=keepdim)


@takes_axis
def var(
    input: Any,
    dim: Axis = None,
    unbiased: bool | None = None,
    keepdim: bool = False,
    *,
    correction: float | None = None,
) -> Any:
    """Variance: the sum of squared distances from the mean, divided by ``n - correction``.

    Parameters
    ----------
    input : Tensor
        Any shape, a float dtype.
    dim : int or tuple of int, optional
        Along which axes; by default all. A bool here is `unbiased`.
    unbiased : bool, optional
        False is ``correction=0``.
    keepdim : bool
        Leave those axes with length 1.
    correction : float
        1 by default, as for a sample of a larger population; NumPy's `ddof`.

    Returns
    -------
    Tensor
        Without the axes `dim`.

    Raises
    ------
    TypeError
        If `input` has no float dtype.

    Warns
    -----
    UserWarning
        If there are no more elements than `correction`: the result is NaN or infinite.

    Examples
    --------
    >>> tl.var(tl.tensor([-1.5, 0.0, 2.0]))
    tensor(3.0833333)
    """
    return _spread("var", variance, input, dim, unbiased, correction, keepdim)[1]


@takes_axis
def std(
    input: Any,
    dim: Axis = None,
    unbiased: bool | None = None,
    keepdim: bool = False,
    *,
    correction: float | None = None,
) -> Any:
    """Standard deviation, the square root of `var`; gradient 0 where all elements are equal.

    Parameters are those of `var`.

    Parameters
    ----------
    input : Tensor
        Of any shape.
    dim, unbiased, keepdim, correction
        As of `var`.

    Returns
    -------
    Tensor
        Without the axes `dim`.

    Raises
    ------
    TypeError
        If `input` has no float dtype, or the arguments contradict each other.

    Examples
    --------
    >>> tl.std(tl.tensor([-1.5, 0.0, 2.0]))
    tensor(1.7559422)
    """
    return _spread("std", deviation, input, dim, unbiased, correction, keepdim)[1]


@takes_axis
def var_mean(
    input: Any,
    dim: Axis = None,
    unbiased: bool | None = None,
    keepdim: bool = False,
    *,
    correction: float | None = None,
) -> tuple[Any, Any]:
    """Variance and mean; parameters are those of `var`.

    Parameters
    ----------
    input : Tensor
        Of any shape.
    dim, unbiased, keepdim, correction
        As of `var`.

    Returns
    -------
    tuple of Tensor
        Both without the axes `dim`.

    Raises
    ------
    TypeError
        If `input` has no float dtype, or the arguments contradict each other.

    Examples
    --------
    >>> tl.var_mean(tl.tensor([1.0, 2.0, 3.0]))
    (tensor(1.), tensor(2.))
    """
    dim, y = _spread("var_mean", variance, input, dim, unbiased, correction, keepdim)
    return y, mean(input, axis=dim, keepdims=keepdim)


@takes_axis
def std_mean(
    input: Any,
    dim: Axis = None,
    unbiased: bool | None = None,
    keepdim: bool = False,
    *,
    correction: float | None = None,
) -> tuple[Any, Any]:
    """Standard deviation and mean; parameters are those of `var`.

    Parameters
    ----------
    input : Tensor
        Of any shape.
    dim, unbiased, keepdim, correction
        As of `var`.

    Returns
    -------
    tuple of Tensor
        Both without the axes `dim`.

    Raises
    ------
    TypeError
        If `input` has no float dtype, or the arguments contradict each other.

    Examples
    --------
    >>> tl.std_mean(tl.tensor([1.0, 2.0, 3.0]))
    (tensor(1.), tensor(2.))
    """
    dim, y = _spread("std_mean", deviation, input, dim, unbiased, correction, keepdim)
    return y, mean(input, axis=dim, keepdims=keepdim)


def cov(input: Any, *, correction: int = 1, fweights: Any = None, aweights: Any = None) -> Any:
    """Covariance matrix of variables in rows, observed in columns.

    Parameters
    ----------
    input : Tensor, shape (variables, observations) or (observations,)
    correction : int
        What is taken off the number of observations.
    fweights : integer Tensor, shape (observations,), optional
        How often each was observed.
    aweights : float Tensor, shape (observations,), optional
        How much each counts.

    Returns
    -------
    Tensor, shape (variables, variables), or () of a single variable

    Raises
    ------
    ValueError
        If `input` has more than two axes, or weights do not fit or are negative.

    Examples
    --------
    >>> tl.cov(tl.tensor([-1.5, 0.0, 2.0]))
    tensor(3.0833333)
    """
    if len(input.shape) > 2:
        raise ValueError(f"cov: at most two axes, not shape {tuple(input.shape)}")
    if input.dtype.kind in "biu":
        input = cast(input, default_dtype())
    rows = input.reshape((1, math.prod(input.shape))) if len(input.shape) < 2 else input
    n = rows.shape[1]
    weights = None
    for name, given, kinds in (("fweights", fweights, "iu"), ("aweights", aweights, "fV")):
        if given is None:
            continue
        if given.dtype.kind not in kinds or tuple(given.shape) != (n,):
            kind = "integers" if kinds == "iu" else "floats"
            raise ValueError(
                f"cov: {name} are {n} {kind}, one an observation, not {given.dtype} of shape "
                f"{tuple(given.shape)}"
            )
        if bool((given < 0).any()):
            raise ValueError(f"cov: {name} has negative numbers")
        weights = given if weights is None else weights * given
    if weights is None:
        whole, free = n, n - correction
        centred = weighted = rows - mean(rows, axis=1, keepdims=True)
    else:
        whole = sum(weights)
        centred = rows - sum(rows * weights, axis=1, keepdims=True) / whole
        weighted = centred * weights
        lost = correction
        if aweights is not None:
            lost = correction * sum(weights * aweights) / whole
        free = whole - lost
    c = _over(matmul(weighted, centred.swapaxes(0, 1)), free)
    return c if rows.shape[0] != 1 else c.reshape(())


def _over(products: Any, free: Any) -> Any:
    """``products / free``, as if `free` were 0 where it is negative."""
    if hasattr(free, "dtype"):
        return products / clip(free, 0)
    if free > 0:
        return products / free
    warnings.warn("cov(): no degree of freedom is left: NaN or inf", UserWarning, stacklevel=3)
    return where(products > 0, math.inf, where(products < 0, -math.inf, math.nan))


def corrcoef(input: Any) -> Any:
    """Correlation matrix of variables in rows, observed in columns; 1 of a single variable.

    Parameters
    ----------
    input : Tensor, shape (variables, observations) or (observations,)

    Returns
    -------
    Tensor, shape (variables, variables), or ()
        Between -1 and 1.

    Examples
    --------
    >>> tl.corrcoef(tl.tensor([-1.5, 0.0, 2.0]))
    tensor(1.)
    """
    c = cov(input)
    if len(c.shape) == 0:
        return c / c
    length = c.diagonal() ** 0.5
    return clip(c / length[:, None] / length[None, :], -1, 1)
