"""Norms: lengths of vectors, distances, and rows cut to a length."""

from __future__ import annotations

import math
from types import ModuleType
from typing import Any

import numpy as np

from tensorlite.backend import Array
from tensorlite.backend.dims import Axis, all_dims, check_not_empty, dropped, kept, one_dim
from tensorlite.backend.dtypes import as_dtype
from tensorlite.backend.totals import total
from tensorlite.ops.compare import where
from tensorlite.ops.elementwise import abs, cast, sign
from tensorlite.ops.extremes import to_equal
from tensorlite.ops.faces import takes_axis
from tensorlite.ops.fused import float32_inside
from tensorlite.ops.reduce import sum
from tensorlite.ops.shape import broadcast_to, transpose_axes
from tensorlite.ops.subgradients import infinite_at_zero, zero
from tensorlite.primitive import primitive

__all__ = ["dist", "norm", "renorm"]


@primitive(name="norm")
@float32_inside
def vector_norm(
    xp: ModuleType, x: Array, *, ord: float = 2, axis: Axis = None, keepdims: bool = False
) -> Array:
    """``sum(abs(x)**ord)**(1 / ord)`` along `axis`; over several axes, of all their elements.

    ``inf`` and ``-inf`` give the largest and smallest absolute value, 0 the number of elements that
    are not 0. No power overflows or vanishes on the way. Gradient 0 where the norm is 0; with an
    infinite `ord` equal extreme elements share it.

    Raises
    ------
    TypeError
        If `x` has no float dtype.
    IndexError or RuntimeError
        If `ord` is negative or infinite and there are no elements.
    """
    if x.dtype.kind in "biu":
        raise TypeError(f"the norm of {x.dtype} is no {x.dtype}: use x.float()")
    axes = all_dims(axis, x.ndim)
    if ord < 0 or ord == math.inf:
        check_not_empty("norm", x.shape, axis)
    return dropped(_norm(xp, x, ord, axes), x.shape, axes, keepdims)


def _norm(xp: ModuleType, x: Array, ord: float, axes: tuple[int, ...]) -> Array:
    """The norm along `axes`, which stay."""
    if ord == 0:
        return total(xp, (x != 0).astype(x.dtype), axes, keepdims=True)
    if ord in (math.inf, -math.inf):
        return getattr(xp.abs(x), "max" if ord > 0 else "min")(axis=axes, keepdims=True)
    if ord == 1:
        return total(xp, xp.abs(x), axes, keepdims=True)
    if xp is np:  # where a look at the result costs nothing, first without a look for the largest
        with np.errstate(over="ignore", under="ignore", divide="ignore"):
            powers = total(xp, _power(xp, x, ord), axes, keepdims=True)
        info = np.finfo(x.dtype)
        least = info.tiny / info.eps * max(x.size, 1)
        if ((powers > least) & (powers <= info.max)).all():
            return _root(xp, powers, ord)
    size = xp.abs(x)
    if ord > 0:
        # CuPy has no ``initial``: the zeros that it would mean are appended where nothing is.
        scale = size.max(axis=axes, keepdims=True) if size.size else total(xp, size, axes, True)
    else:
        scale = size.min(axis=axes, keepdims=True)
    scale = xp.where((scale == 0) | ~xp.isfinite(scale), 1, scale).astype(x.dtype)
    with np.errstate(divide="ignore", over="ignore", under="ignore"):
        return scale * _root(xp, total(xp, _power(xp, size / scale, ord), axes, keepdims=True), ord)


def _power(xp: ModuleType, x: Array, ord: float) -> Array:
    return x * x if ord == 2 else xp.abs(x) ** ord


def _root(xp: ModuleType, x: Array, ord: float) -> Array:
    return xp.sqrt(x) if ord == 2 else x ** (1 / ord)


def _norm_vjp(g: Any, x: Any, y: Any, ord: float, axis: Axis, keepdims: bool) -> Any:
    g, y = (kept(r, x.shape, axis, keepdims) for r in (g, y))
    if ord == 0:
        return broadcast_to(zero(g), x.shape)
    if ord in (math.inf, -math.inf):
        return to_equal(g * sign(x), abs(x), y, axis)
    if ord == 1:
        return g * sign(x)
    unit = x / infinite_at_zero(y)
    if ord == 2:
        return g * unit
    slope = abs(unit)
    if ord < 1:
        slope = infinite_at_zero(slope)  # to a negative power: the 0 we want
    return g * (sign(unit) * slope ** (ord - 1))


