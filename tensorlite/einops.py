"""einops on Tensors, by ``import tensorlite.einops``: its functions, and its layers as Modules.

einops finds the class that knows a framework among those that were defined; importing this module
defines ours. `pip install einops` brings the package.

Examples
--------
>>> import tensorlite.einops
>>> from einops import rearrange
>>> rearrange(tl.zeros(2, 3, 4), "b c t -> b (t c)").shape
(2, 12)
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import numpy as np

try:
    from einops._backends import AbstractBackend
    from einops.layers import RearrangeMixin, ReduceMixin
    from einops.layers._einmix import _EinmixMixin
except ImportError as error:
    raise ModuleNotFoundError(
        'tensorlite.einops needs the package einops: pip install "tensorlite[einops]"',
        name=error.name,
    ) from error

import tensorlite as tl
from tensorlite import nn

__all__ = ["EinMix", "Rearrange", "Reduce"]


class TensorliteBackend(AbstractBackend):
    """What einops needs to know of Tensors."""

    framework_name = "tensorlite"

    def is_appropriate_type(self, tensor: Any) -> bool:
        """Whether it is a Tensor."""
        return isinstance(tensor, tl.Tensor)

    def from_numpy(self, x: np.ndarray) -> tl.Tensor:
        """A Tensor over the array; a float one requires grad."""
        return tl.tensor(x, requires_grad=x.dtype.kind == "f")

    def to_numpy(self, x: tl.Tensor) -> np.ndarray:
        """Its values on the host."""
        return x.detach().to("cpu").numpy()

    def arange(self, start: int, stop: int) -> tl.Tensor:
        """``start, start + 1, …`` up to `stop`."""
        return tl.arange(start, stop)

    def reduce(self, x: tl.Tensor, operation: str, axes: Sequence[int]) -> tl.Tensor:
        """One of einops' reductions along some axes."""
        if operation in ("min", "max"):
            return getattr(x, f"a{operation}")(dim=tuple(axes))
        if operation != "prod":
            return getattr(x, operation)(dim=tuple(axes))
        for axis in sorted(axes, reverse=True):  # torch's prod takes one axis, and so does ours
            x = x.prod(dim=axis)
        return x

    def transpose(self, x: tl.Tensor, axes: Sequence[int]) -> tl.Tensor:
        """The axes in another order."""
        return x.permute(*axes)

    def stack_on_zeroth_dimension(self, tensors: Sequence[tl.Tensor]) -> tl.Tensor:
        """Tensors of one shape under a new first axis."""
        return tl.stack(tensors)

    def tile(self, x: tl.Tensor, repeats: Sequence[int]) -> tl.Tensor:
        """Repeat along each axis."""
        return x.repeat(*repeats)

    def concat(self, tensors: Sequence[tl.Tensor], axis: int) -> tl.Tensor:
        """Join along an axis."""
        return tl.cat(tensors, axis)

    def add_axis(self, x: tl.Tensor, new_position: int) -> tl.Tensor:
        """One more axis, of length 1."""
        return x.unsqueeze(new_position)

    def add_axes(self, x: tl.Tensor, n_axes: int, pos2len: dict[int, int]) -> tl.Tensor:
        """New axes of any length, without a copy."""
        repeats = [-1] * n_axes
        for position, length in pos2len.items():
            x = self.add_axis(x, position)
            repeats[position] = length
        return x.expand(repeats)

    def is_float_type(self, x: tl.Tensor) -> bool:
        """Whether means can be taken."""
        return x.is_floating_point()

    def layers(self) -> Any:
        """Where the layers are."""
        return sys.modules[__name__]

    def einsum(self, pattern: str, *x: tl.Tensor) -> tl.Tensor:
        """A sum of products."""
        return tl.einsum(pattern, *x)


class Rearrange(RearrangeMixin, nn.Module):
    """`einops.rearrange` as a layer.

    Examples
    --------
    >>> from tensorlite.einops import Rearrange
    >>> Rearrange("b c h w -> b (c h w)")(tl.zeros(2, 3, 4, 4)).shape
    (2, 48)
    """

    def forward(self, input: tl.Tensor) -> tl.Tensor:
        """Any shape that the pattern fits."""
        return self._apply_recipe(input)


class Reduce(ReduceMixin, nn.Module):
    """`einops.reduce` as a layer.

    Examples
    --------
    >>> from tensorlite.einops import Reduce
    >>> Reduce("b c (h 2) (w 2) -> b c h w", "mean")(tl.zeros(2, 3, 4, 4)).shape
    (2, 3, 2, 2)
    """

    def forward(self, input: tl.Tensor) -> tl.Tensor:
        """Any shape that the pattern fits."""
        return self._apply_recipe(input)


class EinMix(_EinmixMixin, nn.Module):
    """einops' layer of one sum of products with a weight, and a bias.

    Examples
    --------
    >>> from tensorlite.einops import EinMix
    >>> mix = EinMix("b t c -> b t d", weight_shape="c d", bias_shape="d", c=4, d=6)
    >>> mix(tl.zeros(2, 3, 4)).shape
    (2, 3, 6)
    """

    def _create_parameters(
        self, weight_shape: Any, weight_bound: float, bias_shape: Any, bias_bound: float
    ) -> None:
        def drawn(shape: Any, bound: float) -> nn.Parameter:
            return nn.Parameter(tl.empty(shape).uniform_(-bound, bound))

        self.weight = drawn(weight_shape, weight_bound)
        self.bias = None if bias_shape is None else drawn(bias_shape, bias_bound)

    def _create_rearrange_layers(
        self, before: str | None, before_lengths: Any, after: str | None, after_lengths: Any
    ) -> None:
        layer: Any = Rearrange
        self.pre_rearrange = None if before is None else layer(before, **before_lengths)
        self.post_rearrange = None if after is None else layer(after, **after_lengths)

    def forward(self, input: tl.Tensor) -> tl.Tensor:
        """Any shape that the pattern fits."""
        x = input if self.pre_rearrange is None else self.pre_rearrange(input)
        x = tl.einsum(self.einsum_pattern, x, self.weight)
        x = x if self.bias is None else x + self.bias
        return x if self.post_rearrange is None else self.post_rearrange(x)
