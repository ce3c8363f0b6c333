"""Activation functions of straight pieces as modules; see `tensorlite.nn.functional`.

Those with ``inplace`` overwrite their input where it is True.
"""

from __future__ import annotations

from typing import Any

from tensorlite.nn import functional as F
from tensorlite.nn.arguments import in_place
from tensorlite.nn.module import Module
from tensorlite.nn.parameter import filled
from tensorlite.ops.rectifiers import relu
from tensorlite.tensor import Tensor


class InPlace(Module):
    """An activation function whose only option is to overwrite its input."""

    def __init__(self, inplace: bool = False) -> None:
        super().__init__()
        self.inplace = inplace

    def extra_repr(self) -> str:
        """Whether it overwrites."""
        return "inplace=True" if self.inplace else ""


class ReLU(InPlace):
    """max(x, 0).

    Element by element: input and output have one shape and float dtype.

    Parameters
    ----------
    inplace : bool
        Whether to overwrite the input.

    Examples
    --------
    >>> nn.ReLU()(tl.tensor([-1.5, 0.0, 2.0]))
    tensor([0., 0., 2.])
    """

    def forward(self, input: Tensor) -> Tensor:
        """Apply it to each element."""
        return F.relu(input, inplace=True) if self.inplace else relu(input)


class Hardswish(InPlace):
    """x · hardsigmoid(x).

    Element by element: input and output have one shape and float dtype.

    Parameters
    ----------
    inplace : bool
        Whether to overwrite the input.

    Examples
    --------
    >>> nn.Hardswish()(tl.tensor([-1.5, 0.0, 2.0]))
    tensor([-0.375    ,  0.       ,  1.6666667])
    """

    def forward(self, input: Tensor) -> Tensor:
        """Apply it to each element."""
        return F.hardswish(input, inplace=True) if self.inplace else F.hardswish(input)

    def extra_repr(self) -> str:
        """Nothing, as in torch."""
        return ""


class Hardsigmoid(InPlace):
    """min(max(x + 3, 0), 6) / 6.

    Element by element: input and output have one shape and float dtype.

    Parameters
    ----------
    inplace : bool
        Whether to overwrite the input.

    Examples
    --------
    >>> nn.Hardsigmoid()(tl.tensor([-1.5, 0.0, 2.0]))
    tensor([0.25     , 0.5      , 0.8333334])
    """

    def forward(self, input: Tensor) -> Tensor:
        """Apply it to each element."""
        return F.hardsigmoid(input, inplace=True) if self.inplace else F.hardsigmoid(input)

    def extra_repr(self) -> str:
        """Nothing, as in torch."""
        return ""


class LeakyReLU(Module):
    """x where x > 0, else negative_slope · x.

    Element by element: input and output have one shape and float dtype.

    Parameters
    ----------
    negative_slope : float
        The factor below 0.
    inplace : bool
        Whether to overwrite the input.

    Examples
    --------
    >>> nn.LeakyReLU(0.1)(tl.tensor([-1.5, 0.0, 2.0]))
    tensor([-0.15,  0.  ,  2.  ])
    """

    def __init__(self, negative_slope: float = 0.01, inplace: bool = False) -> None:
        super().__init__()
        self.negative_slope = negative_slope
        self.inplace = inplace

    def forward(self, input: Tensor) -> Tensor:
        """Apply it to each element."""
        return F.leaky_relu(input, self.negative_slope, **in_place(self))

    def extra_repr(self) -> str:
        """The options."""
        return f"negative_slope={self.negative_slope}{and_in_place(self)}"


class Hardshrink(Module):
    """x where |x| > lambd, else 0.

    Element by element: input and output have one shape and float dtype.

    Parameters
    ----------
    lambd : float
        Half the width of the gap around 0.

    Examples
    --------
    >>> nn.Hardshrink()(tl.tensor([-1.5, 0.0, 2.0]))
    tensor([-1.5,  0. ,  2. ])
    """

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
    """x moved towards 0 by lambd; 0 where |x| ≤ lambd.

    Element by element: input and output have one shape and float dtype.

    Parameters
    ----------
    lambd : float
        How far; not negative.

    Examples
    --------
    >>> nn.Softshrink()(tl.tensor([-1.5, 0.0, 2.0]))
    tensor([-1. ,  0. ,  1.5])
    """

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
    """x where x > threshold, else value.

    Element by element: input and output have one shape and float dtype.

    Parameters
    ----------
    threshold, value : float
        What the input has to be above, and what takes its place elsewhere.
    inplace : bool
        Whether to overwrite the input.

    Examples
    --------
    >>> nn.Threshold(0.5, -1.0)(tl.tensor([-1.5, 0.0, 2.0]))
    tensor([-1., -1.,  2.])
    """

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
        return f"threshold={self.threshold}, value={self.value}{and_in_place(self)}"


class Hardtanh(Module):
    """x kept within [min_val, max_val].

    Element by element: input and output have one shape and float dtype.

    Parameters
    ----------
    min_val, max_val : float
        The bounds.
    min_value, max_value : float, optional
        Older names of these; they warn.
    inplace : bool
        Whether to overwrite the input.

    Raises
    ------
    ValueError
        If `min_val` is not below `max_val`.

    Examples
    --------
    >>> nn.Hardtanh()(tl.tensor([-1.5, 0.0, 2.0]))
    tensor([-1.,  0.,  1.])
    """

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
        return f"min_val={self.min_val}, max_val={self.max_val}{and_in_place(self)}"


class ReLU6(Hardtanh):
    """min(max(x, 0), 6).

    Element by element: input and output have one shape and float dtype.

    Parameters
    ----------
    inplace : bool
        Whether to overwrite the input.

    Examples
    --------
    >>> nn.ReLU6()(tl.tensor([-1.5, 0.0, 2.0]))
    tensor([0., 0., 2.])
    """

    def __init__(self, inplace: bool = False) -> None:
        super().__init__(0.0, 6.0, inplace)

    def forward(self, input: Tensor) -> Tensor:
        """Apply it to each element."""
        return F.relu6(input, inplace=True) if self.inplace else F.relu6(input)

    def extra_repr(self) -> str:
        """Whether it overwrites."""
        return "inplace=True" if self.inplace else ""


class RReLU(Module):
    """x where x > 0, else a · x, a random in [lower, upper] in training, their mean otherwise.

    Element by element: input and output have one shape and float dtype (Xu et al. 2015).

    Parameters
    ----------
    lower, upper : float
        Between which the slopes are drawn evenly.
    inplace : bool
        Whether to overwrite the input.

    Examples
    --------
    >>> nn.RReLU().eval()(tl.tensor([-1.5, 0.0, 2.0]))
    tensor([-0.34375,  0.     ,  2.     ])
    """

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
        return f"lower={self.lower}, upper={self.upper}{and_in_place(self)}"


class PReLU(Module):
    """x where x > 0, else weight · x, with a weight that is learnt.

    Input (N, num_parameters, …), or of any shape with one weight; the output has the same shape (He
    et al. 2015).

    Parameters
    ----------
    num_parameters : int
        1, or the number of channels, the second axis of the input.
    init : float
        Initial value.
    device, dtype
        Of the parameter.

    Attributes
    ----------
    weight : Parameter, shape (num_parameters,)

    Examples
    --------
    >>> nn.PReLU()(tl.tensor([-1.5, 0.0, 2.0]))
    tensor([-0.375,  0.   ,  2.   ], op=prelu)

    >>> nn.PReLU().reset_parameters()
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


def and_in_place(module: Module) -> str:
    """What `extra_repr` says of ``inplace``, after something else."""
    return ", inplace=True" if module.inplace else ""