vector_norm.defvjp(x=_norm_vjp)


@takes_axis
def norm(
    input: Any,
    p: float | str | None = "fro",
    dim: Axis = None,
    keepdim: bool = False,
    out: None = None,
    dtype: Any = None,
) -> Any:
    """Norm of vectors, or of all elements as one vector.

    Parameters
    ----------
    input : Tensor
        Any shape, a float dtype.
    p : float, "fro" or "nuc"
        ``sum(abs(x)**p)**(1 / p)``; "fro" is 2; "nuc" is the sum of the singular values of the
        matrices in the two axes `dim`.
    dim : int or tuple of int, optional
        Along which axes; by default all.
    keepdim : bool
        Leave them with length 1.
    dtype : dtype, optional
        What the elements are cast to first.
    out : None
        Taken as torch takes it; only None.

    Returns
    -------
    Tensor
        Without the axes `dim`.

    Raises
    ------
    ValueError
        If there is no such `p`.

    Examples
    --------
    >>> tl.norm(tl.tensor([-1.5, 0.0, 2.0]))
    tensor(2.5)
    """
    if out is not None:
        raise TypeError("norm: out= is not supported: results are new Tensors")
    if dtype is not None:
        input = cast(input, as_dtype(dtype))
    if isinstance(p, str) and p not in ("fro", "nuc"):
        raise ValueError(f'norm: p={p!r}; use a number, "fro" or "nuc"')
    if p == "nuc":
        return _nuclear_norm(input, dim, keepdim)
    return vector_norm(input, ord=2 if p in ("fro", None) else p, axis=dim, keepdims=keepdim)


def _nuclear_norm(x: Any, dim: Axis, keepdim: bool) -> Any:
    from tensorlite.ops.decompositions import svd  # which few programs need

    ndim = len(x.shape)
    if (dim is None and ndim != 2) or (dim is not None and len(all_dims(dim, ndim)) != 2):
        raise ValueError(f"norm: p='nuc' of shape {tuple(x.shape)} needs the two axes of a matrix")
    axes = all_dims(dim, ndim)
    rest = tuple([i for i in range(ndim) if i not in axes])
    sums = sum(svd(transpose_axes(x, rest + axes))[1], axis=-1)
    return sums.reshape([1 if i in axes else n for i, n in enumerate(x.shape)]) if keepdim else sums


def dist(input: Any, other: Any, p: float = 2) -> Any:
    """The `p`-norm of ``input - other``, of all elements as one vector.

    Parameters
    ----------
    input, other : Tensor
        Of shapes that broadcast, and a float dtype.
    p : float
        Which norm.

    Returns
    -------
    Tensor, shape ()

    Examples
    --------
    >>> tl.dist(tl.tensor([5.0, -3.0]), tl.tensor([2.0, 2.0]))
    tensor(5.8309517)
    """
    return vector_norm(input - other, ord=p)


def renorm(input: Any, p: float, dim: int, maxnorm: float) -> Any:
    """Scale down each slice along `dim` whose `p`-norm exceeds `maxnorm`.

    Parameters
    ----------
    input : Tensor
        At least two axes.
    p : float
        Positive.
    dim : int
        The axis along which the slices are numbered.
    maxnorm : float
        At least 0.

    Returns
    -------
    Tensor
        Of `input`'s shape and dtype.

    Raises
    ------
    ValueError
        If `input` has fewer than two axes, or `p` or `maxnorm` is out of range.

    Examples
    --------
    >>> tl.renorm(tl.tensor([[3.0, 4.0], [0.3, 0.4]]), p=2, dim=0, maxnorm=1.0)
    tensor([[0.6, 0.8],
            [0.3, 0.4]])
    """
    ndim = len(input.shape)
    if ndim < 2:
        raise ValueError(f"renorm: at least two axes, not shape {tuple(input.shape)}")
    if not p > 0 or not maxnorm >= 0:
        raise ValueError(f"renorm: p={p} has to be positive, maxnorm={maxnorm} at least 0")
    axis = one_dim(dim, ndim, "renorm")
    others = tuple([i for i in range(ndim) if i != axis])
    length = vector_norm(input, ord=p, axis=others, keepdims=True)
    return input * where(length > maxnorm, maxnorm / (length + 1e-7), 1.0)
