"""Normalization of each place by its neighbours in other channels."""

from __future__ import annotations

import math

from tensorlite.ops.arithmetic import pow
from tensorlite.ops.elementwise import square
from tensorlite.ops.padding import pad_constant
from tensorlite.ops.pool import Window, avg_pool
from tensorlite.tensor import Tensor

__all__ = ["local_response_norm"]


def local_response_norm(
    input: Tensor, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0
) -> Tensor:
    """Divide by (k + alpha · mean of squares over `size` neighbouring channels)^beta.

    `input` is (N, C, …) with a spatial axis or more (Krizhevsky et al. 2012). Channels that are not
    there count as zeros.

    Parameters
    ----------
    input : Tensor
    size : int
        At least 1.
    alpha, beta, k : float

    Returns
    -------
    Tensor
        Of `input`'s shape.

    Raises
    ------
    ValueError
        If `input` has no spatial axis, or `size` is below 1.

    Examples
    --------
    >>> F.local_response_norm(tl.ones(1, 4, 2), 2).shape
    (1, 4, 2)
    """
    x = input
    if len(x.shape) < 3:
        raise ValueError(
            f"local_response_norm: input of shape {x.shape} must be (N, C, …) with a spatial axis"
        )
    if size < 1:
        raise ValueError(f"local_response_norm: size must be at least 1, not {size}")
    if 0 in x.shape:
        return x
    n, channels, *spatial = x.shape
    planes = square(x).reshape(n, 1, channels, math.prod(spatial))
    sides = ((0, 0), (0, 0), (size // 2, (size - 1) // 2), (0, 0))
    window = Window((size, 1), (1, 1), (0, 0), (1, 1))
    means = avg_pool(
        pad_constant(planes, widths=sides, value=0), window=window, count_include_pad=True
    )
    return x / pow(means.reshape(tuple(x.shape)) * alpha + k, beta)
