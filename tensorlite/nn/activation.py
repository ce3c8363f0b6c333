"""Activation functions as modules; see `tensorlite.nn.functional` for the formulas.

Those with ``inplace`` overwrite their input where it is True.
"""

from __future__ import annotations

import warnings
from typing import Any

from tensorlite.nn import functional as F
from tensorlite.nn.arguments import in_place, unusual
from tensorlite.nn.module import Module
from tensorlite.nn.parameter import filled
from tensorlite.ops.rectifiers import relu
from tensorlite.tensor import Tensor


class _InPlace(Module):
    """An activation function whose only option is to overwrite its input."""

    def __init__(self, inplace: bool = False) -> None:
        super().__init__()
        self.inplace = inplace

    def extra_repr(self) -> str:
        """Whether it overwrites."""
        return "inplace=True" if self.inplace else ""


class ReLU(_InPlace):
    """max(x, 0)."""

    def forward(self, input: Tensor) -> Tensor:
        """Apply it to each element."""
        return F.relu(input, inplace=True) if self.inplace else relu(input)


class SELU(_InPlace):
    """Scaled ELU, which keeps mean 0 and variance 1."""

    def forward(self, input: Tensor) -> Tensor:
        """Apply it to each element."""
        return F.selu(input, inplace=True) if self.inplace else F.selu(input)


class SiLU(_InPlace):
    """x · sigmoid(x), also called swish."""

    def forward(self, input: Tensor) -> Tensor:
        """Apply it to each element."""
        return F.silu(input, inplace=True) if self.inplace else F.silu(input)


class Mish(_InPlace):
    """x · tanh(softplus(x))."""

    def forward(self, input: Tensor) -> Tensor:
        """Apply it to each element."""
        return F.mish(input, inplace=True) if self.inplace else F.mish(input)


class Hardswish(_InPlace):
    """x · hardsigmoid(x)."""

    def forward(self, input: Tensor) -> Tensor:
        """Apply it to each element."""
        return F.hardswish(input, inplace=True) if self.inplace else F.hardswish(input)

    def extra_repr(self) -> str:
        """Nothing, as in torch."""
        return ""


class Hardsigmoid(_InPlace):
    """min(max(x + 3, 0), 6) / 6."""

    def forward(self, input: Tensor) -> Tensor:
        """Apply it to each element."""
        return F.hardsigmoid(input, inplace=True) if self.inplace else F.hardsigmoid(input)

    def extra_repr(self) -> str:
        """Nothing, as in torch."""
        return ""


class Sigmoid(Module):
    """1 / (1 + exp(−x))."""

    def forward(self, input: Tensor) -> Tensor:
        """Apply it to each element."""
        return F.sigmoid(input)


class Tanh(Module):
    """Hyperbolic tangent."""

    def forward(self, input: Tensor) -> Tensor:
        """Apply it to each element."""
        return F.tanh(input)


class LogSigmoid(Module):
    """log(sigmoid(x)), without overflow."""

    def forward(self, input: Tensor) -> Tensor:
        """Apply it to each element."""
        return F.logsigmoid(input)


class Softsign(Module):
    """x / (1 + |x|)."""

    def forward(self, input: Tensor) -> Tensor:
        """Apply it to each element."""
        return F.softsign(input)


class Tanhshrink(Module):
    """x − tanh(x)."""

    def forward(self, input: Tensor) -> Tensor:
        """Apply it to each element."""
        return F.tanhshrink(input)


class LeakyReLU(Module):
    """x where x > 0, else negative_slope · x."""

    def __init__(self, negative_slope: float = 0.01, inplace: bool = False) -> None:
        super().__init__()
        self.negative_slope = negative_slope
        self.inplace = inplace

    def forward(self, input: Tensor) -> Tensor:
        """Apply it to each element."""
        return F.leaky_relu(input, self.negative_slope, **in_place(self))

    def extra_repr(self) -> str:
        """The options."""
        return f"negative_slope={self.negative_slope}{_and_in_place(self)}"


class ELU(Module):
    """x where x > 0, else alpha · (exp(x) − 1)."""

    def __init__(self, alpha: float = 1.0, inplace: bool = False) -> None:
        super().__init__()
        self.alpha = alpha
        self.inplace = inplace

    def forward(self, input: Tensor) -> Tensor:
        """Apply it to each element."""
        return F.elu(input, self.alpha, **in_place(self))

    def extra_repr(self) -> str:
        """The options."""
        return f"alpha={self.alpha}{_and_in_place(self)}"


