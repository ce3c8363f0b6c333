"""Normalization layers."""

from __future__ import annotations

import numpy as np

from tensorlite.nn import functional as F
from tensorlite.nn.module import Module
from tensorlite.nn.parameter import Parameter
from tensorlite.tensor import Tensor, tensor_of


class _Affine(Module):
    """A scale, which starts as ones, and a shift, which starts as zeros; either may be left out."""

    def _set_parameters(self, shape: int | tuple[int, ...], weight: bool, bias: bool) -> None:
        self.weight = Parameter(np.ones(shape, np.float32)) if weight else None
        self.bias = Parameter(np.zeros(shape, np.float32)) if bias else None


class _OfChannels(_Affine):
    """What batch and instance normalization share: one axis of channels, others to average over."""

    _ndims: tuple[int, ...]  # numbers of axes that an input may have

    def _check(self, x: Tensor) -> None:
        if x.ndim not in self._ndims or x.shape[1] != self.num_features:
            axes = " or ".join(map(str, self._ndims))
            raise ValueError(
                f"{type(self).__name__}: input of shape {x.shape}; it must have {axes} axes, the "
                f"second of length {self.num_features}"
            )


class BatchNormNd(_OfChannels):
    """Normalizes each channel over the batch, then scales and shifts it [1]_.

    y = (x − mean) / √(variance + eps) · weight + bias, with mean and variance of the batch in
    training and the running ones in evaluation. Use `BatchNorm1d`, `BatchNorm2d` or `BatchNorm3d`.

    Parameters
    ----------
    num_features : int
        Number of channels, the second axis of the input.
    eps : float
        Added to the variance.
    momentum : float or None
        Share of a new batch in the running statistics; None makes them plain averages.
    affine : bool
        Whether there are a weight and a bias.
    track_running_stats : bool
        Whether there are running statistics; without them evaluation uses the batch's too.

    Attributes
    ----------
    weight, bias : Parameter, shape (num_features,), or None
    running_mean, running_var : Tensor, shape (num_features,), or None
        Buffers: 0 and 1 at first; the variance is the unbiased one.
    num_batches_tracked : Tensor of int64, shape (), or None

    References
    ----------
    .. [1] Ioffe and Szegedy, "Batch normalization", ICML 2015.
    """

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
    ) -> None:
        self.num_features = num_features
        self.eps = eps
        self.momentum = momentum
        self.affine = affine
        self.track_running_stats = track_running_stats
        self._set_parameters(num_features, affine, affine)
        statistics = {
            "running_mean": np.zeros(num_features, np.float32),
            "running_var": np.ones(num_features, np.float32),
            "num_batches_tracked": np.zeros((), np.int64),
        }
        for name, values in statistics.items():
            self.register_buffer(name, tensor_of(values) if track_running_stats else None)

    def forward(self, x: Tensor) -> Tensor:
        """Return a Tensor of the shape of `x`."""
        self._check(x)
        momentum = self.momentum
        if self.training and self.track_running_stats:
            self.num_batches_tracked += 1
            if momentum is None:
                momentum = 1 / self.num_batches_tracked.item()
        return F.batch_norm(
            x,
            self.running_mean,
            self.running_var,
            self.weight,
            self.bias,
            training=self.training or not self.track_running_stats,
            momentum=momentum,
            eps=self.eps,
        )


class BatchNorm1d(BatchNormNd):
    """Batch normalization of (N, C) or (N, C, L); parameters as in `BatchNormNd`."""

    _ndims = (2, 3)


class BatchNorm2d(BatchNormNd):
    """Batch normalization of (N, C, H, W); parameters as in `BatchNormNd`."""

    _ndims = (4,)


class BatchNorm3d(BatchNormNd):
    """Batch normalization of (N, C, D, H, W); parameters as in `BatchNormNd`."""

    _ndims = (5,)


