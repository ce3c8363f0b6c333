"""Torch's module of this name, for programs that import base classes from it."""

from tensorlite.nn.batch_norm import InstanceNorm1d, InstanceNorm2d, InstanceNorm3d
from tensorlite.nn.batch_norm import InstanceNormNd as _InstanceNorm

__all__ = ["InstanceNorm1d", "InstanceNorm2d", "InstanceNorm3d", "_InstanceNorm"]