class CELU(Module):
    """x where x > 0, else alpha · (exp(x / alpha) − 1)."""

    def __init__(self, alpha: float = 1.0, inplace: bool = False) -> None:
        super().__init__()
        self.alpha = alpha
        self.inplace = inplace

    def forward(self, input: Tensor) -> Tensor:
        """Apply it to each element."""
        return F.celu(input, self.alpha, **in_place(self))

    def extra_repr(self) -> str:
        """The options."""
        return f"alpha={self.alpha}{_and_in_place(self)}"


class GELU(Module):
    """x · Φ(x), exactly or with ``approximate="tanh"``."""

    def __init__(self, approximate: str = "none") -> None:
        super().__init__()
        self.approximate = approximate

    def forward(self, input: Tensor) -> Tensor:
        """Apply it to each element."""
        return F.gelu(input, approximate=self.approximate)

    def extra_repr(self) -> str:
        """The options."""
        return f"approximate={self.approximate!r}"


class Softplus(Module):
    """log(1 + exp(beta · x)) / beta; x itself where beta · x > threshold."""

    def __init__(self, beta: float = 1.0, threshold: float = 20.0) -> None:
        super().__init__()
        self.beta = beta
        self.threshold = threshold

    def forward(self, input: Tensor) -> Tensor:
        """Apply it to each element."""
        return F.softplus(input, self.beta, **unusual(self, threshold=20.0))

    def extra_repr(self) -> str:
        """The options."""
        return f"beta={self.beta}, threshold={self.threshold}"


class Hardshrink(Module):
    """x where |x| > lambd, else 0."""

    def __init__(self, lambd: float = 0.5) -> None:
        super().__init__()
        self.lambd = lambd

    def forward(self, input: Tensor) -> Tensor:
        """Apply it to each element."""
        return F.hardshrink(input, self.lambd)

    def extra_repr(self) -> str:
        """The options."""
        return f"{self.lambd}"


class Softshrink(Module):
    """x moved towards 0 by lambd; 0 where |x| ≤ lambd."""

    def __init__(self, lambd: float = 0.5) -> None:
        super().__init__()
        self.lambd = lambd

    def forward(self, input: Tensor) -> Tensor:
        """Apply it to each element."""
        return F.softshrink(input, self.lambd)

    def extra_repr(self) -> str:
        """The options."""
        return str(self.lambd)


class Threshold(Module):
    """x where x > threshold, else value."""

    def __init__(self, threshold: float, value: float, inplace: bool = False) -> None:
        super().__init__()
        self.threshold = threshold
        self.value = value
        self.inplace = inplace

    def forward(self, input: Tensor) -> Tensor:
        """Apply it to each element."""
        return F.threshold(input, self.threshold, self.value, **in_place(self))

    def extra_repr(self) -> str:
        """The options."""
        return f"threshold={self.threshold}, value={self.value}{_and_in_place(self)}"


class GLU(Module):
    """Gated linear unit: a · sigmoid(b), where a and b are the halves of the axis `dim`."""

    def __init__(self, dim: int = -1) -> None:
        super().__init__()
        self.dim = dim

    def forward(self, input: Tensor) -> Tensor:
        """Halve the axis."""
        return F.glu(input, self.dim)

    def extra_repr(self) -> str:
        """The axis."""
        return f"dim={self.dim}"


class Softmax(Module):
    """exp(x), divided by its sum along the axis `dim`."""

    def __init__(self, dim: int | None = None) -> None:
        super().__init__()
        self.dim = dim

    def forward(self, input: Tensor) -> Tensor:
        """Return a Tensor of the same shape."""
        return F.softmax(input, _axis("softmax", input, self.dim))

    def extra_repr(self) -> str:
        """The axis."""
        return f"dim={self.dim}"


class LogSoftmax(Module):
    """Logarithm of the softmax along the axis `dim`."""

    def __init__(self, dim: int | None = None) -> None:
        super().__init__()
        self.dim = dim

    def forward(self, input: Tensor) -> Tensor:
        """Return a Tensor of the same shape."""
        return F.log_softmax(input, _axis("log_softmax", input, self.dim))

    def extra_repr(self) -> str:
        """The axis."""
        return f"dim={self.dim}"


