"""Pooling along one and two axes."""

from __future__ import annotations

from collections.abc import Callable

from tensorlite.nn import functional as F
from tensorlite.nn.conv import Size
from tensorlite.nn.module import Module
from tensorlite.tensor import Tensor


class _MaxPool(Module):
    _function: Callable

    def __init__(
        self, kernel_size: Size, stride: Size | None = None, padding: Size = 0, dilation: Size = 1
    ) -> None:
        self.kernel_size = kernel_size
        self.stride = stride
        self.padding = padding
        self.dilation = dilation

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C, …) to (N, C, fewer …)."""
        return self._function(x, self.kernel_size, self.stride, self.padding, self.dilation)


class MaxPool1d(_MaxPool):
    """Largest element of each window of (N, C, L); the stride is the window's size by default."""

    _function = staticmethod(F.max_pool1d)


class MaxPool2d(_MaxPool):
    """Largest element of each window of (N, C, H, W); the stride is its size by default."""

    _function = staticmethod(F.max_pool2d)


class _AvgPool(Module):
    _function: Callable

    def __init__(
        self,
        kernel_size: Size,
        stride: Size | None = None,
        padding: Size = 0,
        *,
        count_include_pad: bool = True,
    ) -> None:
        self.kernel_size = kernel_size
        self.stride = stride
        self.padding = padding
        self.count_include_pad = count_include_pad

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C, …) to (N, C, fewer …)."""
        return self._function(
            x,
            self.kernel_size,
            self.stride,
            self.padding,
            count_include_pad=self.count_include_pad,
        )


class AvgPool1d(_AvgPool):
    """Mean of each window of (N, C, L); the stride is the window's size by default."""

    _function = staticmethod(F.avg_pool1d)


class AvgPool2d(_AvgPool):
    """Mean of each window of (N, C, H, W); the stride is the window's size by default."""

    _function = staticmethod(F.avg_pool2d)


class _AdaptivePool(Module):
    _function: Callable

    def __init__(self, output_size: Size) -> None:
        self.output_size = output_size

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C, …) to (N, C, *output_size)."""
        return self._function(x, self.output_size)


class AdaptiveAvgPool1d(_AdaptivePool):
    """Means of `output_size` nearly equal windows of (N, C, L)."""

    _function = staticmethod(F.adaptive_avg_pool1d)


class AdaptiveAvgPool2d(_AdaptivePool):
    """Means of `output_size` nearly equal windows of (N, C, H, W)."""

    _function = staticmethod(F.adaptive_avg_pool2d)


class AdaptiveMaxPool1d(_AdaptivePool):
    """Largest elements of `output_size` nearly equal windows of (N, C, L)."""

    _function = staticmethod(F.adaptive_max_pool1d)


class AdaptiveMaxPool2d(_AdaptivePool):
    """Largest elements of `output_size` nearly equal windows of (N, C, H, W)."""

    _function = staticmethod(F.adaptive_max_pool2d)
