"""Activation functions.

For large arguments some formulas contain products like 0 · inf, whose limits are finite. There the
argument is clipped first, or the limit is returned.
"""

from __future__ import annotations

import math
from types import ModuleType
from typing import Any

from tensorlite.backend import Array
from tensorlite.ops.arithmetic import clamp, minimum
from tensorlite.ops.compare import select, where
from tensorlite.ops.elementwise import erf, exp
from tensorlite.ops.faces import takes_axis
from tensorlite.ops.fused import float32_inside, fused
from tensorlite.ops.promotion import floats
from tensorlite.ops.random import rand_like
from tensorlite.ops.trigonometry import tanh
from tensorlite.primitive import primitive
from tensorlite.random import Generator, default_generator
from tensorlite.tensor import Tensor

__all__ = [
    "celu",
    "elu",
    "gelu",
    "glu",
    "hardshrink",
    "hardsigmoid",
    "hardswish",
    "hardtanh",
    "leaky_relu",
    "logsigmoid",
    "mish",
    "prelu",
    "relu",
    "relu6",
    "rrelu",
    "selu",
    "sigmoid",
    "silu",
    "softplus",
    "softshrink",
    "softsign",
    "tanhshrink",
    "threshold",
]

# --- piecewise linear -------------------------------------------------------------------------


@primitive
def relu(xp: ModuleType, x: Array) -> Array:
    """``max(x, 0)``; its derivative at 0 is 0.

    Examples
    --------
    >>> tl.relu(tl.tensor([-1.5, 0.0, 2.0]))
    tensor([0., 0., 2.])
    """
    if x.dtype.kind == "b":
        raise TypeError("booleans have no rectified form: make them numbers first")
    return xp.maximum(x, 0)


@primitive
def relu_backward(xp: ModuleType, dy: Array, out: Array) -> Array:
    """Cotangent of `relu`'s input from that of its output `out`."""
    return xp.where(out > 0, dy, dy.dtype.type(0))


relu.defvjp(x=lambda g, y: relu_backward(g, y))
relu_backward.defvjp(dy=lambda g, out: relu_backward(g, out))
relu.kernel("relu")
relu_backward.kernel("relu_backward")


@primitive(operands=floats)
@float32_inside
def leaky_relu(xp: ModuleType, x: Array, *, negative_slope: float = 0.01) -> Array:
    """Scale what is below 0 by `negative_slope`, which is also the derivative at 0."""
    return xp.where(x > 0, x, negative_slope * x)


@fused
def leaky_relu_backward(dy: Any, x: Any, *, negative_slope: float) -> Any:
    """Cotangent of `leaky_relu`'s input."""
    return where(x > 0, dy, dy * negative_slope)


leaky_relu.defvjp(
    x=lambda g, x, negative_slope: leaky_relu_backward(g, x, negative_slope=negative_slope)
)
leaky_relu.kernel("leaky_relu", "negative_slope")
leaky_relu_backward.kernel("leaky_relu_backward", "negative_slope")


@primitive
@float32_inside
def hardtanh(xp: ModuleType, x: Array, *, min_val: float = -1.0, max_val: float = 1.0) -> Array:
    """Clip `x` to [`min_val`, `max_val`]; the derivative at the bounds is 0."""
    if min_val > max_val:
        raise ValueError(f"min_val {min_val} is above max_val {max_val}")
    if x.dtype.kind in "iu":
        min_val, max_val = int(min_val), int(max_val)
    return xp.clip(x, min_val, max_val)


hardtanh.defvjp(x=lambda g, x, min_val, max_val: where((x <= min_val) | (x >= max_val), 0, g))


def relu6(input: Tensor) -> Tensor:
    """Clip `input` to [0, 6]; the derivative at the bounds is 0.

    Examples
    --------
    >>> tl.relu6(tl.tensor([-1.5, 0.0, 2.0]))
    tensor([0., 0., 2.])
    """
    return hardtanh(input, min_val=0.0, max_val=6.0)


@primitive(operands=floats)
@float32_inside
def hardsigmoid(xp: ModuleType, x: Array) -> Array:
    """`x` / 6 + 1/2, clipped to [0, 1]; the derivative at ±3 is 0."""
    return xp.clip(x / 6 + 0.5, 0, 1)