class Softmin(Module):
    """Softmax of −x along the axis `dim`."""

    def __init__(self, dim: int | None = None) -> None:
        super().__init__()
        self.dim = dim

    def forward(self, input: Tensor) -> Tensor:
        """Return a Tensor of the same shape."""
        return F.softmin(input, _axis("softmin", input, self.dim))

    def extra_repr(self) -> str:
        """The axis."""
        return f"dim={self.dim}"


class Softmax2d(Module):
    """Softmax over the channels of (N, C, H, W) or (C, H, W)."""

    def forward(self, input: Tensor) -> Tensor:
        """Return a Tensor of the same shape, which sums to 1 over the channels."""
        if input.ndim not in (3, 4):
            raise ValueError(f"Softmax2d: input of shape {input.shape}; it must have 3 or 4 axes")
        return F.softmax(input, -3)


class Hardtanh(Module):
    """x kept within [min_val, max_val]."""

    def __init__(
        self,
        min_val: float = -1.0,
        max_val: float = 1.0,
        inplace: bool = False,
        min_value: float | None = None,
        max_value: float | None = None,
    ) -> None:
        super().__init__()
        self.min_val = min_val if min_value is None else min_value
        self.max_val = max_val if max_value is None else max_value
        self.inplace = inplace
        if self.max_val <= self.min_val:
            raise ValueError(f"Hardtanh: max_val {self.max_val} is not > min_val {self.min_val}")

    def forward(self, input: Tensor) -> Tensor:
        """Apply it to each element."""
        return F.hardtanh(input, self.min_val, self.max_val, **in_place(self))

    def extra_repr(self) -> str:
        """The options."""
        return f"min_val={self.min_val}, max_val={self.max_val}{_and_in_place(self)}"


class ReLU6(Hardtanh):
    """min(max(x, 0), 6)."""

    def __init__(self, inplace: bool = False) -> None:
        super().__init__(0.0, 6.0, inplace)

    def forward(self, input: Tensor) -> Tensor:
        """Apply it to each element."""
        return F.relu6(input, inplace=True) if self.inplace else F.relu6(input)

    def extra_repr(self) -> str:
        """Whether it overwrites."""
        return "inplace=True" if self.inplace else ""


class RReLU(Module):
    """x where x > 0, else a · x, a random in [lower, upper] in training, their mean otherwise."""

    def __init__(self, lower: float = 1 / 8, upper: float = 1 / 3, inplace: bool = False) -> None:
        super().__init__()
        self.lower = lower
        self.upper = upper
        self.inplace = inplace

    def forward(self, input: Tensor) -> Tensor:
        """Apply it to each element."""
        return F.rrelu(input, self.lower, self.upper, self.training, **in_place(self))

    def extra_repr(self) -> str:
        """The options."""
        return f"lower={self.lower}, upper={self.upper}{_and_in_place(self)}"


class PReLU(Module):
    """x where x > 0, else weight · x, with a weight that is learnt.

    Parameters
    ----------
    num_parameters : int
        1, or the number of channels, the second axis of the input.
    init : float
        Initial value.
    device, dtype
        Of the parameter.
    """

    def __init__(
        self, num_parameters: int = 1, init: float = 0.25, device: Any = None, dtype: Any = None
    ) -> None:
        super().__init__()
        self.num_parameters = num_parameters
        self.init = init
        self.weight = filled(init, num_parameters, device=device, dtype=dtype)

    def reset_parameters(self) -> None:
        """Write the initial value anew."""
        self.weight.data.fill_(self.init)

    def forward(self, input: Tensor) -> Tensor:
        """Apply it to each element."""
        return F.prelu(input, self.weight)

    def extra_repr(self) -> str:
        """The number of weights."""
        return f"num_parameters={self.num_parameters}"


def _and_in_place(module: Module) -> str:
    return ", inplace=True" if module.inplace else ""


def _axis(name: str, input: Tensor, dim: int | None) -> int:
    """The axis of a softmax; torch's guess, with its warning, where none is given."""
    if dim is not None:
        return dim
    warnings.warn(
        f"Implicit dimension choice for {name} has been deprecated: give dim=…", stacklevel=4
    )
    return 0 if input.ndim in (0, 1, 3) else 1
