"""Smooth activation functions; `rectifiers` has those of straight pieces.

For large arguments some formulas contain products like 0 · inf, whose limits are finite. There the
argument is clipped first, or the limit is returned.
"""

from __future__ import annotations

import math
from types import ModuleType
from typing import Any

from tensorlite.backend import Array
from tensorlite.ops.compare import where
from tensorlite.ops.elementwise import erf, exp
from tensorlite.ops.faces import takes_axis
from tensorlite.ops.fused import float32_inside, fused
from tensorlite.ops.limits import clamp, minimum
from tensorlite.ops.promotion import floats
from tensorlite.ops.trigonometry import tanh
from tensorlite.primitive import primitive
from tensorlite.tensor import Tensor

__all__ = [
    "celu",
    "elu",
    "gelu",
    "glu",
    "logsigmoid",
    "mish",
    "selu",
    "sigmoid",
    "silu",
    "softplus",
    "softsign",
    "tanhshrink",
]


@primitive(operands=floats)
@float32_inside
def sigmoid(xp: ModuleType, x: Array) -> Array:
    """``1 / (1 + exp(-input))``, to full relative precision at both ends.

    Examples
    --------
    >>> tl.sigmoid(tl.tensor([-1.5, 0.0, 2.0]))
    tensor([0.18242553, 0.5       , 0.880797  ])
    """
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
    """``log(1 + exp(beta * input)) / beta``, a smooth `relu`.

    Parameters
    ----------
    beta : float
        How sharp the bend is.
    threshold : float
        Where ``beta * input`` is above it the result is `input` itself.

    Examples
    --------
    >>> tl.softplus(tl.tensor([-1.5, 0.0, 2.0]))
    tensor([0.20141329, 0.6931472 , 2.126928  ])
    """
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
    """``log(sigmoid(input))``, accurate where that is small.

    Examples
    --------
    >>> tl.logsigmoid(tl.tensor([-1.5, 0.0, 2.0]))
    tensor([-1.7014133, -0.6931472, -0.126928 ])
    """
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
    """``input / (1 + |input|)``.

    Examples
    --------
    >>> tl.softsign(tl.tensor([-1.5, 0.0, 2.0]))
    tensor([-0.6      ,  0.       ,  0.6666667])
    """
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
    """``input * sigmoid(input)``, also called swish.

    Examples
    --------
    >>> tl.silu(tl.tensor([-1.5, 0.0, 2.0]))
    tensor([-0.2736383,  0.       ,  1.761594 ])
    """
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
    """``input * tanh(softplus(input))`` (Misra 2019).

    Examples
    --------
    >>> tl.mish(tl.tensor([-1.5, 0.0, 2.0]))
    tensor([-0.29809976,  0.        ,  1.9439589 ])
    """
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
    """``input * Φ(input)``, Φ being the normal distribution function (Hendrycks and Gimpel 2016).

    Parameters
    ----------
    input
        Any shape.
    approximate : {"none", "tanh"}
        "tanh" takes x/2 · (1 + tanh(√(2/π) (x + 0.044715 x³))) for x = `input`.

    Raises
    ------
    ValueError
        If `approximate` is something else.

    Examples
    --------
    >>> tl.gelu(tl.tensor([-1.5, 0.0, 2.0]))
    tensor([-0.10021079,  0.        ,  1.9544997 ])
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
gelu.kernel("gelu", approximate="none")
gelu.kernel("gelu_tanh", approximate="tanh")
gelu_backward.kernel("gelu_backward", approximate="none")
gelu_backward.kernel("gelu_tanh_backward", approximate="tanh")


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

    Parameters
    ----------
    alpha : float
        Where it levels off: -`alpha` far below 0.

    Examples
    --------
    >>> tl.elu(tl.tensor([-1.5, 0.0, 2.0]))
    tensor([-0.77686983,  0.        ,  2.        ])
    """
    return scaled_elu(input, alpha=alpha)


def celu(input: Tensor, alpha: float = 1.0) -> Tensor:
    """`alpha` · (exp(x / `alpha`) - 1) below 0, x above: smooth for any alpha (Barron 2017).

    Parameters
    ----------
    alpha : float
        Where it levels off: -`alpha` far below 0; not 0.

    Raises
    ------
    ValueError
        If `alpha` is 0.

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

    Parameters
    ----------
    input : Tensor
        (…, 2·n, …), with an even length along `dim`.
    dim : int
        The axis that is halved.

    Returns
    -------
    Tensor
        (…, n, …), of `input`'s float dtype.

    Raises
    ------
    ValueError
        If `input` has no axes, or an odd length along `dim`.
    IndexError
        If there is no axis `dim`.

    Examples
    --------
    >>> tl.glu(tl.tensor([True, False]))
    tensor([0.5])

    >>> tl.glu(tl.tensor([1.0, 2.0, 0.0, 100.0]))
    tensor([0.5, 2. ])
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
