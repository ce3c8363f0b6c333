"""The bilinear form: linear in each of its two inputs."""

from __future__ import annotations

import math

from tensorlite.ops.linalg import matmul
from tensorlite.ops.reduce import sum
from tensorlite.tensor import Tensor

__all__ = ["bilinear"]


def bilinear(input1: Tensor, input2: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """``input1ᵀ weight[k] input2 + bias[k]`` for each k.

    Parameters
    ----------
    input1, input2
        Shapes (…, A) and (…, B), with the same leading axes.
    weight
        Shape (out, A, B).
    bias
        Shape (out,), or None.

    Returns
    -------
    Tensor, shape (…, out)

    Raises
    ------
    ValueError
        If the shapes do not fit.

    Examples
    --------
    >>> tl.bilinear(tl.ones(2, 3), tl.ones(2, 4), tl.ones(5, 3, 4)).shape
    (2, 5)
    """
    if (
        len(weight.shape) != 3
        or min(len(input1.shape), len(input2.shape)) < 1
        or input1.shape[:-1] != input2.shape[:-1]
        or (input1.shape[-1], input2.shape[-1]) != tuple(weight.shape[1:])
    ):
        raise ValueError(
            f"bilinear: input1 of shape {input1.shape}, input2 of {input2.shape} and weight of "
            f"{weight.shape} must be (…, A), (…, B) and (out, A, B)"
        )
    out, a, b = weight.shape
    if bias is not None and bias.shape != (out,):
        raise ValueError(f"bilinear: bias of shape {bias.shape} must be {(out,)}")
    before = tuple(input1.shape[:-1])
    rows = math.prod(before)
    forms = matmul(input1.reshape(rows, a), weight.permute(1, 0, 2).reshape(a, out * b))
    products = forms.reshape(rows, out, b) * input2.reshape(rows, 1, b)
    y = sum(products, axis=-1, dtype=products.dtype)
    y = y.reshape(*before, out)
    return y if bias is None else y + bias
