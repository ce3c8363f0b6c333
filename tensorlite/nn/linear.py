"""Linear, and layers that only change shapes."""

from __future__ import annotations

from tensorlite.nn import functional as F
from tensorlite.nn import init
from tensorlite.nn.module import Module
from tensorlite.nn.parameter import empty
from tensorlite.tensor import Tensor


class Identity(Module):
    """Returns its input: a place for a layer that is left out."""

    def forward(self, x: Tensor) -> Tensor:
        """Return `x`."""
        return x


class Linear(Module):
    """x · weightᵀ + bias along the last axis.

    Parameters
    ----------
    in_features, out_features : int
        Lengths of the last axis of input and output.
    bias : bool
        Whether to add a bias.

    Attributes
    ----------
    weight : Parameter, shape (out_features, in_features)
        Drawn, like `bias`, from ±1 / √in_features.
    bias : Parameter, shape (out_features,), or None
    """

    def __init__(self, in_features: int, out_features: int, bias: bool = True) -> None:
        self.in_features = in_features
        self.out_features = out_features
        self.weight = empty(out_features, in_features)
        self.bias = empty(out_features) if bias else None
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the initial values anew."""
        init.reset_affine(self.weight, self.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Map (…, in_features) to (…, out_features)."""
        return F.linear(x, self.weight, self.bias)


class Flatten(Module):
    """Joins the axes from `start_axis` to `end_axis` into one; by default all but the first."""

    def __init__(self, start_axis: int = 1, end_axis: int = -1) -> None:
        self.start_axis = start_axis
        self.end_axis = end_axis

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, …) to (N, product of the rest)."""
        return x.flatten(self.start_axis, self.end_axis)


class Unflatten(Module):
    """Splits `axis` into axes of the lengths `sizes`, one of which may be −1."""

    def __init__(self, axis: int, sizes: tuple[int, ...]) -> None:
        self.axis = axis
        self.sizes = sizes

    def forward(self, x: Tensor) -> Tensor:
        """Reshape one axis of `x`."""
        axis = self.axis % x.ndim
        return x.reshape((*x.shape[:axis], *self.sizes, *x.shape[axis + 1 :]))
