"""The computations of weight and spectral normalization."""

from __future__ import annotations

from tensorlite.nn import init
from tensorlite.nn.parameter import empty
from tensorlite.ops.elementwise import sqrt
from tensorlite.ops.linalg import matmul
from tensorlite.tape import no_grad
from tensorlite.tensor import Tensor


def norm_except(v: Tensor, dim: int) -> Tensor:
    """The norm of each slice along the axis `dim`, broadcast-ready; of all elements if −1."""
    squares = v * v
    if dim == -1:
        return sqrt(squares.sum())
    axes = tuple(axis for axis in range(v.ndim) if axis != dim % v.ndim)
    return sqrt(squares.sum(axes, True)) if axes else sqrt(squares)


def weight_of(g: Tensor, v: Tensor, dim: int) -> Tensor:
    """``v`` with the norms `g`."""
    return v * (g / norm_except(v, dim))


def unit(x: Tensor, eps: float) -> Tensor:
    """A vector of length 1, or less if it is shorter than `eps`."""
    return x / sqrt((x * x).sum()).clip(eps)


def as_matrix(weight: Tensor, dim: int) -> Tensor:
    """A weight with its axis `dim` as rows."""
    if dim != 0:
        weight = weight.permute(dim, *[axis for axis in range(weight.ndim) if axis != dim])
    return weight.reshape(weight.shape[0], -1)


def random_unit(n: int, like: Tensor, eps: float) -> Tensor:
    """A random direction, on the device and in the dtype of another Tensor."""
    drawn = init.normal_(empty(n, device=like.device, dtype=like.dtype)).detach()
    return unit(drawn, eps)


def power_iterations(matrix: Tensor, u: Tensor, v: Tensor, times: int, eps: float) -> None:
    """Turn `u`, and then `v`, in place towards the first singular vectors."""
    with no_grad():
        matrix = matrix.detach()
        for _ in range(times):
            u.copy_(unit(matmul(matrix, v), eps))
            v.copy_(unit(matmul(matrix.mT, u), eps))


def largest_singular_value(matrix: Tensor, u: Tensor, v: Tensor) -> Tensor:
    """Its estimate from the singular vectors, which later iterations may change."""
    u, v = u.detach().clone(), v.detach().clone()
    return matmul(u, matmul(matrix, v))
