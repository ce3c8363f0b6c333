"""Distances and angles between vectors, and vectors of length 1."""

from __future__ import annotations

from typing import Any

import numpy as np

from tensorlite.backend import array_backend
from tensorlite.backend.dtypes import is_short
from tensorlite.ops.compare import where
from tensorlite.ops.elementwise import sqrt, square
from tensorlite.ops.faces import takes_axis
from tensorlite.ops.fused import widened
from tensorlite.ops.limits import maximum
from tensorlite.ops.linalg import matmul
from tensorlite.ops.norms import vector_norm
from tensorlite.ops.reduce import sum
from tensorlite.ops.shape import broadcast_to
from tensorlite.tensor import Tensor, tensor_of

__all__ = ["cdist", "cosine_similarity", "normalize", "pairwise_distance", "pdist"]


@takes_axis
def normalize(
    input: Tensor, p: float = 2.0, dim: Any = 1, eps: float = 1e-12, out: None = None
) -> Tensor:
    """`input` divided by its `p`-norm along `dim`, or by `eps` where that is larger.

    Parameters
    ----------
    input : Tensor
        Of any shape and a float dtype.
    p : float
        Which norm.
    dim : int or sequence of int
    eps : float
    out : None
        Taken as torch takes it; only None.

    Returns
    -------
    Tensor
        Of `input`'s shape.

    Raises
    ------
    TypeError
        If `out` is given.

    Examples
    --------
    >>> F.normalize(tl.tensor([[3.0, 4.0]]))
    tensor([[0.6, 0.8]])
    """
    if out is not None:
        raise TypeError("normalize: out= is not supported: results are new Tensors")
    return input / maximum(vector_norm(input, ord=p, axis=dim, keepdims=True), eps)


@takes_axis
def cosine_similarity(x1: Tensor, x2: Tensor, dim: int = 1, eps: float = 1e-8) -> Tensor:
    """Cosine of the angle between vectors along `dim`; lengths below `eps` count as `eps`.

    `x1` and `x2` broadcast.

    Parameters
    ----------
    x1, x2 : Tensor
        Of shapes that broadcast.
    dim : int
        The axis of the vectors.
    eps : float
        As above.

    Returns
    -------
    Tensor
        Without the axis `dim`.

    Examples
    --------
    >>> tl.cosine_similarity(tl.tensor([[1.0, 0.0]]), tl.tensor([[1.0, 1.0]]))
    tensor([0.70710677])
    """
    shape = np.broadcast_shapes(x1.shape, x2.shape)
    units = []
    for x in (broadcast_to(x, shape) for x in (x1, x2)):
        length = vector_norm(x, ord=2, axis=dim, keepdims=True)
        # The gradient takes the length as it is.
        units.append(x / (length + (maximum(length, eps) - length).detach()))
    return sum(units[0] * units[1], axis=dim)


def pairwise_distance(
    x1: Tensor, x2: Tensor, p: float = 2.0, eps: float = 1e-6, keepdim: bool = False
) -> Tensor:
    """`p`-norm of ``x1 - x2 + eps`` along the last axis; the two broadcast.

    Parameters
    ----------
    x1, x2 : Tensor, shape (..., D)
    p, eps : float
        As above.
    keepdim : bool
        Whether the last axis stays, with length 1.

    Returns
    -------
    Tensor, shape (...)

    Examples
    --------
    >>> tl.pairwise_distance(tl.tensor([5.0, -3.0]), tl.tensor([2.0, 2.0]))
    tensor(5.8309517)
    """
    return vector_norm(x1 - x2 + eps, ord=p, axis=-1, keepdims=keepdim)


def pdist(input: Tensor, p: float = 2.0) -> Tensor:
    """`p`-norm distances of all pairs of rows i < j of `input` (N, M), shape (N·(N - 1)/2,).

    In the order (0, 1), (0, 2), …, (1, 2), ….

    Parameters
    ----------
    input : Tensor, shape (N, M)
    p : float
        Not negative.

    Returns
    -------
    Tensor, shape (N·(N − 1)/2,)

    Raises
    ------
    ValueError
        If `input` has not two axes, or `p` is negative.

    Examples
    --------
    >>> tl.pdist(tl.tensor([[4.0, 1.0], [1.0, 3.0]]))
    tensor([3.6055512])
    """
    if len(input.shape) != 2:
        raise ValueError(f"pdist: input of shape {input.shape} is not (rows, features)")
    if p < 0:
        raise ValueError(f"pdist: p must not be negative, but is {p}")
    first, second = np.triu_indices(input.shape[0], 1)
    return vector_norm(input[first] - input[second], ord=p, axis=-1)


