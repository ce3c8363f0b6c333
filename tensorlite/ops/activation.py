"""Activation functions."""

from __future__ import annotations

import math
from types import ModuleType
from typing import Any

from tensorlite.backend import Array
from tensorlite.ops.arithmetic import minimum
from tensorlite.ops.elementwise import erf, exp
from tensorlite.ops.fused import float32_inside, fused
from tensorlite.ops.splitting import chunk
from tensorlite.ops.trigonometry import tanh
from tensorlite.primitive import primitive
from tensorlite.tensor import Tensor

__all__ = [
    "celu",
    "elu",
    "gelu",
    "glu",
    "hardsigmoid",
    "hardswish",
    "hardtanh",
    "leaky_relu",
    "mish",
    "relu",
    "relu6",
    "selu",
    "sigmoid",
    "silu",
    "softplus",
]

# --- piecewise linear -------------------------------------------------------------------------
#
# Masks multiply: selecting with `where` costs NumPy a mispredicted branch an element.


@primitive
def relu(xp: ModuleType, x: Array) -> Array:
    """``max(x, 0)``; its derivative at 0 is 0."""
    return xp.maximum(x, 0)


@primitive
def relu_backward(xp: ModuleType, dy: Array, out: Array) -> Array:
    """Cotangent of `relu`'s input from that of its output `out`."""
    return dy * (out > 0)


relu.defvjp(x=lambda g, y: relu_backward(g, y))
relu_backward.defvjp(dy=lambda g, out: relu_backward(g, out))


@primitive
@float32_inside
def leaky_relu(xp: ModuleType, x: Array, *, negative_slope: float = 0.01) -> Array:
    """Scale what is below 0 by `negative_slope`, which is also the derivative at 0."""
    return xp.maximum(x, 0) + negative_slope * xp.minimum(x, 0)


@fused
def leaky_relu_backward(dy: Any, x: Any, *, negative_slope: float) -> Any:
    """Cotangent of `leaky_relu`'s input."""
    return dy * (x > 0) + dy * (x <= 0) * negative_slope


leaky_relu.defvjp(
    x=lambda g, x, negative_slope: leaky_relu_backward(g, x, negative_slope=negative_slope)
)


@primitive
@float32_inside
def hardtanh(xp: ModuleType, x: Array, *, min_val: float = -1.0, max_val: float = 1.0) -> Array:
    """Clip `x` to [`min_val`, `max_val`]; the derivative at the bounds is 0."""
    if min_val >= max_val:
        raise ValueError(f"min_val {min_val} is not below max_val {max_val}")
    return xp.clip(x, min_val, max_val)


hardtanh.defvjp(x=lambda g, x, min_val, max_val: g * ((x > min_val) & (x < max_val)))


def relu6(x: Tensor) -> Tensor:
    """Clip `x` to [0, 6]; the derivative at the bounds is 0."""
    return hardtanh(x, min_val=0.0, max_val=6.0)


@primitive
@float32_inside
def hardsigmoid(xp: ModuleType, x: Array) -> Array:
    """`x` / 6 + 1/2, clipped to [0, 1]; the derivative at ±3 is 0."""
    return xp.clip(x / 6 + 0.5, 0, 1)


hardsigmoid.defvjp(x=lambda g, x: g * ((x > -3) & (x < 3)) / 6)


@primitive
@float32_inside
def hardswish(xp: ModuleType, x: Array) -> Array:
    """`x` · `hardsigmoid` (x) (Howard et al. 2019, "Searching for MobileNetV3")."""
    return x * hardsigmoid(x)


hardswish.defvjp(x=lambda g, x: g * (x >= 3) + g * ((x > -3) & (x < 3)) * (x / 3 + 0.5))


# --- smooth -----------------------------------------------------------------------------------


@primitive
@float32_inside
def sigmoid(xp: ModuleType, x: Array) -> Array:
    """1 / (1 + exp(-x)), to full relative precision at both ends."""
    small = xp.exp(-xp.abs(x))
    return xp.where(x >= 0, 1, small) / (1 + small)


@fused
def sigmoid_backward(dy: Any, out: Any) -> Any:
    """Cotangent of `sigmoid`'s input from that of its output `out`."""
    return dy * out * (1 - out)


sigmoid.defvjp(x=lambda g, y: sigmoid_backward(g, y))


@primitive
@float32_inside
def softplus(xp: ModuleType, x: Array, *, beta: float = 1.0) -> Array:
    """``log(1 + exp(beta * x)) / beta``, without overflow."""
    return xp.logaddexp(0, beta * x) / beta


@fused
def softplus_backward(dy: Any, x: Any, *, beta: float) -> Any:
    """Cotangent of `softplus`'s input."""
    return dy * sigmoid(beta * x)


softplus.defvjp(x=lambda g, x, beta: softplus_backward(g, x, beta=beta))