hardsigmoid.defvjp(x=lambda g, x: where((x > -3) & (x < 3), g / 6, 0))


@primitive(operands=floats)
@float32_inside
def hardswish(xp: ModuleType, x: Array) -> Array:
    """`x` · `hardsigmoid` (x) (Howard et al. 2019, "Searching for MobileNetV3")."""
    return xp.maximum(x, -3) * hardsigmoid(x)


hardswish.defvjp(
    x=lambda g, x: where(x >= 3, g, where(x <= -3, 0, g * (clamp(x, -3, 3) / 3 + 0.5)))
)


def threshold(input: Tensor, threshold: float, value: float) -> Tensor:
    """`input` where it is above `threshold`, `value` elsewhere."""
    return select(input <= threshold, value, input)


def hardshrink(input: Tensor, lambd: float = 0.5) -> Tensor:
    """`input`, and 0 where it is in [-`lambd`, `lambd`].

    Examples
    --------
    >>> tl.hardshrink(tl.tensor([-1.5, 0.0, 2.0]))
    tensor([-1.5,  0. ,  2. ])
    """
    return select((input >= -lambd) & (input <= lambd), 0, input)


def softshrink(input: Tensor, lambd: float = 0.5) -> Tensor:
    """`input`, moved towards 0 by `lambd`; 0 where that would cross it.

    Examples
    --------
    >>> tl.softshrink(tl.tensor([-1.5, 0.0, 2.0]))
    tensor([-1. ,  0. ,  1.5])
    """
    if lambd < 0:
        raise ValueError(f"softshrink: lambd is {lambd}; it must not be negative")
    return input - clamp(input, -lambd, lambd)


def rrelu(
    input: Tensor,
    lower: float = 1.0 / 8,
    upper: float = 1.0 / 3,
    training: bool = False,
    generator: Generator = default_generator,
) -> Tensor:
    """`leaky_relu` with a slope drawn for each element (Xu et al. 2015).

    Parameters
    ----------
    input
        Any shape.
    lower, upper
        Between which the slopes are drawn evenly; when not training all are their mean.
    training
        Whether to draw.
    generator
        Where the slopes come from.

    Examples
    --------
    >>> tl.rrelu(tl.tensor([-1.5, 0.0, 2.0]))
    tensor([-0.34375,  0.     ,  2.     ])
    """
    if lower > upper:
        raise ValueError(f"rrelu: lower {lower} is above upper {upper}")
    if not training:
        return leaky_relu(input, (lower + upper) / 2)
    slope = lower + (upper - lower) * rand_like(input, generator=generator)
    return select(input <= 0, input * slope, input)


@primitive(name="prelu")
@float32_inside
def prelu_of_channels(xp: ModuleType, x: Array, weight: Array) -> Array:
    """`prelu` of x (n, channels, …) by weights (channels,), or of any x by one weight."""
    return xp.where(x > 0, x, _beside(weight, x) * x)


@fused
def prelu_backward(dy: Any, x: Any, weight: Any) -> tuple[Any, Any]:
    """Cotangents of both inputs of `prelu_of_channels`."""
    below = where(x > 0, 0, dy * where(x > 0, 0, x))
    axes = tuple(i for i in range(x.ndim) if i != 1 or weight.shape == (1,))
    return where(x > 0, dy, dy * _beside(weight, x)), below.sum(axis=axes).reshape(weight.shape)


def _beside(weight: Any, x: Any) -> Any:
    """The weights in a shape that broadcasts along the channels."""
    return weight if weight.shape == (1,) else weight.reshape(-1, *[1] * (x.ndim - 2))


prelu_of_channels.defvjp_joint(lambda g, needs, x, weight: prelu_backward(g, x, weight))


def prelu(input: Tensor, weight: Tensor) -> Tensor:
    """`input` where it is positive, else `weight` times it (He et al. 2015).

    Parameters
    ----------
    input
        Any shape; the channels are its axis 1, if there is one.
    weight
        One number, or one for each channel.
    """
    count = weight.numel() if isinstance(weight, Tensor) else weight.size
    if weight.ndim > 1:
        raise ValueError(f"prelu: weight of shape {tuple(weight.shape)}: one axis at most")
    if not input.ndim and count != 1:
        raise ValueError(f"prelu: {count} weights for one number")
    channels = input.shape[1] if input.ndim > 1 else 1
    if count not in (1, channels):
        raise ValueError(
            f"prelu: {count} weights for an input of shape {tuple(input.shape)}, which has "
            f"{channels} channels: give one weight, or one a channel"
        )
    if not weight.ndim:
        weight = weight.reshape(1)
    if not input.ndim:
        return prelu_of_channels(input.reshape(1), weight).reshape(())
    return prelu_of_channels(input, weight)