_FEW = 25  # rows, up to which torch takes the differences themselves
_MODES = (
    "use_mm_for_euclid_dist_if_necessary",
    "use_mm_for_euclid_dist",
    "donot_use_mm_for_euclid_dist",
)


def cdist(x1: Tensor, x2: Tensor, p: float = 2.0, compute_mode: str = _MODES[0]) -> Tensor:
    """`p`-norm distances of all rows of `x1` (…, P, M) from all of `x2` (…, R, M).

    Parameters
    ----------
    x1, x2
        Leading axes broadcast.
    p
        Not negative; infinity gives the largest difference, 0 the number of differences.
    compute_mode
        With ``p=2`` distances may be computed by a matrix product, faster and with less memory, but
        less exact where they are small: by default where P or R is above 25;
        "use_mm_for_euclid_dist" always, "donot_use_mm_for_euclid_dist" never.

    Returns
    -------
    Tensor, shape (…, P, R)

    Raises
    ------
    RuntimeError
        If rows differ in length, `p` is negative, or a Tensor has fewer than two axes.
    ValueError
        If there is no such `compute_mode`.

    Examples
    --------
    >>> tl.cdist(tl.tensor([[0.0, 0.0]]), tl.tensor([[3.0, 4.0], [0.0, 1.0]]))
    tensor([[5., 1.]])
    """
    if min(len(x1.shape), len(x2.shape)) < 2 or x1.shape[-1] != x2.shape[-1]:
        raise ValueError(
            f"cdist: x1 of shape {x1.shape} and x2 of shape {x2.shape} must be (…, P, M) and "
            "(…, R, M)"
        )
    if not p >= 0:
        raise ValueError(f"cdist: p must not be negative, but is {p}")
    if compute_mode not in _MODES:
        raise ValueError(f"cdist: compute_mode {compute_mode!r} is none of {', '.join(_MODES)}")
    many = max(x1.shape[-2], x2.shape[-2]) > _FEW
    if p == 2 and (compute_mode == _MODES[1] or (compute_mode == _MODES[0] and many)):
        return _by_product(x1, x2)
    a = x1.reshape(*x1.shape[:-1], 1, x1.shape[-1])
    b = x2.reshape(*x2.shape[:-2], 1, *x2.shape[-2:])
    return vector_norm(a - b, ord=p, axis=-1)


def _by_product(x1: Tensor, x2: Tensor) -> Tensor:
    """|a - b|² = |a|² + |b|² - 2ab."""
    squares = sum(square(x1), axis=-1, keepdims=True) + sum(square(x2), axis=-1, keepdims=True).mT
    squares = squares - 2 * matmul(x1, x2.mT)
    apart = squares > 0  # a root has no slope at 0
    return where(apart, sqrt(where(apart, squares, 1.0)), 0.0)


def in_reach(x: Tensor) -> Tensor:
    """Vectors (…, D), divided by a power of two where their squares might not be numbers.

    For what depends on their direction alone.
    """
    raw = x.array
    if not raw.shape[-1]:
        return x
    backend = array_backend((raw,))
    xp = backend.xp
    dtype = np.dtype(np.float32) if is_short(raw.dtype) else raw.dtype
    largest = xp.abs(widened(raw)).max(axis=-1, keepdims=True)
    far = float(xp.finfo(raw.dtype).max if raw.dtype.kind == "f" else 3e38) ** 0.25
    outside = (largest > far) & xp.isfinite(largest)
    if isinstance(raw, np.ndarray) and not outside.any():
        return x
    exponent = xp.floor(xp.log2(xp.where(outside, largest, 1)))
    scale = xp.where(outside, xp.exp2(-exponent), 1).astype(dtype)
    return x * tensor_of(backend.cast(scale, raw.dtype))
