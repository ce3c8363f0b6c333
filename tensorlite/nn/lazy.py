"""Layers that find the size of their input at the first call.

Until then their parameters have no shape. Make the optimizer after a first call, or after loading a
state dict.
"""

from __future__ import annotations

from typing import Any

from tensorlite.nn import batch_norm, conv
from tensorlite.nn.arguments import PerAxis
from tensorlite.nn.linear import Linear
from tensorlite.nn.module import Module
from tensorlite.nn.parameter import (
    UninitializedBuffer,
    UninitializedParameter,
    is_uninitialized,
    new_buffer,
)
from tensorlite.tape import no_grad
from tensorlite.tensor import Tensor


class _Lazy(Module):
    """What lazy layers share: they become `cls_to_become` at their first call."""

    cls_to_become: type[Module]

    def _await(self, names: tuple[str, ...], device: Any, dtype: Any) -> None:
        """Let parameters wait for their shapes."""
        for name in names:
            setattr(self, name, UninitializedParameter(device=device, dtype=dtype))

    def has_uninitialized_params(self) -> bool:
        """Whether the first input is still to come."""
        return any(is_uninitialized(t) for t in (*self.parameters(), *self.buffers()))

    def initialize_parameters(self, input: Tensor) -> None:
        """Give the parameters the shapes that fit `input`, and their initial values."""
        raise NotImplementedError

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Find the sizes, become the ordinary layer, and compute it."""
        with no_grad():
            self.initialize_parameters(*args, **kwargs)
        self.__class__ = self.cls_to_become  # type: ignore[assignment]  # it becomes the ordinary layer
        return self(*args, **kwargs)

    def reset_parameters(self) -> None:
        """Draw the initial values anew, once there is a shape."""
        if not self.has_uninitialized_params():
            super().reset_parameters()  # type: ignore[misc]  # of the layer that it is mixed into


class LazyLinear(_Lazy, Linear):
    """`Linear` with `in_features` taken from the first input, (…, in_features).

    Parameters
    ----------
    out_features, bias
        As of `Linear`.

    Examples
    --------
    >>> layer = nn.LazyLinear(3)
    >>> layer(tl.zeros(2, 4)).shape
    (2, 3)
    >>> layer.in_features
    4
    """

    weight: Any
    bias: Any

    cls_to_become = Linear

    def __init__(
        self, out_features: int, bias: bool = True, device: Any = None, dtype: Any = None
    ) -> None:
        super().__init__(0, 0, False)
        self._await(("weight", "bias") if bias else ("weight",), device, dtype)
        self.out_features = out_features

    def initialize_parameters(self, input: Tensor) -> None:
        """Take `in_features` from the last axis."""
        if self.has_uninitialized_params():
            self.in_features = input.shape[-1]
            self.weight.materialize((self.out_features, self.in_features))
            if self.bias is not None:
                self.bias.materialize((self.out_features,))
            self.reset_parameters()
        self.in_features = self.weight.shape[1]


class _LazyConv(_Lazy):
    """What lazy convolutions share."""

    def _lay_out(self, out_channels: int, bias: bool, device: Any, dtype: Any) -> None:
        self._await(("weight", "bias") if bias else ("weight",), device, dtype)
        self.out_channels = out_channels

    def initialize_parameters(self, input: Tensor, *args: Any, **kwargs: Any) -> None:
        """Take `in_channels` from the axis of the channels."""
        if not self.has_uninitialized_params():
            self.in_channels = self._channels_of_weight()
            return
        if input.ndim not in (self._axes + 1, self._axes + 2):
            raise RuntimeError(
                f"{type(self).__name__}: input of shape {input.shape}; it must have "
                f"{self._axes + 1} or {self._axes + 2} axes"
            )
        self.in_channels = input.shape[-1 - self._axes]
        if self.in_channels % self.groups:
            raise ValueError(
                f"{type(self).__name__}: in_channels must be divisible by groups: "
                f"{self.in_channels} is not divisible by {self.groups} groups"
            )
        first, second = self.out_channels, self.in_channels
        if self.transposed:
            first, second = second, first
        self.weight.materialize((first, second // self.groups, *self.kernel_size))
        if self.bias is not None:
            self.bias.materialize((self.out_channels,))
        self.reset_parameters()

    def _channels_of_weight(self) -> int:
        first, second = self.weight.shape[:2]
        return first if self.transposed else second * self.groups


class _LazyConvNd(_LazyConv):
    def __init__(
        self,
        out_channels: int,
        kernel_size: PerAxis,
        stride: PerAxis = 1,
        padding: PerAxis | str = 0,
        dilation: PerAxis = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: str = "zeros",
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        sizes = (kernel_size, stride, padding, dilation, groups)
        super().__init__(0, 0, *sizes, False, padding_mode)  # type: ignore[call-arg]  # of the layer that it is mixed into
        self._lay_out(out_channels, bias, device, dtype)


class LazyConv1d(_LazyConvNd, conv.Conv1d):
    """`Conv1d` with `in_channels` taken from the first input, (N, C, L).

    Parameters
    ----------
    out_channels, kernel_size, stride, padding, dilation, groups, bias, padding_mode
        As of `Conv1d`.

    Examples
    --------
    >>> layer = nn.LazyConv1d(6, 3)
    >>> layer(tl.randn(2, 3, 8)).shape
    (2, 6, 6)
    >>> layer.in_channels
    3
    """

    cls_to_become = conv.Conv1d


class LazyConv2d(_LazyConvNd, conv.Conv2d):
    """`Conv2d` with `in_channels` taken from the first input, (N, C, H, W).

    Parameters
    ----------
    out_channels, kernel_size, stride, padding, dilation, groups, bias, padding_mode
        As of `Conv2d`.

    Examples
    --------
    >>> layer = nn.LazyConv2d(6, 3)
    >>> layer(tl.randn(2, 3, 8, 8)).shape
    (2, 6, 6, 6)
    >>> layer.in_channels
    3
    """

    cls_to_become = conv.Conv2d


class LazyConv3d(_LazyConvNd, conv.Conv3d):
    """`Conv3d` with `in_channels` taken from the first input, (N, C, D, H, W).

    Parameters
    ----------
    out_channels, kernel_size, stride, padding, dilation, groups, bias, padding_mode
        As of `Conv3d`.

    Examples
    --------
    >>> layer = nn.LazyConv3d(6, 3)
    >>> layer(tl.randn(2, 3, 8, 8, 8)).shape
    (2, 6, 6, 6, 6)
    >>> layer.in_channels
    3
    """

    cls_to_become = conv.Conv3d


class _LazyConvTransposeNd(_LazyConv):
    def __init__(
        self,
        out_channels: int,
        kernel_size: PerAxis,
        stride: PerAxis = 1,
        padding: PerAxis = 0,
        output_padding: PerAxis = 0,
        groups: int = 1,
        bias: bool = True,
        dilation: PerAxis = 1,
        padding_mode: str = "zeros",
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        sizes = (kernel_size, stride, padding, output_padding, groups)
        super().__init__(0, 0, *sizes, False, dilation, padding_mode)  # type: ignore[call-arg]  # of the layer that it is mixed into
        self._lay_out(out_channels, bias, device, dtype)


class LazyConvTranspose1d(_LazyConvTransposeNd, conv.ConvTranspose1d):
    """`ConvTranspose1d` with `in_channels` taken from the first input, (N, C, L).

    Parameters
    ----------
    out_channels, kernel_size, stride, padding, output_padding, groups, bias, dilation, padding_mode
        As of `ConvTranspose1d`.

    Examples
    --------
    >>> layer = nn.LazyConvTranspose1d(6, 2)
    >>> layer(tl.randn(2, 3, 8)).shape
    (2, 6, 9)
    >>> layer.in_channels
    3
    """

    cls_to_become = conv.ConvTranspose1d


class LazyConvTranspose2d(_LazyConvTransposeNd, conv.ConvTranspose2d):
    """`ConvTranspose2d` with `in_channels` taken from the first input, (N, C, H, W).

    Parameters
    ----------
    out_channels, kernel_size, stride, padding, output_padding, groups, bias, dilation, padding_mode
        As of `ConvTranspose2d`.

    Examples
    --------
    >>> layer = nn.LazyConvTranspose2d(6, 2)
    >>> layer(tl.randn(2, 3, 8, 8)).shape
    (2, 6, 9, 9)
    >>> layer.in_channels
    3
    """

    cls_to_become = conv.ConvTranspose2d


class LazyConvTranspose3d(_LazyConvTransposeNd, conv.ConvTranspose3d):
    """`ConvTranspose3d` with `in_channels` taken from the first input, (N, C, D, H, W).

    Parameters
    ----------
    out_channels, kernel_size, stride, padding, output_padding, groups, bias, dilation, padding_mode
        As of `ConvTranspose3d`.

    Examples
    --------
    >>> layer = nn.LazyConvTranspose3d(6, 2)
    >>> layer(tl.randn(2, 3, 8, 8, 8)).shape
    (2, 6, 9, 9, 9)
    >>> layer.in_channels
    3
    """

    cls_to_become = conv.ConvTranspose3d


class _LazyNorm(_Lazy):
    """What lazy batch and instance norms share."""

    def __init__(
        self,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        device: Any = None,
        dtype: Any = None,
        *,
        bias: bool = True,
    ) -> None:
        super().__init__(0, eps, momentum, False, False)  # type: ignore[call-arg]  # of the layer that it is mixed into
        self.affine = affine
        self.track_running_stats = track_running_stats
        if affine:
            self._await(("weight", "bias") if bias else ("weight",), device, dtype)
        if track_running_stats:
            for name in ("running_mean", "running_var"):
                self.register_buffer(name, UninitializedBuffer(device=device, dtype=dtype))
            self.num_batches_tracked = new_buffer(0, device=device, dtype="int64")

    def initialize_parameters(self, input: Tensor) -> None:
        """Take `num_features` from the axis of the channels."""
        waiting = self.has_uninitialized_params()
        values = (self.weight, self.bias, self.running_mean, self.running_var)
        there = [value for value in values if value is not None]
        if waiting:
            alone = isinstance(self, batch_norm.InstanceNormNd) and input.ndim < self._ndims[0]
            self.num_features = input.shape[0 if alone else 1]
            for value in there:
                value.materialize((self.num_features,))
            self.reset_parameters()
        elif there:
            self.num_features = there[0].shape[0]


class LazyBatchNorm1d(_LazyNorm, batch_norm.BatchNorm1d):
    """`BatchNorm1d` with `num_features` taken from the first input, (N, C, L).

    Parameters
    ----------
    eps, momentum, affine, track_running_stats, bias
        As of `BatchNorm1d`.

    Examples
    --------
    >>> layer = nn.LazyBatchNorm1d()
    >>> layer(tl.randn(2, 3, 8)).shape
    (2, 3, 8)
    >>> layer.num_features
    3
    """

    cls_to_become = batch_norm.BatchNorm1d


class LazyBatchNorm2d(_LazyNorm, batch_norm.BatchNorm2d):
    """`BatchNorm2d` with `num_features` taken from the first input, (N, C, H, W).

    Parameters
    ----------
    eps, momentum, affine, track_running_stats, bias
        As of `BatchNorm2d`.

    Examples
    --------
    >>> layer = nn.LazyBatchNorm2d()
    >>> layer(tl.randn(2, 3, 8, 8)).shape
    (2, 3, 8, 8)
    >>> layer.num_features
    3
    """

    cls_to_become = batch_norm.BatchNorm2d


class LazyBatchNorm3d(_LazyNorm, batch_norm.BatchNorm3d):
    """`BatchNorm3d` with `num_features` taken from the first input, (N, C, D, H, W).

    Parameters
    ----------
    eps, momentum, affine, track_running_stats, bias
        As of `BatchNorm3d`.

    Examples
    --------
    >>> layer = nn.LazyBatchNorm3d()
    >>> layer(tl.randn(2, 3, 8, 8, 8)).shape
    (2, 3, 8, 8, 8)
    >>> layer.num_features
    3
    """

    cls_to_become = batch_norm.BatchNorm3d


class LazyInstanceNorm1d(_LazyNorm, batch_norm.InstanceNorm1d):
    """`InstanceNorm1d` with `num_features` taken from the first input, (N, C, L).

    Parameters
    ----------
    eps, momentum, affine, track_running_stats, bias
        As of `InstanceNorm1d`.

    Examples
    --------
    >>> layer = nn.LazyInstanceNorm1d()
    >>> layer(tl.randn(2, 3, 8)).shape
    (2, 3, 8)
    >>> layer.num_features
    3
    """

    cls_to_become = batch_norm.InstanceNorm1d


class LazyInstanceNorm2d(_LazyNorm, batch_norm.InstanceNorm2d):
    """`InstanceNorm2d` with `num_features` taken from the first input, (N, C, H, W).

    Parameters
    ----------
    eps, momentum, affine, track_running_stats, bias
        As of `InstanceNorm2d`.

    Examples
    --------
    >>> layer = nn.LazyInstanceNorm2d()
    >>> layer(tl.randn(2, 3, 8, 8)).shape
    (2, 3, 8, 8)
    >>> layer.num_features
    3
    """

    cls_to_become = batch_norm.InstanceNorm2d


class LazyInstanceNorm3d(_LazyNorm, batch_norm.InstanceNorm3d):
    """`InstanceNorm3d` with `num_features` taken from the first input, (N, C, D, H, W).

    Parameters
    ----------
    eps, momentum, affine, track_running_stats, bias
        As of `InstanceNorm3d`.

    Examples
    --------
    >>> layer = nn.LazyInstanceNorm3d()
    >>> layer(tl.randn(2, 3, 8, 8, 8)).shape
    (2, 3, 8, 8, 8)
    >>> layer.num_features
    3
    """

    cls_to_become = batch_norm.InstanceNorm3d