class InstanceNormNd(_OfChannels):
    """Normalizes each channel of each sample by itself [1]_.

    Use `InstanceNorm1d` or `InstanceNorm2d`.

    Parameters
    ----------
    num_features : int
        Number of channels, the second axis of the input.
    eps : float
        Added to the variance.
    affine : bool
        Whether there are a weight and a bias, of shape (num_features,).

    References
    ----------
    .. [1] Ulyanov, Vedaldi and Lempitsky, "Instance normalization", arXiv:1607.08022, 2016.
    """

    def __init__(self, num_features: int, eps: float = 1e-5, *, affine: bool = False) -> None:
        self.num_features = num_features
        self.eps = eps
        self.affine = affine
        self._set_parameters(num_features, affine, affine)

    def forward(self, x: Tensor) -> Tensor:
        """Return a Tensor of the shape of `x`."""
        self._check(x)
        return F.instance_norm(x, self.weight, self.bias, self.eps)


class InstanceNorm1d(InstanceNormNd):
    """Instance normalization of (N, C, L); parameters as in `InstanceNormNd`."""

    _ndims = (3,)


class InstanceNorm2d(InstanceNormNd):
    """Instance normalization of (N, C, H, W); parameters as in `InstanceNormNd`."""

    _ndims = (4,)


class GroupNorm(_Affine):
    """Normalizes groups of channels of each sample [1]_.

    Parameters
    ----------
    num_groups, num_channels : int
        Number of groups, and of channels, the second axis of the input.
    eps : float
        Added to the variance.
    affine : bool
        Whether there are a weight and a bias, of shape (num_channels,).

    References
    ----------
    .. [1] Wu and He, "Group normalization", ECCV 2018.
    """

    def __init__(
        self, num_groups: int, num_channels: int, eps: float = 1e-5, affine: bool = True
    ) -> None:
        if num_channels % num_groups:
            raise ValueError(
                f"GroupNorm: {num_channels} channels are not divisible by {num_groups} groups"
            )
        self.num_groups = num_groups
        self.num_channels = num_channels
        self.eps = eps
        self.affine = affine
        self._set_parameters(num_channels, affine, affine)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, num_channels, …) to a Tensor of that shape."""
        return F.group_norm(x, self.num_groups, self.weight, self.bias, self.eps)


class LayerNorm(_Affine):
    """Normalizes the last axes of each sample [1]_.

    Parameters
    ----------
    normalized_shape : int or tuple of int
        Lengths of the last axes, over which mean and variance are taken.
    eps : float
        Added to the variance.
    elementwise_affine : bool
        Whether there are a weight and a bias, of shape `normalized_shape`.
    bias : bool
        Whether there is a bias.

    References
    ----------
    .. [1] Ba, Kiros and Hinton, "Layer normalization", arXiv:1607.06450, 2016.
    """

    def __init__(
        self,
        normalized_shape: int | tuple[int, ...],
        eps: float = 1e-5,
        elementwise_affine: bool = True,
        bias: bool = True,
    ) -> None:
        self.normalized_shape = normalized_shape
        self.eps = eps
        self.elementwise_affine = elementwise_affine
        self._set_parameters(normalized_shape, elementwise_affine, elementwise_affine and bias)

    def forward(self, x: Tensor) -> Tensor:
        """Return a Tensor of the shape of `x`."""
        return F.layer_norm(x, self.normalized_shape, self.weight, self.bias, self.eps)


class RMSNorm(_Affine):
    """Divides the last axes of each sample by their root mean square [1]_.

    Parameters
    ----------
    normalized_shape : int or tuple of int
        Lengths of the last axes, over which the mean is taken.
    eps : float, optional
        Added to the mean square; by default the dtype's distance from 1 to the next number.
    elementwise_affine : bool
        Whether there is a weight, of shape `normalized_shape`.

    References
    ----------
    .. [1] Zhang and Sennrich, "Root mean square layer normalization", NeurIPS 2019.
    """

    def __init__(
        self,
        normalized_shape: int | tuple[int, ...],
        eps: float | None = None,
        elementwise_affine: bool = True,
    ) -> None:
        self.normalized_shape = normalized_shape
        self.eps = eps
        self.elementwise_affine = elementwise_affine
        self._set_parameters(normalized_shape, elementwise_affine, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Return a Tensor of the shape of `x`."""
        return F.rms_norm(x, self.normalized_shape, self.weight, self.eps)
