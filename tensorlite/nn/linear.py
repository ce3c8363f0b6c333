"""Linear, Bilinear, and layers that only change shapes."""

from __future__ import annotations

import math
from typing import Any

from tensorlite.nn import functional as F
from tensorlite.nn import init
from tensorlite.nn.module import Module
from tensorlite.nn.parameter import empty
from tensorlite.tensor import Tensor


class Identity(Module):
    """Returns its input: a place for a layer that is left out. Any arguments are ignored.

    Input of any shape and dtype.

    Parameters
    ----------
    *args, **kwargs
        Ignored.

    Examples
    --------
    >>> nn.Identity()(tl.tensor([1, 2]))
    tensor([1, 2])
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__()

    def forward(self, input: Tensor) -> Tensor:
        """Return `input`."""
        return input


class Linear(Module):
    """``input @ weight.T + bias``: (…, in_features) to (…, out_features).

    Parameters
    ----------
    in_features, out_features : int
        Lengths of the last axis of input and output.
    bias : bool
        Whether to add a bias.
    device, dtype
        Of the parameters; by default the CPU and the default dtype.

    Attributes
    ----------
    weight : Parameter, shape (out_features, in_features)
        Drawn, like `bias`, from ±1 / √in_features.
    bias : Parameter, shape (out_features,), or None

    Raises
    ------
    ValueError
        If the last axis of the input is not `in_features` long.

    Examples
    --------
    >>> nn.Linear(4, 3)(tl.zeros(2, 4)).shape
    (2, 3)

    >>> nn.Linear(4, 3).reset_parameters()
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        self.in_features = in_features
        self.out_features = out_features
        self.weight = empty(out_features, in_features, device=device, dtype=dtype)
        bias_or_none = empty(out_features, device=device, dtype=dtype) if bias else None
        self.register_parameter("bias", bias_or_none)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the initial values anew."""
        init.reset_affine(self.weight, self.bias)

    def forward(self, input: Tensor) -> Tensor:
        """Map (…, in_features) to (…, out_features)."""
        return F.linear(input, self.weight, self.bias)

    def extra_repr(self) -> str:
        """The sizes."""
        return (
            f"in_features={self.in_features}, out_features={self.out_features}, "
            f"bias={self.bias is not None}"
        )


class Bilinear(Module):
    """``input1ᵀ A input2 + bias`` with a matrix A for each feature of the output.

    Inputs (…, in1_features) and (…, in2_features), output (…, out_features).

    Parameters
    ----------
    in1_features, in2_features, out_features : int
        Lengths of the last axis of both inputs and the output.
    bias : bool
        Whether to add a bias.
    device, dtype
        Of the parameters.

    Attributes
    ----------
    weight : Parameter, shape (out_features, in1_features, in2_features)
        Drawn, like `bias`, from ±1 / √in1_features.
    bias : Parameter, shape (out_features,), or None

    Raises
    ------
    ValueError
        If `in1_features` is not positive.

    Examples
    --------
    >>> nn.Bilinear(4, 5, 3)(tl.zeros(2, 4), tl.zeros(2, 5)).shape
    (2, 3)

    >>> nn.Bilinear(4, 5, 3).reset_parameters()
    """

    def __init__(
        self,
        in1_features: int,
        in2_features: int,
        out_features: int,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        if in1_features <= 0:
            raise ValueError(f"Bilinear: in1_features must be > 0, but is {in1_features}")
        self.in1_features = in1_features
        self.in2_features = in2_features
        self.out_features = out_features
        self.weight = empty(out_features, in1_features, in2_features, device=device, dtype=dtype)
        bias_or_none = empty(out_features, device=device, dtype=dtype) if bias else None
        self.register_parameter("bias", bias_or_none)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the initial values anew."""
        bound = 1 / math.sqrt(self.in1_features)
        init.uniform_(self.weight, -bound, bound)
        if self.bias is not None:
            init.uniform_(self.bias, -bound, bound)

    def forward(self, input1: Tensor, input2: Tensor) -> Tensor:
        """Map (…, in1_features) and (…, in2_features) to (…, out_features)."""
        return F.bilinear(input1, input2, self.weight, self.bias)

    def extra_repr(self) -> str:
        """The sizes."""
        return (
            f"in1_features={self.in1_features}, in2_features={self.in2_features}, "
            f"out_features={self.out_features}, bias={self.bias is not None}"
        )


class Flatten(Module):
    """Joins the axes from `start_dim` to `end_dim` into one; by default all but the first.

    Input (N, …), output (N, product of the other lengths) by default.

    Examples
    --------
    >>> nn.Flatten()(tl.zeros(2, 3, 4)).shape
    (2, 12)
    """

    def __init__(self, start_dim: int = 1, end_dim: int = -1) -> None:
        super().__init__()
        self.start_dim = start_dim
        self.end_dim = end_dim

    def forward(self, input: Tensor) -> Tensor:
        """Map (N, …) to (N, product of the rest)."""
        return input.flatten(self.start_dim, self.end_dim)

    def extra_repr(self) -> str:
        """The axes."""
        return f"start_dim={self.start_dim}, end_dim={self.end_dim}"


class Unflatten(Module):
    """Splits the axis `dim` into axes of the lengths `unflattened_size`, one of which may be −1.

    Raises
    ------
    TypeError
        If `unflattened_size` is no tuple of integers.

    Examples
    --------
    >>> nn.Unflatten(1, (3, 4))(tl.zeros(2, 12)).shape
    (2, 3, 4)
    """

    def __init__(self, dim: int, unflattened_size: tuple[int, ...]) -> None:
        super().__init__()
        if not isinstance(dim, int):
            raise TypeError(f"Unflatten: dim is an integer, not {dim!r}")
        if not isinstance(unflattened_size, (tuple, list)) or not all(
            isinstance(n, int) for n in unflattened_size
        ):
            raise TypeError(f"Unflatten: unflattened_size is a tuple, not {unflattened_size!r}")
        self.dim = dim
        self.unflattened_size = unflattened_size

    def forward(self, input: Tensor) -> Tensor:
        """Reshape one axis of `input`."""
        dim = self.dim
        if not -input.ndim <= dim < input.ndim:
            raise IndexError(f"Unflatten: dim {dim} is out of range for {input.ndim} axes")
        dim %= input.ndim
        shape = input.shape
        return input.reshape(*shape[:dim], *self.unflattened_size, *shape[dim + 1 :])

    def extra_repr(self) -> str:
        """The axis and its parts."""
        return f"dim={self.dim}, unflattened_size={self.unflattened_size}"
