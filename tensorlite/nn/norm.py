"""Normalization of each sample: layer, RMS, group and local response normalization."""

from __future__ import annotations

import numbers
from typing import Any

from tensorlite.nn import functional as F
from tensorlite.nn import init
from tensorlite.nn.module import Module
from tensorlite.nn.parameter import empty
from tensorlite.tensor import Tensor


class Affine(Module):
    """A scale, which starts as ones, and a shift, which starts as zeros; either may be left out."""

    def _set_parameters(
        self, shape: tuple[int, ...], weight: bool, bias: bool, device: Any, dtype: Any
    ) -> None:
        made = [
            empty(*shape, device=device, dtype=dtype) if there else None for there in (weight, bias)
        ]
        self.register_parameter("weight", made[0])
        self.register_parameter("bias", made[1])

    def reset_parameters(self) -> None:
        """Write the initial values anew."""
        if self.weight is not None:
            init.ones_(self.weight)
        if getattr(self, "bias", None) is not None:
            init.zeros_(self.bias)


class GroupNorm(Affine):
    """Normalizes groups of channels of each sample [1]_.

    Input (N, num_channels, …), output of the same shape.

    Parameters
    ----------
    num_groups, num_channels : int
        Number of groups, and of channels, the second axis of the input.
    eps : float
        Added to the variance.
    affine : bool
        Whether there are a weight and a bias, of shape (num_channels,).
    device, dtype
        Of the parameters.
    bias : bool
        Whether there is a bias, if `affine`.

    Raises
    ------
    ValueError
        If `num_groups` does not divide `num_channels`.

    References
    ----------
    .. [1] Wu and He, "Group normalization", ECCV 2018.

    Examples
    --------
    >>> nn.GroupNorm(2, 6)(tl.randn(2, 6, 4)).shape
    (2, 6, 4)
    """

    def __init__(
        self,
        num_groups: int,
        num_channels: int,
        eps: float = 1e-5,
        affine: bool = True,
        device: Any = None,
        dtype: Any = None,
        *,
        bias: bool = True,
    ) -> None:
        super().__init__()
        if num_channels % num_groups:
            raise ValueError(
                f"GroupNorm: {num_channels} channels are not divisible by {num_groups} groups"
            )
        self.num_groups = num_groups
        self.num_channels = num_channels
        self.eps = eps
        self.affine = affine
        self._set_parameters((num_channels,), affine, affine and bias, device, dtype)
        self.reset_parameters()

    def forward(self, input: Tensor) -> Tensor:
        """Map (N, num_channels, …) to a Tensor of that shape."""
        return F.group_norm(input, self.num_groups, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        """Sizes and options."""
        return (
            f"{self.num_groups}, {self.num_channels}, eps={self.eps}, affine={self.affine}, "
            f"bias={self.bias is not None}"
        )


def _as_shape(shape: Any) -> tuple[int, ...]:
    return (int(shape),) if isinstance(shape, numbers.Integral) else tuple(shape)


class LayerNorm(Affine):
    """Normalizes the last axes of each sample [1]_.

    Input (*, *normalized_shape), output of the same shape.

    Parameters
    ----------
    normalized_shape : int or tuple of int
        Lengths of the last axes, over which mean and variance are taken.
    eps : float
        Added to the variance.
    elementwise_affine : bool
        Whether there are a weight and a bias, of shape `normalized_shape`.
    bias : bool
        Whether there is a bias, if `elementwise_affine`.
    device, dtype
        Of the parameters.

    References
    ----------
    .. [1] Ba, Kiros and Hinton, "Layer normalization", arXiv:1607.06450, 2016.

    Examples
    --------
    >>> nn.LayerNorm(4)(tl.randn(2, 4)).shape
    (2, 4)
    """

    def __init__(
        self,
        normalized_shape: int | tuple[int, ...],
        eps: float = 1e-5,
        elementwise_affine: bool = True,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        self.normalized_shape = _as_shape(normalized_shape)
        self.eps = eps
        self.elementwise_affine = elementwise_affine
        affine = elementwise_affine
        self._set_parameters(self.normalized_shape, affine, affine and bias, device, dtype)
        self.reset_parameters()

    def forward(self, input: Tensor) -> Tensor:
        """Return a Tensor of the shape of `input`."""
        return F.layer_norm(input, self.normalized_shape, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        """Sizes and options."""
        return (
            f"{self.normalized_shape}, eps={self.eps}, "
            f"elementwise_affine={self.elementwise_affine}, bias={self.bias is not None}"
        )


class RMSNorm(Affine):
    """Divides the last axes of each sample by their root mean square [1]_.

    Input (*, *normalized_shape), output of the same shape.

    Parameters
    ----------
    normalized_shape : int or tuple of int
        Lengths of the last axes, over which the mean is taken.
    eps : float, optional
        Added to the mean square; by default the dtype's distance from 1 to the next number.
    elementwise_affine : bool
        Whether there is a weight, of shape `normalized_shape`.
    device, dtype
        Of the parameter.

    References
    ----------
    .. [1] Zhang and Sennrich, "Root mean square layer normalization", NeurIPS 2019.

    Examples
    --------
    >>> nn.RMSNorm(2)(tl.tensor([[3.0, 4.0]]))
    tensor([[0.84852815, 1.1313709 ]], op=rms_norm)
    """

    def __init__(
        self,
        normalized_shape: int | tuple[int, ...],
        eps: float | None = None,
        elementwise_affine: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        self.normalized_shape = _as_shape(normalized_shape)
        self.eps = eps
        self.elementwise_affine = elementwise_affine
        made = empty(*self.normalized_shape, device=device, dtype=dtype)
        self.register_parameter("weight", made if elementwise_affine else None)
        self.reset_parameters()

    def forward(self, x: Tensor) -> Tensor:
        """Return a Tensor of the shape of `x`."""
        return F.rms_norm(x, self.normalized_shape, self.weight, self.eps)

    def extra_repr(self) -> str:
        """Sizes and options."""
        return (
            f"{self.normalized_shape}, eps={self.eps}, elementwise_affine={self.elementwise_affine}"
        )


class LocalResponseNorm(Module):
    """Divides each element by a sum of squares over neighbouring channels [1]_.

    y = x / (k + alpha · mean of x² over `size` channels around)^beta.

    Input (N, C, …), output of the same shape.

    Parameters
    ----------
    size : int
        Number of channels.
    alpha, beta, k : float
        As in the formula.

    References
    ----------
    .. [1] Krizhevsky, Sutskever and Hinton, "ImageNet classification with deep convolutional
       neural networks", NeurIPS 2012.

    Examples
    --------
    >>> nn.LocalResponseNorm(2)(tl.ones(1, 4, 2)).shape
    (1, 4, 2)
    """

    def __init__(self, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0) -> None:
        super().__init__()
        self.size = size
        self.alpha = alpha
        self.beta = beta
        self.k = k

    def forward(self, input: Tensor) -> Tensor:
        """Map (N, C, …) to a Tensor of that shape."""
        return F.local_response_norm(input, self.size, self.alpha, self.beta, self.k)

    def extra_repr(self) -> str:
        """The options."""
        return f"{self.size}, alpha={self.alpha}, beta={self.beta}, k={self.k}"
