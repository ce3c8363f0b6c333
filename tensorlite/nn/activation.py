"""Activation functions as modules; see `tensorlite.nn.functional` for the formulas."""

from __future__ import annotations

from tensorlite.nn import functional as F
from tensorlite.nn.module import Module
from tensorlite.tensor import Tensor


class ReLU(Module):
    """max(x, 0)."""

    forward = staticmethod(F.relu)


class ReLU6(Module):
    """min(max(x, 0), 6)."""

    forward = staticmethod(F.relu6)


class SELU(Module):
    """Scaled ELU, which keeps mean 0 and variance 1."""

    forward = staticmethod(F.selu)


class SiLU(Module):
    """x · sigmoid(x), also called swish."""

    forward = staticmethod(F.silu)


class Mish(Module):
    """x · tanh(softplus(x))."""

    forward = staticmethod(F.mish)


class Hardswish(Module):
    """x · hardsigmoid(x)."""

    forward = staticmethod(F.hardswish)


class Hardsigmoid(Module):
    """min(max(x + 3, 0), 6) / 6."""

    forward = staticmethod(F.hardsigmoid)


class Sigmoid(Module):
    """1 / (1 + exp(−x))."""

    forward = staticmethod(F.sigmoid)


class Tanh(Module):
    """Hyperbolic tangent."""

    forward = staticmethod(F.tanh)


class LeakyReLU(Module):
    """x where x > 0, else negative_slope · x."""

    def __init__(self, negative_slope: float = 0.01) -> None:
        self.negative_slope = negative_slope

    def forward(self, x: Tensor) -> Tensor:
        """Apply it to each element."""
        return F.leaky_relu(x, self.negative_slope)


class ELU(Module):
    """x where x > 0, else alpha · (exp(x) − 1)."""

    def __init__(self, alpha: float = 1.0) -> None:
        self.alpha = alpha

    def forward(self, x: Tensor) -> Tensor:
        """Apply it to each element."""
        return F.elu(x, self.alpha)


class CELU(Module):
    """x where x > 0, else alpha · (exp(x / alpha) − 1)."""

    def __init__(self, alpha: float = 1.0) -> None:
        self.alpha = alpha

    def forward(self, x: Tensor) -> Tensor:
        """Apply it to each element."""
        return F.celu(x, self.alpha)


class GELU(Module):
    """x · Φ(x), exactly or with ``approximate="tanh"``."""

    def __init__(self, approximate: str = "none") -> None:
        self.approximate = approximate

    def forward(self, x: Tensor) -> Tensor:
        """Apply it to each element."""
        return F.gelu(x, self.approximate)


class Softplus(Module):
    """log(1 + exp(beta · x)) / beta."""

    def __init__(self, beta: float = 1.0) -> None:
        self.beta = beta

    def forward(self, x: Tensor) -> Tensor:
        """Apply it to each element."""
        return F.softplus(x, self.beta)


class Hardtanh(Module):
    """x kept within [min_val, max_val]."""

    def __init__(self, min_val: float = -1.0, max_val: float = 1.0) -> None:
        self.min_val = min_val
        self.max_val = max_val

    def forward(self, x: Tensor) -> Tensor:
        """Apply it to each element."""
        return F.hardtanh(x, self.min_val, self.max_val)


class GLU(Module):
    """Gated linear unit: a · sigmoid(b), where a and b are the halves of `axis`."""

    def __init__(self, axis: int = -1) -> None:
        self.axis = axis

    def forward(self, x: Tensor) -> Tensor:
        """Halve `axis`."""
        return F.glu(x, self.axis)


class Softmax(Module):
    """exp(x), divided by its sum along `axis`."""

    def __init__(self, axis: int = -1) -> None:
        self.axis = axis

    def forward(self, x: Tensor) -> Tensor:
        """Return an array of the same shape that sums to 1 along `axis`."""
        return F.softmax(x, self.axis)


class LogSoftmax(Module):
    """Logarithm of the softmax along `axis`."""

    def __init__(self, axis: int = -1) -> None:
        self.axis = axis

    def forward(self, x: Tensor) -> Tensor:
        """Return an array of the same shape."""
        return F.log_softmax(x, self.axis)
