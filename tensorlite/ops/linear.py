"""The affine map of a fully connected layer."""

from __future__ import annotations

from types import ModuleType
from typing import Any

from tensorlite.backend import Array, array_backend
from tensorlite.backend.base import rows_of
from tensorlite.ops.channels import channel_sum
from tensorlite.ops.linalg import matmul
from tensorlite.ops.rectifiers import relu, relu_backward
from tensorlite.primitive import primitive
from tensorlite.tape import dense

__all__ = ["linear"]

_NOWHERE = (None, None, None)


@primitive
def linear(xp: ModuleType, x: Array, weight: Array, bias: Array | None = None) -> Array:
    """``input @ weight.T + bias``.

    Parameters
    ----------
    input
        Shape (…, in).
    weight
        Shape (out, in), as torch stores it.
    bias
        Shape (out,), or None.

    Returns
    -------
    Tensor, shape (…, out)

    Raises
    ------
    ValueError
        If the last axis of `input` is not as long as the second of `weight`.
    TypeError
        If the dtypes differ.

    Examples
    --------
    >>> F.linear(tl.tensor([1.0, 2.0]), tl.tensor([[3.0, 4.0]]), tl.tensor([0.5]))
    tensor([11.5])
    """
    _check(x, weight, bias)
    multiply = array_backend((x,)).matmul
    if bias is not None and x.dtype == weight.dtype == bias.dtype:
        y = multiply(rows_of(dense(x)), weight.T, bias)  # CUDA adds it in the same pass
    else:
        y = multiply(rows_of(dense(x)), weight.T)
        y = y if bias is None else y + bias
    return y if x.ndim == 2 else y.reshape(*x.shape[:-1], weight.shape[0])


def _check(x: Array, weight: Array, bias: Array | None) -> None:
    if weight.ndim != 2 or x.ndim < 1 or x.shape[-1] != weight.shape[1]:
        raise ValueError(
            f"linear: input of shape {x.shape} does not fit weight of shape {weight.shape}: "
            "the last axis of input must be as long as the second of weight (out, in)"
        )
    if x.dtype.kind in "biu" and weight.dtype.kind not in "biu":
        raise TypeError(f"linear: input is {x.dtype}, weight {weight.dtype}: give input.float()")
    if bias is not None and bias.shape != weight.shape[:1]:
        raise ValueError(
            f"linear: bias of shape {bias.shape} for weight of shape {weight.shape} (out, in); "
            f"it must be {weight.shape[:1]}"
        )


@primitive
def linear_relu(xp: ModuleType, x: Array, weight: Array, bias: Array | None = None) -> Array:
    """`relu` of `linear` in one pass, without an array in between; `nn.Sequential` uses it."""
    return relu(linear(x, weight, bias))


# --- gradients ------------------------------------------------------------------------------------


@primitive
def weight_gradient(xp: ModuleType, dy: Array, x: Array, *, into: Array | None = None) -> Array:
    """`dy`ᵀ @ `x`, in the array `into` if that is possible."""
    return array_backend((dy,)).matmul(dy.T, x, out=into)


weight_gradient.defvjp(
    dy=lambda g, x: matmul(x, g.mT),
    x=lambda g, dy: matmul(dy, g),
)


@primitive
def affine_gradients(
    xp: ModuleType,
    dy: Array,
    x: Array,
    weight: Array | None = None,
    out: Array | None = None,
    *,
    dweight: Array | None = None,
    dbias: Array | None = None,
) -> tuple[Array, ...]:
    """Gradients of `x` @ weightᵀ + bias from that of the result, `dy`.

    Parameters
    ----------
    weight
        Given where the gradient of `x` is wanted too.
    out
        The `relu` of the result, if `dy` is the gradient of that.
    dweight, dbias
        Arrays to put those two gradients in, if possible.

    Returns
    -------
    Gradients of x, if wanted, of weight, and of bias
    """
    dy = rows_of(dy if out is None else relu_backward(dy, out))
    both = array_backend((dy,)).matmul_and_row_sums(dy.T, rows_of(dense(x)), dweight, dbias)
    return both if weight is None else (matmul(dy, weight).reshape(x.shape), *both)


@affine_gradients.defvjp_composite
def _affine_gradients(
    dy: Any, x: Any, weight: Any, out: Any, dweight: None, dbias: None
) -> tuple[Any, ...]:
    dy = rows_of(dy if out is None else relu_backward(dy, out))
    both = matmul(dy.mT, rows_of(dense(x))), channel_sum(dy)
    return both if weight is None else (matmul(dy, weight).reshape(x.shape), *both)


def _x_gradient(g: Any, weight: Any, shape: tuple[int, ...]) -> Any:
    return matmul(rows_of(g), weight).reshape(shape)


linear.defvjp(
    x=lambda g, weight, x_shape: _x_gradient(g, weight, x_shape),
    weight=lambda g, x, *, into=None: weight_gradient(
        rows_of(g), rows_of(dense(x)), into and into[1]
    ),
    bias=lambda g, *, into=None: channel_sum(rows_of(g), into and into[2]),
)


@linear.defvjp_group("x", "weight", "bias")
def _all(g: Any, x: Any, weight: Any, *, into: tuple | None = None) -> tuple:
    _, dweight, dbias = into or _NOWHERE
    return affine_gradients(g, x, weight, None, dweight, dbias)


@linear.defvjp_group("weight", "bias")
def _weight_and_bias(g: Any, x: Any, *, into: tuple | None = None) -> tuple:
    _, dweight, dbias = into or _NOWHERE
    return affine_gradients(g, x, None, None, dweight, dbias)


linear_relu.defvjp(
    x=lambda g, y, weight, x_shape: _x_gradient(relu_backward(g, y), weight, x_shape),
    weight=lambda g, y, x, *, into=None: weight_gradient(
        rows_of(relu_backward(g, y)), rows_of(dense(x)), into and into[1]
    ),
    bias=lambda g, y, *, into=None: channel_sum(rows_of(relu_backward(g, y)), into and into[2]),
)


@linear_relu.defvjp_group("x", "weight", "bias")
def _gradients_through_relu(
    g: Any, y: Any, x: Any, weight: Any, *, into: tuple | None = None
) -> tuple:
    _, dweight, dbias = into or _NOWHERE
    return affine_gradients(g, x, weight, y, dweight, dbias)


@linear_relu.defvjp_group("weight", "bias")
def _parameter_gradients_through_relu(
    g: Any, y: Any, x: Any, *, into: tuple | None = None
) -> tuple:
    _, dweight, dbias = into or _NOWHERE
    return affine_gradients(g, x, None, y, dweight, dbias)


# --- kernels --------------------------------------------------------------------------------------

linear.on_host("new_linear")
linear_relu.on_host("new_linear_relu")
weight_gradient.on_host("new_weight_gradient")
affine_gradients.on_host("new_affine_gradients")


@affine_gradients.kernel
def _on_host(
    k: Any,
    dy: Array,
    x: Array,
    weight: Array | None = None,
    out: Array | None = None,
    *,
    dweight: Array | None,
    dbias: Array | None,
) -> Any:
    if not k.on_host:
        return NotImplemented
    dy = rows_of(dy if out is None else relu_backward(dy, out))
    both = weight_gradient(dy, rows_of(dense(x)), dweight), channel_sum(dy)
    return both if weight is None else (matmul(dy, weight).reshape(x.shape), *both)