@primitive
@float32_inside
def silu(xp: ModuleType, x: Array) -> Array:
    """``x * sigmoid(x)``, also called swish."""
    return x * sigmoid(x)


@fused
def silu_backward(dy: Any, x: Any) -> Any:
    """Cotangent of `silu`'s input."""
    s = sigmoid(x)
    return dy * (s * (1 + x * (1 - s)))


silu.defvjp(x=lambda g, x: silu_backward(g, x))


@primitive
@float32_inside
def mish(xp: ModuleType, x: Array) -> Array:
    """``x * tanh(softplus(x))`` (Misra 2019)."""
    return x * xp.tanh(softplus(x))


@fused
def mish_backward(dy: Any, x: Any) -> Any:
    """Cotangent of `mish`'s input."""
    t = tanh(softplus(x))
    return dy * (t + x * (1 - t * t) * sigmoid(x))


mish.defvjp(x=lambda g, x: mish_backward(g, x))


@primitive
@float32_inside
def gelu(xp: ModuleType, x: Array, *, approximate: str = "none") -> Array:
    """``x * Φ(x)``, Φ being the normal distribution function (Hendrycks and Gimpel 2016).

    Parameters
    ----------
    x
        Any shape.
    approximate : {"none", "tanh"}
        "tanh" takes x/2 · (1 + tanh(√(2/π) (x + 0.044715 x³))).
    """
    if approximate == "tanh":
        return 0.5 * x * (1 + xp.tanh(_gelu_argument(x)))
    if approximate != "none":
        raise ValueError(f"approximate is 'none' or 'tanh', not {approximate!r}")
    return 0.5 * x * (1 + erf(x * math.sqrt(0.5)))


@fused
def gelu_backward(dy: Any, x: Any, *, approximate: str) -> Any:
    """Cotangent of `gelu`'s input."""
    if approximate == "tanh":
        t = tanh(_gelu_argument(x))
        slope = math.sqrt(2 / math.pi) * (1 + 3 * 0.044715 * x * x)
        return dy * (0.5 * (1 + t) + 0.5 * x * (1 - t * t) * slope)
    density = exp(-0.5 * x * x) * (1 / math.sqrt(2 * math.pi))
    return dy * (0.5 * (1 + erf(x * math.sqrt(0.5))) + x * density)


def _gelu_argument(x: Any) -> Any:
    return math.sqrt(2 / math.pi) * (x + 0.044715 * x * x * x)


gelu.defvjp(x=lambda g, x, approximate: gelu_backward(g, x, approximate=approximate))


# --- exponential linear units -----------------------------------------------------------------


@primitive(name="elu")
@float32_inside
def scaled_elu(
    xp: ModuleType, x: Array, *, alpha: float = 1.0, scale: float = 1.0, steepness: float = 1.0
) -> Array:
    """`scale` · x above 0, `scale` · `alpha` · (exp(`steepness` · x) - 1) below."""
    below = xp.expm1(steepness * xp.minimum(x, 0))
    return scale * (xp.maximum(x, 0) + alpha * below)


@fused
def elu_backward(dy: Any, x: Any, *, alpha: float, scale: float, steepness: float) -> Any:
    """Cotangent of `scaled_elu`'s input."""
    below = (alpha * steepness) * exp(steepness * minimum(x, 0.0))
    return scale * (dy * (x > 0) + dy * (x <= 0) * below)


scaled_elu.defvjp(
    x=lambda g, x, alpha, scale, steepness: elu_backward(
        g, x, alpha=alpha, scale=scale, steepness=steepness
    )
)


def elu(x: Tensor, alpha: float = 1.0) -> Tensor:
    """`alpha` · (exp(x) - 1) below 0, x above (Clevert et al. 2015)."""
    return scaled_elu(x, alpha=alpha)


def celu(x: Tensor, alpha: float = 1.0) -> Tensor:
    """`alpha` · (exp(x / `alpha`) - 1) below 0, x above: smooth for any alpha (Barron 2017)."""
    if alpha == 0:
        raise ValueError("celu: alpha must not be 0")
    return scaled_elu(x, alpha=alpha, steepness=1 / alpha)


def selu(x: Tensor) -> Tensor:
    """`elu` scaled so that mean 0 and variance 1 are kept (Klambauer et al. 2017)."""
    return scaled_elu(x, alpha=1.6732632423543772, scale=1.0507009873554805)


def glu(x: Tensor, axis: int = -1) -> Tensor:
    """Scale one half of `x` along `axis` by the sigmoid of the other (Dauphin et al. 2016)."""
    if x.shape[axis] % 2:
        raise ValueError(f"glu: axis {axis} of shape {x.shape} is of odd length: no two halves")
    a, b = chunk(x, 2, axis)
    return a * sigmoid(b)
