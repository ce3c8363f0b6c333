"""Torch's module of this name, for programs that import base classes from it."""

from tensorlite.nn.conv import Conv1d, Conv2d, Conv3d, _ConvNd
from tensorlite.nn.conv import ConvTransposeNd as _ConvTransposeNd

__all__ = ["Conv1d", "Conv2d", "Conv3d", "_ConvNd", "_ConvTransposeNd"]