# --- smooth -----------------------------------------------------------------------------------


@primitive(operands=floats)
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
sigmoid.kernel("sigmoid")
sigmoid_backward.kernel("sigmoid_backward")


@primitive(operands=floats)
@float32_inside
def softplus(xp: ModuleType, x: Array, *, beta: float = 1.0, threshold: float = 20.0) -> Array:
    """``log(1 + exp(beta * x)) / beta``, and `x` itself where ``beta * x`` is above `threshold`."""
    return xp.where(beta * x > threshold, x, xp.logaddexp(0, beta * x) / beta)


@fused
def softplus_backward(dy: Any, x: Any, *, beta: float, threshold: float) -> Any:
    """Cotangent of `softplus`'s input."""
    return where(beta * x > threshold, dy, dy * sigmoid(beta * x))


softplus.defvjp(
    x=lambda g, x, beta, threshold: softplus_backward(g, x, beta=beta, threshold=threshold)
)
softplus.kernel("softplus", "threshold", beta=1.0)
softplus_backward.kernel("softplus_backward", "threshold", beta=1.0)


@primitive(operands=floats)
@float32_inside
def logsigmoid(xp: ModuleType, x: Array) -> Array:
    """``log(sigmoid(x))``, accurate where that is small."""
    return xp.minimum(x, 0) - xp.log1p(xp.exp(-xp.abs(x)))


@fused
def logsigmoid_backward(dy: Any, x: Any) -> Any:
    """Cotangent of `logsigmoid`'s input."""
    return dy * sigmoid(-x)


logsigmoid.defvjp(x=lambda g, x: logsigmoid_backward(g, x))
logsigmoid.kernel("logsigmoid")
logsigmoid_backward.kernel("logsigmoid_backward")


@primitive(operands=floats)
@float32_inside
def softsign(xp: ModuleType, x: Array) -> Array:
    """``x / (1 + |x|)``."""
    far = xp.isinf(x)
    return xp.where(far, xp.sign(x), x) / xp.where(far, 1, 1 + xp.abs(x))


@fused
def softsign_backward(dy: Any, x: Any) -> Any:
    """Cotangent of `softsign`'s input."""
    size = 1 + abs(x)
    return dy / size / size


softsign.defvjp(x=lambda g, x: softsign_backward(g, x))


def tanhshrink(input: Tensor) -> Tensor:
    """``input - tanh(input)``.

    Examples
    --------
    >>> tl.tanhshrink(tl.tensor([-1.5, 0.0, 2.0]))
    tensor([-0.5948518,  0.       ,  1.0359724])
    """
    return input - tanh(input)


_FLAT = 800.0  # beyond, exp(-x) is 0 in every dtype


@primitive(operands=floats)
@float32_inside
def silu(xp: ModuleType, x: Array) -> Array:
    """``x * sigmoid(x)``, also called swish."""
    return xp.maximum(x, -_FLAT) * sigmoid(x)


@fused
def silu_backward(dy: Any, x: Any) -> Any:
    """Cotangent of `silu`'s input."""
    x = clamp(x, -_FLAT, _FLAT)
    s = sigmoid(x)
    return dy * (s * (1 + x * (1 - s)))


silu.defvjp(x=lambda g, x: silu_backward(g, x))
silu.kernel("silu")
silu_backward.kernel("silu_backward")


@primitive(operands=floats)
@float32_inside
def mish(xp: ModuleType, x: Array) -> Array:
    """``x * tanh(softplus(x))`` (Misra 2019)."""
    return xp.maximum(x, -_FLAT) * xp.tanh(softplus(x))


@fused
def mish_backward(dy: Any, x: Any) -> Any:
    """Cotangent of `mish`'s input."""
    x = clamp(x, -_FLAT, _FLAT)
    t = tanh(softplus(x))
    return dy * (t + x * (1 - t * t) * sigmoid(x))


