"""What torch's module of this name has: base classes that programs ask for."""

from tensorlite.nn.batch_norm import InstanceNorm1d, InstanceNorm2d, InstanceNorm3d
from tensorlite.nn.batch_norm import InstanceNormNd as _InstanceNorm

__all__ = ["InstanceNorm1d", "InstanceNorm2d", "InstanceNorm3d", "_InstanceNorm"]