mish.defvjp(x=lambda g, x: mish_backward(g, x))


@primitive(operands=floats)
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
    if approximate not in ("none", "tanh"):
        raise ValueError(f"approximate is 'none' or 'tanh', not {approximate!r}")
    half = 0.5 * xp.maximum(x, -_NORMAL_FLAT)
    if approximate == "tanh":
        return half * (1 + xp.tanh(_gelu_argument(xp.clip(x, -_NORMAL_FLAT, _NORMAL_FLAT))))
    return half * (1 + erf(x * math.sqrt(0.5)))


@fused
def gelu_backward(dy: Any, x: Any, *, approximate: str) -> Any:
    """Cotangent of `gelu`'s input."""
    x = clamp(x, -_NORMAL_FLAT, _NORMAL_FLAT)
    if approximate == "tanh":
        t = tanh(_gelu_argument(x))
        slope = math.sqrt(2 / math.pi) * (1 + 3 * 0.044715 * x * x)
        return dy * (0.5 * (1 + t) + 0.5 * x * (1 - t * t) * slope)
    density = exp(-0.5 * x * x) * (1 / math.sqrt(2 * math.pi))
    return dy * (0.5 * (1 + erf(x * math.sqrt(0.5))) + x * density)


_NORMAL_FLAT = 40.0  # beyond, the normal density is 0 in every dtype


def _gelu_argument(x: Any) -> Any:
    return math.sqrt(2 / math.pi) * (x + 0.044715 * x * x * x)


gelu.defvjp(x=lambda g, x, approximate: gelu_backward(g, x, approximate=approximate))


# --- exponential linear units -----------------------------------------------------------------


@primitive(name="elu", operands=floats)
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
    return scale * where(x > 0, dy, dy * below)


scaled_elu.defvjp(
    x=lambda g, x, alpha, scale, steepness: elu_backward(
        g, x, alpha=alpha, scale=scale, steepness=steepness
    )
)
scaled_elu.kernel("elu", "alpha", scale=1.0, steepness=1.0)
elu_backward.kernel("elu_backward", "alpha", scale=1.0, steepness=1.0)


def elu(input: Tensor, alpha: float = 1.0) -> Tensor:
    """`alpha` · (exp(x) - 1) below 0, x above (Clevert et al. 2015).

    Examples
    --------
    >>> tl.elu(tl.tensor([-1.5, 0.0, 2.0]))
    tensor([-0.77686983,  0.        ,  2.        ])
    """
    return scaled_elu(input, alpha=alpha)


def celu(input: Tensor, alpha: float = 1.0) -> Tensor:
    """`alpha` · (exp(x / `alpha`) - 1) below 0, x above: smooth for any alpha (Barron 2017).

    Examples
    --------
    >>> tl.celu(tl.tensor([-1.5, 0.0, 2.0]))
    tensor([-0.77686983,  0.        ,  2.        ])
    """
    if alpha == 0:
        raise ValueError("celu: alpha must not be 0")
    return scaled_elu(input, alpha=alpha, steepness=1 / alpha)


def selu(input: Tensor) -> Tensor:
    """`elu` scaled so that mean 0 and variance 1 are kept (Klambauer et al. 2017).

    Examples
    --------
    >>> tl.selu(tl.tensor([-1.5, 0.0, 2.0]))
    tensor([-1.3658143,  0.       ,  2.101402 ])
    """
    return scaled_elu(input, alpha=1.6732632423543772, scale=1.0507009873554805)


@takes_axis
def glu(input: Tensor, dim: int = -1) -> Tensor:
    """Scale one half of `input` along `dim` by the sigmoid of the other (Dauphin et al. 2016).

    Examples
    --------
    >>> tl.glu(tl.tensor([True, False]))
    tensor([0.5])
    """
    if not input.ndim:
        raise ValueError("glu: one number has no two halves")
    if not -input.ndim <= dim < input.ndim:
        raise IndexError(f"glu: dim {dim} of an input of shape {tuple(input.shape)}")
    if input.shape[dim] % 2:
        raise ValueError(
            f"glu: axis {dim} of shape {tuple(input.shape)} is of odd length: no two halves"
        )
    half = input.shape[dim] // 2
    before = (slice(None),) * (dim % input.ndim)
    return input[(*before, slice(half))] * sigmoid(input[(*before, slice(half, None))])
